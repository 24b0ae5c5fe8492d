//! The format of messages on the event socket, from mod_event_socket.c: header lines up to an empty line, then
//! `Content-Length` bytes if there is such a header.

use freeswitch_esl_tokio::{EslError, EslResponse};
use memchr::memmem;
use percent_encoding::percent_decode_str;

/// The head of one message.
#[derive(Debug)]
pub(super) struct Head {
    text: String,
    /// Its length in bytes, with the empty lines around it.
    pub size: usize,
    /// How many bytes follow it.
    pub length: usize,
}

impl Head {
    /// The head at the start of the buffer; `None` while it is incomplete.
    ///
    /// # Errors
    /// If its `Content-Length` is not a number.
    pub(super) fn of(unread: &[u8]) -> Result<Option<Self>, EslError> {
        // FreeSWITCH sends no empty lines between messages, but they would be harmless.
        let blank = unread.iter().take_while(|b| matches!(b, b'\n' | b'\r')).count();
        let Some(end) = memmem::find(&unread[blank..], b"\n\n") else {
            return Ok(None);
        };
        let end = blank + end;
        let mut head = Self {
            text: String::from_utf8_lossy(&unread[blank..end]).into_owned(),
            size: end + 2,
            length: 0,
        };
        if let Some(length) = head.field("Content-Length") {
            let no_number = |_| EslError::protocol_error("a Content-Length that is no number");
            head.length = length.parse().map_err(no_number)?;
        }
        Ok(Some(head))
    }

    /// A header's value as written; names are case-insensitive.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let mut fields = fields(&self.text);
        fields.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v)
    }

    /// The reply with this head. Header lines may be percent-encoded like an event's.
    pub(super) fn reply(&self, body: &str) -> EslResponse {
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let headers = fields(&self.text)
            .map(|(name, value)| (name.to_owned(), decoded(value)))
            .collect();
        EslResponse::new(headers, (!body.is_empty()).then(|| body.to_owned()))
    }
}

/// The lines `name: value`, values as written. A name may contain a colon (`variable_nolocal:x`).
pub(super) fn fields(head: &str) -> impl Iterator<Item = (&str, &str)> {
    head.lines()
        .filter_map(|line| line.split_once(": ").or_else(|| line.split_once(':')))
        .map(|(name, value)| (name, value.trim_start_matches(' ').trim_end()))
}
