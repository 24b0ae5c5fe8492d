//! Legs from other FreeSWITCHes that were taken, so that none is taken twice.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

/// A leg is remembered for longer than its header is valid, whatever the clocks say.
pub(super) const REMEMBERED: Duration = Duration::from_secs(60);

/// Legs that were taken, so that none is taken twice.
#[derive(Default)]
pub(super) struct TakenLegs(Mutex<HashMap<Uuid, Instant>>);

impl TakenLegs {
    /// Notes a leg; `false` if it is known.
    pub(super) fn note(&self, leg: Uuid, now: Instant) -> bool {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.retain(|_, at| now.duration_since(*at) < REMEMBERED);
        taken.insert(leg, now).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leg_is_taken_once_and_forgotten_when_its_header_is_long_invalid() {
        let (taken, leg, now) = (TakenLegs::default(), Uuid::from_u128(1), Instant::now());
        assert!(taken.note(leg, now));
        assert!(!taken.note(leg, now + REMEMBERED / 2));
        assert!(taken.note(Uuid::from_u128(2), now));
        assert!(taken.note(leg, now + REMEMBERED * 2));
    }
}
