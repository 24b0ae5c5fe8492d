//! Why the shared store cannot be used.

use tokio_postgres::error::SqlState;

use super::version::SCHEMA_VERSION;
use crate::postgres::ConnectError;
use crate::words;

/// Why the shared store cannot be used now. Never shows a password.
#[derive(Debug, thiserror::Error)]
pub enum SharedError {
    /// The server cannot be reached, or refuses the login.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// It refuses a statement.
    #[error("{}", words::of(.0))]
    Refused(#[from] tokio_postgres::Error),
    /// Its user lacks a right.
    #[error("{0}: docs/OPERATING.md, \"PostgreSQL\", has the rights that fswake needs")]
    NoRight(String),
    /// There are no tables, and its user may not create them.
    #[error(
        "fswake's tables are not there, and its user may not create them ({0}): docs/OPERATING.md, \"PostgreSQL\", says how their \
         owner does it"
    )]
    MayNotCreate(String),
    /// The tables are of an older version, and its user may not upgrade them.
    #[error(
        "the shared store has schema version {found}, this fswake needs {SCHEMA_VERSION}, and its user may not upgrade the tables: \
         their owner has to run `psql -1 -f postgresql.sql`"
    )]
    MayNotUpgrade {
        /// Their version.
        found: i32,
    },
    /// No daemon has created the tables yet.
    #[error("fswake's tables are not there: the daemon creates them when it starts (`fswake run`)")]
    NoTables,
    /// It does not answer in time.
    #[error("PostgreSQL does not answer")]
    Timeout,
    /// It has closed the connection.
    #[error("PostgreSQL closed the connection")]
    Closed,
    /// It is too old.
    #[error("PostgreSQL {0} is too old: fswake needs 13 or newer")]
    TooOld(String),
    /// It is a standby, which cannot be written.
    #[error(
        "this server is a standby and cannot be written: name the primary, or all servers with target_session_attrs=read-write"
    )]
    Standby,
    /// A newer fswake has changed the tables.
    #[error(
        "the shared store has schema version {found}, this fswake knows up to {SCHEMA_VERSION}: run the newer fswake, or name another \
         database in store.url"
    )]
    NewerSchema {
        /// Their version.
        found: i32,
    },
    /// This daemon's own file.
    #[error("this daemon's file: {}", words::of_sqlite(.0))]
    File(#[from] rusqlite::Error),
}

impl SharedError {
    /// Whether trying again cannot help.
    pub fn is_for_good(&self) -> bool {
        matches!(self, Self::NewerSchema { .. } | Self::TooOld(_))
    }

    /// Whether it is only that the server cannot be reached, or does not answer.
    pub(super) fn is_about_the_connection(&self) -> bool {
        matches!(self, Self::Connect(_) | Self::Timeout | Self::Closed)
    }

    /// Whether PostgreSQL can never store the row: it is too long, or has text that PostgreSQL does not allow.
    pub(super) fn is_about_a_row(&self) -> bool {
        let Self::Refused(error) = self else { return false };
        let class = error.code().map_or("", SqlState::code);
        ["22", "23", "54"].iter().any(|kind| class.starts_with(kind))
    }

    /// Why a statement failed.
    pub(super) fn of(error: tokio_postgres::Error) -> Self {
        match error.code() {
            Some(&SqlState::INSUFFICIENT_PRIVILEGE) => Self::NoRight(words::of(&error)),
            Some(&SqlState::READ_ONLY_SQL_TRANSACTION) => Self::Standby,
            _ if error.is_closed() => Self::Closed,
            _ => Self::Refused(error),
        }
    }
}
