//! One push as a value: what is asked of a provider, and how it ended.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub use super::payload::{Payload, PayloadError};
use super::{Aor, CallId, NotificationId, PushId, PushParams, TokenType, UnixSeconds};

/// What a push about a call tells the phone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushKind {
    /// A call waits: register now.
    Call,
    /// The call of an earlier push is over for this phone.
    Cancel(CancelReason),
    /// The call was not answered by anybody.
    MissedCall,
}

/// Why a pushed phone may stop ringing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CancelReason {
    /// The caller hung up.
    CallerHungUp,
    /// Another device of the callee answered.
    AnsweredElsewhere,
    /// Another device of the callee declined for all of them.
    DeclinedElsewhere,
    /// Nobody answered in time.
    TimedOut,
}

impl CancelReason {
    /// The word in payloads, logs and the journal.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CallerHungUp => "caller-hung-up",
            Self::AnsweredElsewhere => "answered-elsewhere",
            Self::DeclinedElsewhere => "declined-elsewhere",
            Self::TimedOut => "timed-out",
        }
    }
}

/// One push to one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushRequest {
    /// Ours; comes back with the outcome.
    pub id: PushId,
    /// Provider, app and tokens of the device.
    pub to: PushParams,
    /// What it is about.
    pub about: About,
    /// Who is called or written to, as they were named.
    pub callee: Aor,
    /// The domain that the device registered with: what its app is chosen by.
    pub domain: Arc<str>,
    /// How long the provider may keep it: a call's until the wait ends.
    pub ttl: Duration,
}

impl PushRequest {
    /// What it says of a call; `None`: it is no call's.
    pub fn call(&self) -> Option<&CallPush> {
        match &self.about {
            About::Call(call) => Some(call),
            About::Notification(_) => None,
        }
    }

    /// How long to go on trying: a call's wait, and for a message some seconds, because somebody waits for the answer.
    pub fn patience(&self) -> Duration {
        match self.about {
            About::Call(_) => self.ttl,
            About::Notification(_) => self.ttl.min(PATIENCE),
        }
    }
}

/// How long a push that is no call's is tried.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a push is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// A call.
    Call(CallPush),
    /// Something else that somebody had to say.
    Notification(NotificationPush),
}

/// What a push says of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallPush {
    /// What has happened to it.
    pub kind: PushKind,
    /// The call.
    pub call: CallId,
    /// The SIP Call-ID that the INVITE to this device will carry (`sip_invite_call_id`), so that an app can match the two.
    pub sip_call_id: Arc<str>,
    /// Caller's number as FreeSWITCH gave it; may be empty.
    pub caller_number: Arc<str>,
    /// Caller's name as FreeSWITCH gave it; may be empty, any text.
    pub caller_name: Arc<str>,
    /// When the call started to be held.
    pub held_at: SystemTime,
}

/// A push that somebody asked for and that is no call's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotificationPush {
    /// Which notification.
    pub notification: NotificationId,
    /// To which of the device's tokens it goes.
    pub token_type: TokenType,
    /// What it says; the same for every device.
    pub payload: Arc<Payload>,
}

/// A provider took the push.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PushReceipt {
    /// The provider's name for it (`apns-id`, FCM message name), for the journal.
    pub provider_id: Option<String>,
    /// HTTP status; 0 where no provider was asked and the push was only written to the log.
    pub status: u16,
    /// How many requests it took, retries included.
    pub attempts: u32,
}

/// Why a push was not taken, named by what the caller does next.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum PushError {
    /// Drop the token, unless the phone registered with it after `since` (APNs 410, FCM UNREGISTERED).
    #[error("token gone ({reason})")]
    TokenGone {
        /// The provider's timestamp, where it gives one.
        since: Option<UnixSeconds>,
        /// The provider's reason code.
        reason: String,
    },
    /// Set the token aside until its next REGISTER: as often our own mistake as the token's.
    #[error("token refused ({reason})")]
    TokenBad {
        /// The provider's reason code.
        reason: String,
    },
    /// This push cannot be made to work by repeating it (payload, size, forbidden).
    #[error("{}", rejected(*status, reason))]
    Rejected {
        /// HTTP status; 0 when it was refused here, before sending.
        status: u16,
        /// The provider's reason code.
        reason: String,
    },
    /// No app with credentials for it, or the credentials are refused: an operator has to act.
    #[error("{reason}")]
    Misconfigured {
        /// What to look at.
        reason: String,
    },
    /// Every try inside the wait failed for a passing reason; the last one is named.
    #[error("{reason}")]
    Exhausted {
        /// What kept it.
        kept_by: KeptBy,
        /// The last passing failure.
        reason: String,
    },
}

/// What keeps a push from being taken for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeptBy {
    /// There is no connection with the provider, or it broke.
    NoConnection,
    /// The provider does not answer in time, or the way to it loses what is sent.
    NoAnswer,
    /// The provider answers that it takes no pushes of this app for now (429, 5xx).
    Busy {
        /// HTTP status.
        status: u16,
    },
    /// The provider answers that it does not take this push for now. Whether it takes others is not known: one phone may have had
    /// too many (429), and a gateway may fail for one of them only.
    BusyForThis {
        /// HTTP status.
        status: u16,
    },
    /// No provider: the call is over, too many pushes wait here, no time is left.
    Us,
}

impl KeptBy {
    /// The HTTP status of a provider that answers.
    pub fn answered(self) -> Option<u16> {
        match self {
            Self::Busy { status } | Self::BusyForThis { status } => Some(status),
            Self::NoConnection | Self::NoAnswer | Self::Us => None,
        }
    }

    /// The word in metrics, JSON and the journal.
    fn class(self) -> &'static str {
        match self {
            Self::NoConnection => "unreachable",
            Self::NoAnswer => "no-answer",
            Self::Busy { .. } | Self::BusyForThis { .. } => "provider-busy",
            Self::Us => "exhausted",
        }
    }
}

/// The HTTP status in a reason, as in `503 UNAVAILABLE`; 0 where there is none.
pub fn status_in(reason: &str) -> u16 {
    let mut words = reason.split_whitespace();
    words.find_map(|word| word.parse().ok()).unwrap_or_default()
}

/// Which side refused it.
fn rejected(status: u16, reason: &str) -> String {
    match status {
        0 => format!("refused by fswake: {reason}"),
        _ => format!("refused by the provider: {status} {reason}"),
    }
}

impl PushError {
    /// The word for what the failure asks for: in metrics, JSON and the status page.
    pub fn class(&self) -> &'static str {
        match self {
            Self::TokenGone { .. } => "token-gone",
            Self::TokenBad { .. } => "token-bad",
            Self::Rejected { .. } => "rejected",
            Self::Misconfigured { .. } => "misconfigured",
            Self::Exhausted { kept_by, .. } => kept_by.class(),
        }
    }

    /// Whether any push to this device fails for now, whatever it says and whoever asks for it.
    pub fn is_about_the_device(&self) -> bool {
        match self {
            Self::TokenGone { .. } | Self::TokenBad { .. } | Self::Misconfigured { .. } => true,
            Self::Rejected { .. } | Self::Exhausted { .. } => false,
        }
    }

    /// Whether pushing this device again in the same call cannot help.
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Exhausted { .. })
    }
}

/// How a push ended: exactly one for every request.
pub type PushOutcome = Result<PushReceipt, PushError>;
