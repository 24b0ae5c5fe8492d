//! The files of an app: who can read them, and how long its certificate lasts.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::SystemTime;

use crate::doctor::check::{APPS as FAMILY, AppFault, Check, Evidence};
use crate::files;
use crate::journal::Pattern;
use crate::push::app::{App, Credentials};
use crate::push::{certificate_chain, other_bundle, vapid_public_key};

const DAY: u64 = 86_400;

/// The days before a certificate's end from which the operator is warned.
const SOON_DAYS: u64 = 60;

/// Files that only fswake's user may read: all but a certificate by itself, which is not secret.
pub(super) fn files(app: &App, evidence: &mut Evidence) -> Vec<Check> {
    let mut secret = match &app.credentials {
        Credentials::ApnsCertificate {
            key_file,
            password_file,
            ..
        } => [key_file.as_path()]
            .into_iter()
            .chain(password_file.as_deref())
            .collect(),
        credentials => credentials.files(),
    };
    secret.extend(app.proxy_login());
    // Both of a gateway's profiles may use the same files.
    secret.dedup();
    let mut checks: Vec<Check> = secret.into_iter().map(|file| private(app, file)).collect();
    checks.extend(certificate(app, evidence));
    checks.extend(vapid_public_key(app).map(|public| {
        let seen = format!("phones subscribe with applicationServerKey {public}");
        Check::ok(FAMILY, format!("{} VAPID key", app.name), seen)
    }));
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
fn certificate(app: &App, evidence: &mut Evidence) -> Option<Check> {
    let name = format!("{} certificate", app.name);
    let (file, chain) = certificate_chain(app)?;
    let first = chain.first()?;
    let now = SystemTime::now();
    let about = format!("{} of {}, chain of {}", first.subject, file.display(), chain.len());
    let renew = "get a new one from developer.apple.com and replace the file: fswake reads it without a restart";
    let other = other_bundle(app, first);
    let check = match first.until.duration_since(now).map(|left| left.as_secs() / DAY) {
        Err(past) => {
            let seen = format!("expired {} days ago: {about}", past.duration().as_secs() / DAY);
            let mut check = Check::error(FAMILY, name, seen, renew);
            evidence.refused.push(AppFault {
                app: app.name.clone(),
                says: "its certificate has expired".into(),
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

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::time::Duration;

    use fswake_test_support::tls::Authority;

    use super::*;
    use crate::doctor::CheckState;
    use crate::doctor::testing::apps;

    #[test]
    fn login_at_the_proxy_has_to_be_private() {
        let dir = tempfile::tempdir().unwrap();
        let login = dir.path().join("proxy-login");
        std::fs::write(&login, "fswake:sesame").unwrap();
        let config = "[[app]]\nname = 'a'\nprovider = 'log'\nproxy = 'http://h:1'\nproxy-auth-file = 'proxy-login'";
        let app = apps(dir.path(), config).remove(0);
        for (mode, state) in [(0o644, CheckState::Warning), (0o600, CheckState::Ok)] {
            std::fs::set_permissions(&login, Permissions::from_mode(mode)).unwrap();
            let checks = files(&app, &mut Evidence::default());
            assert_eq!(checks.len(), 1, "{checks:?}");
            assert_eq!(checks[0].state, state, "{checks:?}");
        }
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
            (good.clone(), CheckState::Ok, "chain of 1", false),
            (
                format!("{good}{}", authority.pem()),
                CheckState::Ok,
                "chain of 2",
                false,
            ),
            (
                format!("{good}{other}"),
                CheckState::Warning,
                "is not issued by the next",
                false,
            ),
            (until(now + days(61)), CheckState::Ok, "61 days left", false),
            (until(now + days(59)), CheckState::Warning, "59 days left", false),
            (until(now - days(3)), CheckState::Error, "expired 3 days ago", true),
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
        for (mode, state) in [(0o644, CheckState::Warning), (0o600, CheckState::Ok)] {
            std::fs::set_permissions(&gate, Permissions::from_mode(mode)).unwrap();
            let checks = files(&app, &mut Evidence::default());
            let found: Vec<_> = checks.iter().map(|c| (c.name.as_str(), c.state)).collect();
            assert_eq!(found, [("push-server key file", state)]);
        }
    }
}
