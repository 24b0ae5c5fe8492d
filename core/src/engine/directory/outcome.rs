//! What follows from a REGISTER or from the end of a registration.

use std::sync::Arc;

use crate::types::{Aor, CallId, DeviceKey, NodeId};

/// The devices that a REGISTER with a token is about.
#[derive(Default)]
pub(super) struct Ownership {
    /// The device that registered. `None`: the token is another user's.
    pub(super) device: Option<Arc<DeviceKey>>,
    /// The device that it replaces: a new token of the same phone and app.
    pub(super) replaced: Option<Arc<DeviceKey>>,
}

/// A question about a user's registrations: open until it, or a later one, is answered.
#[derive(Clone, Debug)]
pub(super) struct ListingQuery {
    /// The FreeSWITCH that was asked.
    pub(super) node: NodeId,
    /// The user, as asked for.
    pub(super) aor: Aor,
    /// The number of the latest.
    pub(super) number: u64,
    /// How many questions had been asked when one of the user's registrations ended last; an answer to one of those may
    /// be older than that.
    pub(super) ended: u64,
}

/// Phones that have one registration less.
#[derive(Debug, Default)]
pub struct Departures {
    /// Which; those without a token are not named.
    pub devices: Vec<Arc<DeviceKey>>,
    /// The calls that wait for their AOR.
    pub waiting: Vec<CallId>,
}
