//! Phones that declined a call.

use super::attempt::Attempt;
use crate::engine::LegEnd;
use crate::engine::event::Verdict;

/// How a phone declined.
pub(super) struct Decline {
    pub busy: bool,
    pub sip: Option<u16>,
}

/// How a phone declined; `None` if it did not.
pub(super) fn of(attempt: &Attempt) -> Option<Decline> {
    let (cause, sip) = attempt.ended.as_ref()?;
    let end = LegEnd {
        cause: cause.as_str().into(),
        sip_status: u16::try_from(*sip).ok().filter(|sip| *sip > 0),
    };
    match end.verdict() {
        Verdict::Declined { busy } => Some(Decline {
            busy,
            sip: end.sip_status,
        }),
        _ => None,
    }
}

/// Whether phones declined, and all that did were busy.
pub(super) fn is_busy(attempts: &[Attempt]) -> bool {
    let mut all = attempts.iter().filter_map(of).peekable();
    all.peek().is_some() && all.all(|decline| decline.busy)
}

/// The result of a call that a phone declined.
pub(super) fn words(attempts: &[Attempt]) -> String {
    let is_busy = is_busy(attempts);
    let mut all = attempts.iter().filter_map(of);
    let sip = all
        .find(|decline| decline.busy == is_busy)
        .and_then(|decline| decline.sip);
    let sip = sip.map(|sip| format!(" ({sip})")).unwrap_or_default();
    if is_busy {
        format!("the phone was busy{sip}")
    } else if attempts.iter().any(|a| a.rang && of(a).is_some()) {
        format!("a phone rang and its user declined{sip}")
    } else {
        format!("a phone declined without ringing{sip}: do not disturb, or the app refuses calls")
    }
}
