//! How the INVITE to a phone that had just registered came to nothing: each kind of end has a cause and an advice of its own.

use super::attempt::Attempt;

/// A phone that has registered needs about so long to ring; one with less time was late.
const TIME_TO_RING_MS: u64 = 500;

/// The end of such an INVITE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum InviteEnd {
    /// FreeSWITCH knew no way to the address.
    NoWay,
    /// 503: FreeSWITCH's own word for a connection that is gone, or the phone's.
    Unavailable,
    /// Nothing came back.
    Silence,
    /// The phone takes none of the codecs, or no media without (or with) SRTP.
    Incompatible,
    /// The phone refused it, or gave up.
    Refused,
}

impl InviteEnd {
    /// How it ended; `None` where there was none, or the call was over before the phone could ring.
    pub fn of(attempt: &Attempt) -> Option<Self> {
        if let Some((cause, sip)) = &attempt.failed_awake {
            return Some(match (sip, cause.as_str()) {
                _ if attempt.could_not_be_sent() => Self::NoWay,
                (503, _) => Self::Unavailable,
                // Nothing came back in time.
                (408, _) => Self::Silence,
                // RFC 3261 21.4.13, 21.4.26, 21.6.4.
                (415 | 488 | 606, _) | (0, "INCOMPATIBLE_DESTINATION") => Self::Incompatible,
                _ => Self::Refused,
            });
        }
        (attempt.invited_awake && !had_no_time(attempt)).then_some(Self::Silence)
    }
}

/// It was sent an INVITE when its call was nearly over.
pub(super) fn had_no_time(attempt: &Attempt) -> bool {
    let had = attempt.invited_for_ms;
    attempt.failed_awake.is_none() && attempt.silent == 0 && had.is_some_and(|had| had < TIME_TO_RING_MS)
}
