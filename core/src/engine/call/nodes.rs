//! Phones that are registered at another FreeSWITCH than the call's.

use std::sync::Arc;

use super::{Call, Phase};
use crate::engine::directory::AorKey;
use crate::engine::event::LegEnd;
use crate::engine::node::Via;
use crate::engine::order::Cause;
use crate::engine::party::Leg;
use crate::engine::step::Step;
use crate::engine::world::World;
use crate::types::{Aor, NodeId, Target};

impl Call {
    /// The FreeSWITCH that it is held at.
    pub fn node(&self) -> NodeId {
        self.held.node
    }

    /// How a phone is reached from the call's FreeSWITCH; `None`: not now.
    pub(super) fn route(&self, target: &Target, world: &World) -> Option<Via> {
        world.nodes.route(self.held.node, target, &world.policy.nodes)
    }

    /// Whose phone is registered there. The dialled number may have phones besides those of its user.
    pub(super) fn owner_of(&self, target: &Target, world: &World) -> Aor {
        let has_it = |key: &&AorKey| {
            let entry = world.directory.entry(key);
            entry.is_some_and(|entry| entry.is_bound_to(target, world.now))
        };
        self.keys().find(has_it).unwrap_or(&self.key).aor()
    }

    /// Whether a party's phone is registered where it cannot be rung now. It is pushed, and may register elsewhere.
    pub(super) fn is_out_of_reach(&self, p: usize, world: &World) -> bool {
        // Whoever asked for a wake rings the phone.
        let target = self.parties[p].target().filter(|_| !self.is_request());
        target.is_some_and(|target| self.route(target, world).is_none())
    }

    pub(super) fn note_out_of_reach(&self, p: usize, world: &mut World) {
        let party = &self.parties[p];
        let Some(target) = party.target() else { return };
        let step = Step::NodeOutOfReach {
            device: party.label(),
            node: name(target.node(), world),
        };
        self.note(world, step);
    }

    /// Another FreeSWITCH is back: its phones that could not be rung are rung now.
    pub fn on_node_back(&mut self, node: NodeId, world: &mut World) {
        for p in 0..self.parties.len() {
            let party = &self.parties[p];
            let is_there = party.target().is_some_and(|target| target.node() == node);
            if self.phase != Phase::Holding || !is_there || party.leg != Leg::None || self.mode(world).only_wakes() {
                continue;
            }
            if party.has_registered {
                self.ring_after_settling(p, world);
            } else {
                self.ring_where_known(p, world);
            }
        }
        self.settle(world);
    }

    /// Another FreeSWITCH is gone: so are the legs through it. Their phones are pushed, and may register elsewhere.
    pub fn on_node_lost(&mut self, node: NodeId, world: &mut World) {
        let end = LegEnd {
            cause: NODE_LOST.into(),
            sip_status: None,
        };
        for p in 0..self.parties.len() {
            let lost = self.parties[p].leg.own().filter(|leg| leg.via == Via::Node(node));
            if let Some(n) = lost.map(|leg| leg.n) {
                self.kill(n, Cause::Ours(NODE_LOST), world);
                self.on_leg_ended(n, &end, world);
            }
        }
    }
}

/// How legs through a FreeSWITCH that is gone end.
const NODE_LOST: &str = "NORMAL_TEMPORARY_FAILURE";

/// A FreeSWITCH's name for the journal.
pub(super) fn name(node: NodeId, world: &World) -> Arc<str> {
    let known = world.policy.nodes.get(node.index());
    known.map(|node| node.name.clone()).unwrap_or_default()
}
