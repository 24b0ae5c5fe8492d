//! `push_tokens` in PostgreSQL.

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use crate::import::tokens::Row;

/// The query for all rows, whatever the types of its columns: mod_apn makes its table so, but reads one that was made
/// by hand.
fn rows_with(last_update: &Type) -> String {
    let seconds = match *last_update {
        // Times without a zone are in the server's zone, as they were written. `infinity` counts as no time.
        Type::TIMESTAMP | Type::TIMESTAMPTZ | Type::DATE => {
            "extract(epoch FROM CASE WHEN isfinite(last_update) THEN last_update END::timestamptz)"
        }
        Type::INT2 | Type::INT4 | Type::INT8 | Type::NUMERIC => "last_update",
        _ => {
            r"CASE WHEN last_update::text ~ '^[0-9]{1,12}$' THEN last_update::text::numeric
                   WHEN last_update::text ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}' THEN extract(epoch FROM last_update::text::timestamptz)
              END"
        }
    };
    format!(
        "SELECT id::bigint, coalesce(token::text, ''), coalesce(extension::text, ''), coalesce(realm::text, ''),
                coalesce(app_id::text, ''), coalesce(type::text, ''), coalesce(platform::text, ''),
                coalesce(floor({seconds})::bigint, 0)
           FROM push_tokens ORDER BY id"
    )
}

/// Reads all rows.
pub(super) async fn rows(client: &Client) -> Result<Vec<Row>, tokio_postgres::Error> {
    client.batch_execute("SET statement_timeout = '60s'").await?;
    let column = client.prepare("SELECT last_update FROM push_tokens").await?;
    let query = rows_with(column.columns().first().map_or(&Type::TEXT, |column| column.type_()));
    let rows = client.query(&query, &[]).await?;
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
