//! Rows: devices read and written.

use std::sync::Arc;

use rusqlite::{Connection, Row, params};

use crate::types::{Aor, Device, DeviceKey, Provider, PushParams, PushToken, Tokens, UnixMicros};

/// All devices.
pub(crate) fn devices(connection: &Connection) -> rusqlite::Result<Vec<Device>> {
    let mut all = Vec::new();
    some_devices(connection, "", &mut |device| all.push(device))?;
    Ok(all)
}

/// The devices whose last change was made by this daemon, or by others, one by one: all of them at once are much larger
/// than what the engine keeps of them.
pub(super) fn devices_from(
    connection: &Connection,
    origin: Origin,
    each: &mut dyn FnMut(Device),
) -> rusqlite::Result<()> {
    let which = match origin {
        Origin::Here => "WHERE elsewhere = 0",
        Origin::Elsewhere => "WHERE elsewhere = 1",
    };
    some_devices(connection, which, each)
}

fn some_devices(connection: &Connection, which: &str, each: &mut dyn FnMut(Device)) -> rusqlite::Result<()> {
    let columns = columns(connection)?;
    let mut query = connection.prepare(&format!("SELECT {columns} FROM devices {which}"))?;
    for row in query.query_map([], device)? {
        row?.into_iter().for_each(&mut *each);
    }
    Ok(())
}

/// Which daemon made a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// This daemon. Its own changes are in order.
    Here,
    /// Another daemon. The later of two changes counts.
    Elsewhere,
}

pub(super) fn put(db: &Connection, key: &DeviceKey, device: &Device, origin: Origin) -> rusqlite::Result<usize> {
    db.prepare_cached(
        "INSERT INTO devices (aor_user, aor_domain, provider, app, token, team, call_token, remote_token, user_agent,
                              register_call_id, first_seen, last_seen, set_aside, public_id, changed, elsewhere)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
         ON CONFLICT (provider, app, token) DO UPDATE SET
             aor_user = excluded.aor_user, aor_domain = excluded.aor_domain, team = excluded.team,
             call_token = excluded.call_token, remote_token = excluded.remote_token,
             user_agent = excluded.user_agent, register_call_id = excluded.register_call_id,
             first_seen = excluded.first_seen, last_seen = excluded.last_seen, set_aside = excluded.set_aside,
             changed = excluded.changed, elsewhere = excluded.elsewhere
         WHERE devices.elsewhere = 0 OR excluded.changed >= devices.changed",
    )?
    .execute(params![
        key.aor.user,
        key.aor.domain,
        key.provider.name(),
        key.app,
        key.token.expose(),
        device.push.team,
        device.push.tokens.call().map(PushToken::expose),
        device.push.tokens.remote().map(PushToken::expose),
        device.user_agent,
        device.register_call_id,
        device.first_seen,
        device.last_seen,
        device.set_aside,
        key.public_id().0.cast_signed(),
        device.changed,
        origin == Origin::Elsewhere,
    ])
}

/// Deletes only the owner's row, as it was at that time: a late delete for a former owner does not affect the new one.
pub(super) fn delete(db: &Connection, key: &DeviceKey, changed: UnixMicros) -> rusqlite::Result<usize> {
    db.prepare_cached(
        "DELETE FROM devices WHERE provider = ?1 AND app = ?2 AND token = ?3 AND aor_user = ?4 AND aor_domain = ?5
             AND (elsewhere = 0 OR changed <= ?6)",
    )?
    .execute(params![
        key.provider.name(),
        key.app,
        key.token.expose(),
        key.aor.user,
        key.aor.domain,
        changed,
    ])
}

/// What [`device`] reads, in its order; `changed` may follow, which files of older versions do not have.
pub(super) const DEVICE: &str = "aor_user, aor_domain, provider, app, team, call_token, remote_token, user_agent, \
                                 register_call_id, first_seen, last_seen, set_aside";

/// What [`device`] reads in this file, which may be of an older version.
pub(super) fn columns(db: &Connection) -> rusqlite::Result<String> {
    let has_times = db.column_exists(None, "devices", "changed")?;
    let changed = if has_times { ", changed" } else { "" };
    Ok(format!("{DEVICE}{changed}"))
}

/// One row's device; `None` for a row without a token, which fswake never writes.
pub(super) fn device(row: &Row<'_>) -> rusqlite::Result<Option<Device>> {
    let token = |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<Arc<str>>>(column)?.map(PushToken::new));
    let Some(tokens) = Tokens::new(token(5)?, token(6)?) else {
        return Ok(None);
    };
    Ok(Some(Device {
        aor: Aor::new(row.get::<_, Arc<str>>(0)?, row.get::<_, Arc<str>>(1)?),
        push: PushParams {
            provider: Provider::from_name(row.get_ref(2)?.as_str()?),
            app: row.get(3)?,
            team: row.get(4)?,
            tokens,
        },
        user_agent: row.get(7)?,
        register_call_id: row.get(8)?,
        first_seen: row.get(9)?,
        last_seen: row.get(10)?,
        set_aside: row.get(11)?,
        changed: changed(row)?,
    }))
}

/// The time of its last change; in older files, of its last REGISTER.
fn changed(row: &Row<'_>) -> rusqlite::Result<UnixMicros> {
    match row.get("changed") {
        Err(rusqlite::Error::InvalidColumnName(_)) => Ok(row.get::<_, i64>(10)?.saturating_mul(1_000_000)),
        changed => changed,
    }
}
