//! Several FreeSWITCHes: how a phone is reached from the one that a call is held at.
//!
//! A phone at the call's own FreeSWITCH is dialled as ever. A phone elsewhere is dialled directly if its route leads
//! through an edge proxy that the call's FreeSWITCH may use, and through its own FreeSWITCH otherwise.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::contact;
use crate::types::{NodeId, Target};

/// One FreeSWITCH, as the others see it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct NodePolicy {
    /// Its name.
    pub name: Arc<str>,
    /// The others may send it INVITEs for its phones.
    pub takes_legs: bool,
    /// Edge proxies that it may use: hosts of a Path, in lower case and without brackets.
    pub edges: Vec<Arc<str>>,
}

/// How a leg gets from the call's FreeSWITCH to a phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Via {
    /// Directly.
    Direct,
    /// Through the FreeSWITCH that the phone is registered at.
    Node(NodeId),
}

/// What is known of the FreeSWITCHes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Nodes {
    /// Those whose registrations were read since they were connected.
    pub(super) up: BTreeSet<NodeId>,
}

impl Nodes {
    /// How a phone is reached from this FreeSWITCH; `None`: not now.
    pub fn route(&self, from: NodeId, to: &Target, nodes: &[NodePolicy]) -> Option<Via> {
        let node = to.node();
        if node == from {
            return Some(Via::Direct);
        }
        let own = nodes.get(from.index());
        if own.is_some_and(|own| !own.edges.is_empty() && is_behind(to, &own.edges)) {
            return Some(Via::Direct);
        }
        let takes_legs = nodes.get(node.index()).is_some_and(|node| node.takes_legs);
        (takes_legs && self.up.contains(&node)).then_some(Via::Node(node))
    }
}

/// Whether the first hop of a Contact's route is one of these proxies.
fn is_behind(target: &Target, edges: &[Arc<str>]) -> bool {
    let Some(hop) = contact::first_hop(target.uri()) else {
        return false;
    };
    let host = hop.trim_matches(['[', ']']);
    edges.iter().any(|edge| edge.eq_ignore_ascii_case(host))
}
