//! The payload styles. Pure; docs/PAYLOADS.md shows each.

use serde_json::{Map, Value, json};

use crate::clock;
use crate::push::app::PayloadStyle;
use crate::push::payload::facts::Facts;
use crate::push::payload::message::{is_reserved_by_fcm, object};
use crate::push::template::{Json, TemplateError, Vocabulary};
use crate::types::Provider;
use crate::types::push::PushKind;

/// A payload style ready to be filled in.
#[derive(Clone, Debug)]
pub(crate) enum Preset {
    Default,
    Linphone,
    ModApn,
    Template(Json),
}

impl Preset {
    pub(crate) fn new(style: &PayloadStyle, provider: &Provider) -> Result<Self, TemplateError> {
        Ok(match style {
            PayloadStyle::Default => Self::Default,
            PayloadStyle::Linphone => Self::Linphone,
            PayloadStyle::ModApn => Self::ModApn,
            PayloadStyle::Template(text) => Self::Template(template(text, provider)?),
        })
    }

    /// The app's own keys: next to `aps` on APNs, in `data` on FCM.
    pub(crate) fn keys(&self, facts: &Facts<'_>, provider: &Provider) -> Map<String, Value> {
        match self {
            Self::Default => default(facts),
            Self::Linphone if is_android(provider) => linphone_android(facts),
            Self::Linphone => linphone_apns(facts),
            Self::ModApn => mod_apn(facts, provider),
            Self::Template(template) => object(template.fill(facts)),
        }
    }

    /// `aps.alert`: what iOS shows when the app does not run.
    pub(crate) fn alert(&self, facts: &Facts<'_>) -> Value {
        match (self, &facts.call.kind) {
            // The key that Linphone apps have in their translations for a call (`pn-call-str` of their Contact).
            (Self::Linphone, PushKind::Call) => json!({ "loc-key": "IC_MSG", "loc-args": [facts.caller()] }),
            (_, PushKind::MissedCall) => json!({ "title": "Missed call", "body": facts.caller() }),
            _ => json!({ "title": "Incoming call", "body": facts.caller() }),
        }
    }

    /// Keys that go into `aps` itself, next to those that Apple defines.
    pub(crate) fn in_aps(&self, facts: &Facts<'_>) -> Map<String, Value> {
        match self {
            Self::Linphone => object(json!({
                "loc-key": "IC_MSG",
                "loc-args": [facts.caller()],
                "call-id": &*facts.call.sip_call_id,
                "uuid": "",
                "send-time": clock::to_the_second(facts.time),
            })),
            _ => Map::new(),
        }
    }
}

fn default(facts: &Facts<'_>) -> Map<String, Value> {
    let mut keys = object(json!({
        "kind": facts.kind(),
        "call-id": facts.call.call.to_string(),
        "sip-call-id": &*facts.call.sip_call_id,
        "caller-number": facts.caller_number,
        "caller-name": facts.caller_name,
        "callee": facts.callee(),
        "time": facts.time,
        "expires": facts.expires,
    }));
    if let Some(reason) = facts.reason() {
        keys.insert("reason".into(), reason.into());
    }
    keys
}

/// Whether its phones run Android, or what Huawei has made of it.
fn is_android(provider: &Provider) -> bool {
    matches!(provider, Provider::Fcm | Provider::Hms)
}

/// Keys read by linphone-iphone, as Flexisip sends them.
fn linphone_apns(facts: &Facts<'_>) -> Map<String, Value> {
    let mut keys = object(json!({
        "from-uri": facts.caller_uri(),
        "display-name": facts.caller_name,
        "pn_ttl": facts.ttl,
        "call-id": &*facts.call.sip_call_id,
        "customPayload": {},
    }));
    extend_with_kind(&mut keys, facts);
    keys
}

/// Keys read by linphone-android, as Flexisip sends them.
fn linphone_android(facts: &Facts<'_>) -> Map<String, Value> {
    let mut keys = object(json!({
        "uuid": "",
        "from-uri": facts.caller_uri(),
        "display-name": facts.caller_name,
        "call-id": &*facts.call.sip_call_id,
        "sip-from": facts.caller(),
        "loc-key": "IC_MSG",
        "loc-args": facts.caller(),
        "send-time": clock::to_the_second(facts.time),
        "custom-payload": "{}",
    }));
    extend_with_kind(&mut keys, facts);
    keys
}

/// Linphone has no cancel push; apps that know fswake's find it under these keys.
fn extend_with_kind(keys: &mut Map<String, Value>, facts: &Facts<'_>) {
    if facts.call.kind != PushKind::Call {
        keys.insert("kind".into(), facts.kind().into());
    }
    if let Some(reason) = facts.reason() {
        keys.insert("reason".into(), reason.into());
    }
}

/// Keys that the push script shipped with mod_apn's fork hands to the app.
fn mod_apn(facts: &Facts<'_>, provider: &Provider) -> Map<String, Value> {
    let kind = match facts.call.kind {
        PushKind::Call => "voip",
        _ => facts.kind(),
    };
    let platform = match provider {
        Provider::WebPush => "webpush",
        other if is_android(other) => "android",
        _ => "iOS",
    };
    let mut keys = object(json!({
        "type": kind,
        "call_id": facts.call.call.to_string(),
        "sip_call_id": &*facts.call.sip_call_id,
        "app_id": &*facts.req.to.app,
        "user": &*facts.req.callee.user,
        "realm": &*facts.req.callee.domain,
        "platform": platform,
        "cid_name": facts.caller_name,
        "cid_number": facts.caller_number,
        "time": facts.time,
        "expires": facts.expires,
    }));
    if let Some(reason) = facts.reason() {
        keys.insert("reason".into(), reason.into());
    }
    keys
}

/// The operator's own payload, checked for the provider that will carry it.
fn template(text: &str, provider: &Provider) -> Result<Json, TemplateError> {
    let template = Json::parse(text, Vocabulary::Payload)?;
    if *provider == Provider::Fcm
        && let Some(key) = template.keys().find(|key| is_reserved_by_fcm(key))
    {
        return Err(TemplateError::ReservedKey(key.to_owned()));
    }
    Ok(template)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_fcm_reserves_are_refused_for_fcm_only() {
        for key in [
            "from",
            "message_type",
            "google.x",
            "googlex",
            "gcm",
            "gcm.notification.a",
        ] {
            let text = format!(r#"{{"{key}":"x"}}"#);
            assert_eq!(
                template(&text, &Provider::Fcm).unwrap_err(),
                TemplateError::ReservedKey(key.into())
            );
            assert!(template(&text, &Provider::Apns).is_ok());
        }
    }
}
