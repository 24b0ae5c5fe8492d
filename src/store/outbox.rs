//! The file as a copy of a shared store: what that does not have yet, and what is taken from it.
//!
//! Both are in the same transactions as the devices themselves. So whatever ends the daemon, a change that is in the file
//! goes to the shared store when fswake runs again, and what was read from there is not read again.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};

use super::queue::Change;
use super::rows::{self, DEVICE, Origin};
use crate::engine::DeviceNews;
use crate::types::{Device, DeviceKey, Provider, PushToken};

/// The place of a change in the outbox.
pub(super) type Place = i64;

/// Where reading the shared store goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// Which server and table; empty before the first time.
    pub(super) server: String,
    /// Its transactions before this one have been read.
    pub(super) read_to: i64,
}

/// Whether this file is a copy of a shared store.
pub(super) fn is_kept(db: &Connection) -> rusqlite::Result<bool> {
    db.query_row("SELECT EXISTS (SELECT 1 FROM shared)", [], |row| row.get(0))
}

/// From now on changes are kept for the shared store.
pub(super) fn keep(db: &Connection) -> rusqlite::Result<()> {
    db.execute("INSERT OR IGNORE INTO shared VALUES (1, '', 0, '')", [])?;
    Ok(())
}

/// No store is shared any more: what it does not have stays here, as all devices do.
pub(super) fn end(db: &Connection) -> rusqlite::Result<()> {
    if is_kept(db)? {
        db.execute_batch("BEGIN IMMEDIATE; DELETE FROM shared; DELETE FROM outbox; COMMIT")?;
    }
    Ok(())
}

/// Puts one change at the end, in the place of an older one of the same token. A late delete for a former owner replaces
/// nothing.
pub(super) fn add(db: &Connection, key: &DeviceKey, change: &Change) -> rusqlite::Result<usize> {
    let news = match change {
        Change::Put(device) => DeviceNews::Kept(device.clone()),
        Change::Delete(changed) => DeviceNews::Dropped {
            key: key.clone(),
            changed: *changed,
        },
    };
    if waits(db, key)?.is_some_and(|waiting| waiting.is_later_than(&news)) {
        return Ok(0);
    }
    match change {
        Change::Put(device) => db
            .prepare_cached(&format!(
                "INSERT OR REPLACE INTO outbox ({DEVICE}, token, changed, dropped) {VALUES}"
            ))?
            .execute(params![
                key.aor.user,
                key.aor.domain,
                key.provider.name(),
                key.app,
                device.push.team,
                device.push.tokens.call().map(PushToken::expose),
                device.push.tokens.remote().map(PushToken::expose),
                device.user_agent,
                device.register_call_id,
                device.first_seen,
                device.last_seen,
                device.set_aside,
                key.token.expose(),
                device.changed,
                false,
            ]),
        Change::Delete(changed) => db
            .prepare_cached(&format!(
                "INSERT OR REPLACE INTO outbox ({DEVICE}, token, changed, dropped) {VALUES}"
            ))?
            .execute(params![
                key.aor.user,
                key.aor.domain,
                key.provider.name(),
                key.app,
                None::<&str>,
                None::<&str>,
                None::<&str>,
                "",
                "",
                0,
                0,
                None::<&str>,
                key.token.expose(),
                changed,
                true,
            ]),
    }
}

const VALUES: &str = "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";

/// All devices of this file are for the shared store: it is another one, or has lost some.
pub(super) fn add_all(db: &Connection) -> rusqlite::Result<usize> {
    db.execute(
        &format!(
            "INSERT OR IGNORE INTO outbox ({DEVICE}, token, changed, dropped) SELECT {DEVICE}, token, changed, 0 FROM devices"
        ),
        [],
    )
}

/// The oldest changes, and how each is to be taken out.
pub(super) fn first(db: &Connection, most: usize) -> rusqlite::Result<Vec<(Place, DeviceNews)>> {
    let sql = format!("SELECT {DEVICE}, token, changed, dropped, id FROM outbox ORDER BY id LIMIT ?1");
    let mut query = db.prepare_cached(&sql)?;
    let rows = query.query_map([i64::try_from(most).unwrap_or(i64::MAX)], |row| {
        Ok(change(row)?.map(|change| (row.get("id"), change)))
    })?;
    rows.filter_map(Result::transpose)
        .map(|row| row.and_then(|(id, change)| Ok((id?, change))))
        .collect()
}

fn change(row: &Row<'_>) -> rusqlite::Result<Option<DeviceNews>> {
    if row.get("dropped")? {
        let key = DeviceKey {
            aor: crate::types::Aor::new(row.get::<_, String>(0)?, row.get::<_, String>(1)?),
            provider: Provider::from_name(&row.get::<_, String>(2)?),
            app: row.get(3)?,
            token: PushToken::new(row.get::<_, String>("token")?),
        };
        let changed = row.get("changed")?;
        return Ok(Some(DeviceNews::Dropped { key, changed }));
    }
    let device = rows::device(row)?;
    Ok(device.map(|device| DeviceNews::Kept(device.into())))
}

/// How many changes wait.
pub(crate) fn waiting(db: &Connection) -> rusqlite::Result<usize> {
    let count: i64 = db.query_row("SELECT count(*) FROM outbox", [], |row| row.get(0))?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Takes out what the shared store has now; what has been replaced meanwhile has another place.
pub(super) fn take_out(db: &Connection, sent: &[(Place, DeviceNews)]) -> rusqlite::Result<()> {
    let tx = Transaction::new_unchecked(db, TransactionBehavior::Immediate)?;
    for (place, _) in sent {
        tx.prepare_cached("DELETE FROM outbox WHERE id = ?1")?
            .execute([place])?;
    }
    tx.commit()
}

/// Where reading goes on.
pub(super) fn cursor(db: &Connection) -> rusqlite::Result<Cursor> {
    let row = db.query_row("SELECT server, read_to FROM shared", [], |row| {
        Ok(Cursor {
            server: row.get(0)?,
            read_to: row.get(1)?,
        })
    });
    Ok(row.optional()?.unwrap_or_default())
}

/// Remembers where reading goes on.
pub(super) fn set_cursor(db: &Connection, cursor: &Cursor) -> rusqlite::Result<()> {
    let sql = "UPDATE shared SET server = ?1, read_to = ?2 WHERE server <> ?1 OR read_to <> ?2";
    db.execute(sql, params![cursor.server, cursor.read_to])?;
    Ok(())
}

/// Remembers how other daemons' changes come, for the doctor.
pub(super) fn set_news_by(db: &Connection, news_by: &str) -> rusqlite::Result<()> {
    let sql = "UPDATE shared SET news_by = ?1 WHERE news_by <> ?1";
    db.execute(sql, [news_by])?;
    Ok(())
}

/// How other daemons' changes come.
pub(crate) fn news_by(db: &Connection) -> rusqlite::Result<Option<String>> {
    db.query_row("SELECT news_by FROM shared", [], |row| row.get(0))
        .optional()
}

/// Writes down what the shared store has, unless something later is known here; returns what was news.
pub(super) fn take_in(db: &Connection, news: Vec<DeviceNews>) -> rusqlite::Result<Vec<DeviceNews>> {
    let tx = Transaction::new_unchecked(db, TransactionBehavior::Immediate)?;
    let mut taken = Vec::with_capacity(news.len());
    for one in news {
        let key = one.key();
        let is_older = |known: Option<DeviceNews>| known.is_some_and(|known| !one.is_later_than(&known));
        if is_older(waits(&tx, &key)?) || is_older(known(&tx, &key)?) {
            continue;
        }
        match &one {
            DeviceNews::Kept(device) => {
                rows::put(&tx, &key, device, Origin::Elsewhere)?;
            }
            DeviceNews::Dropped { .. } => {
                tx.prepare_cached("DELETE FROM devices WHERE provider = ?1 AND app = ?2 AND token = ?3")?
                    .execute(params![key.provider.name(), key.app, key.token.expose()])?;
            }
        }
        taken.push(one);
    }
    tx.commit()?;
    Ok(taken)
}

/// Puts devices of another store in, unless something later is known; how many were news.
pub(super) fn import(db: &Connection, devices: Vec<DeviceNews>) -> rusqlite::Result<usize> {
    let is_shared = is_kept(db)?;
    let taken = take_in(db, devices)?;
    let tx = Transaction::new_unchecked(db, TransactionBehavior::Immediate)?;
    for news in &taken {
        if let DeviceNews::Kept(device) = news {
            let key = device.key();
            // As if they had been heard here.
            tx.prepare_cached("UPDATE devices SET elsewhere = 0 WHERE provider = ?1 AND app = ?2 AND token = ?3")?
                .execute(params![key.provider.name(), key.app, key.token.expose()])?;
            if is_shared {
                add(&tx, &key, &Change::Put(device.clone()))?;
            }
        }
    }
    tx.commit()?;
    Ok(taken.len())
}

/// The change of a token that waits.
fn waits(db: &Connection, key: &DeviceKey) -> rusqlite::Result<Option<DeviceNews>> {
    let sql =
        format!("SELECT {DEVICE}, token, changed, dropped FROM outbox WHERE provider = ?1 AND app = ?2 AND token = ?3");
    let found = db
        .prepare_cached(&sql)?
        .query_row(params![key.provider.name(), key.app, key.token.expose()], change)
        .optional()?;
    Ok(found.flatten())
}

/// The device that has a token.
fn known(db: &Connection, key: &DeviceKey) -> rusqlite::Result<Option<DeviceNews>> {
    let sql = format!("SELECT {DEVICE}, changed FROM devices WHERE provider = ?1 AND app = ?2 AND token = ?3");
    let found: Option<Option<Device>> = db
        .prepare_cached(&sql)?
        .query_row(params![key.provider.name(), key.app, key.token.expose()], rows::device)
        .optional()?;
    Ok(found.flatten().map(|device| DeviceNews::Kept(device.into())))
}
