//! What the answers are made of.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{Semaphore, watch};

use super::cache::{CensusCache, SummaryCache};
use crate::control::Control;
use crate::esl::nodes::{Node, Nodes};
use crate::metrics::Metrics;
use crate::push::Pushers;
use crate::store::StoreWriter;
use crate::store::shared::SharedStore;
use crate::types::Secret;

/// What the answers are made of.
pub struct Site {
    /// The driver's loop.
    pub control: Control,
    /// The apps.
    pub pushers: Pushers,
    /// How the store is doing.
    pub store: StoreWriter,
    /// The store that several daemons share, if there is one.
    pub shared: Option<SharedStore>,
    /// Its file, for reading.
    pub store_path: PathBuf,
    /// What is counted.
    pub metrics: Metrics,
    /// How many calls are held.
    pub waiting: watch::Receiver<usize>,
    /// Whether there is a FreeSWITCH; without one, registrations are told by `POST /v1/registrations`.
    pub has_freeswitch: bool,
    /// The FreeSWITCHes.
    pub nodes: Nodes,
    /// Wakes that may be asked for at once.
    pub wakes: Arc<Semaphore>,
    /// What was last read from the journal.
    pub summaries: SummaryCache,
    /// The last count of phones.
    pub census: CensusCache,
    /// The token that requests must carry, if any.
    pub token: Option<Secret>,
}

impl Site {
    /// The FreeSWITCHes; none without.
    pub(super) fn freeswitches(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|_| self.has_freeswitch)
    }
}
