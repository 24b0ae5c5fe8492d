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

    /// What the phone shows: the name, or else the number.
    pub(crate) fn caller(&self) -> &str {
        match (self.caller_name.as_ref(), self.caller_number) {
            ("", "") => "Unknown",
            ("", number) => number,
            (name, _) => name,
        }
    }

    pub(crate) fn callee(&self) -> String {
        format!("{}@{}", self.req.callee.user, self.req.callee.domain)
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
            Name::Kind => self.kind(),
            Name::Reason => self.reason().unwrap_or_default(),
            Name::SipCall => &self.call.sip_call_id,
            Name::CallerNumber => self.caller_number,
            Name::CallerName => &self.caller_name,
            Name::User => &self.req.callee.user,
            Name::Realm => &self.req.callee.domain,
            Name::AppId => &self.req.to.app,
            Name::Call => return Cow::Owned(self.call.call.to_string()),
            Name::Callee => return Cow::Owned(self.callee()),
            Name::Time => return Cow::Owned(self.time.to_string()),
            Name::Expires => return Cow::Owned(self.expires.to_string()),
            Name::Ttl => return Cow::Owned(self.ttl.to_string()),
            // A gateway's own names, which no payload may use.
            Name::Type | Name::Token | Name::TokenType | Name::Platform | Name::Provider | Name::Payload => "",
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
