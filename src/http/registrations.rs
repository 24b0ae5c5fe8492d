//! Registrations that another SIP server tells of, where there is no FreeSWITCH.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::devices::parse_aor;
use super::{ProblemDetails, Site};
use crate::clock::{now_ms, unix_now};
use crate::engine::{Event, Registration, Source, UnregisterWhy, Unregistration};
use crate::esl::registrations;
use crate::types::{Aor, NodeId, Target};

/// Rows of a list are newer than what fswake knows: the other server reports lists and REGISTERs in order.
const LIST: Source = Source::Resync(1);
/// The node where none is told.
const NODE: &str = "default";
/// The longest text of a field, in bytes; a Contact may be longer.
const LONGEST: usize = 512;
/// The longest Contact, in bytes. One with several tokens has some 1,500.
const LONGEST_CONTACT: usize = 8 * 1024;
/// How long an answer waits for the store. A write takes some 20 ms, and SIP servers wait for answers.
const STORED_WITHIN: Duration = Duration::from_secs(1);

/// What is told.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RegistrationBody {
    aor: String,
    #[serde(default)]
    contact: String,
    /// 0 ends the registration.
    expires: u32,
    #[serde(default)]
    call_id: String,
    #[serde(default)]
    user_agent: String,
    node: Option<String>,
    /// Why it has ended.
    reason: Option<String>,
    /// Read from a list: the phone registered some time ago, and may sleep by now.
    #[serde(default)]
    listed: bool,
}

/// What was read in the Contact.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    /// Whether the phone is registered now.
    registered: bool,
    /// Whether the store has it on the disk.
    stored: bool,
    /// The provider of its token; `null` if it has none.
    provider: Option<String>,
    app: Option<String>,
    /// The `[[app]]` that serves it.
    served_by: Option<String>,
    warnings: Vec<String>,
}

/// Takes in a registration, its refresh or its end.
pub(super) async fn tell(
    State(site): State<Arc<Site>>,
    told: Result<Json<RegistrationBody>, JsonRejection>,
) -> Result<Json<Answer>, ProblemDetails> {
    let Json(told) = told?;
    if site.has_freeswitch {
        let detail = "FreeSWITCH tells fswake its registrations; this is for freeswitch.enabled = false";
        return Err(ProblemDetails::new(StatusCode::CONFLICT, detail));
    }
    let (aor, node, why) = (parse_aor(&told.aor)?, told.check()?, why(told.reason.as_deref())?);
    let rules = site.nodes.get(NodeId::FIRST).settings.borrow().rules.clone();
    let is_end = told.expires == 0;
    // `*` ends all that was registered with this Call-ID (RFC 3261 section 10.2.2).
    let names_contact = !matches!(told.contact.trim(), "" | "*");
    if !names_contact && !is_end {
        return Err(ProblemDetails::wrong("contact: the Contact of the REGISTER"));
    }
    if !names_contact && told.call_id.is_empty() {
        return Err(ProblemDetails::wrong(
            "contact, call_id: one of them, to say which registration has ended",
        ));
    }
    let read = names_contact.then(|| registrations::read(&told.contact, &node, &told.user_agent, None, &rules));
    let read = read.unwrap_or_default();
    if names_contact && read.target.is_none() {
        let detail = read
            .warnings
            .first()
            .map_or("contact: it cannot be read", String::as_str);
        return Err(ProblemDetails::wrong(detail));
    }
    let push = read.push.as_ref();
    let mut answer = Answer {
        registered: !is_end,
        stored: false,
        provider: push.map(|push| push.provider.name().to_owned()),
        app: push.map(|push| push.app.to_string()),
        served_by: push
            .and_then(|push| site.pushers.serves(push, &aor.domain))
            .map(|name| name.to_string()),
        warnings: read.warnings,
    };
    warn_of(&aor, &answer.warnings);
    let (call_id, user_agent, at, stamp) = (
        call_id(told.call_id, read.target.as_ref()),
        told.user_agent.into(),
        unix_now(),
        now_ms().saturating_mul(1_000),
    );
    let event = if is_end {
        Event::Unregistered(Unregistration {
            node: NodeId::FIRST,
            aor,
            call_id,
            target: read.target,
            push: read.push,
            user_agent,
            at,
            stamp,
            why,
        })
    } else {
        Event::Registered(Registration {
            aor,
            call_id,
            target: read.target,
            push: read.push,
            wants_no_push: read.wants_no_push,
            user_agent,
            expires: Duration::from_secs(told.expires.into()),
            at,
            stamp,
            source: if told.listed { LIST } else { Source::Event },
        })
    };
    let lost = || site.store.health().dropped_devices;
    let lost_before = lost();
    site.control.report(event).await?;
    // A change that the store refuses is no longer waited for. It may also be that of another request.
    answer.stored = site.store.is_written(STORED_WITHIN).await && lost() == lost_before;
    Ok(Json(answer))
}

impl RegistrationBody {
    /// Checks lengths and names; the node.
    fn check(&self) -> Result<String, ProblemDetails> {
        let wrong = |detail: &str| Err(ProblemDetails::wrong(detail));
        let texts = [&self.aor, &self.call_id, &self.user_agent];
        if texts.iter().any(|text| text.len() > LONGEST) || self.contact.len() > LONGEST_CONTACT {
            return wrong("aor, call_id, user_agent: at most 512 bytes; contact: at most 8192");
        }
        let node = self.node.as_deref().filter(|node| !node.is_empty()).unwrap_or(NODE);
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
        if node.len() > 64 || !node.bytes().all(is_plain) || node.eq_ignore_ascii_case("gateway") {
            return wrong("node: at most 64 letters, digits, `_`, `.` and `-`; not \"gateway\"");
        }
        Ok(node.to_owned())
    }
}

/// What names the phone's REGISTERs. A server that does not tell their Call-ID has the address instead: two phones
/// without one are not to be taken for the same.
fn call_id(told: String, target: Option<&Target>) -> Arc<str> {
    match target {
        Some(target) if told.is_empty() => target.contact().split(';').next().unwrap_or_default().into(),
        _ => told.into(),
    }
}

/// What ended a registration.
fn why(reason: Option<&str>) -> Result<UnregisterWhy, ProblemDetails> {
    match reason {
        None | Some("" | "unregistered") => Ok(UnregisterWhy::Explicit),
        Some("expired") => Ok(UnregisterWhy::Expired),
        Some("connection-closed") => Ok(UnregisterWhy::ConnectionClosed),
        Some(_) => Err(ProblemDetails::wrong(
            r#"reason: "unregistered" (the default), "expired" or "connection-closed""#,
        )),
    }
}

/// Oddities of a Contact; the answer has them too.
fn warn_of(aor: &Aor, warnings: &[String]) {
    for warning in warnings {
        warn!(%aor, "{warning}");
    }
}
