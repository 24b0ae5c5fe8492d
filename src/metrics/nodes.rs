//! Metrics of each FreeSWITCH.

use std::sync::atomic::Ordering;

use prometheus_client::metrics::family::Family;

use super::names::Name;
use super::registry::{Counters, Gauges, RegistryBuilder};

/// One FreeSWITCH at scrape time.
#[derive(Debug)]
pub struct NodeSample {
    /// Its name, or its event socket's address.
    pub node: String,
    /// Whether it is connected and its registrations were read.
    pub is_up: bool,
    /// Calls that it holds now.
    pub held: usize,
    /// REGISTERs at it since the start.
    pub registrations: u64,
}

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
