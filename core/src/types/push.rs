//! One push as a value: the request to a provider, and how it ended.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub use super::payload::{Payload, PayloadError};
pub use super::push_error::{OwnRefusal, PushError, TOPIC_CODES};
pub use super::push_error_kind::{Fault, KeptBy, PushErrorKind};
use super::{Aor, CallId, DeviceKey, NotificationId, PushId, PushParams, TokenType};
use crate::word_enum;

/// What a push about a call tells the phone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushKind {
    /// A call waits: register now.
    Call,
    /// The call of an earlier push is over for this phone.
    Cancel(CancelReason),
    /// Nobody answered the call.
    MissedCall,
}

word_enum! {
    /// Why a pushed phone may stop ringing.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum CancelReason {
        /// The caller hung up.
        CallerHungUp = "caller-hung-up",
        /// Another device of the callee answered.
        AnsweredElsewhere = "answered-elsewhere",
        /// Another device of the callee declined for all of them.
        DeclinedElsewhere = "declined-elsewhere",
        /// Nobody answered in time.
        TimedOut = "timed-out",
    }
}

word_enum! {
    /// What a push is for, in settings, logs, metrics and payloads.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum PushPurpose {
        /// A call waits.
        Call = "call",
        /// The call is over for this phone.
        Cancel = "cancel",
        /// Nobody answered the call.
        MissedCall = "missed-call",
        /// Somebody asked for it: a message, or anything else.
        Notification = "notification",
        /// A mailbox has changed.
        Voicemail = "voicemail",
        /// The phone's registration is about to end.
        Refresh = "refresh",
    }
}

/// One push to one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushRequest {
    /// fswake's number for it; returned with the outcome.
    pub id: PushId,
    /// Provider, app and tokens of the device.
    pub to: PushParams,
    /// What it is about.
    pub about: About,
    /// Who is called or written to, by the name that was used.
    pub callee: Aor,
    /// The domain that the device registered with: it selects the app.
    pub domain: Arc<str>,
    /// How long the provider may keep it: a call's until the wait ends.
    pub ttl: Duration,
}

impl PushRequest {
    /// What it tells about a call; `None`: it is not about a call.
    pub fn call(&self) -> Option<&CallPush> {
        match &self.about {
            About::Call(call) => Some(call),
            About::Notification(_) => None,
        }
    }

    /// The device that it goes to.
    pub fn device(&self) -> DeviceKey {
        DeviceKey {
            aor: Aor {
                user: self.callee.user.clone(),
                domain: self.domain.clone(),
            },
            provider: self.to.provider.clone(),
            app: self.to.app.clone(),
            token: self.to.token().clone(),
        }
    }

    /// How long to keep trying: a call's wait, and for everything else some seconds.
    pub fn patience(&self) -> Duration {
        match self.about.purpose() {
            PushPurpose::Call => self.ttl,
            // "Do not keep it" does not mean "do not send it".
            _ if self.ttl.is_zero() => PATIENCE,
            _ => self.ttl.min(PATIENCE),
        }
    }

    /// How long the provider may keep it, however long it was tried before; `None`: until the wait ends.
    pub fn kept_for(&self) -> Option<Duration> {
        match self.about.purpose() {
            PushPurpose::Call | PushPurpose::Cancel => None,
            _ => Some(self.ttl),
        }
    }
}

/// How long a push that no caller waits for is tried.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a push is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// A call.
    Call(CallPush),
    /// Something else.
    Notification(NotificationPush),
}

impl About {
    /// What the push is for.
    pub fn purpose(&self) -> PushPurpose {
        match self {
            Self::Call(call) => call.kind.purpose(),
            Self::Notification(notification) => notification.purpose.purpose(),
        }
    }
}

impl PushKind {
    /// What the push is for.
    pub fn purpose(&self) -> PushPurpose {
        match self {
            Self::Call => PushPurpose::Call,
            Self::Cancel(_) => PushPurpose::Cancel,
            Self::MissedCall => PushPurpose::MissedCall,
        }
    }
}

/// What a push tells about a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallPush {
    /// What has happened to it.
    pub kind: PushKind,
    /// The call.
    pub call: CallId,
    /// The SIP Call-ID that the INVITE to this device will carry (`sip_invite_call_id`), so that an app can match the
    /// two.
    pub sip_call_id: Arc<str>,
    /// Caller's number as FreeSWITCH gave it; may be empty.
    pub caller_number: Arc<str>,
    /// Caller's name as FreeSWITCH gave it; may be empty, any text.
    pub caller_name: Arc<str>,
    /// When the call started to be held.
    pub held_at: SystemTime,
}

/// A push without a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotificationPush {
    /// What it is for.
    pub purpose: NotificationPurpose,
    /// To which of the device's tokens it goes.
    pub token_type: TokenType,
    /// Its content; the same for every device.
    pub payload: Arc<Payload>,
}

/// What a push without a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotificationPurpose {
    /// Somebody asked for it.
    Request(NotificationId),
    /// A mailbox has changed.
    Voicemail(NotificationId),
    /// The phone's registration is about to end, and the app should register again. Nothing is shown, and there is no
    /// hurry.
    Refresh,
}

impl NotificationPurpose {
    /// What the push is for.
    pub fn purpose(self) -> PushPurpose {
        match self {
            Self::Request(_) => PushPurpose::Notification,
            Self::Voicemail(_) => PushPurpose::Voicemail,
            Self::Refresh => PushPurpose::Refresh,
        }
    }
}

/// A provider took the push.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PushReceipt {
    /// The provider's name for it (`apns-id`, FCM message name), for the journal.
    pub provider_id: Option<String>,
    /// HTTP status; 0 if no provider was asked and the push was only written to the log.
    pub status: u16,
    /// How many requests it took, retries included.
    pub attempts: u32,
}

impl PushReceipt {
    /// No provider was asked: the push was only written to the log.
    pub fn is_only_logged(&self) -> bool {
        self.status == 0
    }
}

/// How a push ended: exactly one for every request.
pub type PushOutcome = Result<PushReceipt, PushError>;
