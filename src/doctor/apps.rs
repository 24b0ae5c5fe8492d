//! The apps: their files, their certificates, their providers, and the clock.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::{Check, Evidence};
use crate::config::Config;
use crate::files;
use crate::journal::time::span;
use crate::journal::{Pattern, diagnosis};
use crate::push::app::{App, Credentials};
use crate::push::{Probe, Proof, PushError, Pushers, certificates, other_bundle};

const FAMILY: &str = "apps";
const DAY: u64 = 86_400;
/// From here on an operator is told of a certificate's end.
const SOON_DAYS: u64 = 60;
/// A clock that is off by this much will be noticed by a provider sooner or later; Apple refuses tokens from the future.
const SKEW_NOTICED: Duration = Duration::from_secs(30);
const SKEW_REFUSED: Duration = Duration::from_secs(300);

pub(super) async fn checks(config: &Config, evidence: &mut Evidence) -> Vec<Check> {
    let mut checks = Vec::new();
    let (mut clocks, mut told_by) = (Vec::new(), Vec::new());
    // All at once: many tenants whose provider is away are one provider's patience, not many.
    let mut probing = Vec::with_capacity(config.apps.len());
    let unread = |app: &App| {
        let key = format!("app.{}.", app.name);
        config.unread.iter().find(|unread| unread.error.key.starts_with(&key))
    };
    let (apps, closed): (Vec<&App>, Vec<&App>) = config.apps.iter().partition(|app| unread(app).is_none());
    for app in closed {
        checks.extend(unread(app).map(|error| super::not_by_this_user(FAMILY, app.name.clone(), error)));
    }
    for app in &apps {
        // Each app by itself: one that cannot be set up says nothing of the others.
        let pushers = Pushers::new(vec![(*app).clone()]);
        probing.push(pushers.map(|pushers| tokio::spawn(async move { pushers.probe().await })));
    }
    for (app, probing) in apps.into_iter().zip(probing) {
        checks.extend(files(app, evidence));
        let probing = match probing {
            Ok(probing) => probing,
            Err(error) => {
                let advice = "`fswake check` says the same; the daemon does not start with it";
                checks.push(Check::error(FAMILY, app.name.clone(), error.to_string(), advice));
                continue;
            }
        };
        for (_, probe) in probing.await.unwrap_or_default() {
            match probe {
                Some(probe) => {
                    let now = SystemTime::now();
                    if let Some(date) = probe.date {
                        clocks.push(skew(now, date));
                    }
                    if probe.outcome.as_ref().is_err_and(is_about_the_clock) {
                        told_by.push(app.name.clone());
                    }
                    checks.push(probed(app, &probe, evidence));
                }
                None => checks.push(Check::ok(
                    FAMILY,
                    app.name.clone(),
                    "writes to the log: nothing to reach",
                )),
            }
        }
    }
    checks.extend(clock(&clocks, &told_by));
    checks
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
    let renew = "get a new one from developer.apple.com and replace the file: it is taken up without a restart";
    let other = other_bundle(app, first);
    let check = match first.until.duration_since(now).map(|left| left.as_secs() / DAY) {
        Err(past) => {
            let seen = format!("expired {} days ago: {about}", past.duration().as_secs() / DAY);
            evidence
                .refused
                .push(format!("{}: its certificate has expired", app.name));
            let mut check = Check::error(FAMILY, name, seen, renew);
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
    let error = match &probe.outcome {
        Ok(Proof::Taken(how)) => {
            let seen = format!("the provider answers as it should ({how}) after {took}");
            return Check::ok(FAMILY, name, seen);
        }
        Ok(proof) => return Check::ok(FAMILY, name, format!("{proof} (after {took})")),
        Err(error) => error,
    };
    let seen = format!("{error} (after {took})");
    let (pattern, advice) = advice(app, error);
    match pattern {
        Some(Pattern::ProviderUnreachable) => evidence.unreachable.push(format!("{}: {error}", app.name)),
        Some(_) => evidence.refused.push(format!("{}: {error}", app.name)),
        None if is_about_the_clock(error) => return Check::error(FAMILY, name, seen, advice),
        None => return Check::warning(FAMILY, name, seen, advice),
    }
    let mut check = Check::error(FAMILY, name, seen, advice);
    check.pattern = pattern;
    check
}

/// Tokens of the doctor's are signed while it looks: one that is "expired" is the clock's.
fn is_about_the_clock(error: &PushError) -> bool {
    matches!(error, PushError::Misconfigured { reason } if diagnosis::is_about_the_clock(reason))
}

/// What to do about a failed probe: what belongs to this provider and to this kind of failure.
pub(crate) fn advice(app: &App, error: &PushError) -> (Option<Pattern>, String) {
    let unreachable = Some(Pattern::ProviderUnreachable);
    match error {
        PushError::Exhausted { reason } if reason.contains("cannot be resolved") => (
            unreachable,
            "this host cannot look the name up: see to its DNS (/etc/resolv.conf, `getent hosts NAME`)".into(),
        ),
        PushError::Exhausted { .. } | PushError::Misconfigured { .. }
            if app.proxy.is_some() && is_about_the_way(error) =>
        {
            let proxy = app.proxy.as_deref().unwrap_or_default();
            let advice = format!(
                "everything for this app goes through its proxy {proxy}: does it run, and does it let this host CONNECT to \
                 the provider?"
            );
            (unreachable, advice)
        }
        PushError::Exhausted { .. } => (unreachable, way_to(app).into()),
        PushError::Misconfigured { .. } if is_about_the_clock(error) => (
            None,
            "this machine's clock is wrong: set it (NTP). The credentials are not at fault".into(),
        ),
        PushError::Misconfigured { .. } if is_about_the_way(error) => (
            unreachable,
            "something between here and the provider shows another certificate, or the system's CAs are old \
             (ca-certificates); ca-file names others"
                .into(),
        ),
        PushError::Misconfigured { reason } => (Some(Pattern::CredentialsRefused), credentials(app, reason).into()),
        PushError::Rejected { reason, .. } if reason.contains("Topic") => (
            None,
            "set topic, or app-ids to the bundle id that this key or certificate is for".into(),
        ),
        _ => (
            None,
            "the provider is reached and refuses the probe: its documentation has this code".into(),
        ),
    }
}

fn is_about_the_way(error: &PushError) -> bool {
    match error {
        PushError::Exhausted { .. } => true,
        PushError::Misconfigured { reason } => diagnosis::is_about_the_way(reason),
        _ => false,
    }
}

/// Where an app's provider is to be reached.
fn way_to(app: &App) -> &'static str {
    match &app.credentials {
        Credentials::ApnsToken { .. } | Credentials::ApnsCertificate { .. } => {
            "let this host connect to Apple (port 443, or 2197 with base-url; HTTP/2): look for a firewall, or set proxy"
        }
        Credentials::FcmServiceAccount { .. } => {
            "let this host connect to fcm.googleapis.com and oauth2.googleapis.com (port 443): look for a firewall, or set proxy"
        }
        Credentials::Http(_) | Credentials::Log => "is the gateway running, and is url its address?",
    }
}

/// What to do where a provider does not take an app's credentials.
fn credentials(app: &App, reason: &str) -> &'static str {
    match &app.credentials {
        Credentials::ApnsCertificate { .. } if reason.contains("CertificateExpired") => {
            "get a new certificate from developer.apple.com and replace the file: it is taken up without a restart"
        }
        Credentials::ApnsCertificate { .. } => {
            "Apple does not take this certificate: is it revoked, or for the other environment (apns, apns.dev)? A new one \
             comes from developer.apple.com"
        }
        Credentials::ApnsToken { .. } => {
            "Apple does not take this key: key-id, team-id and key-file have to belong together; if they do, it was revoked: \
             make a new one at developer.apple.com"
        }
        Credentials::FcmServiceAccount { .. } if reason.contains("THIRD_PARTY_AUTH_ERROR") => {
            "Google has no good APNs key for this app: Firebase console, project settings, Cloud Messaging"
        }
        Credentials::FcmServiceAccount { .. } => {
            "Google does not take this service account: is it deleted or disabled, is its key revoked, is the Firebase Cloud \
             Messaging API (V1) enabled in its project? A new key comes from the Firebase console, project settings, service \
             accounts"
        }
        Credentials::Http(_) | Credentials::Log => {
            "the gateway does not take these credentials: compare auth-type and auth-file with what it wants"
        }
    }
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

    use super::super::State;
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

    #[test]
    fn advice_belongs_to_the_provider_and_to_what_failed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("k"), "-----BEGIN").unwrap();
        let of = |app: &str, error: &PushError| {
            let app = apps(dir.path(), &format!("[[app]]\nname = 'a'\n{app}")).remove(0);
            let (pattern, advice) = advice(&app, error);
            (pattern.map(Pattern::name), advice)
        };
        let key = "provider = 'apns'\nkey-file = 'k'\nkey-id = 'ABCDE12345'\nteam-id = 'ABCDE12345'";
        let google = "provider = 'fcm'\nservice-account-file = 'k'";
        let proxied = format!("{key}\nproxy = 'http://proxy.example:3128'");
        let certificate = "provider = 'apns'\ncert-file = 'k'";
        let gateway = "provider = 'http'\nvoip = { url = 'https://127.0.0.1:9/' }";
        let away = |reason: &str| PushError::Exhausted { reason: reason.into() };
        let refused = |reason: &str| PushError::Misconfigured { reason: reason.into() };
        let (unreachable, credentials) = (Some("provider-unreachable"), Some("credentials-refused"));
        let down = away("cannot connect to h:443: connection refused");
        let clock = refused("access token: 400 invalid_grant (Invalid JWT: Token must be in a reasonable timeframe.)");
        for (app, error, pattern, has, has_not) in [
            (key, &down, unreachable, "let this host connect to Apple", "Google"),
            (google, &down, unreachable, "fcm.googleapis.com", "Apple"),
            (gateway, &down, unreachable, "is the gateway running", "firewall"),
            (
                &*proxied,
                &down,
                unreachable,
                "its proxy http://proxy.example:3128",
                "set proxy",
            ),
            (
                key,
                &away("the name of h:443 cannot be resolved: x"),
                unreachable,
                "DNS",
                "firewall",
            ),
            (
                key,
                &refused("InvalidProviderToken"),
                credentials,
                "key-id, team-id and key-file",
                "Google",
            ),
            (
                google,
                &refused("access token: 400 invalid_grant"),
                credentials,
                "service account",
                "team",
            ),
            (
                certificate,
                &refused("CertificateExpired: the certificate expired on 2"),
                credentials,
                "get a new certificate",
                "ca-file",
            ),
            (key, &refused("ExpiredProviderToken"), None, "clock is wrong", "key-id"),
            (google, &clock, None, "clock is wrong", "deleted"),
        ] {
            let (found, advice) = of(app, error);
            assert_eq!(found, pattern, "{app} {error}: {advice}");
            assert!(
                advice.contains(has) && !advice.contains(has_not),
                "{app} {error}: {advice}"
            );
        }
    }
}
