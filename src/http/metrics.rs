//! `/metrics`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;

use super::Site;
use crate::metrics;
use crate::store::shared::SharedStore;

/// Everything that is counted, as Prometheus reads it.
pub(super) async fn text(State(site): State<Arc<Site>>) -> impl IntoResponse {
    let state = metrics::GaugeSample {
        held: *site.waiting.borrow(),
        esl_up: site.esl_up.load(Ordering::Relaxed),
        store: site.store.health(),
        shared: site.shared.as_ref().map(SharedStore::health).unwrap_or_default(),
        apps: site.pushers.states(),
        inputs: site.control.waiting(),
    };
    (
        [(header::CONTENT_TYPE, metrics::CONTENT_TYPE)],
        site.metrics.text(&state),
    )
}
