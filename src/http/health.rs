//! Liveness and readiness.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::{Site, guard};
use crate::esl::nodes::Node;
use crate::push::apps::status::AppState;

/// Answers while the process lives.
pub(super) async fn alive() -> &'static str {
    "ok\n"
}

/// One condition of readiness.
#[derive(Debug, Serialize)]
struct HealthCheck {
    name: String,
    ok: bool,
    /// The problem.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

impl HealthCheck {
    fn new(name: impl Into<String>, problem: Option<String>) -> Self {
        Self {
            name: name.into(),
            ok: problem.is_none(),
            problem,
        }
    }
}

/// Whether sleeping phones would be woken now, and the reasons if not. Without the token the answer is yes or no only.
pub(super) async fn ready(State(site): State<Arc<Site>>, headers: HeaderMap) -> Response {
    let Readiness { ready, checks } = Readiness::of(&site);
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let may_know = site
        .token
        .as_ref()
        .is_none_or(|token| guard::bears(&headers, token.expose()));
    let body = if may_know {
        serde_json::json!({ "ready": ready, "checks": checks })
    } else {
        serde_json::json!({ "ready": ready })
    };
    (status, Json(body)).into_response()
}

struct Readiness {
    ready: bool,
    checks: Vec<HealthCheck>,
}

impl Readiness {
    /// If one app of several wakes no phone, it is named, but the daemon stays ready: sending calls elsewhere would
    /// move the calls of all other apps too, and would not help this one. `AppState::would_wake` decides which problems
    /// count.
    fn of(site: &Site) -> Self {
        let failing = site.store.health().failing;
        let store = HealthCheck::new("store", failing.map(|f| format!("cannot be written: {}", f.reason)));
        let mut checks = event_sockets(site);
        // With one of several the others' calls are woken.
        let is_up = checks.is_empty() || checks.iter().any(|check| check.ok);
        let is_up = is_up && store.ok;
        checks.push(store);
        // Without it calls are woken from memory.
        let shared = site.shared.as_ref().map(|shared| shared.health().devices.failing);
        checks.extend(shared.map(|failing| HealthCheck::new("shared store", failing.map(|f| f.reason))));
        let apps = site.pushers.states();
        let only_logs = apps.iter().all(AppState::only_logs);
        let wakes = if only_logs {
            let phones = site.metrics.known_devices();
            let problem = (phones > 0).then(|| {
                format!("no app has a provider: pushes are only written to the log (phones with push tokens: {phones})")
            });
            checks.push(HealthCheck::new("apps", problem));
            phones == 0
        } else {
            apps.iter().any(AppState::would_wake)
        };
        checks.extend(apps.iter().map(|app| {
            let problem = app.problems.first();
            let problem = problem.map(|p| format!("{}: {}", p.kind.as_str(), p.reason));
            HealthCheck::new(format!("app {}", app.name), problem)
        }));
        Self {
            ready: is_up && wakes,
            checks,
        }
    }
}

/// One check for each FreeSWITCH.
fn event_sockets(site: &Site) -> Vec<HealthCheck> {
    let check = |node: &Node| {
        let name = node
            .own_name()
            .map_or_else(|| "esl".into(), |name| format!("esl {name}"));
        let problem = (!node.is_up()).then(|| "no connection to FreeSWITCH's event socket".into());
        HealthCheck::new(name, problem)
    };
    site.freeswitches().map(check).collect()
}
