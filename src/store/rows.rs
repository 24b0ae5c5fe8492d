//! Rows: devices read and written, journal lines appended.

use rusqlite::{Connection, Row, params};

use super::journal::JournalEntry;
use crate::types::{Aor, Device, DeviceKey, Provider, PushParams, PushToken, Tokens};

/// All devices.
pub(crate) fn devices(connection: &Connection) -> rusqlite::Result<Vec<Device>> {
    let mut query = connection.prepare(&format!("SELECT {DEVICE} FROM devices"))?;
    query.query_map([], device)?.filter_map(Result::transpose).collect()
}

pub(super) fn put(db: &Connection, key: &DeviceKey, device: &Device) -> rusqlite::Result<usize> {
    db.prepare_cached(
        "INSERT INTO devices (aor_user, aor_domain, provider, app, token, team, call_token, remote_token, user_agent,
                              register_call_id, first_seen, last_seen, set_aside, public_id)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
         ON CONFLICT (provider, app, token) DO UPDATE SET
             aor_user = excluded.aor_user, aor_domain = excluded.aor_domain, team = excluded.team,
             call_token = excluded.call_token, remote_token = excluded.remote_token,
             user_agent = excluded.user_agent, register_call_id = excluded.register_call_id,
             first_seen = excluded.first_seen, last_seen = excluded.last_seen, set_aside = excluded.set_aside",
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
    ])
}

/// Deletes only the owner's row: a late delete for a former owner does not affect the new one.
pub(super) fn delete(db: &Connection, key: &DeviceKey) -> rusqlite::Result<usize> {
    db.prepare_cached(
        "DELETE FROM devices WHERE provider = ?1 AND app = ?2 AND token = ?3 AND aor_user = ?4 AND aor_domain = ?5",
    )?
    .execute(params![
        key.provider.name(),
        key.app,
        key.token.expose(),
        key.aor.user,
        key.aor.domain,
    ])
}

pub(super) fn append(db: &Connection, entry: &JournalEntry) -> rusqlite::Result<usize> {
    db.prepare_cached(
        "INSERT INTO journal (at_ms, call, aor_user, aor_domain, event, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        entry.at_ms,
        entry.call.map(|c| c.to_string()),
        entry.aor.user,
        entry.aor.domain,
        entry.step.name(),
        entry.detail(),
    ])
}

/// What [`device`] reads, in its order.
pub(super) const DEVICE: &str = "aor_user, aor_domain, provider, app, team, call_token, remote_token, user_agent, \
                                 register_call_id, first_seen, last_seen, set_aside";

/// One row's device; `None` for a row without a token, which fswake never writes.
pub(super) fn device(row: &Row<'_>) -> rusqlite::Result<Option<Device>> {
    let token = |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<String>>(column)?.map(PushToken::new));
    let Some(tokens) = Tokens::new(token(5)?, token(6)?) else {
        return Ok(None);
    };
    Ok(Some(Device {
        aor: Aor::new(row.get::<_, String>(0)?, row.get::<_, String>(1)?),
        push: PushParams {
            provider: Provider::from_name(&row.get::<_, String>(2)?),
            app: row.get(3)?,
            team: row.get(4)?,
            tokens,
        },
        user_agent: row.get(7)?,
        register_call_id: row.get(8)?,
        first_seen: row.get(9)?,
        last_seen: row.get(10)?,
        set_aside: row.get(11)?,
    }))
}
