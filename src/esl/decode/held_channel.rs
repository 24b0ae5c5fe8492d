//! The channel that FreeSWITCH hands over: who is called, and what the call asks for.

use std::sync::Arc;
use std::time::SystemTime;

use super::super::encode::{self, Argument, Word};
use super::super::inherit::InheritedVariables;
use super::super::options;
use crate::engine::{DirectoryQuery, HeldCall, Routing};
use crate::types::{Aor, CallId, NodeId};
use crate::xml;

/// A channel's data as `connect` returns it, with what the connection itself needs.
#[derive(Clone, Debug)]
pub struct HeldChannel {
    /// For the engine.
    pub call: HeldCall,
    /// The held channel's UUID.
    pub channel: String,
    /// The channel behind the held loopback, and the loopback's other end.
    pub behind: Option<Behind>,
    /// What legs show of the caller.
    pub parent: Parent,
    /// What the caller hears while a phone rings.
    pub ringback: Ringback,
    /// Whether the caller's media will bypass FreeSWITCH once the call is up (`bypass_media`,
    /// `bypass_media_after_bridge`).
    pub bypass_media: bool,
    /// Variables whose values were ignored, for the log.
    pub ignored: Vec<String>,
    /// How the `socket` application holds it.
    pub socket: Socket,
}

impl HeldChannel {
    /// Whether fswake takes FreeSWITCH out of the media once the call is up. FreeSWITCH crashes if video is to bypass
    /// it (measured).
    pub fn bypasses_media(&self) -> bool {
        self.bypass_media && !self.parent.codecs.as_deref().is_some_and(encode::has_video)
    }
}

/// How the `socket` application holds a channel (mod_event_socket.c).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Socket {
    /// Without `async` the channel's own thread serves the connection, and does nothing else until the connection ends.
    /// No bridge or transfer begins before that, and no event reports one. The connection's end also hands the channel
    /// back to the dialplan; `resume` or `socket_resume=true` would leave it in CS_RESET for ever (measured).
    pub is_static: bool,
    /// `socket_resume=true` was set before it.
    pub is_told_to_resume: bool,
    /// Its argument.
    pub argument: String,
    /// What moved the channel last before that ([`Parent::moved_by`]).
    pub moved_by: String,
}

impl Socket {
    fn read<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Self {
        let argument = get("variable_current_application_data").unwrap_or_default();
        Self {
            is_static: get("Socket-Mode") == Some("static"),
            is_told_to_resume: get("variable_socket_resume").is_some_and(options::is_true),
            argument: argument.to_owned(),
            moved_by: get("variable_transfer_source").unwrap_or(UNSET).to_owned(),
        }
    }

    /// What `execute_extension` runs to hold the same channel with `async` inside this `socket`; `None` if the argument
    /// does not fit.
    pub fn with_async(&self) -> Option<String> {
        encode::hold_with_async(&self.argument)
    }
}

/// What is behind a dial-string's loopback (`-b`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behind {
    /// The channel that dialled the loopback, if one did.
    pub caller: Option<String>,
    /// The loopback's other end (`-a`).
    pub end: Option<String>,
    /// The loopback may take itself out of the call (`loopback_bowout`).
    pub may_leave: bool,
}

/// What `uuid_getvar` returns for an unset variable.
pub const UNSET: &str = "_undef_";

/// What a leg gets from its parent channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parent {
    /// The A leg's UUID; `None` if there is no A leg, as with `originate`.
    pub channel: Option<String>,
    /// Its `call_uuid`, where it differs.
    pub call_uuid: Option<String>,
    /// Caller's number for the phones' displays; may be empty.
    pub number: Arc<str>,
    /// Caller's name for the phones' displays; may be empty.
    pub name: Arc<str>,
    /// Which of name and number are private (RFC 3323).
    pub hides: (bool, bool),
    /// The caller's identity is screened (`screen` of Remote-Party-ID).
    pub is_screened: bool,
    /// Number or name differ from the A leg's own: a bridge would make the leg forget them.
    pub is_effective: bool,
    /// The context for the caller's transfers.
    pub context: String,
    /// The codecs that the caller offered (`ep_codec_string`); `None` offers FreeSWITCH's own.
    pub codecs: Option<String>,
    /// `absolute_codec_string` of the held channel, to restore after the answer.
    pub own_codecs: Option<String>,
    /// Hops that the leg has left.
    pub max_forwards: Option<u32>,
    /// What moved the A leg last (`transfer_source`, as `uuid_getvar` returns it). It changes when somebody takes the
    /// caller. `None` after fswake has bridged the caller itself.
    pub moved_by: Option<String>,
    /// The A leg's ANI.
    pub ani: Arc<str>,
    /// The caller is identified by P-Asserted-Identity: legs use the same.
    pub asserts_identity: bool,
    /// Its variables that legs inherit.
    pub inherited: InheritedVariables,
}

/// What a caller hears until somebody answers, read from the channel as FreeSWITCH's `bridge` does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ringback {
    /// What is played (`transfer_ringback` if the caller was answered before, else `ringback`); without it a 180 is
    /// sent.
    pub sound: Option<String>,
    /// Play it at once (`instant_ringback`).
    pub at_once: bool,
    /// Send no 180 (`ignore_ring_ready`).
    pub is_silent: bool,
}

/// Why a channel cannot be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotACall {
    /// No usable `Unique-ID`: not FreeSWITCH, or not a channel.
    #[error("the peer's channel data has no Unique-ID")]
    NoChannel,
    /// Neither `fswake_aor` nor `dialed_user` nor a destination number.
    #[error("no callee: set fswake_aor, or dialed_user and dialed_domain, before the socket application")]
    NoCallee,
}

/// Reads the channel data. docs/ARCHITECTURE.md, "How calls reach fswake", describes how the callee is found.
///
/// # Errors
/// If it is not a channel, or the callee is unknown.
pub fn held_channel<'a>(
    header: impl Fn(&str) -> Option<&'a str>,
    call: CallId,
    at: SystemTime,
) -> Result<HeldChannel, NotACall> {
    let get = |name: &str| header(name).map(str::trim).filter(|v| !v.is_empty());
    let variable = |name: &str| get(&format!("variable_{name}"));
    let is_set = |name: &str| variable(name).is_some_and(options::is_true);
    let channel = get("Unique-ID")
        .filter(|id| is_channel(id))
        .ok_or(NotACall::NoChannel)?
        .to_owned();
    let aor = callee(get).ok_or(NotACall::NoCallee)?;
    let asked = options::read(get);
    let hides = |what: &str| get(&format!("Caller-Privacy-Hide-{what}")) == Some("true");
    let shown = |what: &str| match caller(get, what) {
        // What FreeSWITCH writes for "nobody": in a variable, and on a leg that was made without a caller.
        Some(value) if !hides(what) && !["_undef_", "0000000000"].contains(&value) => value.into(),
        _ => Arc::default(),
    };
    let routing = if get("Channel-Name").is_some_and(|name| name.starts_with("loopback/")) {
        Routing::DialString
    } else {
        Routing::Dialplan
    };
    let told = |what: &str| caller(get, what).filter(|v| *v != "0000000000").unwrap_or_default();
    let is_own = |what: &str| caller(get, what) == get(&format!("Caller-Caller-ID-{what}"));
    let mut parent = Parent {
        channel: (routing == Routing::Dialplan).then(|| channel.clone()),
        number: told("Number").into(),
        name: told("Name").into(),
        hides: (hides("Name"), hides("Number")),
        is_screened: get("Caller-Screen-Bit") != Some("false"),
        is_effective: !(is_own("Name") && is_own("Number")),
        context: "default".to_owned(),
        own_codecs: variable("absolute_codec_string").map(str::to_owned),
        ani: variable("effective_ani")
            .or_else(|| get("Caller-ANI"))
            .unwrap_or_default()
            .into(),
        ..Parent::default()
    };
    parent.is_told_by(get);
    let was_answered = get("Answer-State") == Some("answered");
    let sound = variable("transfer_ringback")
        .filter(|_| was_answered)
        .or_else(|| variable("ringback"));
    // Behind a loopback, the caller's own channel plays it.
    let ringback = Ringback {
        sound: sound.filter(|_| routing == Routing::Dialplan).map(str::to_owned),
        at_once: routing == Routing::Dialplan && is_set("instant_ringback"),
        is_silent: is_set("ignore_ring_ready"),
    };
    let socket = Socket::read(get);
    let channel_of = |name: &str| variable(name).filter(|id| is_channel(id)).map(str::to_owned);
    let behind = (routing == Routing::DialString).then(|| Behind {
        caller: channel_of("other_loopback_from_uuid"),
        end: channel_of("other_loopback_leg_uuid"),
        may_leave: variable("loopback_bowout").is_none_or(options::is_true),
    });
    let call = HeldCall {
        node: NodeId::FIRST,
        call,
        aor,
        caller_number: shown("Number"),
        caller_name: shown("Name"),
        routing,
        at,
        max_wait: asked.max_wait,
        options: asked.options,
        sip_call_id: None,
        query: if asked.ask_directory {
            Some(DirectoryQuery::WhoRings)
        } else {
            (routing == Routing::Dialplan).then_some(DirectoryQuery::WhoseNumber)
        },
    };
    Ok(HeldChannel {
        call,
        channel,
        behind,
        parent,
        ringback,
        bypass_media: is_set("bypass_media") || is_set("bypass_media_after_bridge"),
        ignored: asked.ignored,
        socket,
    })
}

impl Parent {
    /// Makes the channel behind a loopback the A leg, as it would be without the loopback.
    pub fn is_behind<'a>(&mut self, header: impl Fn(&str) -> Option<&'a str>) {
        let Some(channel) = header("Unique-ID").filter(|id| is_channel(id)) else {
            return;
        };
        self.channel = Some(channel.to_owned());
        self.is_told_by(|name| header(name).filter(|v| !v.is_empty()));
        // The phone shows what the loopback shows.
        let is_own = |what: &str, told: &str| header(&format!("Caller-Caller-ID-{what}")) == Some(told);
        self.is_effective = !(is_own("Name", &self.name) && is_own("Number", &self.number));
    }

    /// Reads what the A leg's own channel has.
    fn is_told_by<'a>(&mut self, get: impl Fn(&str) -> Option<&'a str>) {
        let variable = |name: &str| get(&format!("variable_{name}"));
        self.call_uuid = variable("call_uuid").filter(|id| is_channel(id)).map(str::to_owned);
        self.codecs = variable("ep_codec_string").map(str::to_owned);
        self.max_forwards = hops(variable("max_forwards"));
        self.moved_by = Some(variable("transfer_source").unwrap_or(UNSET).to_owned());
        self.asserts_identity = variable("sip_P-Asserted-Identity").is_some();
        if let Some(context) = get("Caller-Context").filter(|context| is_context(context)) {
            context.clone_into(&mut self.context);
        }
    }
}

/// The leg's `Max-Forwards`, from its A leg's (RFC 3261 section 16.6).
fn hops(of_the_caller: Option<&str>) -> Option<u32> {
    of_the_caller?.parse::<u32>().ok().map(|n| n.saturating_sub(1))
}

/// The caller's number and name as the dialplan or dial-string sets them, as with FreeSWITCH's own `bridge`.
fn caller<'a>(get: impl Fn(&str) -> Option<&'a str>, what: &str) -> Option<&'a str> {
    let name = what.to_ascii_lowercase();
    options::for_legs(&get, &format!("origination_caller_id_{name}"))
        .or_else(|| get(&format!("variable_effective_caller_id_{name}")))
        .or_else(|| get(&format!("Caller-Caller-ID-{what}")))
}

fn callee<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Option<Aor> {
    let split = |text: &str| text.rsplit_once('@').map(|(user, domain)| Aor::new(user, domain));
    if let Some(aor) = get("variable_fswake_aor").and_then(split) {
        return Some(aor);
    }
    if let (Some(user), Some(domain)) = (get("variable_dialed_user"), get("variable_dialed_domain")) {
        return Some(Aor::new(user, domain));
    }
    let number = get("Caller-Destination-Number")?;
    split(number).or_else(|| {
        let domain = get("variable_domain_name")
            .or_else(|| get("variable_sip_req_host"))
            .unwrap_or_default();
        Some(Aor::new(number, domain))
    })
}

/// A context's name that can stand in a command.
fn is_context(name: &str) -> bool {
    Argument::new(name).is_some()
}

/// FreeSWITCH's channel UUIDs are UUIDs unless `origination_uuid` sets something else: a plain word either way.
pub(super) fn is_channel(id: &str) -> bool {
    Word::new(id).is_some()
}

/// The audio codecs that a profile's own INVITEs offer, from `sofia xmlstatus profile NAME`.
pub fn audio_offered(xmlstatus: &str) -> Option<String> {
    let audio: Vec<_> = xml::lines(xmlstatus, "outbound-codecs")
        .flat_map(|codecs| codecs.split(','))
        .map(str::trim)
        .filter(|name| !encode::is_name_of_video(name))
        .collect();
    let audio = audio.join(",");
    (!audio.is_empty()).then_some(audio)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn held_with(pairs: &[(&str, &'static str)]) -> Result<HeldChannel, NotACall> {
        let find = |name: &str| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
        held_channel(find, CallId(uuid::Uuid::nil()), SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn the_callee_is_found_in_the_documented_order() {
        let all = [
            ("Unique-ID", "u-1"),
            ("Caller-Destination-Number", "71001"),
            ("variable_domain_name", "d.example"),
            ("variable_dialed_user", "1001"),
            ("variable_dialed_domain", "fs.test"),
            ("variable_fswake_aor", "2002@other.example"),
        ];
        let aor = |n: usize| held_with(&all[..n]).unwrap().call.aor.to_string();
        assert_eq!(aor(6), "2002@other.example");
        assert_eq!(aor(5), "1001@fs.test");
        assert_eq!(aor(3), "71001@d.example");
        let loopback = [("Unique-ID", "u"), ("Caller-Destination-Number", "1001@fs.test")];
        assert_eq!(held_with(&loopback).unwrap().call.aor.to_string(), "1001@fs.test");
    }

    #[test]
    fn data_that_is_no_channel_is_refused() {
        assert_eq!(held_with(&[]).unwrap_err(), NotACall::NoChannel);
        assert_eq!(held_with(&[("Unique-ID", "x y\n")]).unwrap_err(), NotACall::NoChannel);
        assert_eq!(held_with(&[("Unique-ID", "u")]).unwrap_err(), NotACall::NoCallee);
    }

    #[test]
    fn options_and_limits_reach_the_held_call() {
        let held = held_with(&[
            ("Unique-ID", "u"),
            ("Caller-Destination-Number", "1@d"),
            ("variable_loopback_leg", "B"),
            ("variable_originate_timeout", "20"),
            ("variable_call_timeout", "9"),
            ("variable_enable_send_apn", "false"),
            ("variable_leg_timeout", "x"),
        ])
        .unwrap();
        assert_eq!(held.call.max_wait, Some(Duration::from_secs(9)));
        assert!(held.call.options.no_push);
        assert_eq!(held.ignored.len(), 1);
    }

    #[test]
    fn withheld_identity_stays_withheld() {
        let held = held_with(&[
            ("Unique-ID", "u"),
            ("Caller-Destination-Number", "1@d"),
            ("Caller-Caller-ID-Number", "+4930123456"),
            ("Caller-Caller-ID-Name", "Alice"),
            ("Caller-Privacy-Hide-Number", "true"),
            ("Caller-Privacy-Hide-Name", "false"),
        ])
        .unwrap();
        assert_eq!((&*held.call.caller_number, &*held.call.caller_name), ("", "Alice"));
        assert_eq!(held.parent.hides, (false, true));
        assert_eq!(
            &*held.parent.number, "+4930123456",
            "phones get what bridge gives them: the number, marked private"
        );
    }

    #[test]
    fn the_caller_is_shown_as_the_dialplan_or_dial_string_wants() {
        let shown = |pairs: &[(&str, &'static str)]| {
            let call = [("Unique-ID", "u"), ("Caller-Destination-Number", "1@d")];
            let call = held_with(&[&call[..], pairs].concat()).unwrap().call;
            (call.caller_number.to_string(), call.caller_name.to_string())
        };
        let text = |number: &str, name: &str| (number.to_owned(), name.to_owned());
        let own = [("Caller-Caller-ID-Number", "1019"), ("Caller-Caller-ID-Name", "Desk")];
        let effective = [("variable_effective_caller_id_number", "+4930"), own[0], own[1]];
        let origination = [
            ("variable_origination_caller_id_number", "4711"),
            ("variable_loopback_leg", "B"),
            effective[0],
            own[0],
            own[1],
        ];
        assert_eq!(shown(&own), text("1019", "Desk"));
        assert_eq!(shown(&effective), text("+4930", "Desk"));
        assert_eq!(shown(&origination), text("4711", "Desk"));
        assert_eq!(
            shown(&[
                ("variable_origination_caller_id_name", "_undef_"),
                ("variable_loopback_leg", "B"),
                own[1]
            ]),
            text("", "")
        );
        let only_set = [("variable_origination_caller_id_number", "4711"), own[0], own[1]];
        assert_eq!(
            shown(&only_set),
            text("1019", "Desk"),
            "bridge takes it from a leg, not from its caller"
        );
        assert_eq!(shown(&[("Caller-Caller-ID-Number", "0000000000")]), text("", ""));
    }
}
