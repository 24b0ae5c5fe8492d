//! Text with `${name}` in it: parsed once, filled for every push, each value encoded for where it stands.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What a template may ask for. docs/PAYLOADS.md says what each holds.
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
}

/// mod_apn's and its fork's names, ours, and those of a payload template; `-` and `_` are the same.
const NAMES: [(&str, Name); 26] = [
    ("type", Name::Type),
    ("user", Name::User),
    ("realm", Name::Realm),
    ("token", Name::Token),
    ("token_type", Name::TokenType),
    ("app_id", Name::AppId),
    ("platform", Name::Platform),
    ("provider", Name::Provider),
    ("payload", Name::Payload),
    ("uuid", Name::Call),
    ("aleg_uuid", Name::Call),
    ("x_call_id", Name::SipCall),
    ("cid_name", Name::CallerName),
    ("cid_number", Name::CallerNumber),
    ("kind", Name::Kind),
    ("reason", Name::Reason),
    ("time", Name::Time),
    ("expires", Name::Expires),
    ("ttl", Name::Ttl),
    ("call_id", Name::Call),
    ("sip_call_id", Name::SipCall),
    ("caller_name", Name::CallerName),
    ("caller_number", Name::CallerNumber),
    ("callee", Name::Callee),
    ("callee_user", Name::User),
    ("callee_domain", Name::Realm),
];

/// Why a template is refused. The text says what is allowed instead; none repeats more than a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A `${` without its `}`.
    #[error("has `${{` without `}}`")]
    Unclosed,
    /// `${name}` with a name we do not know.
    #[error("has the unknown ${{{0}}}; known are: {names}", names = known())]
    UnknownName(String),
    /// A rule of URLs or bodies.
    #[error("{0}")]
    Shape(String),
}

fn known() -> String {
    let names: Vec<_> = NAMES.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

impl Name {
    pub(crate) fn read(written: &str) -> Result<Self, TemplateError> {
        let plain = written.replace('-', "_");
        let found = NAMES.iter().find(|(name, _)| *name == plain);
        found
            .map(|(_, name)| *name)
            .ok_or_else(|| TemplateError::UnknownName(written.to_owned()))
    }
}

/// What stands for the names in one push.
pub(crate) trait Values {
    /// The value as text.
    fn text(&self, name: Name) -> Cow<'_, str>;
    /// The value as JSON: objects and numbers as what they are, all else as a string.
    fn json(&self, name: Name) -> serde_json::Value;
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Name(Name),
}

/// A parsed text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Text(Vec<Piece>);

impl Text {
    pub(crate) fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after.split_once('}').ok_or(TemplateError::Unclosed)?;
            if !before.is_empty() {
                pieces.push(Piece::Literal(before.to_owned()));
            }
            pieces.push(Piece::Name(Name::read(name)?));
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Literal(rest.to_owned()));
        }
        Ok(Self(pieces))
    }

    /// The text with its values; what was filled in is never looked at again.
    pub(crate) fn fill(&self, values: &impl Values, place: Place, out: &mut String) {
        for piece in &self.0 {
            match piece {
                Piece::Literal(text) => out.push_str(text),
                Piece::Name(name) => place.encode(&values.text(*name), out),
            }
        }
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = Name> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Literal(_) => None,
            Piece::Name(name) => Some(*name),
        })
    }
}

/// Where a value stands, and so how it is written there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A path segment, a query's or a form's value: everything but RFC 3986's unreserved characters is encoded.
    Uri,
    /// The text of a JSON string, which a JSON writer writes.
    JsonString,
    /// Text or a quoted attribute of XML or HTML.
    Markup,
    /// Any other text: one line.
    Line,
}

/// RFC 3986 section 2.3.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl Place {
    fn encode(self, value: &str, out: &mut String) {
        match self {
            Self::Uri => out.extend(utf8_percent_encode(value, UNRESERVED)),
            Self::JsonString => out.push_str(value),
            Self::Markup => value.chars().for_each(|c| match c {
                '&' => out.push_str("&amp;"),
                '<' => out.push_str("&lt;"),
                '>' => out.push_str("&gt;"),
                '"' => out.push_str("&quot;"),
                '\'' => out.push_str("&#39;"),
                // No XML may hold them, escaped or not.
                c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push(' '),
                c => out.push(c),
            }),
            Self::Line => value.chars().for_each(|c| {
                let breaks = c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
                out.push(if breaks { ' ' } else { c });
            }),
        }
    }
}
