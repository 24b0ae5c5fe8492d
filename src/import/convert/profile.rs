//! One profile of mod_apn's, as fswake's keys and the comments on each.

use super::names::{secret_file, unknown_names};
use super::template::{self, FORM};
use crate::import::apn_conf::{ParamValue, Params, Profile};
use crate::push::template::{JSON, UrlTemplate, is_media_type};
use crate::push::transport::retry::TRY_LIMIT;
use crate::types::{Printable, Secret};

/// A profile as it is written.
#[derive(Debug)]
pub(super) struct ProfileText {
    /// Where it was.
    pub line: usize,
    /// Why it cannot be used, if it cannot.
    pub left_out: Option<String>,
    /// Keys and comments, in order.
    pub lines: Vec<ProfileLine>,
    /// Its `auth_data`.
    pub secret: Option<Secret>,
}

/// One line of it.
#[derive(Debug)]
pub(super) enum ProfileLine {
    Comment(String),
    /// A comment that the operator must see.
    Warning(String),
    Set(&'static str, toml::Value),
}

/// Reads a profile, for calls (`voip`) or messages (`im`).
pub(super) fn read(kind: &str, profile: &Profile) -> ProfileText {
    let mut read = ProfileText {
        line: profile.line,
        left_out: None,
        lines: Vec::new(),
        secret: None,
    };
    read.left_out = read.all(kind, &profile.params).err();
    read
}

impl ProfileText {
    fn comment(&mut self, text: impl Into<String>) {
        self.lines.push(ProfileLine::Comment(text.into()));
    }

    fn warn(&mut self, text: impl Into<String>) {
        self.lines.push(ProfileLine::Warning(text.into()));
    }

    fn set(&mut self, key: &'static str, value: impl Into<toml::Value>) {
        self.lines.push(ProfileLine::Set(key, value.into()));
    }

    fn all(&mut self, kind: &str, params: &Params) -> Result<(), String> {
        let method = known("method", params)?.map(|value| value.text.to_ascii_lowercase());
        let method = method.ok_or("it has no method: mod_apn reads neither it nor any profile after it.")?;
        if !matches!(method.as_str(), "get" | "post") {
            return Err(format!(
                "its method is {:?}: mod_apn takes get and post only, and reads no profile after it.",
                Printable(&method).to_string()
            ));
        }
        let user = self.url(params)?;
        self.set("method", method.as_str());
        self.auth(kind, params, user)?;
        if method == "post" {
            self.body(params)?;
        } else if params.get("post_data_template").is_some() {
            self.comment("post_data_template: a GET has no body.");
        }
        self.timeouts(params);
        for (line, name) in &params.unknown {
            self.comment(format!(
                "{} ({line}): left out, because mod_apn does not know it either.",
                Printable(name)
            ));
        }
        Ok(())
    }

    /// Returns the user and password that it contained.
    fn url(&mut self, params: &Params) -> Result<Option<String>, String> {
        let written = known("url", params)?;
        let written = written.ok_or("it has no url: mod_apn reads neither it nor any profile after it.")?;
        let (url, user) = template::url(&written.text).map_err(|why| format!("its url ({}): {why}.", written.line))?;
        self.comment(format!(
            "url ({}). Values are percent-encoded now: they were pasted. Redirects are not followed: mod_apn took the token and the \
             password along, fifteen times.",
            written.line
        ));
        self.dropped(&url.dropped);
        if url.template.starts_with("https:") {
            self.comment(
                "The server's certificate is checked now, mod_apn checks none. If it is not one that the system trusts, name its authority \
                 with ca-file above, in [[app]]. `insecure = true` is mod_apn's way.",
            );
        } else if UrlTemplate::parse(&url.template).is_ok_and(|url| !url.is_loopback()) {
            self.warn("http:// sends tokens unencrypted. Use https://.");
        }
        if has_key(&url.template) {
            self.warn("its url seems to hold a key: anyone who can read this file can read it. auth-type = \"header\" takes one from a file.");
        }
        self.set("url", url.template.as_str());
        Ok(user)
    }

    fn auth(&mut self, kind: &str, params: &Params, user: Option<String>) -> Result<(), String> {
        let auth = known("auth_type", params)?;
        let data = known("auth_data", params)?;
        let (word, secret, line) = match (auth, data, user) {
            (Some(auth), data, user) if !auth.text.eq_ignore_ascii_case("none") => {
                let word = auth.text.to_ascii_lowercase();
                if !matches!(word.as_str(), "jwt" | "basic" | "digest") {
                    self.warn(format!(
                        "auth_type ({}) is {:?}, which mod_apn treats as none.",
                        auth.line,
                        Printable(&auth.text).to_string()
                    ));
                    return Ok(());
                }
                let Some(data) = data else {
                    self.warn(format!(
                        "auth_type ({}) has no auth_data: mod_apn treats that as none.",
                        auth.line
                    ));
                    return Ok(());
                };
                if user.is_some() {
                    self.comment("The user and password in the url were not sent either: auth_data goes before them.");
                }
                (word, data.text.clone(), data.line)
            }
            (_, _, Some(user)) => {
                self.comment("The url held user and password.");
                ("basic".to_owned(), user, params.get("url").map_or(0, |url| url.line))
            }
            (_, data, None) => {
                if let Some(data) = data {
                    self.comment(format!("auth_data ({}) is not used: there is no auth_type.", data.line));
                }
                return Ok(());
            }
        };
        let (word, secret) = (word.as_str(), secret.trim());
        let needs_colon = word != "jwt";
        if needs_colon && secret.split_once(':').is_none_or(|(user, _)| user.is_empty()) {
            return Err(format!(
                "its auth_data ({line}) is not user:password, which {word} needs."
            ));
        }
        if secret.contains(char::is_control) || (!needs_colon && !secret.is_ascii()) {
            return Err(format!(
                "its auth_data ({line}) holds characters that no header can carry."
            ));
        }
        self.comment(format!(
            "The secret (line {line}) is in a file of its own, which only its owner can read."
        ));
        self.set("auth-type", word);
        self.set("auth-file", secret_file(kind));
        self.secret = Some(Secret::new(secret));
        Ok(())
    }

    fn body(&mut self, params: &Params) -> Result<(), String> {
        let content_type = known("content_type", params)?;
        let own = content_type.map(|value| value.text.as_str());
        let Some(written) = known("post_data_template", params)? else {
            let line = content_type.map_or_else(String::new, |value| format!(" (content_type: {})", value.line));
            self.comment(format!(
                "No post_data_template: mod_apn's own body{line}. It lacks a comma there, and is JSON here; the server got it as \
                 {FORM}."
            ));
            self.set("content-type", JSON);
            return Ok(());
        };
        let body = template::body(&written.text, own.filter(|own| is_media_type(own)))
            .map_err(|why| format!("its post_data_template ({}): {why}.", written.line))?;
        let is = body.template.content_type;
        match own {
            Some(own) if own == is => self.comment(format!("content_type ({}).", content_type.map_or(0, |v| v.line))),
            Some(own) => self.warn(format!(
                "content_type is {:?}, which post_data_template ({}) is not.",
                Printable(own).to_string(),
                written.line
            )),
            None if is == FORM => self.comment("No content_type: mod_apn sends every body as a form, and this one is."),
            None => self.warn(format!(
                "there is no content_type, so that mod_apn sends post_data_template ({}) as {FORM}, which it is not.",
                written.line
            )),
        }
        self.set("content-type", is.as_str());
        self.comment(format!(
            "post_data_template ({}). Values are encoded as its content-type needs it; mod_apn pasted them.",
            written.line
        ));
        self.dropped(&body.dropped);
        self.set("body", body.template.text.as_str());
        Ok(())
    }

    fn dropped(&mut self, names: &[String]) {
        for name in names {
            self.warn(format!("{name} has no equivalent: it is left empty."));
        }
    }

    /// mod_apn's seconds; 0 is no limit. A push that takes longer than a few seconds is too late for the caller.
    fn timeouts(&mut self, params: &Params) {
        for (theirs, ours) in [("connect_timeout", "connect-timeout"), ("timeout", "timeout")] {
            let Some(value) = params.get(theirs) else { continue };
            let written = value.text.trim();
            let digits = written.len() - written.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let seconds: u64 = written[..digits].parse().unwrap_or_default();
            if (1..=60).contains(&seconds) {
                self.comment(format!("{theirs} ({}).", value.line));
                self.set(ours, format!("{seconds}s"));
            } else {
                let was = match seconds {
                    0 => "without end".to_owned(),
                    long => format!("{long} s"),
                };
                self.comment(format!(
                    "{theirs} ({}): mod_apn waited {was}, and FreeSWITCH's events with it. One try has {} s here, and is made again \
                     inside the wait.",
                    value.line,
                    TRY_LIMIT.as_secs()
                ));
            }
        }
    }
}

/// A parameter whose variables are all known.
fn known<'a>(name: &str, params: &'a Params) -> Result<Option<&'a ParamValue>, String> {
    match params.get(name) {
        Some(value) if !value.unknown.is_empty() => Err(format!(
            "its {name} ({}): {}. Name the file that sets it with --vars.",
            value.line,
            unknown_names(&value.unknown)
        )),
        other => Ok(other),
    }
}

/// Whether a query has a fixed value whose name suggests a secret.
fn has_key(url: &str) -> bool {
    let query = url.split_once('?').map(|(_, query)| query).unwrap_or_default();
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .any(|(key, value)| {
            let key = key.to_ascii_lowercase();
            let secret = ["key", "secret", "token", "password", "auth"]
                .iter()
                .any(|word| key.contains(word));
            secret && !value.is_empty() && !value.contains("${")
        })
}
