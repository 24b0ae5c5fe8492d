//! The journal's rows, read-only.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{AsciiSet, CONTROLS};
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row, params, params_from_iter};
use serde::Serialize;
use serde_json::{Map, Value};

use super::column::text;
use super::step::{self, DroppedToken, StepRow};
use super::summary::{self, Summary};
use super::wake::{Overview, Wake};
use crate::clock::now_ms;
use crate::engine::policy::Policy;
use crate::store::lines::{self, Exchange};
use crate::store::sqlite;
use crate::types::push::PushErrorKind;
use crate::types::{Aor, CallId, Device};
use crate::words;

/// How long a reader waits for a writer that has locked the file (a checkpoint, an upgrade).
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// What has a meaning in SQLite's file URIs.
const IN_A_URI: &AsciiSet = &CONTROLS.add(b'%').add(b'?').add(b'#').add(b' ');

/// Why the journal cannot be read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JournalError {
    /// There is no store yet.
    #[error("{}: there is no store: `fswake run` creates it; if it has run, check --config and store.path", path.display())]
    Missing {
        /// The database file.
        path: PathBuf,
    },
    /// The store belongs to another user.
    #[error("{}: the store is not readable for this user: {reason} (hint: run it as root, or as the service's user)", path.display())]
    NotAllowed {
        /// The database file.
        path: PathBuf,
        /// The system's error.
        reason: String,
    },
    /// SQLite cannot read it.
    #[error("{}: the journal cannot be read: {reason}", path.display())]
    Unreadable {
        /// The database file.
        path: PathBuf,
        /// SQLite's error.
        reason: String,
    },
}

/// Lines of other daemons may come long after those of later calls: the order is that of time.
const RECENT: &str = "SELECT id, call FROM journal WHERE event = 'call-held' AND (at_ms, id) < (?1, ?2)
     ORDER BY at_ms DESC, id DESC LIMIT ?3";
/// When a line was written; if it has been deleted, the one before it.
const TIME_OF: &str = "SELECT at_ms FROM journal WHERE id <= ?1 ORDER BY id DESC LIMIT 1";
const SINCE: &str = "SELECT id, call FROM journal WHERE event = 'call-held' AND at_ms >= ?1
     ORDER BY at_ms DESC, id DESC LIMIT ?2";
const OF_CALL: &str =
    "SELECT at_ms, aor_user, aor_domain, event, detail, daemon, node FROM journal WHERE call = ?1 ORDER BY id";
/// The same in a file of a fswake that did not share its journal.
const OF_CALL_BEFORE_SHARING: &str =
    "SELECT at_ms, aor_user, aor_domain, event, detail, '', '' FROM journal WHERE call = ?1 ORDER BY id";
/// The first version whose lines have a daemon.
const LINES_HAVE_DAEMONS: i64 = 7;
/// If other daemons' lines were read longer ago than this, some are missing. They are read every 2 s, and that is noted every 10.
const OTHERS_ARE_MISSING_AFTER_MS: i64 = 30_000;

/// The pushes to one AOR that were refused in the time before a call, the latest first.
const REFUSED: &str =
    "SELECT at_ms, detail FROM journal WHERE aor_user = ?1 AND aor_domain = ?2 AND at_ms BETWEEN ?3 AND ?4
     AND event = 'push-refused' ORDER BY at_ms DESC LIMIT 50";
/// Whether a device was there again between two times.
const CAME_BACK: &str = "SELECT 1 FROM journal WHERE aor_user = ?1 AND aor_domain = ?2 AND at_ms > ?3 AND at_ms <= ?4
     AND event IN ('push-sent', 'device-registered', 'late-register') AND json_valid(detail)
     AND json_extract(detail, '$.device') = ?5 LIMIT 1";
/// A token that was dropped longer ago than this does not explain a missed call.
const REMEMBERED_MS: i64 = 7 * 86_400_000;

/// The questions to the table, for a test that each has its index.
#[doc(hidden)]
pub fn questions(whose: &Whose) -> Vec<String> {
    let fixed = [RECENT, TIME_OF, SINCE, OF_CALL, REFUSED, CAME_BACK].map(str::to_owned);
    fixed.into_iter().chain([whose.question().0]).collect()
}

/// All names that one AOR has in calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whose {
    user: String,
    /// Empty: any domain.
    domains: Vec<Arc<str>>,
}

impl Whose {
    /// The AOR, under each domain that the settings take for the same.
    pub fn new(aor: &Aor, policy: &Policy) -> Self {
        Self {
            user: aor.user.to_string(),
            domains: policy.names_of(&aor.domain),
        }
    }

    /// A user in any domain.
    pub fn user(user: &str) -> Self {
        Self {
            user: user.to_owned(),
            domains: Vec::new(),
        }
    }

    /// The latest calls to them, with the parameters but two: the time, and how many.
    fn question(&self) -> (String, Vec<Sql>) {
        let mut values = vec![Sql::from(self.user.clone())];
        let mut condition = String::from("aor_user = ?1");
        if !self.domains.is_empty() {
            let places: Vec<_> = (2..self.domains.len() + 2).map(|n| format!("?{n}")).collect();
            condition = format!("{condition} AND aor_domain IN ({})", places.join(", "));
            values.extend(self.domains.iter().map(|domain| Sql::from(domain.to_string())));
        }
        let sql = format!(
            "SELECT id, call FROM journal WHERE event = 'call-held' AND {condition} AND at_ms >= ?{}
             ORDER BY at_ms DESC, id DESC LIMIT ?{}",
            values.len() + 1,
            values.len() + 2
        );
        (sql, values)
    }
}

/// Wakes of one page, newest first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WakePage {
    /// The wakes.
    pub wakes: Vec<Overview>,
    /// Where the next page begins: to be given as `before`; `null` on the last page.
    pub next: Option<i64>,
    /// Since when wakes of other daemons are missing, in milliseconds since 1970 (UTC); 0 if they were never read, `null` if none is
    /// missing.
    pub others_missing_since_ms: Option<i64>,
}

/// The journal of one store.
pub struct Journal {
    connection: Connection,
    path: PathBuf,
    /// The schema's.
    version: i64,
    /// What it exchanges with other daemons, if it does.
    exchange: Option<Exchange>,
}

type ReadResult<T> = Result<T, JournalError>;

impl JournalError {
    /// What to do about it.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "`fswake run` creates it; if it has run, check --config and store.path",
            Self::NotAllowed { .. } => "run it as root or as fswake's user",
            Self::Unreadable { .. } => {
                "use the fswake that made the store; if it is damaged: stop fswake, put the file aside and restore a copy of it \
                 (without one, phones are learned again as they register)"
            }
        }
    }
}

impl Journal {
    /// Opens the store's file for reading, whether or not a daemon has it open.
    pub fn open(path: &Path) -> ReadResult<Self> {
        if let Err(error) = std::fs::File::open(path) {
            let path = path.to_owned();
            return Err(match error.kind() {
                std::io::ErrorKind::NotFound => JournalError::Missing { path },
                _ => JournalError::NotAllowed {
                    path,
                    reason: words::of_io(&error),
                },
            });
        }
        let connection = open(path, "").or_else(|e| {
            // SQLite makes a -shm next to the file even for a reader. Where it cannot (a copy in a directory that is
            // read-only) and no daemon has left a -wal with more, the file by itself is all there is.
            let mut log = path.as_os_str().to_owned();
            log.push("-wal");
            let alone = std::fs::metadata(log).map_or(true, |log| log.len() == 0);
            if alone { open(path, "?immutable=1") } else { Err(e) }
        });
        let connection = connection.map_err(|e| failure(path, 0, &e))?;
        let version = connection.query_row("PRAGMA user_version", [], |row| row.get(0));
        let version = version.unwrap_or_default();
        let exchange = lines::exchange(&connection).map_err(|e| failure(path, version, &e))?;
        Ok(Self {
            version,
            exchange: exchange.filter(|exchange| exchange.is_shared),
            connection,
            path: path.to_owned(),
        })
    }

    /// The latest wakes before the line `before`, newest first.
    pub fn recent(&self, before: Option<i64>, most: usize) -> ReadResult<WakePage> {
        let read = || -> rusqlite::Result<WakePage> {
            let before = before.unwrap_or(i64::MAX);
            let at_ms = match before {
                i64::MAX => i64::MAX,
                id => {
                    let mut time = self.connection.prepare_cached(TIME_OF)?;
                    time.query_row([id], |row| row.get(0)).optional()?.unwrap_or(i64::MIN)
                }
            };
            let mut query = self.connection.prepare_cached(RECENT)?;
            let found = query
                .query_map(params![at_ms, before, limit(most)], id_and_call)?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            let next = found.last().filter(|_| found.len() == most).map(|(id, _)| *id);
            let wakes = found.iter().filter_map(|(_, call)| self.read_wake(call).transpose());
            let wakes = wakes.map(|wake| Ok(wake?.overview)).collect::<rusqlite::Result<_>>()?;
            Ok(WakePage {
                wakes,
                next,
                others_missing_since_ms: self.others_missing_since_ms(),
            })
        };
        read().map_err(|e| failure(&self.path, self.version, &e))
    }

    /// One wake, if the journal has it (still).
    pub fn wake(&self, call: CallId) -> ReadResult<Option<Wake>> {
        self.read_wake(&call.to_string())
            .map_err(|e| failure(&self.path, self.version, &e))
    }

    /// The latest wakes of one AOR since a time, oldest first.
    pub fn wakes_of(&self, whose: &Whose, since_ms: i64, most: usize) -> ReadResult<Vec<Wake>> {
        let (sql, mut values) = whose.question();
        values.push(since_ms.into());
        values.push(limit(most).into());
        let read = || -> rusqlite::Result<Vec<Wake>> {
            let mut query = self.connection.prepare_cached(&sql)?;
            let found = query
                .query_map(params_from_iter(&values), id_and_call)?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            found
                .iter()
                .rev()
                .filter_map(|(_, call)| self.read_wake(call).transpose())
                .collect()
        };
        read().map_err(|e| failure(&self.path, self.version, &e))
    }

    /// Every wake that began since a time, oldest first, at most `most` of the latest.
    pub fn wakes_since(&self, since_ms: i64, most: usize) -> ReadResult<Vec<Wake>> {
        let read = || -> rusqlite::Result<Vec<Wake>> {
            let mut query = self.connection.prepare_cached(SINCE)?;
            let found = query
                .query_map(params![since_ms, limit(most)], id_and_call)?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            let wakes = found
                .iter()
                .rev()
                .filter_map(|(_, call)| self.read_wake(call).transpose());
            wakes.collect()
        };
        read().map_err(|e| failure(&self.path, self.version, &e))
    }

    /// The results of the calls since a time.
    pub fn summary(&self, since_ms: i64) -> ReadResult<Summary> {
        summary::since(&self.connection, since_ms, self.daemon()).map_err(|e| failure(&self.path, self.version, &e))
    }

    /// Since when wakes of other daemons are missing, in milliseconds since 1970 (UTC): PostgreSQL does not answer, or fswake does
    /// not run. 0 if they were never read; `None` if none is missing.
    pub fn others_missing_since_ms(&self) -> Option<i64> {
        let exchange = self.exchange.as_ref()?;
        let is_missing = now_ms().saturating_sub(exchange.read_at_ms) > OTHERS_ARE_MISSING_AFTER_MS;
        is_missing.then_some(exchange.read_at_ms)
    }

    /// The name of the daemon that uses this file, if it shares its journal.
    pub fn daemon(&self) -> Option<&str> {
        self.exchange.as_ref().map(|exchange| exchange.daemon.as_str())
    }

    /// The connection, for other questions to the store.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The devices in the same store.
    pub fn devices(&self) -> ReadResult<Vec<Device>> {
        sqlite::devices(&self.connection).map_err(|e| failure(&self.path, self.version, &e))
    }

    fn read_wake(&self, call: &str) -> rusqlite::Result<Option<Wake>> {
        let of_call = if self.version < LINES_HAVE_DAEMONS {
            OF_CALL_BEFORE_SHARING
        } else {
            OF_CALL
        };
        let mut query = self.connection.prepare_cached(of_call)?;
        let own = self.daemon().unwrap_or_default();
        let entries = query.query_map([call], |row| entry(row, own))?;
        let mut entries = entries.collect::<rusqlite::Result<Vec<_>>>()?;
        // Each daemon's lines are in order. Those of several are sorted by their clocks.
        if entries.windows(2).any(|two| two[0].daemon != two[1].daemon) {
            entries.sort_by_key(|entry| entry.at_ms);
        }
        let aor = entries.first().map(|entry| entry.aor.clone());
        let Some((mut wake, aor)) = Wake::of(call, entries).zip(aor) else {
            return Ok(None);
        };
        if wake.misses_a_token() {
            let dropped = self.dropped(&aor, wake.overview.held_at_ms)?;
            wake.recall(dropped);
        }
        Ok(Some(wake))
    }

    /// The last token of an AOR that a provider called gone before a time, and that has not come back.
    fn dropped(&self, aor: &Aor, before_ms: i64) -> rusqlite::Result<Option<DroppedToken>> {
        let since = before_ms.saturating_sub(REMEMBERED_MS);
        let mut query = self.connection.prepare_cached(REFUSED)?;
        let mut rows = query.query(params![&*aor.user, &*aor.domain, since, before_ms])?;
        let mut came_back = self.connection.prepare_cached(CAME_BACK)?;
        while let Some(row) = rows.next()? {
            let at_ms: i64 = row.get(0)?;
            let detail: Map<String, Value> = serde_json::from_str(&text(row, 1)?).unwrap_or_default();
            let word = |name: &str| detail.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let (device, reason) = (word("device"), word("reason"));
            if step::push_error(&detail) != PushErrorKind::TokenGone {
                continue;
            }
            if came_back.exists(params![&*aor.user, &*aor.domain, at_ms, before_ms, device])? {
                continue;
            }
            return Ok(Some(DroppedToken { at_ms, device, reason }));
        }
        Ok(None)
    }
}

fn open(path: &Path, query: &str) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let name = percent_encoding::percent_encode(path.as_os_str().as_bytes(), IN_A_URI);
    let connection = Connection::open_with_flags(format!("file:{name}{query}"), flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // The first read finds out whether the file and those next to it can be used.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok(connection)
}

fn id_and_call(row: &Row<'_>) -> rusqlite::Result<(i64, String)> {
    Ok((row.get(0)?, text(row, 1)?))
}

/// `own` is the name of the daemon that uses the file.
fn entry(row: &Row<'_>, own: &str) -> rusqlite::Result<StepRow> {
    let detail = text(row, 4)?;
    let daemon = text(row, 5)?;
    Ok(StepRow {
        at_ms: row.get(0)?,
        aor: Aor::new(text(row, 1)?, text(row, 2)?),
        step: text(row, 3)?,
        // fswake writes only objects. Anything else counts as a step without details.
        detail: serde_json::from_str(&detail).unwrap_or_default(),
        daemon: if daemon.is_empty() { own.to_owned() } else { daemon },
        node: text(row, 6)?,
    })
}

fn limit(most: usize) -> i64 {
    i64::try_from(most).unwrap_or(i64::MAX)
}

fn failure(path: &Path, version: i64, error: &rusqlite::Error) -> JournalError {
    let path = path.to_owned();
    let reason = match error {
        // A missing table or column: the query itself would not help an operator.
        rusqlite::Error::SqlInputError { .. } if version > sqlite::SCHEMA_VERSION => {
            let known = sqlite::SCHEMA_VERSION;
            format!("a newer fswake made it (version {version}; this one knows up to {known})")
        }
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        other => words::of_sqlite(other),
    };
    match error.sqlite_error_code() {
        // The files next to it (-wal, -shm) belong to another user, or cannot be made in that directory.
        Some(ErrorCode::PermissionDenied | ErrorCode::ReadOnly | ErrorCode::CannotOpen) => {
            JournalError::NotAllowed { path, reason }
        }
        _ => JournalError::Unreadable { path, reason },
    }
}
