//! What FreeSWITCH keeps of a leg's originate.

use crate::types::LegId;

/// What FreeSWITCH keeps of a leg's originate.
#[derive(Debug)]
pub(super) struct PreparedOriginate {
    pub(super) leg: LegId,
    /// The lease that it has; 0 if it must be prepared again.
    pub(super) lease: u32,
    /// Empty where FreeSWITCH has refused them.
    pub(super) variables: String,
}
