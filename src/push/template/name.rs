//! The names that an operator may write in a template: one table, for payloads and for gateways.

/// The names that a template may use; docs/PAYLOADS.md describes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// The profile: `voip` or `im`.
    Type,
    /// Who is called or written to.
    User,
    /// Their domain.
    Realm,
    /// The phone's token.
    Token,
    /// Which of the phone's tokens it is: `voip` or `im`.
    TokenType,
    /// The phone's app.
    AppId,
    /// What its platform is called there.
    Platform,
    /// Who delivers to it: `apns`, `fcm`, ..
    Provider,
    /// The JSON object of the app's payload style.
    Payload,
    /// fswake's id of the call.
    Call,
    /// The SIP Call-ID of the INVITE to come.
    SipCall,
    /// Caller's name.
    CallerName,
    /// Caller's number.
    CallerNumber,
    /// `user@domain` of the callee.
    Callee,
    /// `call`, `cancel`, `missed-call`.
    Kind,
    /// Why a call was cancelled.
    Reason,
    /// When the call began to wait, Unix seconds.
    Time,
    /// When the wait ends, Unix seconds.
    Expires,
    /// Seconds that are left of it.
    Ttl,
    /// When the request is written, Unix seconds.
    Now,
}

/// What a template is for, which decides the names that it may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vocabulary {
    /// A call's payload: names of the call, written with `-`.
    Payload,
    /// The same for a push without a call: names that it has too.
    Notification,
    /// A gateway's URL, headers and body: every name, mod_apn's and its fork's too; `-` and `_` are the same.
    Gateway,
}

/// Every name as gateways write it, and whether a payload may use it too.
const NAMES: [(&str, Name, bool); 27] = [
    ("type", Name::Type, false),
    ("user", Name::User, false),
    ("realm", Name::Realm, false),
    ("token", Name::Token, false),
    ("token_type", Name::TokenType, false),
    ("app_id", Name::AppId, true),
    ("platform", Name::Platform, false),
    ("provider", Name::Provider, false),
    ("payload", Name::Payload, false),
    ("now", Name::Now, false),
    ("uuid", Name::Call, false),
    ("aleg_uuid", Name::Call, false),
    ("x_call_id", Name::SipCall, false),
    ("cid_name", Name::CallerName, false),
    ("cid_number", Name::CallerNumber, false),
    ("kind", Name::Kind, true),
    ("reason", Name::Reason, true),
    ("time", Name::Time, true),
    ("expires", Name::Expires, true),
    ("ttl", Name::Ttl, true),
    ("call_id", Name::Call, true),
    ("sip_call_id", Name::SipCall, true),
    ("caller_name", Name::CallerName, true),
    ("caller_number", Name::CallerNumber, true),
    ("callee", Name::Callee, true),
    ("callee_user", Name::User, true),
    ("callee_domain", Name::Realm, true),
];

impl Vocabulary {
    /// The part of the table that it has.
    fn known(self) -> impl Iterator<Item = (&'static str, Name)> {
        let without_call = |name| matches!(name, Name::Kind | Name::AppId | Name::Callee | Name::User | Name::Realm);
        let known = NAMES.iter().filter(move |(_, name, in_payloads)| match self {
            Self::Gateway => true,
            Self::Payload => *in_payloads,
            Self::Notification => *in_payloads && without_call(*name),
        });
        known.map(|(word, name, _)| (*word, *name))
    }

    /// Its names, as the documents write them.
    pub fn names(self) -> impl Iterator<Item = String> {
        self.known().map(move |(word, _)| match self {
            Self::Payload | Self::Notification => word.replace('_', "-"),
            Self::Gateway => word.to_owned(),
        })
    }

    /// The name's meaning.
    pub(crate) fn find(self, written: &str) -> Option<Name> {
        let plain = match self {
            Self::Payload | Self::Notification if written.contains('_') => return None,
            _ => written.replace('-', "_"),
        };
        self.known().find(|(word, _)| *word == plain).map(|(_, name)| name)
    }
}
