//! What a missed call's timeline says: one sentence, where the pattern is known.
//!
//! docs/TROUBLESHOOTING.md has the same patterns with what to do about each; `fswake doctor` looks for them in all wakes.

use serde::Serialize;

use super::attempt::{Attempt, LONGEST_USEFUL_WAIT_MS, Refusal};
use super::facts::{is_about_the_clock, is_about_the_way};
use super::invite::{self, InviteEnd};
use super::wake::{Dropped, Wake};
use crate::clock::{span, stamp, with_date};
use crate::engine::LegEnd;
use crate::engine::event::Verdict;
use crate::types::Printable;

/// The known ways in which waking fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pattern {
    /// Apple takes the pushes, and the phones never register.
    IphoneNeverRegisters,
    /// Phones that register without a push token, or whose app has no credentials.
    NoTokenOrApp,
    /// The provider refuses the app's credentials.
    CredentialsRefused,
    /// Tokens that are gone, wrong, or of the other environment.
    StaleTokens,
    /// The phone registers, and the INVITE right after fails.
    InviteAfterRegisterFails,
    /// Google takes the pushes, and the phones never register.
    AndroidNeverRegisters,
    /// Phones register when the call is over.
    LateRegisters,
    /// The provider cannot be reached, or does not answer in time.
    ProviderUnreachable,
    /// The provider answers that it takes no pushes for now.
    ProviderBusy,
}

impl Pattern {
    /// All of them, in the order of docs/TROUBLESHOOTING.md.
    pub const ALL: [Self; 9] = [
        Self::IphoneNeverRegisters,
        Self::NoTokenOrApp,
        Self::CredentialsRefused,
        Self::StaleTokens,
        Self::InviteAfterRegisterFails,
        Self::AndroidNeverRegisters,
        Self::LateRegisters,
        Self::ProviderUnreachable,
        Self::ProviderBusy,
    ];

    /// Its name, as in JSON and in docs/TROUBLESHOOTING.md.
    pub fn name(self) -> &'static str {
        match self {
            Self::IphoneNeverRegisters => "iphone-never-registers",
            Self::NoTokenOrApp => "no-token-or-app",
            Self::CredentialsRefused => "credentials-refused",
            Self::StaleTokens => "stale-tokens",
            Self::InviteAfterRegisterFails => "invite-after-register-fails",
            Self::AndroidNeverRegisters => "android-never-registers",
            Self::LateRegisters => "late-registers",
            Self::ProviderUnreachable => "provider-unreachable",
            Self::ProviderBusy => "provider-busy",
        }
    }
}

/// What one wake says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// Which known pattern it is; `null` for an end that needs no remedy.
    pub pattern: Option<Pattern>,
    /// One sentence, fit for a terminal.
    pub says: String,
}

/// A caller who hung up before this waited too short for anything to be learned from what did not happen.
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

/// Which pattern one phone's part of a call that it did not take has. What is nearest to the phone is looked at last: a
/// push that was refused says more than a phone that did not come.
pub fn of_attempt(attempt: &Attempt) -> Option<Diagnosis> {
    let device = Printable(&attempt.device);
    // A phone that is busy says so without ringing.
    if attempt.rang || attempt.answered || said_no(attempt).is_some() {
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
        (Some((refusal, reason)), false) => Some(of_refusal(attempt, *refusal, reason)),
        (_, true) if attempt.provider().starts_with("apns") => {
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

/// What is to be said of a phone that registered long after the call was over.
fn in_time(attempt: &Attempt) -> String {
    let Some(late) = attempt.late else { return String::new() };
    format!(
        " in time; it did {} after the call came, by its own timer or because somebody opened the app, so a longer wait \
         will not help (no caller waits more than {} s)",
        in_words(late.after_ms),
        LONGEST_USEFUL_WAIT_MS / 1000
    )
}

fn of_refusal(attempt: &Attempt, refusal: Refusal, reason: &str) -> Diagnosis {
    let (device, reason) = (Printable(&attempt.device), Printable(reason));
    match refusal {
        Refusal::Gone => {
            let says = format!(
                "the token of {device} is gone ({reason}): the app was removed or reinstalled; the phone's next REGISTER brings \
                 the new one"
            );
            pattern(Pattern::StaleTokens, says)
        }
        Refusal::Bad => {
            let says = format!(
                "the provider does not know the token of {device} ({reason}): it is for {}; fswake uses it again when the phone \
                 registers",
                match attempt.provider() {
                    "fcm" => "another Firebase project, or is no FCM token",
                    name if name.starts_with("apns") => "the other environment (sandbox, production), or another topic",
                    _ => "another app",
                }
            );
            pattern(Pattern::StaleTokens, says)
        }
        Refusal::Misconfigured if reason.0.contains("no app serves") => {
            let says = format!("no [[app]] has credentials for {device}: it cannot be woken");
            pattern(Pattern::NoTokenOrApp, says)
        }
        Refusal::Misconfigured if is_about_the_clock(reason.0) => plain(format!(
            "this machine's clock is wrong: the provider calls a token expired that was signed just now ({reason}); set it (NTP)"
        )),
        Refusal::Misconfigured if is_about_the_way(reason.0) => {
            let says = format!("the provider could not be reached for {device}: {reason}");
            pattern(Pattern::ProviderUnreachable, says)
        }
        Refusal::Misconfigured => {
            let says = format!("the provider refused the app's credentials for {device}: {reason}");
            pattern(Pattern::CredentialsRefused, says)
        }
        Refusal::GivenUp if reason.0.contains("the call is over") => {
            plain(format!("the call was over before the provider answered for {device}"))
        }
        Refusal::GivenUp => plain(format!("the push to {device} was not sent in time: {reason}")),
        Refusal::Unreached => {
            let says = format!("the provider could not be reached in time for {device}: {reason}");
            pattern(Pattern::ProviderUnreachable, says)
        }
        Refusal::Unanswered => {
            let says = format!("the provider did not answer in time for {device}: {reason}");
            pattern(Pattern::ProviderUnreachable, says)
        }
        Refusal::Busy if reason.0.contains("TooManyRequests") => {
            let says = format!(
                "Apple takes no more pushes to {device} for now ({reason}): it has had too many in a short time"
            );
            pattern(Pattern::ProviderBusy, says)
        }
        Refusal::Busy => {
            let says = format!(
                "the provider answered, and took no push to {device} while the caller waited ({reason}): it is busy, or limits this app's pushes"
            );
            pattern(Pattern::ProviderBusy, says)
        }
        Refusal::Rejected => plain(format!("the provider refused the push to {device}: {reason}")),
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
fn token_dropped(dropped: &Dropped) -> String {
    format!(
        "the token of {} was dropped at {} UTC ({}: the app was removed, or reinstalled); the phone's next REGISTER brings \
         it back",
        Printable(&dropped.device),
        stamp(dropped.at_ms),
        Printable(&dropped.reason)
    )
}

/// Whether a phone said no, and then whether it was busy, with the SIP status.
fn said_no(attempt: &Attempt) -> Option<(bool, Option<u16>)> {
    let (cause, sip) = attempt.ended.as_ref()?;
    let end = LegEnd {
        cause: cause.as_str().into(),
        sip_status: u16::try_from(*sip).ok().filter(|sip| *sip > 0),
    };
    match end.verdict() {
        Verdict::Declined { busy } => Some((busy, end.sip_status)),
        _ => None,
    }
}

/// Whether a phone said no.
pub(super) fn refused_the_call(attempt: &Attempt) -> bool {
    said_no(attempt).is_some()
}

/// Whether phones said no, and every phone that did was busy.
pub(super) fn is_busy(attempts: &[Attempt]) -> bool {
    let mut all = attempts.iter().filter_map(said_no).peekable();
    all.peek().is_some() && all.all(|(busy, _)| busy)
}

/// What became of a call that a phone said no to.
fn declined(attempts: &[Attempt]) -> String {
    let all: Vec<_> = attempts.iter().filter_map(said_no).collect();
    let is_busy = is_busy(attempts);
    let sip = all.iter().find(|(busy, _)| *busy == is_busy).and_then(|(_, sip)| *sip);
    let sip = sip.map(|sip| format!(" ({sip})")).unwrap_or_default();
    if is_busy {
        format!("the phone was busy{sip}")
    } else if attempts.iter().any(|a| a.rang && said_no(a).is_some()) {
        format!("a phone rang and its user declined{sip}")
    } else {
        format!("a phone declined without ringing{sip}: do not disturb, or the app refuses calls")
    }
}

/// What a wake says.
pub(super) fn of(wake: &Wake) -> Option<Diagnosis> {
    let attempts = wake.attempts();
    let first = attempts.iter().find_map(of_attempt);
    match wake.result() {
        "" | "connected" | "taken" | "woken" | "draining" | "hands-off" => None,
        "no-device" => Some(match &wake.dropped {
            Some(dropped) => pattern(
                Pattern::StaleTokens,
                format!("the callee has no phone: {}", token_dropped(dropped)),
            ),
            None => plain("the callee has no phone: none has registered, or its token was dropped"),
        }),
        "declined" => Some(plain(declined(&attempts))),
        "error" if wake.step("call-cut").is_some() => Some(plain(
            "a phone answered, and FreeSWITCH ended the call instead of connecting the two; see FreeSWITCH's log at this time",
        )),
        "error" => Some(plain(
            "the connection with FreeSWITCH for this call broke; see FreeSWITCH's log at this time",
        )),
        "timeout" if wake.step("ring-time-over").is_some() => Some(plain(
            "a phone rang and nobody answered within the dial-string's own time",
        )),
        "timeout" => Some(plain("a phone rang and nobody answered")),
        "abandoned" => {
            let held = wake.overview.held_ms.unwrap_or(0);
            if attempts.iter().any(|a| a.rang) {
                return Some(plain("a phone rang; the caller hung up before anybody answered"));
            }
            if first.is_none() && attempts.iter().any(|a| said_no(a).is_some()) {
                let said = declined(&attempts);
                return Some(plain(format!(
                    "{said}; the caller hung up while others were waited for"
                )));
            }
            let soon = held < PATIENCE_MS;
            match first {
                // Who did not answer within the caller's patience need not be at fault.
                Some(Diagnosis {
                    pattern: Some(Pattern::ProviderUnreachable | Pattern::ProviderBusy),
                    ..
                }) if soon => Some(plain(format!("the caller hung up after {}", span(held)))),
                // How long he waits is his own affair.
                Some(Diagnosis {
                    pattern: Some(Pattern::LateRegisters),
                    ..
                }) => {
                    let late = attempts.iter().find_map(Attempt::woke_late);
                    let then = late.map_or_else(
                        || "when the phone had just registered".to_owned(),
                        |late| format!("and the phone registered {} later", in_words(late.by_ms)),
                    );
                    Some(plain(format!("the caller hung up after {}, {then}", span(held))))
                }
                Some(Diagnosis {
                    pattern: Some(Pattern::IphoneNeverRegisters | Pattern::AndroidNeverRegisters),
                    ..
                })
                | None => Some(plain(format!(
                    "the caller hung up after {}, before a phone had registered",
                    span(held)
                ))),
                known => known,
            }
        }
        _ => first.or_else(|| Some(plain("no phone could be reached"))),
    }
}
