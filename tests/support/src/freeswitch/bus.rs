//! Decides which connection gets which event: subscriptions, filters and queues (mod_event_socket.c, `event_handler`).
//!
//! FreeSWITCH offers every event to every listener in turn. With ten thousand held calls that would cost this process
//! more than the daemon under test. So listeners that follow only one channel or job are found through an index.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::event::Event;

/// FreeSWITCH's MAX_QUEUE_LEN and MAX_MISSED.
const MAX_QUEUE: usize = 100_000;
const MAX_MISSED: usize = 500;

/// A listener's subscriptions and filters.
#[derive(Debug, Default)]
pub(crate) struct Subscription {
    pub(crate) events: HashSet<String>,
    pub(crate) subclasses: HashSet<String>,
    /// Header name and value, in the order of the commands.
    pub(crate) filters: Vec<(String, String)>,
    pub(crate) myevents: bool,
    pub(crate) json: bool,
}

impl Subscription {
    /// Whether the event is delivered. The checks and their order are those of the source.
    fn wants(&self, event: &Event, session: Option<&str>) -> bool {
        let everything = self.events.contains("ALL");
        let subclass_ok = event
            .subclass
            .as_ref()
            .is_none_or(|name| self.subclasses.contains(name));
        let mut send = everything || (self.events.contains(&event.name) && (event.name != "CUSTOM" || subclass_ok));
        if send && !self.filters.is_empty() {
            send = self.passes_filters(event);
        }
        if send && self.myevents {
            send = event
                .get("Unique-ID")
                .is_some_and(|uuid| session.is_none_or(|own| own == uuid));
            send |= session.is_some() && event.get("Job-Owner-UUID") == session;
        }
        send
    }

    /// Filters are OR-ed: one match lets the event through, unless a `-` filter matches.
    fn passes_filters(&self, event: &Event) -> bool {
        let mut send = false;
        for (name, wanted) in &self.filters {
            let Some(value) = event.get(name) else { continue };
            let prefix = wanted.len() - wanted.trim_start_matches(['+', '-', ' ']).len();
            let positive = wanted[..prefix].chars().rfind(|c| *c != ' ') != Some('-');
            if send && positive {
                continue;
            }
            if value.eq_ignore_ascii_case(&wanted[prefix..]) {
                if !positive {
                    return false;
                }
                send = true;
            }
        }
        send
    }

    /// Header values of which a matching event must have at least one, if there is such a set.
    fn keys(&self, session: Option<&str>) -> Option<Vec<(String, String)>> {
        if self.myevents {
            let session = session?.to_ascii_lowercase();
            return Some(vec![
                ("unique-id".to_owned(), session.clone()),
                ("job-owner-uuid".to_owned(), session),
            ]);
        }
        let plain = |(_, value): &(String, String)| !value.starts_with(['+', '-', ' ', '/']);
        let usable = !self.filters.is_empty() && self.filters.iter().all(plain);
        usable.then(|| {
            self.filters
                .iter()
                .map(|(n, v)| (n.to_ascii_lowercase(), v.to_ascii_lowercase()))
                .collect()
        })
    }
}

/// One event-socket connection, as the rest of the server sees it.
#[derive(Debug, Default)]
pub(crate) struct Listener {
    pub(crate) id: u64,
    /// The held channel that an outbound connection controls.
    pub(crate) session: Option<String>,
    subscription: Mutex<Subscription>,
    queue: Mutex<Queue>,
    /// Notified when an event was queued or a flag changed.
    pub(crate) bell: Notify,
    pub(crate) closing: AtomicBool,
    /// FreeSWITCH shuts down.
    pub(crate) farewell: AtomicBool,
    /// The held channel has ended.
    pub(crate) down: AtomicBool,
}

#[derive(Debug, Default)]
struct Queue {
    events: VecDeque<Arc<Event>>,
    lost: usize,
}

impl Listener {
    pub(crate) fn take_events(&self) -> VecDeque<Arc<Event>> {
        std::mem::take(&mut lock(&self.queue).events)
    }

    pub(crate) fn has_events(&self) -> bool {
        !lock(&self.queue).events.is_empty()
    }

    pub(crate) fn is_json(&self) -> bool {
        lock(&self.subscription).json
    }

    /// The channels whose events the listener subscribed to.
    pub(crate) fn channels(&self) -> Vec<String> {
        let subscription = lock(&self.subscription);
        let of_a_channel = subscription.filters.iter().filter(|(name, _)| name == "Unique-ID");
        of_a_channel.map(|(_, channel)| channel.clone()).collect()
    }

    /// Closes it as a FreeSWITCH that shuts down.
    pub(crate) fn shut_down(&self) {
        self.farewell.store(true, Ordering::SeqCst);
        self.close();
    }

    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
        self.bell.notify_one();
    }

    pub(crate) fn channel_is_down(&self) {
        self.down.store(true, Ordering::SeqCst);
        self.bell.notify_one();
    }

    fn push(&self, event: &Arc<Event>) {
        let mut queue = lock(&self.queue);
        if queue.events.len() < MAX_QUEUE {
            queue.lost = 0;
            queue.events.push_back(Arc::clone(event));
        } else {
            queue.lost += 1;
            if queue.lost > MAX_MISSED {
                self.closing.store(true, Ordering::SeqCst);
            }
        }
        self.bell.notify_one();
    }
}

/// All listeners.
#[derive(Debug, Default)]
pub(crate) struct Bus {
    /// Events that wait while FreeSWITCH handles the first presence event.
    held_up: Mutex<Option<Vec<Arc<Event>>>>,
    tables: Mutex<Tables>,
    next_id: AtomicU64,
}

#[derive(Debug, Default)]
struct Tables {
    all: HashMap<u64, Arc<Listener>>,
    /// Listeners that every event must be offered to.
    open: BTreeSet<u64>,
    /// Header name, then value, then the listeners for it.
    keyed: HashMap<String, HashMap<String, BTreeSet<u64>>>,
    keys_of: HashMap<u64, Vec<(String, String)>>,
    subscribers: HashMap<String, usize>,
}

impl Bus {
    pub(crate) fn add(&self, session: Option<String>) -> Arc<Listener> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed) + 1;
        let listener = Arc::new(Listener {
            id,
            session,
            ..Listener::default()
        });
        lock(&self.tables).all.insert(id, Arc::clone(&listener));
        listener
    }

    pub(crate) fn remove(&self, listener: &Listener) {
        let mut tables = lock(&self.tables);
        tables.forget(listener);
        tables.all.remove(&listener.id);
        listener.take_events();
    }

    /// Changes a listener's subscription and updates the index.
    pub(crate) fn change<R>(&self, listener: &Listener, change: impl FnOnce(&mut Subscription) -> R) -> R {
        let mut tables = lock(&self.tables);
        tables.forget(listener);
        let mut subscription = lock(&listener.subscription);
        let result = change(&mut subscription);
        for name in &subscription.events {
            *tables.subscribers.entry(name.clone()).or_default() += 1;
        }
        if !subscription.events.is_empty() {
            match subscription.keys(listener.session.as_deref()) {
                Some(keys) => {
                    for (name, value) in &keys {
                        let values = tables.keyed.entry(name.clone()).or_default();
                        values.entry(value.clone()).or_default().insert(listener.id);
                    }
                    tables.keys_of.insert(listener.id, keys);
                }
                None => {
                    tables.open.insert(listener.id);
                }
            }
        }
        result
    }

    /// Whether any listener wants events of this name.
    pub(crate) fn anybody_wants(&self, name: &str) -> bool {
        let tables = lock(&self.tables);
        tables.subscribers.contains_key(name) || tables.subscribers.contains_key("ALL")
    }

    /// Holds events back, or delivers those that were held back, in order.
    pub(crate) fn hold_up(&self, on: bool) {
        let mut held_up = lock(&self.held_up);
        if on {
            held_up.get_or_insert_default();
        } else {
            for event in held_up.take().into_iter().flatten() {
                self.deliver(&event);
            }
        }
    }

    pub(crate) fn fire(&self, event: &Arc<Event>) {
        match &mut *lock(&self.held_up) {
            Some(waiting) => waiting.push(Arc::clone(event)),
            None => self.deliver(event),
        }
    }

    fn deliver(&self, event: &Arc<Event>) {
        let tables = lock(&self.tables);
        let mut candidates = tables.open.clone();
        for (name, values) in &tables.keyed {
            let value = event.get(name).map(str::to_ascii_lowercase);
            candidates.extend(value.and_then(|value| values.get(&value)).into_iter().flatten());
        }
        for listener in candidates.iter().filter_map(|id| tables.all.get(id)) {
            if lock(&listener.subscription).wants(event, listener.session.as_deref()) {
                listener.push(event);
            }
        }
    }

    pub(crate) fn listeners(&self) -> Vec<Arc<Listener>> {
        lock(&self.tables).all.values().cloned().collect()
    }
}

impl Tables {
    fn forget(&mut self, listener: &Listener) {
        self.open.remove(&listener.id);
        for (name, value) in self.keys_of.remove(&listener.id).unwrap_or_default() {
            let Some(values) = self.keyed.get_mut(&name) else {
                continue;
            };
            if let Some(waiting) = values.get_mut(&value) {
                waiting.remove(&listener.id);
                if waiting.is_empty() {
                    values.remove(&value);
                }
            }
        }
        for name in &lock(&listener.subscription).events {
            if let Some(count) = self.subscribers.get_mut(name) {
                *count -= 1;
                if *count == 0 {
                    self.subscribers.remove(name);
                }
            }
        }
    }
}

/// A lock that a panicking test does not poison for the others.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
