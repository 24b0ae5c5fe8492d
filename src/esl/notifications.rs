//! Notifications that FreeSWITCH's events ask for, and the answers. Pure.
//!
//! There are two kinds: mod_apn's CUSTOM `mobile::push::notification`, and a chat message that the chatplan has marked
//! for fswake (`fs-conf/chatplan/fswake.xml`). Questions and answers are different events, so that no fswake takes an
//! answer for a question.

use std::sync::Arc;

use freeswitch_esl_tokio::EslEvent;
use serde_json::{Map, Value, json};

use crate::engine::{Audience, Notification};
use crate::types::push::{Payload, PayloadError};
use crate::types::{Aor, TokenType, UnixSeconds};

/// The subclass of a question.
pub const QUESTION: &str = "mobile::push::notification";
/// The subclass of its answer.
const ANSWER: &str = "mobile::push::response";
/// The variable by which the chatplan has a chat message pushed. No header of a SIP message gets this name.
const MARK: &str = "fswake_push";
/// More characters than any provider accepts.
const LONGEST_TEXT: usize = 4_000;
/// The longest `uuid`.
const LONGEST_UUID: usize = 128;

/// A notification that an event asks for.
#[derive(Debug)]
pub struct NotificationRequest {
    /// What to push, or why that is impossible.
    pub asked: Result<Notification, RequestFault>,
    /// For whom, if the event names somebody: for the log.
    pub aor: Option<Aor>,
    /// The `uuid` that the answer must carry; without one, no answer is expected.
    pub answer_to: Option<Uuid>,
}

/// The ID that came with the question, safe on a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uuid(String);

/// Why an event's request cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestFault {
    /// A required header is missing.
    #[error("the event has no header {0}")]
    Missing(&'static str),
    /// `type` is neither.
    #[error("the event's type is neither voip nor im")]
    UnknownType,
    /// Its body.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// Its `uuid` cannot be sent back.
    #[error("the event's uuid is longer than {LONGEST_UUID} characters or not printable ASCII: it is not answered")]
    Uuid,
}

/// Reads an event. `None`: it does not ask for a notification.
pub fn read(event: &EslEvent, at: UnixSeconds) -> Option<NotificationRequest> {
    let header = |name: &str| event.header_str(name).filter(|v| !v.is_empty());
    match header("Event-Name")? {
        "CUSTOM" if header("Event-Subclass") == Some(QUESTION) => Some(question(header, event.body(), at)),
        "MESSAGE" => message(header, event.body(), at),
        _ => None,
    }
}

fn question<'a>(header: impl Fn(&str) -> Option<&'a str>, body: Option<&str>, at: UnixSeconds) -> NotificationRequest {
    let answer_to = match header("uuid").map(Uuid::new) {
        None => Ok(None),
        Some(Some(uuid)) => Ok(Some(uuid)),
        Some(None) => Err(RequestFault::Uuid),
    };
    let need = |name| header(name).ok_or(RequestFault::Missing(name));
    let asked = || {
        Ok(Notification {
            token_type: TokenType::from_name(need("type")?).ok_or(RequestFault::UnknownType)?,
            aor: Aor::new(need("user")?, need("realm")?),
            app: header("app_id").map(Arc::from),
            payload: Arc::new(Payload::parse(body.unwrap_or_default())?),
            audience: Audience::All,
            by: "event",
            at,
        })
    };
    let aor = header("user")
        .zip(header("realm"))
        .map(|(user, realm)| Aor::new(user, realm));
    match answer_to {
        Ok(answer_to) => NotificationRequest {
            asked: asked(),
            aor,
            answer_to,
        },
        Err(refusal) => NotificationRequest {
            asked: Err(refusal),
            aor,
            answer_to: None,
        },
    }
}

/// A chat message, after FreeSWITCH has tried to deliver it. Registered phones get it from FreeSWITCH. All phones get
/// the push if FreeSWITCH reports that none took it (`blocking=true` in the chatplan).
fn message<'a>(
    header: impl Fn(&str) -> Option<&'a str>,
    body: Option<&str>,
    at: UnixSeconds,
) -> Option<NotificationRequest> {
    let token_type = TokenType::from_name(header(MARK)?)?;
    let content = header("type").unwrap_or("text/plain");
    if content.contains("imdn") || content.contains("composing") {
        return None;
    }
    let (user, host) = (header("to_user")?, header("to_host")?);
    let text = body.filter(|_| content.starts_with("text/plain")).unwrap_or_default();
    let sender = format!(
        "sip:{}@{}",
        header("from_user").unwrap_or("anonymous"),
        header("from_host").unwrap_or("anonymous.invalid")
    );
    let title = header("from_full").and_then(display_name);
    let title = title.or_else(|| header("from_user").map(str::to_owned));
    let mut keys = Map::new();
    keys.insert("title".into(), title.unwrap_or_else(|| "Message".into()).into());
    if !text.trim().is_empty() {
        let text: String = text.chars().take(LONGEST_TEXT).collect();
        keys.insert("body".into(), text.into());
    }
    keys.insert("sound".into(), "default".into());
    let own: Value = json!({ "kind": "message", "sender": sender, "recipient": format!("sip:{user}@{host}") });
    keys.insert("custom".into(), own);
    Some(NotificationRequest {
        asked: Ok(Notification {
            aor: Aor::new(user, host),
            token_type,
            app: None,
            payload: Arc::new(Payload::from(keys)),
            audience: if header("Delivery-Failure") == Some("true") {
                Audience::All
            } else {
                Audience::Absent
            },
            by: "message",
            at,
        }),
        aor: None,
        answer_to: None,
    })
}

/// The display name of a From header, without its quotes (RFC 3261 section 25.1, `name-addr`).
fn display_name(from: &str) -> Option<String> {
    let name = from.split_once('<')?.0.trim();
    let name = match name.strip_prefix('"') {
        Some(quoted) => {
            let (mut name, mut escaped) = (String::new(), false);
            for c in quoted.chars() {
                match c {
                    '\\' if !escaped => escaped = true,
                    '"' if !escaped => break,
                    c => {
                        name.push(c);
                        escaped = false;
                    }
                }
            }
            name
        }
        None => name.to_owned(),
    };
    (!name.trim().is_empty()).then(|| name.chars().take(128).collect())
}

impl Uuid {
    fn new(text: &str) -> Option<Self> {
        let harmless = text.len() <= LONGEST_UUID && text.bytes().all(|b| (b' '..=b'~').contains(&b));
        harmless.then(|| Self(text.to_owned()))
    }
}

/// The command that sends the answer, with header names as mod_apn writes them. Neither value has a line break.
pub fn answer(to: &Uuid, sent: bool) -> String {
    let response = if sent { "sent" } else { "notsent" };
    let uuid = &to.0;
    format!("sendevent CUSTOM\nEvent-Subclass: {ANSWER}\nuuid: {uuid}\nresponse: {response}\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str, headers: &[(&str, &str)], body: &str) -> EslEvent {
        let mut event = EslEvent::new();
        event.set_header("Event-Name", name);
        for (name, value) in headers {
            event.set_header(*name, *value);
        }
        event.set_body(body.to_owned());
        event
    }

    fn custom(headers: &[(&str, &str)], body: &str) -> NotificationRequest {
        let mut all = vec![("Event-Subclass", QUESTION)];
        all.extend(headers);
        read(&event("CUSTOM", &all, body), 7).expect("a notification")
    }

    const WHOLE: [(&str, &str); 5] = [
        ("type", "im"),
        ("user", "1001"),
        ("realm", "fs.test"),
        ("app_id", "com.example.app"),
        ("uuid", "u-1"),
    ];

    #[test]
    fn question_is_read_from_its_headers_and_its_body() {
        let heard = custom(&WHOLE, r#"{"body":"hi"}"#);
        let asked = heard.asked.unwrap();
        assert_eq!(asked.aor, Aor::new("1001", "fs.test"));
        assert_eq!(
            (asked.token_type, asked.app.as_deref()),
            (TokenType::Im, Some("com.example.app"))
        );
        assert_eq!(asked.payload.to_json(), r#"{"body":"hi"}"#);
        assert_eq!(heard.answer_to, Uuid::new("u-1"));
        let bare = custom(&WHOLE[..3], "");
        assert_eq!(bare.asked.unwrap().payload, Arc::default());
        assert_eq!(bare.answer_to, None);
    }

    #[test]
    fn question_that_cannot_be_understood_is_refused_and_still_answered() {
        for missing in 0..3 {
            let mut headers = WHOLE.to_vec();
            let (name, _) = headers.remove(missing);
            let heard = custom(&headers, "");
            assert!(
                matches!(&heard.asked, Err(RequestFault::Missing(n)) if *n == name),
                "{heard:?}"
            );
            assert!(heard.answer_to.is_some());
        }
        let mut headers = WHOLE;
        headers[0].1 = "sms";
        assert_eq!(custom(&headers, "").asked.unwrap_err(), RequestFault::UnknownType);
        for body in ["{", "[]", "\"x\"", "{\"a\":1}x"] {
            let heard = custom(&WHOLE, body);
            assert!(matches!(heard.asked, Err(RequestFault::Payload(_))), "{body}");
            assert!(heard.answer_to.is_some());
        }
    }

    #[test]
    fn uuid_that_could_add_to_the_answer_is_not_sent_back() {
        for uuid in [
            "x\nresponse: sent",
            "x\r\n\r\nbgapi shutdown",
            "\u{e9}",
            "\u{0}",
            &"x".repeat(129),
        ] {
            let mut headers = WHOLE;
            headers[4].1 = uuid;
            let heard = custom(&headers, "");
            assert_eq!(
                (heard.asked.unwrap_err(), heard.answer_to),
                (RequestFault::Uuid, None),
                "{uuid}"
            );
        }
        let odd = Uuid::new("a: b %0a {x}").unwrap();
        assert_eq!(
            answer(&odd, false),
            "sendevent CUSTOM\nEvent-Subclass: mobile::push::response\nuuid: a: b %0a {x}\nresponse: notsent\n\n"
        );
    }

    #[test]
    fn answers_and_other_events_are_no_questions() {
        let answered = [("Event-Subclass", ANSWER), ("uuid", "u"), ("response", "sent")];
        assert!(read(&event("CUSTOM", &answered, ""), 0).is_none());
        assert!(read(&event("CUSTOM", &[("Event-Subclass", "sofia::register")], ""), 0).is_none());
        assert!(
            read(&event("MESSAGE", &MESSAGE[1..], "hi"), 0).is_none(),
            "without the mark"
        );
    }

    const MESSAGE: [(&str, &str); 7] = [
        ("fswake_push", "im"),
        ("to_user", "1001"),
        ("to_host", "fs.test"),
        ("from_user", "1002"),
        ("from_host", "fs.test"),
        ("from_full", "\"Al\\\"ice\" <sip:1002@fs.test>;tag=x"),
        ("type", "text/plain"),
    ];

    fn chat(change: &[(&str, &str)], body: &str) -> Option<Notification> {
        let mut headers = MESSAGE.to_vec();
        headers.extend(change);
        Some(read(&event("MESSAGE", &headers, body), 0)?.asked.unwrap())
    }

    #[test]
    fn marked_message_is_pushed_as_its_senders_name_and_its_text() {
        let hostile = "hi \"there\"\n{\"aps\":1} ${body} \\ \u{0}";
        let asked = chat(&[], hostile).unwrap();
        let said: Value = serde_json::from_str(&asked.payload.to_json()).unwrap();
        assert_eq!((&said["title"], &said["body"]), (&json!("Al\"ice"), &json!(hostile)));
        assert_eq!(said["custom"]["sender"], "sip:1002@fs.test");
        assert_eq!(said.as_object().unwrap().len(), 4);
        assert_eq!(asked.aor, Aor::new("1001", "fs.test"));
    }

    #[test]
    fn message_goes_to_phones_without_registration_and_to_all_when_nobody_took_it() {
        assert_eq!(
            chat(&[("Nonblocking-Delivery", "true")], "x").unwrap().audience,
            Audience::Absent
        );
        assert_eq!(
            chat(&[("Delivery-Failure", "false")], "x").unwrap().audience,
            Audience::Absent
        );
        assert_eq!(
            chat(&[("Delivery-Failure", "true")], "x").unwrap().audience,
            Audience::All
        );
    }

    #[test]
    fn typing_and_receipts_are_not_pushed_and_what_is_no_text_is_not_shown() {
        for kind in ["message/imdn+xml", "application/im-iscomposing+xml"] {
            assert!(chat(&[("type", kind)], "<x/>").is_none(), "{kind}");
        }
        let said = chat(&[("type", "message/cpim")], "From: x").unwrap().payload.to_json();
        assert!(said.contains("Al\\\"ice") && !said.contains("body"), "{said}");
    }

    #[test]
    fn display_names_lose_their_quotes_and_are_never_empty() {
        assert_eq!(display_name("Bob <sip:b@d>").as_deref(), Some("Bob"));
        assert_eq!(
            display_name("\"a \\\\ \\\"b\\\"\" <sip:b@d>").as_deref(),
            Some("a \\ \"b\"")
        );
        for none in ["<sip:b@d>", "\"\" <sip:b@d>", "sip:b@d", "\" \" <x>"] {
            assert_eq!(display_name(none), None, "{none}");
        }
    }
}
