//! From the file of an older fswake to the present schema, in one transaction.

use std::path::Path;

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::rows::{self, DEVICE, Origin};
use super::schema::{SCHEMA, SCHEMA_VERSION, StoreError, failure};
use super::{older_copy, older_journal};
use crate::types::{Device, PushParams, PushToken, Tokens};

/// The first version whose tokens all have the form of [`PushToken::read`].
const TOKENS_HAVE_ONE_FORM: i64 = 4;

/// The first version whose journal has the code of each push's error.
const ERRORS_HAVE_CODES: i64 = 5;

/// The first version whose devices can be read as they are.
const DEVICES_HAVE_TIMES: i64 = 6;

/// Whether the devices of this file can be read without an upgrade; rejects a later fswake's file.
pub(super) fn can_be_read(connection: &Connection, path: &Path) -> Result<bool, StoreError> {
    Ok(version(connection, path)? >= DEVICES_HAVE_TIMES)
}

/// The file's version; rejects a later fswake's file.
fn version(connection: &Connection, path: &Path) -> Result<i64, StoreError> {
    let version = connection.query_row("PRAGMA user_version", [], |row| row.get(0));
    let found: i64 = version.map_err(|e| failure(path, &e))?;
    if found > SCHEMA_VERSION {
        return Err(StoreError::NewerSchema {
            path: path.to_owned(),
            found,
            copy: Some(older_copy::place(path, SCHEMA_VERSION)).filter(|copy| copy.exists()),
        });
    }
    Ok(found)
}

/// Applies [`SCHEMA`] if it is missing; rejects a later fswake's file.
pub(super) fn upgrade(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let found = version(connection, path)?;
    if found < SCHEMA_VERSION {
        if found > 0 {
            older_copy::make(connection, path, found);
        }
        apply(connection, found).map_err(|e| failure(path, &e))?;
    }
    Ok(())
}

fn apply(connection: &Connection, found: i64) -> rusqlite::Result<()> {
    let tx = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    if tx.table_exists(None, "devices")? && !tx.column_exists(None, "devices", "public_id")? {
        tx.execute_batch("ALTER TABLE devices ADD COLUMN public_id INTEGER")?;
    }
    if tx.table_exists(None, "devices")? && !tx.column_exists(None, "devices", "changed")? {
        tx.execute_batch(
            "ALTER TABLE devices ADD COLUMN changed INTEGER NOT NULL DEFAULT 0;
             ALTER TABLE devices ADD COLUMN elsewhere INTEGER NOT NULL DEFAULT 0;
             UPDATE devices SET changed = last_seen * 1000000 WHERE last_seen BETWEEN 0 AND 9000000000000;",
        )?;
    }
    if tx.table_exists(None, "journal")? && !tx.column_exists(None, "journal", "daemon")? {
        tx.execute_batch(
            "ALTER TABLE journal ADD COLUMN daemon TEXT NOT NULL DEFAULT '';
             ALTER TABLE journal ADD COLUMN node TEXT NOT NULL DEFAULT '';
             ALTER TABLE journal ADD COLUMN file INTEGER;
             ALTER TABLE journal ADD COLUMN line INTEGER;",
        )?;
    }
    tx.execute_batch(SCHEMA)?;
    let mut unnamed = tx.prepare(&format!("SELECT {DEVICE}, id FROM devices WHERE public_id IS NULL"))?;
    let mut name = tx.prepare("UPDATE devices SET public_id = ?1 WHERE id = ?2")?;
    let without_name = unnamed.query_map([], |row| Ok((rows::device(row)?, row.get::<_, i64>("id")?)))?;
    for device in without_name.collect::<rusqlite::Result<Vec<_>>>()? {
        if let (Some(device), id) = device {
            name.execute(params![device.key().public_id().0.cast_signed(), id])?;
        }
    }
    drop((unnamed, name));
    if found < TOKENS_HAVE_ONE_FORM {
        give_tokens_one_form(&tx)?;
    }
    if found < ERRORS_HAVE_CODES {
        give_errors_their_codes(&tx)?;
    }
    tx.commit()
}

/// Rewrites tokens that were stored as phones sent them in the form in which they are read now. Of rows that turn out
/// to be one device, the one seen last stays. Rows without a usable token are deleted: no push to them ever succeeded.
fn give_tokens_one_form(tx: &Transaction<'_>) -> rusqlite::Result<()> {
    let mut query = tx.prepare(&format!("SELECT {DEVICE}, id FROM devices ORDER BY last_seen, id"))?;
    let rows = query.query_map([], |row| Ok((rows::device(row)?, row.get::<_, i64>("id")?)))?;
    let mut changed = Vec::new();
    for row in rows {
        let (device, id) = row?;
        let read = device.as_ref().and_then(in_one_form);
        if read.is_none() || read != device {
            changed.push((id, read));
        }
    }
    drop(query);
    for (id, _) in &changed {
        tx.prepare_cached("DELETE FROM devices WHERE id = ?1")?.execute([id])?;
    }
    for device in changed.into_iter().filter_map(|(_, device)| device) {
        let key = device.key();
        let seen: Option<i64> = tx
            .prepare_cached("SELECT max(last_seen) FROM devices WHERE provider = ?1 AND app = ?2 AND token = ?3")?
            .query_row(params![key.provider.name(), key.app, key.token.expose()], |row| {
                row.get(0)
            })?;
        if seen.is_none_or(|seen| seen <= device.last_seen) {
            rows::put(tx, &key, &device, Origin::Here)?;
        }
    }
    Ok(())
}

/// A device with its tokens as they are read now; `None` if none of them is one.
fn in_one_form(device: &Device) -> Option<Device> {
    let read = |token: &PushToken| PushToken::read(&device.push.provider, token.expose()).ok();
    let tokens = &device.push.tokens;
    let tokens = Tokens::new(tokens.call().and_then(read), tokens.remote().and_then(read))?;
    Some(Device {
        push: PushParams {
            tokens,
            ..device.push.clone()
        },
        ..device.clone()
    })
}

/// Adds the code of the error, and the provider's status, to lines of the journal that have only texts.
fn give_errors_their_codes(tx: &Transaction<'_>) -> rusqlite::Result<()> {
    let mut query = tx.prepare(
        "SELECT id, CAST(json_extract(detail, '$.class') AS TEXT), CAST(json_extract(detail, '$.reason') AS TEXT) FROM journal
         WHERE event = 'push-refused' AND json_valid(detail) AND json_type(detail) = 'object'
           AND json_extract(detail, '$.code') IS NULL",
    )?;
    let rows = query.query_map([], |row| {
        let text = |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<String>>(column)?.unwrap_or_default());
        Ok((row.get::<_, i64>(0)?, older_journal::error_kind(&text(1)?, &text(2)?)))
    })?;
    let lines = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    drop(query);
    let mut with_code = tx.prepare("UPDATE journal SET detail = json_set(detail, '$.code', ?2) WHERE id = ?1")?;
    let mut with_status =
        tx.prepare("UPDATE journal SET detail = json_set(detail, '$.code', ?2, '$.status', ?3) WHERE id = ?1")?;
    for (id, kind) in lines {
        match kind.status() {
            Some(status) => with_status.execute(params![id, kind.code(), status])?,
            None => with_code.execute(params![id, kind.code()])?,
        };
    }
    Ok(())
}
