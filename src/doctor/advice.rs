//! Advice for pushes that are not taken, by provider and kind of failure.

use crate::journal::Pattern;
use crate::push::app::{App, Credentials};
use crate::push::apps::status::ProblemKind;
use crate::push::{Fault, KeptBy, PushErrorKind};

/// Advice for a changed credential file that cannot be used.
const BROKEN_FILE: &str =
    "fix the file: fswake reads it again by itself. Until then it uses the previous one, and a restart would fail";

/// Advice for an old signing key that is refused.
const OLD_KEY: &str = "write next-key-file and next-key-id as key-file and key-id, and remove the old key: after a restart, the first \
                       push takes a moment longer with it";

/// Advice for a next signing key that is refused.
const NEXT_KEY: &str =
    "next-key-id, team-id and next-key-file must belong together: do not revoke the other key before this is fixed";

/// Advice for a problem that is no error of a push.
pub(crate) fn advice_without_error(kind: ProblemKind) -> &'static str {
    match kind {
        ProblemKind::OldKey => OLD_KEY,
        ProblemKind::NextKey => NEXT_KEY,
        _ => BROKEN_FILE,
    }
}

/// Advice for a failed push, by provider and kind of failure.
pub(crate) fn advice(app: &App, error: PushErrorKind) -> (Option<Pattern>, String) {
    let unreachable = Some(Pattern::ProviderUnreachable);
    match error {
        PushErrorKind::Exhausted(kept_by) => of_kept(app, kept_by),
        PushErrorKind::CallOver => of_kept(app, KeptBy::Us),
        PushErrorKind::Misconfigured(Fault::Clock) => (
            None,
            "this machine's clock is wrong: set it (NTP). The credentials are not at fault".into(),
        ),
        PushErrorKind::Misconfigured(Fault::Untrusted) => match &app.proxy {
            Some(proxy) => (unreachable, through(&proxy.url)),
            None => (
                unreachable,
                "something between here and the provider shows another certificate, or the system's CAs are old \
                 (ca-certificates); ca-file names others"
                    .into(),
            ),
        },
        PushErrorKind::Misconfigured(fault) => (Some(Pattern::CredentialsRefused), credentials(app, fault).into()),
        PushErrorKind::NoApp => (
            Some(Pattern::CredentialsRefused),
            credentials(app, Fault::Settings).into(),
        ),
        PushErrorKind::TopicRejected { .. } => (
            None,
            "set topic, or app-ids to the bundle id that this key or certificate is for".into(),
        ),
        PushErrorKind::TokenGone
        | PushErrorKind::TokenBad
        | PushErrorKind::Rejected { .. }
        | PushErrorKind::Refused => (
            None,
            "the provider is reached and refuses the push: its documentation has this code".into(),
        ),
    }
}

/// Advice for a provider that is unreachable, does not answer, or takes no pushes for now.
fn of_kept(app: &App, kept_by: KeptBy) -> (Option<Pattern>, String) {
    let unreachable = Some(Pattern::ProviderUnreachable);
    match (kept_by, &app.proxy) {
        (KeptBy::NoAddress, _) => (
            unreachable,
            "this host cannot look the name up: see to its DNS (/etc/resolv.conf, `getent hosts NAME`)".into(),
        ),
        (KeptBy::NoConnection | KeptBy::NoAnswer, Some(proxy)) => (unreachable, through(&proxy.url)),
        (KeptBy::NoConnection, None) => (unreachable, way_to(app).into()),
        (KeptBy::NoAnswer, None) => {
            let advice = match &app.credentials {
                Credentials::WebPush(_) => {
                    "push services that phones use do not answer in time: `fswake trace` of a call names them"
                }
                Credentials::Http(_) | Credentials::Log => {
                    "the gateway is connected to and does not answer in time: look at its log; timeout is how long it may take"
                }
                _ => {
                    "nothing comes back from the provider: is this host's connection overloaded, or does something on the way (a \
                     firewall that looks into HTTP/2, a VPN) lose what is sent? If neither, the provider is slow: fswake goes on \
                     trying"
                }
            };
            (unreachable, advice.into())
        }
        (
            KeptBy::Busy { .. } | KeptBy::BusyForThis { .. } | KeptBy::BusyForPhone { .. } | KeptBy::BusyForKey { .. },
            _,
        ) => (Some(Pattern::ProviderBusy), busy(app, kept_by).into()),
        (KeptBy::Us, _) => (
            None,
            "the provider was not asked: the call was over, or too many pushes were under way".into(),
        ),
    }
}

/// Advice for a provider that answers that it takes no pushes for now.
fn busy(app: &App, kept_by: KeptBy) -> &'static str {
    let is_apple = matches!(
        app.credentials,
        Credentials::ApnsToken { .. } | Credentials::ApnsCertificate { .. }
    );
    if matches!(kept_by, KeptBy::BusyForKey { .. }) {
        return "Apple accepts one new token per key in 20 minutes, and another process uses this key too: another push server \
                (give it a key of its own), or a fswake with another clock or of an earlier version. If fswake was upgraded \
                just now, wait 20 minutes";
    }
    if is_apple && matches!(kept_by, KeptBy::BusyForPhone { .. }) {
        return "Apple limits the pushes to one phone: it takes them again by itself. `fswake trace` of that phone's user shows who \
                calls it so often";
    }
    match (&app.credentials, kept_by.answered()) {
        (Credentials::HmsClient { .. }, Some(429 | 503)) => {
            "Huawei limits the pushes of this app: fswake goes on trying. Its quota is in AppGallery Connect, Push Kit"
        }
        (Credentials::HmsClient { .. }, _) => {
            "Huawei is reached and out of order: fswake goes on trying, nothing is to be done here"
        }
        (Credentials::WebPush(_), _) => {
            "push services that phones use are reached and take no pushes for now: `fswake trace` of a call names them. fswake \
             goes on trying"
        }
        (Credentials::Http(_) | Credentials::Log, _) => {
            "the gateway is reached and answers with an error of its own: look at its log"
        }
        (Credentials::FcmServiceAccount { .. }, Some(429)) => {
            "Google limits the pushes of this project, or to one phone: Google Cloud console, IAM & Admin, Quotas, Firebase Cloud \
             Messaging API"
        }
        (Credentials::FcmServiceAccount { .. }, _) => {
            "Google is reachable but out of order: fswake keeps trying; there is nothing to do here \
             (status.firebase.google.com)"
        }
        (_, Some(429)) => {
            "Apple limits this app's pushes: fswake goes on trying; is something else pushing with this key?"
        }
        _ => {
            "Apple is reachable but out of order: fswake keeps trying; there is nothing to do here \
             (developer.apple.com/system-status)"
        }
    }
}

fn through(proxy: &str) -> String {
    format!(
        "everything for this app goes through its proxy {proxy}: does it run, and does it let this host CONNECT to the provider? If it asks for a login: proxy-auth-file holds one"
    )
}

/// Where an app's provider should be reachable.
fn way_to(app: &App) -> &'static str {
    match &app.credentials {
        Credentials::ApnsToken { .. } | Credentials::ApnsCertificate { .. } => {
            "let this host connect to Apple (port 443, or 2197 with base-url; HTTP/2): look for a firewall, or set proxy"
        }
        Credentials::FcmServiceAccount { .. } => {
            "let this host connect to fcm.googleapis.com and oauth2.googleapis.com (port 443): look for a firewall, or set proxy"
        }
        Credentials::HmsClient { .. } => {
            "let this host connect to push-api.cloud.huawei.com and oauth-login.cloud.huawei.com (port 443): look for a firewall, \
             or set proxy"
        }
        Credentials::WebPush(_) => {
            "let this host connect to the push services that phones use (port 443): look for a firewall, or set proxy and \
             allow-hosts"
        }
        Credentials::Http(_) | Credentials::Log => "is the gateway running, and is url its address?",
    }
}

/// Advice for a provider that rejects an app's credentials.
fn credentials(app: &App, fault: Fault) -> &'static str {
    match &app.credentials {
        Credentials::ApnsCertificate { .. } if fault == Fault::CertificateExpired => {
            "get a new certificate from developer.apple.com and replace the file: fswake reads it without a restart"
        }
        Credentials::ApnsCertificate { .. } => {
            "Apple rejects this certificate: is it revoked, or for the other environment (apns, apns.dev)? A new one \
             comes from developer.apple.com"
        }
        Credentials::ApnsToken { next: Some(_), .. } => {
            "Apple rejects both keys: key-id, next-key-id and team-id must belong to key-file and next-key-file; if they do, the \
             keys were revoked: make a new one at developer.apple.com"
        }
        Credentials::ApnsToken { next: None, .. } => {
            "Apple rejects this key: key-id, team-id and key-file must belong together; if they do, it was revoked: \
             make a new one at developer.apple.com"
        }
        Credentials::FcmServiceAccount { .. } if fault == Fault::AppleKeyAtGoogle => {
            "Google has no good APNs key for this app: Firebase console, project settings, Cloud Messaging"
        }
        Credentials::FcmServiceAccount { .. } => {
            "Google rejects this service account: is it deleted or disabled, is its key revoked, is the Firebase Cloud \
             Messaging API (V1) enabled in its project? A new key comes from the Firebase console, project settings, service \
             accounts"
        }
        Credentials::HmsClient { .. } if fault == Fault::Settings => {
            "Huawei lets apps send messages of high urgency only after they have applied for it: AppGallery Connect, Push Kit, \
             special permissions"
        }
        Credentials::HmsClient { .. } => {
            "Huawei rejects this app: client-id and client-secret-file must belong together, and Push Kit must be enabled for the \
             app (AppGallery Connect)"
        }
        Credentials::WebPush(_) => "look at vapid-key-file: it must hold a P-256 key that can sign",
        Credentials::Http(profiles) if profiles.all().any(|(_, profile)| profile.auth.is_oauth()) => {
            "the gateway or its token server rejects this client: client-id, auth-file and token-url must belong together"
        }
        Credentials::Http(_) | Credentials::Log => {
            "the gateway rejects these credentials: compare auth-type and auth-file with what it wants"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::testing::apps;
    use crate::push::PushError;

    #[test]
    fn advice_belongs_to_the_provider_and_to_what_failed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("k"), "-----BEGIN").unwrap();
        let of = |app: &str, error: &PushError| {
            let app = apps(dir.path(), &format!("[[app]]\nname = 'a'\n{app}")).remove(0);
            let (pattern, advice) = advice(&app, error.kind());
            (pattern.map(Pattern::name), advice)
        };
        let key = "provider = 'apns'\nkey-file = 'k'\nkey-id = 'ABCDE12345'\nteam-id = 'ABCDE12345'";
        let google = "provider = 'fcm'\nservice-account-file = 'k'";
        let proxied = format!("{key}\nproxy = 'http://proxy.example:3128'");
        let certificate = "provider = 'apns'\ncert-file = 'k'";
        let gateway = "provider = 'http'\nvoip = { url = 'https://127.0.0.1:9/' }";
        let client = "provider = 'http'\nvoip = { url = 'https://127.0.0.1:9/', auth-type = 'oauth', auth-file = 'k', \
                      client-id = 'c', token-url = 'https://127.0.0.1:9/' }";
        let kept = |kept_by, reason: &str| {
            let reason = reason.into();
            PushError::Exhausted { kept_by, reason }
        };
        let away = |reason: &str| kept(KeptBy::NoConnection, reason);
        let busy = |status, reason: &str| kept(KeptBy::Busy { status }, reason);
        let silent = kept(KeptBy::NoAnswer, "no answer in time");
        let wrong = |fault, reason: &str| PushError::Misconfigured {
            fault,
            reason: reason.into(),
        };
        let refused = |reason: &str| wrong(Fault::Credentials, reason);
        let (unreachable, credentials) = (Some("provider-unreachable"), Some("credentials-refused"));
        let is_busy = Some("provider-busy");
        let down = away("cannot connect to h:443: connection refused");
        let clock = wrong(
            Fault::Clock,
            "access token: 400 invalid_grant (Invalid JWT: Token must be in a reasonable timeframe.)",
        );
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
                &kept(KeptBy::NoAddress, "the name of h:443 cannot be resolved: x"),
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
                client,
                &refused("access token: 401 unauthorized_client"),
                credentials,
                "client-id, auth-file and token-url",
                "auth-type",
            ),
            (
                certificate,
                &wrong(
                    Fault::CertificateExpired,
                    "CertificateExpired: the certificate ended on 2",
                ),
                credentials,
                "get a new certificate",
                "ca-file",
            ),
            (
                key,
                &wrong(Fault::Clock, "ExpiredProviderToken"),
                None,
                "clock is wrong",
                "key-id",
            ),
            (google, &clock, None, "clock is wrong", "deleted"),
            // A provider that answers is reachable.
            (
                key,
                &busy(503, "503 ServiceUnavailable"),
                is_busy,
                "Apple is reachable",
                "firewall",
            ),
            (
                google,
                &busy(503, "503 UNAVAILABLE"),
                is_busy,
                "Google is reachable",
                "firewall",
            ),
            (
                google,
                &busy(429, "429 QUOTA_EXCEEDED"),
                is_busy,
                "Quotas",
                "out of order",
            ),
            (
                gateway,
                &busy(500, "500 Internal Server Error"),
                is_busy,
                "look at its log",
                "Apple",
            ),
            (
                &*proxied,
                &busy(503, "503 ServiceUnavailable"),
                is_busy,
                "Apple is reachable",
                "proxy",
            ),
            (
                key,
                &kept(KeptBy::BusyForKey { status: 429 }, "429 TooManyProviderTokenUpdates"),
                is_busy,
                "another process uses this key",
                "firewall",
            ),
            (
                key,
                &kept(KeptBy::BusyForPhone { status: 429 }, "429 TooManyRequests"),
                is_busy,
                "to one phone",
                "firewall or",
            ),
            (key, &silent, unreachable, "nothing comes back", "set proxy"),
            (gateway, &silent, unreachable, "timeout is how long", "firewall"),
            (&*proxied, &silent, unreachable, "its proxy", "set proxy"),
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
