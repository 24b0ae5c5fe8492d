//! The token store: devices that outlive their registrations, and the journal of wakes.
//!
//! The engine has everything that a call needs in memory. The store is read once at start, and written in the
//! background. Calls never wait for a write.
//!
//! ```text
//! engine --StoreOp--> StoreWriter::submit --> queue (newest change per device) --> writer thread --> SQLite
//! ```
//!
//! Several daemons may share a store ([`shared`]). Each daemon's file is then its copy of that store.

pub mod catch_up;
mod database;
pub mod devices;
mod import;
mod journal;
mod left_over;
pub(crate) mod lines;
mod older_copy;
pub(crate) mod older_journal;
pub(crate) mod outbox;
mod queue;
mod rows;
mod schema;
pub mod shared;
pub mod sqlite;
pub mod transfer;
mod upgrade;
mod writer;

pub use import::{Fate, Import};
pub use journal::{JournalEntry, detail};
pub use left_over::remove_left_over;
pub use rows::Origin;
pub use sqlite::{Options, Sqlite, StoreError};
pub use writer::{FlushError, Health, StoreWriter, WriteFailure};

use std::sync::Arc;

use crate::types::{Device, DeviceKey, UnixMicros};

/// One change to the stored devices, or one journal line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreOp {
    /// Insert the device, or replace the row with its key.
    Put(Arc<Device>),
    /// Remove the device with this key. It was dropped at this time.
    Delete(DeviceKey, UnixMicros),
    /// Append to the journal.
    Journal(JournalEntry),
}

/// What a start reads.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// All devices whose last change this daemon made.
    pub devices: Vec<Device>,
    /// Those whose last change another daemon made, if they share a store.
    pub elsewhere: Vec<Device>,
}
