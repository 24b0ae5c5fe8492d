//! The schema, and why a store with another one cannot be opened.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use crate::words;

/// The schema, as shipped in `schema.sql`.
pub const SCHEMA: &str = include_str!("../../schema.sql");

/// The `user_version` that [`SCHEMA`] sets.
pub const SCHEMA_VERSION: i64 = 7;

/// Why the store could not be opened; all of them need an operator.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file or its directory is missing, locked or another user's.
    #[error(
        "{}: the store cannot be opened: {reason}; the directory must exist, and fswake must be able to write both",
        path.display()
    )]
    Unusable {
        /// The database file.
        path: PathBuf,
        /// The system's or SQLite's error.
        reason: String,
    },
    /// The file is not a SQLite database, or a damaged one.
    #[error(
        "{}: the store is damaged ({reason}); restore a copy, or move the file and its -wal and -shm away and start again: \
         tokens are learned again as the phones register",
        path.display()
    )]
    Corrupt {
        /// The database file.
        path: PathBuf,
        /// SQLite's error.
        reason: String,
    },
    /// A later fswake wrote the file.
    #[error(
        "{}: the store has schema version {found}, this fswake knows up to {SCHEMA_VERSION}: run the newer fswake, or {}",
        path.display(),
        match copy {
            Some(copy) => format!("put back its copy from before the upgrade, {}", copy.display()),
            None => "name another store.path".into(),
        }
    )]
    NewerSchema {
        /// The database file.
        path: PathBuf,
        /// Its `user_version`.
        found: i64,
        /// The copy of the file that was made before it was upgraded.
        copy: Option<PathBuf>,
    },
}

impl StoreError {
    /// What went wrong, without the file's name and advice.
    pub fn reason(&self) -> String {
        match self {
            Self::Unusable { reason, .. } | Self::Corrupt { reason, .. } => reason.clone(),
            Self::NewerSchema { found, .. } => format!("schema version {found}"),
        }
    }
}

pub(super) fn failure(path: &Path, error: &rusqlite::Error) -> StoreError {
    let path = path.to_owned();
    let reason = words::of_sqlite(error);
    match error.sqlite_error_code() {
        // An error without a code is not SQLite's: a row has a type or text that fswake never writes.
        None | Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Corrupt { path, reason },
        Some(_) => StoreError::Unusable { path, reason },
    }
}
