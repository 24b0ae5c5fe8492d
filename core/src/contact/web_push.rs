//! A web push subscription in a Contact: its endpoint, and the keys that payloads for it are encrypted with.
//!
//! RFC 8599 has the endpoint in `pn-prid`, and no parameters for keys: "encryption for web push is not used", and a push
//! has no payload. So the names of the two parameters are the operator's.

use std::borrow::Cow;

use super::names::WebPushNames;
use super::parameter::{Parameter, decode};
use super::{ContactWarning, MAX_TOKEN, Refusal, Uri};
use crate::types::{Provider, PushToken, TokenFault, with_keys};

/// The token of a subscription. Without usable keys it is pushed without a payload.
pub(super) fn token(
    uri: &Uri,
    names: &WebPushNames,
    written: &str,
    warnings: &mut Vec<ContactWarning>,
) -> Option<PushToken> {
    let name = "pn-prid";
    let refused = |why| warnings.push(ContactWarning::Refused { name, why });
    let endpoint = endpoint(written).map_err(refused).ok()?;
    let read = |text: &str| PushToken::read(&Provider::WebPush, text);
    let found = keys(uri, names, warnings)
        .map(|keys| keys.and_then(|(p256dh, auth)| read(&with_keys(&endpoint, &p256dh, &auth))));
    let token = match found.unwrap_or_else(|| read(&endpoint)) {
        Err(TokenFault::NotKeys) => {
            warnings.push(ContactWarning::NotKeys);
            read(endpoint.split('#').next().unwrap_or_default())
        }
        token => token,
    };
    let odd = |fault| warnings.push(ContactWarning::NotAToken { name, fault });
    token.map_err(odd).ok()
}

/// The texts of a subscription's keys: `p256dh`, `auth`.
type Keys<'a> = (Cow<'a, str>, Cow<'a, str>);

/// The texts of the keys; `None` without any.
fn keys<'a>(
    uri: &'a Uri,
    names: &WebPushNames,
    warnings: &mut Vec<ContactWarning>,
) -> Option<Result<Keys<'a>, TokenFault>> {
    let [p256dh, auth] = [&names.p256dh, &names.auth].map(|name| Parameter::named(uri, name));
    if !p256dh.is_given() && !auth.is_given() {
        return None;
    }
    let sound = [
        p256dh.is_sound("(web push key)", warnings),
        auth.is_sound("(web push secret)", warnings),
    ];
    Some(match (p256dh.text(), auth.text()) {
        (Some(Ok(p256dh)), Some(Ok(auth))) if sound == [true, true] => Ok((p256dh, auth)),
        _ => Err(TokenFault::NotKeys),
    })
}

/// The endpoint's URL. FreeSWITCH's event has the value decoded once already: what reads as a URL is not decoded again,
/// so that the URL keeps its own escapes.
fn endpoint(written: &str) -> Result<Cow<'_, str>, Refusal> {
    let is_url = written
        .get(..8)
        .is_some_and(|start| start.eq_ignore_ascii_case("https://"));
    // A list of registrations has it as the phone wrote it, and a phone need not escape `:` and `/`.
    let is_escaped = !written.contains('?') && written.to_ascii_lowercase().contains("%3f");
    if !is_url || is_escaped {
        return decode(written);
    }
    if written.len() > MAX_TOKEN {
        return Err(Refusal::TooLong);
    }
    if !written.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Refusal::BadCharacter);
    }
    Ok(Cow::Borrowed(written))
}
