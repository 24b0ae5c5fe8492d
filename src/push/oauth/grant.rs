//! What a token server answers (RFC 6749 section 5).

use std::fmt::Write as _;
use std::time::Duration;

use reqwest::header::HeaderValue;

use crate::push::transport::reply::{self, code};

/// How long Google's tokens live.
const USUAL_LIFETIME: Duration = Duration::from_secs(3600);

/// A rejection in words, and whether this machine's clock is wrong. RFC 6749 section 5.2, or Google's own form in the
/// same field (`google.rpc.Status`).
pub(crate) fn refusal(body: &[u8]) -> (String, bool) {
    let answer = reply::read(body);
    let own = &answer["error"];
    let error = code(reply::text(&answer, "error")).or_else(|| code(reply::text(own, "status")));
    // Huawei's are numbers.
    let number = own.as_u64().filter(|number| *number < 100_000);
    let mut words = match (error, number) {
        (Some(error), _) => error.to_owned(),
        (None, Some(number)) => format!("error {number}"),
        (None, None) => "no error code".to_owned(),
    };
    let descriptions = [(&answer, "error_description"), (own, "message")];
    let description = descriptions
        .into_iter()
        .find_map(|(object, field)| reply::description(reply::text(object, field)));
    // Google has no code for it.
    let is_about_the_clock = description
        .as_ref()
        .is_some_and(|text| text.contains("reasonable timeframe"));
    if let Some(description) = description {
        let _ = write!(words, " ({description})");
    }
    (words, is_about_the_clock)
}

/// A token and how long it lives (RFC 6749 section 5.1). Without a lifetime, Google's usual one is assumed: if it is
/// shorter, the first refused push fetches the next token. `None`: the reply is not a grant.
pub(crate) fn grant(body: &[u8]) -> Option<(HeaderValue, Duration)> {
    let answer = reply::read(body);
    let token = Some(reply::text(&answer, "access_token")).filter(|token| !token.is_empty());
    let header = format!("Bearer {}", token?);
    let mut header = HeaderValue::from_str(&header).ok()?;
    header.set_sensitive(true);
    let lifetime = reply::number(&answer, "expires_in").map_or(USUAL_LIFETIME, |seconds| {
        Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
    });
    Some((header, lifetime))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusal_keeps_its_description_whatever_its_other_fields_are() {
        for (body, said) in [
            (
                r#"{"error":"invalid_grant","error_description":"Invalid JWT Signature."}"#,
                "invalid_grant (Invalid JWT Signature.)",
            ),
            (
                r#"{"error_description":"Account not found","error":null}"#,
                "no error code (Account not found)",
            ),
            (
                r#"{"error":1101,"sub_error":20001,"error_description":"invalid client"}"#,
                "error 1101 (invalid client)",
            ),
            (
                r#"{"error":"invalid_grant","error_description":{"a":1}}"#,
                "invalid_grant",
            ),
            (r#"{"error":"invalid_grant","error_description":null}"#, "invalid_grant"),
            (
                r#"{"error":{"code":403,"message":"Permission denied","status":"PERMISSION_DENIED"}}"#,
                "PERMISSION_DENIED (Permission denied)",
            ),
            ("<html>", "no error code"),
            ("[]", "no error code"),
        ] {
            assert_eq!(refusal(body.as_bytes()).0, said, "{body}");
        }
    }

    #[test]
    fn grant_is_read_however_its_lifetime_is_written() {
        let read = |body: &str| grant(body.as_bytes()).map(|(_, lifetime)| lifetime.as_secs());
        for (lifetime, seconds) in [
            (r#","expires_in":3599"#, 3599),
            (r#","expires_in":"1200""#, 1200),
            (r#","expires_in":null"#, 3600),
            (r#","expires_in":-1"#, 0),
            ("", 3600),
        ] {
            assert_eq!(
                read(&format!(r#"{{"access_token":"t"{lifetime},"token_type":7}}"#)),
                Some(seconds)
            );
        }
        for none in [
            "",
            "{}",
            r#"{"access_token":null}"#,
            r#"{"access_token":""}"#,
            r#"{"access_token":"a\nb"}"#,
        ] {
            assert_eq!(read(none), None, "{none}");
        }
    }
}
