//! The devices read back from the store, beside the daemon that writes it.

use rusqlite::{Connection, OptionalExtension, params};

use super::sqlite::{DEVICE, device};
use crate::types::{Device, PublicId};

/// Devices of one page.
#[derive(Debug)]
pub struct DevicePage {
    /// In the order of their first REGISTERs.
    pub devices: Vec<Device>,
    /// Where the next page begins: to be given as `after`; `None` when there is none.
    pub next: Option<i64>,
}

/// The devices behind the row `after`.
pub fn page(db: &Connection, after: i64, most: usize) -> rusqlite::Result<DevicePage> {
    let sql = format!("SELECT {DEVICE}, id FROM devices WHERE id > ?1 ORDER BY id LIMIT ?2");
    let mut query = db.prepare_cached(&sql)?;
    let most_rows = i64::try_from(most).unwrap_or(i64::MAX);
    let rows = query
        .query_map(params![after, most_rows], |row| Ok((device(row)?, row.get("id")?)))?
        .collect::<rusqlite::Result<Vec<(Device, i64)>>>()?;
    let next = rows.last().filter(|_| rows.len() == most).map(|(_, id)| *id);
    Ok(DevicePage {
        devices: rows.into_iter().map(|(device, _)| device).collect(),
        next,
    })
}

/// The device with this id.
pub fn find(db: &Connection, id: PublicId) -> rusqlite::Result<Option<Device>> {
    let sql = format!("SELECT {DEVICE} FROM devices WHERE public_id = ?1");
    let mut query = db.prepare_cached(&sql)?;
    query.query_row([id.0.cast_signed()], device).optional()
}
