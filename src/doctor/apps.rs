//! The apps: their files, their certificates, their providers, and the clock.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::advice::{BROKEN_FILE, advice};
use super::daemon::Known;
use super::{Check, Daemon, Evidence, State, Told};
use crate::clock::{span, unix_now};
use crate::config::Config;
use crate::files;
use crate::journal::Pattern;
use crate::push::app::{App, Credentials};
use crate::push::{Fault, Probe, Proof, PushErrorKind, Pushers, SetupError, certificates, other_bundle};

const FAMILY: &str = "apps";
/// The doctor signs its tokens while it runs: if one is "expired", the clock is wrong.
const CLOCK: PushErrorKind = PushErrorKind::Misconfigured(Fault::Clock);
const DAY: u64 = 86_400;
/// From here on an operator is told of a certificate's end.
const SOON_DAYS: u64 = 60;
/// A clock that is off by this much will be noticed by a provider sooner or later; Apple refuses tokens from the future.
const SKEW_NOTICED: Duration = Duration::from_secs(30);
const SKEW_REFUSED: Duration = Duration::from_secs(300);

pub(super) async fn checks(config: &Config, daemon: &Daemon, evidence: &mut Evidence) -> Vec<Check> {
    let mut checks = Vec::new();
    let (mut clocks, mut told_by) = (Vec::new(), Vec::new());
    let unread = |app: &App| {
        let key = format!("app.{}.", app.name);
        config.unread.iter().find(|unread| unread.error.key.starts_with(&key))
    };
    let (apps, closed): (Vec<&App>, Vec<&App>) = config.apps.iter().partition(|app| unread(app).is_none());
    for app in closed {
        checks.extend(unread(app).map(|error| super::not_by_this_user(FAMILY, app.name.clone(), error)));
    }
    // Each app by itself: one that cannot be set up says nothing of the others.
    let set_up: Vec<_> = apps
        .iter()
        .map(|app| Pushers::new(vec![(*app).clone()]).err())
        .collect();
    let is_probed = |app: &App, error: &Option<SetupError>| error.is_none() && !is_the_daemons(app, daemon);
    let probed_apps = apps.iter().zip(&set_up).filter(|(app, error)| is_probed(app, error));
    // Together, so that apps of one key share a token of it.
    let probed_apps: Vec<App> = probed_apps.map(|(app, _)| (*app).clone()).collect();
    let mut probes = match Pushers::new(probed_apps) {
        Ok(pushers) => {
            pushers.keep_tokens_beside(&config.store.path);
            pushers.probe().await
        }
        Err(error) => {
            let advice = "`fswake check` says the same; the daemon does not start with it";
            checks.push(Check::error(FAMILY, "configuration", error.to_string(), advice));
            Vec::new()
        }
    };
    for (app, error) in apps.into_iter().zip(set_up) {
        checks.extend(files(app, evidence));
        let name = app.name.clone();
        let known = daemon.knows(&app.name);
        let says = |evidence: &mut Evidence| known.map_or_else(Vec::new, |known| said(app, known, evidence));
        if let Some(error) = error {
            let advice = "`fswake check` says the same; the daemon does not start with it";
            checks.push(Check::error(FAMILY, name, error.to_string(), advice));
            continue;
        }
        if is_the_daemons(app, daemon) {
            checks.extend(match daemon {
                Daemon::Mute(why) => vec![not_tried(app, why)],
                _ => says(evidence),
            });
            told_by.extend(known.filter(|known| known.is_about_the_clock()).map(|_| name));
            continue;
        }
        let Some(at) = probes.iter().position(|(of, _)| **of == app.name) else {
            continue;
        };
        let Some(probe) = probes.swap_remove(at).1 else {
            checks.push(Check::ok(FAMILY, name, "writes to the log: nothing to reach"));
            continue;
        };
        let now = SystemTime::now();
        clocks.extend(probe.date.map(|date| skew(now, date)));
        if probe.outcome.as_ref().is_err_and(|error| error.kind() == CLOCK) {
            told_by.push(name);
        }
        match &probe.outcome {
            // What only pushes meet.
            Ok(_) if known.is_some_and(|known| !known.problems.is_empty()) => checks.extend(says(evidence)),
            _ => checks.push(probed(app, &probe, evidence)),
        }
    }
    checks.extend(clock(&clocks, &told_by));
    checks
}

/// Whether the app's provider is asked by the running daemon only: Apple takes one new token of a key in 20 minutes, and refuses
/// the pushes of whoever has another.
fn is_the_daemons(app: &App, daemon: &Daemon) -> bool {
    let is_key = matches!(app.credentials, Credentials::ApnsToken { .. });
    is_key
        && match daemon {
            Daemon::Absent => false,
            Daemon::Mute(_) => true,
            Daemon::Answers(_) => daemon.knows(&app.name).is_some(),
        }
}

fn not_tried(app: &App, why: &str) -> Check {
    let seen = format!(
        "not tried: a daemon runs and cannot be asked ({why}). Apple takes one new token of a key in 20 minutes, and that one is \
         the daemon's"
    );
    let advice = "`fswake apps` has to work: http.addresses, http.token-file; or stop the daemon for the doctor's sake";
    Check::warning(FAMILY, app.name.clone(), seen, advice)
}

/// What the running daemon knows of an app.
fn said(app: &App, known: &Known, evidence: &mut Evidence) -> Vec<Check> {
    let name = app.name.clone();
    let age = |since: i64| span((unix_now() - since).max(0) * 1000);
    let problems: Vec<Check> = known
        .problems
        .iter()
        .map(|problem| {
            let seen = |text: &str| format!("{text} (says the running daemon, for {})", age(problem.since));
            match problem.error() {
                Some(error) => {
                    let words = problem.words();
                    judged(app, error, seen(&words), words, evidence)
                }
                None => Check::warning(FAMILY, name.clone(), seen(&problem.reason), BROKEN_FILE),
            }
        })
        .collect();
    if !problems.is_empty() {
        return problems;
    }
    let last = known
        .checked
        .map_or_else(String::new, |at| format!(", {} ago", age(at)));
    vec![match (known.state.as_str(), &known.why) {
        ("ok", _) => Check::ok(
            FAMILY,
            name,
            format!("the provider takes what the running daemon sends{last}"),
        ),
        (_, Some(why)) => Check::ok(FAMILY, name, format!("{why} (says the running daemon)")),
        _ => Check::warning(
            FAMILY,
            name,
            "the running daemon has not tried it yet",
            "it does within seconds of its start: run the doctor again",
        ),
    }]
}

/// Files that only fswake's user may read: all but a certificate by itself, which is no secret.
fn files(app: &App, evidence: &mut Evidence) -> Vec<Check> {
    let mut secret = match &app.credentials {
        Credentials::ApnsCertificate { key_file, .. } => vec![key_file.as_path()],
        credentials => credentials.files(),
    };
    // Both of a gateway's profiles may have the same.
    secret.dedup();
    let mut checks: Vec<Check> = secret.into_iter().map(|file| private(app, file)).collect();
    if let Credentials::ApnsCertificate { cert_file, .. } = &app.credentials {
        checks.extend(certificate(app, cert_file, evidence));
    }
    checks
}

fn private(app: &App, file: &Path) -> Check {
    let (name, shown) = (format!("{} key file", app.name), file.display());
    let mode = match files::read(file).and_then(|_| file.metadata()) {
        Ok(about) => about.permissions().mode() & 0o777,
        Err(error) => {
            let advice = "the file has to be there, and readable for this user";
            return Check::error(FAMILY, name, format!("{shown}: {error}"), advice);
        }
    };
    let by_others = mode & 0o077;
    if by_others == 0 {
        return Check::ok(FAMILY, name, format!("{shown} is private ({mode:04o})"));
    }
    let seen = format!("{shown} can be read by others ({mode:04o})");
    Check::warning(FAMILY, name, seen, format!("chmod 600 {shown}, owned by fswake's user"))
}

/// The chain in a certificate file, and how long it lasts.
fn certificate(app: &App, file: &Path, evidence: &mut Evidence) -> Option<Check> {
    let name = format!("{} certificate", app.name);
    let chain = certificates(&files::read(file).ok()?);
    let first = chain.first()?;
    let now = SystemTime::now();
    let about = format!("{} of {}, chain of {}", first.subject, file.display(), chain.len());
    let renew = "get a new one from developer.apple.com and replace the file: fswake reads it without a restart";
    let other = other_bundle(app, first);
    let check = match first.until.duration_since(now).map(|left| left.as_secs() / DAY) {
        Err(past) => {
            let seen = format!("expired {} days ago: {about}", past.duration().as_secs() / DAY);
            let mut check = Check::error(FAMILY, name, seen, renew);
            evidence.refused.push(Told {
                app: app.name.clone(),
                said: "its certificate has expired".into(),
                advice: renew.into(),
                check: check.title(),
            });
            check.pattern = Some(Pattern::CredentialsRefused);
            check
        }
        Ok(_) if first.from > now => Check::error(
            FAMILY,
            name,
            format!("not valid yet: {about}"),
            "check this machine's clock",
        ),
        Ok(_) if other.is_some() => Check::error(
            FAMILY,
            name,
            other.unwrap_or_default(),
            "set app-ids (or topic) to the bundle id that the certificate is for, or get one for the app's",
        ),
        Ok(days) if days < SOON_DAYS => Check::warning(FAMILY, name, format!("{days} days left: {about}"), renew),
        Ok(days) => {
            let broken = chain.windows(2).find(|pair| pair[0].issuer != pair[1].subject);
            match broken {
                Some(pair) => {
                    let seen = format!(
                        "{} is not issued by the next in the file, {}",
                        pair[0].subject, pair[1].subject
                    );
                    let advice = "the app's own certificate first, then the one that issued it, and so on";
                    Check::warning(FAMILY, name, seen, advice)
                }
                None => Check::ok(FAMILY, name, format!("{days} days left: {about}")),
            }
        }
    };
    Some(check)
}

fn probed(app: &App, probe: &Probe, evidence: &mut Evidence) -> Check {
    let took = span(i64::try_from(probe.took.as_millis()).unwrap_or(i64::MAX));
    let name = app.name.clone();
    match &probe.outcome {
        Ok(Proof::Taken(how)) => {
            let seen = format!("the provider answers as it should ({how}) after {took}");
            Check::ok(FAMILY, name, seen)
        }
        Ok(proof) => Check::ok(FAMILY, name, format!("{proof} (after {took})")),
        Err(error) => {
            let seen = format!("{error} (after {took})");
            judged(app, error.kind(), seen, error.to_string(), evidence)
        }
    }
}

/// What an error of an app says, in `words`, as it was `seen`.
fn judged(app: &App, error: PushErrorKind, seen: String, words: String, evidence: &mut Evidence) -> Check {
    let name = app.name.clone();
    let (pattern, advice) = advice(app, error);
    let mut check = Check::error(FAMILY, name, seen, advice.clone());
    check.pattern = pattern;
    let told = Told {
        app: app.name.clone(),
        said: words,
        advice,
        check: check.title(),
    };
    match pattern {
        Some(Pattern::ProviderUnreachable) => evidence.unreachable.push(told),
        // It may be over in a minute.
        Some(Pattern::ProviderBusy) => check.state = State::Warning,
        Some(_) => match evidence.refused.iter().find(|known| known.app == app.name) {
            // The certificate's own check has said so.
            Some(known) => check.follows_from = Some(known.check.clone()),
            None => evidence.refused.push(told),
        },
        None if error == CLOCK => check.follows_from = Some(format!("{FAMILY}, clock")),
        None => check.state = State::Warning,
    }
    check
}

fn skew(here: SystemTime, there: SystemTime) -> Duration {
    here.duration_since(there).unwrap_or_else(|ahead| ahead.duration())
}

/// The provider that agrees least; one that says it without a date counts as well.
fn clock(skews: &[Duration], told_by: &[String]) -> Option<Check> {
    let advice = "set it (NTP): providers refuse tokens that are signed in the past or the future";
    let most = skews.iter().max();
    if !told_by.is_empty() && most.is_none_or(|most| *most < SKEW_REFUSED) {
        let seen = format!(
            "is wrong: the provider of {} calls a token expired that was signed just now",
            told_by.join(", ")
        );
        return Some(Check::error(FAMILY, "clock", seen, advice));
    }
    let most = most?;
    let seen = format!(
        "differs from the providers' by {}",
        span(i64::try_from(most.as_millis()).unwrap_or(i64::MAX))
    );
    Some(if *most >= SKEW_REFUSED {
        Check::error(FAMILY, "clock", seen, advice)
    } else if *most >= SKEW_NOTICED {
        Check::warning(FAMILY, "clock", seen, advice)
    } else {
        Check::ok(FAMILY, "clock", seen)
    })
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use fswake_test_support::tls::Authority;

    use super::*;
    use crate::config::Environment;

    /// The apps of a configuration, in a directory with its files.
    fn apps(dir: &Path, config: &str) -> Vec<App> {
        let file = dir.join("fswake.toml");
        std::fs::write(&file, config).unwrap();
        Config::load(Some(&file), &Environment::default()).unwrap().apps
    }

    #[test]
    fn certificate_is_judged_by_its_days_and_its_chain() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::default();
        let now = SystemTime::now();
        let days = |days: u64| Duration::from_secs(days * DAY + 3600);
        let (good, key) = authority.issue("voip");
        let (other, _) = authority.issue("other");
        let until = |end| authority.issue_until("voip", end).0;
        let (pem, key_file) = (dir.path().join("voip.pem"), dir.path().join("voip.key"));
        std::fs::write(&key_file, key).unwrap();
        std::fs::write(&pem, &good).unwrap();
        let config = "[[app]]\nname = 'old'\nprovider = 'apns'\ncert-file = 'voip.pem'\ncert-key-file = 'voip.key'";
        let app = apps(dir.path(), config).remove(0);
        for (content, state, says, refused) in [
            (good.clone(), State::Ok, "chain of 1", false),
            (format!("{good}{}", authority.pem()), State::Ok, "chain of 2", false),
            (
                format!("{good}{other}"),
                State::Warning,
                "is not issued by the next",
                false,
            ),
            (until(now + days(61)), State::Ok, "61 days left", false),
            (until(now + days(59)), State::Warning, "59 days left", false),
            (until(now - days(3)), State::Error, "expired 3 days ago", true),
        ] {
            std::fs::write(&pem, content).unwrap();
            let mut evidence = Evidence::default();
            let checks = files(&app, &mut evidence);
            let found = checks.iter().find(|c| c.name == "old certificate").unwrap();
            assert_eq!(found.state, state, "{found:?}");
            assert!(found.seen.contains(says), "{found:?}");
            assert_eq!(!evidence.refused.is_empty(), refused, "{found:?}");
            let pattern = refused.then_some(Pattern::CredentialsRefused);
            assert_eq!(found.pattern, pattern);
        }
    }

    #[test]
    fn secrets_of_a_gateway_that_others_can_read_are_a_warning() {
        let dir = tempfile::tempdir().unwrap();
        let config = "[[app]]\nname = 'push-server'\nprovider = 'http'\n\
                      voip = { url = 'https://127.0.0.1:9/', auth-type = 'basic', auth-file = 'gate' }\n\
                      im = { url = 'https://127.0.0.1:9/', auth-type = 'basic', auth-file = 'gate' }\n";
        let gate = dir.path().join("gate");
        std::fs::write(&gate, "user:sesame").unwrap();
        let app = apps(dir.path(), config).remove(0);
        for (mode, state) in [(0o644, State::Warning), (0o600, State::Ok)] {
            std::fs::set_permissions(&gate, Permissions::from_mode(mode)).unwrap();
            let checks = files(&app, &mut Evidence::default());
            let found: Vec<_> = checks.iter().map(|c| (c.name.as_str(), c.state)).collect();
            assert_eq!(found, [("push-server key file", state)]);
        }
    }

    #[test]
    fn clock_is_judged_by_the_provider_that_agrees_least() {
        let states = |seconds: &[u64]| {
            let skews: Vec<_> = seconds.iter().copied().map(Duration::from_secs).collect();
            clock(&skews, &[]).map(|check| check.state)
        };
        assert_eq!(states(&[]), None);
        assert_eq!(states(&[0, 2]), Some(State::Ok));
        assert_eq!(states(&[1, 31]), Some(State::Warning));
        assert_eq!(states(&[301, 0]), Some(State::Error));
        // A fresh token that is "expired" says it without a date.
        let told = clock(&[], &["ios".into()]).unwrap();
        assert_eq!(told.state, State::Error);
        assert!(
            told.seen.contains("the provider of ios calls a token expired"),
            "{told:?}"
        );
    }
}
