//! The configured apps: who serves a device, what is known of each, and how they are kept ready.

pub(crate) mod callees;
pub(crate) mod expiry;
pub mod health;
pub(crate) mod prober;
pub(crate) mod pushers;
pub(crate) mod renewal;
pub(crate) mod standing;
pub(crate) mod validity;
pub(crate) mod watch;
