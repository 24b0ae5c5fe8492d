//! What the loop writes down: devices, the journal, what is counted.

use std::sync::Arc;

use tracing::warn;

use super::DriverLoop;
use crate::clock::now_ms;
use crate::engine::{Count, Note, Step};
use crate::store::{JournalEntry, StoreOp};
use crate::types::{Aor, CallId, Device};

impl DriverLoop {
    pub(super) fn store_device(&mut self, device: Arc<Device>) {
        if self.d.pushers.serves(&device.push, &device.aor.domain).is_none() {
            self.d.metrics.unknown_app();
            self.warn_of_unserved(&device);
        }
        self.d.store.submit(StoreOp::Put(device));
    }

    /// Logs every new device. Known devices register again and again, so of those it logs one for each app and domain.
    fn warn_of_unserved(&mut self, device: &Device) {
        let (provider, app) = (device.push.provider.name(), crate::types::Printable(&device.push.app));
        let example = (Aor::new("", device.aor.domain.clone()), format!("{provider} {app}"));
        let is_first = self.warned.is_new(example);
        if is_first || device.first_seen == device.last_seen {
            warn!(aor = %device.aor, provider, %app, "no [[app]] serves this device: it will not be woken");
        }
    }

    pub(super) fn count(&self, count: &Count) {
        let device = match count {
            Count::Wake { device, .. } | Count::Late { device, .. } | Count::Refresh { device, .. } => device,
        };
        let served = self.d.pushers.find(&device.provider, &device.app, &device.aor.domain);
        let Some(app) = served else { return };
        let app = app.metrics(|name, provider| self.d.metrics.app(name, provider));
        match count {
            Count::Wake {
                outcome,
                push_to_register,
                ..
            } => app.woken(*outcome, *push_to_register),
            Count::Late { late, .. } => app.late(*late),
            Count::Refresh { came, .. } => app.refreshed(came.is_some()),
        }
    }

    /// The name of the FreeSWITCH that holds a call, for the journal; empty if it has none, or the line is not about a held call.
    fn node_of(&self, call: Option<CallId>) -> Arc<str> {
        let line = call.and_then(|call| self.calls.get(&call));
        let line = line.filter(|line| line.orders.is_some());
        line.map_or_else(Arc::default, |line| Arc::clone(&self.d.nodes.get(line.node).name))
    }

    pub(super) fn note(&self, note: Note) {
        let Note { call, aor, step } = note;
        if aor.is_nobody() {
            return;
        }
        if matches!(step, Step::PushShared { .. }) {
            self.d.metrics.shared();
        }
        if matches!(step, Step::PushLimited { .. }) {
            self.d.metrics.limited();
            warn!(call.id = call.map(tracing::field::display), %aor, "not pushed: the rate limit is reached");
        }
        let at_ms = now_ms();
        self.d.store.submit(StoreOp::Journal(JournalEntry {
            node: self.node_of(call),
            call,
            aor,
            at_ms,
            step,
        }));
    }
}
