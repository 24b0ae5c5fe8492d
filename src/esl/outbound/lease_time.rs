//! How long FreeSWITCH takes to answer. A lease that runs out while FreeSWITCH is slow to renew or to end it would cut a call that
//! is up (5 of 240 calls with the load at 22, measured by `benches/live_answer.rs --busy`): the slower it is, the longer they are.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A leg's lease with a FreeSWITCH that answers at once: what fswake's own end costs a caller whose phones ring.
const SHORTEST: Duration = Duration::from_secs(6);
/// The lease of all calls that the application `sleep` holds: what fswake's own end costs each.
const SHORTEST_OF_SLEEPING_CALLS: Duration = Duration::from_secs(3);
/// With one that hardly answers.
const LONGEST: Duration = Duration::from_secs(20);
/// A lease lasts for so many answers longer: it takes a few commands to renew all legs of a call, or to end one.
const ANSWERS: u32 = 5;
/// The part of a lease after which it is renewed.
const RENEWED_AFTER: f64 = 0.4;
/// A slow answer is remembered for so long: who has stalled stalls again.
const REMEMBERED: Duration = Duration::from_secs(30);

/// The slowest answer of late and when it came, of all calls together.
#[derive(Debug, Default)]
pub(super) struct LeaseTime(Mutex<Option<(Duration, Instant)>>);

impl LeaseTime {
    /// An answer, or the wait for one that did not come, took this long.
    pub(super) fn took(&self, time: Duration, now: Instant) {
        let mut slowest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if slowest.is_none_or(|(known, at)| time >= known || now.duration_since(at) > REMEMBERED) {
            *slowest = Some((time, now));
        }
    }

    /// How long after a lease began the next one does: FreeSWITCH and we may stand still for the rest of it.
    pub(super) fn renewal(&self) -> Duration {
        Duration::from_secs(self.lease().into()).mul_f64(RENEWED_AFTER)
    }

    /// How long a leg is leased for, in seconds.
    pub(super) fn lease(&self) -> u32 {
        self.from(SHORTEST)
    }

    /// The same of all calls that the application `sleep` holds.
    pub(super) fn of_sleeping_calls(&self) -> u32 {
        self.from(SHORTEST_OF_SLEEPING_CALLS)
    }

    fn from(&self, shortest: Duration) -> u32 {
        let slowest = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let slowest = slowest.map_or(Duration::ZERO, |(time, _)| time);
        let lease = shortest.saturating_add(slowest.saturating_mul(ANSWERS)).min(LONGEST);
        u32::try_from(lease.as_secs()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_are_longer_while_freeswitch_is_slow() {
        let (lease_time, start) = (LeaseTime::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        lease_time.took(Duration::from_micros(300), at(0));
        assert_eq!(lease_time.lease(), 6);
        lease_time.took(Duration::from_secs(2), at(1));
        assert_eq!(lease_time.lease(), 16);
        assert_eq!(lease_time.renewal(), Duration::from_millis(6_400));
        for _ in 0..2_000 {
            lease_time.took(Duration::from_millis(1), at(31));
        }
        assert_eq!(
            lease_time.lease(),
            16,
            "however many calls are answered at once meanwhile"
        );
        lease_time.took(Duration::from_secs(600), at(31));
        assert_eq!(lease_time.lease(), 20);
        lease_time.took(Duration::from_millis(1), at(62));
        assert_eq!(lease_time.lease(), 6);
    }
}
