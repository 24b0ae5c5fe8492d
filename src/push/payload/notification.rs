//! Notifications (pushes that are not about a call): from the asker's payload to APNs' and FCM's forms. Pure, but for
//! the random `apns-id`.
//!
//! The keys are those of mod_apn (docs/PAYLOADS.md, "Notifications"). The payload is parsed and written again by a
//! JSON writer, so no text of a message can break out of its string.

use std::time::SystemTime;

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::clock::unix;
use crate::push::payload::fit::longest;
use crate::push::payload::hms::{HMS_LIMIT, HmsPush};
use crate::push::payload::message::{
    ApnsPush, ApnsTarget, FCM_LIMIT, FcmPush, SystemKeys, fcm_token, is_reserved_by_fcm, measured, named, strings,
};
use crate::push::payload::web_push::WebPushMessage;
use crate::types::TokenType;
use crate::types::push::{NotificationPurpose, NotificationPush, OwnRefusal, Payload, PushError, PushRequest};

/// The APNs push for a notification.
pub(crate) fn apns(
    req: &PushRequest,
    what: &NotificationPush,
    topic: Option<&str>,
    now: SystemTime,
) -> Result<ApnsPush, PushError> {
    let token = req
        .to
        .token_for(what.token_type)
        .ok_or(PushError::Refused(OwnRefusal::NoToken))?;
    let content = NotificationContent::read(&what.payload)?;
    let push_type = match what.token_type {
        TokenType::Voip => "voip",
        TokenType::Im if content.is_noticed() => "alert",
        TokenType::Im => "background",
    };
    let target = ApnsTarget::new(token, push_type, topic.unwrap_or_else(|| named(&req.to)))?;
    let body = content.fit(target.limit(), |content| measured(&content.apns_body(push_type)))?;
    let expiration = if req.ttl.is_zero() { 0 } else { unix(now + req.ttl) };
    Ok(target.push(expiration, Uuid::new_v4(), body))
}

/// The FCM message for a notification.
pub(crate) fn fcm(req: &PushRequest, what: &NotificationPush) -> Result<FcmPush, PushError> {
    let token = req.to.token_for(what.token_type);
    let token = fcm_token(token.ok_or(PushError::Refused(OwnRefusal::NoToken))?)?;
    let content = NotificationContent::read(&what.payload)?;
    // The app itself shows calls and whatever has no text.
    let app_shows = what.token_type == TokenType::Voip || content.alert.is_empty();
    content
        .fit(FCM_LIMIT, |content| {
            let data = if app_shows {
                content.everything()
            } else {
                content.data()
            };
            let push = FcmPush {
                token: token.clone(),
                data: strings(data),
                notification: (!app_shows).then(|| Value::Object(content.fcm_notification())),
                system: (!app_shows).then(|| Box::new(content.system_keys())),
                keep: req.kept_for(),
                may_wait: what.purpose == NotificationPurpose::Refresh,
            };
            let size = push.size();
            (push, size)
        })
        .and_then(|push| match push.data.keys().find(|key| is_reserved_by_fcm(key)) {
            Some(key) => Err(reserved(key)),
            None => Ok(push),
        })
}

/// The push to Huawei's Push Kit for a notification: the app's own program shows it, whatever it says.
pub(crate) fn hms(req: &PushRequest, what: &NotificationPush) -> Result<HmsPush, PushError> {
    let token = req.to.token_for(what.token_type);
    let token = token.ok_or(PushError::Refused(OwnRefusal::NoToken))?;
    let content = NotificationContent::read(&what.payload)?;
    content.fit(HMS_LIMIT, |content| {
        let push = HmsPush {
            token: token.clone(),
            data: content.everything(),
            is_urgent: what.token_type == TokenType::Voip,
            keep: req.kept_for(),
        };
        let size = push.size();
        (push, size)
    })
}

/// The web push for a notification: the app's own program shows it, whatever it says.
pub(crate) fn web_push(req: &PushRequest, what: &NotificationPush, limit: usize) -> Result<WebPushMessage, PushError> {
    let content = NotificationContent::read(&what.payload)?;
    let payload = content.fit(limit, |content| measured(&Value::Object(content.everything())))?;
    let urgency = match what.token_type {
        TokenType::Voip => "high",
        TokenType::Im => "normal",
    };
    Ok(WebPushMessage {
        payload,
        ..WebPushMessage::to(&req.to, urgency, req.kept_for())?
    })
}

/// A payload's keys by what they mean.
#[derive(Clone, Debug, Default)]
struct NotificationContent {
    /// `aps.alert`, in Apple's names.
    alert: Map<String, Value>,
    badge: Option<u64>,
    sound: Option<String>,
    category: Option<String>,
    image: Option<String>,
    content_available: bool,
    /// Keys for the app itself.
    custom: Map<String, Value>,
}

impl NotificationContent {
    fn read(payload: &Payload) -> Result<Self, PushError> {
        let mut content = Self::default();
        for (key, value) in payload.keys() {
            // `null` counts as absent, as in mod_apn.
            if value.is_null() {
                continue;
            }
            content.take(key, value).map_err(|WrongType| wrong_type(key))?;
        }
        match content.custom.keys().find(|key| *key == "aps") {
            Some(key) => Err(reserved(key)),
            None => Ok(content),
        }
    }

    fn take(&mut self, key: &str, value: &Value) -> Result<(), WrongType> {
        match key.replace('-', "_").as_str() {
            "title" => self.alert_text("title", value)?,
            "body" => self.alert_text("body", value)?,
            "action_key" | "action_loc_key" => self.alert_text("action-loc-key", value)?,
            "localized_key" | "loc_key" => self.alert_text("loc-key", value)?,
            "title_localized_key" | "title_loc_key" => self.alert_text("title-loc-key", value)?,
            "localized_args" | "loc_args" => self.alert_args("loc-args", value)?,
            "title_localized_args" | "title_loc_args" => self.alert_args("title-loc-args", value)?,
            "badge" | "barge" => self.badge = Some(number(value)?),
            "sound" => self.sound = Some(text(value)?),
            "category" => self.category = Some(text(value)?),
            "image" => self.image = Some(text(value)?),
            "content_available" => self.content_available = truth(value)?,
            "custom" => self.take_custom(value)?,
            _ => {
                self.custom.insert(key.to_owned(), value.clone());
            }
        }
        Ok(())
    }

    fn alert_text(&mut self, name: &str, value: &Value) -> Result<(), WrongType> {
        self.alert.insert(name.to_owned(), text(value)?.into());
        Ok(())
    }

    fn alert_args(&mut self, name: &str, value: &Value) -> Result<(), WrongType> {
        let args = value.as_array().ok_or(WrongType)?;
        let args: Vec<_> = args.iter().map(text).collect::<Result<_, _>>()?;
        self.alert.insert(name.to_owned(), args.into());
        Ok(())
    }

    /// `[{"name": .., "value": ..}, ..]` as in mod_apn, or simply an object.
    fn take_custom(&mut self, value: &Value) -> Result<(), WrongType> {
        match value {
            Value::Object(keys) => self.custom.extend(keys.clone()),
            Value::Array(pairs) => {
                for pair in pairs {
                    let name = pair.get("name").and_then(Value::as_str).ok_or(WrongType)?;
                    let value = pair.get("value").cloned().unwrap_or_default();
                    self.custom.insert(name.to_owned(), value);
                }
            }
            _ => return Err(WrongType),
        }
        Ok(())
    }

    /// Whether a user notices it.
    fn is_noticed(&self) -> bool {
        !self.alert.is_empty() || self.badge.is_some() || self.sound.is_some()
    }

    /// Writes within `limit` bytes. Only the text of the message is shortened.
    fn fit<T>(&self, limit: usize, write: impl Fn(&Self) -> (T, usize)) -> Result<T, PushError> {
        let (whole, size) = write(self);
        if size <= limit {
            return Ok(whole);
        }
        let body = self.alert.get("body").and_then(Value::as_str).unwrap_or_default();
        longest(body, |body| {
            let mut shorter = self.clone();
            shorter.alert.insert("body".into(), body.into());
            let (written, size) = write(&shorter);
            (size <= limit).then_some(written)
        })
        .ok_or(PushError::Refused(OwnRefusal::PayloadTooLarge))
    }

    fn apns_body(&self, push_type: &str) -> Value {
        let mut body = self.data();
        let mut aps = self.aps();
        if push_type == "background" {
            aps.insert("content-available".into(), 1.into());
        }
        if !self.alert.is_empty() {
            aps.insert("alert".into(), Value::Object(self.alert.clone()));
        }
        body.insert("aps".into(), Value::Object(aps));
        Value::Object(body)
    }

    /// `aps` without its alert.
    fn aps(&self) -> Map<String, Value> {
        let mut aps = Map::new();
        let mut put = |key: &str, value: Option<Value>| aps.extend(value.map(|value| (key.to_owned(), value)));
        put("badge", self.badge.map(Value::from));
        put("sound", self.sound.clone().map(Value::from));
        put("category", self.category.clone().map(Value::from));
        put("content-available", self.content_available.then(|| 1.into()));
        // The app's notification service extension fetches the image.
        put("mutable-content", self.image.as_ref().map(|_| 1.into()));
        aps
    }

    /// The app's own keys, and the image, which the systems do not pass on to the app.
    fn data(&self) -> Map<String, Value> {
        let mut data = self.custom.clone();
        data.extend(self.image.clone().map(|image| ("image".to_owned(), image.into())));
        data
    }

    fn fcm_notification(&self) -> Map<String, Value> {
        let text = |name: &str| self.alert.get(name).map(|value| (name.to_owned(), value.clone()));
        let mut notification: Map<_, _> = ["title", "body"].into_iter().filter_map(text).collect();
        // Google fetches it, and takes addresses only.
        let image = self.image.as_ref().filter(|image| image.starts_with("https://"));
        notification.extend(image.map(|image| ("image".to_owned(), image.as_str().into())));
        notification
    }

    fn system_keys(&self) -> SystemKeys {
        let mut android = Map::new();
        let mut put = |key: &str, value: Option<Value>| android.extend(value.map(|value| (key.to_owned(), value)));
        put("notification_count", self.badge.map(Value::from));
        put("sound", self.sound.clone().map(Value::from));
        put("click_action", self.category.clone().map(Value::from));
        put("body_loc_key", self.alert.get("loc-key").cloned());
        put("body_loc_args", self.alert.get("loc-args").cloned());
        put("title_loc_key", self.alert.get("title-loc-key").cloned());
        put("title_loc_args", self.alert.get("title-loc-args").cloned());
        SystemKeys {
            android,
            aps: self.aps(),
        }
    }

    /// All keys under mod_apn's names, for an app that shows the notification itself.
    fn everything(&self) -> Map<String, Value> {
        let mut all = self.data();
        for (ours, apples) in [
            ("title", "title"),
            ("body", "body"),
            ("action_key", "action-loc-key"),
            ("localized_key", "loc-key"),
            ("localized_args", "loc-args"),
            ("title_localized_key", "title-loc-key"),
            ("title_localized_args", "title-loc-args"),
        ] {
            all.extend(self.alert.get(apples).map(|value| (ours.to_owned(), value.clone())));
        }
        let mut put = |key: &str, value: Option<Value>| all.extend(value.map(|value| (key.to_owned(), value)));
        put("badge", self.badge.map(Value::from));
        put("sound", self.sound.clone().map(Value::from));
        put("category", self.category.clone().map(Value::from));
        put("content_available", self.content_available.then_some(true.into()));
        all
    }
}

/// A key's value has the wrong type.
struct WrongType;

fn wrong_type(key: &str) -> PushError {
    PushError::Refused(OwnRefusal::WrongType(printable(key)))
}

fn reserved(key: &str) -> PushError {
    PushError::Refused(OwnRefusal::ReservedKey(printable(key)))
}

/// An asker's key, short and printable.
fn printable(key: &str) -> String {
    key.chars().take(40).flat_map(char::escape_default).collect()
}

fn text(value: &Value) -> Result<String, WrongType> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(WrongType),
    }
}

fn number(value: &Value) -> Result<u64, WrongType> {
    let number = value.as_u64().or_else(|| value.as_str()?.trim().parse().ok());
    number.filter(|n| i32::try_from(*n).is_ok()).ok_or(WrongType)
}

fn truth(value: &Value) -> Result<bool, WrongType> {
    match value {
        Value::Bool(truth) => Ok(*truth),
        Value::Number(number) => Ok(number.as_i64() != Some(0)),
        Value::String(text) => match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Ok(true),
            "false" | "no" | "off" | "0" | "" => Ok(false),
            _ => Err(WrongType),
        },
        _ => Err(WrongType),
    }
}

#[cfg(test)]
#[path = "notification_tests.rs"]
mod tests;
