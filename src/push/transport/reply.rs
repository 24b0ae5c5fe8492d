//! Providers' replies, read field by field: a missing or odd field loses no other.

use std::time::SystemTime;

use reqwest::header::{DATE, HeaderMap};
use reqwest::{RequestBuilder, Response};
use serde_json::Value;

/// No provider's reply is longer; the rest is not read.
const REPLY_LIMIT: usize = 64 * 1024;

/// Longest description of a provider's that is kept, in characters.
const DESCRIPTION: usize = 200;
/// Longer words are left out: they may be a token or part of a key.
const LONGEST_WORD: usize = 24;

/// A reply's JSON; `null` if it is not JSON. Google wraps some in a list.
pub(crate) fn read(body: &[u8]) -> Value {
    let start = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    match serde_json::from_slice(start).unwrap_or_default() {
        Value::Array(all) => all.into_iter().next().unwrap_or_default(),
        other => other,
    }
}

/// A field that is text; empty when it is missing or anything else.
pub(crate) fn text<'a>(object: &'a Value, name: &str) -> &'a str {
    object[name].as_str().unwrap_or_default()
}

/// A field that is a whole number, or written as one.
pub(crate) fn number(object: &Value, name: &str) -> Option<i64> {
    let field = &object[name];
    #[allow(clippy::cast_possible_truncation)] // Saturates.
    let whole = |number: f64| number.is_finite().then_some(number as i64);
    match field {
        Value::String(text) => {
            let text = text.trim();
            text.parse().ok().or_else(|| text.parse().ok().and_then(whole))
        }
        other => other.as_i64().or_else(|| other.as_f64().and_then(whole)),
    }
}

/// A list's elements; none if it is not a list.
pub(crate) fn list<'a>(object: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    object[name].as_array().into_iter().flatten()
}

/// A provider's own words as they may be logged and stored: on one line, not long, and without anything that may be a
/// token.
pub(crate) fn description(text: &str) -> Option<String> {
    let words = text.split_whitespace().map(|word| {
        let plain = word.bytes().all(|b| b.is_ascii_graphic());
        let run = word.split(|c: char| !c.is_ascii_alphanumeric() && !"-_+".contains(c));
        if plain && run.map(str::len).all(|len| len < LONGEST_WORD) {
            word
        } else {
            ".."
        }
    });
    let text: String = words.collect::<Vec<_>>().join(" ").chars().take(DESCRIPTION).collect();
    (!text.is_empty()).then_some(text)
}

/// A provider's reason code as it may be logged and stored: letters and underscores, or nothing. No code has
/// digits, and every token has: should a provider ever repeat one, it is left out.
pub(crate) fn code(text: &str) -> Option<&str> {
    let plain = text.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_');
    (plain && !text.is_empty() && text.len() <= 64).then_some(text)
}

/// The start of a reply's body, at most 64 KiB.
pub(crate) async fn read_body(mut response: Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk[..chunk.len().min(REPLY_LIMIT - body.len())]);
        if body.len() == REPLY_LIMIT {
            break;
        }
    }
    Ok(body)
}

/// A reply, read whole.
pub(crate) struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Reply {
    /// Sends a request and reads what comes back.
    pub(crate) async fn to(request: RequestBuilder) -> Result<Self, reqwest::Error> {
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Self {
            status,
            headers,
            body: read_body(response).await?,
        })
    }

    /// One without header fields.
    #[cfg(test)]
    pub(crate) fn of(status: u16, body: &str) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            body: body.into(),
        }
    }

    pub(crate) fn date(&self) -> Option<SystemTime> {
        httpdate::parse_http_date(self.headers.get(DATE)?.to_str().ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_field_loses_no_other() {
        let answer = read(br#"{"reason":7,"timestamp":"1700000000000","list":{},"text":"x","half":1.5e3,"null":null}"#);
        assert_eq!((text(&answer, "reason"), text(&answer, "text")), ("", "x"));
        assert_eq!(number(&answer, "timestamp"), Some(1_700_000_000_000));
        assert_eq!((number(&answer, "half"), number(&answer, "null")), (Some(1500), None));
        assert_eq!((number(&answer, "text"), number(&answer, "none")), (None, None));
        assert_eq!(list(&answer, "list").count(), 0);
        assert_eq!(text(&read(br#"[{"a":"b"}]"#), "a"), "b");
        for none in [&b""[..], b"<html>", b"7", b"[]", b"\xff"] {
            assert_eq!(text(&read(none), "a"), "");
        }
    }

    #[test]
    fn description_is_one_line_without_tokens() {
        assert_eq!(
            description("Invalid JWT Signature.").as_deref(),
            Some("Invalid JWT Signature.")
        );
        assert_eq!(
            description("Invalid grant:\n account not\tfound").as_deref(),
            Some("Invalid grant: account not found")
        );
        let token = "abcdefghijklmnopqrstuvwx0123456789";
        assert_eq!(
            description(&format!("token={token} is bad")).as_deref(),
            Some(".. is bad")
        );
        assert_eq!(description("Zo\u{eb} \u{202e}").as_deref(), Some(".. .."));
        assert_eq!(description(" "), None);
        assert_eq!(description(&"word ".repeat(100)).unwrap().len(), DESCRIPTION);
    }
}
