//! The pauses between tries while the shared store cannot be used.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::jitter;

/// Doubled from the first to the last.
const FIRST: Duration = Duration::from_millis(200);
const LAST: Duration = Duration::from_secs(5);

/// The next pause.
pub(super) struct Backoff(Duration);

impl Backoff {
    /// Begins with the shortest.
    pub(super) fn new() -> Self {
        Self(FIRST)
    }

    /// A try has succeeded.
    pub(super) fn reset(&mut self) {
        *self = Self::new();
    }

    /// Waits for the next try. `false`: stopped.
    pub(super) async fn wait(&mut self, stop: &CancellationToken) -> bool {
        let pause = jitter::upper_quarter(self.0);
        self.0 = (self.0 * 2).min(LAST);
        stop.run_until_cancelled(sleep(pause)).await.is_some()
    }
}
