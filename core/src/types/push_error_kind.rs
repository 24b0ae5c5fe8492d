//! What kind of error a push had, without its texts: stored, counted, and used for advice.

/// What kind of error a push had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PushErrorKind {
    /// The token is gone: the app was removed, or the user logged out.
    TokenGone,
    /// The token is wrong for this app or environment.
    TokenBad,
    /// The provider refuses this push.
    Rejected {
        /// HTTP status; 0 where it is not known.
        status: u16,
    },
    /// Apple refuses the topic, whichever phone the push is for.
    TopicRejected {
        /// HTTP status; 0 where it is not known.
        status: u16,
    },
    /// fswake does not send it.
    Refused,
    /// No configured app serves the device.
    NoApp,
    /// An operator has to act.
    Misconfigured(Fault),
    /// Every try inside the wait failed for a passing reason.
    Exhausted(KeptBy),
    /// The call was over first.
    CallOver,
}

impl PushErrorKind {
    /// All of them, with status 0.
    pub const ALL: [Self; 22] = [
        Self::TokenGone,
        Self::TokenBad,
        Self::Rejected { status: 0 },
        Self::TopicRejected { status: 0 },
        Self::Refused,
        Self::NoApp,
        Self::Misconfigured(Fault::Credentials),
        Self::Misconfigured(Fault::AppleKeyAtGoogle),
        Self::Misconfigured(Fault::CertificateExpired),
        Self::Misconfigured(Fault::Clock),
        Self::Misconfigured(Fault::Untrusted),
        Self::Misconfigured(Fault::CertificateRefused),
        Self::Misconfigured(Fault::Settings),
        Self::Exhausted(KeptBy::NoAddress),
        Self::Exhausted(KeptBy::NoConnection),
        Self::Exhausted(KeptBy::NoAnswer),
        Self::Exhausted(KeptBy::Busy { status: 0 }),
        Self::Exhausted(KeptBy::BusyForThis { status: 0 }),
        Self::Exhausted(KeptBy::BusyForPhone { status: 0 }),
        Self::Exhausted(KeptBy::BusyForKey { status: 0 }),
        Self::Exhausted(KeptBy::Us),
        Self::CallOver,
    ];

    /// Its code in the journal and in JSON.
    pub fn code(self) -> &'static str {
        match self {
            Self::TokenGone => "token-gone",
            Self::TokenBad => "token-bad",
            Self::Rejected { .. } => "rejected",
            Self::TopicRejected { .. } => "topic-rejected",
            Self::Refused => "not-sendable",
            Self::NoApp => "no-app",
            Self::Misconfigured(Fault::Credentials) => "credentials",
            Self::Misconfigured(Fault::AppleKeyAtGoogle) => "apple-key-at-google",
            Self::Misconfigured(Fault::CertificateExpired) => "certificate-expired",
            Self::Misconfigured(Fault::Clock) => "clock",
            Self::Misconfigured(Fault::Untrusted) => "untrusted",
            Self::Misconfigured(Fault::CertificateRefused) => "certificate-refused",
            Self::Misconfigured(Fault::Settings) => "settings",
            Self::Exhausted(KeptBy::NoAddress) => "no-address",
            Self::Exhausted(KeptBy::NoConnection) => "no-connection",
            Self::Exhausted(KeptBy::NoAnswer) => "no-answer",
            Self::Exhausted(KeptBy::Busy { .. }) => "busy",
            Self::Exhausted(KeptBy::BusyForThis { .. }) => "busy-for-this",
            Self::Exhausted(KeptBy::BusyForPhone { .. }) => "busy-for-phone",
            Self::Exhausted(KeptBy::BusyForKey { .. }) => "busy-for-key",
            Self::Exhausted(KeptBy::Us) => "not-sent",
            Self::CallOver => "call-over",
        }
    }

    /// The kind of this code and HTTP status; `None` for a code of a later version.
    pub fn from_code(code: &str, of_provider: Option<u16>) -> Option<Self> {
        let mut kind = Self::ALL.into_iter().find(|kind| kind.code() == code)?;
        if let Self::Rejected { status }
        | Self::TopicRejected { status }
        | Self::Exhausted(
            KeptBy::Busy { status }
            | KeptBy::BusyForThis { status }
            | KeptBy::BusyForPhone { status }
            | KeptBy::BusyForKey { status },
        ) = &mut kind
        {
            *status = of_provider.unwrap_or_default();
        }
        Some(kind)
    }

    /// The HTTP status of a provider that answers.
    pub fn status(self) -> Option<u16> {
        match self {
            Self::Rejected { status } | Self::TopicRejected { status } => Some(status),
            Self::Exhausted(kept_by) => kept_by.answered(),
            Self::TokenGone
            | Self::TokenBad
            | Self::Refused
            | Self::NoApp
            | Self::Misconfigured(_)
            | Self::CallOver => None,
        }
    }

    /// The word for what the failure asks for: in metrics, JSON and the status page.
    pub fn class(self) -> &'static str {
        match self {
            Self::TokenGone => "token-gone",
            Self::TokenBad => "token-bad",
            Self::Rejected { .. } | Self::TopicRejected { .. } | Self::Refused => "rejected",
            Self::Misconfigured(_) | Self::NoApp => "misconfigured",
            Self::Exhausted(KeptBy::NoAddress | KeptBy::NoConnection) => "unreachable",
            Self::Exhausted(KeptBy::NoAnswer) => "no-answer",
            Self::Exhausted(
                KeptBy::Busy { .. }
                | KeptBy::BusyForThis { .. }
                | KeptBy::BusyForPhone { .. }
                | KeptBy::BusyForKey { .. },
            ) => "provider-busy",
            Self::Exhausted(KeptBy::Us) | Self::CallOver => "exhausted",
        }
    }

    /// Whether it failed before a provider was asked: no app serves the device, or its app has no valid certificate.
    pub fn is_before_sending(self) -> bool {
        matches!(self, Self::NoApp | Self::Misconfigured(Fault::CertificateExpired))
    }
}

/// What an operator has to fix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The provider does not take the app's credentials.
    Credentials,
    /// Google has no good key for Apple: only pushes to iPhones need it.
    AppleKeyAtGoogle,
    /// The app's certificate has expired, and nothing is sent with it.
    CertificateExpired,
    /// The provider rejects a token signed just now as expired: this machine's clock is wrong.
    Clock,
    /// The server's certificate is not trusted.
    Untrusted,
    /// The other side refuses the app's own certificate in TLS.
    CertificateRefused,
    /// A setting of the app.
    Settings,
}

/// Why a push fails for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeptBy {
    /// The provider's name has no address.
    NoAddress,
    /// There is no connection with the provider, or it broke.
    NoConnection,
    /// The provider does not answer in time, or the network loses what is sent.
    NoAnswer,
    /// The provider answers that it takes no pushes of this app for now (429, 5xx).
    Busy {
        /// HTTP status.
        status: u16,
    },
    /// The provider does not take this push for now. Whether it takes others is unknown: one phone may have had too
    /// many (429), and a gateway may fail for one of them only.
    BusyForThis {
        /// HTTP status.
        status: u16,
    },
    /// Apple has had too many pushes to this phone.
    BusyForPhone {
        /// HTTP status.
        status: u16,
    },
    /// Apple has had too many new tokens of the app's signing key: something else signs with it too.
    BusyForKey {
        /// HTTP status.
        status: u16,
    },
    /// Not the provider's: too many pushes wait in fswake, or no time is left.
    Us,
}

impl KeptBy {
    /// The HTTP status of a provider that answers.
    pub fn answered(self) -> Option<u16> {
        match self {
            Self::Busy { status }
            | Self::BusyForThis { status }
            | Self::BusyForPhone { status }
            | Self::BusyForKey { status } => Some(status),
            Self::NoAddress | Self::NoConnection | Self::NoAnswer | Self::Us => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_read_back_with_its_status() {
        for kind in PushErrorKind::ALL {
            let read = PushErrorKind::from_code(kind.code(), Some(503)).unwrap();
            assert_eq!(read.code(), kind.code());
            assert_eq!(read.status(), kind.status().map(|_| 503), "{kind:?}");
            assert_eq!(PushErrorKind::from_code(kind.code(), None), Some(kind));
        }
        assert_eq!(PushErrorKind::from_code("of-a-later-version", None), None);
    }
}
