//! Web push subscriptions in the form of a token: the endpoint's URL, and in its fragment the keys for which payloads are
//! encrypted. HTTP never sends a fragment, so endpoints have none.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

const P256DH: &str = "p256dh=";
const AUTH: &str = "auth=";

/// What payloads for one subscription are encrypted with (RFC 8291 section 2). Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct SubscriptionKeys {
    /// The phone's public key, an uncompressed point of P-256.
    pub p256dh: [u8; 65],
    /// The authentication secret.
    pub auth: [u8; 16],
}

impl fmt::Debug for SubscriptionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SubscriptionKeys(..)")
    }
}

impl SubscriptionKeys {
    fn read(fragment: &str) -> Option<Self> {
        let value = |name: &str| fragment.split('&').find_map(|part| part.strip_prefix(name));
        let p256dh: [u8; 65] = bytes(value(P256DH)?)?;
        // The first byte of an uncompressed point (SEC 1 section 2.3.3).
        let is_point = p256dh[0] == 4;
        is_point.then_some(Self {
            p256dh,
            auth: bytes(value(AUTH)?)?,
        })
    }
}

/// Why a text was rejected as a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    NotAnEndpoint,
    NotKeys,
}

/// A web push token, taken apart.
#[derive(Clone, PartialEq, Eq)]
pub struct Subscription<'a> {
    /// Where pushes go: an https URL without a fragment. As secret as any token.
    pub endpoint: &'a str,
    /// For whom payloads are encrypted; without keys a push has no payload.
    pub keys: Option<SubscriptionKeys>,
}

impl<'a> Subscription<'a> {
    /// Takes a token apart that [`super::PushToken::read`] has made.
    pub fn of(token: &'a str) -> Self {
        let (endpoint, fragment) = parts(token);
        Self {
            endpoint,
            keys: SubscriptionKeys::read(fragment),
        }
    }
}

/// Reads a subscription however its keys are written, and writes it in the one form that is stored and compared.
pub(super) fn read(written: &str) -> Result<String, Fault> {
    let (endpoint, fragment) = parts(written);
    if !is_endpoint(endpoint) {
        return Err(Fault::NotAnEndpoint);
    }
    if fragment.is_empty() {
        return Ok(endpoint.to_owned());
    }
    let keys = SubscriptionKeys::read(fragment).ok_or(Fault::NotKeys)?;
    let [p256dh, auth] = [&keys.p256dh[..], &keys.auth].map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
    Ok(with_keys(endpoint, &p256dh, &auth))
}

/// An endpoint with the keys that came with it, as [`super::PushToken::read`] takes it.
///
/// # Examples
/// ```
/// use fswake_core::types::with_keys;
///
/// assert_eq!(with_keys("https://push.example/1#x", "BA", "a"), "https://push.example/1#p256dh=BA&auth=a");
/// ```
pub fn with_keys(endpoint: &str, p256dh: &str, auth: &str) -> String {
    format!("{}#{P256DH}{p256dh}&{AUTH}{auth}", parts(endpoint).0)
}

/// A URL without its fragment, and the fragment.
pub(super) fn parts(url: &str) -> (&str, &str) {
    url.split_once('#').unwrap_or((url, ""))
}

/// An https URL with a host and without a user. This rejects obvious mistakes; the sender parses the URL in full.
fn is_endpoint(url: &str) -> bool {
    const SCHEME: &str = "https://";
    let Some((scheme, rest)) = url.split_at_checked(SCHEME.len()) else {
        return false;
    };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    scheme.eq_ignore_ascii_case(SCHEME)
        && !authority.is_empty()
        && !authority.contains('@')
        && url.bytes().all(|b| b.is_ascii_graphic() && b != b'\\')
}

fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    // Apps write either alphabet, with padding or without.
    let text = text.trim_end_matches('=').replace('+', "-").replace('/', "_");
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8291 section 5.
    const KEY: &str = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
    const SECRET: &str = "BTBZMqHH6r4Tts7J_aSIgg";
    const ENDPOINT: &str = "https://push.example.net/push/JzLQ3raZJfFBR0aqvOMsLrt54w4rJUsV";

    #[test]
    fn subscription_has_one_form_however_its_keys_are_written() {
        let whole = format!("{ENDPOINT}#p256dh={KEY}&auth={SECRET}");
        for written in [
            whole.clone(),
            format!("{ENDPOINT}#auth={SECRET}==&p256dh={KEY}="),
            format!(
                "{ENDPOINT}#x=y&p256dh={}&auth={SECRET}",
                KEY.replace('-', "+").replace('_', "/")
            ),
            with_keys(&format!("{ENDPOINT}#old"), KEY, SECRET),
        ] {
            assert_eq!(read(&written).as_ref(), Ok(&whole), "{written}");
        }
        let read = Subscription::of(&whole);
        assert_eq!(read.endpoint, ENDPOINT);
        let keys = read.keys.unwrap();
        assert_eq!((keys.p256dh[0], keys.auth[0]), (4, 5));
        assert_eq!(format!("{keys:?}"), "SubscriptionKeys(..)");
        assert_eq!(Subscription::of(ENDPOINT).keys, None);
    }

    #[test]
    fn what_is_no_endpoint_and_what_are_no_keys_is_refused() {
        for other in [
            "http://push.example/1",
            "https:///1",
            "https://",
            "https://user@push.example/1",
            "https://push.example\\@10.0.0.1/",
            "https://?x",
            "dXj:APA91b",
            "/push/1",
        ] {
            assert_eq!(read(other), Err(Fault::NotAnEndpoint), "{other}");
        }
        for keys in [
            String::from("x"),
            format!("p256dh={KEY}"),
            format!("auth={SECRET}"),
            format!("p256dh={KEY}A&auth={SECRET}"),
            format!("p256dh={KEY}&auth={SECRET}AAAA"),
            format!("p256dh=A{}&auth={SECRET}", &KEY[1..]),
        ] {
            assert_eq!(read(&format!("{ENDPOINT}#{keys}")), Err(Fault::NotKeys), "{keys}");
        }
    }
}
