//! Each step of the journal in words.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::cause::is_without_a_route;
use crate::clock::{span, with_date};
use crate::engine::{Caller, HoldResult, Origin, RegisterKind, Ringer, Routing, StepKind, TakeoverKind};
use crate::types::{Printable, Provider};

/// The details of one line; any may be missing.
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

    /// A text that is one of an enum's words.
    fn word<T>(&self, name: &str, from_word: fn(&str) -> Option<T>) -> Option<T> {
        from_word(self.0.get(name)?.as_str()?)
    }

    fn is(&self, name: &str, text: &str) -> bool {
        self.0.get(name).and_then(Value::as_str) == Some(text)
    }
}

/// A sentence of parts. Parts that the line lacks are left out (lines of older versions have fewer).
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

/// A step in words.
pub(super) fn of(step: Option<StepKind>, detail: &Map<String, Value>) -> String {
    let d = Detail(detail);
    let Some(step) = step else { return other(&d).0 };
    let words = match step {
        StepKind::CallHeld if d.word("way", Routing::from_word) == Some(Routing::Request) => {
            Words::new("wake asked for, with POST /v1/wake")
                .and(", for a call from ", d.text("caller"), "")
                .and("; phones known: ", d.number("devices"), "")
                .and("; waits ", d.span("wait-ms"), "")
                .and("; asked for: ", d.text("wishes"), "")
        }
        StepKind::CallHeld => {
            let way = d.word("way", Routing::from_word).map(Routing::as_str);
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
        StepKind::DeviceAwake => Words::new(if d.number("push-in-ms").is_some() {
            "awake, no push yet"
        } else {
            "awake, no push"
        })
        .and(": seen ", d.span("seen-ms"), " ago")
        .and("; pushed in ", d.span("push-in-ms"), " unless it rings"),
        StepKind::DeviceSetAside => {
            let reason = d.text("reason").map(|reason| with_date(&reason));
            Words::new("not pushed, token set aside until its next REGISTER").and(": ", reason, "")
        }
        StepKind::DeviceWithoutToken if d.text("user-agent").is_none() => {
            Words::new("not pushed: its token was dropped; its next REGISTER brings it back")
        }
        StepKind::DeviceWithoutToken => {
            Words::new("not pushed: it registers without a push token").and("; ", d.text("user-agent"), "")
        }
        StepKind::PushSent => {
            Words::new("push written")
                .and(", try ", d.number("try"), "")
                .and("; ", d.text("user-agent"), "")
        }
        StepKind::PushShared => Words::new("not pushed: another call has just pushed it"),
        StepKind::PushLimited => Words::new("not pushed: the rate limit is reached"),
        StepKind::PushAccepted if is_only_logged(detail) => {
            Words::new("only written to the log: no [[app]] with credentials serves this phone")
        }
        StepKind::PushAccepted => accepted("provider took the push", &d),
        StepKind::PushRefused => {
            Words::new("push failed")
                .and(": ", d.text("reason"), "")
                .and(", after ", d.span("ms"), "")
        }
        StepKind::DeviceRegistered => registered(&d),
        StepKind::LateRegister => Words::new("REGISTER, late")
            .and(": ", d.span("late-ms"), " after the call was over")
            .and(", ", d.span("ms"), " after the push")
            .and("; ", d.text("user-agent"), ""),
        StepKind::WhoRings => Words::new(match d.word("by", Ringer::from_word) {
            Some(Ringer::FreeSwitch) => "FreeSWITCH rings what was registered, by the same dial-string",
            Some(Ringer::Fswake) | None => "fswake rings registered phones: nobody else does",
        })
        .and("; the directory took ", d.span("asked-ms"), ""),
        StepKind::RungByFreeSwitch if d.is("rings", "yes") => {
            Words::new("rings already: FreeSWITCH dialled it by the same dial-string")
        }
        StepKind::RungByFreeSwitch => {
            Words::new("not rung: FreeSWITCH's own INVITE, by the same dial-string, reaches it there")
        }
        StepKind::LegStarted => Words::new("INVITE")
            .and(" (leg ", d.number("leg"), ")")
            .and(" through ", d.text("node"), "")
            .and(": ", origin(&d), ""),
        StepKind::NodeOutOfReach => Words::new("not rung where it is registered: this call's FreeSWITCH cannot reach")
            .and(" ", d.text("node"), " now"),
        StepKind::NotRungAsleep => Words::new("not rung at its old address: over UDP, only its push can wake it"),
        StepKind::LegSilent => Words::new("registered, but does not ring").and(", ", d.span("ms"), " after the INVITE"),
        StepKind::LegRinging => Words::new("rings").and(", ", d.span("ms"), " after the INVITE"),
        StepKind::LegAnswered => Words::new("answered").and(", codec ", d.text("codec"), ""),
        StepKind::LegEnded => Words::new("leg ended: ")
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
        StepKind::EarlyMedia => Words::new("the caller hears the phone before it is answered"),
        StepKind::BridgeFailed => Words::new("could not be bridged with the caller"),
        StepKind::CallerGone => Words::new("caller hung up").and(": ", d.text("cause"), ""),
        StepKind::AskerGone => Words::new("whoever asked has closed the connection"),
        StepKind::CallCut => {
            Words::new("FreeSWITCH ended the call instead of connecting the two").and(": ", d.text("cause"), "")
        }
        StepKind::CallTaken => taken_over(&d),
        StepKind::RingTimeOver => {
            Words::new("the dial-string's own timeout ended the call").and(": ", d.text("cause"), "")
        }
        StepKind::ConnectionLost => Words::new("FreeSWITCH's connection for this call broke"),
        StepKind::CancelPushed => Words::new("cancel push written").and(": ", d.text("reason"), ""),
        StepKind::MissedCallPushed => Words::new("missed-call push written"),
        StepKind::CallOver => over(&d),
        StepKind::RefreshRefused => {
            Words::new("asked to register again, and not pushed").and(": ", d.text("reason"), "")
        }
        StepKind::NotificationAsked
        | StepKind::NotificationAccepted
        | StepKind::NotificationRefused
        | StepKind::NotificationOver => other(&d),
    };
    words.0
}

/// Whether the phone can have received the leg's INVITE. FreeSWITCH ends a leg without a SIP status if it has no route,
/// and gives 503 itself if the phone's connection is gone.
fn was_sent(d: &Detail<'_>) -> bool {
    match d.number("sip") {
        None | Some(0) => !d.text("cause").is_some_and(|cause| is_without_a_route(&cause)),
        Some(sip) => sip != 503,
    }
}

fn accepted(start: &str, d: &Detail<'_>) -> Words {
    let provider = |device: String| Provider::from_name(device.split(':').next().unwrap_or_default());
    let is_apple = d
        .text("device")
        .map(provider)
        .is_some_and(|provider| provider.has_topics());
    let id = if is_apple { ", apns-id " } else { ", id " };
    Words::new(start)
        .and(": ", d.number("status").filter(|status| *status > 0), "")
        .and(", after ", d.span("ms"), "")
        .and(", ", d.number("attempts").filter(|n| *n > 1), " tries")
        .and(id, d.text("provider-id"), "")
}

fn registered(d: &Detail<'_>) -> Words {
    let how = match d.word("how", RegisterKind::from_word) {
        Some(RegisterKind::Refresh) => "REGISTER, refresh",
        Some(RegisterKind::Moved) => "REGISTER, from a new address",
        // Lines of versions that had another word for it.
        None if d.is("moved", "no") => "REGISTER, refresh",
        Some(RegisterKind::Fresh) | None => "REGISTER, fresh",
    };
    Words::new(how)
        .and(", ", d.span("ms"), " after the push")
        .and("; ", d.text("user-agent"), "")
}

fn origin(d: &Detail<'_>) -> Option<&'static str> {
    Some(match d.word("why", Origin::from_word)? {
        Origin::Awake => "seen just now",
        Origin::Known => "last known address, in parallel with the push",
        Origin::Woken => "it has registered",
    })
}

/// Who has the call now.
fn taken_over(d: &Detail<'_>) -> Words {
    match d.word("how", TakeoverKind::from_word) {
        Some(TakeoverKind::PickedUp) => Words::new("picked up").and(" by ", d.text("by"), ""),
        Some(TakeoverKind::Transferred) => Words::new("transferred").and(" to ", d.text("by"), ""),
        Some(TakeoverKind::Parked) => Words::new("parked"),
        Some(TakeoverKind::LostRace) => Words::new("another phone of the ring group answered"),
        None => Words::new("somebody else has the call").and(": ", d.text("by"), ""),
    }
}

/// What the caller got.
fn over(d: &Detail<'_>) -> Words {
    let result = d.word("result", HoldResult::from_word);
    if let Some(result) = result.filter(|_| d.word("caller", Caller::from_word) == Some(Caller::Asker)) {
        let came_to = match result {
            HoldResult::Woken => "a phone is awake",
            HoldResult::NoDevice => "the user has no phone",
            HoldResult::Abandoned => "nobody waits for the answer",
            HoldResult::Draining => "fswake was stopping",
            HoldResult::Timeout
            | HoldResult::Unreachable
            | HoldResult::Declined
            | HoldResult::Connected
            | HoldResult::Taken
            | HoldResult::HandsOff
            | HoldResult::Error => "no phone came",
        };
        return Words::new("over: ")
            .and("", Some(came_to), "")
            .and(" (", d.text("result"), ")");
    }
    let got = match result {
        Some(HoldResult::Connected) => "connected",
        Some(HoldResult::Timeout) => "nobody answered; the dialplan goes on",
        Some(HoldResult::NoDevice) => "the callee has no phone; the dialplan goes on",
        Some(HoldResult::Unreachable) => "no phone rang; the dialplan goes on",
        // Lines of versions that ended such a call themselves.
        Some(HoldResult::Declined) if d.is("caller", "rejected") => "declined; the caller hears it",
        Some(HoldResult::Declined) => "declined; the dialplan goes on",
        Some(HoldResult::HandsOff) => "left alone (originate_reg_token); the dialplan goes on",
        Some(HoldResult::Taken) => "somebody else has the call",
        Some(HoldResult::Woken) => "a phone is awake; the dialplan rings it",
        Some(HoldResult::Draining) => "fswake was stopping; the dialplan goes on",
        Some(HoldResult::Abandoned) => "the caller had hung up",
        Some(HoldResult::Error) | None => "fswake failed; the dialplan goes on",
    };
    Words::new("over: ")
        .and("", Some(got), "")
        .and(" (", d.text("result"), ")")
        .and(", cause ", d.text("cause"), "")
}

/// Whether a push that was "taken" was only written to the log.
pub(super) fn is_only_logged(detail: &Map<String, Value>) -> bool {
    detail.get("status").and_then(Value::as_u64) == Some(0)
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
