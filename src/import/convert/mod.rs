//! Converts mod_apn's configuration. Pure.
//!
//! The result is a file that `fswake check` accepts. Its comments show where each value comes from, what has no
//! equivalent, and what was unsafe and has become safe. A profile that cannot be read becomes a comment.

mod names;
mod page;
mod profile;
mod template;

use std::collections::BTreeMap;

use self::names::{APP, secret_file, unknown_names};
use self::page::Page;
use super::apn_conf::{ApnConf, Params};
use crate::types::{Printable, Provider, Secret};

/// mod_apn's names for the Contact's parameters, its settings, fswake's, and the defaults.
const CONTACT: [(&str, &str, &str); 4] = [
    ("contact_voip_token_param", "voip-token", "pn-voip-tok"),
    ("contact_im_token_param", "im-token", "pn-im-tok"),
    ("contact_app_id_param", "app-id", "app-id"),
    ("contact_platform_param", "platform", "pn-platform"),
];

/// What is known in addition to mod_apn's configuration.
#[derive(Clone, Debug, Default)]
pub struct ImportContext {
    /// The configuration's name, for the first line.
    pub file: String,
    /// The store that the tokens were copied into, where it is not the usual one.
    pub store: Option<String>,
    /// What phones call their platforms, from their tokens' rows.
    pub platforms: BTreeMap<Provider, String>,
}

/// The new configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvertedConfig {
    /// The text of `fswake.toml`.
    pub toml: String,
    /// Files next to it that it names, one line each.
    pub secrets: Vec<(String, Secret)>,
    /// What an operator has to check: something is left out or unknown.
    pub warnings: Vec<String>,
}

/// Writes the new configuration.
pub fn convert(conf: &ApnConf, context: &ImportContext) -> ConvertedConfig {
    let mut page = Page::default();
    page.comment(&format!(
        "fswake's configuration, made by `fswake-import-mod-apn` from {}. Numbers are lines of that file.",
        Printable(&context.file)
    ));
    page.comment("Every other key, with its default, is in fswake.example.toml. `fswake check` checks this file.");
    let mut all = Conversion {
        page,
        secrets: Vec::new(),
        warnings: Vec::new(),
    };
    all.not_taken(conf);
    all.wake();
    all.contact(&conf.settings);
    if let Some(store) = &context.store {
        all.page.section("[store]");
        all.page.set("path", store.as_str());
    }
    all.app(conf, &context.platforms);
    ConvertedConfig {
        toml: all.page.finish(),
        secrets: all.secrets,
        warnings: all.warnings,
    }
}

/// What is being written.
struct Conversion {
    page: Page,
    secrets: Vec<(String, Secret)>,
    warnings: Vec<String>,
}

impl Conversion {
    /// Writes a warning into the file, and prints it.
    fn warn(&mut self, text: String) {
        self.page.comment(&text);
        self.warnings.push(text);
    }

    /// Writes what has no equivalent, first of all.
    fn not_taken(&mut self, conf: &ApnConf) {
        self.page.gap();
        if let Some(dsn) = conf.settings.get("odbc_dsn") {
            let named = unknown_names(&dsn.unknown);
            let named = if named.is_empty() {
                String::new()
            } else {
                format!(" ({named})")
            };
            self.page.comment(&format!(
                "odbc_dsn ({}){named}: fswake keeps its devices in a file of its own. `fswake-import-mod-apn --db ..` copies mod_apn's tokens.",
                dsn.line
            ));
        }
        let unknown = conf
            .settings
            .unknown
            .iter()
            .map(|(line, name)| (line, name, "the settings"));
        for (line, name, place) in unknown {
            let text = format!(
                "{} ({line}) in {place}: left out, because mod_apn does not know it either.",
                Printable(name)
            );
            self.page.comment(&text);
        }
        for (line, what) in &conf.not_done {
            self.warn(format!(
                "{} ({line}): not carried out. What it would set or include is missing below.",
                Printable(what)
            ));
        }
    }

    fn wake(&mut self) {
        self.page.section("[wake]");
        self.page.comment("mod_apn waits as long as originate_timeout, and 60 s without it (its fork at most 30 s). fswake waits as long");
        self.page
            .comment("as originate_timeout or call_timeout says, but never longer than this.");
        self.page.set("max-wait", "60s");
        self.page.comment(
            "mod_apn keeps the token of a phone that un-REGISTERs. \"forget\" would drop it: the user has logged out.",
        );
        self.page.set("on-unregister", "keep");
    }

    fn contact(&mut self, settings: &Params) {
        let own: Vec<_> = CONTACT
            .iter()
            .filter_map(|(theirs, ours, default)| Some((*theirs, *ours, *default, settings.get(theirs)?)))
            .collect();
        if own
            .iter()
            .all(|(_, _, default, value)| value.text.eq_ignore_ascii_case(default))
        {
            self.page.gap();
            self.page.comment("The Contact's parameters have mod_apn's usual names, which fswake knows; it reads RFC 8599's and Linphone's as well.");
        } else {
            self.page.section("[[contact.params]]");
        }
        for (theirs, ours, default, value) in own {
            if !value.unknown.is_empty() {
                self.warn(format!(
                    "{theirs} ({}): {}. {default:?} is assumed.",
                    value.line,
                    unknown_names(&value.unknown)
                ));
            } else if !is_parameter(&value.text) {
                self.warn(format!(
                    "{theirs} ({}): {:?} is not a name for a URI parameter. {default:?} is assumed.",
                    value.line,
                    Printable(&value.text).to_string()
                ));
            } else if !value.text.eq_ignore_ascii_case(default) {
                self.page.comment(&format!("{theirs} ({}).", value.line));
                self.page.set(ours, value.text.as_str());
            }
        }
        for (theirs, _, default) in CONTACT {
            if settings.get(theirs).is_none() && theirs != "contact_im_token_param" {
                self.warn(format!(
                    "{theirs} is missing: mod_apn does not start without it. {default:?} is assumed."
                ));
            }
        }
    }

    fn app(&mut self, conf: &ApnConf, platforms: &BTreeMap<Provider, String>) {
        let mut profiles: BTreeMap<&str, _> = BTreeMap::new();
        for profile in &conf.profiles {
            if let Some(earlier) = profiles.insert(profile.name.as_str(), profile) {
                self.warn(format!(
                    "Profile \"{}\" ({}): there is another of that name ({}), which mod_apn uses.",
                    Printable(&profile.name),
                    earlier.line,
                    profile.line
                ));
            }
        }
        let read: Vec<_> = ["voip", "im"]
            .into_iter()
            .filter_map(|kind| Some((kind, profile::read(kind, profiles.remove(kind)?))))
            .collect();
        let good = read.iter().any(|(_, profile)| profile.left_out.is_none());
        if good {
            self.page.section("[[app]]");
            self.page.comment("mod_apn's push server, for phones of every app and provider. To push to Apple and Google without it, put");
            self.page
                .comment("apps with provider \"apns\" and \"fcm\" above this one (fswake.example.toml).");
            self.page.set("name", APP);
            self.page.set("provider", "http");
            self.page
                .comment("The value of ${payload} for a call. mod_apn sent one fixed object.");
            self.page.set("payload", "mod_apn");
            self.platforms(platforms);
        }
        for (kind, profile) in read {
            self.profile(kind, profile);
        }
        for (name, profile) in profiles {
            self.page.gap();
            self.warn(format!(
                "Profile \"{}\" ({}): left out. fswake pushes for calls (voip) and for messages (im).",
                Printable(name),
                profile.line
            ));
        }
        if !good {
            self.page.gap();
            self.warn("There is no push server: fswake only logs what it would push.".to_owned());
        }
    }

    fn platforms(&mut self, words: &BTreeMap<Provider, String>) {
        let usual = |provider: &Provider| match provider {
            Provider::Apns | Provider::ApnsSandbox => "iOS".to_owned(),
            Provider::Fcm => "android".to_owned(),
            other => other.name().to_owned(),
        };
        let own: toml::Table = words
            .iter()
            .filter(|(provider, word)| usual(provider) != **word)
            .map(|(provider, word)| (provider.name().to_owned(), word.as_str().into()))
            .collect();
        if !own.is_empty() {
            self.page
                .comment("The platform names that most of mod_apn's phones send: the values of ${platform}.");
            self.page.set("platforms", own);
        }
    }

    fn profile(&mut self, kind: &str, profile: profile::ProfileText) {
        if let Some(why) = &profile.left_out {
            self.page.gap();
            self.warn(format!("Profile {kind:?} ({}): left out, {why}", profile.line));
            return;
        }
        self.page.section(&format!("[app.{kind}]"));
        self.page.comment(&format!("Profile {kind:?} ({}).", profile.line));
        for lines in profile.lines {
            match lines {
                profile::ProfileLine::Comment(text) => self.page.comment(&text),
                profile::ProfileLine::Warning(text) => self.warn(format!("Profile {kind:?}: {text}")),
                profile::ProfileLine::Set(key, value) => self.page.set(key, value),
            }
        }
        if let Some(secret) = profile.secret {
            self.secrets.push((secret_file(kind), secret));
        }
    }
}

/// What fswake accepts as the name of a URI parameter.
fn is_parameter(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.!~*'+".contains(&b))
}
