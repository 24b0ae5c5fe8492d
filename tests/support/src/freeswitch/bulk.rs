//! Load: many registrations at a rate, many calls held at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::core::Core;
use super::event::Event;
use super::held::{Call, Held};
use super::phone::PhoneSpec;

/// A burst of registrations.
#[derive(Debug, Clone)]
pub struct Burst {
    /// How many to send.
    pub count: usize,
    /// How many a second; 0 is as fast as possible.
    pub per_second: usize,
    /// The phone's template. User names are `user` followed by a number from 0.
    pub spec: PhoneSpec,
    /// The first number.
    pub first: usize,
    /// Whether they are stored for `show registrations`.
    pub keep: bool,
}

/// What a burst sent.
pub struct BurstReport {
    /// The events in order. `written_at` is the time when the first client got its bytes.
    pub events: Vec<Arc<Event>>,
    /// How long it took to fire the events.
    pub took: Duration,
}

pub(crate) async fn register_burst(core: &Arc<Core>, burst: Burst) -> BurstReport {
    let started = Instant::now();
    let mut events = Vec::with_capacity(burst.count);
    for n in 0..burst.count {
        let due = (n * 1_000_000_000)
            .checked_div(burst.per_second)
            .map(|nanos| Duration::from_nanos(nanos as u64));
        let early = due.map_or(Duration::ZERO, |due| due.saturating_sub(started.elapsed()));
        if early > Duration::from_millis(1) {
            tokio::time::sleep(early).await;
        } else if n % 64 == 0 {
            tokio::task::yield_now().await;
        }
        let mut spec = burst.spec.clone();
        let number = burst.first + n;
        spec.user = format!("{}{number}", spec.user);
        spec.call_id = format!("{}-{number}", spec.call_id);
        let registration = core.registration(&spec);
        events.push(if burst.keep {
            core.register(&registration, false)
        } else {
            core.announce(&registration, false)
        });
    }
    BurstReport {
        events,
        took: started.elapsed(),
    }
}

pub(crate) async fn hold_many(core: &Arc<Core>, count: usize, call: impl Fn(usize) -> Call) -> Vec<Held> {
    let mut all = Vec::with_capacity(count);
    for n in 0..count {
        all.push(Held::start(core, &call(n)));
        if n % 8 == 7 {
            // At most 4,000 a second. If a client's accept queue overflows, it learns of a connection only when its
            // kernel sends the SYN-ACK again, seconds later: FreeSWITCH waits for `connect` and sends nothing first.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    all
}
