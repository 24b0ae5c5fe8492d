//! Creates and upgrades the tables of the shared store. The daemon that starts first does it.

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::version::{SCHEMA, SCHEMA_VERSION};
use super::{SharedError, rights};

/// fswake's own advisory lock: one daemon at a time creates or upgrades the tables.
const LOCK: i64 = 0x6673_7761_6b65;

/// PostgreSQL 13, the first version with `pg_current_xact_id`: 64-bit transaction numbers.
const OLDEST: i32 = 130_000;

/// What to do about tables that do not exist, or are of an older version.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tables {
    /// Creates or upgrades them.
    Ensure,
    /// Changes nothing.
    AsTheyAre,
}

/// Returns the version of the tables, after they were created or upgraded if `tables` says so. Refuses tables of a
/// newer fswake.
pub(super) async fn ensure(client: &mut Client, tables: Tables) -> Result<i32, SharedError> {
    let about = client
        .query_typed_one(
            "SELECT current_setting('server_version_num')::int, current_setting('server_version'), pg_is_in_recovery()",
            &[],
        )
        .await
        .map_err(SharedError::of)?;
    if about.try_get::<_, i32>(0)? < OLDEST {
        return Err(SharedError::TooOld(about.try_get(1)?));
    }
    if about.try_get(2)? {
        return Err(SharedError::Standby);
    }
    let found = version(client).await?;
    match (tables, found) {
        (_, Some(SCHEMA_VERSION)) => return Ok(SCHEMA_VERSION),
        (Tables::AsTheyAre, None) => {
            let missing = rights::missing_to_create(client).await?;
            return Err(missing.map_or(SharedError::NoTables, SharedError::MayNotCreate));
        }
        (Tables::AsTheyAre, Some(found)) => return Ok(found),
        (Tables::Ensure, _) => {}
    }
    match (apply(client).await, found) {
        (Ok(()), _) => Ok(SCHEMA_VERSION),
        (Err(SharedError::NoRight(reason)), None) => {
            let missing = rights::missing_to_create(client).await?;
            Err(SharedError::MayNotCreate(missing.unwrap_or(reason)))
        }
        (Err(SharedError::NoRight(_)), Some(found)) => Err(SharedError::MayNotUpgrade { found }),
        (Err(error), _) => Err(error),
    }
}

/// Applies [`SCHEMA`], which also upgrades tables of older versions.
async fn apply(client: &mut Client) -> Result<(), SharedError> {
    let tx = client.transaction().await.map_err(SharedError::of)?;
    // Released with the transaction, so that it works through a pooler too.
    tx.query_typed("SELECT pg_advisory_xact_lock($1)", &[(&LOCK, Type::INT8)])
        .await
        .map_err(SharedError::of)?;
    // Another daemon may have done it in the meantime.
    if version(tx.client()).await? != Some(SCHEMA_VERSION) {
        tx.batch_execute(SCHEMA).await.map_err(SharedError::of)?;
    }
    tx.commit().await.map_err(SharedError::of)
}

/// The version of the tables; `None`: there are none.
async fn version(client: &Client) -> Result<Option<i32>, SharedError> {
    // Not `to_regclass`: it may still have the answer from before another daemon made the tables (PostgreSQL's cache of
    // names).
    let exists = "SELECT EXISTS (SELECT 1 FROM pg_class WHERE relname = 'fswake_schema' AND pg_table_is_visible(oid))";
    let there = client.query_typed_one(exists, &[]).await.map_err(SharedError::of)?;
    if !there.try_get::<_, bool>(0)? {
        return Ok(None);
    }
    let row = client
        .query_typed_one("SELECT coalesce(max(version), 0) FROM fswake_schema", &[])
        .await
        .map_err(SharedError::of)?;
    match row.try_get(0)? {
        found if found > SCHEMA_VERSION => Err(SharedError::NewerSchema { found }),
        found => Ok(Some(found)),
    }
}
