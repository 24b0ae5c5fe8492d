//! A FreeSWITCH is gone, or back.

use super::Engine;
use crate::types::{CallId, NodeId};

impl Engine {
    /// Its registrations were read: its phones can be rung from the other FreeSWITCHes, too.
    pub(super) fn node_is_back(&mut self, node: NodeId) {
        if self.world.nodes.up.insert(node) {
            for id in self.calls_elsewhere(node) {
                self.with(id, |call, world| call.on_node_back(node, world));
            }
        }
    }

    /// It is not connected any more: legs through it are over.
    pub(super) fn node_is_lost(&mut self, node: NodeId) {
        self.world.directory.stop_resync(node);
        if self.world.nodes.up.remove(&node) {
            for id in self.calls_elsewhere(node) {
                self.with(id, |call, world| call.on_node_lost(node, world));
            }
        }
    }

    /// The calls that are held at another FreeSWITCH, in the order of their ids.
    fn calls_elsewhere(&self, node: NodeId) -> Vec<CallId> {
        let elsewhere = self.calls.iter().filter(|(_, held)| held.call.node() != node);
        let mut ids: Vec<_> = elsewhere.map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids
    }
}
