//! Watches over channels whose call depends on another FreeSWITCH (`bonds`).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::bonds::Bond;
use super::encode;
use super::nodes::{LOST, Nodes};

/// Channels that are looked at together: each has a connection to FreeSWITCH meanwhile.
const MOST: usize = 8;
const EVERY: Duration = Duration::from_millis(500);
/// How often a channel is looked for, so that those that are over are forgotten.
const PRUNE: Duration = Duration::from_secs(60);
/// A leg's channel may not be there yet.
const IS_MADE: Duration = Duration::from_secs(2);

/// What becomes of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Stays,
    Gone,
    Ends,
}

/// Watches over them until stopped.
pub async fn run(nodes: Nodes, stop: CancellationToken) {
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let turns = Arc::new(Semaphore::new(MOST));
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        for bond in nodes.bonds.take(|bond| bond.is_due(&nodes)) {
            let (nodes, turns) = (nodes.clone(), Arc::clone(&turns));
            tokio::spawn(async move {
                let _turn = turns.acquire_owned().await;
                if let Some(kept) = bond.look(&nodes).await {
                    nodes.bonds.keep(kept);
                }
            });
        }
    }
}

impl Bond {
    fn has_restarted(&self, nodes: &Nodes) -> bool {
        let restarted = |core: &str| nodes.get(self.to).has_restarted_since(core);
        self.core.as_deref().is_some_and(restarted)
    }

    fn is_lost(&self, nodes: &Nodes) -> bool {
        self.was_up && nodes.get(self.to).down_for().is_some_and(|down| down > LOST)
    }

    fn is_due(&self, nodes: &Nodes) -> bool {
        self.has_restarted(nodes) || (self.is_lost(nodes) && !self.is_answered) || self.seen.elapsed() > PRUNE
    }

    /// Looks at the channel, and ends it if it has to. Returns what is still to be watched.
    async fn look(mut self, nodes: &Nodes) -> Option<Self> {
        let (here, there) = (nodes.get(self.at), nodes.get(self.to));
        let Ok(state) = here.socket.api(&encode::ask_disposition(self.channel)).await else {
            // It cannot be asked: later.
            self.seen = Instant::now();
            return Some(self);
        };
        let fate = if state.starts_with("-ERR") && self.seen.elapsed() > IS_MADE {
            Fate::Gone
        } else if self.has_restarted(nodes) || (self.is_lost(nodes) && is_unanswered(state.trim())) {
            Fate::Ends
        } else {
            Fate::Stays
        };
        self.is_answered = !is_unanswered(state.trim()) && self.is_lost(nodes);
        self.seen = Instant::now();
        match fate {
            Fate::Stays => return Some(self),
            Fate::Gone => {}
            Fate::Ends => {
                info!(
                    channel = %self.channel,
                    here = here.label(),
                    gone = there.label(),
                    "a channel ends: the FreeSWITCH at its far end is gone"
                );
                let kill = encode::kill(self.channel, "NORMAL_TEMPORARY_FAILURE");
                if let Err(error) = here.socket.api(&kill).await {
                    debug!(%error, "the channel cannot be ended");
                }
            }
        }
        None
    }
}

/// Whether FreeSWITCH says that a channel is there and not answered. An error, or no answer, says nothing.
fn is_unanswered(disposition: &str) -> bool {
    !disposition.is_empty() && disposition != "ANSWER" && !disposition.starts_with("-ERR")
}
