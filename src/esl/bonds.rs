//! Channels at one FreeSWITCH whose call depends on another: a leg between the two ends there. If that FreeSWITCH is gone,
//! nobody cancels or hangs up what is left here, so fswake does.
//!
//! | the other FreeSWITCH | a channel that is not answered | an answered one |
//! |---|---|---|
//! | is not connected for longer than a second | ends | stays: perhaps only its event socket is gone |
//! | has restarted (another core id) | ends | ends: nobody is at its far end |

use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;
use uuid::Uuid;

use crate::types::NodeId;

/// One channel.
#[derive(Clone, Debug)]
pub(super) struct Bond {
    /// Where it is.
    pub(super) at: NodeId,
    pub(super) channel: Uuid,
    /// The FreeSWITCH at its far end, and the core id that this had.
    pub(super) to: NodeId,
    pub(super) core: Option<String>,
    /// That FreeSWITCH was connected then. If it was not, its core id may be that of its life before.
    pub(super) was_up: bool,
    /// When it was last looked for.
    pub(super) seen: Instant,
    /// It was answered when the other FreeSWITCH was lost.
    pub(super) is_answered: bool,
}

/// All of them.
#[derive(Clone, Default)]
pub struct Bonds(Arc<Mutex<Vec<Bond>>>);

impl Bonds {
    /// A channel at one FreeSWITCH depends on another, which has this core id, from now on.
    pub(super) fn add(&self, at: NodeId, channel: Uuid, to: NodeId, core: Option<String>, was_up: bool) {
        self.keep(Bond {
            at,
            channel,
            to,
            core: core.filter(|_| was_up),
            was_up,
            seen: Instant::now(),
            is_answered: false,
        });
    }

    /// Goes on watching one.
    pub(super) fn keep(&self, bond: Bond) {
        self.lock().push(bond);
    }

    /// Takes those out that have to be looked at.
    pub(super) fn take(&self, is_due: impl Fn(&Bond) -> bool) -> Vec<Bond> {
        self.lock().extract_if(.., |bond| is_due(bond)).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Bond>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
