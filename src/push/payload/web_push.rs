//! A web push as a value: where it goes, and what is sent there before it is encrypted. Pure.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::types::push::{CallPush, OwnRefusal, PushError, PushKind, PushRequest};
use crate::types::{PushParams, Subscription, SubscriptionKeys};

/// Largest body that every push service takes, in bytes (RFC 8030 section 7.2).
pub(crate) const BODY_LIMIT: usize = 4096;

/// A push to a push service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebPushMessage {
    /// The subscription's URL. Never logged.
    pub endpoint: Endpoint,
    /// For whom the payload is encrypted; without keys none is sent.
    pub keys: Option<SubscriptionKeys>,
    /// JSON.
    pub payload: Vec<u8>,
    /// `Urgency`: very-low, low, normal or high.
    pub urgency: &'static str,
    /// `Topic`: a push replaces an earlier one of the same topic that was not delivered yet.
    pub topic: Option<String>,
    /// How long the service may keep it; `None`: until the wait ends.
    pub keep: Option<Duration>,
}

/// A subscription's URL; as secret as a token.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint(String);

impl std::ops::Deref for Endpoint {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Endpoint(..)")
    }
}

impl WebPushMessage {
    /// A push to a device, still without a payload.
    pub(crate) fn to(device: &PushParams, urgency: &'static str, keep: Option<Duration>) -> Result<Self, PushError> {
        let token = device.tokens.call().or(device.tokens.remote());
        let token = token.ok_or(PushError::Refused(OwnRefusal::NoToken))?;
        let Subscription { endpoint, keys } = Subscription::of(token.expose());
        Ok(Self {
            endpoint: Endpoint(endpoint.to_owned()),
            keys,
            payload: Vec::new(),
            urgency,
            topic: None,
            keep,
        })
    }

    /// A push about a call. News of the call replaces the call where that was not delivered yet.
    pub(crate) fn about(req: &PushRequest, call: &CallPush) -> Result<Self, PushError> {
        let urgency = match call.kind {
            PushKind::Call | PushKind::Cancel(_) => "high",
            PushKind::MissedCall => "normal",
        };
        let topic = URL_SAFE_NO_PAD.encode(call.call.0.as_bytes());
        Ok(Self {
            topic: Some(topic),
            ..Self::to(&req.to, urgency, req.kept_for())?
        })
    }
}
