//! What FreeSWITCH says, as the engine's events. Pure: header lookups in, values out.

use std::sync::Arc;
use std::time::SystemTime;

use super::wishes;
use crate::engine::{Event, HeldCall, LegEnd, Way};
use crate::types::{Aor, CallId, LegId};

/// A channel's data as `connect` answers it, with what the connection itself needs.
#[derive(Clone, Debug)]
pub struct Held {
    /// For the engine.
    pub call: HeldCall,
    /// The held channel's UUID.
    pub channel: String,
    /// The codecs that the caller offered.
    pub codecs: Option<String>,
    /// The caller withholds number and name (RFC 3323): neither phones nor push services get them.
    pub private: bool,
    /// Whether the user's dial-string has to be read before it is known who rings the plain contacts.
    pub ask_directory: bool,
    /// Variables whose values were ignored, for the log.
    pub ignored: Vec<String>,
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

/// Reads the channel data; who is called is in docs/ARCHITECTURE.md, "The two ways in".
///
/// # Errors
/// When it is not a channel, or nobody is called.
pub fn held<'a>(header: impl Fn(&str) -> Option<&'a str>, call: CallId, at: SystemTime) -> Result<Held, NotACall> {
    let get = |name: &str| header(name).map(str::trim).filter(|v| !v.is_empty());
    let channel = get("Unique-ID")
        .filter(|id| is_channel(id))
        .ok_or(NotACall::NoChannel)?
        .to_owned();
    let aor = callee(get).ok_or(NotACall::NoCallee)?;
    let asked = wishes::read(get);
    let hides = |what: &str| get(&format!("Caller-Privacy-Hide-{what}")) == Some("true");
    let shown = |what: &str| match caller(get, what) {
        Some(value) if !hides(what) => value.into(),
        _ => Arc::default(),
    };
    let call = HeldCall {
        call,
        aor,
        caller_number: shown("Number"),
        caller_name: shown("Name"),
        way: if get("Channel-Name").is_some_and(|name| name.starts_with("loopback/")) {
            Way::DialString
        } else {
            Way::Dialplan
        },
        at,
        max_wait: asked.max_wait,
        wishes: asked.wishes,
    };
    Ok(Held {
        call,
        channel,
        codecs: get("variable_ep_codec_string").map(str::to_owned),
        private: hides("Number") || hides("Name"),
        ask_directory: asked.ask_directory,
        ignored: asked.ignored,
    })
}

/// What phones and pushes show of the caller: what the dialplan or dial-string wants them to, as FreeSWITCH's own `bridge` does.
fn caller<'a>(get: impl Fn(&str) -> Option<&'a str>, what: &str) -> Option<&'a str> {
    let name = what.to_ascii_lowercase();
    let wanted = get(&format!("variable_origination_caller_id_{name}"))
        .or_else(|| get(&format!("variable_effective_caller_id_{name}")));
    // FreeSWITCH's words for nobody: of a variable, and of a leg that was made without a caller.
    wanted
        .or_else(|| get(&format!("Caller-Caller-ID-{what}")))
        .filter(|value| !["_undef_", "0000000000"].contains(value))
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

/// FreeSWITCH's channel UUIDs are UUIDs unless `origination_uuid` said otherwise: a plain word either way.
fn is_channel(id: &str) -> bool {
    id.len() <= 128 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// One event on a call's own connection. `None`: it says nothing that matters.
pub fn call_event<'a>(
    name: &str,
    header: impl Fn(&str) -> Option<&'a str>,
    body: Option<&str>,
    channel: &str,
    leg: impl Fn(&str) -> Option<LegId>,
    call: CallId,
) -> Option<Event> {
    if name == "BACKGROUND_JOB" {
        // Our jobs are originate and uuid_kill; only a failed originate says something new.
        let cause = body?.trim().strip_prefix("-ERR ")?.into();
        let arg = header("Job-Command-Arg").filter(|_| header("Job-Command") == Some("originate"))?;
        let id = arg.strip_prefix("{origination_uuid=")?.split(',').next()?;
        return Some(Event::LegEnded {
            leg: leg(id)?,
            end: LegEnd {
                cause,
                sip_status: None,
            },
        });
    }
    let id = header("Unique-ID")?;
    if id == channel {
        let cause = || header("Hangup-Cause").unwrap_or("NORMAL_CLEARING").into();
        return (name == "CHANNEL_HANGUP").then(|| Event::CallerGone { call, cause: cause() });
    }
    let leg = leg(id)?;
    match name {
        "CHANNEL_PROGRESS" | "CHANNEL_PROGRESS_MEDIA" => Some(Event::LegRinging(leg)),
        "CHANNEL_ANSWER" => Some(Event::LegAnswered {
            leg,
            codec: header("variable_read_codec").map(Arc::from),
        }),
        "CHANNEL_HANGUP" => {
            let status = header("variable_sip_term_status").or_else(|| header("variable_sip_invite_failure_status"));
            let end = LegEnd {
                cause: header("Hangup-Cause").unwrap_or("NORMAL_CLEARING").into(),
                sip_status: status.and_then(|s| s.parse().ok()),
            };
            Some(Event::LegEnded { leg, end })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn held_with(pairs: &[(&str, &'static str)]) -> Result<Held, NotACall> {
        let find = |name: &str| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
        held(find, CallId(uuid::Uuid::nil()), SystemTime::UNIX_EPOCH)
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
    fn wishes_and_limits_reach_the_held_call() {
        let held = held_with(&[
            ("Unique-ID", "u"),
            ("Caller-Destination-Number", "1@d"),
            ("variable_originate_timeout", "20"),
            ("variable_call_timeout", "9"),
            ("variable_enable_send_apn", "false"),
            ("variable_leg_timeout", "x"),
        ])
        .unwrap();
        assert_eq!(held.call.max_wait, Some(Duration::from_secs(9)));
        assert!(held.call.wishes.no_push);
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
        assert!(held.private);
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
            effective[0],
            own[0],
            own[1],
        ];
        assert_eq!(shown(&own), text("1019", "Desk"));
        assert_eq!(shown(&effective), text("+4930", "Desk"));
        assert_eq!(shown(&origination), text("4711", "Desk"));
        assert_eq!(
            shown(&[("variable_origination_caller_id_name", "_undef_"), own[1]]),
            text("", "")
        );
        assert_eq!(shown(&[("Caller-Caller-ID-Number", "0000000000")]), text("", ""));
    }
}
