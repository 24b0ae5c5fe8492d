//! Statements to PostgreSQL, each with a limit of time, and what is read page by page at one moment.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, GenericClient, IsolationLevel, Row, Transaction};

use super::SharedError;

/// How long PostgreSQL may take for one statement. It needs milliseconds.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

/// Rows in one page.
pub(super) const PAGE: i64 = 1_000;

/// The values of a statement.
pub(super) type Values<'a> = [(&'a (dyn ToSql + Sync), Type)];

pub(super) async fn within<T>(
    limit: Duration,
    query: impl Future<Output = Result<T, SharedError>>,
) -> Result<T, SharedError> {
    tokio::time::timeout(limit, query)
        .await
        .unwrap_or(Err(SharedError::Timeout))
}

pub(super) async fn query(
    client: &impl GenericClient,
    sql: &str,
    values: &Values<'_>,
) -> Result<Vec<Row>, SharedError> {
    query_within(TIMEOUT, client, sql, values).await
}

async fn query_within(
    limit: Duration,
    client: &impl GenericClient,
    sql: &str,
    values: &Values<'_>,
) -> Result<Vec<Row>, SharedError> {
    let rows = async { client.query_typed(sql, values).await.map_err(SharedError::of) };
    within(limit, rows).await
}

/// For a statement that always returns one row.
pub(super) async fn query_one(client: &impl GenericClient, sql: &str, values: &Values<'_>) -> Result<Row, SharedError> {
    let row = async { client.query_typed_one(sql, values).await.map_err(SharedError::of) };
    within(TIMEOUT, row).await
}

/// A transaction that reads what the server has at one moment.
pub(super) struct Moment<'a>(Transaction<'a>);

impl<'a> Moment<'a> {
    pub(super) async fn of(client: &'a mut Client) -> Result<Self, SharedError> {
        let begin = client.build_transaction();
        let begin = begin
            .isolation_level(IsolationLevel::RepeatableRead)
            .read_only(true)
            .start();
        let begun = within(TIMEOUT, async { begin.await.map_err(SharedError::of) });
        begun.await.map(Self)
    }

    /// Reads the one row of a statement.
    pub(super) async fn one(&self, sql: &str) -> Result<Row, SharedError> {
        query_one(&self.0, sql, &[]).await
    }

    /// Reads rows. PostgreSQL prepares a page while the one before is handled. The first page may take longer, if all
    /// rows are sorted for it.
    pub(super) async fn pages(
        &self,
        statement: &str,
        values: &Values<'_>,
        first_within: Duration,
        mut page: impl AsyncFnMut(&[Row]) -> Result<(), SharedError>,
    ) -> Result<(), SharedError> {
        let declare = format!("DECLARE fswake_rows NO SCROLL CURSOR FOR {statement}");
        let fetch = format!("FETCH {PAGE} FROM fswake_rows");
        query(&self.0, &declare, values).await?;
        let mut rows = query_within(first_within, &self.0, &fetch, &[]).await?;
        while !rows.is_empty() {
            let handle = async {
                // The request for the next page leaves first.
                tokio::task::yield_now().await;
                page(&rows).await
            };
            let mut next = pin!(self.0.query_typed(&fetch, &[]));
            // A page that takes long is not PostgreSQL's fault.
            let fetched = match select(pin!(handle), next.as_mut()).await {
                Either::Left((handled, _)) => {
                    handled?;
                    None
                }
                Either::Right((fetched, handle)) => {
                    handle.await?;
                    Some(fetched)
                }
            };
            rows = match fetched {
                Some(fetched) => fetched.map_err(SharedError::of)?,
                None => within(TIMEOUT, async { next.await.map_err(SharedError::of) }).await?,
            };
        }
        query(&self.0, "CLOSE fswake_rows", &[]).await.map(drop)
    }

    pub(super) async fn end(self) -> Result<(), SharedError> {
        within(TIMEOUT, async { self.0.commit().await.map_err(SharedError::of) }).await
    }
}
