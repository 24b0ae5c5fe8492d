//! What was last read from the store and the journal, so that it is read once for all clients.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::journal::Summary;

/// The phones that are known.
#[derive(Debug, Default)]
pub(super) struct Census {
    /// All of them.
    pub known: u64,
    /// How many each app serves, by its name.
    pub by_app: HashMap<Arc<str>, u64>,
    /// How many no app serves, by provider and app id.
    pub unserved: BTreeMap<(String, String), u64>,
}

/// The last count, and when it is too old.
#[derive(Default)]
pub struct CensusCache(pub(super) Mutex<Option<(Instant, Arc<Census>)>>);

/// What was read last of each window.
#[derive(Default)]
pub struct SummaryCache(pub(super) [Mutex<Option<(Instant, Window)>>; 2]);

/// A summary of the last seconds.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Window {
    pub seconds: i64,
    #[serde(flatten)]
    pub summary: Summary,
}
