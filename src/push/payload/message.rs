//! A push in its provider's own form: APNs' headers and body, FCM's message. Pure.

use std::time::Duration;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::types::push::PushError;
use crate::types::{Provider, PushParams, PushToken, UnixSeconds, app_id};

/// Largest body of a voip push, in bytes (Apple, "Generating a remote notification").
pub const APNS_VOIP_LIMIT: usize = 5120;
/// Largest body of any other APNs push, in bytes (same page).
pub const APNS_LIMIT: usize = 4096;
/// Largest payload of an FCM message, in bytes (Firebase, "About FCM messages").
pub const FCM_LIMIT: usize = 4096;

/// A push to APNs ("Sending notification requests to APNs").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApnsPush {
    /// Last part of the path; hexadecimal digits only.
    pub token: PushToken,
    /// `apns-push-type`: voip, alert or background.
    pub push_type: &'static str,
    /// `apns-topic`.
    pub topic: String,
    /// `apns-priority`: 10 at once, 5 when the battery allows (required of background pushes), 1 without waking the phone.
    pub priority: &'static str,
    /// `apns-expiration`: until when Apple keeps it, in Unix seconds; 0 is "now or never".
    pub expiration: UnixSeconds,
    /// `apns-collapse-id`, at most 64 bytes: iOS shows it in place of an earlier push with the same.
    pub collapse_id: Option<String>,
    /// `apns-id`: chosen by fswake, the same on every try, so that the journal and Apple's console name the same push.
    pub apns_id: Uuid,
    /// JSON.
    pub body: Vec<u8>,
}

/// A push to FCM (HTTP v1, `projects.messages`), without the time that is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FcmPush {
    /// `message.token`.
    pub token: PushToken,
    /// `message.data`: string values only.
    pub data: Map<String, Value>,
    /// `message.notification`, for a push that Android shows by itself.
    pub notification: Option<Value>,
    /// How Android and iOS are to show it.
    pub system: Option<Box<SystemKeys>>,
    /// How long Google may keep it; `None`: until the wait ends.
    pub keep: Option<Duration>,
    /// Android may deliver it when the phone is awake anyway. Google lowers the priority of apps whose urgent messages
    /// show nothing.
    pub may_wait: bool,
}

/// Keys of a notification that only one system understands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemKeys {
    /// `message.android.notification`.
    pub android: Map<String, Value>,
    /// `message.apns.payload.aps`, for apps on iOS that Firebase serves.
    pub aps: Map<String, Value>,
}

impl FcmPush {
    /// The request body with `android.ttl` = `left` in whole seconds.
    pub fn body(&self, left: Duration) -> Value {
        let ttl = self.keep.unwrap_or(left).as_secs();
        let priority = if self.may_wait { "NORMAL" } else { "HIGH" };
        let mut message = object(json!({
            "token": self.token.expose(),
            "data": self.data,
            "android": { "priority": priority, "ttl": format!("{ttl}s") },
        }));
        if let Some(system) = &self.system {
            if !system.android.is_empty() {
                message["android"]["notification"] = Value::Object(system.android.clone());
            }
            if !system.aps.is_empty() {
                message.insert("apns".into(), json!({ "payload": { "aps": system.aps } }));
            }
        }
        if let Some(notification) = &self.notification {
            message.insert("notification".into(), notification.clone());
        }
        json!({ "message": message })
    }

    /// Its size as Google counts it.
    pub(crate) fn size(&self) -> usize {
        let system = self.system.as_ref().map(|s| [&s.android, &s.aps]);
        json!([self.data, self.notification, system]).to_string().len()
    }
}

/// Where an APNs push goes.
pub(crate) struct ApnsTarget {
    token: PushToken,
    push_type: &'static str,
    topic: String,
}

impl ApnsTarget {
    /// Token and topic for a push of this type, if APNs can take both.
    pub(crate) fn new(token: &PushToken, push_type: &'static str, topic: &str) -> Result<Self, PushError> {
        // Hexadecimal digits: nothing in the path can leave `/3/device/`.
        let token = PushToken::read(&Provider::Apns, token.expose()).map_err(|_| PushError::TokenBad {
            reason: "NotAnApnsToken".into(),
        })?;
        let bundle = bundle(topic);
        if bundle.is_empty() {
            return Err(PushError::settings("the app has no topic and the device named no app"));
        }
        let topic = match push_type {
            "voip" => format!("{bundle}.voip"),
            _ => bundle.to_owned(),
        };
        Ok(Self {
            token,
            push_type,
            topic,
        })
    }

    /// Largest body of a push of its type.
    pub(crate) fn limit(&self) -> usize {
        if self.push_type == "voip" {
            APNS_VOIP_LIMIT
        } else {
            APNS_LIMIT
        }
    }

    /// The push that goes there.
    pub(crate) fn push(self, expiration: UnixSeconds, apns_id: Uuid, body: Vec<u8>) -> ApnsPush {
        ApnsPush {
            priority: if self.push_type == "background" { "5" } else { "10" },
            token: self.token,
            push_type: self.push_type,
            topic: self.topic,
            expiration,
            collapse_id: None,
            apns_id,
            body,
        }
    }
}

/// A body with its size.
pub(crate) fn measured(body: &Value) -> (Vec<u8>, usize) {
    let body = body.to_string().into_bytes();
    let size = body.len();
    (body, size)
}

pub(crate) fn fcm_token(token: &PushToken) -> Result<PushToken, PushError> {
    PushToken::read(&Provider::Fcm, token.expose()).map_err(|_| PushError::TokenBad {
        reason: "NotAnFcmToken".into(),
    })
}

/// The bundle id that a device names, for apps without one. Ids that an older fswake stored may still begin with the
/// team.
pub(crate) fn named(to: &PushParams) -> &str {
    app_id::split_team(&to.app).1
}

/// The topic of all but voip pushes. Operators write the bundle id or the voip topic; both are accepted.
fn bundle(topic: &str) -> &str {
    topic.strip_suffix(".voip").unwrap_or(topic)
}

/// FCM takes strings only: other JSON values are sent as their text.
pub(crate) fn strings(keys: Map<String, Value>) -> Map<String, Value> {
    keys.into_iter()
        .map(|(key, value)| match value {
            Value::String(_) => (key, value),
            other => (key, Value::String(other.to_string())),
        })
        .collect()
}

/// Whether FCM refuses a key of a data message.
///
/// Source: Firebase, REST reference of `projects.messages`, field `data`. Everything that starts with `google` or
/// `gcm`, because the service refuses more than it documents.
pub fn is_reserved_by_fcm(key: &str) -> bool {
    key == "from" || key == "message_type" || key.starts_with("google") || key.starts_with("gcm")
}

/// A JSON object's members; none where it is anything else.
pub(crate) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
