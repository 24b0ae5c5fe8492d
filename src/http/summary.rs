//! Statistics for the status page.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use tokio::time::Instant;

use super::cache::Window;
use super::cluster::{NodeJson, nodes};
use super::wakes::read;
use super::{ProblemDetails, Site};
use crate::clock::unix_now;

/// The windows in seconds, each with the time for which an answer is reused. A busy site's day is long to read, so it
/// is read once for all open pages.
const WINDOWS: [(i64, Duration); 2] = [(3_600, Duration::from_secs(10)), (86_400, Duration::from_secs(60))];

#[derive(Debug, Serialize)]
pub(super) struct SummaryJson {
    version: &'static str,
    freeswitch: Vec<NodeJson>,
    windows: Vec<Window>,
    /// Since when calls of other daemons are missing, in milliseconds since 1970 (UTC).
    others_missing_since_ms: Option<i64>,
}

/// The results of calls in the last hour and day, and which FreeSWITCH is connected.
pub(super) async fn show(State(site): State<Arc<Site>>) -> Result<Json<SummaryJson>, ProblemDetails> {
    // The client may disconnect before a long journal is read. Finish and cache the result anyway, so that the next
    // client does not start over.
    let reading = tokio::spawn(windows(Arc::clone(&site)));
    let windows = reading.await.unwrap_or_else(|_| Err(ProblemDetails::failed()))?;
    let missing = match &site.shared {
        Some(_) => read(&site, |journal| Ok(journal.others_missing_since_ms())).await?,
        None => None,
    };
    Ok(Json(SummaryJson {
        version: env!("CARGO_PKG_VERSION"),
        freeswitch: nodes(&site),
        windows,
        others_missing_since_ms: missing,
    }))
}

async fn windows(site: Arc<Site>) -> Result<Vec<Window>, ProblemDetails> {
    let mut windows = Vec::new();
    for (n, (seconds, good_for)) in WINDOWS.into_iter().enumerate() {
        let mut kept = site.summaries.0[n].lock().await;
        let window = match &*kept {
            Some((at, window)) if at.elapsed() < good_for => window.clone(),
            _ => {
                let since_ms = (unix_now() - seconds).saturating_mul(1000);
                let summary = read(&site, move |journal| Ok(journal.summary(since_ms)?)).await?;
                let window = Window { seconds, summary };
                *kept = Some((Instant::now(), window.clone()));
                window
            }
        };
        windows.push(window);
    }
    Ok(windows)
}
