//! The file's journal as a part of the shared journal: own lines to send, and lines of other daemons received.
//!
//! Own lines are sent in the order of their ids. An id is never used again, even if the line was deleted, so the file
//! and the id (and the time, for files that were restored from a backup) identify a line in the shared journal.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};

/// The id of the next line: higher than each line's, and than each line's that was sent and deleted.
const NEXT_ID: &str = "(SELECT max(coalesce((SELECT max(id) FROM journal), 0),
                                   coalesce((SELECT sent_to FROM shared_journal), 0)) + 1)";

/// A line in the shared journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SharedLine {
    /// Identifies the file that it is from.
    pub file: i64,
    /// Its id there.
    pub line: i64,
    /// When, in milliseconds since 1970 (UTC).
    pub at_ms: i64,
    /// The fswake that wrote it.
    pub daemon: String,
    /// The FreeSWITCH that holds the call; empty if it has no name.
    pub node: String,
    /// The call, if it is about one.
    pub call: Option<String>,
    pub aor_user: String,
    pub aor_domain: String,
    pub event: String,
    /// One JSON object.
    pub detail: String,
}

/// What was exchanged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Exchange {
    /// Identifies this file's lines.
    pub file: i64,
    /// The name of the fswake that uses this file.
    pub daemon: String,
    /// Whether the store is shared now.
    pub is_shared: bool,
    /// Own lines up to this one have been sent.
    pub sent_to: i64,
    /// Which server, table and start of the server was read; empty before the first time.
    pub server: String,
    /// The server's transactions that have been read.
    pub snapshot: String,
    /// When other daemons' lines were read last, in milliseconds since 1970; 0 before the first time.
    pub read_at_ms: i64,
}

/// What one line needs besides its texts.
pub(super) struct NewLine<'a> {
    pub at_ms: i64,
    pub call: Option<&'a str>,
    pub aor_user: &'a str,
    pub aor_domain: &'a str,
    pub event: &'a str,
    pub detail: &'a str,
    pub daemon: &'a str,
    pub node: &'a str,
}

impl SharedLine {
    fn as_new(&self) -> NewLine<'_> {
        NewLine {
            at_ms: self.at_ms,
            call: self.call.as_deref(),
            aor_user: &self.aor_user,
            aor_domain: &self.aor_domain,
            event: &self.event,
            detail: &self.detail,
            daemon: &self.daemon,
            node: &self.node,
        }
    }
}

/// Appends one of this daemon's own lines.
pub(super) fn append(db: &Connection, line: &NewLine<'_>) -> rusqlite::Result<usize> {
    insert(db, "INSERT", line, None)
}

/// Appends a line; of another daemon with its file and its id there.
fn insert(db: &Connection, insert: &str, line: &NewLine<'_>, from: Option<(i64, i64)>) -> rusqlite::Result<usize> {
    let (from_file, from_line) = from.unzip();
    db.prepare_cached(&format!(
        "{insert} INTO journal (id, at_ms, call, aor_user, aor_domain, event, detail, daemon, node, file, line)
         VALUES ({NEXT_ID}, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"
    ))?
    .execute(params![
        line.at_ms,
        line.call,
        line.aor_user,
        line.aor_domain,
        line.event,
        line.detail,
        line.daemon,
        line.node,
        from_file,
        from_line
    ])
}

/// From now on the journal is shared, under this name.
pub(super) fn begin(db: &Connection, daemon: &str) -> rusqlite::Result<()> {
    let file = i64::from_le_bytes(first_half(uuid::Uuid::new_v4())) & i64::MAX;
    db.execute(
        "INSERT INTO shared_journal VALUES (1, ?1, ?2, 1, 0, '', '', 0)
         ON CONFLICT DO UPDATE SET daemon = excluded.daemon, is_shared = 1",
        params![file, daemon],
    )?;
    Ok(())
}

fn first_half(id: uuid::Uuid) -> [u8; 8] {
    let mut half = [0; 8];
    half.copy_from_slice(&id.as_bytes()[..8]);
    half
}

/// Ends sharing. What was sent is remembered, so that it is not sent again if the journal is shared later.
pub(super) fn end(db: &Connection) -> rusqlite::Result<()> {
    db.execute("UPDATE shared_journal SET is_shared = 0 WHERE is_shared = 1", [])?;
    Ok(())
}

/// What was exchanged; `None` if this file never shared its journal, or is an older fswake's.
pub(crate) fn exchange(db: &Connection) -> rusqlite::Result<Option<Exchange>> {
    if !db.table_exists(None, "shared_journal")? {
        return Ok(None);
    }
    let sql = "SELECT file, daemon, is_shared, sent_to, server, snapshot, read_at_ms FROM shared_journal";
    let row = db.query_row(sql, [], |row| {
        Ok(Exchange {
            file: row.get(0)?,
            daemon: row.get(1)?,
            is_shared: row.get(2)?,
            sent_to: row.get(3)?,
            server: row.get(4)?,
            snapshot: row.get(5)?,
            read_at_ms: row.get(6)?,
        })
    });
    row.optional()
}

/// Own lines that were not sent and are not older than this, oldest first; and the id after which to go on.
pub(super) fn unsent(
    db: &Connection,
    exchange: &Exchange,
    since_ms: i64,
    most: usize,
) -> rusqlite::Result<(Vec<SharedLine>, i64)> {
    // Both answers are of the same state of the file.
    let tx = Transaction::new_unchecked(db, TransactionBehavior::Deferred)?;
    let mut query = tx.prepare_cached(
        "SELECT id, at_ms, CASE daemon WHEN '' THEN ?3 ELSE daemon END, node, call, aor_user, aor_domain, event, detail FROM journal
         WHERE id > ?1 AND file IS NULL AND at_ms >= ?4 ORDER BY id LIMIT ?2",
    )?;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let rows = query.query_map(params![exchange.sent_to, most, exchange.daemon, since_ms], |row| {
        own(row, exchange.file)
    })?;
    let lines = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    let last: Option<i64> = match lines.last() {
        Some(line) => Some(line.line),
        None => tx
            .prepare_cached("SELECT max(id) FROM journal")?
            .query_row([], |row| row.get(0))?,
    };
    Ok((lines, last.unwrap_or(0).max(exchange.sent_to)))
}

fn own(row: &Row<'_>, file: i64) -> rusqlite::Result<SharedLine> {
    Ok(SharedLine {
        file,
        line: row.get(0)?,
        at_ms: row.get(1)?,
        daemon: row.get(2)?,
        node: row.get(3)?,
        call: row.get(4)?,
        aor_user: row.get(5)?,
        aor_domain: row.get(6)?,
        event: row.get(7)?,
        detail: row.get(8)?,
    })
}

/// How many own lines wait to be sent; a million at most, so that counting stays quick.
pub(crate) fn waiting(db: &Connection) -> rusqlite::Result<usize> {
    let sql =
        "SELECT count(*) FROM (SELECT 1 FROM journal WHERE file IS NULL AND id > (SELECT sent_to FROM shared_journal)
                                   LIMIT 1000000)";
    let count: i64 = db.query_row(sql, [], |row| row.get(0))?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Own lines up to this one have been sent.
pub(super) fn set_sent(db: &Connection, line: i64) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE shared_journal SET sent_to = ?1")?
        .execute([line])?;
    Ok(())
}

/// Other daemons' lines of these transactions have been read.
pub(super) fn set_read(db: &Connection, server: &str, snapshot: &str, read_at_ms: i64) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE shared_journal SET server = ?1, snapshot = ?2, read_at_ms = ?3")?
        .execute(params![server, snapshot, read_at_ms])?;
    Ok(())
}

/// Appends lines of other daemons that this file does not have yet. Returns how many.
pub(super) fn apply(db: &Connection, lines: &[SharedLine], own_file: i64) -> rusqlite::Result<usize> {
    let tx = Transaction::new_unchecked(db, TransactionBehavior::Immediate)?;
    let mut applied = 0;
    for line in lines {
        // Lines of this file, from a time when it had another name.
        if line.file == own_file && is_own(&tx, line)? {
            continue;
        }
        applied += insert(&tx, "INSERT OR IGNORE", &line.as_new(), Some((line.file, line.line)))?;
    }
    tx.commit()?;
    Ok(applied)
}

fn is_own(db: &Connection, line: &SharedLine) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM journal WHERE id = ?1 AND at_ms = ?2 AND file IS NULL")?
        .exists(params![line.line, line.at_ms])
}
