//! What a push says, and the shapes it can be said in. Pure; docs/PAYLOADS.md shows every shape.

use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use crate::push::app::PayloadStyle;
use crate::push::payload::template::{Template, TemplateError};
use crate::types::push::{CallPush, PushKind, PushRequest};
use crate::types::{Provider, UnixSeconds};

/// A payload style ready to be filled in.
#[derive(Clone, Debug)]
pub(crate) enum Preset {
    Default,
    Linphone,
    ModApn,
    Template(Template),
}

/// Everything that a payload may say.
#[derive(Clone, Debug)]
pub(crate) struct Facts<'a> {
    pub req: &'a PushRequest,
    pub call: &'a CallPush,
    /// As in the request, or shortened to fit.
    pub caller_name: Cow<'a, str>,
    /// As in the request, or empty when it does not fit: a cut number is a wrong number.
    pub caller_number: &'a str,
    pub time: UnixSeconds,
    pub expires: UnixSeconds,
    pub ttl: u64,
}

impl<'a> Facts<'a> {
    pub(crate) fn new(req: &'a PushRequest, call: &'a CallPush, now: SystemTime) -> Self {
        Self {
            req,
            call,
            caller_name: Cow::Borrowed(&call.caller_name),
            caller_number: &call.caller_number,
            time: unix(call.held_at),
            expires: unix(now + req.ttl),
            ttl: req.ttl.as_secs(),
        }
    }

    pub(crate) fn kind(&self) -> &'static str {
        match self.call.kind {
            PushKind::Call => "call",
            PushKind::Cancel(_) => "cancel",
            PushKind::MissedCall => "missed-call",
        }
    }

    pub(crate) fn reason(&self) -> Option<&'static str> {
        match self.call.kind {
            PushKind::Cancel(reason) => Some(reason.as_str()),
            _ => None,
        }
    }

    /// What a person is shown: the name, else the number.
    pub(crate) fn caller(&self) -> &str {
        match (self.caller_name.as_ref(), self.caller_number) {
            ("", "") => "Unknown",
            ("", number) => number,
            (name, _) => name,
        }
    }

    fn callee(&self) -> String {
        format!("{}@{}", self.req.callee.user, self.req.callee.domain)
    }

    /// The caller as a SIP URI, in the callee's domain: FreeSWITCH gives us a number, Linphone wants an address.
    fn caller_uri(&self) -> String {
        let user: String = percent_encoding::utf8_percent_encode(self.caller_number, URI_USER).collect();
        format!(
            "sip:{}@{}",
            if user.is_empty() { "anonymous" } else { &user },
            self.req.callee.domain
        )
    }
}

/// All but the characters of an RFC 3261 section 25.1 user part.
const URI_USER: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'+');

impl Preset {
    pub(crate) fn new(style: &PayloadStyle, provider: &Provider) -> Result<Self, TemplateError> {
        Ok(match style {
            PayloadStyle::Default => Self::Default,
            PayloadStyle::Linphone => Self::Linphone,
            PayloadStyle::ModApn => Self::ModApn,
            PayloadStyle::Template(text) => Self::Template(Template::new(text, provider)?),
        })
    }

    /// The app's own keys: beside `aps` on APNs, in `data` on FCM.
    pub(crate) fn keys(&self, facts: &Facts<'_>, provider: &Provider) -> Map<String, Value> {
        match self {
            Self::Default => default(facts),
            Self::Linphone if *provider == Provider::Fcm => linphone_fcm(facts),
            Self::Linphone => linphone_apns(facts),
            Self::ModApn => mod_apn(facts, provider),
            Self::Template(template) => fill(template, facts),
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

    /// Keys that go into `aps` itself, beside those that Apple defines.
    pub(crate) fn in_aps(&self, facts: &Facts<'_>) -> Map<String, Value> {
        match self {
            Self::Linphone => object(json!({
                "loc-key": "IC_MSG",
                "loc-args": [facts.caller()],
                "call-id": &*facts.call.sip_call_id,
                "uuid": "",
                "send-time": timestamp(facts.time),
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
fn linphone_fcm(facts: &Facts<'_>) -> Map<String, Value> {
    let mut keys = object(json!({
        "uuid": "",
        "from-uri": facts.caller_uri(),
        "display-name": facts.caller_name,
        "call-id": &*facts.call.sip_call_id,
        "sip-from": facts.caller(),
        "loc-key": "IC_MSG",
        "loc-args": facts.caller(),
        "send-time": timestamp(facts.time),
        "custom-payload": "{}",
    }));
    extend_with_kind(&mut keys, facts);
    keys
}

/// Linphone has no cancel push: an app that knows ours finds it under our own key.
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
    let platform = if *provider == Provider::Fcm { "android" } else { "iOS" };
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

fn fill(template: &Template, facts: &Facts<'_>) -> Map<String, Value> {
    let (call, callee) = (facts.call.call.to_string(), facts.callee());
    let (time, expires, ttl) = (facts.time.to_string(), facts.expires.to_string(), facts.ttl.to_string());
    template.fill(&|name| match name {
        "kind" => facts.kind(),
        "reason" => facts.reason().unwrap_or(""),
        "call-id" => &call,
        "sip-call-id" => &facts.call.sip_call_id,
        "caller-number" => facts.caller_number,
        "caller-name" => &facts.caller_name,
        "callee" => &callee,
        "callee-user" => &facts.req.callee.user,
        "callee-domain" => &facts.req.callee.domain,
        "app-id" => &facts.req.to.app,
        "time" => &time,
        "expires" => &expires,
        "ttl" => &ttl,
        // The template was checked against the same list; a test fills in every name of it.
        _ => "",
    })
}

pub(crate) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

pub(crate) fn unix(time: SystemTime) -> UnixSeconds {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
}

/// `2026-01-31 12:00:00`, UTC: the form in which Linphone apps read `send-time`.
fn timestamp(time: UnixSeconds) -> String {
    let (days, seconds) = (time.div_euclid(86_400), time.rem_euclid(86_400));
    // Days to a civil date in the proleptic Gregorian calendar, counted from 0000-03-01 so that leap days come last.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (h, m, s) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {h:02}:{m:02}:{s:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn send_time_is_the_utc_date_of_the_call() {
        assert_eq!(timestamp(0), "1970-01-01 00:00:00");
        assert_eq!(timestamp(951_782_399), "2000-02-28 23:59:59");
        assert_eq!(timestamp(951_782_400), "2000-02-29 00:00:00");
        assert_eq!(timestamp(1_735_689_599), "2024-12-31 23:59:59");
    }
}
