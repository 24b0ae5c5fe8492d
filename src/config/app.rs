//! The `[[app]]`s: credentials that belong together, files that can be read, and no two that claim the same devices.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::error::In;
use super::raw;
use super::secrets::Files;
use super::values::{CheckResult, is_word, on_unregister};
use crate::engine::policy::{AppPolicy, OnUnregister};
use crate::files;
use crate::push::app::{App, Credentials, PayloadStyle, ProxySettings};
use crate::types::Provider;

const LOG: &str = "log";
const PROVIDERS: &str = r#""apns", "apns.dev", "fcm", "hms", "webpush", "http" or "log""#;

/// The apps, and what the engine needs to know about them.
pub(super) struct AppSettings {
    pub apps: Vec<App>,
    pub policies: Vec<AppPolicy>,
}

/// Checks all apps; without any, there is one that only logs.
pub(super) fn apps(
    at: In<'_>,
    files: Files<'_>,
    mut written: Vec<raw::AppTable>,
    on_unregister: OnUnregister,
) -> CheckResult<AppSettings> {
    if written.is_empty() {
        written.push(raw::AppTable {
            name: Some(LOG.into()),
            provider: Some(LOG.into()),
            ..raw::AppTable::default()
        });
    }
    let mut checked = AppSettings {
        apps: Vec::new(),
        policies: Vec::new(),
    };
    let (mut names, mut claims) = (HashSet::new(), HashMap::new());
    for (n, raw) in written.into_iter().enumerate() {
        let Some(name) = raw.name.clone() else {
            return Err(at.missing(&format!("app[{}].name", n + 1), "a unique name"));
        };
        if !is_word(&name) || !names.insert(name.clone()) {
            let key = format!("app[{}].name", n + 1);
            return Err(at.wrong(&key, name, "one word, unique among apps"));
        }
        let section = Section { at, files, name: &name };
        let (app, policies) = section.app(raw, on_unregister)?;
        section.claim(&app, &mut claims)?;
        if let Some(before) = checked.apps.iter().find(|before| before.takes_all_of(&app)) {
            let before = &before.name;
            let why = format!(
                "never used: app \"{before}\" before it takes all its phones; write \"{name}\" before it, or give \"{before}\" \
                 app-ids, domains or providers of its own"
            );
            return Err(at.plain(&format!("app.{name}"), "", why));
        }
        if app.provider.has_topics() && app.topic.is_none() && app.app_ids.is_empty() {
            files.note(format!(
                "app.{name}: neither app-ids nor topic: each push goes to the bundle id that the phone names"
            ));
        }
        checked.apps.push(app);
        checked.policies.extend(policies);
    }
    // Devices of an unconfigured app use the general setting.
    if on_unregister != OnUnregister::default() {
        checked.policies.push(AppPolicy {
            on_unregister,
            ..AppPolicy::default()
        });
    }
    Ok(checked)
}

/// One `[[app]]`.
#[derive(Clone, Copy)]
pub(super) struct Section<'a> {
    pub at: In<'a>,
    pub files: Files<'a>,
    pub name: &'a str,
}

impl Section<'_> {
    pub(super) fn key(&self, key: &str) -> String {
        format!("app.{}.{key}", self.name)
    }

    pub(super) fn wrong<T>(
        &self,
        key: &str,
        value: impl std::fmt::Debug,
        allowed: impl Into<String>,
    ) -> CheckResult<T> {
        Err(self.at.wrong(&self.key(key), value, allowed))
    }

    fn app(&self, mut raw: raw::AppTable, general: OnUnregister) -> CheckResult<(App, Vec<AppPolicy>)> {
        let provider = match raw.provider.as_deref() {
            Some(name @ ("apns" | "apns.dev" | "fcm" | "hms" | "webpush" | "http" | LOG)) => Provider::from_name(name),
            Some(other) => return self.wrong("provider", other, PROVIDERS),
            None => {
                let key = self.key("provider");
                return Err(self.at.missing(&key, PROVIDERS));
            }
        };
        let is_apns = matches!(provider, Provider::Apns | Provider::ApnsSandbox);
        let credentials = self.credentials(&provider, &mut raw)?;
        if let Some(id) = raw.app_ids.iter().find(|id| !is_word(id)) {
            return self.wrong("app-ids", id, "app ids without spaces, as phones send them");
        }
        if let Some(id) = raw
            .app_ids
            .iter()
            .find(|id| is_apns && matches!(id.rsplit_once('.'), Some((_, "voip" | "remote"))))
        {
            return self.wrong("app-ids", id, r#"bundle ids without ".voip" and ".remote""#);
        }
        if let Some(domain) = raw.domains.iter().find(|d| !is_word(d)) {
            return self.wrong("domains", domain, "domains of callees, without spaces");
        }
        if let Some(topic) = &raw.topic
            && !(is_apns && is_word(topic))
        {
            return self.wrong("topic", topic, "an APNs topic, with provider apns or apns.dev only");
        }
        let on_unregister = on_unregister(self.at, &self.key("on-unregister"), raw.on_unregister.as_deref())?;
        let providers = self.providers(&provider, &raw.providers)?;
        let (cancel, missed) = self.news(&credentials, &raw)?;
        let voicemail = raw.voicemail_push.unwrap_or(false);
        if voicemail && matches!(&credentials, Credentials::Http(profiles) if profiles.im.is_none()) {
            return self.wrong("voicemail-push", true, "false, or a section [app.im]");
        }
        let refresh = self.refresh(&credentials, &raw)?;
        let apns = self.apns_rules(is_apns, &raw)?;
        let app = App {
            name: self.name.to_owned(),
            providers,
            base_url: self.url("base-url", raw.base_url.take())?,
            ca_file: self.file("ca-file", raw.ca_file.take())?,
            proxy: self.proxy(raw.proxy.take(), raw.proxy_auth_file.take())?,
            payload: self.payload(raw.payload.as_deref(), raw.payload_file.as_deref())?,
            domains: raw.domains.iter().map(|d| d.to_ascii_lowercase()).collect(),
            provider,
            app_ids: raw.app_ids,
            tenant: raw.tenant,
            credentials,
            apns,
            topic: raw.topic,
        };
        let on_unregister = on_unregister.unwrap_or(general);
        let ids = match app.app_ids.as_slice() {
            [] => vec![None],
            ids => ids.iter().cloned().map(Some).collect(),
        };
        let providers: Vec<_> = match (&app.provider, app.providers.as_slice()) {
            (any, []) if any.serves_any() => vec![None],
            (any, some) if any.serves_any() => some.iter().cloned().map(Some).collect(),
            (one, _) => vec![Some(one.clone())],
        };
        let policies = providers.iter().flat_map(|provider| {
            let one = |id: &Option<String>| AppPolicy {
                provider: provider.clone(),
                app: id.clone(),
                domains: app.domains.clone(),
                on_unregister,
                missed_call_push: missed,
                voicemail_push: voicemail,
                cancel_push: cancel,
                refresh,
            };
            ids.iter().map(one).collect::<Vec<_>>()
        });
        let policies = policies.collect();
        Ok((app, policies))
    }

    /// The providers whose phones it serves; empty for all.
    fn providers(&self, provider: &Provider, written: &[String]) -> CheckResult<Vec<Provider>> {
        let allowed = r#"with provider "http" or "log" only: names as phones send them (pn-provider, or the platform)"#;
        match written {
            [] => Ok(Vec::new()),
            _ if provider.serves_any() && written.iter().all(|name| is_word(name)) => {
                Ok(written.iter().map(|name| Provider::from_name(name)).collect())
            }
            _ => self.wrong("providers", written, allowed),
        }
    }

    /// Whether ends of calls and missed calls are pushed. If a gateway cannot distinguish them from calls, phones would
    /// ring again for a call that is over.
    fn news(&self, credentials: &Credentials, raw: &raw::AppTable) -> CheckResult<(bool, bool)> {
        let gateway = match credentials {
            Credentials::Http(profiles) => profiles.voip.as_ref(),
            _ => None,
        };
        let wanted = [
            ("cancel-push", raw.cancel_push),
            ("missed-call-push", raw.missed_call_push),
        ];
        if let Some(profile) = gateway
            && let Some((key, _)) = wanted.iter().find(|(_, on)| *on == Some(true))
            && !profile.tells_kinds()
        {
            return self.wrong(
                key,
                true,
                "false, or ${kind} or ${payload} in url, headers or body of the profile voip",
            );
        }
        let is_gateway = matches!(credentials, Credentials::Http(_));
        Ok((
            raw.cancel_push.unwrap_or(!is_gateway),
            raw.missed_call_push.unwrap_or(false),
        ))
    }

    /// A file that must be named and readable.
    pub(super) fn need(&self, key: &str, name: Option<String>, needed: &str) -> CheckResult<PathBuf> {
        let file = self.file(key, name)?;
        file.ok_or_else(|| self.at.missing(&self.key(key), needed))
    }

    /// A file that must be readable if it is named. Its users read its content again and again.
    pub(super) fn file(&self, key: &str, name: Option<String>) -> CheckResult<Option<PathBuf>> {
        let text_or_not = |path: &Path| Ok(files::read(path)?);
        let read = |name: String| self.files.read(self.at, &self.key(key), &name, text_or_not);
        Ok(name.map(read).transpose()?.map(|(path, _)| path))
    }

    fn url(&self, key: &str, url: Option<String>) -> CheckResult<Option<String>> {
        let allowed = r#""https://host:port""#;
        let Some(written) = url else { return Ok(None) };
        let parsed = reqwest::Url::parse(&written).ok().filter(is_origin);
        match parsed {
            Some(url) if url.scheme() == "https" => Ok(Some(written.trim_end_matches('/').to_owned())),
            _ => self.wrong_url(key, &written, allowed),
        }
    }

    /// A URL that is not allowed. One with a password is not repeated, because the message goes into logs.
    pub(super) fn wrong_url<T>(&self, key: &str, written: &str, allowed: &str) -> CheckResult<T> {
        if written.contains('@') {
            let allowed = format!("{allowed}, without a user and a password");
            return Err(self.at.plain(&self.key(key), "a URL with an @", allowed));
        }
        self.wrong(key, written, allowed)
    }

    fn proxy(&self, url: Option<String>, auth_file: Option<String>) -> CheckResult<Option<ProxySettings>> {
        let Some(url) = url else {
            return match auth_file {
                Some(file) => self.wrong("proxy-auth-file", file, "proxy as well"),
                None => Ok(None),
            };
        };
        let parsed = reqwest::Url::parse(&url).ok().filter(is_origin);
        if parsed.is_none_or(|url| url.scheme() != "http") {
            return self.wrong_url("proxy", &url, r#""http://host:port""#);
        }
        let key = self.key("proxy-auth-file");
        let auth_file = auth_file.map(|file| self.files.secret(self.at, &key, &file));
        let auth_file = auth_file.transpose()?.map(|(path, _)| path);
        Ok(Some(ProxySettings { url, auth_file }))
    }

    fn payload(&self, style: Option<&str>, file: Option<&str>) -> CheckResult<PayloadStyle> {
        let template = style == Some("template");
        if let Some(file) = file.filter(|_| !template) {
            return self.wrong("payload-file", file, r#"only with payload = "template""#);
        }
        match style {
            None | Some("default") => Ok(PayloadStyle::Default),
            Some("linphone") => Ok(PayloadStyle::Linphone),
            Some("mod_apn") => Ok(PayloadStyle::ModApn),
            Some("template") => {
                let key = self.key("payload-file");
                let needed = "a file with one JSON object";
                let Some(file) = file else {
                    return Err(self.at.missing(&key, needed));
                };
                let (path, text) = self.files.read(self.at, &key, file, files::text)?;
                let Some(text) = text else {
                    return Ok(PayloadStyle::Default);
                };
                match serde_json::from_str::<serde_json::Map<_, _>>(&text) {
                    Ok(_) => Ok(PayloadStyle::Template(text)),
                    Err(e) => self.wrong("payload-file", path, format!("{needed}: {e}")),
                }
            }
            Some(other) => self.wrong("payload", other, r#""default", "linphone", "mod_apn" or "template""#),
        }
    }

    /// Two apps for the same devices: the second would never be used.
    fn claim(&self, app: &App, claims: &mut HashMap<(Provider, String, String), String>) -> CheckResult<()> {
        let all = [String::new()];
        let or_all = |list: &'_ [String]| if list.is_empty() { all.to_vec() } else { list.to_vec() };
        let providers: Vec<_> = match app.providers.as_slice() {
            [] => vec![app.provider.clone()],
            some => some.to_vec(),
        };
        let devices = or_all(&app.app_ids).into_iter().flat_map(|id| {
            let domains = or_all(&app.domains).into_iter();
            domains.map(move |domain| (id.clone(), domain))
        });
        for (id, domain) in devices {
            for provider in &providers {
                let claim = (provider.clone(), id.clone(), domain.clone());
                if let Some(first) = claims.insert(claim, app.name.clone()) {
                    let phones = match id.as_str() {
                        "" => format!("every phone of {}", provider.name()),
                        id => id.to_owned(),
                    };
                    let at = match domain.as_str() {
                        "" => String::new(),
                        domain => format!(" at {domain}"),
                    };
                    let allowed = format!(
                        "apps {first:?} and {:?} both serve {phones}{at}: give one of them other app-ids, domains or providers",
                        app.name
                    );
                    return self.wrong("app-ids", &app.app_ids, allowed);
                }
            }
        }
        Ok(())
    }
}

/// Whether a URL is scheme, host and port only: no user, no path.
fn is_origin(url: &reqwest::Url) -> bool {
    url.host_str().is_some()
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none()
}
