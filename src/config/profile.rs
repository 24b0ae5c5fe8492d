//! The profiles `[app.voip]` and `[app.im]` of an `http` app: mod_apn's, with our spelling.

use std::time::Duration;

use super::app::Section;
use super::raw;
use super::values::{CheckResult, duration, is_word};
use crate::files;
use crate::push::app::{HttpAuth, HttpProfile, HttpProfiles};
use crate::push::refused_when::{Found, Meaning, RefusedWhen};
use crate::push::template::{BodyTemplate, JSON, UrlTemplate, is_media_type};
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

    fn profile(&self, profile: &str, raw: raw::ProfileSection) -> CheckResult<HttpProfile> {
        let key = |key: &str| format!("{profile}.{key}");
        let Some(url) = raw.url else {
            let needed = r#"a URL, as in "https://push.example.org/${type}/${token}""#;
            return Err(self.at.missing(&self.key(&key("url")), needed));
        };
        // It may contain a key, so the error does not repeat it.
        let url = UrlTemplate::parse(&url)
            .map_err(|problem| self.at.plain(&self.key(&key("url")), "", problem.to_string()))?;
        let content_type = raw.content_type.unwrap_or_else(|| JSON.into());
        if !is_media_type(&content_type) {
            return self.wrong(
                &key("content-type"),
                content_type,
                r#"a media type, as in "application/json""#,
            );
        }
        let body = match raw.method.as_deref() {
            None | Some("post") => Some(self.body(&key, &content_type, raw.body, raw.body_file)?),
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
        let refused_when = self.refused_when(profile, raw.refused_when)?;
        Ok(HttpProfile {
            refused_when,
            url,
            body,
            content_type,
            auth: self.auth(&key, raw.auth_type.as_deref(), raw.auth_file)?,
            connect_timeout: time("connect-timeout", &raw.connect_timeout)?,
            timeout: time("timeout", &raw.timeout)?,
            insecure: raw.insecure.unwrap_or(false),
        })
    }

    fn refused_when(&self, profile: &str, written: Vec<raw::RefusedWhenTable>) -> CheckResult<Vec<RefusedWhen>> {
        let rule = |(n, rule): (usize, raw::RefusedWhenTable)| {
            let key = |key: &str| self.key(&format!("{profile}.refused-when[{}].{key}", n + 1));
            let allowed = r#"a JSON pointer into the reply, as in "/result" or "/data/code""#;
            let Some(pointer) = rule.pointer else {
                return Err(self.at.missing(&key("pointer"), allowed));
            };
            let found = match (rule.is, rule.not) {
                (Some(raw::Values(values)), None) if !values.is_empty() => Found::One(values),
                (None, Some(raw::Values(values))) if !values.is_empty() => Found::NoneOf(values),
                _ => {
                    let allowed = "either is (values of a refusal) or not (values of anything else)";
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

    fn auth(&self, key: &impl Fn(&str) -> String, kind: Option<&str>, file: Option<String>) -> CheckResult<HttpAuth> {
        type Kind = fn(std::path::PathBuf) -> HttpAuth;
        let (kind, holds): (Kind, _) = match kind {
            None | Some("none") => {
                return match file {
                    None => Ok(HttpAuth::None),
                    Some(file) => self.wrong(&key("auth-file"), file, "only with an auth-type"),
                };
            }
            // mod_apn's word, and its meaning.
            Some("jwt" | "bearer") => (HttpAuth::Bearer, "a file with the token on one line"),
            Some("basic") => (HttpAuth::Basic, "a file with user:password on one line"),
            Some("digest") => (HttpAuth::Digest, "a file with user:password on one line"),
            Some("header") => (HttpAuth::Header, "a file with Name: value on one line"),
            Some(other) => {
                let allowed = r#""none", "jwt" or "bearer", "basic", "digest" or "header""#;
                return self.wrong(&key("auth-type"), other, allowed);
            }
        };
        let name = self.key(&key("auth-file"));
        let Some(file) = file else {
            return Err(self.at.missing(&name, holds));
        };
        Ok(kind(self.files.secret(self.at, &name, &file)?.0))
    }
}
