//! The configured apps, and whether their credentials work.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::Site;
use super::cache::Census;
use super::census;
use crate::push::apps::status::{AppState, Problem};
use crate::push::{PushError, PushErrorKind};

#[derive(Debug, Serialize)]
pub(super) struct AppsJson {
    apps: Vec<AppJson>,
}

#[derive(Debug, Serialize)]
struct AppJson {
    name: String,
    provider: String,
    tenant: Option<String>,
    domains: Vec<String>,
    credentials: &'static str,
    ok: bool,
    state: &'static str,
    why: Option<String>,
    expires: Option<i64>,
    days_left: Option<i64>,
    problems: Vec<AppProblem>,
    checked: Option<i64>,
    last_success: Option<i64>,
    last_failure: Option<LastFailure>,
    /// How many phones it serves; `null` while they cannot be counted.
    phones: Option<u64>,
}

#[derive(Debug, Serialize)]
struct AppProblem {
    kind: &'static str,
    since: i64,
    reason: String,
    /// The code of the error that pushes get because of it; `null` for none.
    code: Option<&'static str>,
    /// The HTTP status of a provider that answered.
    status: Option<u16>,
}

#[derive(Debug, Serialize)]
struct LastFailure {
    at: i64,
    class: &'static str,
    reason: String,
}

/// All apps, in the order of the configuration: the first that serves a phone is used.
pub(super) async fn list(State(site): State<Arc<Site>>) -> Json<AppsJson> {
    let census = census::take(&site).await.ok();
    let app = |state: AppState| {
        let phones = |census: &Arc<Census>| census.by_app.get(&state.name).copied().unwrap_or(0);
        let phones = census.as_ref().map(phones);
        AppJson::new(state, phones)
    };
    let apps = site.pushers.states().into_iter().map(app).collect();
    Json(AppsJson { apps })
}

impl AppJson {
    fn new(state: AppState, phones: Option<u64>) -> Self {
        Self {
            phones,
            ok: state.is_ok(),
            state: state.status.as_str(),
            why: state.why,
            name: state.name.to_string(),
            provider: state.provider.name().to_owned(),
            tenant: state.tenant,
            domains: state.domains,
            credentials: state.credentials,
            expires: state.expires,
            days_left: state.days_left,
            problems: state.problems.into_iter().map(AppProblem::new).collect(),
            checked: state.checked,
            last_success: state.last_success,
            last_failure: state.last_failure.map(|f| LastFailure {
                at: f.at,
                class: f.class,
                reason: f.reason,
            }),
        }
    }
}

impl AppProblem {
    fn new(problem: Problem) -> Self {
        let error = problem.error.as_ref().map(PushError::kind);
        Self {
            kind: problem.kind.as_str(),
            since: problem.since,
            reason: problem.reason,
            code: error.map(PushErrorKind::code),
            status: error.and_then(PushErrorKind::status),
        }
    }
}
