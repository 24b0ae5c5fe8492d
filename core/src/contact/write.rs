//! Writes a [`Uri`] as a FreeSWITCH dial-string.
//!
//! `originate` reads `,` `|` `:_:` as lists, `[..]` `{..}` `<..>` as variables, `^` as another To, and `$` and `\` as
//! expansions; mod_sofia looks for the last `/` before the first `@`. So only letters, digits and a few marks pass
//! unescaped: in values also `=`, and brackets around an address. Sofia-SIP undoes escapes that a URI does not need
//! (RFC 3261 section 19.1.4), so that the INVITE has what the phone wrote (tests/live/contacts.rs). Escapes are in
//! upper case: FreeSWITCH takes a lower-case one for a bare `%`.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use thiserror::Error;

use super::{ParamNames, Scheme, Uri};

/// Why a URI cannot be dialled.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum WriteError {
    /// A profile name that would be misread.
    #[error("a sofia profile's name may only hold letters, digits, `_`, `.` and `-`, and must not be `gateway`")]
    Profile,
    /// A control character, raw or escaped.
    #[error("the Contact's user part or a parameter holds a control character")]
    Control,
    /// The route in `fs_path` is not a list of SIP URIs.
    #[error("the route in the Contact's fs_path is not a SIP URI")]
    Route,
    /// The result is not safe in a dial-string. Never expected: it guards the rest of this file.
    #[error("the Contact holds a character that FreeSWITCH would interpret")]
    Unsafe,
}

/// Escaped inside `fs_path`, which FreeSWITCH decodes once: everything but RFC 3986's unreserved characters.
const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');

/// The part of a URI that a text belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum UriPart {
    User,
    Name,
    Value,
    /// A value in a route, which FreeSWITCH turns into a header: sofia-sip sends nothing if a bare `=` is in one.
    RouteValue,
}

/// The purpose of a written URI.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    /// Every parameter.
    All,
    /// Only the parts that decide where a request goes.
    Target,
}

impl Uri {
    /// The dial-string `sofia/<profile>/sip:user@host:port;params`, its parameters in order.
    ///
    /// With `strip`, push parameters are left out of the URI and of the copy in `fs_path` (RFC 8599 section 4.1.3).
    /// A `sips:` URI without `transport` gets `transport=tls`: FreeSWITCH 1.10.12 drops the scheme of a dial-string and
    /// would send by UDP.
    ///
    /// # Errors
    /// If it cannot be written in characters that are safe for FreeSWITCH.
    ///
    /// # Examples
    /// ```
    /// use fswake_core::contact::{ParamNames, Uri};
    ///
    /// let uri = Uri::parse("sip:10,01@192.0.2.7;transport=TCP;pn-prid=00fe;pn-provider=apns")?;
    /// let names = ParamNames::default();
    /// // A comma would be a second destination; the token stays here.
    /// assert_eq!(
    ///     uri.dial_target("internal", Some(&names))?,
    ///     "sofia/internal/sip:10%2C01@192.0.2.7;transport=TCP"
    /// );
    /// assert!(uri.dial_target("gateway", None).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn dial_target(&self, profile: &str, strip: Option<&ParamNames>) -> Result<String, WriteError> {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
        if profile.is_empty() || !profile.bytes().all(is_plain) || profile.eq_ignore_ascii_case("gateway") {
            return Err(WriteError::Profile);
        }
        let mut out = String::with_capacity(256);
        out.push_str("sofia/");
        out.push_str(profile);
        out.push('/');
        self.write(&mut out, strip, Keep::All)?;
        if is_dialable(&out) {
            Ok(out)
        } else {
            Err(WriteError::Unsafe)
        }
    }

    /// Where requests for this URI go, as canonical text: scheme, user, host, port, transport, and the route. Two
    /// Contacts with the same text are the same phone at the same place, whatever their other parameters (tokens, most
    /// of all).
    ///
    /// # Errors
    /// As [`Uri::dial_target`].
    ///
    /// # Examples
    /// ```
    /// use fswake_core::contact::Uri;
    ///
    /// let before = Uri::parse("sip:1001@Phone.example.org;pn-prid=00fe;transport=tcp")?;
    /// let after = Uri::parse("sip:1001@phone.example.org;transport=tcp;pn-prid=00ff")?;
    /// assert!(before.same_target(&after));
    /// assert_eq!(after.target()?, "sip:1001@phone.example.org;transport=tcp");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn target(&self) -> Result<String, WriteError> {
        let mut out = String::with_capacity(64);
        self.write(&mut out, None, Keep::Target)?;
        Ok(out)
    }

    /// Whether requests for both go to the same phone at the same place; see [`Uri::target`].
    pub fn same_target(&self, other: &Self) -> bool {
        self == other || self.target().is_ok_and(|own| other.target() == Ok(own))
    }

    fn write(&self, out: &mut String, strip: Option<&ParamNames>, keep: Keep) -> Result<(), WriteError> {
        write_place(out, self)?;
        let mut path_written = false;
        for (name, value) in self.params() {
            if name == "fs_path" {
                // FreeSWITCH reads the first one only.
                if let (false, Some(path)) = (path_written, value) {
                    out.push_str(";fs_path=");
                    out.extend(utf8_percent_encode(&route(path, strip, keep)?, IN_PATH));
                    path_written = true;
                }
            } else {
                write_param(out, (name, value), UriPart::Value, strip, keep)?;
            }
        }
        Ok(())
    }
}

/// Scheme, user, host and port; and the transport that `sips:` stands for.
fn write_place(out: &mut String, uri: &Uri) -> Result<(), WriteError> {
    out.push_str(uri.scheme().name());
    out.push(':');
    if let Some(user) = uri.user() {
        put(out, user, UriPart::User)?;
        out.push('@');
    }
    out.extend(uri.host().chars().map(|c| c.to_ascii_lowercase()));
    if let Some(port) = uri.port() {
        out.push(':');
        out.push_str(&port.to_string());
    }
    if uri.scheme() == Scheme::Sips && uri.param("transport").is_none() {
        out.push_str(";transport=tls");
    }
    Ok(())
}

fn write_param(
    out: &mut String,
    (name, value): (&str, Option<&str>),
    place: UriPart,
    strip: Option<&ParamNames>,
    keep: Keep,
) -> Result<(), WriteError> {
    if strip.is_some_and(|names| names.is_push(name)) {
        return Ok(());
    }
    if keep == Keep::Target && !name.eq_ignore_ascii_case("transport") {
        return Ok(());
    }
    out.push(';');
    put(out, name, UriPart::Name)?;
    if let Some(value) = value {
        out.push('=');
        let from = out.len();
        put(out, value, place)?;
        if keep == Keep::Target {
            out[from..].make_ascii_lowercase();
        }
    }
    Ok(())
}

/// The route of an `fs_path`, decoded and written again: one URI, or the list of a Path header (RFC 3327).
fn route(path: &str, strip: Option<&ParamNames>, keep: Keep) -> Result<String, WriteError> {
    let decoded = if super::uri::is_encoded_path(path) {
        percent_decode_str(path).decode_utf8().map_err(|_| WriteError::Route)?
    } else {
        Cow::Borrowed(path)
    };
    let mut out = String::with_capacity(decoded.len());
    let Some(mut rest) = decoded.strip_prefix('<') else {
        write_hop(&mut out, &decoded, strip, keep)?;
        return Ok(out);
    };
    loop {
        let (hop, after) = rest.split_once('>').ok_or(WriteError::Route)?;
        out.push('<');
        write_hop(&mut out, hop, strip, keep)?;
        out.push('>');
        let after = after.trim_matches(' ');
        if after.is_empty() {
            return Ok(out);
        }
        let next = after.strip_prefix(',').map(|next| next.trim_start_matches(' '));
        rest = next.and_then(|next| next.strip_prefix('<')).ok_or(WriteError::Route)?;
        out.push(',');
    }
}

/// One URI of a route. A further `fs_path` inside it is ignored by FreeSWITCH and left out.
fn write_hop(out: &mut String, hop: &str, strip: Option<&ParamNames>, keep: Keep) -> Result<(), WriteError> {
    let uri = Uri::parse(hop).map_err(|_| WriteError::Route)?;
    write_place(out, &uri)?;
    for (name, value) in uri.params().filter(|(name, _)| *name != "fs_path") {
        write_param(out, (name, value), UriPart::RouteValue, strip, keep)?;
    }
    Ok(())
}

/// Escapes everything that is not surely harmless. Existing escapes stay, except those of unreserved characters in user
/// parts and values (RFC 3986 section 6.2.2.2). In names even those stay, so that no harmless name becomes another.
fn put(out: &mut String, text: &str, place: UriPart) -> Result<(), WriteError> {
    let bytes = text.as_bytes();
    let mut at = 0;
    let mut in_brackets = false;
    while let Some(&byte) = bytes.get(at) {
        let escaped = if byte == b'%' { escape_at(bytes, at) } else { None };
        at += if escaped.is_some() { 3 } else { 1 };
        let meant = escaped.unwrap_or(byte);
        if meant.is_ascii_control() {
            return Err(WriteError::Control);
        }
        let unreserved = meant.is_ascii_alphanumeric() || matches!(meant, b'-' | b'.' | b'_');
        let plain = if escaped.is_some() {
            unreserved && place != UriPart::Name
        } else {
            let in_value = || match meant {
                b'=' => !in_brackets && place == UriPart::Value,
                b'[' => !in_brackets && closes_safely(&bytes[at..]),
                b']' => in_brackets,
                b':' => colon_is_safe(out, bytes, at),
                _ => false,
            };
            let is_value = matches!(place, UriPart::Value | UriPart::RouteValue);
            unreserved || matches!(meant, b'*' | b'+') || (is_value && in_value())
        };
        in_brackets = match meant {
            b'[' if plain => true,
            b']' => false,
            _ => in_brackets,
        };
        if plain {
            out.push(char::from(meant));
        } else {
            const HEX: &[u8; 16] = b"0123456789ABCDEF";
            out.push('%');
            out.push(char::from(HEX[usize::from(meant >> 4)]));
            out.push(char::from(HEX[usize::from(meant & 15)]));
        }
    }
    Ok(())
}

/// The byte that the escape at `at` stands for.
fn escape_at(bytes: &[u8], at: usize) -> Option<u8> {
    let digit = |at: usize| bytes.get(at).and_then(|b| char::from(*b).to_digit(16));
    u8::try_from(digit(at + 1)? * 16 + digit(at + 2)?).ok()
}

/// Whether what follows a `[` in a value is only an address and its `]`, as in `alias=[::1]~5060~1`. A proxy finds the
/// phone's connection by it, and does not recognise it escaped. FreeSWITCH reads variables in brackets only at the
/// start of a leg's dial-string, and looks for commas up to the closing one; such a pair has neither.
fn closes_safely(after: &[u8]) -> bool {
    let end = after.iter().position(|b| !is_in_brackets(*b));
    end.is_some_and(|end| end > 0 && after.get(end) == Some(&b']'))
}

/// What is allowed between brackets.
fn is_in_brackets(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'.' | b'-')
}

/// Whether a `:` in a value (`received=192.0.2.1:5060`) cannot become part of FreeSWITCH's separator `:_:`.
fn colon_is_safe(out: &str, bytes: &[u8], next: usize) -> bool {
    let underscore_next =
        bytes.get(next) == Some(&b'_') || (bytes.get(next) == Some(&b'%') && escape_at(bytes, next) == Some(b'_'));
    !out.ends_with('_') && !underscore_next
}

/// Checks a finished dial-string again: only known characters, brackets only around addresses, and no `:_:`.
fn is_dialable(dial: &str) -> bool {
    let mut bracket = false;
    let known = dial.bytes().all(|b| match b {
        b'[' => !std::mem::replace(&mut bracket, true),
        b']' => std::mem::replace(&mut bracket, false),
        _ if bracket => is_in_brackets(b),
        _ => b.is_ascii_alphanumeric() || b"-._*+%:@;=/".contains(&b),
    });
    known && !bracket && !dial.contains(":_:") && dial.matches('/').count() == 2
}
