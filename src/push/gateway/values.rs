//! The values of a gateway's names for one push. Pure.

use std::borrow::Cow;
use std::time::SystemTime;

use serde_json::{Map, Value};

use crate::clock::unix;
use crate::push::payload::facts::{Facts, NotificationFacts};
use crate::push::payload::preset::Preset;
use crate::push::template::{Name, Values};
use crate::types::push::{About, CallPush, NotificationPush, OwnRefusal, PushError, PushKind, PushRequest};
use crate::types::{Provider, PushToken, TokenType};

/// The values that a gateway's template may use.
pub(crate) struct GatewayValues<'a> {
    req: &'a PushRequest,
    about: Subject<'a>,
    profile: TokenType,
    platform: &'a str,
    token: &'a PushToken,
    token_type: TokenType,
    now: SystemTime,
}

enum Subject<'a> {
    Call(Facts<'a>, &'a Preset),
    Notification(&'a NotificationPush),
}

/// The profile for a push: `voip` for calls and news of calls, a notification's own type otherwise.
pub(crate) fn profile(req: &PushRequest) -> TokenType {
    match &req.about {
        About::Call(_) => TokenType::Voip,
        About::Notification(what) => what.token_type,
    }
}

/// The token that a push goes to.
fn token(req: &PushRequest) -> Result<&PushToken, PushError> {
    let (token, missing) = match &req.about {
        // A phone that has a token for messages only may still be woken by it.
        About::Call(CallPush {
            kind: PushKind::Call, ..
        }) => (Some(req.to.token()), OwnRefusal::NoToken),
        // Never to a PushKit token: iOS ends an app that gets a voip push and shows no call.
        About::Call(_) => (req.to.token_for(TokenType::Im), OwnRefusal::NoRemoteToken),
        About::Notification(what) => (req.to.token_for(what.token_type), OwnRefusal::NoToken),
    };
    token.ok_or(PushError::Refused(missing))
}

/// The word that mod_apn's phones usually register with.
fn usual_platform(provider: &Provider) -> &str {
    match provider {
        Provider::Apns | Provider::ApnsSandbox => "iOS",
        Provider::Fcm => "android",
        other => other.name(),
    }
}

impl<'a> GatewayValues<'a> {
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
                About::Call(call) => Subject::Call(Facts::new(req, call, now), preset),
                About::Notification(what) => Subject::Notification(what),
            },
            profile: profile(req),
            platform: own.map_or_else(|| usual_platform(&req.to.provider), |(_, word)| word),
            token,
            token_type: if req.to.tokens.call() == Some(token) {
                TokenType::Voip
            } else {
                TokenType::Im
            },
            now,
        })
    }

    fn payload(&self) -> Map<String, Value> {
        match &self.about {
            Subject::Call(facts, preset) => preset.keys(facts, &self.req.to.provider),
            Subject::Notification(what) => what.payload.keys().clone(),
        }
    }

    fn call(&self) -> Option<&Facts<'a>> {
        match &self.about {
            Subject::Call(facts, _) => Some(facts),
            Subject::Notification(_) => None,
        }
    }

    fn notification(&self) -> NotificationFacts<'_> {
        NotificationFacts {
            req: self.req,
            now: self.now,
        }
    }
}

impl Values for GatewayValues<'_> {
    fn text(&self, name: Name) -> Cow<'_, str> {
        let req = self.req;
        Cow::Borrowed(match (name, self.call()) {
            (Name::Type, _) => self.profile.as_str(),
            (Name::Token, _) => self.token.expose(),
            (Name::TokenType, _) => self.token_type.as_str(),
            (Name::Platform, _) => self.platform,
            (Name::Provider, _) => req.to.provider.name(),
            (Name::Payload, _) => return Cow::Owned(Value::Object(self.payload()).to_string()),
            (Name::Now, _) => return Cow::Owned(unix(self.now).to_string()),
            (name, Some(facts)) => return facts.text(name),
            (name, None) => return Cow::Owned(self.notification().text(name).into_owned()),
        })
    }

    fn json(&self, name: Name) -> Value {
        match (name, self.call()) {
            (Name::Payload, _) => Value::Object(self.payload()),
            (Name::Time | Name::Expires | Name::Ttl, Some(facts)) => facts.json(name),
            (Name::Now, _) => unix(self.now).into(),
            (Name::Time | Name::Expires | Name::Ttl, None) => self.notification().json(name),
            (other, _) => Value::String(self.text(other).into_owned()),
        }
    }
}
