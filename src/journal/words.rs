//! Each step of the journal in words.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::attempt::is_without_a_way;
use super::facts::is_only_logged;
use crate::clock::{span, with_date};
use crate::types::Printable;

/// Details of one line, as far as they are there.
struct Detail<'a>(&'a Map<String, Value>);

impl Detail<'_> {
    /// A text, escaped for terminals; `None` when it is missing or empty.
    fn text(&self, name: &str) -> Option<String> {
        let text = self.0.get(name)?.as_str().filter(|text| !text.is_empty())?;
        Some(Printable(text).to_string())
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.0.get(name)?.as_u64()
    }

    fn span(&self, name: &str) -> Option<String> {
        let ms = self.number(name)?;
        Some(span(i64::try_from(ms).unwrap_or(i64::MAX)))
    }

    fn is(&self, name: &str, text: &str) -> bool {
        self.0.get(name).and_then(Value::as_str) == Some(text)
    }
}

/// A sentence of parts, each left out where the line does not have it (lines of older versions have less).
struct Words(String);

impl Words {
    fn new(start: &str) -> Self {
        Self(start.to_owned())
    }

    fn and(mut self, before: &str, part: Option<impl std::fmt::Display>, after: &str) -> Self {
        if let Some(part) = part {
            let _ = write!(self.0, "{before}{part}{after}");
        }
        self
    }
}

/// What a step says.
pub(super) fn of(step: &str, detail: &Map<String, Value>) -> String {
    let d = Detail(detail);
    let words = match step {
        "call-held" => {
            let way = match d.0.get("way").and_then(Value::as_str) {
                Some("dial-string") => Some("dial-string"),
                Some("dialplan") => Some("dialplan"),
                _ => None,
            };
            let caller = d.text("caller").unwrap_or_else(|| "no number".into());
            Words::new("call held, from ")
                .and("", Some(caller), "")
                .and(", by the ", way, "")
                .and("; phones known: ", d.number("devices"), "")
                .and("; waits ", d.span("wait-ms"), "")
                .and("; asked for: ", d.text("wishes"), "")
                .and("; dialled: ", d.text("dialled"), "")
                .and("; the directory took ", d.span("asked-ms"), "")
        }
        "device-awake" => Words::new("awake, no push yet")
            .and(": seen ", d.span("seen-ms"), " ago")
            .and("; pushed in ", d.span("push-in-ms"), " unless it rings"),
        "device-set-aside" => {
            let reason = d.text("reason").map(|reason| with_date(&reason));
            Words::new("not pushed, token set aside until its next REGISTER").and(": ", reason, "")
        }
        "device-without-token" if d.text("user-agent").is_none() => {
            Words::new("not pushed: its token was dropped; its next REGISTER brings it back")
        }
        "device-without-token" => {
            Words::new("not pushed: it registers without a push token").and("; ", d.text("user-agent"), "")
        }
        "push-sent" => {
            Words::new("push written")
                .and(", try ", d.number("try"), "")
                .and("; ", d.text("user-agent"), "")
        }
        "push-shared" => Words::new("not pushed: another call has just pushed it"),
        "push-limited" => Words::new("not pushed: the rate limit is reached"),
        "push-accepted" if is_only_logged(d.number("status")) => {
            Words::new("only written to the log: no [[app]] with credentials serves this phone")
        }
        "push-accepted" => accepted("provider took the push", &d),
        "push-refused" => Words::new("push failed")
            .and(": ", d.text("reason"), "")
            .and(", after ", d.span("ms"), ""),
        "device-registered" => registered(&d),
        "late-register" => Words::new("REGISTER, late")
            .and(": ", d.span("late-ms"), " after the call was over")
            .and(", ", d.span("ms"), " after the push")
            .and("; ", d.text("user-agent"), ""),
        "who-rings" => Words::new(match d.text("by").as_deref() {
            Some("freeswitch") => "FreeSWITCH rings what was registered, by the same dial-string",
            _ => "fswake rings what was registered: nobody else does",
        })
        .and("; the directory took ", d.span("asked-ms"), ""),
        "rung-beside" if d.is("rings", "yes") => {
            Words::new("rings already: FreeSWITCH dialled it by the same dial-string")
        }
        "rung-beside" => Words::new("not rung: FreeSWITCH's own INVITE, by the same dial-string, reaches it there"),
        "leg-started" => Words::new("INVITE")
            .and(" (leg ", d.number("leg"), ")")
            .and(": ", origin(&d), ""),
        "not-rung-asleep" => Words::new("not rung at its old address: over UDP, only its push can wake it"),
        "leg-silent" => Words::new("registered, but does not ring").and(", ", d.span("ms"), " after the INVITE"),
        "leg-ringing" => Words::new("rings").and(", ", d.span("ms"), " after the INVITE"),
        "leg-answered" => Words::new("answered").and(", codec ", d.text("codec"), ""),
        "leg-ended" => Words::new("leg ended: ")
            .and("", d.text("cause"), "")
            .and(", SIP ", d.number("sip").filter(|sip| *sip > 0), "")
            .and(
                ", ",
                d.span("ms"),
                if was_sent(&d) {
                    " after the INVITE"
                } else {
                    " after it was ordered"
                },
            ),
        "early-media" => Words::new("the caller hears the phone before it is answered"),
        "bridge-failed" => Words::new("could not be bridged with the caller"),
        "caller-gone" => Words::new("caller hung up").and(": ", d.text("cause"), ""),
        "call-cut" => {
            Words::new("FreeSWITCH ended the call instead of connecting the two").and(": ", d.text("cause"), "")
        }
        "call-taken" => taken_over(&d),
        "ring-time-over" => Words::new("the dial-string's own timeout ended the call").and(": ", d.text("cause"), ""),
        "connection-lost" => Words::new("FreeSWITCH's connection for this call broke"),
        "cancel-pushed" => Words::new("cancel push written").and(": ", d.text("reason"), ""),
        "missed-call-pushed" => Words::new("missed-call push written"),
        "call-over" => over(&d),
        _ => other(&d),
    };
    words.0
}

/// Whether the phone can have got the leg's INVITE: FreeSWITCH ends a leg that it knows no way for without a SIP status,
/// and says 503 itself where the phone's connection is gone.
fn was_sent(d: &Detail<'_>) -> bool {
    match d.number("sip") {
        None | Some(0) => !d.text("cause").is_some_and(|cause| is_without_a_way(&cause)),
        Some(sip) => sip != 503,
    }
}

fn accepted(start: &str, d: &Detail<'_>) -> Words {
    let id = if d.text("device").is_some_and(|device| device.starts_with("apns")) {
        ", apns-id "
    } else {
        ", id "
    };
    Words::new(start)
        .and(": ", d.number("status").filter(|status| *status > 0), "")
        .and(", after ", d.span("ms"), "")
        .and(", ", d.number("attempts").filter(|n| *n > 1), " tries")
        .and(id, d.text("provider-id"), "")
}

fn registered(d: &Detail<'_>) -> Words {
    let how = if d.is("how", "refresh") || d.is("moved", "no") {
        "REGISTER, refresh"
    } else if d.is("how", "moved") {
        "REGISTER, from a new address"
    } else {
        "REGISTER, fresh"
    };
    Words::new(how)
        .and(", ", d.span("ms"), " after the push")
        .and("; ", d.text("user-agent"), "")
}

fn origin(d: &Detail<'_>) -> Option<&'static str> {
    Some(match d.0.get("why")?.as_str()? {
        "awake" => "seen just now",
        "known" => "last known address, in parallel with the push",
        "woken" => "it has registered",
        _ => return None,
    })
}

/// Who has the call now.
fn taken_over(d: &Detail<'_>) -> Words {
    match d.text("how").as_deref() {
        Some("picked-up") => Words::new("picked up").and(" by ", d.text("by"), ""),
        Some("transferred") => Words::new("transferred").and(" to ", d.text("by"), ""),
        Some("parked") => Words::new("parked"),
        Some("lost-race") => Words::new("another phone of the ring group answered"),
        _ => Words::new("somebody else has the call").and(": ", d.text("by"), ""),
    }
}

/// What the caller got.
fn over(d: &Detail<'_>) -> Words {
    let got = match d.text("result").unwrap_or_default().as_str() {
        "connected" => "connected",
        "timeout" => "nobody answered; the dialplan goes on",
        "no-device" => "the callee has no phone; the dialplan goes on",
        "unreachable" => "no phone rang; the dialplan goes on",
        // Lines of versions that ended such a call themselves.
        "declined" if d.is("caller", "rejected") => "declined; the caller hears it",
        "declined" => "declined; the dialplan goes on",
        "hands-off" => "left alone (originate_reg_token); the dialplan goes on",
        "taken" => "somebody else has the call",
        "woken" => "a phone is awake; the dialplan rings it",
        "draining" => "fswake was stopping; the dialplan goes on",
        "abandoned" => "the caller had hung up",
        _ => "fswake failed; the dialplan goes on",
    };
    Words::new("over: ")
        .and("", Some(got), "")
        .and(" (", d.text("result"), ")")
        .and(", cause ", d.text("cause"), "")
}

/// A step that this version has no words for: its details as they are.
fn other(d: &Detail<'_>) -> Words {
    let mut words = Words::new("");
    for (name, value) in d.0.iter().filter(|(name, _)| *name != "device") {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let _ = write!(words.0, "{}={} ", Printable(name), Printable(&value));
    }
    words.0.truncate(words.0.trim_end().len());
    words
}
