//! Where mod_apn keeps its tokens: a SQLite file of FreeSWITCH's, or a PostgreSQL database. Only read.

mod postgres;
mod sqlite;

use std::path::{Path, PathBuf};

use super::tokens::Row;
use crate::postgres::{ConnectError, Dsn, DsnError};
use crate::words;

/// A database with mod_apn's table `push_tokens`.
#[derive(Debug)]
pub enum Source {
    /// A file.
    Sqlite(PathBuf),
    /// A server.
    Postgres(Box<Dsn>),
}

/// Why the tokens cannot be read. Never shows a password or a token.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A database of another kind.
    #[error("{0}: tokens are read from PostgreSQL and from SQLite files")]
    Kind(&'static str),
    /// Not a database's name.
    #[error(transparent)]
    Dsn(#[from] DsnError),
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// No such file, no such table, another table.
    #[error("{place}: {reason}")]
    Unreadable {
        /// The database.
        place: String,
        /// The error.
        reason: String,
    },
}

impl Source {
    /// Reads the name of a database: a FreeSWITCH or libpq DSN, or a SQLite file.
    ///
    /// # Errors
    /// When it names a database of another kind.
    pub fn named(name: &str, password: Option<&str>) -> Result<Self, SourceError> {
        if Path::new(name).is_file() {
            return Ok(Self::Sqlite(name.into()));
        }
        match crate::postgres::split_scheme(name) {
            Some(("pgsql" | "postgres" | "postgresql", _)) => Ok(Self::Postgres(Box::new(Dsn::read(name, password)?))),
            Some(("sqlite", path)) => Ok(Self::Sqlite(path.into())),
            Some(("odbc", _)) => Err(SourceError::Kind("an ODBC data source")),
            Some((_, _)) => Err(SourceError::Kind("a database that is neither")),
            None if name.contains(['=', ' ']) && !name.contains('/') => {
                Ok(Self::Postgres(Box::new(Dsn::read(name, password)?)))
            }
            // A misspelt scheme: the parser of connection strings reports it, without a password.
            None if name.contains("://") => Ok(Self::Postgres(Box::new(Dsn::read(name, password)?))),
            // FreeSWITCH's short form: data source, user, password.
            None if name.split(':').count() == 3 => Err(SourceError::Kind("an ODBC data source")),
            None => Ok(Self::Sqlite(name.into())),
        }
    }

    /// Where it is, for messages.
    pub fn place(&self) -> String {
        match self {
            Self::Sqlite(path) => path.display().to_string(),
            Self::Postgres(dsn) => dsn.place(),
        }
    }

    /// Reads every row of `push_tokens`, in one snapshot.
    ///
    /// # Errors
    /// If the database or the table does not exist, or is not readable.
    pub fn rows(&self) -> Result<Vec<Row>, SourceError> {
        match self {
            Self::Sqlite(path) => {
                // SQLite does not report why it cannot open a file.
                let opened = std::fs::File::open(path).map_err(|e| words::of_io(&e));
                let rows = opened.and_then(|_| sqlite::rows(path).map_err(|e| words::of_sqlite(&e)));
                rows.map_err(|reason| SourceError::Unreadable {
                    place: self.place(),
                    reason,
                })
            }
            Self::Postgres(dsn) => {
                let unreadable = |reason| SourceError::Unreadable {
                    place: self.place(),
                    reason,
                };
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let runtime = runtime.map_err(|e| unreadable(words::of_io(&e)))?;
                runtime.block_on(async {
                    let client = crate::postgres::connect(dsn).await?;
                    let rows = postgres::rows(&client).await;
                    rows.map_err(|e| unreadable(words::of(&e)))
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_which_kind_of_database_it_is() {
        let kind = |name| match Source::named(name, None) {
            Ok(Source::Sqlite(path)) => format!("sqlite {}", path.display()),
            Ok(Source::Postgres(dsn)) => format!("postgres {}", dsn.place()),
            Err(e) => e.to_string(),
        };
        assert_eq!(
            kind("/var/lib/freeswitch/db/carusto.db"),
            "sqlite /var/lib/freeswitch/db/carusto.db"
        );
        assert_eq!(kind("sqlite:///var/a.db"), "sqlite /var/a.db");
        assert_eq!(kind("pgsql://host=h dbname=d user=u"), "postgres h/d");
        assert_eq!(kind("postgresql://u@h/d"), "postgres h:5432/d");
        for odbc in ["freeswitch:user:secret", "odbc://freeswitch:user:secret"] {
            let said = kind(odbc);
            assert!(
                said.starts_with("an ODBC data source: ") && !said.contains("secret"),
                "{said}"
            );
        }
        let misspelt = kind("postgress://u:secret@h/d");
        assert!(
            misspelt.contains("unknown scheme") && !misspelt.contains("secret"),
            "{misspelt}"
        );
        assert!(kind("mariadb://Server=h;Pwd=secret").starts_with("a database that is neither: "));
    }
}
