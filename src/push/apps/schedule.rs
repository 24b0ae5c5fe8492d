//! When an app's provider is probed next.

use std::time::{Duration, Instant};

use crate::jitter;

/// From a failure to the next probe; doubled with each, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// A healthy app is probed again after this: a key may be revoked while nobody is called.
const WHEN_WELL: Duration = Duration::from_secs(3600);
/// A probe that has not ended by then is given up.
const LOST: Duration = Duration::from_secs(60);

/// When an app's provider is asked next.
#[derive(Debug)]
pub(crate) struct ProbeSchedule {
    due: Option<Instant>,
    failures: u32,
}

impl ProbeSchedule {
    /// A probe is due now.
    pub(crate) fn at_once() -> Self {
        Self { due: None, failures: 0 }
    }

    /// Whether a probe is due; the caller then has to probe.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let is_due = self.due.is_none_or(|due| due <= now);
        if is_due {
            self.due = Some(now + LOST);
        }
        is_due
    }

    /// All is well, or a probe would not find more.
    pub(crate) fn settled(&mut self, now: Instant) {
        // So that apps that were probed together do not stay together.
        (self.due, self.failures) = (Some(now + jitter::upper_quarter(WHEN_WELL)), 0);
    }

    /// A probe has found something wrong.
    pub(crate) fn failed(&mut self, now: Instant) {
        self.due = Some(now + jitter::upper_quarter(pause(self.failures)));
        self.failures = self.failures.saturating_add(1);
    }

    /// A push has found something wrong: a probe is due soon.
    pub(crate) fn doubted(&mut self, now: Instant) {
        let soon = now + jitter::upper_quarter(pause(self.failures));
        self.due = self.due.map(|due| due.min(soon));
    }
}

fn pause(failures: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << failures.min(10)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_while_it_fails_and_a_push_that_fails_brings_the_next_probe_forward() {
        let (start, mut schedule) = (Instant::now(), ProbeSchedule::at_once());
        assert!(schedule.take(start));
        assert!(!schedule.take(start), "asked once");
        let mut now = start;
        for seconds in [5, 10, 20, 40, 80, 160, 300, 300] {
            schedule.failed(now);
            assert!(
                !schedule.take(now + Duration::from_millis(seconds * 750 - 1)),
                "{seconds}"
            );
            now += Duration::from_secs(seconds);
            assert!(schedule.take(now), "{seconds}");
        }
        schedule.settled(now);
        assert!(!schedule.take(now + Duration::from_secs(2699)));
        schedule.doubted(now);
        assert!(!schedule.take(now + Duration::from_secs(3)));
        assert!(schedule.take(now + Duration::from_secs(5)));
        // A lost probe does not end the probing.
        assert!(schedule.take(now + Duration::from_secs(65)));
    }
}
