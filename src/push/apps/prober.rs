//! Asks every app's provider whether its phones would be woken, before a call does: at the start, after each change of an
//! app or its credentials, while something is wrong, and now and then.
//!
//! A probe (`probe`) has a task of its own and a limit of its own. It takes no slot of the pushes, is counted nowhere, and
//! nothing waits for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::push::apps::pushers::Shared;
use crate::push::transport::retry::jitter;

/// How often it is looked whose turn it is.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// From a failure to the next probe; doubled with each, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// An app that is well is asked again: a key may be revoked while nobody is called.
const WHEN_WELL: Duration = Duration::from_secs(3600);
/// A probe without an outcome by then has none.
const LOST: Duration = Duration::from_secs(60);

/// So many apps are asked at once: those of a large site take turns, and do not fill a line or the provider's patience.
pub(crate) const AT_ONCE: usize = 16;

/// When an app's provider is asked next.
#[derive(Debug)]
pub(crate) struct Plan {
    due: Option<Instant>,
    failures: u32,
}

impl Plan {
    /// Now.
    pub(crate) fn at_once() -> Self {
        Self { due: None, failures: 0 }
    }

    /// Whether it is to be asked now; whoever hears so asks.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let is_due = self.due.is_none_or(|due| due <= now);
        if is_due {
            self.due = Some(now + LOST);
        }
        is_due
    }

    /// All is well, or cannot be known better by asking.
    pub(crate) fn settled(&mut self, now: Instant) {
        // Apps that were asked together are not asked together for ever.
        (self.due, self.failures) = (Some(now + spread(WHEN_WELL)), 0);
    }

    /// A probe has found something wrong.
    pub(crate) fn failed(&mut self, now: Instant) {
        self.due = Some(now + spread(pause(self.failures)));
        self.failures = self.failures.saturating_add(1);
    }

    /// A push has found something wrong: asked soon.
    pub(crate) fn doubted(&mut self, now: Instant) {
        let soon = now + spread(pause(self.failures));
        self.due = self.due.map(|due| due.min(soon));
    }
}

fn pause(failures: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << failures.min(10)).min(LONGEST_PAUSE)
}

/// At random from its upper quarter.
fn spread(pause: Duration) -> Duration {
    pause.mul_f64(0.75 + jitter() / 4.0)
}

/// Never returns.
pub(crate) async fn keep_probing(pushers: &Shared) {
    let mut asking = JoinSet::new();
    let mut first = 0;
    loop {
        let now = pushers.clock.now().monotonic;
        let apps = pushers.apps();
        // From where the last look ended, so that nobody's turn is taken by those before him.
        for at in (0..apps.len()).map(|n| (first + n) % apps.len()) {
            if asking.len() >= AT_ONCE {
                first = at;
                break;
            }
            let served = &apps[at];
            if served.is_due(now) {
                let (served, clock) = (Arc::clone(served), pushers.clock.clone());
                asking.spawn(async move { served.ask(&clock).await });
            }
        }
        drop(apps);
        tokio::time::sleep(LOOK_EVERY).await;
        while asking.try_join_next().is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_while_it_fails_and_a_push_that_fails_brings_the_next_probe_forward() {
        let (start, mut plan) = (Instant::now(), Plan::at_once());
        assert!(plan.take(start));
        assert!(!plan.take(start), "asked once");
        let mut now = start;
        for seconds in [5, 10, 20, 40, 80, 160, 300, 300] {
            plan.failed(now);
            assert!(!plan.take(now + Duration::from_millis(seconds * 750 - 1)), "{seconds}");
            now += Duration::from_secs(seconds);
            assert!(plan.take(now), "{seconds}");
        }
        plan.settled(now);
        assert!(!plan.take(now + Duration::from_secs(2699)));
        plan.doubted(now);
        assert!(!plan.take(now + Duration::from_secs(3)));
        assert!(plan.take(now + Duration::from_secs(5)));
        // One that never came back does not end the asking.
        assert!(plan.take(now + Duration::from_secs(65)));
    }
}
