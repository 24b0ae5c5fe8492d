//! Legs whose `originate` has failed. FreeSWITCH's thread of the `originate` sees that its leg is over before the leg's own
//! CHANNEL_HANGUP is sent, now and then (1.10.12, a phone that declines at once): the hang-up has the SIP status, and is waited for a
//! moment. A leg that never had a channel has none.

use std::time::Duration;

use tokio::time::Instant;

use super::connection::Connection;
use crate::engine::{Event, LegEnd};
use crate::types::LegId;

/// How long a leg's hang-up may come after the end of its `originate`.
const HANGUP: Duration = Duration::from_millis(25);

impl Connection {
    /// A leg's `originate` has failed.
    pub(super) fn originate_failed(&mut self, leg: LegId, end: LegEnd) {
        if !self.ended.iter().any(|(over, _)| *over == leg) {
            self.jobs.push((Instant::now() + HANGUP, leg, end));
        }
    }

    /// No hang-up has come for the first of them: it had no channel.
    pub(super) async fn never_had_a_channel(&mut self) {
        let (_, leg, end) = self.jobs.remove(0);
        self.leg_is_over(leg, end.clone());
        self.emit(Event::LegEnded { leg, end }).await;
    }
}
