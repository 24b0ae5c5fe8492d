//! The journal: how many phones came, how late, and which of the known patterns it shows.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

mod invites;
mod part;
mod providers;
mod stale;

use self::part::{FEW, Finding, Part, SOME_PERCENT, app, app_and_agent, groups, parts, percent};
use super::check::{AppFault, Check, CheckState, Evidence, first_of};
use crate::clock::{now_ms, span, stamp};
use crate::config::Config;
use crate::journal::attempt::{LONGEST_USEFUL_WAIT_MS, Late};
use crate::journal::{Attempt, Journal, JournalError, Pattern, Wake};
use crate::types::Printable;

const FAMILY: &str = "wakes";
/// Of more wakes than this, the latest count.
const MOST: usize = 20_000;
/// In percent: above this share the problem is systematic.
const MANY_PERCENT: usize = 80;
const LATE_PERCENT: usize = 5;

/// The calls of this period.
pub(super) fn read(journal: &Journal, since: Duration) -> Result<Vec<Wake>, JournalError> {
    journal.wakes_since(now_ms().saturating_sub(ms(since)), MOST)
}

/// An unreadable journal is not "no calls".
pub(super) fn unread(error: &JournalError) -> Check {
    crate::doctor::check::unread(FAMILY, "journal", error)
}

fn ms(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

pub(super) fn checks(wakes: &[Wake], config: &Config, since: Duration, evidence: &Evidence) -> Vec<Check> {
    let parts = parts(wakes);
    let mut checks = vec![of_all(wakes, &parts, ms(since))];
    checks.extend(
        Pattern::ALL
            .iter()
            .map(|pattern| of_pattern(*pattern, &parts, config, evidence)),
    );
    checks
}

/// How many of the phones with an accepted push came, and how fast.
fn of_all(wakes: &[Wake], parts: &[Part], since_ms: i64) -> Check {
    let name = "phones that come";
    let span_text = span(since_ms);
    if wakes.is_empty() {
        let advice = "none has reached fswake in this time: see \"routing\" above; --since looks further back";
        return Check::warning(FAMILY, name, format!("no call in the last {span_text}"), advice);
    }
    let taken: Vec<&Attempt> = parts.iter().map(|p| &p.attempt).filter(|a| a.accepted).collect();
    let bounced = taken.iter().filter(|a| a.never_came()).count();
    let mut waits: Vec<u64> = taken.iter().filter_map(|a| a.registered_ms).collect();
    waits.sort_unstable();
    let mut seen = format!(
        "{} calls in the last {span_text}{}; of {} pushes that were taken, {} phones never came ({} %)",
        wakes.len(),
        by_daemon(wakes),
        taken.len(),
        bounced,
        percent(bounced, taken.len())
    );
    if let (Some(middle), Some(slow)) = (waits.get(waits.len() / 2), waits.get(waits.len() * 95 / 100)) {
        let ms = |ms: &u64| span(i64::try_from(*ms).unwrap_or(i64::MAX));
        let (middle, slow) = (ms(middle), ms(slow));
        let _ = write!(seen, "; those that came took {middle} (median), {slow} (95 %)");
    }
    if bounced >= FEW && percent(bounced, taken.len()) >= SOME_PERCENT {
        return Check::warning(
            FAMILY,
            name,
            seen,
            "the patterns below say which phones; phones that are off or offline are among them",
        );
    }
    Check::ok(FAMILY, name, seen)
}

/// How many calls each fswake held, if several share a store.
fn by_daemon(wakes: &[Wake]) -> String {
    let mut daemons = BTreeMap::<&str, usize>::new();
    for daemon in wakes.iter().filter_map(|wake| wake.overview.daemon.as_deref()) {
        *daemons.entry(daemon).or_default() += 1;
    }
    if daemons.is_empty() {
        return String::new();
    }
    let each: Vec<_> = daemons
        .iter()
        .map(|(daemon, calls)| format!("{}: {calls}", Printable(daemon)))
        .collect();
    format!(" ({})", each.join(", "))
}

/// Calls of other daemons that the journal does not have.
pub(super) fn missing(journal: &Journal) -> Option<Check> {
    let since = match journal.others_missing_since_ms()? {
        0 => String::new(),
        since => format!(" since {} UTC", stamp(since)),
    };
    let seen = format!("the calls of other daemons{since} are missing here: the checks above do not count them");
    let advice = "PostgreSQL does not answer, or fswake does not run: see \"store\" above, and fswake's log";
    Some(Check::warning(FAMILY, "other daemons", seen, advice))
}

fn of_pattern(pattern: Pattern, parts: &[Part], config: &Config, evidence: &Evidence) -> Check {
    let found = match pattern {
        Pattern::IphoneNeverRegisters => never_registers(
            groups(parts, pattern, |a| a.accepted && a.provider().has_topics(), app),
            "locked iPhones miss calls: the app has to take the push in PushKit's delegate, report the call to CallKit and \
             register at once; look for the same call id in the app's own log",
        ),
        Pattern::AndroidNeverRegisters => never_registers(
            groups(
                parts,
                pattern,
                |a| a.accepted && !a.provider().has_topics(),
                app_and_agent,
            ),
            "let users of these phones take the app out of battery optimisation (the maker's own too, dontkillmyapp.com); \
             the app has to show the call within seconds of a high-priority message, or Google lowers its priority",
        ),
        Pattern::NoTokenOrApp => no_token(parts, evidence),
        Pattern::CredentialsRefused => providers::refusals(parts, pattern, &evidence.refused, config),
        Pattern::StaleTokens => stale::stale(parts),
        Pattern::InviteAfterRegisterFails => invites::failed(parts, config),
        Pattern::LateRegisters => late(parts, config),
        Pattern::ProviderUnreachable => providers::refusals(parts, pattern, &evidence.unreachable, config),
        Pattern::ProviderBusy => providers::refusals(parts, pattern, &[], config),
    };
    let (state, seen, advice) = found.unwrap_or_else(|| (CheckState::Ok, "not seen".into(), String::new()));
    let mut check = Check::new(FAMILY, pattern.name(), state, seen);
    if state != CheckState::Ok {
        check.pattern = Some(pattern);
        check.advice = Some(advice);
        check.follows_from = same_fault(pattern, parts, config, evidence);
    }
    check
}

/// The check that found the same fault, if no call shows another.
fn same_fault(pattern: Pattern, parts: &[Part], config: &Config, evidence: &Evidence) -> Option<String> {
    let is_all_of = |faults: &[AppFault]| {
        let of_pattern = parts.iter().filter(|p| p.pattern == Some(pattern));
        let mut apps = of_pattern.map(|part| part.app(config).map(|app| app.name.as_str()));
        apps.all(|app| app.is_some_and(|app| faults.iter().any(|fault| fault.app == app)))
    };
    match pattern {
        Pattern::CredentialsRefused if is_all_of(&evidence.refused) => {
            evidence.refused.first().map(|fault| fault.check.clone())
        }
        Pattern::ProviderUnreachable if is_all_of(&evidence.unreachable) => {
            evidence.unreachable.first().map(|fault| fault.check.clone())
        }
        Pattern::NoTokenOrApp if !evidence.unserved.is_empty() => Some(super::devices::APPS.to_owned()),
        _ => None,
    }
}

/// Groups of phones of which (nearly) none ever comes.
fn never_registers(groups: BTreeMap<String, (usize, usize)>, advice: &str) -> Finding {
    let bad: Vec<String> = groups
        .into_iter()
        .filter(|(_, (never, all))| *never >= FEW && percent(*never, *all) >= MANY_PERCENT)
        .map(|(name, (never, all))| format!("{name}: {never} of {all} pushes that were taken brought no REGISTER"))
        .collect();
    (!bad.is_empty()).then(|| (CheckState::Error, first_of(&bad, 5), advice.to_owned()))
}

fn no_token(parts: &[Part], evidence: &Evidence) -> Finding {
    let mut bad = evidence.unserved.clone();
    let agents = groups(
        parts,
        Pattern::NoTokenOrApp,
        |_| false,
        |a| {
            if a.without_token {
                format!("registers without a push token: {}", Printable(&a.user_agent))
            } else {
                format!("no [[app]] for {}", app(a))
            }
        },
    );
    bad.extend(
        agents
            .into_iter()
            .map(|(name, (times, _))| format!("{name} ({times} calls missed)")),
    );
    (!bad.is_empty()).then(|| {
        let state = if evidence.unserved.is_empty() { CheckState::Warning } else { CheckState::Error };
        let advice = "phones miss calls some minutes after the app was used last: the app has to put its token into the \
                      Contact (RFC 8599 pn-*), and an [[app]] has to have credentials for it; a desk phone needs neither";
        (state, first_of(&bad, 5), advice.to_owned())
    })
}

fn late(parts: &[Part], config: &Config) -> Finding {
    let of_use: Vec<Late> = parts
        .iter()
        .filter(|p| p.pattern == Some(Pattern::LateRegisters))
        .filter_map(|p| p.attempt.woke_late())
        .collect();
    let taken = parts.iter().filter(|p| p.attempt.accepted).count();
    if of_use.len() < FEW || percent(of_use.len(), taken) < LATE_PERCENT {
        return too_late(parts);
    }
    let sorted = |ms: fn(&Late) -> u64| {
        let mut all: Vec<u64> = of_use.iter().map(ms).collect();
        all.sort_unstable();
        all
    };
    let (by, after) = (sorted(|late| late.by_ms), sorted(|late| late.after_ms));
    let most = |sorted: &[u64]| sorted.get(sorted.len() * 90 / 100).copied().unwrap_or(0);
    let ms = |ms: u64| span(i64::try_from(ms).unwrap_or(i64::MAX));
    let seen = format!(
        "{} of {taken} phones registered when the call was over: by {} (median), {} (90 %)",
        by.len(),
        ms(by[by.len() / 2]),
        ms(most(&by))
    );
    let (now, needed) = (config.policy.max_wait.as_secs(), most(&after).div_ceil(1000));
    let advice = if needed > now {
        format!(
            "set wake.max-wait (now {now} s) to {needed}s, and the caller's originate_timeout or call_timeout to no less"
        )
    } else {
        format!(
            "these calls were held for less than wake.max-wait ({now} s): set the caller's originate_timeout or \
             call_timeout to {needed} s or more"
        )
    };
    Some((CheckState::Warning, seen, advice))
}

/// Phones that registered too late for any caller.
fn too_late(parts: &[Part]) -> Finding {
    let late = parts
        .iter()
        .filter(|p| p.attempt.late.is_some_and(|l| !l.is_worth_a_wait()));
    let seen = match late.count() {
        0 => return None,
        1 => "1 phone".to_owned(),
        n => format!("{n} phones"),
    };
    let seen = format!(
        "{seen} registered more than {} s after the call came, by their own timer or because somebody opened the app: a \
         longer wait will not help",
        LONGEST_USEFUL_WAIT_MS / 1000
    );
    Some((CheckState::Ok, seen, String::new()))
}
