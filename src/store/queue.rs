//! What waits to be written: the newest change of each device, and journal lines.
//!
//! A change replaces the waiting one of the same device, and moves to the end. So a token that went from one owner to
//! another and back is written in the right order. The queue is bounded: devices are written first, and journal lines
//! are dropped long before devices are.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use super::{JournalEntry, StoreOp};
use crate::types::{Device, DeviceKey, UnixMicros};

/// A change to one device.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// Its new row.
    Put(Arc<Device>),
    /// Its row is deleted. The time of the change.
    Delete(UnixMicros),
}

/// What one transaction writes.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Changes of devices with their place in the order, oldest first.
    pub(super) changes: Vec<(u64, DeviceKey, Change)>,
    /// Journal lines, oldest first.
    pub(super) journal: Vec<JournalEntry>,
}

impl Batch {
    /// How many changes and lines it has.
    pub(super) fn len(&self) -> usize {
        self.changes.len() + self.journal.len()
    }
}

/// The waiting changes.
#[derive(Debug)]
pub(super) struct Queue {
    changes: BTreeMap<u64, (DeviceKey, Change)>,
    newest: HashMap<DeviceKey, u64>,
    next: u64,
    journal: VecDeque<JournalEntry>,
    max_journal: usize,
    max_devices: usize,
    /// Journal lines dropped since the start.
    pub(super) dropped_journal: u64,
    /// Changes of devices dropped since the start.
    pub(super) dropped_devices: u64,
}

impl Queue {
    /// An empty queue with limits for journal lines and for devices with changes.
    pub(super) fn new(max_journal: usize, max_devices: usize) -> Self {
        Self {
            changes: BTreeMap::new(),
            newest: HashMap::new(),
            next: 0,
            journal: VecDeque::new(),
            max_journal,
            max_devices,
            dropped_journal: 0,
            dropped_devices: 0,
        }
    }

    /// How many changes and lines wait.
    pub(super) fn len(&self) -> usize {
        self.changes.len() + self.journal.len()
    }

    /// Whether a device's change waits.
    pub(super) fn has_changes(&self) -> bool {
        !self.changes.is_empty()
    }

    /// Adds a change.
    pub(super) fn push(&mut self, op: StoreOp) {
        match op {
            StoreOp::Put(device) => self.push_change(device.key(), Change::Put(device)),
            StoreOp::Delete(key, changed) => self.push_change(key, Change::Delete(changed)),
            StoreOp::Journal(entry) => self.journal.push_back(entry),
        }
        self.make_room();
    }

    /// Removes the changes for one transaction: at most `max`, devices first.
    pub(super) fn take(&mut self, max: usize) -> Batch {
        let mut batch = Batch::default();
        while batch.changes.len() < max
            && let Some((seq, (key, change))) = self.changes.pop_first()
        {
            self.newest.remove(&key);
            batch.changes.push((seq, key, change));
        }
        let lines = (max - batch.changes.len()).min(self.journal.len());
        batch.journal.extend(self.journal.drain(..lines));
        batch
    }

    /// Puts a batch that could not be written back in its place, except for what a newer change has replaced.
    pub(super) fn restore(&mut self, batch: Batch) {
        for (seq, key, change) in batch.changes {
            if !self.newest.contains_key(&key) {
                self.newest.insert(key.clone(), seq);
                self.changes.insert(seq, (key, change));
            }
        }
        for entry in batch.journal.into_iter().rev() {
            self.journal.push_front(entry);
        }
        self.make_room();
    }

    fn push_change(&mut self, key: DeviceKey, change: Change) {
        let seq = self.next;
        self.next += 1;
        if let Some(older) = self.newest.insert(key.clone(), seq) {
            self.changes.remove(&older);
        }
        self.changes.insert(seq, (key, change));
    }

    fn make_room(&mut self) {
        while self.journal.len() > self.max_journal {
            self.journal.pop_front();
            self.dropped_journal += 1;
        }
        while self.changes.len() > self.max_devices
            && let Some((_, (key, _))) = self.changes.pop_first()
        {
            self.newest.remove(&key);
            self.dropped_devices += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Step;
    use crate::types::{Aor, Provider, PushParams, PushToken, Tokens};

    fn device(user: &str, token: &str, last_seen: i64) -> Device {
        Device {
            aor: Aor::new(user, "d"),
            push: PushParams {
                provider: Provider::Fcm,
                app: "a".into(),
                team: None,
                tokens: Tokens::Call(PushToken::new(token)),
            },
            user_agent: "".into(),
            register_call_id: "".into(),
            first_seen: 0,
            last_seen,
            set_aside: None,
            changed: 0,
        }
    }

    fn line(at_ms: i64) -> StoreOp {
        StoreOp::Journal(JournalEntry {
            call: None,
            aor: Aor::new("u", "d"),
            at_ms,
            node: "".into(),
            step: Step::ConnectionLost {},
        })
    }

    /// Users and what is written for them, in order.
    fn written(batch: &Batch) -> Vec<(String, Option<i64>)> {
        let change = |(_, key, change): &(u64, DeviceKey, Change)| {
            let seen = match change {
                Change::Put(device) => Some(device.last_seen),
                Change::Delete(_) => None,
            };
            (key.aor.user.to_string(), seen)
        };
        batch.changes.iter().map(change).collect()
    }

    #[test]
    fn newest_change_of_a_device_is_written_once_and_last() {
        let mut queue = Queue::new(10, 10);
        queue.push(StoreOp::Put(device("a", "t", 1).into()));
        queue.push(StoreOp::Put(device("b", "t", 2).into()));
        queue.push(StoreOp::Put(device("a", "t", 3).into()));
        assert_eq!(written(&queue.take(10)), [("b".into(), Some(2)), ("a".into(), Some(3))]);
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn failed_batch_comes_back_first_without_what_was_replaced_meanwhile() {
        let mut queue = Queue::new(10, 10);
        queue.push(StoreOp::Put(device("a", "1", 1).into()));
        queue.push(StoreOp::Put(device("b", "2", 1).into()));
        queue.push(line(1));
        let batch = queue.take(10);
        queue.push(StoreOp::Delete(device("a", "1", 0).key(), 1));
        queue.push(line(2));
        queue.restore(batch);
        let again = queue.take(10);
        assert_eq!(written(&again), [("b".into(), Some(1)), ("a".into(), None)]);
        assert_eq!(again.journal.iter().map(|l| l.at_ms).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn full_queue_drops_the_oldest_lines_and_counts_them_while_devices_stay() {
        let mut queue = Queue::new(2, 3);
        for n in 0..3 {
            queue.push(StoreOp::Put(device("a", &n.to_string(), n).into()));
        }
        for n in 0..5 {
            queue.push(line(n));
        }
        assert_eq!((queue.dropped_journal, queue.dropped_devices, queue.len()), (3, 0, 5));
        queue.push(StoreOp::Put(device("z", "z", 9).into()));
        assert_eq!(queue.dropped_devices, 1);
        assert_eq!(written(&queue.take(2)), [("a".into(), Some(1)), ("a".into(), Some(2))]);
    }
}
