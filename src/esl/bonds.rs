//! Channels at one FreeSWITCH whose call depends on another: a leg between the two ends there. If that FreeSWITCH is gone,
//! nobody cancels or hangs up what is left here, so fswake does.
//!
//! | the other FreeSWITCH | a channel that is not answered | an answered one |
//! |---|---|---|
//! | is not connected for longer than [`LOST`] | ends | stays: perhaps only its event socket is gone |
//! | has restarted (another core id) | ends | ends: nobody is at its far end |

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};
use uuid::Uuid;

use super::encode;
use super::nodes::Nodes;
use crate::types::NodeId;

/// For how long a FreeSWITCH may be unreachable before what rings on its behalf ends. A reconnection takes less.
pub const LOST: Duration = Duration::from_secs(1);
const EVERY: Duration = Duration::from_millis(500);
/// How often a channel is looked for, so that those that are over are forgotten.
const PRUNE: Duration = Duration::from_secs(60);
/// A leg's channel may not be there yet.
const IS_MADE: Duration = Duration::from_secs(2);

/// One channel.
#[derive(Clone, Debug)]
struct Bond {
    /// Where it is.
    at: NodeId,
    channel: Uuid,
    /// The FreeSWITCH at its far end, and the core id that this had.
    to: NodeId,
    core: Option<String>,
    /// When it was last looked for.
    seen: Instant,
    /// It was answered when the other FreeSWITCH was lost.
    is_answered: bool,
}

/// All of them.
#[derive(Clone, Default)]
pub struct Bonds(Arc<Mutex<Vec<Bond>>>);

/// What becomes of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Stays,
    Gone,
    Ends,
}

impl Bonds {
    /// A channel at one FreeSWITCH depends on another from now on.
    pub fn add(&self, nodes: &Nodes, at: NodeId, channel: Uuid, to: NodeId) {
        let bond = Bond {
            at,
            channel,
            to,
            core: nodes.get(to).core(),
            seen: Instant::now(),
            is_answered: false,
        };
        self.lock().push(bond);
    }

    /// Watches over them until stopped.
    pub async fn run(self, nodes: Nodes, stop: CancellationToken) {
        let mut tick = interval(EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = tick.tick() => {}
            }
            let due: Vec<Bond> = self.lock().extract_if(.., |bond| bond.is_due(&nodes)).collect();
            for bond in due {
                let (bonds, nodes) = (self.clone(), nodes.clone());
                tokio::spawn(async move {
                    if let Some(kept) = bond.look(&nodes).await {
                        bonds.lock().push(kept);
                    }
                });
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Bond>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bond {
    fn has_restarted(&self, nodes: &Nodes) -> bool {
        let core = nodes.get(self.to).core();
        self.core.is_some() && core.is_some() && core != self.core
    }

    fn is_lost(&self, nodes: &Nodes) -> bool {
        nodes.get(self.to).down_for().is_some_and(|down| down > LOST)
    }

    fn is_due(&self, nodes: &Nodes) -> bool {
        self.has_restarted(nodes) || (self.is_lost(nodes) && !self.is_answered) || self.seen.elapsed() > PRUNE
    }

    /// Looks at the channel, and ends it if it has to. Returns what is still to be watched.
    async fn look(mut self, nodes: &Nodes) -> Option<Self> {
        let (here, there) = (nodes.get(self.at), nodes.get(self.to));
        let Ok(state) = here.directory.api(&encode::ask_disposition(self.channel)).await else {
            // It cannot be asked: later.
            self.seen = Instant::now();
            return here.is_up().then_some(self);
        };
        let fate = if state.starts_with("-ERR") && self.seen.elapsed() > IS_MADE {
            Fate::Gone
        } else if self.has_restarted(nodes) || (self.is_lost(nodes) && state.trim() != "ANSWER") {
            Fate::Ends
        } else {
            Fate::Stays
        };
        self.is_answered = state.trim() == "ANSWER" && self.is_lost(nodes);
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
                if let Err(error) = here.directory.api(&kill).await {
                    debug!(%error, "the channel cannot be ended");
                }
            }
        }
        None
    }
}
