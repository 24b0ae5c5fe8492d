//! `push_tokens` in a SQLite file (`carusto.db` of mod_apn, `fusionpbx.db` of its fork, in FreeSWITCH's `db`
//! directory).

use std::path::Path;
use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};

use crate::import::tokens::Row;

/// FreeSWITCH may be writing.
const BUSY: Duration = Duration::from_secs(10);

/// Columns as text whatever their type; CURRENT_TIMESTAMP is UTC in SQLite.
const ROWS: &str = "SELECT rowid, token, extension, realm, app_id, type, platform,
       coalesce(CASE typeof(last_update) WHEN 'integer' THEN last_update
                                         ELSE CAST(strftime('%s', last_update) AS INTEGER) END, 0)
  FROM push_tokens ORDER BY rowid";

/// Reads all rows.
pub(super) fn rows(file: &Path) -> rusqlite::Result<Vec<Row>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(file, flags)?;
    db.busy_timeout(BUSY)?;
    let mut query = db.prepare(ROWS)?;
    let rows = query.query_map([], |row| {
        let text = |column| -> rusqlite::Result<String> {
            Ok(match row.get_ref(column)? {
                ValueRef::Null => String::new(),
                ValueRef::Integer(n) => n.to_string(),
                ValueRef::Real(n) => n.to_string(),
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            })
        };
        Ok(Row {
            id: row.get(0)?,
            token: text(1)?,
            user: text(2)?,
            realm: text(3)?,
            app_id: text(4)?,
            kind: text(5)?,
            platform: text(6)?,
            last_update: row.get(7)?,
        })
    })?;
    rows.collect()
}
