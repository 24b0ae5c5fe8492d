//! A SIP URI as used in registrations (RFC 3261 section 19.1).

use std::fmt;
use std::net::Ipv6Addr;

use memchr::memchr;
use nom::branch::alt;
use nom::bytes::complete::{tag, tag_no_case, take_while1};
use nom::character::complete::{char, u16};
use nom::combinator::{eof, opt, value};
use nom::sequence::{preceded, terminated};
use nom::{IResult, Offset, Parser};

use super::{ContactError, ContactWarning, MAX_CONTACT};
use crate::types::Printable;

/// The scheme of a SIP URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
}

impl Scheme {
    /// The scheme without its colon.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sip => "sip",
            Self::Sips => "sips",
        }
    }
}

/// Where something stands in the URI's text. Sixteen bits are enough for [`MAX_CONTACT`].
#[derive(Clone, Copy)]
struct Span {
    start: u16,
    end: u16,
}

impl Span {
    fn of(part: &str, text: &str) -> Self {
        let start = text.offset(part);
        let bound = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
        Self {
            start: bound(start),
            end: bound(start + part.len()),
        }
    }
}

#[derive(Clone, Copy)]
struct ParamSpan {
    name: Span,
    value: Option<Span>,
}

/// A SIP URI: its text and where its parts are in it. Its `Debug` shows no parameter's value.
///
/// The parts are as given, with percent-escapes; [`Uri::dial_target`] normalises them.
#[derive(Clone)]
pub struct Uri {
    text: Box<str>,
    scheme: Scheme,
    user: Option<Span>,
    host: Span,
    port: Option<u16>,
    params: Vec<ParamSpan>,
}

impl Uri {
    /// Parses a URI without brackets around it.
    ///
    /// # Errors
    /// Another scheme, or an invalid host or port.
    ///
    /// # Examples
    /// ```
    /// use fswake_core::contact::{Scheme, Uri};
    ///
    /// let uri = Uri::parse("sips:1001@[2001:db8::7]:5061;ob")?;
    /// assert_eq!((uri.scheme(), uri.user()), (Scheme::Sips, Some("1001")));
    /// assert_eq!((uri.host(), uri.port()), ("[2001:db8::7]", Some(5061)));
    /// assert_eq!(uri.param("OB"), Some(""));
    /// assert!(Uri::parse("tel:+4930123456").is_err());
    /// # Ok::<(), fswake_core::contact::ContactError>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, ContactError> {
        parse(text, &mut Vec::new())
    }

    fn part(&self, span: Span) -> &str {
        self.text
            .get(usize::from(span.start)..usize::from(span.end))
            .unwrap_or_default()
    }

    /// Its scheme.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The user part; `None` also for FreeSWITCH's `(null)`.
    pub fn user(&self) -> Option<&str> {
        self.user.map(|span| self.part(span))
    }

    /// The host: a name, an IPv4 address, or an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        self.part(self.host)
    }

    /// The port, where it has one.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The parameters in order; `None` for those without `=`. An unencoded `fs_path` is one parameter.
    pub fn params(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.params
            .iter()
            .map(|p| (self.part(p.name), p.value.map(|span| self.part(span))))
    }

    /// The first value of a parameter, its name compared without case; `Some("")` for one without `=`.
    pub fn param(&self, name: &str) -> Option<&str> {
        let mut params = self.params();
        params
            .find(|(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.unwrap_or_default())
    }
}

impl PartialEq for Uri {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Uri {}

impl fmt::Debug for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}@{}",
            self.scheme.name(),
            Printable(self.user().unwrap_or_default()),
            self.host()
        )?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        self.params()
            .try_for_each(|(name, value)| write!(f, ";{}{}", Printable(name), if value.is_some() { "=.." } else { "" }))
    }
}

/// `sip:` or `sips:`, in any case.
pub(super) fn scheme(input: &str) -> IResult<&str, Scheme> {
    let sips = value(Scheme::Sips, tag_no_case("sips:"));
    let sip = value(Scheme::Sip, tag_no_case("sip:"));
    alt((sip, sips)).parse(input)
}

/// Whether the value of an `fs_path` is percent-encoded (so that it ends at the next `;`).
pub(super) fn is_encoded_path(value: &str) -> bool {
    let starts = |with: &str| {
        value
            .get(..with.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(with))
    };
    starts("sip%3A") || starts("sips%3A") || starts("%3Csip")
}

pub(super) fn parse(text: &str, warnings: &mut Vec<ContactWarning>) -> Result<Uri, ContactError> {
    if text.len() > MAX_CONTACT {
        return Err(ContactError::TooLong(text.len()));
    }
    let text = text.trim_matches([' ', '\t']);
    let (rest, scheme) = scheme(text).map_err(|_| ContactError::NotSip)?;
    let (user, rest) = split_user(rest);
    let end = rest.find([';', '?']).unwrap_or(rest.len());
    let (host, port) = host_port(&rest[..end])?;
    let mut params = Vec::with_capacity(24);
    if rest[end..].starts_with('?') {
        warnings.push(ContactWarning::HeadersDropped);
    } else {
        read_params(text, &rest[end..], &mut params);
    }
    Ok(Uri {
        scheme,
        user: user
            .filter(|user| !user.is_empty() && *user != "(null)")
            .map(|user| Span::of(user, text)),
        host: Span::of(host, text),
        port,
        params,
        text: text.into(),
    })
}

/// Splits at the `@` that ends the user part.
///
/// A user part may hold `;` (RFC 3261: user-unreserved), and an `@` that a phone escaped arrives unescaped. So the last
/// `@` before the first `;` counts, else the first one at all; the route in `fs_path` has its own.
fn split_user(rest: &str) -> (Option<&str>, &str) {
    let head = &rest[..rest.find(';').unwrap_or(rest.len())];
    let at = head.rfind('@').or_else(|| {
        let before_path = &rest[..rest.find(";fs_path=").unwrap_or(rest.len())];
        before_path[head.len()..].find('@').map(|at| at + head.len())
    });
    at.map_or((None, rest), |at| (Some(&rest[..at]), &rest[at + 1..]))
}

fn host_port(input: &str) -> Result<(&str, Option<u16>), ContactError> {
    let (rest, host) = if input.starts_with('[') {
        let end = input.find(']').ok_or(ContactError::BadHost)?;
        let address = &input[1..end];
        if address.contains('%') {
            return Err(ContactError::ZoneId);
        }
        address.parse::<Ipv6Addr>().map_err(|_| ContactError::BadHost)?;
        (&input[end + 1..], &input[..=end])
    } else {
        host_name(input).map_err(|_| ContactError::BadHost)?
    };
    // More than one colon: an IPv6 address that lacks its brackets.
    if !rest.is_empty() && (!rest.starts_with(':') || rest[1..].contains(':')) {
        return Err(ContactError::BadHost);
    }
    let (_, port) = port(rest).map_err(|_| ContactError::BadPort)?;
    if port == Some(0) {
        return Err(ContactError::BadPort);
    }
    Ok((host, port))
}

/// A host name or IPv4 address. Underscores are no part of host names, but of many real ones.
fn host_name(input: &str) -> IResult<&str, &str> {
    let (rest, host) = take_while1(|c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')).parse(input)?;
    // `sip:_:5060` would hold FreeSWITCH's separator `:_:`.
    if host.starts_with(['_', '-', '.']) {
        return Err(nom::Err::Error(nom::error::make_error(
            input,
            nom::error::ErrorKind::Verify,
        )));
    }
    Ok((rest, host))
}

fn port(input: &str) -> IResult<&str, Option<u16>> {
    // nom's u16 takes a sign.
    if input.starts_with(":+") {
        return tag("digits").parse(input).map(|(rest, _)| (rest, None));
    }
    terminated(opt(preceded(char(':'), u16)), eof).parse(input)
}

fn read_params(text: &str, params: &str, out: &mut Vec<ParamSpan>) {
    let mut rest = params;
    while let Some(start) = rest.strip_prefix(';') {
        let whole = start
            .strip_prefix("fs_path=")
            .is_some_and(|path| !is_encoded_path(path));
        let end = if whole {
            start.len()
        } else {
            memchr(b';', start.as_bytes()).unwrap_or(start.len())
        };
        let (param, next) = start.split_at(end);
        rest = next;
        let (name, value) = match memchr(b'=', param.as_bytes()) {
            Some(at) => (&param[..at], Some(&param[at + 1..])),
            None => (param, None),
        };
        if !name.is_empty() {
            out.push(ParamSpan {
                name: Span::of(name, text),
                value: value.map(|value| Span::of(value, text)),
            });
        }
    }
}
