//! Creates and upgrades the tables of the shared store. The daemon that starts first does it.

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::SharedError;
use super::version::{SCHEMA, SCHEMA_VERSION};

/// The SQL from each version to the next, applied to tables of an older version. New tables get [`SCHEMA`].
const STEPS: [&str; 0] = [];

/// fswake's own advisory lock: one daemon at a time creates or upgrades the tables.
const LOCK: i64 = 0x6673_7761_6b65;

/// PostgreSQL 13, the first version with `pg_current_xact_id`: 64-bit transaction numbers.
const OLDEST: i32 = 130_000;

/// Creates the tables, or upgrades them. Refuses tables of a newer fswake.
pub(super) async fn ensure(client: &mut Client) -> Result<(), SharedError> {
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
    if version(client).await? == Some(SCHEMA_VERSION) {
        return Ok(());
    }
    let tx = client.transaction().await.map_err(SharedError::of)?;
    // Released with the transaction, so that it works through a pooler too.
    tx.query_typed("SELECT pg_advisory_xact_lock($1)", &[(&LOCK, Type::INT8)])
        .await
        .map_err(SharedError::of)?;
    // Another daemon may have done it in the meantime.
    match version(tx.client()).await? {
        None => tx.batch_execute(SCHEMA).await.map_err(SharedError::of)?,
        Some(found) => {
            let done = usize::try_from(found - 1).unwrap_or(0);
            for step in STEPS.iter().skip(done) {
                tx.batch_execute(step).await.map_err(SharedError::of)?;
            }
        }
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
