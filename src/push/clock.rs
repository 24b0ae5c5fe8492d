//! The two clocks that the age of tokens and certificates is measured by; tests bring their own.

use std::fmt;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

/// The two clocks, read together.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Never set: measures ages.
    pub monotonic: Instant,
    /// May be set: what tokens and payloads carry.
    pub wall: SystemTime,
}

/// Reads the time; tests pass their own.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Now + Send + Sync>);

impl Clock {
    /// A clock that calls `read`.
    pub fn new(read: impl Fn() -> Now + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// The time now.
    pub fn now(&self) -> Now {
        (self.0)()
    }
}

impl Default for Clock {
    /// The system's clocks.
    fn default() -> Self {
        Self::new(|| Now {
            monotonic: Instant::now(),
            wall: SystemTime::now(),
        })
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock(..)")
    }
}
