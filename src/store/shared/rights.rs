//! The rights that a user of PostgreSQL lacks, in words.

use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

use super::SharedError;

/// The tables that the daemon uses.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Devices,
    Journal,
}

impl Part {
    fn table(self) -> &'static str {
        match self {
            Self::Devices => "fswake_devices",
            Self::Journal => "fswake_journal",
        }
    }

    fn rights(self) -> &'static [&'static str] {
        match self {
            Self::Devices => &["SELECT", "INSERT", "UPDATE", "DELETE"],
            Self::Journal => &["SELECT", "INSERT", "DELETE"],
        }
    }
}

/// What its user lacks, as in `INSERT, DELETE on fswake_journal`; empty if nothing. A table that does not exist lacks
/// nothing.
pub(super) async fn missing(client: &Client, parts: &[Part]) -> Result<Vec<String>, SharedError> {
    let needed = parts.iter().map(|part| (part.table(), part.rights()));
    let needed = needed.chain([("fswake_schema", &["SELECT"][..])]);
    let mut missing = Vec::new();
    for (table, rights) in needed {
        let values: [(&(dyn ToSql + Sync), Type); 2] = [(&table, Type::TEXT), (&rights, Type::TEXT_ARRAY)];
        let sql =
            "SELECT string_agg(right_, ', ' ORDER BY n) FROM unnest($2::text[]) WITH ORDINALITY needed (right_, n)
                   JOIN pg_class ON relname = $1 AND pg_table_is_visible(pg_class.oid)
                   WHERE NOT has_table_privilege(pg_class.oid, right_)";
        let row = client.query_typed_one(sql, &values).await.map_err(SharedError::of)?;
        if let Some(rights) = row.try_get::<_, Option<String>>(0)? {
            missing.push(format!("{rights} on {table}"));
        }
    }
    Ok(missing)
}

/// What its user lacks to create the tables, as in `user fswake lacks CREATE on schema public`.
pub(super) async fn missing_to_create(client: &Client) -> Result<Option<String>, SharedError> {
    let sql = "SELECT format('user %s lacks CREATE on schema %s', current_user, current_schema())
               WHERE NOT has_schema_privilege(current_schema(), 'CREATE')";
    let rows = client.query_typed(sql, &[]).await.map_err(SharedError::of)?;
    Ok(rows.first().map(|row| row.try_get(0)).transpose()?)
}

/// Names the missing rights in an error about them. Other errors stay as they are.
pub(super) async fn explain(client: &Client, parts: &[Part], error: SharedError) -> SharedError {
    let SharedError::NoRight(_) = error else { return error };
    let user = client.query_typed_one("SELECT current_user::text", &[]).await;
    let user: Option<String> = user.ok().and_then(|row| row.try_get(0).ok());
    match (missing(client, parts).await, user) {
        (Ok(missing), Some(user)) if !missing.is_empty() => {
            SharedError::NoRight(format!("user {user} lacks {}", missing.join(", ")))
        }
        _ => error,
    }
}
