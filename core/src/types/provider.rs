//! Who delivers a push.

use std::sync::Arc;

/// Who delivers a push.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Provider {
    /// Apple Push Notification service (`pn-provider=apns`).
    Apns,
    /// Its sandbox (`pn-provider=apns.dev`, Linphone's app ids ending `.dev`).
    ApnsSandbox,
    /// Firebase Cloud Messaging (`pn-provider=fcm`).
    Fcm,
    /// Web Push, RFC 8030 (`pn-provider=webpush`).
    WebPush,
    /// Huawei's Push Kit (`pn-provider=hms`).
    Hms,
    /// Any other name, lower case.
    Other(Arc<str>),
}

impl Provider {
    /// The name that is stored and shown; [`Provider::from_name`] reads it back.
    pub fn name(&self) -> &str {
        match self {
            Self::Apns => "apns",
            Self::ApnsSandbox => "apns.dev",
            Self::Fcm => "fcm",
            Self::WebPush => "webpush",
            Self::Hms => "hms",
            Self::Other(name) => name,
        }
    }

    /// Whether its apps serve devices of any provider: `http`, an operator's own gateway, and `log`.
    pub fn serves_any(&self) -> bool {
        matches!(self, Self::Other(name) if matches!(&**name, "http" | "log"))
    }

    /// Whether its pushes go to an app by its bundle id (APNs' topics).
    pub fn has_topics(&self) -> bool {
        matches!(self, Self::Apns | Self::ApnsSandbox)
    }

    /// Reads a provider's name, in any case. Never fails: unknown names are kept.
    pub fn from_name(name: &str) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "apns" => Self::Apns,
            "apns.dev" => Self::ApnsSandbox,
            "fcm" => Self::Fcm,
            "webpush" => Self::WebPush,
            "hms" => Self::Hms,
            other => Self::Other(other.into()),
        }
    }
}
