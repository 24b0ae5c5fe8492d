//! The variables of a leg's originate that FreeSWITCH stores ahead of time.

use crate::types::LegId;

/// The variables of a leg's originate that FreeSWITCH stores ahead of time.
#[derive(Debug)]
pub(super) struct PreparedOriginate {
    pub(super) leg: LegId,
    /// Its lease; 0 if it must be prepared again.
    pub(super) lease: u32,
    /// Empty if FreeSWITCH has rejected them.
    pub(super) variables: String,
}
