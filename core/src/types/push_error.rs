//! Why a push was not taken: facts, which become words only where they are shown.

use super::{Printable, Provider, UnixSeconds};

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
        /// The topic that it was about, where a probe tried several.
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
        /// What the provider or the connection says of it.
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
    /// The call was over first: nobody waits for the phone any more.
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
    /// A key's value is not what the key takes.
    #[error("WrongType {0}")]
    WrongType(String),
    /// A value would make a segment of the gateway's URL `.` or `..`.
    #[error("DotSegment")]
    DotSegment,
    /// With this push's values filled in, the gateway's URL is not a valid URL.
    #[error("NoUrl")]
    NoUrl,
    /// The app has no profile for this type of notification.
    #[error("the app has no profile {0}")]
    NoProfile(&'static str),
}

/// What an operator has to mend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The provider does not take the app's credentials.
    Credentials,
    /// Google has no good key for Apple: only pushes to iPhones need it.
    AppleKeyAtGoogle,
    /// The app's certificate has expired, and nothing is sent with it.
    CertificateExpired,
    /// The provider says that a token signed just now has expired: this machine's clock is wrong.
    Clock,
    /// The server that answers has a certificate that is not trusted.
    Untrusted,
    /// The other side refuses the app's own certificate in TLS.
    CertificateRefused,
    /// A setting of the app.
    Settings,
}

/// What keeps a push from being taken for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeptBy {
    /// The provider's name has no address.
    NoAddress,
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
    /// Apple has had too many new tokens of the app's signing key: somebody else signs with it too.
    BusyForKey {
        /// HTTP status.
        status: u16,
    },
    /// No provider: too many pushes wait here, or no time is left.
    Us,
}

impl KeptBy {
    /// The HTTP status of a provider that answers.
    pub fn answered(self) -> Option<u16> {
        match self {
            Self::Busy { status } | Self::BusyForThis { status } | Self::BusyForKey { status } => Some(status),
            Self::NoAddress | Self::NoConnection | Self::NoAnswer | Self::Us => None,
        }
    }

    /// The word in metrics, JSON and the journal.
    fn class(self) -> &'static str {
        match self {
            Self::NoAddress | Self::NoConnection => "unreachable",
            Self::NoAnswer => "no-answer",
            Self::Busy { .. } | Self::BusyForThis { .. } | Self::BusyForKey { .. } => "provider-busy",
            Self::Us => "exhausted",
        }
    }
}

/// Apple's codes for a topic that it refuses.
pub const TOPIC_CODES: [&str; 3] = ["BadTopic", "MissingTopic", "TopicDisallowed"];

/// The HTTP status in a reason, as in `503 UNAVAILABLE`; 0 where there is none.
pub fn status_in(reason: &str) -> u16 {
    let mut words = reason.split_whitespace();
    words.find_map(|word| word.parse().ok()).unwrap_or_default()
}

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

    /// The word for what the failure asks for: in metrics, JSON and the status page.
    pub fn class(&self) -> &'static str {
        match self {
            Self::TokenGone { .. } => "token-gone",
            Self::TokenBad { .. } => "token-bad",
            Self::Rejected { .. } | Self::Refused(_) => "rejected",
            Self::Misconfigured { .. } | Self::NoApp { .. } => "misconfigured",
            Self::Exhausted { kept_by, .. } => kept_by.class(),
            Self::CallOver => KeptBy::Us.class(),
        }
    }

    /// The provider's reason code, where it gave one for this push.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::TokenGone { reason, .. } | Self::TokenBad { reason } | Self::Rejected { reason, .. } => Some(reason),
            _ => None,
        }
    }

    /// What the provider, the connection or fswake says of it, without saying who refused it.
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

    /// Whether any push to this device fails for now, whatever it says and whoever asks for it.
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
