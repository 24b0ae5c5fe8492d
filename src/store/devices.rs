//! Reads devices from the store while the daemon writes it.

use rusqlite::{Connection, OptionalExtension, params};

use super::rows::{DEVICE, device};
use crate::types::{Aor, Device, Provider, PublicId, UnixSeconds};

/// Most owners in one answer.
const AT_ONCE: i64 = 1_000;

/// Devices of one page.
#[derive(Debug)]
pub struct DevicePage {
    /// In the order of their first REGISTERs.
    pub devices: Vec<Device>,
    /// Where the next page begins: to be given as `after`; `None` on the last page.
    pub next: Option<i64>,
}

/// The devices behind the row `after`.
pub fn page(db: &Connection, after: i64, most: usize) -> rusqlite::Result<DevicePage> {
    let sql = format!("SELECT {DEVICE}, id FROM devices WHERE id > ?1 ORDER BY id LIMIT ?2");
    let mut query = db.prepare_cached(&sql)?;
    let most_rows = i64::try_from(most).unwrap_or(i64::MAX);
    let rows = query
        .query_map(params![after, most_rows], |row| Ok((device(row)?, row.get("id")?)))?
        .collect::<rusqlite::Result<Vec<(Option<Device>, i64)>>>()?;
    let next = rows.last().filter(|_| rows.len() == most).map(|(_, id)| *id);
    Ok(DevicePage {
        devices: rows.into_iter().filter_map(|(device, _)| device).collect(),
        next,
    })
}

/// Devices of one provider, app id and domain.
#[derive(Debug)]
pub struct Group {
    /// Their provider.
    pub provider: Provider,
    /// Their app id.
    pub app: String,
    /// Their owners' domain.
    pub domain: String,
    /// Their number.
    pub devices: u64,
}

/// How many devices there are of each provider, app id and domain.
pub fn groups(db: &Connection) -> rusqlite::Result<Vec<Group>> {
    let sql = "SELECT provider, app, aor_domain, count(*) FROM devices GROUP BY provider, app, aor_domain";
    let mut query = db.prepare_cached(sql)?;
    let groups = query.query_map([], |row| {
        Ok(Group {
            provider: Provider::from_name(&row.get::<_, String>(0)?),
            app: row.get(1)?,
            domain: row.get(2)?,
            devices: row.get::<_, i64>(3)?.unsigned_abs(),
        })
    })?;
    groups.collect()
}

/// The device with this id.
pub fn find(db: &Connection, id: PublicId) -> rusqlite::Result<Option<Device>> {
    let sql = format!("SELECT {DEVICE} FROM devices WHERE public_id = ?1");
    let mut query = db.prepare_cached(&sql)?;
    Ok(query.query_row([id.0.cast_signed()], device).optional()?.flatten())
}

/// The owners of devices not seen since `before`, from the row after `after`; and where to go on, if there may be more.
pub fn owners_unseen(db: &Connection, before: UnixSeconds, after: i64) -> rusqlite::Result<(Vec<Aor>, Option<i64>)> {
    let mut query = db.prepare_cached(
        "SELECT aor_user, aor_domain, id FROM devices WHERE max(first_seen, last_seen) < ?1 AND id > ?2 ORDER BY id LIMIT ?3",
    )?;
    let rows = query.query_map(params![before, after, AT_ONCE], |row| {
        let aor = Aor::new(row.get::<_, String>(0)?, row.get::<_, String>(1)?);
        Ok((aor, row.get::<_, i64>(2)?))
    })?;
    let rows = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    let next = rows
        .last()
        .filter(|_| i64::try_from(rows.len()) == Ok(AT_ONCE))
        .map(|(_, id)| *id);
    let mut found: Vec<_> = rows.into_iter().map(|(aor, _)| aor).collect();
    found.dedup();
    Ok((found, next))
}
