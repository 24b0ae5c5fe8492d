//! `/metrics`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;

use super::Site;
use crate::esl::nodes::Node;
use crate::metrics;
use crate::store::shared::SharedStore;

/// Everything that is counted, as Prometheus reads it.
pub(super) async fn text(State(site): State<Arc<Site>>) -> impl IntoResponse {
    let state = metrics::GaugeSample {
        held: *site.waiting.borrow(),
        esl_up: site.has_freeswitch && site.nodes.iter().all(Node::is_up),
        nodes: site.freeswitches().map(sample).collect(),
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

/// The numbers of one FreeSWITCH.
fn sample(node: &Node) -> metrics::NodeSample {
    metrics::NodeSample {
        node: node.label(),
        is_up: node.is_up(),
        held: node.held(),
        registrations: node.registrations(),
    }
}
