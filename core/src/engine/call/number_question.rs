//! A pending question whose number was dialled.

use std::sync::Arc;

use crate::types::Moment;

/// The question to the directory, for the journal.
#[derive(Clone, Debug)]
pub(super) struct NumberQuestion {
    /// What was dialled.
    pub(super) dialled: Arc<str>,
    /// When.
    pub(super) at: Moment,
    /// It has been answered, and the user's phones are not in the call yet.
    pub(super) is_found: bool,
}
