//! Why the INVITE to a phone that had just registered failed: each kind of failure has its own cause and advice.

use super::attempt::Attempt;
use crate::types::Printable;

/// A phone that has registered needs about this long to ring; with less time left it was late.
const TIME_TO_RING_MS: u64 = 500;

/// The end of such an INVITE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum InviteEnd {
    /// FreeSWITCH had no route to the address.
    NoWay,
    /// 503: from FreeSWITCH itself if the connection is gone, or from the phone.
    Unavailable,
    /// No answer.
    Silence,
    /// The phone supports none of the codecs, or refuses media without (or with) SRTP.
    Incompatible,
    /// The phone refused it, or gave up.
    Refused,
}

impl InviteEnd {
    /// How it ended; `None` if there was none, or the call was over before the phone could ring.
    pub fn of(attempt: &Attempt) -> Option<Self> {
        if let Some((cause, sip)) = &attempt.failed_awake {
            return Some(match (sip, cause.as_str()) {
                _ if attempt.could_not_be_sent() => Self::NoWay,
                (503, _) => Self::Unavailable,
                // No answer in time.
                (408, _) => Self::Silence,
                // RFC 3261 21.4.13, 21.4.26, 21.6.4.
                (415 | 488 | 606, _) | (0, "INCOMPATIBLE_DESTINATION") => Self::Incompatible,
                _ => Self::Refused,
            });
        }
        (attempt.invited_awake && !had_no_time(attempt)).then_some(Self::Silence)
    }

    /// Why a phone that had registered did not ring.
    pub(super) fn says(self, attempt: &Attempt) -> String {
        let device = Printable(&attempt.device);
        let why = match &attempt.failed_awake {
            Some((_, sip)) if *sip > 0 => format!("SIP {sip}"),
            Some((cause, _)) => Printable(cause).to_string(),
            None => String::new(),
        };
        match self {
            Self::NoWay => format!(
                "{device} woke up and registered, but FreeSWITCH could not send it the INVITE ({why}): it has no route to the \
                 phone's address"
            ),
            Self::Unavailable => format!(
                "{device} woke up and registered, but the INVITE right after it failed ({why}): FreeSWITCH had lost the \
                 connection to the phone (it gives 503 itself then), or the app cannot take a call yet (wake.settle-delay)"
            ),
            Self::Silence => format!(
                "{device} registered and did not ring: its INVITE was not answered{}; its app is suspended before the INVITE \
                 arrives, or never gets it (NAT, a half-open connection)",
                if attempt.silent > 0 {
                    ", and pushing it again did not help"
                } else {
                    ""
                }
            ),
            Self::Incompatible => format!(
                "{device} woke up and refused the INVITE ({why}): it supports none of the offered codecs, or one side requires \
                 SRTP and the other does not use it; compare the app's codecs and encryption with FreeSWITCH's"
            ),
            Self::Refused => format!(
                "{device} woke up and registered, but the INVITE right after it failed ({why}): the app registers before it can \
                 take a call; try a longer wake.settle-delay"
            ),
        }
    }
}

/// Whether the INVITE was sent when the call was nearly over.
pub(super) fn had_no_time(attempt: &Attempt) -> bool {
    let had = attempt.invited_for_ms;
    attempt.failed_awake.is_none() && attempt.silent == 0 && had.is_some_and(|had| had < TIME_TO_RING_MS)
}
