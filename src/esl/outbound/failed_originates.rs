//! Legs whose `originate` has failed. Now and then FreeSWITCH's `originate` reports that before the leg's own
//! CHANNEL_HANGUP (1.10.12, a phone that declines at once). The hangup has the SIP status, so it is waited for. A leg
//! that never had a channel has no hangup.

use std::time::Duration;

use tokio::time::Instant;

use super::connection::Connection;
use crate::engine::LegEnd;
use crate::types::LegId;

/// How long after the end of its `originate` a leg's hangup may come.
const HANGUP: Duration = Duration::from_millis(25);

impl Connection {
    /// A leg's `originate` has failed.
    pub(super) fn originate_failed(&mut self, leg: LegId, end: LegEnd) {
        if !self.ended.iter().any(|(over, _)| *over == leg) {
            self.jobs.push((Instant::now() + HANGUP, leg, end));
        }
    }

    /// No hangup has come for the first of them: it never had a channel.
    pub(super) async fn never_had_a_channel(&mut self) {
        let (_, leg, end) = self.jobs.remove(0);
        self.leg_is_over(leg, end.clone());
        self.emit_end(leg, end).await;
    }
}
