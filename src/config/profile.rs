//! The profiles `[app.voip]` and `[app.im]` of an `http` app: mod_apn's, with our spelling.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use super::app::Section;
use super::raw;
use super::values::{CheckResult, duration, is_https, is_word};
use crate::files;
use crate::push::app::{HttpAuth, HttpProfile, HttpProfiles};
use crate::push::refused_when::{Found, Meaning, RefusedWhen};
use crate::push::template::{BodyTemplate, HeaderTemplate, JSON, UrlTemplate, is_media_type};
use crate::types::Provider;

/// The same limit as for one try at any provider.
const TIMEOUT: Duration = crate::push::transport::retry::TRY_LIMIT;

impl Section<'_> {
    /// Takes the profiles out of an app's table.
    pub(super) fn profiles(&self, raw: &mut raw::AppTable) -> CheckResult<HttpProfiles> {
        if raw.voip.is_none() && raw.im.is_none() {
            let needed = "a table [app.voip] for calls, [app.im] for messages, or both";
            return Err(self.at.missing(&self.key("voip"), needed));
        }
        if let Some(url) = &raw.base_url {
            return self.wrong_url("base-url", url, "url in a profile instead");
        }
        let platforms = std::mem::take(&mut raw.platforms);
        for (provider, word) in &platforms {
            if !is_word(word) || !is_word(provider) {
                let key = format!("platforms.{provider}");
                return self.wrong(&key, word, r#"what ${platform} is for it, as in { apns = "ios" }"#);
            }
        }
        let platforms = platforms.into_iter();
        Ok(HttpProfiles {
            voip: raw.voip.take().map(|p| self.profile("voip", p)).transpose()?,
            im: raw.im.take().map(|p| self.profile("im", p)).transpose()?,
            platforms: platforms
                .map(|(provider, word)| (Provider::from_name(&provider), word))
                .collect(),
        })
    }

    fn profile(&self, profile: &str, mut raw: raw::ProfileSection) -> CheckResult<HttpProfile> {
        let key = |key: &str| format!("{profile}.{key}");
        let Some(url) = raw.url.take() else {
            let needed = r#"a URL, as in "https://push.example.org/${type}/${token}""#;
            return Err(self.at.missing(&self.key(&key("url")), needed));
        };
        // It may contain a key, so the error does not repeat it.
        let url = UrlTemplate::parse(&url)
            .map_err(|problem| self.at.plain(&self.key(&key("url")), "", problem.to_string()))?;
        let content_type = raw.content_type.take().unwrap_or_else(|| JSON.into());
        if !is_media_type(&content_type) {
            return self.wrong(
                &key("content-type"),
                content_type,
                r#"a media type, as in "application/json""#,
            );
        }
        let body = match raw.method.as_deref() {
            None | Some("post") => Some(self.body(&key, &content_type, raw.body.take(), raw.body_file.take())?),
            Some("get") => {
                if let Some((name, _)) = [("body", &raw.body), ("body-file", &raw.body_file)]
                    .into_iter()
                    .find(|(_, written)| written.is_some())
                {
                    let allowed = r#"only with method = "post""#;
                    return Err(self.at.plain(&self.key(&key(name)), "", allowed));
                }
                None
            }
            Some(other) => return self.wrong(&key("method"), other, r#""post" or "get""#),
        };
        let time = |name: &str, written: &Option<super::raw::Time>| {
            let name = self.key(&key(name));
            duration(self.at, &name, written.as_deref(), TIMEOUT, "100ms", "60s")
        };
        let (connect_timeout, timeout) = (
            time("connect-timeout", &raw.connect_timeout)?,
            time("timeout", &raw.timeout)?,
        );
        let auth = self.auth(&key, &mut raw)?;
        if matches!(auth, HttpAuth::Field(_)) && !body.as_ref().is_some_and(BodyTemplate::is_form) {
            let allowed = r#"only with content-type = "application/x-www-form-urlencoded" and a body"#;
            return self.wrong(&key("auth-type"), "field", allowed);
        }
        Ok(HttpProfile {
            refused_when: self.refused_when(profile, raw.refused_when)?,
            url,
            headers: self.headers(&key, raw.headers)?,
            body,
            content_type,
            auth,
            connect_timeout,
            timeout,
            insecure: raw.insecure.unwrap_or(false),
        })
    }

    fn headers(
        &self,
        key: &impl Fn(&str) -> String,
        written: BTreeMap<String, String>,
    ) -> CheckResult<Vec<HeaderTemplate>> {
        let header = |(name, value): (String, String)| {
            HeaderTemplate::parse(&name, &value).map_err(|problem| {
                let name = self.key(&key(&format!("headers.{name}")));
                self.at.plain(&name, "", problem.to_string())
            })
        };
        let headers: Vec<HeaderTemplate> = written.into_iter().map(header).collect::<CheckResult<_>>()?;
        let mut names = HashSet::new();
        // In another case it is the same header.
        if let Some(twice) = headers.iter().find(|header| !names.insert(header.name())) {
            let name = self.key(&key("headers"));
            return Err(self.at.plain(&name, twice.name().as_str(), "each header once"));
        }
        Ok(headers)
    }

    fn refused_when(&self, profile: &str, written: Vec<raw::RefusedWhenTable>) -> CheckResult<Vec<RefusedWhen>> {
        let rule = |(n, rule): (usize, raw::RefusedWhenTable)| {
            let key = |key: &str| self.key(&format!("{profile}.refused-when[{}].{key}", n + 1));
            let allowed = r#"a JSON pointer into the reply, as in "/result" or "/data/code""#;
            let Some(pointer) = rule.pointer else {
                return Err(self.at.missing(&key("pointer"), allowed));
            };
            let found = match (rule.is, rule.not, rule.exists) {
                (Some(raw::Values(values)), None, None) if !values.is_empty() => Found::One(values),
                (None, Some(raw::Values(values)), None) if !values.is_empty() => Found::NoneOf(values),
                (None, None, Some(true)) => Found::Anything,
                _ => {
                    let allowed = "one of is (values of a refusal), not (values of anything else), exists = true";
                    return Err(self.at.missing(&key("is"), allowed));
                }
            };
            let means = match rule.means.as_deref() {
                None => Some(Meaning::Refused),
                Some(word) => Meaning::from_word(word),
            };
            let Some(means) = means else {
                let words = Meaning::ALL.map(|meaning| format!("{:?}", meaning.as_str())).join(", ");
                return Err(self.at.wrong(&key("means"), rule.means.unwrap_or_default(), words));
            };
            Ok(RefusedWhen {
                pointer: pointer
                    .parse()
                    .map_err(|()| self.at.wrong(&key("pointer"), pointer, allowed))?,
                found,
                means,
            })
        };
        written.into_iter().enumerate().map(rule).collect()
    }

    fn body(
        &self,
        key: &impl Fn(&str) -> String,
        content_type: &str,
        body: Option<String>,
        file: Option<String>,
    ) -> CheckResult<BodyTemplate> {
        let (name, template) = match (body, file) {
            (Some(_), Some(file)) => return self.wrong(&key("body-file"), file, "not together with body"),
            (None, Some(file)) => {
                let name = self.key(&key("body-file"));
                let (_, text) = self.files.read(self.at, &name, &file, files::text)?;
                if text.is_none() {
                    return BodyTemplate::parse(JSON, None)
                        .map_err(|problem| self.at.plain(&name, "", problem.to_string()));
                }
                ("body-file", text)
            }
            (body, None) => ("body", body),
        };
        BodyTemplate::parse(content_type, template.as_deref())
            .map_err(|problem| self.at.plain(&self.key(&key(name)), "", problem.to_string()))
    }

    fn auth(&self, key: &impl Fn(&str) -> String, raw: &mut raw::ProfileSection) -> CheckResult<HttpAuth> {
        type Kind = fn(std::path::PathBuf) -> HttpAuth;
        let (kind, file) = (raw.auth_type.as_deref(), raw.auth_file.take());
        if kind != Some("oauth") {
            let of_oauth = [("client-id", &raw.client_id), ("token-url", &raw.token_url)];
            if let Some((name, value)) = of_oauth
                .into_iter()
                .find_map(|(name, value)| Some((name, value.as_ref()?)))
            {
                return self.wrong_url(&key(name), value, r#"only with auth-type = "oauth""#);
            }
        }
        let (kind, holds): (Option<Kind>, _) = match kind {
            None | Some("none") => {
                return match file {
                    None => Ok(HttpAuth::None),
                    Some(file) => self.wrong(&key("auth-file"), file, "only with an auth-type"),
                };
            }
            // mod_apn's word, and its meaning.
            Some("jwt" | "bearer") => (Some(HttpAuth::Bearer), "a file with the token on one line"),
            Some("basic") => (Some(HttpAuth::Basic), "a file with user:password on one line"),
            Some("digest") => (Some(HttpAuth::Digest), "a file with user:password on one line"),
            Some("header") => (Some(HttpAuth::Header), "a file with Name: value on one line"),
            Some("field") => (Some(HttpAuth::Field), "a file with name=value on one line"),
            Some("oauth") => (None, "a file with the client secret on one line"),
            Some(other) => {
                let allowed = r#""none", "jwt" or "bearer", "basic", "digest", "header", "field" or "oauth""#;
                return self.wrong(&key("auth-type"), other, allowed);
            }
        };
        let name = self.key(&key("auth-file"));
        let Some(file) = file else {
            return Err(self.at.missing(&name, holds));
        };
        let file = self.files.secret(self.at, &name, &file)?.0;
        match kind {
            Some(kind) => Ok(kind(file)),
            None => self.oauth(key, raw, file),
        }
    }

    /// A client of OAuth 2.0 (RFC 6749 section 4.4).
    fn oauth(
        &self,
        key: &impl Fn(&str) -> String,
        raw: &mut raw::ProfileSection,
        secret_file: std::path::PathBuf,
    ) -> CheckResult<HttpAuth> {
        let Some(client_id) = raw.client_id.take().filter(|id| !id.is_empty()) else {
            let allowed = "the client id that belongs to the secret";
            return Err(self.at.missing(&self.key(&key("client-id")), allowed));
        };
        let allowed = r#"the https URL where access tokens are asked for, as in "https://host/oauth2/token""#;
        let Some(token_url) = raw.token_url.take() else {
            return Err(self.at.missing(&self.key(&key("token-url")), allowed));
        };
        if !is_https(&token_url) {
            return self.wrong_url(&key("token-url"), &token_url, allowed);
        }
        Ok(HttpAuth::OAuth {
            client_id,
            secret_file,
            token_url,
        })
    }
}
