//! A probe of an app's way to its provider: a real connection with the app's own credentials, and a request that reaches
//! no phone.
//!
//! APNs has no dry run: the push goes to a token that cannot exist, and `BadDeviceToken` says that all else was good.
//! FCM has one (`validate_only`). A gateway is only connected to: nothing else is sure to do no harm there.

use std::fmt;
use std::time::{Duration, SystemTime};

use reqwest::header::{DATE, HeaderMap};

use crate::types::push::PushError;

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// In what way all is good, or what failed.
    pub outcome: Result<Proof, PushError>,
    /// The provider's clock, as its reply said.
    pub date: Option<SystemTime>,
    /// From the start to the reply, connecting included.
    pub took: Duration,
}

/// How far a probe that met no fault has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The provider takes the credentials and what is sent with them, by this word of its own.
    Taken(&'static str),
    /// It could be connected to. Whether it takes a push is seen with the first.
    Connected,
    /// The app has neither `topic` nor `app-ids`: Apple is asked with the phone's own app id only.
    NoTopic,
}

impl Proof {
    /// Why an app whose probe came to this is not called well.
    pub(crate) fn why_nothing_is_known(self) -> Option<&'static str> {
        match self {
            Self::Taken(_) => None,
            Self::Connected => Some("it can be reached; whether it takes pushes is seen with the first"),
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

/// A reply as far as a probe reads it.
pub(crate) struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Reply {
    pub(crate) fn date(&self) -> Option<SystemTime> {
        httpdate::parse_http_date(self.headers.get(DATE)?.to_str().ok()?).ok()
    }
}
