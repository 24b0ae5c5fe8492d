//! How long FreeSWITCH takes to answer. A lease that runs out while FreeSWITCH is slow to renew or to end it would cut a call that
//! is up (5 of 240 calls with the load at 22, measured by `benches/live_answer.rs --busy`): the slower it is, the longer they are.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A leg's lease with a FreeSWITCH that answers at once: what fswake's own end costs a caller whose phones ring.
const SHORTEST: Duration = Duration::from_secs(6);
/// With one that hardly answers.
const LONGEST: Duration = Duration::from_secs(20);
/// A lease lasts for so many answers longer: it takes a few commands to renew all legs of a call, or to end one.
const ANSWERS: u32 = 5;
/// Each answer takes this part off what an earlier one took: a slow one is remembered for some fifty.
const FADES: u32 = 64;

/// The slowest answer of late, in milliseconds; of all calls together.
#[derive(Debug, Default)]
pub(super) struct Pace(AtomicU32);

impl Pace {
    /// An answer took this long.
    pub(super) fn took(&self, time: Duration) {
        let millis = u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        let slowest = self.0.load(Ordering::Relaxed);
        let faded = slowest - slowest.div_ceil(FADES);
        self.0.store(millis.max(faded), Ordering::Relaxed);
    }

    /// How long a leg is leased for, in seconds.
    pub(super) fn lease(&self) -> u32 {
        let slowest = Duration::from_millis(self.0.load(Ordering::Relaxed).into());
        let lease = SHORTEST.saturating_add(slowest.saturating_mul(ANSWERS)).min(LONGEST);
        u32::try_from(lease.as_secs()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_are_longer_while_freeswitch_is_slow() {
        let pace = Pace::default();
        pace.took(Duration::from_micros(300));
        assert_eq!(pace.lease(), 6);
        pace.took(Duration::from_secs(2));
        assert_eq!(pace.lease(), 16);
        pace.took(Duration::from_secs(600));
        assert_eq!(pace.lease(), 20);
        for _ in 0..2_000 {
            pace.took(Duration::from_millis(1));
        }
        assert_eq!(pace.lease(), 6);
    }
}
