//! `[contact]`: the names of push parameters, by User-Agent.

use super::error::In;
use super::raw;
use super::values::{CheckResult, is_word};
use crate::contact::{AppIds, ContactRules, ParamNames, ParamSet, Pattern, WebPushNames};
use crate::push::app::App;
use crate::types::Provider;

/// Apps that need no preset, or for which there can be none.
const WITHOUT_PRESET: [(&str, &str); 8] = [
    ("acrobits", "a service of its vendor's wakes it"),
    ("bria", "a service of its vendor's wakes it"),
    (
        "portsip",
        "its token is in a header of its own, which FreeSWITCH's event lacks",
    ),
    ("zoiper", "no public source says what it sends"),
    ("grandstream-wave", "no public source says what it sends"),
    ("baresip", "it sends no token"),
    ("jssip", "RFC 8599's parameters in its contact_uri are read without one"),
    (
        "pjsip",
        "RFC 8599's parameters in reg_contact_uri_params are read without one",
    ),
];

/// Checks how Contacts are read and written. Without sets, mod_apn's is used.
pub(super) fn rules(at: In<'_>, raw: raw::Contact, apps: &[App]) -> CheckResult<ContactRules> {
    let web_push = WebPushNames::default();
    let key = |key: &str, written: Option<String>, built_in: String| {
        name(at, &format!("contact.{key}"), written.unwrap_or(built_in))
    };
    let web_push = WebPushNames {
        p256dh: key("webpush-p256dh", raw.webpush_p256dh, web_push.p256dh)?,
        auth: key("webpush-auth", raw.webpush_auth, web_push.auth)?,
    };
    let sets = raw.params.unwrap_or_else(|| vec![raw::Params::default()]);
    let sets = sets
        .into_iter()
        .enumerate()
        .map(|(n, set)| ParamsTable { at, n }.check(set));
    Ok(ContactRules {
        strip_push: raw.strip_push_params.unwrap_or(true),
        names: ParamNames {
            sets: sets.collect::<CheckResult<_>>()?,
            apps: app_ids(apps),
            web_push,
        },
    })
}

/// The ids that decide what a phone's id means. Ids of an app for any provider do not count.
fn app_ids(apps: &[App]) -> AppIds {
    let of_app = |app: &App| {
        let providers = match &app.provider {
            any if any.serves_any() => app.providers.clone(),
            one => vec![one.clone()],
        };
        let with = |provider: Provider| app.app_ids.iter().map(move |id| (provider.clone(), id.clone()));
        providers.into_iter().flat_map(with).collect::<Vec<_>>()
    };
    AppIds(apps.iter().flat_map(of_app).collect())
}

/// One `[[contact.params]]`.
#[derive(Clone, Copy)]
struct ParamsTable<'a> {
    at: In<'a>,
    n: usize,
}

impl ParamsTable<'_> {
    fn key(self, key: &str) -> String {
        format!("contact.params[{}].{key}", self.n + 1)
    }

    fn check(self, set: raw::Params) -> CheckResult<ParamSet> {
        let built_in = match set.preset.as_deref() {
            None => ParamSet::mod_apn(),
            Some(name) => self.preset(name)?,
        };
        let regex = set.user_agent_regex.filter(|regex| !regex.is_empty());
        let regex = regex.map(|regex| {
            let found = Pattern::parse(&regex);
            found.map_err(|problem| {
                let allowed = format!("a regular expression: {problem}");
                self.at.wrong(&self.key("user-agent-regex"), regex, allowed)
            })
        });
        let provider = |key: String, name: String| {
            if is_word(&name) {
                return Ok(Provider::from_name(&name));
            }
            let allowed = r#""apns", "apns.dev", "fcm", or another provider's name"#;
            Err(self.at.wrong(&key, name, allowed))
        };
        let platforms = set.platforms.into_iter();
        let platforms = platforms.map(|(word, name)| {
            let key = self.key(&format!("platforms.{word:?}"));
            Ok((word.to_ascii_lowercase(), provider(key, name)?))
        });
        let own_platforms = platforms.collect::<CheckResult<Vec<_>>>()?;
        Ok(ParamSet {
            user_agent: set.user_agent.filter(|agent| !agent.is_empty()),
            user_agent_regex: regex.transpose()?,
            voip_token: self.name("voip-token", set.voip_token.unwrap_or(built_in.voip_token))?,
            im_token: self.optional("im-token", set.im_token, built_in.im_token)?,
            app_id: self.optional("app-id", set.app_id, built_in.app_id)?,
            platform: self.optional("platform", set.platform, built_in.platform)?,
            platforms: if own_platforms.is_empty() {
                built_in.platforms
            } else {
                own_platforms
            },
            provider: set
                .provider
                .map(|name| provider(self.key("provider"), name))
                .transpose()?,
        })
    }

    /// The names of an app's parameters, where they are public (docs/SOFTPHONES.md has the sources).
    fn preset(self, name: &str) -> CheckResult<ParamSet> {
        Ok(match name {
            "mod_apn" => ParamSet::mod_apn(),
            "kazoo" => ParamSet::kazoo(),
            "linphone" => ParamSet::linphone(),
            _ => {
                let known = WITHOUT_PRESET.iter().find(|(app, _)| *app == name);
                let why = known.map_or_else(String::new, |(_, why)| format!(". {name} has none: {why}"));
                let allowed = format!(r#""mod_apn", "kazoo" or "linphone"{why} (docs/SOFTPHONES.md)"#);
                return Err(self.at.wrong(&self.key("preset"), name, allowed));
            }
        })
    }

    /// `""` means that the app does not have this parameter.
    fn optional(self, key: &str, written: Option<String>, built_in: Option<String>) -> CheckResult<Option<String>> {
        let name = written.or(built_in).filter(|name| !name.is_empty());
        name.map(|name| self.name(key, name)).transpose()
    }

    fn name(self, key: &str, written: String) -> CheckResult<String> {
        name(self.at, &self.key(key), written)
    }
}

/// A parameter's name, in lower case.
fn name(at: In<'_>, key: &str, name: String) -> CheckResult<String> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"-_.!~*'+".contains(&b);
    if name.is_empty() || !name.bytes().all(good) {
        let allowed = "the name of a URI parameter: letters, digits and - _ . ! ~ * ' +";
        return Err(at.wrong(key, name, allowed));
    }
    Ok(name.to_ascii_lowercase())
}
