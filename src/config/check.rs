//! Validates every section except apps.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::error::In;
use super::{
    Config, ConfigError, Environment, For, Listen, LogConfig, LogFormat, StoreConfig, Unread, app, http, raw, text,
};
use crate::engine::Mode;
use crate::engine::policy::{Alert, Decline, OnUnregister, Policy};
use crate::esl::inbound::Endpoint;
use crate::files::{self, FileError};
use crate::types::Secret;

pub(super) type Checked<T> = Result<T, ConfigError>;

/// FreeSWITCH's own default password.
const PASSWORD: &str = "ClueCon";
const FILTER: &str = "info,freeswitch_esl_tokio=off,hyper=warn,reqwest=warn,h2=warn";
const DAY: u64 = 24 * 3_600;

/// What a file is that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// An error.
    IsWrong,
    /// Named in [`Config::unread`].
    IsNoted,
}

/// Checks all of it.
pub(super) fn config(raw: raw::Raw, file: Option<&Path>, env: &Environment, missing: Missing) -> Checked<Config> {
    let name = file.map_or_else(|| "built-in configuration".into(), |f| f.display().to_string());
    let at = In { file: &name };
    let (notes, unread) = (RefCell::new(Vec::new()), RefCell::new(Vec::new()));
    let files = Files {
        config: file.and_then(Path::parent).unwrap_or(Path::new("")),
        credentials: env.credentials_directory.as_deref(),
        notes: &notes,
        missing,
        unread: &unread,
    };
    let mut policy = policy(at, &raw.wake, &raw.aor)?;
    policy.token_ttl = duration(
        at,
        "store.token-ttl",
        raw.store.token_ttl.as_deref(),
        policy.token_ttl,
        "1h",
        "3650d",
    )?;
    policy.notification_ttl = duration(
        at,
        "notifications.ttl",
        raw.notifications.ttl.as_deref(),
        policy.notification_ttl,
        "0s",
        "28d",
    )?;
    if let Some(most) = raw.notifications.device_per_minute {
        policy.device_notifications_per_minute = most;
    }
    let on_unregister = on_unregister(at, "wake.on-unregister", raw.wake.on_unregister.as_deref())?.unwrap_or_default();
    let apps = app::apps(at, files, raw.app, on_unregister)?;
    policy.apps = apps.policies;
    let config = Config {
        file: file.map(Path::to_owned),
        notes: Vec::new(),
        unread: Vec::new(),
        freeswitch: freeswitch(at, files, raw.freeswitch)?,
        listen: listen(at, raw.listen)?,
        policy,
        contact: super::contact::rules(at, raw.contact, &apps.apps)?,
        notification_events: raw.notifications.events.unwrap_or(true),
        store: StoreConfig {
            path: store_path(at, raw.store.path, env)?,
            journal_keep: duration(
                at,
                "store.journal-keep",
                raw.store.journal_keep.as_deref(),
                Duration::from_secs(30 * DAY),
                "0s",
                "3650d",
            )?,
            journal_max_lines: journal_max_lines(at, raw.store.journal_max_lines)?,
        },
        http: http::http(at, files, raw.http)?,
        log: log(at, raw.log, env)?,
        drain_timeout: duration(
            at,
            "run.drain-timeout",
            raw.run.drain_timeout.as_deref(),
            Duration::from_secs(30),
            "0s",
            "1h",
        )?,
        apps: apps.apps,
    };
    Ok(Config {
        notes: notes.into_inner(),
        unread: unread.into_inner(),
        ..config
    })
}

/// Where relative names of secrets are looked for, and what was odd about the files.
#[derive(Clone, Copy, Debug)]
pub(super) struct Files<'a> {
    config: &'a Path,
    credentials: Option<&'a Path>,
    notes: &'a RefCell<Vec<String>>,
    missing: Missing,
    unread: &'a RefCell<Vec<Unread>>,
}

impl Files<'_> {
    /// The file that a name means: beside the configuration, unless systemd has it among the credentials.
    pub fn resolve(&self, name: &str) -> PathBuf {
        let credential = self.credentials.map(|dir| dir.join(name)).filter(|path| path.exists());
        credential.unwrap_or_else(|| self.config.join(name))
    }

    /// Where a name was looked for, for who may not read what was found or not.
    fn places(&self, name: &str) -> String {
        if Path::new(name).is_absolute() {
            return String::new();
        }
        let beside = match self.config.to_str() {
            None | Some("") => "the working directory".into(),
            Some(folder) => folder.to_owned(),
        };
        match self.credentials {
            Some(credentials) => format!(" (looked for in {} and {beside})", credentials.display()),
            None => format!(" (looked for in {beside}; systemd's credentials are given to the daemon only)"),
        }
    }

    /// Reads a file by one of the ways of [`crate::files`]; its path as well. `None`: it cannot be read, and need not be.
    pub fn read<T>(
        &self,
        at: In<'_>,
        key: &str,
        name: &str,
        read: fn(&Path) -> Result<T, FileError>,
    ) -> Checked<(PathBuf, Option<T>)> {
        let path = self.resolve(name);
        match read(&path) {
            Ok(content) => Ok((path, Some(content))),
            Err(FileError::Unread(e)) if self.missing == Missing::IsNoted => {
                let mut error = at.unreadable(key, &path, &e);
                error.allowed += &self.places(name);
                let is_credential = Path::new(name).is_relative() && self.credentials.is_none();
                self.unread.borrow_mut().push(Unread {
                    error,
                    to: match e.kind() {
                        ErrorKind::PermissionDenied => For::AnotherUser,
                        ErrorKind::NotFound if is_credential => For::Systemd,
                        _ => For::Nobody,
                    },
                });
                Ok((path, None))
            }
            Err(FileError::Unread(e)) => Err(at.unreadable(key, &path, &e)),
            Err(other) => Err(at.plain(key, path.display().to_string(), other.to_string())),
        }
    }

    /// Reads a secret on a line of its own. A blank at its ends is part of it, and worth saying.
    pub fn secret(&self, at: In<'_>, key: &str, name: &str) -> Checked<(PathBuf, Option<String>)> {
        let (path, line) = self.read(at, key, name, files::line)?;
        if line.as_ref().is_some_and(|line| line.has_outer_blank) {
            self.note(format!(
                "{key}: {}: its line begins or ends with a blank, which is part of the secret",
                path.display()
            ));
        }
        Ok((path, line.map(|line| line.text)))
    }

    /// Something that an operator should know and that is not wrong.
    pub fn note(&self, note: String) {
        self.notes.borrow_mut().push(note);
    }
}

fn policy(at: In<'_>, wake: &raw::Wake, aor: &raw::AorNames) -> Checked<Policy> {
    let built_in = Policy::default();
    let time =
        |key, value: &Option<raw::Time>, default, min, max| duration(at, key, value.as_deref(), default, min, max);
    let push_retries = wake.push_retries.unwrap_or(built_in.push_retries);
    if push_retries > 10 {
        return Err(at.wrong("wake.push-retries", push_retries, "a number from 0 to 10"));
    }
    Ok(Policy {
        fresh_for: time("wake.fresh-for", &wake.fresh_for, built_in.fresh_for, "0s", "1h")?,
        push_delay: time("wake.push-delay", &wake.push_delay, built_in.push_delay, "0s", "10s")?,
        push_retry: time("wake.push-retry", &wake.push_retry, built_in.push_retry, "500ms", "5m")?,
        push_retries,
        max_wait: time("wake.max-wait", &wake.max_wait, built_in.max_wait, "1s", "10m")?,
        settle_delay: time(
            "wake.settle-delay",
            &wake.settle_delay,
            built_in.settle_delay,
            "0s",
            "10s",
        )?,
        push_gap: time("wake.push-gap", &wake.push_gap, built_in.push_gap, "0s", "5m")?,
        debounce: time("wake.debounce", &wake.debounce, built_in.debounce, "0s", "30s")?,
        decline: match wake.decline.as_deref() {
            None => built_in.decline,
            Some("this-device") => Decline::ThisDevice,
            Some("all") => Decline::All,
            Some(other) => return Err(at.wrong("wake.decline", other, r#""this-device" or "all""#)),
        },
        alert: match wake.alert.as_deref() {
            None => built_in.alert,
            Some("push") => Alert::Push,
            Some("phone") => Alert::Phone,
            Some(other) => return Err(at.wrong("wake.alert", other, r#""push" or "phone""#)),
        },
        mode: mode(at, wake)?,
        device_pushes_per_minute: wake
            .device_pushes_per_minute
            .unwrap_or(built_in.device_pushes_per_minute),
        caller_pushes_per_minute: wake
            .caller_pushes_per_minute
            .unwrap_or(built_in.caller_pushes_per_minute),
        ignore_domain: aor.ignore_domain.unwrap_or(built_in.ignore_domain),
        domain_aliases: domain_aliases(at, aor)?,
        ..built_in
    })
}

/// `mode` and `wait-for`. Who only writes the second has forgotten the first.
fn mode(at: In<'_>, wake: &raw::Wake) -> Checked<Mode> {
    let only_wakes = match wake.mode.as_deref() {
        None | Some("connect") => false,
        Some("wake") => true,
        Some(other) => return Err(at.wrong("wake.mode", other, r#""connect" or "wake""#)),
    };
    match (only_wakes, wake.wait_for.as_deref()) {
        (false, None | Some("first")) => Ok(Mode::Connect),
        (true, None | Some("first")) => Ok(Mode::WakeFirst),
        (true, Some("all")) => Ok(Mode::WakeAll),
        (false, Some("all")) => Err(at.wrong("wake.wait-for", "all", r#""first", unless wake.mode is "wake""#)),
        (_, Some(other)) => Err(at.wrong("wake.wait-for", other, r#""first" or "all""#)),
    }
}

fn domain_aliases(at: In<'_>, aor: &raw::AorNames) -> Checked<Vec<(String, String)>> {
    let mut aliases: Vec<(String, String)> = Vec::new();
    for (alias, domain) in &aor.domain_aliases {
        let key = format!("aor.domain-aliases.{alias:?}");
        let is_alias = aor.domain_aliases.keys().any(|a| a.eq_ignore_ascii_case(domain));
        if is_alias || !is_word(domain) || !is_word(alias) {
            let allowed = "the domain that phones register with, not another alias";
            return Err(at.wrong(&key, domain, allowed));
        }
        aliases.push((alias.to_ascii_lowercase(), domain.to_ascii_lowercase()));
    }
    Ok(aliases)
}

fn freeswitch(at: In<'_>, files: Files<'_>, raw: raw::FreeSwitch) -> Checked<Endpoint> {
    let host = raw.host.unwrap_or_else(|| "127.0.0.1".into());
    if !is_word(&host) {
        return Err(at.wrong("freeswitch.host", host, "a host name or an address"));
    }
    let port = raw.port.unwrap_or(8021);
    if port == 0 {
        return Err(at.wrong("freeswitch.port", port, "a port from 1 to 65535"));
    }
    if let Some(user) = &raw.user
        && !(is_word(user)
            && !user.contains(':')
            && matches!(user.split_once('@'), Some((u, d)) if !u.is_empty() && !d.is_empty()))
    {
        return Err(at.wrong("freeswitch.user", user, r#""user@domain""#));
    }
    let password = match raw.password_file {
        None => PASSWORD.to_owned(),
        Some(name) => {
            let key = "freeswitch.password-file";
            files.secret(at, key, &name)?.1.unwrap_or_default()
        }
    };
    Ok(Endpoint {
        host,
        port,
        password: Secret::new(password),
        user: raw.user,
    })
}

fn listen(at: In<'_>, raw: raw::Listen) -> Checked<Listen> {
    let addresses = raw.addresses.unwrap_or_else(|| vec!["127.0.0.1:8084".into()]);
    let allow = raw
        .allow
        .unwrap_or_else(|| vec!["127.0.0.1/32".into(), "::1/128".into()]);
    Ok(Listen {
        addresses: list(
            at,
            "listen.addresses",
            &addresses,
            r#"at least one "address:port", as in "127.0.0.1:8084" or "[::1]:8084""#,
        )?,
        allow: list(
            at,
            "listen.allow",
            &allow,
            r#"at least one network, as in "127.0.0.1/32", "10.0.0.0/8" or "fd00::/8""#,
        )?,
    })
}

/// A list of at least one.
pub(super) fn list<T: std::str::FromStr>(at: In<'_>, key: &str, written: &[String], allowed: &str) -> Checked<Vec<T>> {
    if written.is_empty() {
        return Err(at.wrong(key, written, allowed));
    }
    let parse = |text: &String| text.parse().map_err(|_| at.wrong(key, text, allowed));
    written.iter().map(parse).collect()
}

fn store_path(at: In<'_>, path: Option<String>, env: &Environment) -> Checked<PathBuf> {
    let path = path.unwrap_or_else(|| Environment::STORE.into());
    if path.is_empty() || path.ends_with('/') {
        return Err(at.wrong("store.path", path, "the name of a file"));
    }
    Ok(env.state_file(&path))
}

fn journal_max_lines(at: In<'_>, lines: Option<u64>) -> Checked<u64> {
    let lines = lines.unwrap_or(5_000_000);
    if !(1_000..=1_000_000_000).contains(&lines) {
        return Err(at.wrong("store.journal-max-lines", lines, "a number from 1000 to 1000000000"));
    }
    Ok(lines)
}

fn log(at: In<'_>, raw: raw::Log, env: &Environment) -> Checked<LogConfig> {
    let format = match raw.format.as_deref() {
        None | Some("pretty") => LogFormat::Pretty,
        Some("json") => LogFormat::Json,
        Some("journald") => LogFormat::Journald,
        Some(other) => return Err(at.wrong("log.format", other, r#""pretty", "json" or "journald""#)),
    };
    let (at, key, filter) = match &env.log {
        Some(filter) => (In { file: "environment" }, "FSWAKE_LOG", filter.clone()),
        None => (at, "log.filter", raw.filter.unwrap_or_else(|| FILTER.into())),
    };
    if filter.is_empty() || EnvFilter::try_new(&filter).is_err() {
        let allowed = r#"levels and modules, as in "info" or "info,fswake::engine=debug""#;
        return Err(at.wrong(key, filter, allowed));
    }
    Ok(LogConfig { format, filter })
}

/// A duration within limits.
pub(super) fn duration(
    at: In<'_>,
    key: &str,
    written: Option<&str>,
    default: Duration,
    min: &str,
    max: &str,
) -> Checked<Duration> {
    let Some(written) = written else {
        return Ok(default);
    };
    let within = |d: &Duration| text::duration(min) <= Some(*d) && Some(*d) <= text::duration(max);
    text::duration(written).filter(within).ok_or_else(|| {
        let allowed = format!(r#"a duration from {min} to {max}, as in "500ms", "30s", "5m", "2h" or "60d""#);
        at.wrong(key, written, allowed)
    })
}

/// What an un-REGISTER means, where it is written.
pub(super) fn on_unregister(at: In<'_>, key: &str, written: Option<&str>) -> Checked<Option<OnUnregister>> {
    match written {
        None => Ok(None),
        Some("forget") => Ok(Some(OnUnregister::Forget)),
        Some("keep") => Ok(Some(OnUnregister::Keep)),
        Some(other) => Err(at.wrong(key, other, r#""forget" or "keep""#)),
    }
}

/// Whether a text is one word that can go on a line: not empty, no blanks, no controls.
pub(super) fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}
