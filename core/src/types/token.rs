//! Push tokens in one canonical form, for comparing, storing and sending.
//!
//! Whoever brings a token from outside (a Contact, mod_apn's table, a store of an older fswake) makes it with
//! [`PushToken::read`]; so does code that puts one into a request.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use thiserror::Error;

use super::{Provider, subscription};

/// A push token (RFC 8599 `pn-prid`): whoever has it can wake that phone. Never logged.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PushToken(Arc<str>);

/// Why a text is not a token of its provider. None of them shows the text.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum TokenFault {
    /// Nothing.
    #[error("it has no value")]
    Empty,
    /// What programs print for "none": `(null)`, `nil`, `Optional(..)`.
    #[error("the app sent a placeholder such as (null) instead of a token")]
    Placeholder,
    /// Blanks, controls, or bytes outside ASCII.
    #[error("it has a space, a control character or a non-ASCII byte")]
    BadCharacter,
    /// Apple: "the hexadecimal bytes of the device token" ("Sending notification requests to APNs"), of any number.
    #[error("Apple's tokens are hexadecimal digits, two for each byte")]
    NotApples,
    /// Base64 for URLs, in parts separated by `:`.
    #[error("Google's tokens are letters, digits and - _ : .")]
    NotGoogles,
    /// Web push: the URL of a subscription (RFC 8599, "URI Parameters for RFC 8030").
    #[error("web push needs an https:// URL with a host and without a user")]
    NotAnEndpoint,
    /// Web push: what is in the URL's fragment (RFC 8291 section 2).
    #[error("the keys of a web push subscription are p256dh (65 bytes) and auth (16 bytes) in base64")]
    NotKeys,
}

/// What apps send if they have no token, in lower case and without quotes and brackets around it. Google's own
/// libraries returned the last three when they could not reach its servers.
const PLACEHOLDERS: [&str; 11] = [
    "null",
    "nil",
    "none",
    "undefined",
    "empty",
    "nsnull",
    "no_token",
    "notoken",
    "blacklisted",
    "service_not_available",
    "missing_instanceid_service",
];

impl PushToken {
    /// Wraps a token that is canonical already.
    pub fn new(token: impl Into<Arc<str>>) -> Self {
        Self(token.into())
    }

    /// Parses a token from outside, percent-decoded, into its canonical form: Apple's in lower case, because Apple
    /// takes both for one device.
    ///
    /// # Errors
    /// If it is a placeholder, or not a token of this provider.
    ///
    /// # Examples
    /// ```
    /// use fswake_core::types::{Provider, PushToken, TokenFault};
    ///
    /// let token = PushToken::read(&Provider::Apns, "00FC13ADFF78")?;
    /// assert_eq!(token.expose(), "00fc13adff78");
    /// // A log shows the first digits of its SHA-256.
    /// assert_eq!(format!("{token:?}"), format!("PushToken({})", token.fingerprint()));
    /// assert_eq!(PushToken::read(&Provider::Fcm, "(null)"), Err(TokenFault::Placeholder));
    /// # Ok::<(), TokenFault>(())
    /// ```
    pub fn read(provider: &Provider, written: &str) -> Result<Self, TokenFault> {
        if written.is_empty() {
            return Err(TokenFault::Empty);
        }
        if is_placeholder(written) {
            return Err(TokenFault::Placeholder);
        }
        let all = |good: fn(u8) -> bool| written.bytes().fold(true, |all, b| all & good(b));
        match provider {
            Provider::Apns | Provider::ApnsSandbox => {
                if !all(|b| b.is_ascii_hexdigit()) || !written.len().is_multiple_of(2) {
                    return Err(TokenFault::NotApples);
                }
                if written.bytes().any(|b| b.is_ascii_uppercase()) {
                    return Ok(Self::new(written.to_ascii_lowercase()));
                }
            }
            Provider::Fcm if !all(|b| b.is_ascii_alphanumeric() || b"-_:.".contains(&b)) => {
                return Err(TokenFault::NotGoogles);
            }
            _ if !all(|b| b.is_ascii_graphic()) => return Err(TokenFault::BadCharacter),
            Provider::WebPush => {
                let read = subscription::read(written).map_err(|fault| match fault {
                    subscription::Fault::NotAnEndpoint => TokenFault::NotAnEndpoint,
                    subscription::Fault::NotKeys => TokenFault::NotKeys,
                });
                return read.map(Self::new);
            }
            _ => {}
        }
        Ok(Self::new(written))
    }

    /// The token itself, for the provider's request and the store only.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The first eight hex digits of its SHA-256: enough to tell two apart in a log, useless to send to.
    pub fn fingerprint(&self) -> String {
        let digest = Sha256::digest(self.0.as_bytes());
        format!("{:02x}{:02x}{:02x}{:02x}", digest[0], digest[1], digest[2], digest[3])
    }
}

impl fmt::Debug for PushToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PushToken({})", self.fingerprint())
    }
}

/// Whether a text is what a program prints for no token, or for a token that it could not print (Swift's
/// `Optional("..")`; `{length = 32, bytes = 0x..}` of a newer iOS, which leaves out the middle).
fn is_placeholder(written: &str) -> bool {
    // Placeholders are short, and most tokens are longer.
    let start = written.get(..10).unwrap_or(written).to_ascii_lowercase();
    if start.starts_with("optional(") || start.starts_with("{length") || start.starts_with("<optional(") {
        return true;
    }
    let bare = written.trim_matches(['(', ')', '<', '>', '[', ']', '{', '}', '"', '\'', ' ']);
    bare.is_empty() || PLACEHOLDERS.iter().any(|word| word.eq_ignore_ascii_case(bare))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apples_tokens_have_one_form_and_any_length() {
        let read = |text: &str| PushToken::read(&Provider::Apns, text);
        for length in [2, 64, 160, 200, 800] {
            let token = "aB".repeat(length / 2);
            assert_eq!(read(&token).unwrap().expose(), token.to_ascii_lowercase());
        }
        assert_eq!(read("00FF"), read("00ff"));
        for other in ["abc", "../../x", "blablabla", "aa bb", "aa:bb", "c0ffeeÄ", "dGhpcw=="] {
            assert_eq!(read(other), Err(TokenFault::NotApples), "{other}");
        }
    }

    #[test]
    fn googles_tokens_keep_their_case() {
        let read = |text: &str| PushToken::read(&Provider::Fcm, text);
        assert_eq!(read("dXj:APA91bF-_.z").unwrap().expose(), "dXj:APA91bF-_.z");
        for other in ["../../x", "a%3Ab", "a b", "a/b"] {
            assert_eq!(read(other), Err(TokenFault::NotGoogles), "{other}");
        }
    }

    #[test]
    fn words_for_none_are_no_token_of_anybody() {
        let providers = ["apns", "apns.dev", "fcm", "webpush", "huawei"].map(Provider::from_name);
        for word in [
            "(null)",
            "null",
            "NULL",
            "nil",
            "Nil",
            "undefined",
            "none",
            "empty",
            "<null>",
            "<nil>",
            "\"\"",
            "()",
            "Optional(\"5e6f\")",
            "Optional(nil)",
            "{length=32,bytes=0x5e6f..}",
            "{length = 32, bytes = 0x5e6f7081 ... 90a1b2c3 }",
            "BLACKLISTED",
        ] {
            for provider in &providers {
                let read = PushToken::read(provider, word);
                assert_eq!(read, Err(TokenFault::Placeholder), "{provider:?} {word}");
            }
        }
        assert_eq!(PushToken::read(&Provider::Fcm, ""), Err(TokenFault::Empty));
        // A token that begins like a placeholder is still a token.
        assert!(PushToken::read(&Provider::Fcm, "nullXYZ:APA91b").is_ok());
    }

    #[test]
    fn tokens_of_others_are_any_text_that_a_line_can_hold() {
        let huawei = Provider::from_name("huawei");
        assert!(PushToken::read(&huawei, "https://push.example.org/s/1?x=y").is_ok());
        assert_eq!(PushToken::read(&huawei, "a b"), Err(TokenFault::BadCharacter));
    }
}
