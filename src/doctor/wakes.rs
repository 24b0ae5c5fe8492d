//! What the journal says: how many phones came, how late, and which of the known patterns is in it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::{Check, Evidence, State, first_of};
use crate::config::Config;
use crate::journal::attempt::{LONGEST_USEFUL_WAIT_MS, Late, Refusal};
use crate::journal::diagnosis::of_attempt;
use crate::journal::time::{now_ms, span};
use crate::journal::{Attempt, Journal, JournalError, Pattern, Wake};
use crate::types::Printable;

const FAMILY: &str = "wakes";
/// Of more wakes than this, the latest count.
const MOST: usize = 20_000;
/// Fewer than this are chance.
const FEW: usize = 3;
/// In percent: from this share on, the problem is systematic.
const MANY_PERCENT: usize = 80;
const SOME_PERCENT: usize = 20;
const LATE_PERCENT: usize = 5;

/// One phone's part in one call, with what it says.
struct Part {
    attempt: Attempt,
    pattern: Option<Pattern>,
}

/// The calls of that long.
pub(super) fn read(journal: &Journal, since: Duration) -> Result<Vec<Wake>, JournalError> {
    journal.wakes_since(now_ms().saturating_sub(ms(since)), MOST)
}

/// An unreadable journal is not "no calls".
pub(super) fn unread(error: &JournalError) -> Check {
    super::unread(FAMILY, "journal", error)
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

/// What counts: every phone of a call that it could have come to. A caller who hung up at once, and a call that another
/// phone took, say nothing about those that did not come.
fn parts(wakes: &[Wake]) -> Vec<Part> {
    let mut parts = Vec::new();
    for wake in wakes {
        let cut_short = match wake.result() {
            "connected" | "taken" | "woken" | "declined" | "draining" | "hands-off" | "error" | "" => true,
            "abandoned" => wake.overview.held_ms.unwrap_or(0) < 5_000,
            _ => false,
        };
        for attempt in wake.attempts() {
            let came = attempt.registered_ms.is_some() || attempt.woke_late().is_some() || attempt.rang;
            let refused = attempt.refused.is_some() && !attempt.accepted;
            if cut_short && !came && !refused {
                continue;
            }
            let pattern = of_attempt(&attempt).and_then(|d| d.pattern);
            // An INVITE that another phone's answer ended has not failed.
            let cut_off =
                cut_short && pattern == Some(Pattern::InviteAfterRegisterFails) && attempt.failed_awake.is_none();
            // How long a caller waits before he hangs up is his own affair.
            let his_own = wake.result() == "abandoned" && pattern == Some(Pattern::LateRegisters);
            let pattern = pattern.filter(|_| !cut_off && !his_own);
            parts.push(Part { attempt, pattern });
        }
    }
    parts
}

/// How many of the phones whose push was taken came, and how fast.
fn of_all(wakes: &[Wake], parts: &[Part], since_ms: i64) -> Check {
    let name = "phones that come";
    let span_text = span(since_ms);
    if wakes.is_empty() {
        let advice = "none has reached fswake in this time: see \"way in\" above; --since looks further back";
        return Check::warning(FAMILY, name, format!("no call in the last {span_text}"), advice);
    }
    let taken: Vec<&Attempt> = parts.iter().map(|p| &p.attempt).filter(|a| a.accepted).collect();
    let bounced = taken.iter().filter(|a| a.never_came()).count();
    let mut waits: Vec<u64> = taken.iter().filter_map(|a| a.registered_ms).collect();
    waits.sort_unstable();
    let mut seen = format!(
        "{} calls in the last {span_text}; of {} pushes that were taken, {} phones never came ({} %)",
        wakes.len(),
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

fn percent(part: usize, whole: usize) -> usize {
    (part * 100).checked_div(whole).unwrap_or(0)
}

/// Phones with a pattern, and all they are compared with, by app (and User-Agent, where the maker matters).
fn groups(
    parts: &[Part],
    pattern: Pattern,
    is_base: impl Fn(&Attempt) -> bool,
    name: impl Fn(&Attempt) -> String,
) -> BTreeMap<String, (usize, usize)> {
    let mut groups: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for part in parts {
        let has = part.pattern == Some(pattern);
        if !has && !is_base(&part.attempt) {
            continue;
        }
        let group = groups.entry(name(&part.attempt)).or_default();
        group.0 += usize::from(has);
        group.1 += 1;
    }
    groups
}

fn app(attempt: &Attempt) -> String {
    format!("{} {}", Printable(attempt.provider()), Printable(attempt.app()))
}

fn app_and_agent(attempt: &Attempt) -> String {
    let agent = if attempt.user_agent.is_empty() {
        "unknown"
    } else {
        &attempt.user_agent
    };
    format!("{} on {}", app(attempt), Printable(agent))
}

fn of_pattern(pattern: Pattern, parts: &[Part], config: &Config, evidence: &Evidence) -> Check {
    let found = match pattern {
        Pattern::IphoneNeverRegisters => never_registers(
            groups(parts, pattern, |a| a.accepted && a.provider().starts_with("apns"), app),
            "locked iPhones miss calls: the app has to take the push in PushKit's delegate, report the call to CallKit and \
             register at once; look for the same call id in the app's own log",
        ),
        Pattern::AndroidNeverRegisters => never_registers(
            groups(
                parts,
                pattern,
                |a| a.accepted && !a.provider().starts_with("apns"),
                app_and_agent,
            ),
            "let users of these phones take the app out of battery optimisation (the maker's own too, dontkillmyapp.com); \
             the app has to show the call within seconds of a high-priority message, or Google lowers its priority",
        ),
        Pattern::NoTokenOrApp => no_token(parts, evidence),
        Pattern::CredentialsRefused => told(
            parts,
            pattern,
            &evidence.refused,
            State::Error,
            "worked, then stopped: the certificate or key is expired, revoked or of another team; replace the file (it is \
             taken up without a restart)",
        ),
        Pattern::StaleTokens => stale(parts),
        Pattern::InviteAfterRegisterFails => invite_fails(parts, config),
        Pattern::LateRegisters => late(parts, config),
        Pattern::ProviderUnreachable => told(
            parts,
            pattern,
            &evidence.unreachable,
            State::Error,
            "no push at all: a firewall, a proxy, HTTP/2 or the certificate chain is between this host and the provider",
        ),
    };
    let (state, seen, advice) = found.unwrap_or_else(|| (State::Ok, "not seen".into(), String::new()));
    let mut check = Check::new(FAMILY, pattern.name(), state, seen);
    if state != State::Ok {
        check.pattern = Some(pattern);
        check.advice = Some(advice);
    }
    check
}

type Found = Option<(State, String, String)>;

/// Groups of phones of which (nearly) none ever comes.
fn never_registers(groups: BTreeMap<String, (usize, usize)>, advice: &str) -> Found {
    let bad: Vec<String> = groups
        .into_iter()
        .filter(|(_, (never, all))| *never >= FEW && percent(*never, *all) >= MANY_PERCENT)
        .map(|(name, (never, all))| format!("{name}: {never} of {all} pushes that were taken brought no REGISTER"))
        .collect();
    (!bad.is_empty()).then(|| (State::Error, first_of(&bad, 5), advice.to_owned()))
}

fn no_token(parts: &[Part], evidence: &Evidence) -> Found {
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
        let state = if evidence.unserved.is_empty() { State::Warning } else { State::Error };
        let advice = "phones miss calls some minutes after the app was used last: the app has to put its token into the \
                      Contact (RFC 8599 pn-*), and an [[app]] has to have credentials for it; a desk phone needs neither";
        (state, first_of(&bad, 5), advice.to_owned())
    })
}

/// What providers said in wakes, and to the doctor's own probes.
fn told(parts: &[Part], pattern: Pattern, probed: &[String], state: State, advice: &str) -> Found {
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for part in parts.iter().filter(|p| p.pattern == Some(pattern)) {
        let reason = part.attempt.refused.as_ref().map_or("no answer", |(_, reason)| reason);
        *reasons
            .entry(format!("{}: {}", app(&part.attempt), Printable(reason)))
            .or_default() += 1;
    }
    let mut bad: Vec<String> = probed.to_vec();
    bad.extend(reasons.iter().map(|(reason, n)| format!("{reason} ({n} pushes)")));
    let happened: usize = reasons.values().sum();
    // A provider that was away once is no finding; refused credentials are at once.
    let counts = !probed.is_empty() || happened >= FEW || (happened > 0 && pattern == Pattern::CredentialsRefused);
    counts.then(|| (state, first_of(&bad, 5), advice.to_owned()))
}

fn stale(parts: &[Part]) -> Found {
    let stale: Vec<&Attempt> = parts
        .iter()
        .filter(|p| p.pattern == Some(Pattern::StaleTokens))
        .map(|p| &p.attempt)
        .collect();
    let bad = |a: &&&Attempt| a.set_aside.is_some() || matches!(a.refused, Some((Refusal::Bad, _)));
    let wrong = stale.iter().filter(bad).count();
    let pushed = parts.iter().filter(|p| p.attempt.pushes > 0).count();
    // Apps are removed and reinstalled all the time.
    if wrong == 0 && (stale.len() < FEW || percent(stale.len(), pushed) < SOME_PERCENT) {
        return None;
    }
    let mut devices: Vec<String> = stale.iter().map(|a| Printable(&a.device).to_string()).collect();
    devices.sort_unstable();
    devices.dedup();
    let seen = format!(
        "works for some: {} calls to tokens that are gone ({}) or refused ({wrong}), of {} devices: {}",
        stale.len(),
        stale.len() - wrong,
        devices.len(),
        first_of(&devices, 3)
    );
    let advice = "BadDeviceToken or DeviceTokenNotForTopic: builds from Xcode need provider apns.dev, those from TestFlight and \
                  the App Store apns, and the topic has to be the app's; gone tokens: the app has to register with its new \
                  token when it is reinstalled";
    Some((State::Warning, seen, advice.into()))
}

fn invite_fails(parts: &[Part], config: &Config) -> Found {
    let groups = groups(
        parts,
        Pattern::InviteAfterRegisterFails,
        |a| a.registered_ms.is_some(),
        app_and_agent,
    );
    let bad: Vec<String> = groups
        .into_iter()
        .filter(|(_, (failed, all))| *failed >= FEW && percent(*failed, *all) >= SOME_PERCENT)
        .map(|(name, (failed, all))| format!("{name}: {failed} of {all} INVITEs right after the REGISTER failed"))
        .collect();
    let settle = config.policy.settle_delay.as_millis();
    let failed = || {
        parts
            .iter()
            .filter(|p| p.pattern == Some(Pattern::InviteAfterRegisterFails))
    };
    let advice = if failed().all(|p| p.attempt.could_not_be_sent()) {
        "FreeSWITCH knew no way to the address that the phone registered with: look for its cause in FreeSWITCH's log (NAT, a \
         network that is down, a profile that does not run)"
            .to_owned()
    } else {
        format!("the app registers before it can take a call: set wake.settle-delay (now {settle} ms) to 500ms more")
    };
    (!bad.is_empty()).then(|| (State::Warning, first_of(&bad, 5), advice))
}

fn late(parts: &[Part], config: &Config) -> Found {
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
    Some((State::Warning, seen, advice))
}

/// Phones that registered so late that no caller would have waited.
fn too_late(parts: &[Part]) -> Found {
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
    Some((State::Ok, seen, String::new()))
}
