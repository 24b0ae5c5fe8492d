//! Probes: a real connection with the app's own credentials, and a request that reaches no phone.
//!
//! APNs has no dry run: the push goes to a token that cannot exist, and `BadDeviceToken` means that everything else was
//! good.
//! FCM has one (`validate_only`). To a gateway, and to push services that the operator names, a probe only connects: any
//! request might do harm there.

use std::fmt;
use std::time::{Duration, SystemTime};

use crate::types::push::PushError;

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// How far all is good, or what failed.
    pub outcome: Result<Proof, PushError>,
    /// The provider's clock, from its reply.
    pub date: Option<SystemTime>,
    /// From the start to the reply, connecting included.
    pub took: Duration,
}

/// How much a successful probe proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The provider accepts the credentials and the push; this is its own word for it.
    Taken(&'static str),
    /// It can be reached. Whether it takes pushes is seen with the first.
    Connected,
    /// The key can sign, and no push service is known before a phone names one.
    NoEndpoint,
    /// The app has neither `topic` nor `app-ids`: Apple is asked with the phone's own app id only.
    NoTopic,
}

impl Proof {
    /// Why the app is not called well after such a probe.
    pub(crate) fn why_nothing_is_known(self) -> Option<&'static str> {
        match self {
            Self::Taken(_) => None,
            Self::Connected => Some("it can be reached; whether it takes pushes is seen with the first"),
            Self::NoEndpoint => {
                Some("the VAPID key can sign; the first push to each push service will tell whether it is taken")
            }
            Self::NoTopic => Some("Apple can be reached; without topic and app-ids the first push will tell"),
        }
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken(word) => f.write_str(word),
            other => f.write_str(other.why_nothing_is_known().unwrap_or_default()),
        }
    }
}
