//! The known devices: whether they can be woken at all.

use std::collections::BTreeMap;

use super::check::{Check, Evidence, first_of};
use crate::clock::{unix_now, with_date};
use crate::config::Config;
use crate::journal::JournalError;
use crate::push::app::Credentials;
use crate::types::{Device, Printable};
use crate::words;

const FAMILY: &str = "devices";
/// The check that names devices without an app.
pub(super) const APPS: &str = "devices, apps";
/// A phone that has not registered for this long is unlikely to wake: apps refresh their token within weeks.
const LONG_UNSEEN: i64 = 30 * 86_400;

pub(super) fn checks(config: &Config, known: &[Device], evidence: &mut Evidence) -> Vec<Check> {
    if known.is_empty() {
        let advice = "fswake learns phones when they register: the Contact must have a push token (RFC 8599 pn-*, or the \
                      names in [contact])";
        return vec![Check::warning(FAMILY, "known", "none", advice)];
    }
    let mut users: Vec<_> = known.iter().map(|d| &d.aor).collect();
    users.sort_unstable();
    users.dedup();
    let seen = format!("{} of {}", known.len(), words::count(users.len(), "user"));
    vec![
        Check::ok(FAMILY, "known", seen),
        without_app(config, known, evidence),
        set_aside(known),
        unseen(known),
    ]
}

/// An unreadable store is not "no devices".
pub(super) fn unread(error: &JournalError) -> Check {
    crate::doctor::check::unread(FAMILY, "known", error)
}

fn without_app(config: &Config, known: &[Device], evidence: &mut Evidence) -> Check {
    let mut unserved: BTreeMap<String, usize> = BTreeMap::new();
    let serves = |d: &Device| {
        let push = &d.push;
        config
            .apps
            .iter()
            .any(|a| a.serves(&push.provider, &push.app, &d.aor.domain))
    };
    for device in known.iter().filter(|d| !serves(d)) {
        let (provider, app) = (device.push.provider.name(), &device.push.app);
        let name = format!("{} {}", Printable(provider), Printable(app));
        *unserved.entry(name).or_default() += 1;
    }
    if unserved.is_empty() {
        let by_log = |d: &&Device| {
            let app = config
                .apps
                .iter()
                .find(|a| a.serves(&d.push.provider, &d.push.app, &d.aor.domain));
            app.is_some_and(|app| app.credentials == Credentials::Log)
        };
        match known.iter().filter(by_log).count() {
            0 => {}
            logged => {
                let logged = words::count(logged, "device");
                let seen = format!("not woken, because their app only writes to the log: {logged}");
                let advice = "add an [[app]] with credentials for them (provider apns, fcm, hms, webpush or http)";
                return Check::warning(FAMILY, "apps", seen, advice);
            }
        }
        return Check::ok(FAMILY, "apps", "every device has an app with credentials");
    }
    let count: usize = unserved.values().sum();
    evidence.unserved = unserved.iter().map(|(name, n)| format!("{name} ({n})")).collect();
    Check::error(
        FAMILY,
        "apps",
        format!(
            "no app with credentials for {}: {}",
            words::count(count, "device"),
            first_of(&evidence.unserved, 5)
        ),
        "add an [[app]] with that provider and app id, and its credentials",
    )
}

fn set_aside(known: &[Device]) -> Check {
    let is_aside = |d: &&Device| d.set_aside.is_some();
    let named = |d: &Device| {
        let reason = with_date(d.set_aside.as_deref().unwrap_or_default());
        format!("{} ({})", d.aor, Printable(&reason))
    };
    let aside: Vec<String> = known.iter().filter(is_aside).map(named).collect();
    if aside.is_empty() {
        return Check::ok(FAMILY, "tokens set aside", "none");
    }
    let of = |is: fn(&str) -> bool| known.iter().filter(is_aside).any(|d| is(d.push.provider.name()));
    let mut advice = "the provider refused them; fswake uses them again when their phones register".to_owned();
    if of(|provider| provider.starts_with("apns")) {
        advice += ". Many BadDeviceToken: sandbox and production are mixed up (provider apns or apns.dev), or the topic is wrong";
    }
    if of(|provider| provider == "fcm") {
        advice += ". Many of Google's: the app was built for another Firebase project, or sends something else than its FCM \
                   token";
    }
    if of(|provider| provider == "hms") {
        advice += ". Many of Huawei's: the app was built for another client id";
    }
    if of(|provider| provider == "webpush") {
        advice += ". Many of web push: the phones have subscribed with another VAPID key than that of vapid-key-file";
    }
    let seen = format!("{}: {}", aside.len(), first_of(&aside, 3));
    Check::warning(FAMILY, "tokens set aside", seen, advice)
}

fn unseen(known: &[Device]) -> Check {
    let now = unix_now();
    let old = known
        .iter()
        .filter(|d| now.saturating_sub(d.last_seen) > LONG_UNSEEN)
        .count();
    if old == 0 {
        return Check::ok(FAMILY, "unseen", "all have registered within 30 days");
    }
    Check::warning(
        FAMILY,
        "unseen",
        format!("{old} of {} have not registered for 30 days", known.len()),
        "they are pushed at every call and rarely wake; store.token-ttl sets when they are forgotten",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Aor, Provider, PushParams, PushToken, Tokens};

    fn device(provider: &str) -> Device {
        Device {
            aor: Aor::new("1001", "example.org"),
            push: PushParams {
                provider: Provider::from_name(provider),
                app: "x".into(),
                team: None,
                tokens: Tokens::Call(PushToken::new("t")),
            },
            user_agent: "".into(),
            register_call_id: "".into(),
            first_seen: 0,
            last_seen: 0,
            set_aside: None,
            changed: 0,
        }
    }

    fn set_aside_of(provider: &str, reason: &str) -> Device {
        Device {
            set_aside: Some(reason.into()),
            ..device(provider)
        }
    }

    #[test]
    fn advice_on_tokens_that_are_set_aside_is_of_their_provider() {
        let advice = |known: &[Device]| set_aside(known).advice.unwrap();
        let (apple, google) = (
            set_aside_of("apns", "BadDeviceToken at 1"),
            set_aside_of("fcm", "SENDER_ID_MISMATCH at 1"),
        );
        let of_apple = advice(std::slice::from_ref(&apple));
        assert!(
            of_apple.contains("apns.dev") && !of_apple.contains("Firebase"),
            "{of_apple}"
        );
        let of_google = advice(std::slice::from_ref(&google));
        assert!(
            of_google.contains("Firebase") && !of_google.contains("apns.dev"),
            "{of_google}"
        );
        let both = advice(&[apple, google, device("apns")]);
        assert!(both.contains("Firebase") && both.contains("apns.dev"), "{both}");
        assert_eq!(set_aside(&[device("apns")]).state, crate::doctor::CheckState::Ok);
    }
}
