//! A wake that somebody asks for: another SIP server, a script of a dialplan, an operator.
//!
//! The answer comes when a phone can be rung, or at the deadline. Until then a request costs a task and its connection;
//! its place among the connections is lent to others. Whoever closes the connection gives the wake up.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::devices::parse_aor;
use super::place::Place;
use super::{ProblemDetails, Site};
use crate::clock::{millis, with_date};
use crate::engine::{CallOptions, HeldCall, HoldResult, Mode, Routing, WakeReport, WakeState, WokenParty};
use crate::types::{CallId, NodeId, Target};

/// The shortest and the longest wait that may be asked for; `wake.max-wait` may be less.
const WAIT_MS: std::ops::RangeInclusive<u64> = 100..=600_000;
/// The longest number, name and Call-ID, in bytes.
const LONGEST: usize = 256;
/// A limit counts pushes in a minute.
const AFTER_LIMIT: u32 = 60;

/// What is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WakeBody {
    aor: String,
    #[serde(default)]
    caller: String,
    #[serde(default)]
    caller_name: String,
    wait_ms: Option<u64>,
    wait_for: Option<String>,
    #[serde(default)]
    force: bool,
    id: Option<String>,
    sip_call_id: Option<String>,
}

/// A phone can be rung.
#[derive(Debug, Serialize)]
struct Answer {
    call: String,
    result: &'static str,
    ms: u64,
    device: Option<String>,
    contact: Option<String>,
    node: Option<String>,
    devices: Vec<WokenPhone>,
}

/// What came of it for one phone.
#[derive(Clone, Debug, Serialize)]
struct WokenPhone {
    /// Its id under `/v1/devices`; `null` for a phone without a token.
    id: Option<String>,
    device: String,
    state: &'static str,
    user_agent: String,
    contact: Option<String>,
    node: Option<String>,
    pushes: u32,
    push_to_register_ms: Option<u64>,
    problem: Option<String>,
}

/// Wakes the phones of one user, and answers when one can be rung, or why none can.
pub(super) async fn wake(
    State(site): State<Arc<Site>>,
    place: Option<Extension<Arc<Place>>>,
    asked: Result<Json<WakeBody>, JsonRejection>,
) -> Result<Response, ProblemDetails> {
    let asked = asked?.0.held()?;
    let turn = Arc::clone(&site.wakes).try_acquire_owned().map_err(|_| {
        let detail = "too many wakes are under way: ask again later";
        ProblemDetails::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(1)
    })?;
    let lent = place.as_ref().map(|Extension(place)| place.lend());
    let report = site.control.wake(asked).await;
    drop((lent, turn));
    let mut response = if let Ok(report) = report? {
        answer(&site, &report).unwrap_or_else(IntoResponse::into_response)
    } else {
        let detail = "id: a wake or call of this id is under way for another user";
        ProblemDetails::new(StatusCode::CONFLICT, detail).into_response()
    };
    if place.is_some_and(|Extension(place)| !place.is_held()) {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    Ok(response)
}

impl WakeBody {
    fn held(self) -> Result<HeldCall, ProblemDetails> {
        let wrong = |detail: &str| ProblemDetails::wrong(detail);
        if let Some(wait) = self.wait_ms
            && !WAIT_MS.contains(&wait)
        {
            return Err(wrong("wait_ms: from 100 to 600000"));
        }
        let mode = match self.wait_for.as_deref() {
            None | Some("first") => Mode::WakeFirst,
            Some("all") => Mode::WakeAll,
            Some(_) => return Err(wrong(r#"wait_for: "first" (the default) or "all""#)),
        };
        let id = match self.id.as_deref().map(Uuid::parse_str) {
            None => Uuid::new_v4(),
            Some(Ok(id)) if !id.is_nil() => id,
            Some(_) => return Err(wrong("id: a UUID that you have chosen, or nothing")),
        };
        let sip_call_id = self.sip_call_id.unwrap_or_default();
        if [&self.caller, &self.caller_name, &sip_call_id]
            .iter()
            .any(|text| text.len() > LONGEST)
        {
            return Err(wrong("caller, caller_name, sip_call_id: at most 256 bytes"));
        }
        Ok(HeldCall {
            node: NodeId::FIRST,
            call: CallId(id),
            aor: parse_aor(&self.aor)?,
            caller_number: self.caller.into(),
            caller_name: self.caller_name.into(),
            routing: Routing::Request,
            at: SystemTime::now(),
            max_wait: self.wait_ms.map(Duration::from_millis),
            options: CallOptions {
                push_awake: self.force,
                mode: Some(mode),
                ..CallOptions::default()
            },
            query: None,
            sip_call_id: Some(sip_call_id).filter(|id| !id.is_empty()).map(Arc::from),
        })
    }
}

/// What a report says: an answer, or a problem with the same members.
fn answer(site: &Site, report: &WakeReport) -> Result<Response, ProblemDetails> {
    let devices: Vec<WokenPhone> = report.parties.iter().map(|party| WokenPhone::of(party, site)).collect();
    let (call, ms) = (report.call.to_string(), millis(report.took));
    let Some(woken) = report.woken().filter(|_| report.result == HoldResult::Woken) else {
        let (problem, result) = why_not(report);
        let mut more = Map::new();
        more.insert("result".into(), json!(result));
        more.insert("call".into(), json!(call));
        more.insert("ms".into(), json!(ms));
        more.insert("devices".into(), serde_json::to_value(devices).unwrap_or(Value::Null));
        return Err(problem.with(more));
    };
    let WokenPhone {
        device, contact, node, ..
    } = WokenPhone::of(woken, site);
    let answer = Answer {
        call,
        result: "woken",
        ms,
        device: woken.device.is_some().then_some(device),
        contact,
        node,
        devices,
    };
    Ok(Json(answer).into_response())
}

/// Why no phone can be rung: the furthest that one of them got.
fn why_not(report: &WakeReport) -> (ProblemDetails, &'static str) {
    let problem = ProblemDetails::new;
    let has = |state| report.parties.iter().any(|party| party.state == state);
    match report.result {
        HoldResult::NoDevice => {
            let detail = "no phone of this user is known: none has registered, or its token was dropped";
            (problem(StatusCode::NOT_FOUND, detail), "no-device")
        }
        HoldResult::Draining => {
            let detail = "the daemon is stopping";
            (
                problem(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(5),
                "draining",
            )
        }
        HoldResult::Abandoned => {
            let detail = "whoever asked had gone";
            (problem(StatusCode::SERVICE_UNAVAILABLE, detail), "abandoned")
        }
        _ if has(WakeState::Pushed) => {
            let detail = "the push was sent, and no phone registered in time";
            (problem(StatusCode::GATEWAY_TIMEOUT, detail), "not-registered")
        }
        _ if has(WakeState::Refused) => {
            let detail = "no push was taken: devices says why";
            (problem(StatusCode::BAD_GATEWAY, detail), "refused")
        }
        _ if has(WakeState::Logged) => {
            let detail = "no app with credentials serves this phone: its push was only written to the log";
            (problem(StatusCode::BAD_GATEWAY, detail), "logged")
        }
        _ if has(WakeState::Limited) => {
            let detail = "not pushed: wake.device-pushes-per-minute or wake.caller-pushes-per-minute is reached";
            let problem = problem(StatusCode::TOO_MANY_REQUESTS, detail);
            (problem.retry_after(AFTER_LIMIT), "limited")
        }
        _ if has(WakeState::SetAside) => {
            let detail = "not pushed: the phone's token was refused before, and is not used until its next REGISTER";
            (problem(StatusCode::BAD_GATEWAY, detail), "set-aside")
        }
        _ => {
            let detail = "no phone of this user can be woken now";
            (problem(StatusCode::GATEWAY_TIMEOUT, detail), "unreachable")
        }
    }
}

impl WokenPhone {
    fn of(party: &WokenParty, site: &Site) -> Self {
        Self {
            id: party.device.as_ref().map(|key| key.public_id().to_string()),
            device: party.label.to_string(),
            state: party.state.as_str(),
            user_agent: party.user_agent.to_string(),
            contact: party.target.as_ref().map(|target| target.uri().to_owned()),
            node: party.target.as_ref().map(|target| node(target, site)),
            pushes: party.pushes,
            push_to_register_ms: party.to_register.map(millis),
            problem: party.problem.as_deref().map(with_date),
        }
    }
}

/// Where a phone is registered: the node that told of it, or FreeSWITCH.
fn node(target: &Target, site: &Site) -> String {
    if site.has_freeswitch {
        site.nodes.get(target.node()).label()
    } else {
        target.profile().to_owned()
    }
}
