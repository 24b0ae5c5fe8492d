//! How long legs are leased for. A lease that runs out because FreeSWITCH is slow to renew or end it would cut a call
//! (5 of 240 calls at load 22, measured by `benches/live_answer.rs --busy`). So leases are longer while FreeSWITCH is
//! slow.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The lease while FreeSWITCH answers at once. FreeSWITCH counts whole seconds and looks every half (switch_scheduler.c),
/// so it ends after 3 to 4.5 s: for as long phones ring on if fswake dies, and their caller waits.
const SHORTEST: Duration = Duration::from_secs(4);
/// The longest lease, while FreeSWITCH hardly answers.
const LONGEST: Duration = Duration::from_secs(20);
/// How many answers are added to a lease: renewing all legs of a call, or ending one, takes a few commands.
const ANSWERS: u32 = 5;
/// The part of the shortest lease after which it is renewed: FreeSWITCH and fswake may stall for some 2.2 s of it.
const RENEWED_AFTER: f64 = 0.2;
/// The same of what a lease is longer by: a slow FreeSWITCH gets few commands.
const RENEWED_AFTER_MORE: f64 = 0.4;
/// How long a slow answer counts: one stall is often followed by another.
const REMEMBERED: Duration = Duration::from_secs(30);

/// The slowest recent answer of all calls, and when it came.
#[derive(Debug, Default)]
pub(super) struct LeaseTime(Mutex<Option<(Duration, Instant)>>);

impl LeaseTime {
    /// Records how long an answer took, or the wait for one that did not come.
    pub(super) fn took(&self, time: Duration, now: Instant) {
        let mut slowest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if slowest.is_none_or(|(known, at)| time >= known || now.duration_since(at) > REMEMBERED) {
            *slowest = Some((time, now));
        }
    }

    /// How long after its start this lease is renewed.
    pub(super) fn renewal(lease: u32) -> Duration {
        let more = Duration::from_secs(lease.into()).saturating_sub(SHORTEST);
        SHORTEST.mul_f64(RENEWED_AFTER) + more.mul_f64(RENEWED_AFTER_MORE)
    }

    /// How long a leg is leased for, in seconds.
    pub(super) fn lease(&self) -> u32 {
        let slowest = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let slowest = slowest.map_or(Duration::ZERO, |(time, _)| time);
        let lease = SHORTEST.saturating_add(slowest.saturating_mul(ANSWERS)).min(LONGEST);
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
        assert_eq!(lease_time.lease(), 4);
        lease_time.took(Duration::from_secs(2), at(1));
        assert_eq!(lease_time.lease(), 14);
        assert_eq!([4, 14].map(LeaseTime::renewal), [800, 4_800].map(Duration::from_millis));
        for _ in 0..2_000 {
            lease_time.took(Duration::from_millis(1), at(31));
        }
        assert_eq!(
            lease_time.lease(),
            14,
            "however many calls are answered at once meanwhile"
        );
        lease_time.took(Duration::from_secs(600), at(31));
        assert_eq!(lease_time.lease(), 20);
        lease_time.took(Duration::from_millis(1), at(62));
        assert_eq!(lease_time.lease(), 4);
    }
}
