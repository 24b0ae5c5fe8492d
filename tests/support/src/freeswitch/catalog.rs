//! The recorded event for each step of a call.
//!
//! Steps that no recording shows are derived from the nearest one, and marked: a loopback that ends unanswered, a leg
//! that ends answered but unbridged, a leg that is refused after it rang.

use std::sync::OnceLock;

use super::capture;
use super::template::{Slot, Symbols, Template};

/// The events at the end of one kind of channel.
pub(crate) struct End {
    pub(crate) hangup: Template,
    pub(crate) complete: Template,
}

/// Events of a held channel.
pub(crate) struct HeldEvents {
    pub(crate) data: Template,
    pub(crate) progress: Template,
    pub(crate) media: Template,
    pub(crate) answer: Template,
    pub(crate) cancelled: End,
    pub(crate) refused: End,
    pub(crate) unbridged: End,
    pub(crate) bridged: End,
    pub(crate) unpark: Template,
    pub(crate) socket_done: Template,
    /// Events as the A leg of a bridge with a leg.
    pub(crate) bridge: Template,
    /// An application has finished.
    pub(crate) executed: Template,
    pub(crate) executed_arg: Template,
}

/// Events of a leg, by what it is bridged to.
pub(crate) struct BridgeEvents {
    pub(crate) bridge: Template,
    pub(crate) unbridge: Template,
    pub(crate) end: End,
}

/// Every template.
pub(crate) struct Catalog {
    pub(crate) sofia: HeldEvents,
    pub(crate) loopback: HeldEvents,
    pub(crate) park: Template,
    pub(crate) execute: Template,
    pub(crate) execute_arg: Template,
    pub(crate) unpark: Template,
    pub(crate) socket_done: Template,
    pub(crate) state_hangup: Template,
    pub(crate) state_reporting: Template,
    pub(crate) leg_progress: Template,
    pub(crate) leg_answer: Template,
    pub(crate) leg_media: Template,
    pub(crate) leg_park: Template,
    pub(crate) leg_park_early: Template,
    pub(crate) leg_executed: Template,
    pub(crate) leg_unpark: Template,
    pub(crate) leg_park_done: Template,
    /// An intercept took it while it rang.
    pub(crate) leg_taken: Template,
    /// A bridge between the caller's own channel and a loopback.
    pub(crate) caller_with_loopback: Template,
    /// The end of the loopback, bridged with its caller, has read a digit.
    pub(crate) end_reads: Template,
    pub(crate) leg_with_sofia: BridgeEvents,
    pub(crate) leg_with_loopback: BridgeEvents,
    pub(crate) leg_refused: End,
    pub(crate) leg_refused_ringing: End,
    /// A refusal after the caller has heard its early media.
    pub(crate) leg_refused_early: End,
    pub(crate) leg_silent: End,
    pub(crate) leg_lost_race: End,
    pub(crate) leg_cancelled: End,
    pub(crate) leg_unbridged: End,
}

const TWO: &str = "legs-two-devices-second-answers";
const LOOP: &str = "loopback-dial-string-leg-answered";
const CANCELS: &str = "legs-caller-cancels";
const WAKE: &str = "socket-wake-bridge-answered";
const WAITING: &str = "socket-caller-cancels-before-register";
const DECLINED: &str = "legs-declined";
const SILENT: &str = "legs-no-reply";
const BRIDGED: &str = "1.11/wake-bridge-answered";
const BRIDGED_LOOP: &str = "1.11/dial-string-caller-in-the-loopbacks-place";
const EARLY: &str = "1.11/early-media-answered";
const EARLY_DECLINED: &str = "1.11/early-media-declined";
const TAKEN_LOOP: &str = "1.11/held-loopback-intercepted";
const TAKEN_LEG: &str = "1.11/ringing-leg-intercepted";

/// A channel of a recording, and the values in it that vary.
struct Source {
    file: &'static str,
    uuid: String,
    symbols: Symbols,
}

impl Source {
    /// Leg number `leg` of a recording, or the held channel.
    fn new(file: &'static str, leg: usize, of_leg: bool) -> Self {
        let headers: Vec<_> = capture::lines(file)
            .iter()
            .filter_map(|l| capture::event_headers(&l.data))
            .collect();
        let get = |event: &[(String, String)], name: &str| {
            event
                .iter()
                .find(|(n, _)| n == name)
                .map(|(_, value)| value.clone())
                .unwrap_or_default()
        };
        let data = headers
            .iter()
            .find(|event| event[0].1 == "CHANNEL_DATA")
            .expect("a held channel");
        let held = get(data, "Unique-ID");
        let mut symbols: Symbols = vec![
            (held.clone(), Slot::HeldUuid),
            (get(data, "variable_sip_call_id"), Slot::HeldSipCallId),
            (get(data, "Caller-Caller-ID-Name"), Slot::CallerName),
            ("1000".to_owned(), Slot::CallerNumber),
            ("1001".to_owned(), Slot::Callee),
            ("71001".to_owned(), Slot::Destination),
            ("61001".to_owned(), Slot::Destination),
            ("51001".to_owned(), Slot::Destination),
            (get(data, "variable_other_loopback_from_uuid"), Slot::BehindUuid),
            (get(data, "variable_other_loopback_leg_uuid"), Slot::EndUuid),
            ("fs.test".to_owned(), Slot::Domain),
        ];
        let is_leg = |event: &&Vec<(String, String)>| !get(event, "variable_sip_destination_url").is_empty();
        let mut legs: Vec<&Vec<_>> = Vec::new();
        for event in headers.iter().filter(is_leg) {
            if legs
                .iter()
                .all(|seen| get(seen, "Unique-ID") != get(event, "Unique-ID"))
            {
                legs.push(event);
            }
        }
        let mut uuid = held;
        if let Some(event) = legs.get(leg) {
            let uri = get(event, "variable_sip_destination_url");
            let address = uri.split(['@', ';']).nth(1).expect("an address").to_owned();
            let params = uri.split_once(';').map_or("", |(_, params)| params).to_owned();
            let own = headers
                .iter()
                .filter(|e| of_leg && get(e, "Unique-ID") == get(event, "Unique-ID"));
            let agent = own
                .map(|e| get(e, "variable_sip_user_agent"))
                .find(|agent| !agent.is_empty());
            symbols.extend([
                (get(event, "Unique-ID"), Slot::LegUuid),
                (get(event, "variable_sip_call_id"), Slot::LegSipCallId),
                (uri.clone(), Slot::LegUri),
                (format!(";{params}"), Slot::LegTail),
                (params, Slot::LegParams),
                (address.rsplit_once(':').expect("a port").1.to_owned(), Slot::LegPort),
                (address, Slot::LegAddr),
                (agent.unwrap_or_default(), Slot::LegAgent),
            ]);
            if of_leg {
                uuid = get(event, "Unique-ID");
            }
        }
        symbols.retain(|(text, _)| text.len() > 3);
        symbols.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        Self { file, uuid, symbols }
    }

    /// The caller's own channel behind the loopback of a recording.
    fn behind(file: &'static str) -> Self {
        let mut source = Self::new(file, 9, false);
        let held = |(_, slot): &&(String, Slot)| *slot == Slot::BehindUuid;
        source.uuid = source.symbols.iter().find(held).expect("a caller").0.clone();
        for (_, slot) in &mut source.symbols {
            if *slot == Slot::BehindUuid {
                *slot = Slot::HeldUuid;
            } else if *slot == Slot::HeldUuid {
                *slot = Slot::BehindUuid;
            }
        }
        source
    }

    fn pick(&self, name: &str, nth: usize) -> Template {
        Template::pick(self.file, &self.uuid, name, nth, &self.symbols)
    }

    fn end(&self) -> End {
        End {
            hangup: self.pick("CHANNEL_HANGUP", 0),
            complete: self.pick("CHANNEL_HANGUP_COMPLETE", 0),
        }
    }

    fn bridge_events(&self) -> BridgeEvents {
        BridgeEvents {
            bridge: self.pick("CHANNEL_BRIDGE", 0),
            unbridge: self.pick("CHANNEL_UNBRIDGE", 0),
            end: self.end(),
        }
    }
}

/// An end that no recording shows, derived from the channel's last recorded event.
fn derived_end(last: &Template) -> End {
    let ended = |name, number, state: &str| {
        let mut template = last
            .derive(name)
            .set("Channel-State-Number", &[Err(number)])
            .set("Answer-State", &[Err("hangup")])
            .insert_after("Answer-State", "Hangup-Cause", Slot::Cause);
        if !state.is_empty() {
            template = template
                .set("Channel-State", &[Err(state)])
                .set("Channel-Call-State", &[Err("HANGUP")]);
            template = template.set("variable_hangup_cause", &[Ok(Slot::Cause)]);
            template = template.set("variable_hangup_cause_q850", &[Ok(Slot::Q850)]);
        }
        template
    };
    End {
        hangup: ended("CHANNEL_HANGUP", "10", ""),
        complete: ended("CHANNEL_HANGUP_COMPLETE", "11", "CS_REPORTING"),
    }
}

/// The phone's final response, in the leg's variables.
fn with_failure(template: Template) -> Template {
    template
        .set("variable_sip_hangup_disposition", &[Err("recv_refuse")])
        .set("variable_sip_invite_failure_status", &[Ok(Slot::SipStatus)])
        .set("variable_sip_invite_failure_phrase", &[Ok(Slot::SipPhrase)])
        .set("variable_sip_term_status", &[Ok(Slot::SipStatus)])
        .set(
            "variable_proto_specific_hangup_cause",
            &[Err("sip:"), Ok(Slot::SipStatus)],
        )
        .set("variable_sip_term_cause", &[Ok(Slot::Q850)])
}

fn both(end: End, change: impl Fn(Template) -> Template) -> End {
    End {
        hangup: change(end.hangup),
        complete: change(end.complete),
    }
}

fn held_events() -> (HeldEvents, HeldEvents) {
    const CANCEL: &[&str] = &[
        "variable_sip_hangup_disposition",
        "variable_sip_invite_failure_status",
        "variable_sip_invite_failure_phrase",
        "variable_sip_term_status",
        "variable_proto_specific_hangup_cause",
        "variable_sip_term_cause",
    ];
    let wake = Source::new(WAKE, 9, false);
    let (bridged, taken) = (Source::new(BRIDGED, 0, false), Source::new(TAKEN_LOOP, 9, false));
    let (two, cancels) = (Source::new(TWO, 1, false), Source::new(CANCELS, 0, false));
    let answer = two.pick("CHANNEL_ANSWER", 0);
    let sofia = HeldEvents {
        data: two.pick("CHANNEL_DATA", 0),
        progress: two.pick("CHANNEL_PROGRESS", 0),
        media: two.pick("CHANNEL_PROGRESS_MEDIA", 0),
        cancelled: cancels.end(),
        refused: both(cancels.end(), |template| template.without(CANCEL)),
        unbridged: derived_end(&answer),
        bridged: two.end(),
        unpark: bridged.pick("CHANNEL_UNPARK", 0),
        socket_done: bridged.pick("CHANNEL_EXECUTE_COMPLETE", 1).of_app("socket"),
        bridge: bridged.pick("CHANNEL_BRIDGE", 0),
        executed: wake.pick("CHANNEL_EXECUTE_COMPLETE", 0).with_answer_state(),
        executed_arg: wake.pick("CHANNEL_EXECUTE_COMPLETE", 1).with_answer_state(),
        answer,
    };
    let looped = Source::new(LOOP, 0, false);
    let (progress, answer) = (looped.pick("CHANNEL_PROGRESS", 0), looped.pick("CHANNEL_ANSWER", 0));
    let loopback = HeldEvents {
        data: looped.pick("CHANNEL_DATA", 0),
        media: progress.derive("CHANNEL_PROGRESS_MEDIA"),
        cancelled: derived_end(&progress),
        refused: derived_end(&progress),
        unbridged: derived_end(&answer),
        bridged: looped.end(),
        unpark: taken
            .pick("CHANNEL_UNPARK", 0)
            .set("Caller-Destination-Number", &[Ok(Slot::Destination)]),
        socket_done: taken.pick("CHANNEL_EXECUTE_COMPLETE", 1).of_app("socket"),
        bridge: answer
            .derive("CHANNEL_BRIDGE")
            .set("Bridge-A-Unique-ID", &[Ok(Slot::HeldUuid)])
            .set("Bridge-B-Unique-ID", &[Ok(Slot::LegUuid)]),
        executed: taken.pick("CHANNEL_EXECUTE_COMPLETE", 0),
        executed_arg: taken.pick("CHANNEL_EXECUTE_COMPLETE", 0),
        progress,
        answer,
    };
    (sofia, loopback)
}

/// All templates, parsed from the recordings once.
pub(crate) fn catalog() -> &'static Catalog {
    static CATALOG: OnceLock<Catalog> = OnceLock::new();
    CATALOG.get_or_init(|| {
        let (sofia, loopback) = held_events();
        let (wake, waiting) = (Source::new(WAKE, 9, false), Source::new(WAITING, 9, false));
        let (ringing, answered) = (Source::new(TWO, 0, true), Source::new(TWO, 1, true));
        let leg_answer = answered.pick("CHANNEL_ANSWER", 0);
        let (bridged, early) = (Source::new(BRIDGED, 0, true), Source::new(EARLY, 0, true));
        Catalog {
            sofia,
            loopback,
            park: wake.pick("CHANNEL_PARK", 0),
            execute: wake.pick("CHANNEL_EXECUTE", 0),
            execute_arg: wake.pick("CHANNEL_EXECUTE", 1),
            unpark: waiting.pick("CHANNEL_UNPARK", 0),
            socket_done: waiting.pick("CHANNEL_EXECUTE_COMPLETE", 1).of_app("socket"),
            state_hangup: waiting.pick("CHANNEL_STATE", 0),
            state_reporting: waiting.pick("CHANNEL_STATE", 1),
            leg_progress: ringing.pick("CHANNEL_PROGRESS", 0),
            leg_unbridged: both(derived_end(&leg_answer), |end| {
                end.set("variable_sip_term_status", &[Err("200")])
            }),
            leg_answer,
            leg_media: early.pick("CHANNEL_PROGRESS_MEDIA", 0),
            leg_park: bridged.pick("CHANNEL_PARK", 0),
            leg_park_early: early.pick("CHANNEL_PARK", 0),
            leg_executed: bridged
                .pick("CHANNEL_EXECUTE_COMPLETE", 3)
                .set("Caller-Caller-ID-Number", &[Ok(Slot::CallerNumber)]),
            leg_unpark: bridged.pick("CHANNEL_UNPARK", 0),
            leg_park_done: bridged.pick("CHANNEL_EXECUTE_COMPLETE", 6).of_app("park"),
            leg_taken: Source::new(TAKEN_LEG, 0, true).pick("CHANNEL_PARK", 0),
            caller_with_loopback: Source::behind(BRIDGED_LOOP).pick("CHANNEL_BRIDGE", 0),
            end_reads: Source::behind(BRIDGED_LOOP)
                .pick("CHANNEL_BRIDGE", 0)
                .derive("DTMF")
                .set("Channel-State", &[Err("CS_EXCHANGE_MEDIA")])
                .set("Unique-ID", &[Ok(Slot::EndUuid)]),
            leg_with_sofia: answered.bridge_events(),
            leg_with_loopback: Source::new(LOOP, 0, true).bridge_events(),
            leg_refused: both(Source::new(DECLINED, 0, true).end(), with_failure),
            leg_refused_early: End {
                hangup: with_failure(Source::new(EARLY_DECLINED, 0, true).pick("CHANNEL_HANGUP", 0)),
                complete: with_failure(Source::new(DECLINED, 0, true).end().complete),
            },
            leg_refused_ringing: both(ringing.end(), |end| {
                with_failure(end.without(&["variable_call_completed_elsewhere"]))
            }),
            leg_silent: Source::new(SILENT, 0, true).end(),
            leg_lost_race: ringing.end(),
            leg_cancelled: Source::new(CANCELS, 0, true).end(),
        }
    })
}
