//! One parameter of a URI: what it may hold, and what it means if it comes twice.

use std::borrow::Cow;

use memchr::memchr;
use percent_encoding::percent_decode_str;

use super::{ContactWarning, MAX_TOKEN, Refusal, Uri};
use crate::types::TokenFault;

type Warnings = Vec<ContactWarning>;

/// One parameter as it was found in a URI.
#[derive(Clone, Copy, Default)]
pub(super) struct Parameter<'a> {
    pub value: Option<&'a str>,
    times: u8,
    differs: bool,
}

impl<'a> Parameter<'a> {
    pub(super) fn add(&mut self, value: Option<&'a str>) {
        self.differs |= self.times > 0 && self.value != value;
        self.times = self.times.saturating_add(1);
        self.value = value;
    }

    pub(super) fn named(uri: &'a Uri, name: &str) -> Self {
        let mut given = Self::default();
        for (_, value) in uri.params().filter(|(own, _)| own.eq_ignore_ascii_case(name)) {
            given.add(value);
        }
        given
    }

    pub(super) fn is_given(&self) -> bool {
        self.times > 0
    }

    /// Whether it may be used at all: not if it came twice and differs.
    pub(super) fn is_sound(&self, name: &'static str, warnings: &mut Warnings) -> bool {
        if self.differs {
            warnings.push(ContactWarning::Contradictory(name));
        } else if self.times > 1 {
            warnings.push(ContactWarning::Repeated(name));
        }
        !self.differs
    }

    /// Its value as a token's text, decoded: `None` when it was not given.
    pub(super) fn text(&self) -> Option<Result<Cow<'a, str>, TokenFault>> {
        self.is_given().then(|| match self.value {
            None | Some("") => Err(TokenFault::Empty),
            Some(value) => decode(value).map_err(|_| TokenFault::BadCharacter),
        })
    }

    /// Its value, decoded; `Ok(None)` without one.
    pub(super) fn decoded(&self, name: &'static str, warnings: &mut Warnings) -> Result<Option<Cow<'a, str>>, ()> {
        match self.value {
            None | Some("") => Ok(None),
            Some(value) => decode(value)
                .map(Some)
                .map_err(|why| warnings.push(ContactWarning::Refused { name, why })),
        }
    }
}

/// Decodes a value once (RFC 3261 section 19.1.2; `+` stands for itself) and refuses what no token or app name holds.
///
/// # Errors
/// A `%` without two hex digits, or a blank, a control or anything outside ASCII once decoded.
///
/// # Examples
/// ```
/// use fswake_core::contact::decode;
///
/// assert_eq!(decode("acme%2Dios+1").as_deref(), Ok("acme-ios+1"));
/// assert!(decode("00fe%0d%0a").is_err());
/// ```
pub fn decode(value: &str) -> Result<Cow<'_, str>, Refusal> {
    let decoded = unescape(value)?;
    // Without a way out in the middle, so that it runs on many bytes at a time.
    if decoded.bytes().fold(true, |all, b| all & b.is_ascii_graphic()) {
        Ok(decoded)
    } else {
        Err(Refusal::BadCharacter)
    }
}

/// The same, of a value that may hold any character.
pub(super) fn unescape(value: &str) -> Result<Cow<'_, str>, Refusal> {
    let decoded = if memchr(b'%', value.as_bytes()).is_some() {
        let bytes = value.as_bytes();
        let is_hex = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
        let mut percents = value.match_indices('%');
        if !percents.all(|(at, _)| is_hex(at + 1) && is_hex(at + 2)) {
            return Err(Refusal::BadEscape);
        }
        percent_decode_str(value)
            .decode_utf8()
            .map_err(|_| Refusal::BadCharacter)?
    } else {
        Cow::Borrowed(value)
    };
    if decoded.len() > MAX_TOKEN {
        return Err(Refusal::TooLong);
    }
    Ok(decoded)
}
