//! The FreeSWITCHes, and the other fswakes that listen to them.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::Site;
use crate::esl::nodes::{Node, RefusedLegs};

#[derive(Debug, Serialize)]
pub(super) struct ClusterJson {
    freeswitch: Vec<NodeJson>,
    peers: Vec<PeerJson>,
    refused_legs: BTreeMap<&'static str, RefusedLegs>,
}

/// One FreeSWITCH.
#[derive(Debug, Serialize)]
pub(super) struct NodeJson {
    /// Its name, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    address: String,
    up: bool,
}

/// Another fswake at one of them.
#[derive(Debug, Serialize)]
struct PeerJson {
    name: String,
    node: String,
    same_key: bool,
    clock_ahead_ms: i64,
}

/// All FreeSWITCHes; none without.
pub(super) fn nodes(site: &Site) -> Vec<NodeJson> {
    let node = |node: &Node| NodeJson {
        name: node.own_name().map(str::to_owned),
        address: node.address(),
        up: node.is_up(),
    };
    site.freeswitches().map(node).collect()
}

/// What this fswake is connected to, and whom it has heard.
pub(super) async fn show(State(site): State<Arc<Site>>) -> Json<ClusterJson> {
    let peers = site.nodes.peers.list().into_iter().map(|peer| PeerJson {
        node: site.nodes.get(peer.node).label(),
        name: peer.name,
        same_key: peer.same_key,
        clock_ahead_ms: peer.clock_ahead_ms,
    });
    Json(ClusterJson {
        freeswitch: nodes(&site),
        peers: peers.collect(),
        refused_legs: site.nodes.refused_legs(),
    })
}
