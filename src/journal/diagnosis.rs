//! The diagnosis of a missed call: one sentence, if the pattern is known.
//!
//! docs/TROUBLESHOOTING.md has the same patterns with what to do about each; `fswake doctor` looks for them in all
//! wakes.

use serde::Serialize;

use super::attempt::{Attempt, LONGEST_USEFUL_WAIT_MS};
use super::decline;
use super::history::History;
use super::invite::{self, InviteEnd};
use super::pattern::Pattern;
use super::step::DroppedToken;
use crate::clock::{span, stamp, with_date};
use crate::engine::{HoldResult, StepKind};
use crate::types::push::{Fault, KeptBy, PushErrorKind};
use crate::types::{Printable, Provider};

/// The diagnosis of one wake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// Which known pattern it is; `null` for an end that needs no remedy.
    pub pattern: Option<Pattern>,
    /// One sentence, fit for a terminal.
    pub says: String,
}

/// If a caller hung up before this, a phone that did not register proves nothing.
const PATIENCE_MS: i64 = 5_000;

fn pattern(pattern: Pattern, says: String) -> Diagnosis {
    Diagnosis {
        pattern: Some(pattern),
        says,
    }
}

fn plain(says: impl Into<String>) -> Diagnosis {
    Diagnosis {
        pattern: None,
        says: says.into(),
    }
}

/// The pattern of one phone's part of a missed call. What is nearest to the phone is checked last: a rejected push
/// explains more than a missing REGISTER.
pub fn of_attempt(attempt: &Attempt) -> Option<Diagnosis> {
    let device = Printable(&attempt.device);
    // A busy phone answers without ringing.
    if attempt.rang || attempt.answered || decline::of(attempt).is_some() {
        return None;
    }
    if let Some(end) = InviteEnd::of(attempt) {
        return Some(pattern(Pattern::InviteAfterRegisterFails, end.says(attempt)));
    }
    if invite::had_no_time(attempt) {
        let had = in_words(attempt.invited_for_ms.unwrap_or(0));
        let says = format!(
            "{device} woke up and registered only {had} before the call ended, too late to ring: wake.max-wait, or the caller's own \
             limit, is too short"
        );
        return Some(pattern(Pattern::LateRegisters, says));
    }
    if let Some(late) = attempt.woke_late() {
        let late = in_words(late.by_ms);
        let says = format!(
            "{device} registered {late} after the call was over: wake.max-wait, or the caller's own limit, is too short \
             by that much"
        );
        return Some(pattern(Pattern::LateRegisters, says));
    }
    if attempt.registered_ms.is_some() {
        return None;
    }
    match (&attempt.refused, attempt.accepted) {
        (Some((error, reason)), false) => Some(of_error(attempt, *error, reason)),
        (_, true) if attempt.provider().has_topics() => {
            let says = format!(
                "Apple took the push to {device} and the phone never registered{}: the app has to register when PushKit \
                 wakes it (or the phone was off or offline)",
                in_time(attempt)
            );
            Some(pattern(Pattern::IphoneNeverRegisters, says))
        }
        (_, true) => {
            let agent = if attempt.user_agent.is_empty() {
                String::new()
            } else {
                format!(" ({})", Printable(&attempt.user_agent))
            };
            let says = format!(
                "the provider took the push to {device} and the phone{agent} never registered{}: its maker's battery \
                 management, or the phone was off or offline",
                in_time(attempt)
            );
            Some(pattern(Pattern::AndroidNeverRegisters, says))
        }
        (None, false) => not_pushed(attempt),
    }
}

fn in_words(ms: u64) -> String {
    span(i64::try_from(ms).unwrap_or(i64::MAX))
}

/// What to add for a phone that registered long after the call was over.
fn in_time(attempt: &Attempt) -> String {
    let Some(late) = attempt.late else { return String::new() };
    format!(
        " in time; it did {} after the call came, by its own timer or because somebody opened the app, so a longer wait \
         will not help (no caller waits more than {} s)",
        in_words(late.after_ms),
        LONGEST_USEFUL_WAIT_MS / 1000
    )
}

fn of_error(attempt: &Attempt, error: PushErrorKind, reason: &str) -> Diagnosis {
    let (device, reason) = (Printable(&attempt.device), Printable(reason));
    match error {
        PushErrorKind::TokenGone => {
            let says = format!(
                "the token of {device} is gone ({reason}): the app was removed or reinstalled; the phone's next REGISTER \
                 brings the new one"
            );
            pattern(Pattern::StaleTokens, says)
        }
        PushErrorKind::TokenBad => {
            let says = format!(
                "the provider does not know the token of {device} ({reason}): it is for {}; fswake uses it again when the \
                 phone registers",
                match attempt.provider() {
                    Provider::Fcm => "another Firebase project, or is no FCM token",
                    Provider::Apns | Provider::ApnsSandbox => {
                        "the other environment (sandbox, production), or another topic"
                    }
                    Provider::WebPush => "another VAPID key than vapid-key-file, or has keys that cannot be used",
                    Provider::Hms => "another client id, or the app was removed",
                    Provider::Other(_) => "another app",
                }
            );
            pattern(Pattern::StaleTokens, says)
        }
        PushErrorKind::NoApp => {
            let says = format!("no [[app]] has credentials for {device}: it cannot be woken");
            pattern(Pattern::NoTokenOrApp, says)
        }
        PushErrorKind::Misconfigured(Fault::Clock) => plain(format!(
            "this machine's clock is wrong: the provider calls a token expired that was signed just now ({reason}); set it (NTP)"
        )),
        PushErrorKind::Misconfigured(Fault::Untrusted) => {
            let says = format!("the provider could not be reached for {device}: {reason}");
            pattern(Pattern::ProviderUnreachable, says)
        }
        PushErrorKind::Misconfigured(
            Fault::Credentials
            | Fault::AppleKeyAtGoogle
            | Fault::CertificateExpired
            | Fault::CertificateRefused
            | Fault::Settings,
        ) => {
            let says = format!("the provider refused the app's credentials for {device}: {reason}");
            pattern(Pattern::CredentialsRefused, says)
        }
        PushErrorKind::CallOver => plain(format!("the call was over before the provider answered for {device}")),
        PushErrorKind::Exhausted(kept_by) => of_kept(kept_by, device, reason),
        PushErrorKind::Rejected { .. } | PushErrorKind::TopicRejected { .. } | PushErrorKind::Refused => {
            plain(format!("the provider refused the push to {device}: {reason}"))
        }
    }
}

fn of_kept(kept_by: KeptBy, device: Printable<'_>, reason: Printable<'_>) -> Diagnosis {
    match kept_by {
        KeptBy::Us => plain(format!("the push to {device} was not sent in time: {reason}")),
        KeptBy::NoAddress | KeptBy::NoConnection => {
            let says = format!("the provider could not be reached in time for {device}: {reason}");
            pattern(Pattern::ProviderUnreachable, says)
        }
        KeptBy::NoAnswer => {
            let says = format!("the provider did not answer in time for {device}: {reason}");
            pattern(Pattern::ProviderUnreachable, says)
        }
        KeptBy::BusyForPhone { .. } => {
            let says = format!(
                "Apple takes no more pushes to {device} for now ({reason}): it has had too many in a short time"
            );
            pattern(Pattern::ProviderBusy, says)
        }
        KeptBy::Busy { .. } | KeptBy::BusyForThis { .. } | KeptBy::BusyForKey { .. } => {
            let says = format!(
                "the provider answered, and took no push to {device} while the caller waited ({reason}): it is busy, or \
                 limits this app's pushes"
            );
            pattern(Pattern::ProviderBusy, says)
        }
    }
}

fn not_pushed(attempt: &Attempt) -> Option<Diagnosis> {
    let device = Printable(&attempt.device);
    if attempt.lost_its_token() {
        let says = match &attempt.dropped {
            Some(dropped) => format!("{}; until then it cannot be woken", token_dropped(dropped)),
            None => "the token of the phone that is registered was dropped (the log says why: \"device forgotten\"); its next \
                     REGISTER brings it back, and until then it cannot be woken"
                .into(),
        };
        return Some(pattern(Pattern::StaleTokens, says));
    }
    if attempt.without_token {
        let agent = Printable(&attempt.user_agent);
        let says = format!("a phone ({agent}) registers without a push token and did not answer: it cannot be woken");
        return Some(pattern(Pattern::NoTokenOrApp, says));
    }
    if let Some(reason) = &attempt.set_aside {
        let says = format!(
            "{device} was not pushed: its token was refused before ({}) and is set aside until it registers again",
            Printable(&with_date(reason))
        );
        return Some(pattern(Pattern::StaleTokens, says));
    }
    if attempt.only_logged {
        let says = format!(
            "nothing was sent to {device}: its app only writes to the log; add an [[app]] with credentials for it"
        );
        return Some(pattern(Pattern::NoTokenOrApp, says));
    }
    if attempt.unanswered {
        let says = format!("the provider did not answer in time for {device}");
        return Some(pattern(Pattern::ProviderUnreachable, says));
    }
    attempt
        .limited
        .then(|| plain(format!("{device} was not pushed: the rate limit is reached")))
}

/// When a token was dropped, why, and what brings it back.
fn token_dropped(dropped: &DroppedToken) -> String {
    format!(
        "the token of {} was dropped at {} UTC ({}: the app was removed, or reinstalled); the phone's next REGISTER brings \
         it back",
        Printable(&dropped.device),
        stamp(dropped.at_ms),
        Printable(&dropped.reason)
    )
}

/// The diagnosis from a call's history.
pub(super) fn of(history: &History<'_>) -> Option<Diagnosis> {
    let attempts = &history.attempts;
    let first = || attempts.iter().find_map(of_attempt);
    let has = |kind| history.has(kind);
    Some(match history.result? {
        HoldResult::Connected | HoldResult::Taken | HoldResult::Woken | HoldResult::Draining | HoldResult::HandsOff => {
            return None;
        }
        HoldResult::NoDevice => match history.dropped {
            Some(dropped) => pattern(
                Pattern::StaleTokens,
                format!("the callee has no phone: {}", token_dropped(dropped)),
            ),
            None => plain("the callee has no phone: none has registered, or its token was dropped"),
        },
        HoldResult::Declined => plain(decline::words(attempts)),
        HoldResult::Error if has(StepKind::CallCut) => plain(
            "a phone answered, and FreeSWITCH ended the call instead of connecting the two; see FreeSWITCH's log at this time",
        ),
        HoldResult::Error => {
            plain("the connection with FreeSWITCH for this call broke; see FreeSWITCH's log at this time")
        }
        HoldResult::Timeout if has(StepKind::RingTimeOver) => {
            plain("a phone rang and nobody answered before the dial-string's own timeout")
        }
        HoldResult::Timeout => plain("a phone rang and nobody answered"),
        HoldResult::Abandoned => abandoned(history, first()),
        HoldResult::Unreachable => first().unwrap_or_else(|| plain("no phone could be reached")),
    })
}

/// The diagnosis of a call whose caller hung up; `first` is the first phone's pattern.
fn abandoned(history: &History<'_>, first: Option<Diagnosis>) -> Diagnosis {
    let attempts = &history.attempts;
    if history.has(StepKind::AskerGone) {
        return plain(format!(
            "whoever asked for the wake closed the connection after {}, before a phone had registered",
            span(history.held_ms)
        ));
    }
    if attempts.iter().any(|a| a.answered) {
        return plain("a phone answered; the caller hung up while the two were being connected");
    }
    if attempts.iter().any(|a| a.rang) {
        return plain("a phone rang; the caller hung up before anybody answered");
    }
    let Some(first) = first else {
        return if attempts.iter().any(|a| decline::of(a).is_some()) {
            let words = decline::words(attempts);
            plain(format!("{words}; the caller hung up while others were waited for"))
        } else {
            hung_up_waiting(history)
        };
    };
    match first.pattern {
        // If the caller hung up early, a phone that did not answer need not be at fault.
        Some(Pattern::ProviderUnreachable | Pattern::ProviderBusy) if history.held_ms < PATIENCE_MS => {
            plain(format!("the caller hung up after {}", span(history.held_ms)))
        }
        // How long a caller waits is not the phone's fault.
        Some(Pattern::LateRegisters) => {
            let late = attempts.iter().find_map(Attempt::woke_late);
            let then = late.map_or_else(
                || "when the phone had just registered".to_owned(),
                |late| format!("and the phone registered {} later", in_words(late.by_ms)),
            );
            plain(format!("the caller hung up after {}, {then}", span(history.held_ms)))
        }
        Some(Pattern::IphoneNeverRegisters | Pattern::AndroidNeverRegisters) => hung_up_waiting(history),
        _ => first,
    }
}

fn hung_up_waiting(history: &History<'_>) -> Diagnosis {
    plain(format!(
        "the caller hung up after {}, before a phone had registered",
        span(history.held_ms)
    ))
}
