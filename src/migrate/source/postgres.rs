//! `push_tokens` in PostgreSQL.

use tokio_postgres::Client;

use crate::migrate::tokens::Row;

/// Times without a zone are in the server's own, as they were written.
const ROWS: &str =
    "SELECT id::bigint, coalesce(token::text, ''), coalesce(extension::text, ''), coalesce(realm::text, ''),
       coalesce(app_id::text, ''), coalesce(type::text, ''), coalesce(platform::text, ''),
       coalesce(floor(extract(epoch FROM last_update::timestamptz))::bigint, 0)
  FROM push_tokens ORDER BY id";

/// Reads all rows.
pub(super) async fn rows(client: &Client) -> Result<Vec<Row>, tokio_postgres::Error> {
    client.batch_execute("SET statement_timeout = '60s'").await?;
    let rows = client.query(ROWS, &[]).await?;
    let read = |row: &tokio_postgres::Row| -> Result<Row, tokio_postgres::Error> {
        Ok(Row {
            id: row.try_get(0)?,
            token: row.try_get(1)?,
            user: row.try_get(2)?,
            realm: row.try_get(3)?,
            app_id: row.try_get(4)?,
            kind: row.try_get(5)?,
            platform: row.try_get(6)?,
            last_update: row.try_get(7)?,
        })
    };
    rows.iter().map(read).collect()
}
