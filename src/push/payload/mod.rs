//! The content of a request: headers and body for APNs, the message for FCM and HMS, the payload for web push. Pure.
//!
//! Which token and which kind of push:
//!
//! | request | APNs | FCM | HMS | web push |
//! |---|---|---|---|---|
//! | call | `voip` to the call token; `alert` when the device has only a remote token | data message | data message, high urgency | high urgency |
//! | cancel | `background` to the remote token | data message | data message, high urgency | high urgency, in the call's place |
//! | missed call | `alert` to the remote token | data message with a notification | data message | normal urgency |
//! | anything else | `notification` | the same | data message | the same |
//!
//! A cancel never goes to a PushKit token: iOS ends an app that gets a voip push and shows no call.

pub(crate) mod facts;
mod fit;
pub(crate) mod hms;
pub(crate) mod message;
mod notification;
pub(crate) mod preset;
pub(crate) mod web_push;

use std::borrow::Cow;
use std::time::SystemTime;

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::push::app::{App, PayloadStyle};
use crate::push::payload::facts::Facts;
use crate::push::payload::fit::longest;
use crate::push::payload::hms::{HMS_LIMIT, HmsPush};
use crate::push::payload::message::{
    ApnsPush, ApnsTarget, FCM_LIMIT, FcmPush, fcm_token, measured, named, object, strings,
};
use crate::push::payload::preset::Preset;
use crate::push::payload::web_push::WebPushMessage;
use crate::push::setup::SetupError;
use crate::push::template::TemplateError;
use crate::types::push::{About, CallPush, OwnRefusal, PushError, PushKind, PushRequest};
use crate::types::{Provider, Tokens};

impl PayloadStyle {
    /// Checks a template for the provider that will carry it; the presets are always good.
    pub fn check(&self, provider: &Provider) -> Result<(), TemplateError> {
        Preset::new(self, provider).map(|_| ())
    }
}

/// Writes the payloads of one app.
#[derive(Clone, Debug)]
pub struct Composer(Preset);

impl Composer {
    /// A composer for a style; fails as [`PayloadStyle::check`] does.
    pub fn new(style: &PayloadStyle, provider: &Provider) -> Result<Self, TemplateError> {
        Ok(Self(Preset::new(style, provider)?))
    }

    /// The composer of an app.
    pub(crate) fn of(app: &App) -> Result<Self, SetupError> {
        Self::new(&app.payload, &app.provider).map_err(|error| SetupError::template(app, &error))
    }

    /// The APNs push for a request. `topic` is the app's own, if it has one.
    pub fn apns(&self, req: &PushRequest, topic: Option<&str>, now: SystemTime) -> Result<ApnsPush, PushError> {
        match &req.about {
            About::Call(call) => self.apns_call(req, call, topic, now),
            About::Notification(what) => notification::apns(req, what, topic, now),
        }
    }

    fn apns_call(
        &self,
        req: &PushRequest,
        call: &CallPush,
        topic: Option<&str>,
        now: SystemTime,
    ) -> Result<ApnsPush, PushError> {
        let (push_type, token) = match (&call.kind, &req.to.tokens) {
            (PushKind::Call, Tokens::Call(token) | Tokens::Both { call: token, .. }) => ("voip", token),
            (PushKind::Call | PushKind::MissedCall, Tokens::Remote(token) | Tokens::Both { remote: token, .. }) => {
                ("alert", token)
            }
            (PushKind::Cancel(_), Tokens::Remote(token) | Tokens::Both { remote: token, .. }) => ("background", token),
            (PushKind::Cancel(_) | PushKind::MissedCall, Tokens::Call(_)) => {
                return Err(PushError::Refused(OwnRefusal::NoRemoteToken));
            }
        };
        let target = ApnsTarget::new(token, push_type, topic.unwrap_or_else(|| named(&req.to)))?;
        let facts = Facts::new(req, call, now);
        let expiration = if req.ttl.is_zero() { 0 } else { facts.expires };
        let body = fit(&facts, target.limit(), |facts| {
            measured(&Value::Object(self.apns_body(facts, push_type)))
        })?;
        let apns_id = Uuid::new_v5(&call.call.0, format!("push {}", req.id.0).as_bytes());
        Ok(target.push(expiration, apns_id, body))
    }

    fn apns_body(&self, facts: &Facts<'_>, push_type: &str) -> Map<String, Value> {
        let mut body = self.0.keys(facts, &Provider::Apns);
        // A template may bring its own `aps`.
        let mut aps = body.remove("aps").map(object).unwrap_or_default();
        for (key, value) in self.0.in_aps(facts) {
            aps.entry(key).or_insert(value);
        }
        match push_type {
            // Apple refuses or delays a background push with visible or audible content.
            "background" => {
                aps.retain(|key, _| !matches!(key.as_str(), "alert" | "sound" | "badge"));
                aps.insert("content-available".into(), 1.into());
            }
            "alert" => {
                aps.entry("alert").or_insert_with(|| self.0.alert(facts));
                aps.entry("sound").or_insert_with(|| "default".into());
            }
            _ => {}
        }
        body.insert("aps".into(), Value::Object(aps));
        body
    }

    /// The FCM message for a request.
    pub fn fcm(&self, req: &PushRequest, now: SystemTime) -> Result<FcmPush, PushError> {
        let call = match &req.about {
            About::Call(call) => call,
            About::Notification(what) => return notification::fcm(req, what),
        };
        let token = fcm_token(req.to.token())?;
        fit(&Facts::new(req, call, now), FCM_LIMIT, |facts| {
            let data = strings(self.0.keys(facts, &Provider::Fcm));
            let notification = (call.kind == PushKind::MissedCall).then(|| self.0.alert(facts));
            let push = FcmPush {
                token: token.clone(),
                data,
                notification,
                system: None,
                keep: req.kept_for(),
                may_wait: false,
            };
            let size = push.size();
            (push, size)
        })
    }

    /// The push to Huawei's Push Kit for a request.
    pub fn hms(&self, req: &PushRequest, now: SystemTime) -> Result<HmsPush, PushError> {
        let call = match &req.about {
            About::Call(call) => call,
            About::Notification(what) => return notification::hms(req, what),
        };
        let token = req.to.token().clone();
        fit(&Facts::new(req, call, now), HMS_LIMIT, |facts| {
            let push = HmsPush {
                token: token.clone(),
                data: self.0.keys(facts, &Provider::Hms),
                is_urgent: call.kind != PushKind::MissedCall,
                keep: req.kept_for(),
            };
            let size = push.size();
            (push, size)
        })
    }

    /// The web push for a request, with a payload of at most `limit` bytes.
    pub fn web_push(&self, req: &PushRequest, limit: usize, now: SystemTime) -> Result<WebPushMessage, PushError> {
        let call = match &req.about {
            About::Call(call) => call,
            About::Notification(what) => return notification::web_push(req, what, limit),
        };
        let payload = fit(&Facts::new(req, call, now), limit, |facts| {
            measured(&Value::Object(self.0.keys(facts, &Provider::WebPush)))
        })?;
        Ok(WebPushMessage {
            payload,
            ..WebPushMessage::about(req, call)?
        })
    }
}

/// Writes within `limit` bytes: the caller's name is shortened first, then the number is left out.
fn fit<T>(facts: &Facts<'_>, limit: usize, write: impl Fn(&Facts<'_>) -> (T, usize)) -> Result<T, PushError> {
    let (whole, size) = write(facts);
    if size <= limit {
        return Ok(whole);
    }
    for number in [facts.caller_number, ""] {
        let written = longest(&facts.call.caller_name, |name| {
            let mut shorter = facts.clone();
            shorter.caller_number = number;
            shorter.caller_name = Cow::Owned(name);
            let (written, size) = write(&shorter);
            (size <= limit).then_some(written)
        });
        if let Some(written) = written {
            return Ok(written);
        }
    }
    Err(PushError::Refused(OwnRefusal::PayloadTooLarge))
}

#[cfg(test)]
mod tests;
