//! Validates every section except apps.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::error::In;
use super::secrets::{Files, MissingFile};
use super::settings::{ClusterConfig, Config, Environment, Listen, LogConfig, LogFormat, StoreConfig};
use super::values::{CheckResult, duration, is_name, is_of_a_name, is_word, list, on_unregister};
use super::{app, http, nodes, raw};
use crate::engine::Mode;
use crate::engine::policy::{Alert, Decline, Policy};
use crate::postgres::{Dsn, split_scheme};

const FILTER: &str = "info,freeswitch_esl_tokio=off,hyper=warn,reqwest=warn,h2=warn";
const DAY: u64 = 24 * 3_600;

/// Checks all of it.
pub(super) fn config(
    raw: raw::Raw,
    file: Option<&Path>,
    env: &Environment,
    missing: MissingFile,
) -> CheckResult<Config> {
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
    let freeswitches = nodes::freeswitches(at, files, raw.freeswitch)?;
    let has_freeswitch = freeswitches.enabled;
    policy.nodes = nodes::policies(&freeswitches.all);
    policy.registrations_are_told = !has_freeswitch;
    if !has_freeswitch && raw.http.addresses.as_ref().is_some_and(Vec::is_empty) {
        let allowed = "at least one address: without FreeSWITCH, all comes by HTTP";
        return Err(at.plain("http.addresses", "[]", allowed));
    }
    let config = Config {
        file: file.map(Path::to_owned),
        notes: Vec::new(),
        unread: Vec::new(),
        has_freeswitch,
        cluster: ClusterConfig {
            name: cluster_name(at, raw.cluster.name, env)?,
            key: nodes::cluster_key(at, files, raw.cluster.key_file, &freeswitches.all)?,
        },
        freeswitch: freeswitches.all,
        listen: listen(at, raw.listen)?,
        policy,
        contact: super::contact::rules(at, raw.contact, &apps.apps)?,
        notification_events: raw.notifications.events.unwrap_or(true),
        store: StoreConfig {
            path: store_path(at, raw.store.path, env)?,
            shared: shared_store(at, files, raw.store.url, raw.store.password_file)?,
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

fn policy(at: In<'_>, wake: &raw::WakeSection, aor: &raw::AorNames) -> CheckResult<Policy> {
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

/// Reads `mode` and `wait-for`. The second without the first is an error.
fn mode(at: In<'_>, wake: &raw::WakeSection) -> CheckResult<Mode> {
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

fn domain_aliases(at: In<'_>, aor: &raw::AorNames) -> CheckResult<Vec<(String, String)>> {
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

fn listen(at: In<'_>, raw: raw::Listen) -> CheckResult<Listen> {
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

fn store_path(at: In<'_>, path: Option<String>, env: &Environment) -> CheckResult<PathBuf> {
    let path = path.unwrap_or_else(|| Environment::STORE.into());
    if path.is_empty() || path.ends_with('/') {
        return Err(at.wrong("store.path", path, "the name of a file"));
    }
    Ok(env.state_file(&path))
}

/// The shared store. Its password is in a file of its own, because other users can often read the configuration.
fn shared_store(
    at: In<'_>,
    files: Files<'_>,
    url: Option<String>,
    password: Option<String>,
) -> CheckResult<Option<Dsn>> {
    const KEY: &str = "store.url";
    const ALLOWED: &str = r#""postgresql://user@host/database" (the password is in store.password-file)"#;
    let Some(url) = url else {
        return match password {
            None => Ok(None),
            Some(file) => Err(at.wrong(
                "store.password-file",
                file,
                "set store.url too: nothing else needs this password",
            )),
        };
    };
    // The URL may have a password, so that no message shows it.
    let hidden = |allowed: String| at.plain(KEY, "(not shown)", allowed);
    let is_postgresql = matches!(split_scheme(&url), Some(("postgres" | "postgresql", _)));
    let read = Dsn::read(&url, None).map_err(|e| hidden(format!("{ALLOWED}: {e}")))?;
    if !is_postgresql || read.has_password() {
        return Err(hidden(ALLOWED.into()));
    }
    let password = match password {
        None => None,
        Some(name) => files.secret(at, "store.password-file", &name)?.1,
    };
    let dsn = Dsn::read(&url, password.as_deref()).map_err(|e| hidden(format!("{ALLOWED}: {e}")))?;
    let dsn = dsn.with_tls().for_writing();
    for key in &dsn.unused {
        files.note(format!("{KEY}: {key} is not used"));
    }
    if dsn.is_unencrypted() {
        files.note(format!(
            "{KEY}: sslmode=disable: all push tokens cross the network to {} unencrypted; leave sslmode out",
            dsn.place()
        ));
    }
    Ok(Some(dsn))
}

/// The daemon's name; by default that of its host.
fn cluster_name(at: In<'_>, name: Option<String>, env: &Environment) -> CheckResult<Arc<str>> {
    const LONGEST: usize = 40;
    let Some(name) = name else {
        let host = env.host.chars().take(LONGEST);
        let host: String = host.map(|c| if is_of_a_name(c) { c } else { '-' }).collect();
        return Ok(if host.is_empty() { "fswake".into() } else { host.into() });
    };
    if !is_name(&name, LONGEST) {
        let allowed = r#"one short word of letters, digits, "-", "_" and ".", as in "fswake-1", up to 40 characters"#;
        return Err(at.wrong("cluster.name", name, allowed));
    }
    Ok(name.into())
}

fn journal_max_lines(at: In<'_>, lines: Option<u64>) -> CheckResult<u64> {
    let lines = lines.unwrap_or(5_000_000);
    if !(1_000..=1_000_000_000).contains(&lines) {
        return Err(at.wrong("store.journal-max-lines", lines, "a number from 1000 to 1000000000"));
    }
    Ok(lines)
}

fn log(at: In<'_>, raw: raw::Log, env: &Environment) -> CheckResult<LogConfig> {
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
