//! Repairs a Contact that FreeSWITCH cut, and the route to its phone.
//!
//! The cut parameter is dropped: half a token is useless. `fs_path` comes last, so it is cut first, and without it a
//! phone behind a NAT cannot be reached. It is rebuilt from the REGISTER's source address.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use super::uri::is_encoded_path;
use super::{ContactError, ContactWarning, NetworkHint, Uri};

/// Returns the URI with its complete parameters only, and with a route if one is needed.
///
/// `surely` is false for a bare URI, which may be complete.
pub(super) fn mend<'a>(
    text: &'a str,
    surely: bool,
    hint: Option<&NetworkHint>,
    warnings: &mut Vec<ContactWarning>,
) -> Result<Cow<'a, str>, ContactError> {
    let Some(last) = text.rfind(';') else {
        return Err(ContactError::CutBeforeHost);
    };
    let Some(path_at) = text.find(";fs_path=") else {
        // FreeSWITCH always prints an `@`. Without one the user part was cut, and its start is not a host.
        if surely && !text[..last].contains('@') {
            return Err(ContactError::CutBeforeHost);
        }
        return add_route(&text[..last], None, hint, warnings);
    };
    let path = &text[path_at + ";fs_path=".len()..];
    if is_encoded_path(path) {
        if let Some(end) = path.rfind(';') {
            // Something follows the route, so the route is whole.
            return Ok(Cow::Borrowed(&text[..path_at + ";fs_path=".len() + end]));
        }
        // Perhaps complete: kept if there is nothing better, or if it ends like one from a Path header.
        let ends_bracket = path
            .as_bytes()
            .last_chunk()
            .is_some_and(|end: &[u8; 3]| end.eq_ignore_ascii_case(b"%3E"));
        if !surely && (hint.is_none() || ends_bracket) {
            return Ok(Cow::Borrowed(text));
        }
    }
    add_route(&text[..path_at], Some(path), hint, warnings)
}

fn add_route<'a>(
    kept: &'a str,
    path: Option<&str>,
    hint: Option<&NetworkHint>,
    warnings: &mut Vec<ContactWarning>,
) -> Result<Cow<'a, str>, ContactError> {
    let uri = Uri::parse(kept)?;
    let nat_seen = uri.params().any(|(name, _)| name == "fs_nat");
    let Some(hint) = hint else {
        return Ok(without_hint(kept, path, nat_seen, warnings));
    };
    let needed = path.is_some() || nat_seen || hint.nat || !is_address(uri.host(), hint.address.ip());
    if !needed {
        return Ok(Cow::Borrowed(kept));
    }
    warnings.push(ContactWarning::RouteRewritten);
    let mut text = String::with_capacity(kept.len() + 96);
    text.push_str(kept);
    if hint.nat && !nat_seen {
        text.push_str(";fs_nat=yes");
    }
    text.push_str(";fs_path=");
    text.push_str(uri.scheme().name());
    text.push(':');
    if let Some(user) = uri.user() {
        text.push_str(user);
        text.push('@');
    }
    // Rebuilt without an IPv6 zone, and with the brackets that a URI needs.
    let _ = write!(text, "{}", SocketAddr::new(hint.address.ip(), hint.address.port()));
    if let Some(transport) = uri.param("transport").or(hint.transport.map(super::Transport::name)) {
        text.push_str(";transport=");
        text.push_str(transport);
    }
    Ok(Cow::Owned(text))
}

/// Without a network address, the rest of the cut route: its host is complete if a parameter follows it.
fn without_hint<'a>(
    kept: &'a str,
    path: Option<&str>,
    nat_seen: bool,
    warnings: &mut Vec<ContactWarning>,
) -> Cow<'a, str> {
    let Some(path) = path else {
        if nat_seen {
            warnings.push(ContactWarning::RouteLost);
        }
        return Cow::Borrowed(kept);
    };
    let decoded = if is_encoded_path(path) {
        percent_encoding::percent_decode_str(path).decode_utf8_lossy()
    } else {
        Cow::Borrowed(path)
    };
    let whole = decoded.rfind(';').map(|end| &decoded[..end]);
    if let Some(route) = whole.filter(|route| Uri::parse(route).is_ok()) {
        return Cow::Owned(format!("{kept};fs_path={route}"));
    }
    warnings.push(ContactWarning::RouteLost);
    Cow::Borrowed(kept)
}

fn is_address(host: &str, ip: IpAddr) -> bool {
    host.trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>()
        .is_ok_and(|own| own == ip)
}
