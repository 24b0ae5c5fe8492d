//! A probe of an app's way to its provider: a real connection with the app's own credentials, and a request that reaches
//! no phone.
//!
//! APNs has no dry run: the push goes to a token that cannot exist, and `BadDeviceToken` says that all else was good.
//! FCM has one (`validate_only`).

use std::time::{Duration, SystemTime};

use reqwest::Response;
use reqwest::header::{DATE, HeaderMap};

use super::PushError;
use super::line::{lost, read_body};
use super::retry::Try;

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// In what way all is good (`BadDeviceToken`), or what failed.
    pub outcome: Result<&'static str, PushError>,
    /// The provider's clock, as its reply said.
    pub date: Option<SystemTime>,
    /// From the start to the reply, connecting included.
    pub took: Duration,
}

/// A reply as far as a probe reads it.
pub(super) struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Reply {
    pub(super) async fn of(response: Response) -> Result<Self, PushError> {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = read_body(response).await.map_err(unreached)?;
        Ok(Self { status, headers, body })
    }

    pub(super) fn date(&self) -> Option<SystemTime> {
        httpdate::parse_http_date(self.headers.get(DATE)?.to_str().ok()?).ok()
    }
}

/// A request that got no reply.
pub(super) fn unreached(error: reqwest::Error) -> PushError {
    match lost(error) {
        Try::Refused(error) => error,
        Try::Passing { reason, .. } | Try::Again { reason } => PushError::Exhausted { reason },
        Try::Taken { .. } => PushError::Exhausted {
            reason: "no reply".into(),
        },
    }
}
