//! `[contact]`: the names of push parameters, by User-Agent.

use super::error::In;
use super::raw;
use super::values::{Checked, is_word};
use crate::contact::{AppIds, ContactRules, ParamNames, ParamSet, Pattern, WebPushNames};
use crate::push::app::App;
use crate::types::Provider;

/// Checks how Contacts are read and written; without sets there is mod_apn's.
pub(super) fn rules(at: In<'_>, raw: raw::Contact, apps: &[App]) -> Checked<ContactRules> {
    let web_push = WebPushNames::default();
    let key = |key: &str, written: Option<String>, built_in: String| {
        name(at, &format!("contact.{key}"), written.unwrap_or(built_in))
    };
    let web_push = WebPushNames {
        p256dh: key("webpush-p256dh", raw.webpush_p256dh, web_push.p256dh)?,
        auth: key("webpush-auth", raw.webpush_auth, web_push.auth)?,
    };
    let sets = raw.params.unwrap_or_else(|| vec![raw::Params::default()]);
    let sets = sets.into_iter().enumerate().map(|(n, set)| Set { at, n }.check(set));
    Ok(ContactRules {
        strip_push: raw.strip_push_params.unwrap_or(true),
        names: ParamNames {
            sets: sets.collect::<Checked<_>>()?,
            apps: app_ids(apps),
            web_push,
        },
    })
}

/// The ids that decide what a phone's means. An app for devices of any provider says nothing of whose an id is.
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
struct Set<'a> {
    at: In<'a>,
    n: usize,
}

impl Set<'_> {
    fn key(self, key: &str) -> String {
        format!("contact.params[{}].{key}", self.n + 1)
    }

    fn check(self, set: raw::Params) -> Checked<ParamSet> {
        let built_in = ParamSet::mod_apn();
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
        Ok(ParamSet {
            user_agent: set.user_agent.filter(|agent| !agent.is_empty()),
            user_agent_regex: regex.transpose()?,
            voip_token: self.name("voip-token", set.voip_token.unwrap_or(built_in.voip_token))?,
            im_token: self.optional("im-token", set.im_token, built_in.im_token)?,
            app_id: self.optional("app-id", set.app_id, built_in.app_id)?,
            platform: self.optional("platform", set.platform, built_in.platform)?,
            platforms: platforms.collect::<Checked<_>>()?,
            provider: set
                .provider
                .map(|name| provider(self.key("provider"), name))
                .transpose()?,
        })
    }

    /// `""` stands for a parameter that the app does not have.
    fn optional(self, key: &str, written: Option<String>, built_in: Option<String>) -> Checked<Option<String>> {
        let name = written.or(built_in).filter(|name| !name.is_empty());
        name.map(|name| self.name(key, name)).transpose()
    }

    fn name(self, key: &str, written: String) -> Checked<String> {
        name(self.at, &self.key(key), written)
    }
}

/// A parameter's name, in lower case.
fn name(at: In<'_>, key: &str, name: String) -> Checked<String> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"-_.!~*'+".contains(&b);
    if name.is_empty() || !name.bytes().all(good) {
        let allowed = "the name of a URI parameter: letters, digits and - _ . ! ~ * ' +";
        return Err(at.wrong(key, name, allowed));
    }
    Ok(name.to_ascii_lowercase())
}
