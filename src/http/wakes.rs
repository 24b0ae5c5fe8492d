//! Wakes from the journal.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use uuid::Uuid;

use super::{ProblemDetails, Site};
use crate::journal::{Journal, Wake, WakePage};
use crate::types::CallId;

/// The most wakes on a page.
const MOST: usize = 200;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    before: Option<i64>,
    limit: Option<usize>,
}

/// The latest wakes, newest first.
pub(super) async fn recent(
    State(site): State<Arc<Site>>,
    which: Result<Query<Which>, QueryRejection>,
) -> Result<Json<WakePage>, ProblemDetails> {
    let Query(Which { before, limit }) = which?;
    let limit = page_size(limit, MOST)?;
    let page = read(&site, move |journal| Ok(journal.recent(before, limit)?)).await?;
    Ok(Json(page))
}

/// One wake, step by step.
pub(super) async fn timeline(
    State(site): State<Arc<Site>>,
    call: Result<Path<String>, PathRejection>,
) -> Result<Json<Wake>, ProblemDetails> {
    let missing = || ProblemDetails::missing("the journal has no such call");
    let call = Uuid::parse_str(&call?.0).map_err(|_| missing())?;
    let wake = read(&site, move |journal| Ok(journal.wake(CallId(call))?)).await?;
    wake.map(Json).ok_or_else(missing)
}

/// The length of a page: as requested, from 1 to `most`; 50 by default.
pub(super) fn page_size(asked: Option<usize>, most: usize) -> Result<usize, ProblemDetails> {
    match asked.unwrap_or(50) {
        0 => Err(ProblemDetails::wrong("limit must be at least 1")),
        n if n > most => Err(ProblemDetails::wrong(format!("limit must be at most {most}"))),
        n => Ok(n),
    }
}

/// Reads the store on a thread that may block.
pub(super) async fn read<T: Send + 'static>(
    site: &Site,
    question: impl FnOnce(&Journal) -> Result<T, ProblemDetails> + Send + 'static,
) -> Result<T, ProblemDetails> {
    let path = site.store_path.clone();
    let reading = tokio::task::spawn_blocking(move || question(&Journal::open(&path)?));
    reading.await.unwrap_or_else(|_| Err(ProblemDetails::failed()))
}
