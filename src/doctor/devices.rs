//! The devices that are known: whether they can be woken at all.

use std::collections::BTreeMap;

use super::{Check, Evidence, first_of};
use crate::clock::{unix_now, with_date};
use crate::config::Config;
use crate::journal::JournalError;
use crate::push::app::Credentials;
use crate::types::{Device, Printable};
use crate::words;

const FAMILY: &str = "devices";
/// The check that names devices without an app.
pub(super) const APPS: &str = "devices, apps";
/// A phone that has not registered for this long will hardly be woken: apps refresh their token within weeks.
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
    super::unread(FAMILY, "known", error)
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
                let advice = "add an [[app]] with credentials for them (provider apns, fcm or http)";
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
    let aside: Vec<String> = known
        .iter()
        .filter_map(|d| {
            Some(format!(
                "{} ({})",
                d.aor,
                Printable(&with_date(d.set_aside.as_deref()?))
            ))
        })
        .collect();
    if aside.is_empty() {
        return Check::ok(FAMILY, "tokens set aside", "none");
    }
    Check::warning(
        FAMILY,
        "tokens set aside",
        format!("{}: {}", aside.len(), first_of(&aside, 3)),
        "the provider refused them; fswake uses them again when their phones register. BadDeviceToken for many: sandbox \
         mixed with production (provider apns or apns.dev), or another topic",
    )
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
