//! Metrics of each FreeSWITCH.

use std::sync::atomic::Ordering;

use prometheus_client::metrics::family::Family;

use super::NodeSample;
use super::names::Name;
use super::registry::{Counters, Gauges, RegistryBuilder};

pub(super) struct NodeMetrics {
    up: Gauges<1>,
    held: Gauges<1>,
    registrations: Counters<1>,
}

impl NodeMetrics {
    pub(super) fn register(r: &mut RegistryBuilder) -> Self {
        Self {
            up: r.add(Name::NodeUp, Family::default()),
            held: r.add(Name::NodeHeldCalls, Family::default()),
            registrations: r.add(Name::NodeRegistrations, Family::default()),
        }
    }

    pub(super) fn set(&self, nodes: &[NodeSample]) {
        for node in nodes {
            let labels = [("node", node.node.clone().into())];
            self.up.get_or_create(&labels).set(node.is_up.into());
            let held = i64::try_from(node.held).unwrap_or(i64::MAX);
            self.held.get_or_create(&labels).set(held);
            let registrations = self.registrations.get_or_create(&labels);
            registrations.inner().store(node.registrations, Ordering::Relaxed);
        }
    }
}
