//! Metrics of the store that several daemons share.

use std::sync::atomic::Ordering;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::names::Name;
use super::registry::{Counters, RegistryBuilder};
use crate::store::shared::{Arrival, JournalHealth, SharedHealth};

pub(super) struct SharedMetrics {
    failing: Gauge,
    notified: Gauge,
    waiting: Gauge,
    sent: Counter,
    received: Counter,
    refused: Counter,
    journal: JournalMetrics,
}

struct JournalMetrics {
    failing: Gauge,
    waiting: Gauge,
    sent: Counter,
    received: Counter,
    refused: Counter,
}

impl SharedMetrics {
    pub(super) fn register(r: &mut RegistryBuilder) -> Self {
        let (failing, notified) = (
            r.add(Name::SharedFailing, Gauge::default()),
            r.add(Name::SharedNotified, Gauge::default()),
        );
        let waiting = r.add(Name::SharedWaiting, Gauge::default());
        let changes: Counters<1> = r.add(Name::SharedChanges, Family::default());
        let way = |way: &'static str| changes.get_or_create_owned(&[("way", way.into())]);
        Self {
            failing,
            notified,
            waiting,
            sent: way("sent"),
            received: way("received"),
            refused: way("refused"),
            journal: JournalMetrics::register(r),
        }
    }

    pub(super) fn set(&self, health: &SharedHealth) {
        self.failing.set(health.failing.is_some().into());
        self.notified.set((health.arrival == Arrival::Notify).into());
        self.waiting.set(i64::try_from(health.waiting).unwrap_or(i64::MAX));
        for (counter, count) in [
            (&self.sent, health.sent),
            (&self.received, health.received),
            (&self.refused, health.refused),
        ] {
            counter.inner().store(count, Ordering::Relaxed);
        }
        self.journal.set(&health.journal);
    }
}

impl JournalMetrics {
    fn register(r: &mut RegistryBuilder) -> Self {
        let failing = r.add(Name::JournalFailing, Gauge::default());
        let waiting = r.add(Name::JournalWaiting, Gauge::default());
        let lines: Counters<1> = r.add(Name::JournalLines, Family::default());
        let way = |way: &'static str| lines.get_or_create_owned(&[("way", way.into())]);
        Self {
            failing,
            waiting,
            sent: way("sent"),
            received: way("received"),
            refused: way("refused"),
        }
    }

    fn set(&self, health: &JournalHealth) {
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
