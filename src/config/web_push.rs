//! The keys of an app with `provider = "webpush"`: who fswake is, and to whom it may push.

use std::str::FromStr;

use super::app::Section;
use super::raw;
use super::values::CheckResult;
use crate::push::app::WebPushSettings;
use crate::push::endpoint::EndpointRules;

impl Section<'_> {
    /// Takes the keys out of an app's table.
    pub(super) fn web_push(&self, raw: &mut raw::AppTable) -> CheckResult<WebPushSettings> {
        if let Some(url) = &raw.base_url {
            return self.wrong_url("base-url", url, "no base-url: phones name their push services");
        }
        let needed = "a file with the VAPID key (`openssl ecparam -name prime256v1 -genkey -noout`)";
        let key_file = self.need("vapid-key-file", raw.vapid_key_file.take(), needed)?;
        let allowed = r#"whom push services may write to, as in "mailto:push@example.org" or "https://example.org/""#;
        let subject = match raw.vapid_subject.take() {
            None => return Err(self.at.missing(&self.key("vapid-subject"), allowed)),
            Some(subject) if is_subject(&subject) => subject,
            Some(subject) => return self.wrong("vapid-subject", subject, allowed),
        };
        let hosts = r#"hosts, as in "push.example.org" or "*.push.example.org""#;
        let networks = r#"networks, as in "10.0.0.0/8" or "fd00::/8""#;
        let rules = EndpointRules {
            allow_hosts: self.all("allow-hosts", &mut raw.allow_hosts, hosts)?,
            deny_hosts: self.all("deny-hosts", &mut raw.deny_hosts, hosts)?,
            allow_networks: self.all("allow-networks", &mut raw.allow_networks, networks)?,
            deny_networks: self.all("deny-networks", &mut raw.deny_networks, networks)?,
        };
        if raw.proxy.is_some() && rules.allow_hosts.is_empty() {
            let needed = "the hosts of push services: with proxy, fswake cannot see where a name leads";
            return Err(self.at.missing(&self.key("allow-hosts"), needed));
        }
        Ok(WebPushSettings {
            key_file,
            subject,
            rules,
        })
    }

    fn all<T: FromStr>(&self, key: &str, written: &mut Vec<String>, allowed: &str) -> CheckResult<Vec<T>> {
        let one = |text: String| match text.parse() {
            Ok(one) => Ok(one),
            Err(_) => self.wrong(key, text, allowed),
        };
        std::mem::take(written).into_iter().map(one).collect()
    }
}

/// RFC 8292 section 2.1; Apple refuses anything else.
fn is_subject(text: &str) -> bool {
    let is_one_word = text.bytes().all(|b| b.is_ascii_graphic() && b != b'"');
    let address = text.strip_prefix("mailto:").and_then(|address| address.split_once('@'));
    let is_address = address.is_some_and(|(user, domain)| !user.is_empty() && !domain.is_empty());
    let is_url = text.starts_with("https://") && reqwest::Url::parse(text).is_ok();
    is_one_word && (is_address || is_url)
}
