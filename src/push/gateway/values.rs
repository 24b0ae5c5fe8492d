//! What stands for the names in one push. Pure.

use std::borrow::Cow;
use std::time::SystemTime;

use serde_json::{Map, Value};

use super::text::{Name, Values};
use crate::push::payload::preset::{Facts, Preset, unix};
use crate::types::push::{About, CallPush, NotificationPush, PushError, PushKind, PushRequest};
use crate::types::{Provider, PushToken, TokenType, UnixSeconds};

/// Everything that a gateway may be told.
pub(crate) struct Told<'a> {
    req: &'a PushRequest,
    about: What<'a>,
    profile: TokenType,
    platform: &'a str,
    token: &'a PushToken,
    token_type: TokenType,
    now: SystemTime,
}

enum What<'a> {
    Call(Facts<'a>, &'a Preset),
    Notification(&'a NotificationPush),
}

/// The profile that a push goes by: calls and what becomes of them by `voip`, a notification by its type's.
pub(crate) fn profile(req: &PushRequest) -> TokenType {
    match &req.about {
        About::Call(_) => TokenType::Voip,
        About::Notification(what) => what.token_type,
    }
}

/// The token of a device that a push goes to.
fn token(req: &PushRequest) -> Result<&PushToken, PushError> {
    let (token, missing) = match &req.about {
        // A phone with a token for messages only may wake by it.
        About::Call(CallPush {
            kind: PushKind::Call, ..
        }) => (req.to.token(), "NoToken"),
        // Never to a PushKit token: iOS ends an app that gets a voip push and shows no call.
        About::Call(_) => (req.to.token_for(TokenType::Im), "NoRemoteToken"),
        About::Notification(what) => (req.to.token_for(what.token_type), "NoToken"),
    };
    token.ok_or_else(|| PushError::Rejected {
        status: 0,
        reason: missing.into(),
    })
}

/// The word that mod_apn's phones usually register with.
fn usual_platform(provider: &Provider) -> &str {
    match provider {
        Provider::Apns | Provider::ApnsSandbox => "iOS",
        Provider::Fcm => "android",
        other => other.name(),
    }
}

impl<'a> Told<'a> {
    pub(crate) fn new(
        req: &'a PushRequest,
        preset: &'a Preset,
        platforms: &'a [(Provider, String)],
        now: SystemTime,
    ) -> Result<Self, PushError> {
        let token = token(req)?;
        let own = platforms.iter().find(|(of, _)| *of == req.to.provider);
        Ok(Self {
            req,
            about: match &req.about {
                About::Call(call) => What::Call(Facts::new(req, call, now), preset),
                About::Notification(what) => What::Notification(what),
            },
            profile: profile(req),
            platform: own.map_or_else(|| usual_platform(&req.to.provider), |(_, word)| word),
            token,
            token_type: if req.to.call_token.as_ref() == Some(token) {
                TokenType::Voip
            } else {
                TokenType::Im
            },
            now,
        })
    }

    fn payload(&self) -> Map<String, Value> {
        match &self.about {
            What::Call(facts, preset) => preset.keys(facts, &self.req.to.provider),
            What::Notification(what) => what.payload.keys().clone(),
        }
    }

    fn call(&self) -> Option<&Facts<'a>> {
        match &self.about {
            What::Call(facts, _) => Some(facts),
            What::Notification(_) => None,
        }
    }

    /// Since when what it is about is so: a call since it waits.
    fn time(&self) -> UnixSeconds {
        self.call().map_or_else(|| unix(self.now), |facts| facts.time)
    }

    fn expires(&self) -> UnixSeconds {
        unix(self.now + self.req.ttl)
    }
}

impl Values for Told<'_> {
    fn text(&self, name: Name) -> Cow<'_, str> {
        let (req, call) = (self.req, self.call());
        Cow::Borrowed(match name {
            Name::Type => self.profile.as_str(),
            Name::User => &req.callee.user,
            Name::Realm => &req.callee.domain,
            Name::Token => self.token.expose(),
            Name::TokenType => self.token_type.as_str(),
            Name::AppId => &req.to.app,
            Name::Platform => self.platform,
            Name::Provider => req.to.provider.name(),
            Name::SipCall => call.map_or("", |facts| &facts.call.sip_call_id),
            Name::CallerName => call.map_or("", |facts| &facts.caller_name),
            Name::CallerNumber => call.map_or("", |facts| facts.caller_number),
            Name::Kind => call.map_or("notification", Facts::kind),
            Name::Reason => call.and_then(Facts::reason).unwrap_or_default(),
            Name::Payload => return Cow::Owned(Value::Object(self.payload()).to_string()),
            Name::Call => return call.map_or(Cow::Borrowed(""), |facts| Cow::Owned(facts.call.call.to_string())),
            Name::Callee => return Cow::Owned(format!("{}@{}", req.callee.user, req.callee.domain)),
            Name::Time => return Cow::Owned(self.time().to_string()),
            Name::Expires => return Cow::Owned(self.expires().to_string()),
            Name::Ttl => return Cow::Owned(req.ttl.as_secs().to_string()),
        })
    }

    fn json(&self, name: Name) -> Value {
        match name {
            Name::Payload => Value::Object(self.payload()),
            Name::Time => self.time().into(),
            Name::Expires => self.expires().into(),
            Name::Ttl => self.req.ttl.as_secs().into(),
            other => Value::String(self.text(other).into_owned()),
        }
    }
}
