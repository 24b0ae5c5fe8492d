//! Why a call was not connected, as one word for lists, from the same facts as the diagnosis.

use serde::Serialize;

use super::attempt::Attempt;
use super::decline;
use super::diagnosis::{self, Diagnosis};
use super::history::History;
use super::pattern::Pattern;
use crate::engine::{HoldResult, StepKind};
use crate::types::push::{Fault, PushErrorKind};

/// Why a call was not connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The provider took the push, and the phone did not register.
    NeverRegistered,
    /// It registered after the call was over.
    RegisteredTooLate,
    /// It registered, and its INVITE failed.
    DidNotRing,
    /// It rang, and nobody answered.
    NoAnswer,
    /// Its user is in another call.
    Busy,
    /// It refused the call.
    Declined,
    /// The caller hung up while a phone rang.
    HungUpRinging,
    /// The caller hung up before a phone had registered.
    HungUpWaiting,
    /// The callee has none.
    NoPhone,
    /// It registers without a push token.
    NoToken,
    /// No `[[app]]` serves it.
    NoApp,
    /// The provider no longer knows its token.
    TokenGone,
    /// The provider calls its token wrong, now or before.
    TokenRefused,
    /// The provider refuses the app's credentials.
    CredentialsRefused,
    /// The provider refuses this push.
    PushRefused,
    /// The provider could not be reached.
    ProviderUnreachable,
    /// The provider is busy.
    ProviderBusy,
    /// This machine's clock is wrong.
    ClockWrong,
    /// The rate limit was reached.
    RateLimited,
    /// FreeSWITCH's connection for this call broke.
    ConnectionLost,
    /// A phone answered, and FreeSWITCH ended the call instead of connecting the two.
    BridgeFailed,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 21] = [
        Self::NeverRegistered,
        Self::RegisteredTooLate,
        Self::DidNotRing,
        Self::NoAnswer,
        Self::Busy,
        Self::Declined,
        Self::HungUpRinging,
        Self::HungUpWaiting,
        Self::NoPhone,
        Self::NoToken,
        Self::NoApp,
        Self::TokenGone,
        Self::TokenRefused,
        Self::CredentialsRefused,
        Self::PushRefused,
        Self::ProviderUnreachable,
        Self::ProviderBusy,
        Self::ClockWrong,
        Self::RateLimited,
        Self::ConnectionLost,
        Self::BridgeFailed,
    ];
}

/// Why a call was not connected; `None` if it was, is held, or the reason is unknown.
pub(super) fn of(history: &History<'_>, diagnosis: Option<&Diagnosis>) -> Option<Reason> {
    match history.result? {
        HoldResult::Connected | HoldResult::Taken | HoldResult::Woken | HoldResult::Draining | HoldResult::HandsOff => {
            None
        }
        HoldResult::NoDevice if history.dropped.is_some() => Some(Reason::TokenGone),
        HoldResult::NoDevice => Some(Reason::NoPhone),
        HoldResult::Declined => Some(refusal(&history.attempts)),
        HoldResult::Error if history.has(StepKind::CallCut) => Some(Reason::BridgeFailed),
        HoldResult::Error => Some(Reason::ConnectionLost),
        HoldResult::Timeout => Some(Reason::NoAnswer),
        HoldResult::Abandoned => Some(abandoned(&history.attempts, diagnosis)),
        HoldResult::Unreachable => history.attempts.iter().find_map(of_attempt),
    }
}

fn abandoned(attempts: &[Attempt], diagnosis: Option<&Diagnosis>) -> Reason {
    let first = attempts.iter().find_map(of_attempt);
    if attempts.iter().any(|a| a.rang) {
        Reason::HungUpRinging
    } else if diagnosis.is_some_and(|d| d.pattern.is_some()) {
        first.unwrap_or(Reason::HungUpWaiting)
    } else if first.is_none() && attempts.iter().any(|a| decline::of(a).is_some()) {
        refusal(attempts)
    } else if first == Some(Reason::RegisteredTooLate) {
        Reason::RegisteredTooLate
    } else {
        Reason::HungUpWaiting
    }
}

fn refusal(attempts: &[Attempt]) -> Reason {
    if decline::is_busy(attempts) {
        Reason::Busy
    } else {
        Reason::Declined
    }
}

/// Why one phone did not take the call.
fn of_attempt(attempt: &Attempt) -> Option<Reason> {
    let error = attempt.refused.as_ref().map(|(error, _)| *error);
    let Some(pattern) = diagnosis::of_attempt(attempt)?.pattern else {
        return match error {
            Some(PushErrorKind::Misconfigured(Fault::Clock)) => Some(Reason::ClockWrong),
            Some(PushErrorKind::Rejected { .. } | PushErrorKind::TopicRejected { .. } | PushErrorKind::Refused) => {
                Some(Reason::PushRefused)
            }
            _ => attempt.limited.then_some(Reason::RateLimited),
        };
    };
    Some(match pattern {
        Pattern::IphoneNeverRegisters | Pattern::AndroidNeverRegisters => Reason::NeverRegistered,
        Pattern::LateRegisters => Reason::RegisteredTooLate,
        Pattern::InviteAfterRegisterFails => Reason::DidNotRing,
        Pattern::CredentialsRefused => Reason::CredentialsRefused,
        Pattern::ProviderUnreachable => Reason::ProviderUnreachable,
        Pattern::ProviderBusy => Reason::ProviderBusy,
        Pattern::NoTokenOrApp if attempt.without_token => Reason::NoToken,
        Pattern::NoTokenOrApp => Reason::NoApp,
        Pattern::StaleTokens if attempt.set_aside.is_some() => Reason::TokenRefused,
        Pattern::StaleTokens if error == Some(PushErrorKind::TokenBad) => Reason::TokenRefused,
        Pattern::StaleTokens => Reason::TokenGone,
    })
}
