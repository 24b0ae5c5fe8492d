//! FreeSWITCH's event socket: framing, events, and commands built from them.

use std::time::{Duration, SystemTime};

use freeswitch_esl_tokio::EslEvent;
use fswake::engine::Event;
use fswake::esl::originate::{Dial, Leg, Offer, prepare};
use fswake::esl::{decode, encode, notifications, registrations};
use fswake::fuzzing::{EslMessage, take_message};
use fswake_core::contact::{ContactRules, ParamNames};
use fswake_core::types::{CallId, LegId};
use uuid::Uuid;

use crate::{Target, is_clean};

/// The fuzz target.
pub const TARGET: Target = Target {
    name: "esl",
    check,
    words: &[
        "Content-Length: ",
        "Content-Type: ",
        "text/event-plain",
        "command/reply",
        "api/response",
        "text/disconnect-notice",
        "\n\n",
        "\r\n",
        "Content-Disposition: linger",
        "Event-Name: ",
        "CUSTOM",
        "CHANNEL_DATA",
        "CHANNEL_HANGUP",
        "CHANNEL_UNPARK",
        "BACKGROUND_JOB",
        "Event-Subclass: ",
        "sofia%3A%3Aregister",
        "sofia%3A%3Aunregister",
        "mobile%3A%3Apush%3A%3Anotification",
        "Unique-ID: ",
        "contact: ",
        "variable_fswake_aor: ",
        "variable_export_vars: ",
        "variable_sip_h_X-A: ",
        "variable_effective_caller_id_name: ",
        "variable_ep_codec_string: ",
        "%0A",
        "%0D%0A",
        "%00",
        "%7B",
        "%7D",
        "%2C",
        "%27",
        "%5C",
        "%24%7B",
        "%5E%5E",
        ":_:",
        "loopback/1001",
        "variable_transfer_source: ",
        "4294967296",
    ],
};

fn call() -> CallId {
    CallId(Uuid::from_u128(1))
}

/// All messages, and whether parsing failed.
fn messages(bytes: &[u8], chunk: usize) -> (Vec<EslMessage>, Option<String>) {
    let (mut unread, mut all) = (Vec::new(), Vec::new());
    for part in bytes.chunks(chunk.max(1)) {
        unread.extend_from_slice(part);
        loop {
            let before = unread.len();
            match take_message(&mut unread) {
                Ok(Some(message)) => {
                    assert!(unread.len() < before, "a message of zero bytes");
                    all.push(message);
                }
                Ok(None) => break,
                Err(error) => return (all, Some(error)),
            }
        }
    }
    (all, None)
}

fn check(input: &[u8]) {
    let whole = messages(input, usize::MAX);
    // The network may split the stream anywhere.
    let pieces = messages(input, 1 + input.first().map_or(0, |byte| usize::from(*byte)));
    assert_eq!(format!("{whole:?}"), format!("{pieces:?}"));
    for message in whole.0 {
        if let EslMessage::Event(event) = message {
            means_what_it_says(&event);
        } else if let EslMessage::Reply(reply) = message {
            held(|name| reply.header(name));
        }
    }
}

fn means_what_it_says(event: &EslEvent) {
    let header = |name: &str| event.header_str(name);
    let name = header("Event-Name").unwrap_or_default();
    let rules = ContactRules {
        names: ParamNames::default(),
        strip_push: true,
    };
    let subclass = header("Event-Subclass").unwrap_or_default();
    if let Some(heard) = registrations::from_event(subclass, header, &rules, 0) {
        assert!(
            heard.warnings.iter().all(|warning| is_clean(warning)),
            "{:?}",
            heard.warnings
        );
        let target = match &heard.event {
            Event::Registered(registration) => registration.target.as_ref(),
            Event::Unregistered(end) => end.target.as_ref(),
            _ => None,
        };
        if let Some(target) = target {
            crate::contact::check_dialled(target.as_str());
        }
    }
    if let Some(to) = notifications::read(event, 0).and_then(|heard| heard.answer_to) {
        let answer = notifications::answer(&to, true);
        assert_eq!(answer.matches('\n').count(), 5, "{answer}");
        assert!(answer.ends_with("\n\n") && !answer.contains('\r'), "{answer}");
    }
    let leg = |id: &str| id.len().is_multiple_of(2).then_some(LegId { call: call(), n: 0 });
    let channel = header("Unique-ID").unwrap_or_default();
    for channel in [channel, "another"] {
        let _ = decode::call_event(name, header, event.body(), channel, leg, call());
    }
    let _ = decode::leg_end(header);
    held(header);
}

/// A channel's data, with any text from a caller or the dialplan.
fn held<'a>(header: impl Fn(&str) -> Option<&'a str>) {
    let Ok(held) = decode::held_channel(&header, call(), SystemTime::UNIX_EPOCH) else {
        return;
    };
    let id = LegId { call: call(), n: 0 };
    let aor = &held.call.aor;
    let leg = Leg {
        leg: id,
        aor,
        parent: &held.parent,
        dial_variables: &[],
        lease: 6,
        offer: Offer::Callers,
    };
    let variables = leg.variables();
    let dial = Dial {
        node: None,
        leg: id,
        target: "sofia/internal/sip:1001@192.0.2.7",
        sip_call_id: "00000000-0000-0000-0000-000000000001",
        timeout: Duration::from_secs(25),
        park_timeout: Duration::from_secs(20),
        early_media: false,
    };
    let command = dial.command(&variables);
    is_one_originate(&command);
    let mut commands = vec![
        command,
        prepare(&held.channel, id, &variables),
        encode::kill(&held.channel, "LOSE_RACE"),
        encode::own_codecs(&held.channel, held.parent.own_codecs.as_deref()),
        encode::bridge(&held.channel, id, "Alice", held.parent.moved_by.as_deref()),
        encode::who_moved(&held.channel),
    ];
    commands.extend(encode::ask_user(aor));
    commands.extend(encode::ask_variables(aor));
    for command in commands {
        assert!(is_clean(&command), "{command:?}");
    }
}

/// Splits like FreeSWITCH: words at unquoted blanks, braces counted regardless of quotes.
fn is_one_originate(command: &str) {
    let argument = command.strip_prefix("originate ").unwrap();
    assert!(argument.starts_with('{'), "{command}");
    let braces: Vec<_> = argument
        .char_indices()
        .filter(|(_, c)| matches!(c, '{' | '}'))
        .collect();
    assert_eq!(braces.len(), 2, "{command}");
    let after = &argument[braces[1].0..];
    assert_eq!(after, "}sofia/internal/sip:1001@192.0.2.7 &park()", "{command}");
    assert!(
        !argument.contains(":_:") && !argument.contains("${") && !argument.contains("$("),
        "{command}"
    );
    // Quotes are balanced, so the target and `&park()` are separate words.
    let (mut in_quotes, mut escaped, mut words) = (false, false, 1);
    for c in argument.chars() {
        match c {
            '\'' if !escaped => in_quotes = !in_quotes,
            ' ' if !in_quotes => words += 1,
            _ => {}
        }
        escaped = c == '\\' && !escaped;
    }
    assert!(!in_quotes && words == 2, "{words} words: {command}");
}
