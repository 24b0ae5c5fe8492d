//! An event and its forms on the wire.

use std::borrow::Cow;
use std::fmt::Write;
use std::sync::OnceLock;
use std::time::Instant;

/// An event with its headers in the order of the wire.
#[derive(Debug)]
pub struct Event {
    /// `CUSTOM`, `CHANNEL_ANSWER`, ...
    pub name: String,
    /// `sofia::register`, ... for CUSTOM events.
    pub subclass: Option<String>,
    /// Headers, decoded.
    pub headers: Vec<(Cow<'static, str>, String)>,
    /// The text after the headers (BACKGROUND_JOB).
    pub body: Option<String>,
    /// When it was made.
    pub fired_at: Instant,
    plain: OnceLock<String>,
    written: OnceLock<Instant>,
}

impl Event {
    pub(crate) fn new(name: &str, headers: Vec<(Cow<'static, str>, String)>, body: Option<String>) -> Self {
        let subclass = headers
            .iter()
            .find(|(name, _)| name == "Event-Subclass")
            .map(|(_, value)| value.clone());
        let (plain, written) = (OnceLock::new(), OnceLock::new());
        Self {
            name: name.to_owned(),
            subclass,
            headers,
            body,
            fired_at: Instant::now(),
            plain,
            written,
        }
    }

    /// The value of a header. Names are compared without case, as in FreeSWITCH.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// When its bytes were first written to a socket.
    pub fn written_at(&self) -> Option<Instant> {
        self.written.get().copied()
    }

    pub(crate) fn mark_written(&self) {
        let _ = self.written.set(Instant::now());
    }

    /// `text/event-plain`: percent-encoded headers, then the body under its own Content-Length.
    pub(crate) fn plain(&self) -> &str {
        self.plain.get_or_init(|| {
            let mut text = String::with_capacity(self.headers.len() * 48);
            for (name, value) in &self.headers {
                text.push_str(name);
                text.push_str(": ");
                if value.is_empty() {
                    text.push_str("_undef_");
                }
                percent_encode_into(&mut text, value);
                text.push('\n');
            }
            match &self.body {
                Some(body) => write!(text, "Content-Length: {}\n\n{body}", body.len()).expect("to a String"),
                None => text.push('\n'),
            }
            text
        })
    }

    /// `text/event-json`: header values are not encoded, and the body is `_body`.
    pub(crate) fn json(&self) -> String {
        let quote = |text: &str| serde_json::Value::from(text).to_string();
        let mut fields: Vec<String> = self
            .headers
            .iter()
            .map(|(name, value)| format!("{}:{}", quote(name), quote(value)))
            .collect();
        if let Some(body) = &self.body {
            fields.push(format!(
                "\"Content-Length\":\"{}\",\"_body\":{}",
                body.len(),
                quote(body)
            ));
        }
        format!("{{{}}}", fields.join(","))
    }
}

/// Encodes what `switch_url_encode` encodes (SWITCH_URL_UNSAFE, control characters and non-ASCII). A `%` in front of
/// two hex digits stays. So a client that decodes a contact once also decodes its `fs_path`.
fn percent_encode_into(out: &mut String, value: &str) {
    let bytes = value.as_bytes();
    for (at, byte) in value.bytes().enumerate() {
        let pair = bytes
            .get(at + 1..at + 3)
            .is_some_and(|next| next.iter().all(u8::is_ascii_hexdigit));
        if byte == b'%' && pair {
            out.push('%');
        } else if !(b' '..=b'~').contains(&byte) || b" #%&+:;<=>?@[\\]^`{|}\"".contains(&byte) {
            write!(out, "%{byte:02X}").expect("to a String");
        } else {
            out.push(byte as char);
        }
    }
}

/// Percent-encodes as FreeSWITCH does for events and `fs_path`.
pub fn percent_encode(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 16);
    percent_encode_into(&mut out, value);
    out
}

/// Reverses [`percent_encode`]. A `%` that is not followed by two hex digits stays.
pub fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let pair = text
            .get(at + 1..at + 3)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (bytes[at], pair) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 3;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
