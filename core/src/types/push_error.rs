//! Why a push was not taken: facts, which become words only for display.

use super::push_error_kind::{Fault, KeptBy, PushErrorKind};
use super::{Printable, Provider, UnixSeconds};

/// Why a push was not taken, named by what the caller does next.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum PushError {
    /// Drop the token, unless the phone registered with it after `since` (APNs 410, FCM UNREGISTERED).
    #[error("token gone ({reason})")]
    TokenGone {
        /// The provider's timestamp, if it gives one.
        since: Option<UnixSeconds>,
        /// The provider's reason code.
        reason: String,
    },
    /// Set the token aside until its next REGISTER: the cause is as often a wrong setting as a bad token.
    #[error("token refused ({reason})")]
    TokenBad {
        /// The provider's reason code.
        reason: String,
    },
    /// The provider does not take this push, however often it is repeated.
    #[error("refused by the provider: {status} {reason}{}", in_brackets(topic.as_deref()))]
    Rejected {
        /// HTTP status.
        status: u16,
        /// The provider's reason code.
        reason: String,
        /// The rejected topic, if a probe tried several.
        topic: Option<String>,
    },
    /// fswake does not send it: no provider was asked.
    #[error("refused by fswake: {0}")]
    Refused(OwnRefusal),
    /// No configured app serves the device: an operator has to act.
    #[error("no app serves provider {} and app id {}", Printable(provider.name()), Printable(app))]
    NoApp {
        /// The device's provider.
        provider: Provider,
        /// The device's app id.
        app: std::sync::Arc<str>,
    },
    /// The app's settings or credentials are wrong, or no trusted provider is reached: an operator has to act.
    #[error("{reason}")]
    Misconfigured {
        /// What is at fault.
        fault: Fault,
        /// The provider's or the connection's reason.
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
    /// The call was over first: the phone is not needed any more.
    #[error("the call is over")]
    CallOver,
}

/// Why fswake sends no push for a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum OwnRefusal {
    /// The device has no token that this push could go to.
    #[error("NoToken")]
    NoToken,
    /// It has no token for anything but calls.
    #[error("NoRemoteToken")]
    NoRemoteToken,
    /// It is too large, however short its texts are made.
    #[error("PayloadTooLarge")]
    PayloadTooLarge,
    /// The provider keeps a key of the payload to itself.
    #[error("ReservedKey {0}")]
    ReservedKey(String),
    /// A key has a value of the wrong kind.
    #[error("WrongType {0}")]
    WrongType(String),
    /// A value would make a segment of the gateway's URL `.` or `..`.
    #[error("DotSegment")]
    DotSegment,
    /// With this push's values filled in, the gateway's URL is not a valid URL.
    #[error("NoUrl")]
    NoUrl,
    /// The operator's rules forbid pushes to the host of a web push subscription.
    #[error("EndpointNotAllowed {0}")]
    EndpointNotAllowed(String),
    /// The push service of a subscription has no trusted certificate.
    #[error("EndpointNotTrusted: {0}")]
    EndpointNotTrusted(String),
    /// The app has no profile for this type of notification.
    #[error("the app has no profile {0}")]
    NoProfile(&'static str),
}

/// Apple's codes for a topic that it refuses.
pub const TOPIC_CODES: [&str; 3] = ["BadTopic", "MissingTopic", "TopicDisallowed"];

fn in_brackets(detail: Option<&str>) -> String {
    detail.map_or_else(String::new, |detail| format!(" ({detail})"))
}

impl PushError {
    /// The provider does not take the app's credentials.
    pub fn credentials(reason: impl Into<String>) -> Self {
        Self::Misconfigured {
            fault: Fault::Credentials,
            reason: reason.into(),
        }
    }

    /// The app's certificate has expired.
    pub fn certificate_expired() -> Self {
        Self::Misconfigured {
            fault: Fault::CertificateExpired,
            reason: "CertificateExpired".to_owned(),
        }
    }

    /// A setting of the app is wrong.
    pub fn settings(reason: impl Into<String>) -> Self {
        Self::Misconfigured {
            fault: Fault::Settings,
            reason: reason.into(),
        }
    }

    /// What kind of error it is, without its texts.
    pub fn kind(&self) -> PushErrorKind {
        match self {
            Self::TokenGone { .. } => PushErrorKind::TokenGone,
            Self::TokenBad { .. } => PushErrorKind::TokenBad,
            Self::Rejected { status, .. } if self.is_about_the_topic() => {
                PushErrorKind::TopicRejected { status: *status }
            }
            Self::Rejected { status, .. } => PushErrorKind::Rejected { status: *status },
            Self::Refused(_) => PushErrorKind::Refused,
            Self::NoApp { .. } => PushErrorKind::NoApp,
            Self::Misconfigured { fault, .. } => PushErrorKind::Misconfigured(*fault),
            Self::Exhausted { kept_by, .. } => PushErrorKind::Exhausted(*kept_by),
            Self::CallOver => PushErrorKind::CallOver,
        }
    }

    /// The word for what the failure asks for: in metrics, JSON and the status page.
    pub fn class(&self) -> &'static str {
        self.kind().class()
    }

    /// The provider's reason code, where it gave one for this push.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::TokenGone { reason, .. } | Self::TokenBad { reason } | Self::Rejected { reason, .. } => Some(reason),
            _ => None,
        }
    }

    /// The reason, from the provider, the connection or fswake, without its source.
    pub fn reason(&self) -> String {
        match self {
            Self::TokenGone { reason, .. }
            | Self::TokenBad { reason }
            | Self::Misconfigured { reason, .. }
            | Self::Exhausted { reason, .. } => reason.clone(),
            Self::Rejected { reason, topic, .. } => format!("{reason}{}", in_brackets(topic.as_deref())),
            Self::Refused(why) => why.to_string(),
            Self::NoApp { .. } | Self::CallOver => self.to_string(),
        }
    }

    /// Whether Apple refuses the topic, whichever phone the push is for.
    pub fn is_about_the_topic(&self) -> bool {
        let code = self.code().unwrap_or_default();
        matches!(self, Self::Rejected { .. }) && TOPIC_CODES.contains(&code)
    }

    /// The same, with the topic that it was about.
    #[must_use]
    pub fn with_topic(self, topic: &str) -> Self {
        match self {
            Self::Rejected { status, reason, .. } => Self::Rejected {
                status,
                reason,
                topic: Some(topic.to_owned()),
            },
            other => other,
        }
    }

    /// Whether any push to this device fails for now, whatever its content and sender.
    pub fn is_about_the_device(&self) -> bool {
        match self {
            Self::TokenGone { .. } | Self::TokenBad { .. } | Self::Misconfigured { .. } | Self::NoApp { .. } => true,
            Self::Rejected { .. } | Self::Refused(_) | Self::Exhausted { .. } | Self::CallOver => false,
        }
    }

    /// Whether pushing this device again in the same call cannot help.
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Exhausted { .. } | Self::CallOver)
    }
}
