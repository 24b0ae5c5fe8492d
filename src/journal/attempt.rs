//! What one call tried with one phone: the facts that a diagnosis is made of.

use super::facts::{fault_in, has_no_address, is_only_logged, kept_busy, topic_code_in};
use super::wake::{Dropped, Step, Wake};
use crate::types::push::{KeptBy, PushError, status_in};

/// A REGISTER later than this after the call came is hardly the push's doing: the phone's own timer was due, or somebody
/// opened the app. No caller waits so long either.
pub const LONGEST_USEFUL_WAIT_MS: u64 = 45_000;

/// Why a push was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The token is gone: the app was removed, or the user logged out.
    Gone,
    /// The token is wrong for this app or environment.
    Bad,
    /// The push itself is wrong.
    Rejected,
    /// No app with credentials for it, or its credentials are refused.
    Misconfigured,
    /// The provider could not be reached.
    Unreached,
    /// It did not answer in time.
    Unanswered,
    /// It answered that it takes no push for now.
    Busy,
    /// The push was given up before it was sent.
    GivenUp,
}

impl Refusal {
    /// The error that it was, as far as the journal has it.
    pub fn error(self, reason: &str) -> PushError {
        let status = status_in(reason);
        let text = reason.to_owned();
        let kept_by = match self {
            Self::Gone => {
                return PushError::TokenGone {
                    since: None,
                    reason: text,
                };
            }
            Self::Bad => return PushError::TokenBad { reason: text },
            Self::Rejected => {
                return PushError::Rejected {
                    status,
                    reason: topic_code_in(reason).map_or(text, str::to_owned),
                    topic: None,
                };
            }
            Self::Misconfigured => {
                return PushError::Misconfigured {
                    fault: fault_in(reason),
                    reason: text,
                };
            }
            Self::Unreached if has_no_address(reason) => KeptBy::NoAddress,
            Self::Unreached => KeptBy::NoConnection,
            Self::Unanswered => KeptBy::NoAnswer,
            Self::Busy => kept_busy(status, reason),
            Self::GivenUp => KeptBy::Us,
        };
        PushError::Exhausted { kept_by, reason: text }
    }

    /// Reads a `push-refused` line.
    fn of(step: &Step) -> Self {
        let reason = step.text("reason");
        match step.text("class") {
            "token-gone" => Self::Gone,
            "token-bad" => Self::Bad,
            "rejected" => Self::Rejected,
            "misconfigured" => Self::Misconfigured,
            "unreachable" => Self::Unreached,
            "no-answer" => Self::Unanswered,
            "provider-busy" => Self::Busy,
            "exhausted" => Self::of_exhausted(reason),
            // Lines of versions that wrote the reason only.
            _ if reason.starts_with("token gone") => Self::Gone,
            _ if reason.starts_with("token refused") => Self::Bad,
            _ if reason.starts_with("not configured") => Self::Misconfigured,
            _ if reason.starts_with("not delivered") => Self::of_exhausted(reason),
            _ => Self::Rejected,
        }
    }

    /// What kept a push, by its reason: older versions had one word for all of it.
    fn of_exhausted(reason: &str) -> Self {
        let said = reason.strip_prefix("not delivered in time: ").unwrap_or(reason);
        let said = said.strip_prefix("access token: ").unwrap_or(said);
        let status = said.split_whitespace().next().and_then(|word| word.parse().ok());
        if let Some(429_u16 | 500..=599) = status {
            return Self::Busy;
        }
        let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
        if has(&[
            "the call is over",
            "too many pushes",
            "no time left",
            "defect of fswake",
        ]) {
            Self::GivenUp
        } else if has(&["no answer in time", "no access token in time"]) {
            Self::Unanswered
        } else {
            Self::Unreached
        }
    }
}

/// A REGISTER after the call was over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Late {
    /// By so much.
    pub by_ms: u64,
    /// So long after the call had come.
    pub after_ms: u64,
}

impl Late {
    /// Whether a caller who waits longer would have reached it.
    pub fn is_worth_a_wait(&self) -> bool {
        self.after_ms <= LONGEST_USEFUL_WAIT_MS
    }
}

/// One phone in one call.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts about one phone, each set once"
)]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempt {
    /// The device's label, or `binding` for a phone without a token.
    pub device: String,
    /// `User-Agent` of its last REGISTER, where the journal has it.
    pub user_agent: String,
    /// How many call pushes were written.
    pub pushes: u32,
    /// The provider took one.
    pub accepted: bool,
    /// A push was only written to the log: its app has no provider.
    pub only_logged: bool,
    /// The provider said nothing to a push before the journal ends.
    pub unanswered: bool,
    /// The provider's last refusal, with its reason.
    pub refused: Option<(Refusal, String)>,
    /// Why its token was set aside.
    pub set_aside: Option<String>,
    /// It was not pushed: the rate limit.
    pub limited: bool,
    /// It registers without a push token, or its token was dropped.
    pub without_token: bool,
    /// The token that was dropped, where the journal has it.
    pub dropped: Option<Dropped>,
    /// It rode on another call's push.
    pub shared: bool,
    /// It registered during the call, so long after the first push (0 without one).
    pub registered_ms: Option<u64>,
    /// It registered after the call was over.
    pub late: Option<Late>,
    /// It was sent an INVITE after it had registered.
    pub invited_awake: bool,
    /// So long before the call was over it was sent the last one, if that has not ended before.
    pub invited_for_ms: Option<u64>,
    /// How often it was pushed again because it did not ring after its REGISTER.
    pub silent: u32,
    /// An INVITE after its REGISTER failed before it rang: cause, SIP status.
    pub failed_awake: Option<(String, u64)>,
    /// It rang.
    pub rang: bool,
    /// It answered.
    pub answered: bool,
    /// A leg's last end: cause, SIP status.
    pub ended: Option<(String, u64)>,
}

impl Attempt {
    /// The provider in its label.
    pub fn provider(&self) -> &str {
        self.device.split(':').next().unwrap_or_default()
    }

    /// The app id in its label.
    pub fn app(&self) -> &str {
        let rest = self.device.split_once(':').map_or("", |(_, rest)| rest);
        rest.rsplit_once(':').map_or("", |(app, _)| app)
    }

    /// The provider took a push, and the phone never came because of it.
    pub fn never_came(&self) -> bool {
        self.accepted && self.registered_ms.is_none() && self.woke_late().is_none() && !self.rang
    }

    /// It is registered, and had a token that was dropped: a phone that never had one is noted with its `User-Agent`.
    pub fn lost_its_token(&self) -> bool {
        self.without_token && self.user_agent.is_empty()
    }

    /// The INVITE after its REGISTER found no way to it: it has no SIP status, because FreeSWITCH sent none.
    pub fn could_not_be_sent(&self) -> bool {
        let failed = self.failed_awake.as_ref();
        failed.is_some_and(|(cause, sip)| *sip == 0 && is_without_a_way(cause))
    }

    /// It came after the call was over, and a longer wait would have reached it.
    pub fn woke_late(&self) -> Option<Late> {
        self.late.filter(Late::is_worth_a_wait)
    }
}

/// Causes of FreeSWITCH's own for a leg that it knew no way for.
pub(super) fn is_without_a_way(cause: &str) -> bool {
    matches!(
        cause,
        "NO_ROUTE_DESTINATION"
            | "NO_ROUTE_TRANSIT_NET"
            | "DESTINATION_OUT_OF_ORDER"
            | "NETWORK_OUT_OF_ORDER"
            | "NORMAL_TEMPORARY_FAILURE"
            | "INVALID_NUMBER_FORMAT"
            | "INVALID_URL"
            | "INVALID_PROFILE"
            | "INVALID_GATEWAY"
            | "CHAN_NOT_IMPLEMENTED"
    )
}

/// All phones of a wake, in the order in which they appear.
pub(super) fn all(wake: &Wake) -> Vec<Attempt> {
    let mut attempts: Vec<Attempt> = Vec::new();
    let mut pushed_at: Vec<Option<i64>> = Vec::new();
    let over_at = wake.step("call-over").map(|over| over.at_ms);
    for step in &wake.steps {
        let Some(device) = &step.device else { continue };
        let known = attempts.iter().position(|a| a.device == *device);
        let i = known.unwrap_or_else(|| {
            attempts.push(Attempt {
                device: device.clone(),
                ..Attempt::default()
            });
            pushed_at.push(None);
            attempts.len() - 1
        });
        let attempt = &mut attempts[i];
        if !step.text("user-agent").is_empty() {
            step.text("user-agent").clone_into(&mut attempt.user_agent);
        }
        let end = || (step.text("cause").to_owned(), step.number("sip").unwrap_or(0));
        match step.step.as_str() {
            "device-set-aside" => attempt.set_aside = Some(step.text("reason").to_owned()),
            "device-without-token" => {
                attempt.without_token = true;
                attempt.dropped.clone_from(&wake.dropped);
            }
            "push-sent" => {
                attempt.pushes += 1;
                attempt.unanswered = true;
                pushed_at[i].get_or_insert(step.at_ms);
            }
            "push-shared" => attempt.shared = true,
            "push-limited" => attempt.limited = true,
            "push-accepted" => {
                if is_only_logged(step.number("status")) {
                    attempt.only_logged = true;
                } else {
                    attempt.accepted = true;
                }
                attempt.unanswered = false;
            }
            "push-refused" => {
                attempt.refused = Some((Refusal::of(step), step.text("reason").to_owned()));
                attempt.unanswered = false;
            }
            "device-registered" => {
                let since_push = step.number("ms").or_else(|| {
                    let at = pushed_at[i]?;
                    u64::try_from(step.at_ms.saturating_sub(at)).ok()
                });
                attempt.registered_ms.get_or_insert(since_push.unwrap_or(0));
            }
            "late-register" => {
                attempt.late = Some(Late {
                    by_ms: step.number("late-ms").unwrap_or(0),
                    after_ms: u64::try_from(step.after_ms).unwrap_or(0),
                });
            }
            "leg-started" if attempt.registered_ms.is_some() => {
                attempt.invited_awake = true;
                let left = over_at.and_then(|over| u64::try_from(over.saturating_sub(step.at_ms)).ok());
                attempt.invited_for_ms = left;
            }
            "leg-silent" => attempt.silent += 1,
            "leg-ringing" => attempt.rang = true,
            "leg-answered" => attempt.answered = true,
            "leg-ended" => {
                if attempt.invited_awake && !attempt.rang {
                    attempt.failed_awake = Some(end());
                }
                attempt.invited_for_ms = None;
                attempt.ended = Some(end());
            }
            _ => {}
        }
    }
    attempts
}
