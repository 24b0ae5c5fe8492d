//! Names of push parameters from before RFC 8599, and those that an operator configures.

use regex::Regex;

use crate::types::{Provider, app_id};

/// One app's (or module's) names for its push parameters. All names are case-insensitive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParamSet {
    /// Only for phones whose `User-Agent` contains this (case-insensitive); `None` for every phone.
    pub user_agent: Option<String>,
    /// Only for phones whose `User-Agent` matches this; `None` for every phone.
    pub user_agent_regex: Option<Pattern>,
    /// The parameter with the token for calls.
    pub voip_token: String,
    /// The parameter with the token for messages.
    pub im_token: Option<String>,
    /// The parameter with the app's name.
    pub app_id: Option<String>,
    /// The parameter with the platform: `iOS`, `Android`, a provider's name, or a word of [`ParamSet::platforms`].
    pub platform: Option<String>,
    /// The meaning of the app's own words for platforms (lower case).
    pub platforms: Vec<(String, Provider)>,
    /// The provider of phones that name no platform.
    pub provider: Option<Provider>,
}

/// A regular expression; equal to another with the same text.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

impl Pattern {
    /// Compiles one. Matching takes time in proportion to the text, whatever the expression is.
    ///
    /// # Errors
    /// What is wrong with it, on one line.
    pub fn parse(text: &str) -> Result<Self, String> {
        Regex::new(text).map(Self).map_err(|error| {
            let text = error.to_string();
            text.lines().last().unwrap_or_default().trim().to_owned()
        })
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

impl ParamSet {
    /// The names that mod_apn reads in its default configuration.
    pub fn mod_apn() -> Self {
        Self {
            user_agent: None,
            user_agent_regex: None,
            voip_token: "pn-voip-tok".to_owned(),
            im_token: Some("pn-im-tok".to_owned()),
            app_id: Some("app-id".to_owned()),
            platform: Some("pn-platform".to_owned()),
            platforms: Vec::new(),
            provider: None,
        }
    }

    /// What apps made for Kazoo's pusher send, by the examples of its documentation (2600hz/kazoo, applications/pusher).
    pub fn kazoo() -> Self {
        let platforms = [
            ("apple-dev", Provider::ApnsSandbox),
            ("apple", Provider::Apns),
            ("firebase", Provider::Fcm),
        ];
        Self {
            voip_token: "pn-tok".to_owned(),
            im_token: None,
            app_id: Some("app-id".to_owned()),
            platform: Some("pn-type".to_owned()),
            platforms: platforms.map(|(word, provider)| (word.to_owned(), provider)).into(),
            ..Self::mod_apn()
        }
    }

    /// What older apps with Linphone's SDK send: fswake reads it without being told, so this is only for exceptions from
    /// it (BelledonneCommunications/linphone-iphone#282 has a REGISTER).
    pub fn linphone() -> Self {
        Self {
            platforms: Vec::new(),
            ..Self::kazoo()
        }
    }

    /// The provider for a platform in this set, if the operator configured one.
    pub(super) fn provider_of(&self, platform: Option<&str>) -> Option<Provider> {
        let Some(platform) = platform else {
            return self.provider.clone();
        };
        let own = self
            .platforms
            .iter()
            .find(|(word, _)| word.eq_ignore_ascii_case(platform));
        own.map(|(_, provider)| provider.clone())
    }

    /// Whether the set is for phones with this `User-Agent`.
    pub(super) fn is_for(&self, user_agent: &str) -> bool {
        if let Some(Pattern(regex)) = &self.user_agent_regex
            && !regex.is_match(user_agent)
        {
            return false;
        }
        let Some(wanted) = &self.user_agent else { return true };
        let (wanted, given) = (wanted.as_bytes(), user_agent.as_bytes());
        wanted.is_empty()
            || given
                .windows(wanted.len())
                .any(|part| part.eq_ignore_ascii_case(wanted))
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        let optional = [&self.im_token, &self.app_id, &self.platform];
        std::iter::once(self.voip_token.as_str()).chain(optional.into_iter().filter_map(Option::as_deref))
    }
}

/// The parameters with the keys of a web push subscription: RFC 8599 names none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebPushNames {
    /// The one with the phone's public key (`p256dh` of a browser's subscription).
    pub p256dh: String,
    /// The one with the authentication secret (`auth`).
    pub auth: String,
}

impl Default for WebPushNames {
    fn default() -> Self {
        Self {
            p256dh: "pn-p256dh".to_owned(),
            auth: "pn-auth".to_owned(),
        }
    }
}

/// The names of push parameters, and the configured app ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParamNames {
    /// The parameter sets for Contacts without RFC 8599 parameters: the first that fits counts.
    ///
    /// Linphone's old set (`app-id`, `pn-type`, `pn-tok`) is always known and is the last.
    pub sets: Vec<ParamSet>,
    /// The configured apps: they decide between two readings.
    pub apps: AppIds,
    /// The keys of web push subscriptions.
    pub web_push: WebPushNames,
}

/// The configured app ids, each with the provider of its devices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppIds(pub Vec<(Provider, String)>);

impl AppIds {
    /// The configured id that one of these stands for: the first that is configured as it is, else the first that is
    /// one with a team or a service.
    pub(super) fn find(&self, provider: &Provider, sent: &[&str]) -> Option<&str> {
        let of_provider = self.0.iter().filter(|(own, _)| own == provider);
        app_id::find(provider, sent, &of_provider.map(|(_, id)| id.as_str()))
    }

    /// The provider of the only app that this id can be.
    pub(super) fn provider_of(&self, sent: &str) -> Option<&Provider> {
        let mut meant = self.0.iter().filter(|(own, id)| app_id::stands_for(own, sent, id));
        let (provider, _) = meant.next()?;
        meant.all(|(other, _)| other == provider).then_some(provider)
    }
}

/// How Contacts are parsed and written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContactRules {
    /// Operator-named push parameters.
    pub names: ParamNames,
    /// Whether push parameters are removed from dial-strings.
    pub strip_push: bool,
}

impl Default for ParamNames {
    /// The names of mod_apn.
    fn default() -> Self {
        vec![ParamSet::mod_apn()].into()
    }
}

impl From<Vec<ParamSet>> for ParamNames {
    fn from(sets: Vec<ParamSet>) -> Self {
        Self {
            sets,
            apps: AppIds::default(),
            web_push: WebPushNames::default(),
        }
    }
}

impl ParamNames {
    /// Whether a parameter holds a token.
    pub fn is_token(&self, name: &str) -> bool {
        let of = |set: &'_ ParamSet| [Some(set.voip_token.clone()), set.im_token.clone()];
        let own = self.sets.iter().flat_map(of).flatten();
        ["pn-prid", "pn-tok"]
            .into_iter()
            .map(str::to_owned)
            .chain(own)
            .any(|token| token.eq_ignore_ascii_case(name))
    }

    /// Whether a parameter is for pushing, so that no other party needs to see it (RFC 8599 section 4.1.3).
    pub fn is_push(&self, name: &str) -> bool {
        let pn = name
            .as_bytes()
            .get(..3)
            .is_some_and(|start| start.eq_ignore_ascii_case(b"pn-"));
        let of_web_push = [&self.web_push.p256dh, &self.web_push.auth];
        pn || name.eq_ignore_ascii_case("app-id")
            || of_web_push.iter().any(|own| own.eq_ignore_ascii_case(name))
            || self
                .sets
                .iter()
                .flat_map(ParamSet::names)
                .any(|own| own.eq_ignore_ascii_case(name))
    }
}
