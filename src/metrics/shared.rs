//! Metrics of the store that several daemons share.

use std::sync::atomic::Ordering;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::names::Name;
use super::registry::{Counters, RegistryBuilder};
use crate::store::shared::{Arrival, ExchangeHealth, SharedHealth};

pub(super) struct SharedMetrics {
    devices: ExchangeMetrics,
    journal: ExchangeMetrics,
    notified: Gauge,
}

/// Of devices, or of the journal's lines.
struct ExchangeMetrics {
    failing: Gauge,
    waiting: Gauge,
    sent: Counter,
    received: Counter,
    refused: Counter,
}

impl SharedMetrics {
    pub(super) fn register(r: &mut RegistryBuilder) -> Self {
        Self {
            devices: ExchangeMetrics::register(r, Name::SharedFailing, Name::SharedWaiting, Name::SharedChanges),
            journal: ExchangeMetrics::register(r, Name::JournalFailing, Name::JournalWaiting, Name::JournalLines),
            notified: r.add(Name::SharedNotified, Gauge::default()),
        }
    }

    pub(super) fn set(&self, health: &SharedHealth) {
        self.devices.set(&health.devices);
        self.journal.set(&health.journal);
        self.notified.set((health.arrival == Arrival::Notify).into());
    }
}

impl ExchangeMetrics {
    fn register(r: &mut RegistryBuilder, failing: Name, waiting: Name, ways: Name) -> Self {
        let (failing, waiting) = (r.add(failing, Gauge::default()), r.add(waiting, Gauge::default()));
        let ways: Counters<1> = r.add(ways, Family::default());
        let way = |way: &'static str| ways.get_or_create_owned(&[("way", way.into())]);
        Self {
            failing,
            waiting,
            sent: way("sent"),
            received: way("received"),
            refused: way("refused"),
        }
    }

    fn set(&self, health: &ExchangeHealth) {
        self.failing.set(health.failing.is_some().into());
        self.waiting.set(i64::try_from(health.waiting).unwrap_or(i64::MAX));
        for (counter, count) in [
            (&self.sent, health.sent),
            (&self.received, health.received),
            (&self.refused, health.refused),
        ] {
            counter.inner().store(count, Ordering::Relaxed);
        }
    }
}
