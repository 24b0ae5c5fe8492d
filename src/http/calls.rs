//! Calls that are held now.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::{ProblemDetails, Site};
use crate::clock::{millis, unix_ms};
use crate::engine::view::{CallView, PartyView, PushState};

#[derive(Debug, Serialize)]
pub(super) struct CallsJson {
    calls: Vec<CallJson>,
}

#[derive(Debug, Serialize)]
struct CallJson {
    #[serde(rename = "call")]
    id: String,
    aor: String,
    /// How it came: by the dialplan, by a dial-string, or as a wake that was asked for.
    way: &'static str,
    caller: String,
    caller_name: String,
    held_at_ms: i64,
    held_ms: u64,
    left_ms: u64,
    state: &'static str,
    devices: Vec<PartyJson>,
}

#[derive(Debug, Serialize)]
struct PartyJson {
    /// Its id under `/v1/devices`; `null` for a phone without a token.
    id: Option<String>,
    device: String,
    state: &'static str,
    user_agent: String,
    pushes: u32,
    /// The state of the last push.
    push: Option<&'static str>,
    /// Why it was refused.
    push_problem: Option<String>,
}

/// All held calls, longest held first.
pub(super) async fn held(State(site): State<Arc<Site>>) -> Result<Json<CallsJson>, ProblemDetails> {
    let calls = site.control.calls().await?;
    Ok(Json(CallsJson {
        calls: calls.into_iter().map(CallJson::from).collect(),
    }))
}

impl From<CallView> for CallJson {
    fn from(call: CallView) -> Self {
        Self {
            id: call.call.to_string(),
            aor: call.aor.to_string(),
            way: call.routing.as_str(),
            caller: call.caller_number.to_string(),
            caller_name: call.caller_name.to_string(),
            held_at_ms: unix_ms(call.at),
            held_ms: millis(call.held),
            left_ms: millis(call.left),
            state: if call.connecting { "connecting" } else { "held" },
            devices: call.parties.iter().map(PartyJson::from).collect(),
        }
    }
}

impl From<&PartyView> for PartyJson {
    fn from(party: &PartyView) -> Self {
        Self {
            id: party.device.as_ref().map(|key| key.public_id().to_string()),
            device: party.label.to_string(),
            state: party.state.as_str(),
            user_agent: party.user_agent.to_string(),
            pushes: party.pushes,
            push: party.last_push.as_ref().map(PushState::as_str),
            push_problem: match &party.last_push {
                Some(PushState::Refused(why)) => Some(why.to_string()),
                _ => None,
            },
        }
    }
}
