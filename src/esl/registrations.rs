//! FreeSWITCH's registration events (`sofia::*`).

use std::sync::Arc;
use std::time::Duration;

use crate::contact::{self, Contact, ContactRules, NetworkHint};
use crate::engine::{Event, Registration, Source, UnregisterWhy, Unregistration};
use crate::types::{Aor, NodeId, PushParams, Target, UnixMicros, UnixSeconds};

/// An event, with warnings for operators.
#[derive(Debug)]
pub struct RegistrationEvent {
    /// For the engine.
    pub event: Event,
    /// Problems of the Contact, ready for the log; never a token.
    pub warnings: Vec<String>,
}

/// Reads one `sofia::*` event. `None`: it is not about a registration, or it has no AOR.
pub fn from_event<'a>(
    subclass: &str,
    header: impl Fn(&str) -> Option<&'a str>,
    rules: &ContactRules,
    at: UnixSeconds,
) -> Option<RegistrationEvent> {
    let get = |name: &str| header(name).filter(|v| !v.is_empty());
    let aor = |user: &str, host: &str| Some(Aor::new(get(user)?, get(host)?));
    let call_id = || get("call-id").unwrap_or_default().into();
    let stamp = stamp(&get, at);
    match subclass {
        "sofia::register" => {
            let aor = aor("from-user", "from-host")?;
            let read = read_contact(&get, rules);
            let event = Event::Registered(Registration {
                aor,
                call_id: call_id(),
                target: read.target,
                push: read.push,
                wants_no_push: read.wants_no_push,
                user_agent: get("user-agent").unwrap_or_default().into(),
                expires: Duration::from_secs(get("expires").and_then(|e| e.parse().ok()).unwrap_or(3600)),
                at,
                stamp,
                source: Source::Event,
            });
            Some(RegistrationEvent {
                event,
                warnings: read.warnings,
            })
        }
        "sofia::unregister" => {
            let aor = aor("from-user", "from-host")?;
            let closed = get("reason") == Some("socket-disconnection");
            let why = if closed {
                UnregisterWhy::ConnectionClosed
            } else {
                UnregisterWhy::Explicit
            };
            Some(over(aor, call_id(), &get, rules, (why, at, stamp)))
        }
        "sofia::expire" => Some(over(
            aor("user", "host")?,
            call_id(),
            &get,
            rules,
            (UnregisterWhy::Expired, at, stamp),
        )),
        "sofia::sip_user_state" => {
            let reachable = get("Ping-Status")?.eq_ignore_ascii_case("reachable");
            let event = Event::Pinged {
                node: NodeId::FIRST,
                aor: aor("from-user", "from-host")?,
                call_id: call_id(),
                target: get("sip_contact").and_then(|contact| {
                    let profile = get("profile-name").unwrap_or_default();
                    read(contact, profile, "", None, rules).target
                }),
                reachable,
            };
            Some(RegistrationEvent {
                event,
                warnings: Vec::new(),
            })
        }
        _ => None,
    }
}

fn over<'a>(
    aor: Aor,
    call_id: Arc<str>,
    get: &impl Fn(&str) -> Option<&'a str>,
    rules: &ContactRules,
    (why, at, stamp): (UnregisterWhy, UnixSeconds, UnixMicros),
) -> RegistrationEvent {
    let read = if get("contact").is_some() {
        read_contact(get, rules)
    } else {
        ParsedContact::default()
    };
    let event = Event::Unregistered(Unregistration {
        node: NodeId::FIRST,
        aor,
        call_id,
        target: read.target,
        push: read.push,
        user_agent: get("user-agent").unwrap_or_default().into(),
        at,
        stamp,
        why,
    });
    RegistrationEvent {
        event,
        warnings: Vec::new(),
    }
}

/// If FreeSWITCH's clock differs from ours by more than this, its times are not used.
const MOST_CLOCK_DIFFERENCE: UnixMicros = 3_600_000_000;

/// The event's time by FreeSWITCH's clock, or by ours if FreeSWITCH's cannot be right.
fn stamp<'a>(get: &impl Fn(&str) -> Option<&'a str>, at: UnixSeconds) -> UnixMicros {
    let ours = at.saturating_mul(1_000_000);
    let theirs = get("Event-Date-Timestamp").and_then(|stamp| stamp.parse().ok());
    theirs
        .filter(|theirs: &UnixMicros| theirs.abs_diff(ours) <= MOST_CLOCK_DIFFERENCE.unsigned_abs())
        .unwrap_or(ours)
}

/// The result of parsing a Contact.
#[derive(Default)]
pub(crate) struct ParsedContact {
    pub(crate) target: Option<Target>,
    pub(crate) push: Option<PushParams>,
    /// It is complete and has no token.
    pub(crate) wants_no_push: bool,
    pub(crate) warnings: Vec<String>,
}

fn read_contact<'a>(get: &impl Fn(&str) -> Option<&'a str>, rules: &ContactRules) -> ParsedContact {
    let hint = NetworkHint::from_event(
        get("network-ip").unwrap_or_default(),
        get("network-port").unwrap_or_default(),
        get("status").unwrap_or_default(),
    );
    let user_agent = get("user-agent").unwrap_or_default();
    let contact = get("contact").unwrap_or_default();
    read(
        contact,
        get("profile-name").unwrap_or_default(),
        user_agent,
        hint.as_ref(),
        rules,
    )
}

/// Parses a Contact from an event or a list.
pub(crate) fn read(
    contact: &str,
    profile: &str,
    user_agent: &str,
    hint: Option<&NetworkHint>,
    rules: &ContactRules,
) -> ParsedContact {
    let parsed = match contact::parse(contact, &rules.names, user_agent, hint) {
        Ok(parsed) => parsed,
        Err(error) => {
            return ParsedContact {
                warnings: vec![format!("Contact refused: {error}")],
                ..ParsedContact::default()
            };
        }
    };
    let wants_no_push = parsed.names_no_token(&rules.names);
    let Contact {
        uri, push, warnings, ..
    } = parsed;
    let mut warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    let strip = rules.strip_push.then_some(&rules.names);
    let target = uri
        .dial_target(profile, strip)
        .map_err(|error| warnings.push(format!("Contact refused: {error}")))
        .ok()
        .map(Target::new);
    ParsedContact {
        target,
        push,
        wants_no_push,
        warnings,
    }
}
