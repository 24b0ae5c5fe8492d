//! The configured apps: which one serves a device, what is known of each, and how they are kept ready.
//!
//! ```text
//! pushers --+-- renewal --+-- list -- live --+-- sender -> apns, fcm, hms, webpush, gateway, log
//!           \-- prober  --/                   +-- health -- condition, schedule, expiry, status
//!                                             \-- watch
//! ```

mod callees;
mod condition;
mod expiry;
mod health;
mod list;
mod live;
mod prober;
pub(crate) mod pushers;
pub(crate) mod renewal;
mod schedule;
mod sender;
pub mod status;
mod watch;
