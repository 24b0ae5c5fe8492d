//! One message from FreeSWITCH.

use freeswitch_esl_tokio::{EslError, EslEvent, EslResponse, parse_channel_dump};
use percent_encoding::percent_decode_str;

use crate::esl::frame::{Head, fields};

/// The longest message about one channel; its data has some 10 KiB.
const LONGEST_MESSAGE: usize = 1024 * 1024;

/// One message from FreeSWITCH.
#[derive(Debug)]
pub(crate) enum Message {
    Reply(EslResponse),
    Event(EslEvent),
    /// The connection ends.
    Goodbye,
    /// A message that is ignored.
    Other,
}

/// Takes the first message off the buffer, if it is complete.
pub(crate) fn take(unread: &mut Vec<u8>) -> Result<Option<Message>, EslError> {
    let too_long = |length: usize| EslError::protocol_error(format!("a message of {length} bytes"));
    let Some(head) = Head::of(unread)? else {
        return if unread.len() > LONGEST_MESSAGE {
            Err(too_long(unread.len()))
        } else {
            Ok(None)
        };
    };
    if head.length > LONGEST_MESSAGE {
        return Err(too_long(head.length));
    }
    let all = head.size + head.length;
    let Some(body) = unread.get(head.size..all) else {
        return Ok(None);
    };
    let body = String::from_utf8_lossy(body);
    let message = match head.field("Content-Type") {
        Some("command/reply" | "api/response") => Message::Reply(head.reply(&body)),
        // An event that cannot be parsed is ignored.
        Some("text/event-plain") => event(&body).map_or(Message::Other, Message::Event),
        Some("text/disconnect-notice") if head.field("Content-Disposition") != Some("linger") => Message::Goodbye,
        Some(_) => Message::Other,
        None => return Err(EslError::protocol_error("a message without Content-Type")),
    };
    unread.drain(..all);
    if unread.is_empty() {
        *unread = Vec::new();
    }
    Ok(Some(message))
}

/// An event. The library parses `variable_nolocal:x` as a header `variable_nolocal`, and keeps only one of them.
fn event(text: &str) -> Option<EslEvent> {
    let mut event = parse_channel_dump(text).ok()?;
    let headers = text.split_once("\n\n").map_or(text, |(headers, _body)| headers);
    for (name, value) in fields(headers).filter(|(name, _)| name.contains(':')) {
        event.set_header(name, percent_decode_str(value).decode_utf8_lossy());
    }
    Some(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<Message> {
        let mut unread = text.as_bytes().to_vec();
        std::iter::from_fn(|| take(&mut unread).unwrap()).collect()
    }

    const EVENT: &str = "Content-Length: 68\nContent-Type: text/event-plain\n\n\
                         Event-Name: BACKGROUND_JOB\nJob-UUID: a%2Cb\nContent-Length: 6\n\n-ERR x";

    #[test]
    fn messages_are_told_apart_and_values_decoded() {
        let text = format!(
            "Content-Type: command/reply\nReply-Text: +OK\nCaller-Name: Zo%C3%AB\n\n{EVENT}\
             Content-Type: api/response\nContent-Length: 4\n\n+OK\nContent-Type: text/disconnect-notice\n\
             Content-Disposition: linger\nContent-Length: 0\n\n\
             Content-Type: text/disconnect-notice\nContent-Length: 3\n\nbye"
        );
        let got = all(&text);
        let [
            Message::Reply(reply),
            event,
            Message::Reply(api),
            Message::Other,
            Message::Goodbye,
        ] = &got[..]
        else {
            panic!("{got:?}");
        };
        assert_eq!((reply.is_success(), reply.header("Caller-Name")), (true, Some("Zoë")));
        assert!(api.api_result().is_ok());
        let Message::Event(event) = event else {
            panic!("{event:?}")
        };
        assert_eq!(
            (event.header_str("Job-UUID"), event.body()),
            (Some("a,b"), Some("-ERR x"))
        );
    }

    #[test]
    fn variables_for_legs_only_keep_their_names() {
        let text = "Event-Name: CUSTOM\nvariable_nolocal:sip_h_X-Own: a%3A b\nvariable_nolocal:x: 2\n\n";
        let got = all(&format!(
            "Content-Length: {}\nContent-Type: text/event-plain\n\n{text}",
            text.len()
        ));
        let [Message::Event(event)] = &got[..] else {
            panic!("{got:?}")
        };
        let header = |name: &str| event.header_str(name);
        assert_eq!(header("variable_nolocal:sip_h_X-Own"), Some("a: b"));
        assert_eq!(header("variable_nolocal:x"), Some("2"));
    }

    #[test]
    fn a_message_is_taken_when_its_last_byte_is_there() {
        for cut in 0..EVENT.len() {
            let mut unread = EVENT.as_bytes()[..cut].to_vec();
            assert!(take(&mut unread).unwrap().is_none(), "{cut}");
            unread.extend(&EVENT.as_bytes()[cut..]);
            assert!(matches!(take(&mut unread).unwrap(), Some(Message::Event(_))), "{cut}");
            assert_eq!(unread.capacity(), 0, "an idle link keeps no buffer");
        }
    }

    #[test]
    fn what_is_not_freeswitch_ends_the_connection() {
        for text in ["GET / HTTP/1.1\nHost: x\n\n", "Content-Type: a\nContent-Length: x\n\n"] {
            assert!(take(&mut text.as_bytes().to_vec()).is_err(), "{text}");
        }
        let long = format!(
            "Content-Type: api/response\nContent-Length: {}\n\n",
            LONGEST_MESSAGE + 1
        );
        assert!(take(&mut long.into_bytes()).is_err());
        assert!(take(&mut vec![b'x'; LONGEST_MESSAGE + 1]).is_err());
    }
}
