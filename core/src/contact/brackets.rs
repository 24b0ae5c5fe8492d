//! Finds the URI in a Contact: past the display name, inside the brackets.

use memchr::memchr;
use nom::branch::alt;
use nom::bytes::complete::{tag, take_while};
use nom::character::complete::{char, none_of};
use nom::combinator::{recognize, value};
use nom::multi::many0_count;
use nom::sequence::{delimited, preceded};
use nom::{IResult, Parser};

use super::uri::{is_encoded_path, scheme};
use super::{ContactError, ContactWarning, ParamNames};

/// The URI as written, and what is known about its end.
pub(super) struct Brackets<'a> {
    pub uri: &'a str,
    pub cut: bool,
    pub bracketed: bool,
}

/// From this length on a URI without brackets may have been cut: FreeSWITCH cuts `"display" <uri>` at 1023 bytes, and
/// `show registrations` prints only the URI. Allows for a display name of 255 bytes. Taking a whole URI for a cut one
/// costs its last parameter until the next REGISTER; the contrary would cost a call.
const BARE_MAY_BE_CUT: usize = 1023 - 255;

pub(super) fn find<'a>(
    contact: &'a str,
    names: &ParamNames,
    warnings: &mut Vec<ContactWarning>,
) -> Result<Brackets<'a>, ContactError> {
    let contact = contact.trim_matches([' ', '\t']);
    match contact {
        "" => return Err(ContactError::Empty),
        "*" => return Err(ContactError::Wildcard),
        _ => {}
    }
    if !contact.starts_with('"') && scheme(contact).is_ok() {
        return bare(contact);
    }
    let inside = after_display(contact)?;
    let Some(end) = closing(inside) else {
        return Ok(Brackets {
            uri: inside,
            cut: true,
            bracketed: true,
        });
    };
    let (uri, tail) = (&inside[..end], &inside[end + 1..]);
    check_tail(tail, names, warnings)?;
    Ok(Brackets {
        uri,
        cut: false,
        bracketed: true,
    })
}

/// A URI without brackets. Commas separate Contacts there (RFC 3261 section 20.10), except in the user part.
fn bare(contact: &str) -> Result<Brackets<'_>, ContactError> {
    let path = contact.find(";fs_path=").unwrap_or(contact.len());
    let host = contact[..path].find('@').map_or(0, |at| at + 1);
    if contact[host..path].contains(',') {
        return Err(ContactError::MultipleContacts);
    }
    if contact[host..path].contains(['<', '>', '"']) {
        return Err(ContactError::Unbalanced);
    }
    Ok(Brackets {
        uri: contact,
        cut: contact.len() >= BARE_MAY_BE_CUT,
        bracketed: false,
    })
}

/// A quoted string (RFC 3261 section 25.1), with its quotes.
fn quoted(input: &str) -> IResult<&str, &str> {
    let escaped = preceded(char('\\'), nom::character::complete::anychar);
    let inner = many0_count(alt((value((), none_of("\\\"")), value((), escaped))));
    recognize(delimited(char('"'), inner, char('"'))).parse(input)
}

fn after_display(contact: &str) -> Result<&str, ContactError> {
    let rest = if contact.starts_with('"') {
        // FreeSWITCH writes `""` for no display name, by far the most common start.
        let short = tag::<_, _, nom::error::Error<&str>>("\"\"").parse(contact);
        let (rest, _) = short
            .or_else(|_| quoted(contact))
            .map_err(|_| ContactError::Unbalanced)?;
        rest.trim_start_matches([' ', '\t'])
    } else {
        let display = take_while::<_, _, nom::error::Error<&str>>(|c| c != '<' && c != '"');
        let (rest, display) = preceded(tag(""), display)
            .parse(contact)
            .map_err(|_| ContactError::NotSip)?;
        if display.contains(',') {
            return Err(ContactError::MultipleContacts);
        }
        rest
    };
    rest.strip_prefix('<').ok_or(if rest.contains('<') {
        ContactError::Unbalanced
    } else {
        ContactError::NotSip
    })
}

/// The position of the bracket that ends the URI.
///
/// An unencoded `fs_path` of a Path header (RFC 3327) holds brackets of its own: `fs_path=<sip:proxy;lr>,<sip:b;lr>>`.
/// So does a value in which a phone escaped them: `pn-voip-tok=<null>`.
fn closing(inside: &str) -> Option<usize> {
    let first = memchr(b'>', inside.as_bytes())?;
    if memchr(b'<', &inside.as_bytes()[..first]).is_none() {
        return Some(first);
    }
    let path = inside[..first].find(";fs_path=").map(|at| at + ";fs_path=".len());
    match path.filter(|path| inside[*path..].starts_with('<') && !is_encoded_path(&inside[*path..])) {
        Some(path) => paired(inside, path),
        None => paired(inside, 0).or(Some(first)),
    }
}

/// The first `>` from `start` on that pairs with no `<` after `start`.
fn paired(inside: &str, start: usize) -> Option<usize> {
    let mut depth = 0_u32;
    for (at, byte) in inside.bytes().enumerate().skip(start) {
        match (byte, depth) {
            (b'<', _) => depth += 1,
            (b'>', 0) => return Some(at),
            (b'>', _) => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Header parameters after the URI: ignored, but they must be parameters. A `>` that a phone escaped arrives
/// unescaped, ends the URI too early, and shows here.
fn check_tail(tail: &str, names: &ParamNames, warnings: &mut Vec<ContactWarning>) -> Result<(), ContactError> {
    let tail = tail.trim_start_matches([' ', '\t']);
    if tail.is_empty() {
        return Ok(());
    }
    if tail.starts_with(',') {
        return Err(ContactError::MultipleContacts);
    }
    let mut rest = tail;
    let mut outside = false;
    while let Some(parameter) = rest.strip_prefix(';') {
        let name_end = parameter
            .find(['=', ';', ',', '"', '<', '>'])
            .unwrap_or(parameter.len());
        outside |= names.is_push(parameter[..name_end].trim_matches([' ', '\t']));
        rest = &parameter[name_end..];
        loop {
            let plain = rest.find(['"', ';', ',', '<', '>']).unwrap_or(rest.len());
            rest = &rest[plain..];
            match rest.as_bytes().first() {
                Some(b'"') => rest = quoted(rest).map_err(|_| ContactError::Unbalanced)?.0,
                Some(b',') => return Err(ContactError::MultipleContacts),
                Some(b'<' | b'>') => return Err(ContactError::Unbalanced),
                _ => break,
            }
        }
    }
    if !rest.is_empty() {
        return Err(ContactError::Unbalanced);
    }
    if outside {
        warnings.push(ContactWarning::OutsideBrackets);
    }
    Ok(())
}
