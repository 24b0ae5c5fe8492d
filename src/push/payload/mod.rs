//! What is sent for a request: headers and body for APNs, the message for FCM. Pure.
//!
//! Which token and which kind of push:
//!
//! | request | APNs | FCM |
//! |---|---|---|
//! | call | `voip` to the call token; `alert` when the device has only a remote token | data message |
//! | cancel | `background` to the remote token | data message |
//! | missed call | `alert` to the remote token | data message with a notification |
//! | anything else | `notification` | the same |
//!
//! A cancel never goes to a PushKit token: iOS ends an app that gets a voip push and shows no call.

mod notification;
pub(crate) mod preset;
pub(crate) mod template;

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::push::app::PayloadStyle;
use crate::push::payload::preset::{Facts, Preset, object};
use crate::push::payload::template::TemplateError;
use crate::types::push::{About, CallPush, PushError, PushKind, PushRequest};
use crate::types::{Provider, PushParams, PushToken, UnixSeconds, app_id};

/// Largest body of a voip push, in bytes (Apple, "Generating a remote notification").
pub const APNS_VOIP_LIMIT: usize = 5120;
/// Largest body of any other APNs push, in bytes (same page).
pub const APNS_LIMIT: usize = 4096;
/// Largest payload of an FCM message, in bytes (Firebase, "About FCM messages").
pub const FCM_LIMIT: usize = 4096;

/// A push as APNs gets it ("Sending notification requests to APNs").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApnsPush {
    /// Last part of the path; hexadecimal digits only.
    pub token: PushToken,
    /// `apns-push-type`: voip, alert or background.
    pub push_type: &'static str,
    /// `apns-topic`.
    pub topic: String,
    /// `apns-priority`: 10 at once, 5 when the battery allows (required of background pushes).
    pub priority: &'static str,
    /// `apns-expiration`: when the wait ends, in Unix seconds; 0 is "now or never".
    pub expiration: UnixSeconds,
    /// `apns-id`: ours, the same on every try, so that the journal and Apple's console name the same push.
    pub apns_id: Uuid,
    /// JSON.
    pub body: Vec<u8>,
}

/// A push as FCM gets it (HTTP v1, `projects.messages`), all but the time that is left of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FcmPush {
    /// `message.token`.
    pub token: PushToken,
    /// `message.data`: string values only.
    pub data: Map<String, Value>,
    /// `message.notification`, for a push that Android shows by itself.
    pub notification: Option<Value>,
    /// How each system shows it, where that is said.
    pub shown: Option<Box<Shown>>,
    /// How long Google may keep it; `None`: as long as it is tried.
    pub keep: Option<Duration>,
}

/// What only one system understands of a notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// `message.android.notification`.
    pub android: Map<String, Value>,
    /// `message.apns.payload.aps`, for apps on iOS that Firebase serves.
    pub aps: Map<String, Value>,
}

impl FcmPush {
    /// The request body with `android.ttl` = `left` in whole seconds.
    pub fn body(&self, left: Duration) -> Value {
        let ttl = self.keep.unwrap_or(left).as_secs();
        let mut message = object(json!({
            "token": self.token.expose(),
            "data": self.data,
            "android": { "priority": "HIGH", "ttl": format!("{ttl}s") },
        }));
        if let Some(shown) = &self.shown {
            if !shown.android.is_empty() {
                message["android"]["notification"] = Value::Object(shown.android.clone());
            }
            if !shown.aps.is_empty() {
                message.insert("apns".into(), json!({ "payload": { "aps": shown.aps } }));
            }
        }
        if let Some(notification) = &self.notification {
            message.insert("notification".into(), notification.clone());
        }
        json!({ "message": message })
    }

    /// How large it is, as Google counts.
    pub(crate) fn size(&self) -> usize {
        let shown = self.shown.as_ref().map(|s| [&s.android, &s.aps]);
        json!([self.data, self.notification, shown]).to_string().len()
    }
}

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
        let (push_type, token) = match (&call.kind, &req.to.call_token, &req.to.remote_token) {
            (PushKind::Call, Some(token), _) => ("voip", token),
            (PushKind::Call | PushKind::MissedCall, _, Some(token)) => ("alert", token),
            (PushKind::Cancel(_), _, Some(token)) => ("background", token),
            (PushKind::Call, None, None) => return Err(rejected("NoToken")),
            (_, _, None) => return Err(rejected("NoRemoteToken")),
        };
        let (token, topic) = addressed(token, push_type, topic.unwrap_or_else(|| named(&req.to)))?;
        let facts = Facts::new(req, call, now);
        let expiration = if req.ttl.is_zero() { 0 } else { facts.expires };
        let body = fit(&facts, limit(push_type), |facts| {
            let body = Value::Object(self.apns_body(facts, push_type)).to_string().into_bytes();
            let size = body.len();
            (body, size)
        })?;
        Ok(ApnsPush {
            token,
            push_type,
            topic,
            priority: priority(push_type),
            expiration,
            apns_id: Uuid::new_v5(&call.call.0, format!("push {}", req.id.0).as_bytes()),
            body,
        })
    }

    fn apns_body(&self, facts: &Facts<'_>, push_type: &str) -> Map<String, Value> {
        let mut body = self.0.keys(facts, &Provider::Apns);
        // A template may bring its own `aps`.
        let mut aps = body.remove("aps").map(object).unwrap_or_default();
        for (key, value) in self.0.in_aps(facts) {
            aps.entry(key).or_insert(value);
        }
        match push_type {
            // Anything that can be seen or heard makes it no background push, and Apple refuses or delays it.
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
                shown: None,
                keep: None,
            };
            let size = push.size();
            (push, size)
        })
    }
}

/// The token and the topic of a push of this type, if both are such as APNs can take.
pub(crate) fn addressed(token: &PushToken, push_type: &str, topic: &str) -> Result<(PushToken, String), PushError> {
    // Hexadecimal digits: nothing in the path can leave `/3/device/`.
    let token = PushToken::read(&Provider::Apns, token.expose()).map_err(|_| PushError::TokenBad {
        reason: "NotAnApnsToken".into(),
    })?;
    let bundle = bundle(topic);
    if bundle.is_empty() {
        return Err(PushError::Misconfigured {
            reason: "the app has no topic and the device named no app".into(),
        });
    }
    let topic = match push_type {
        "voip" => format!("{bundle}.voip"),
        _ => bundle.to_owned(),
    };
    Ok((token, topic))
}

/// Largest body of a push of this type.
pub(crate) fn limit(push_type: &str) -> usize {
    if push_type == "voip" {
        APNS_VOIP_LIMIT
    } else {
        APNS_LIMIT
    }
}

pub(crate) fn priority(push_type: &str) -> &'static str {
    if push_type == "background" { "5" } else { "10" }
}

pub(crate) fn fcm_token(token: Option<&PushToken>) -> Result<PushToken, PushError> {
    let token = token.ok_or_else(|| rejected("NoToken"))?;
    PushToken::read(&Provider::Fcm, token.expose()).map_err(|_| PushError::TokenBad {
        reason: "NotAnFcmToken".into(),
    })
}

/// The bundle id that a device names, where none is configured. One that an older fswake stored may still have its team.
pub(crate) fn named(to: &PushParams) -> &str {
    app_id::split_team(&to.app).1
}

/// The topic of all but voip pushes. Both the bundle id and the voip topic are found where either belongs.
fn bundle(topic: &str) -> &str {
    topic.strip_suffix(".voip").unwrap_or(topic)
}

pub(crate) fn rejected(reason: &str) -> PushError {
    PushError::Rejected {
        status: 0,
        reason: reason.to_owned(),
    }
}

/// FCM takes strings only; anything else that a template holds is sent as its JSON text.
pub(crate) fn strings(keys: Map<String, Value>) -> Map<String, Value> {
    keys.into_iter()
        .map(|(key, value)| match value {
            Value::String(_) => (key, value),
            other => (key, Value::String(other.to_string())),
        })
        .collect()
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
    Err(rejected("PayloadTooLarge"))
}

/// What `write` makes of the longest beginning of a text that it accepts, the empty one included. By characters: each may
/// take several bytes, and the text may stand in several keys.
pub(crate) fn longest<T>(text: &str, write: impl Fn(String) -> Option<T>) -> Option<T> {
    let mut best = write(String::new())?;
    let (mut enough, mut too_many) = (0, text.chars().count() + 1);
    while too_many - enough > 1 {
        let middle = enough + (too_many - enough) / 2;
        match write(shortened(text, middle)) {
            Some(written) => (enough, best) = (middle, written),
            None => too_many = middle,
        }
    }
    Some(best)
}

fn shortened(name: &str, chars: usize) -> String {
    match name.char_indices().nth(chars) {
        None => name.to_owned(),
        Some(_) if chars == 0 => String::new(),
        Some((end, _)) => format!("{}\u{2026}", &name[..end]),
    }
}

#[cfg(test)]
mod tests;
