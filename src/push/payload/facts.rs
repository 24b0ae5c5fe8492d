//! The facts of a call for a push, in any format. Pure.

use std::borrow::Cow;
use std::time::SystemTime;

use serde_json::Value;

use crate::clock;
use crate::push::template::{Name, Values};
use crate::types::UnixSeconds;
use crate::types::push::{CallPush, PushKind, PushRequest};

/// All facts that a payload may contain about a call.
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
            time: clock::unix(call.held_at),
            expires: clock::unix(now + req.ttl),
            ttl: req.ttl.as_secs(),
        }
    }

    pub(crate) fn kind(&self) -> &'static str {
        self.call.kind.purpose().as_str()
    }

    pub(crate) fn reason(&self) -> Option<&'static str> {
        match self.call.kind {
            PushKind::Cancel(reason) => Some(reason.as_str()),
            _ => None,
        }
    }

    /// What the phone shows: the name, or else the number.
    pub(crate) fn caller(&self) -> &str {
        match (self.caller_name.as_ref(), self.caller_number) {
            ("", "") => "Unknown",
            ("", number) => number,
            (name, _) => name,
        }
    }

    pub(crate) fn callee(&self) -> String {
        callee(self.req)
    }

    /// The caller as a SIP URI, in the callee's domain: FreeSWITCH gives us a number, Linphone wants an address.
    pub(crate) fn caller_uri(&self) -> String {
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

impl Values for Facts<'_> {
    fn text(&self, name: Name) -> Cow<'_, str> {
        Cow::Borrowed(match name {
            Name::Reason => self.reason().unwrap_or_default(),
            Name::SipCall => &self.call.sip_call_id,
            Name::CallerNumber => self.caller_number,
            Name::CallerName => &self.caller_name,
            Name::Call => return Cow::Owned(self.call.call.to_string()),
            Name::Time => return Cow::Owned(self.time.to_string()),
            Name::Expires => return Cow::Owned(self.expires.to_string()),
            Name::Ttl => return Cow::Owned(self.ttl.to_string()),
            other => return of_any_push(self.req, other),
        })
    }

    fn json(&self, name: Name) -> Value {
        match name {
            Name::Time => self.time.into(),
            Name::Expires => self.expires.into(),
            Name::Ttl => self.ttl.into(),
            other => Value::String(self.text(other).into_owned()),
        }
    }
}

/// All facts that a template may contain about a push without a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NotificationFacts<'a> {
    pub req: &'a PushRequest,
    pub now: SystemTime,
}

impl Values for NotificationFacts<'_> {
    fn text(&self, name: Name) -> Cow<'_, str> {
        match name {
            Name::Time | Name::Expires | Name::Ttl => Cow::Owned(self.json(name).to_string()),
            other => of_any_push(self.req, other),
        }
    }

    fn json(&self, name: Name) -> Value {
        match name {
            Name::Time => clock::unix(self.now).into(),
            Name::Expires => clock::unix(self.now + self.req.ttl).into(),
            Name::Ttl => self.req.ttl.as_secs().into(),
            other => Value::String(self.text(other).into_owned()),
        }
    }
}

/// What every push has, about a call or not; nothing for the other names.
fn of_any_push(req: &PushRequest, name: Name) -> Cow<'_, str> {
    Cow::Borrowed(match name {
        Name::Kind => req.about.purpose().as_str(),
        Name::User => &req.callee.user,
        Name::Realm => &req.callee.domain,
        Name::AppId => &req.to.app,
        Name::Callee => return Cow::Owned(callee(req)),
        // Of calls, and of a time.
        Name::Reason
        | Name::SipCall
        | Name::CallerName
        | Name::CallerNumber
        | Name::Call
        | Name::Time
        | Name::Expires
        | Name::Ttl
        // A gateway's own names, which no payload may use.
        | Name::Type
        | Name::Token
        | Name::TokenType
        | Name::Platform
        | Name::Provider
        | Name::Payload
        | Name::Now => "",
    })
}

fn callee(req: &PushRequest) -> String {
    format!("{}@{}", req.callee.user, req.callee.domain)
}
