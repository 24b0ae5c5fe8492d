//! The statements about the shared journal.

use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::SharedError;
use super::query::{Moment, PAGE, TIMEOUT, Values, query, query_one, within};
use super::row::{escaped, unescaped};
use super::server::{Server, identity};
use crate::store::lines::SharedLine;

/// Lines that the server already has are left out: they were sent before fswake was killed.
const PUT: &str = "
    INSERT INTO fswake_journal (file, line, at_ms, daemon, node, call, aor_user, aor_domain, event, detail, written_in)
    SELECT *, 0 FROM unnest($1::int8[], $2::int8[], $3::int8[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                            $9::text[], $10::text[])
    ON CONFLICT DO NOTHING";

/// One daemon at a time deletes old lines.
const PRUNE_LOCK: i64 = 0x6673_7761_6b66;

/// The transactions that a reader has seen: PostgreSQL's `pg_snapshot`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Snapshot {
    /// All transactions from here on were open, or had not begun.
    pub end: i64,
    /// Those before it that were open.
    pub open: Vec<i64>,
}

impl Snapshot {
    /// Reads PostgreSQL's text, as in `10:20:10,14`.
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let (_, end, open) = (parts.next()?, parts.next()?, parts.next()?);
        let open = open.split(',').filter(|number| !number.is_empty());
        Some(Self {
            end: end.parse().ok()?,
            open: open.map(|number| number.parse().ok()).collect::<Option<_>>()?,
        })
    }
}

/// Which lines to read.
pub(super) struct Wanted<'a> {
    /// Those that a reader of this snapshot had not seen; `None` for all.
    pub after: Option<Snapshot>,
    /// Not those of this file and daemon.
    pub not_of: Option<(i64, &'a str)>,
    /// Not older ones, in milliseconds since 1970.
    pub since_ms: i64,
}

impl Server {
    /// Identifies the server and its journal.
    pub(super) async fn journal_identity(&self) -> Result<String, SharedError> {
        identity(&self.client, "fswake_journal").await
    }

    /// The last line of a file that this server has; 0 if it has none.
    pub(super) async fn last_line(&self, file: i64) -> Result<i64, SharedError> {
        let sql = "SELECT coalesce(max(line), 0) FROM fswake_journal WHERE file = $1";
        let values: &Values<'_> = &[(&file, Type::INT8)];
        Ok(query_one(&self.client, sql, values).await?.try_get(0)?)
    }

    /// Appends lines, except those that the server has.
    pub(super) async fn put_lines(&self, lines: &[SharedLine]) -> Result<(), SharedError> {
        let numbers = |number: fn(&SharedLine) -> i64| lines.iter().map(number).collect::<Vec<_>>();
        let texts = |text: fn(&SharedLine) -> Option<&str>| {
            let texts = lines.iter().map(|line| text(line).map(escaped));
            texts.collect::<Vec<_>>()
        };
        let numbers = [numbers(|l| l.file), numbers(|l| l.line), numbers(|l| l.at_ms)];
        let texts = [
            texts(|l| Some(&l.daemon)),
            texts(|l| Some(&l.node)),
            texts(|l| l.call.as_deref()),
            texts(|l| Some(&l.aor_user)),
            texts(|l| Some(&l.aor_domain)),
            texts(|l| Some(&l.event)),
            texts(|l| Some(&l.detail)),
        ];
        let numbers = numbers
            .iter()
            .map(|column| (column as &(dyn ToSql + Sync), Type::INT8_ARRAY));
        let texts = texts
            .iter()
            .map(|column| (column as &(dyn ToSql + Sync), Type::TEXT_ARRAY));
        let values: Vec<_> = numbers.chain(texts).collect();
        query(&self.client, PUT, &values).await.map(drop)
    }

    /// Reads lines page by page. Returns PostgreSQL's text of the snapshot that was read.
    pub(super) async fn read_lines(
        &mut self,
        wanted: &Wanted<'_>,
        mut page: impl AsyncFnMut(Vec<SharedLine>) -> Result<(), SharedError>,
    ) -> Result<String, SharedError> {
        let moment = Moment::of(&mut self.client).await?;
        let snapshot = moment.one("SELECT pg_current_snapshot()::text").await?.try_get(0)?;
        // Transactions that were open then and are not now, and those that began later.
        let (open, end) = match &wanted.after {
            Some(after) => (after.open.as_slice(), after.end),
            None => (&[][..], 0),
        };
        let (file, daemon) = wanted.not_of.unwrap_or((-1, ""));
        let bounds: [(&str, &(dyn ToSql + Sync), Type); 2] = [
            ("written_in = ANY($1)", &open, Type::INT8_ARRAY),
            ("written_in >= $1", &end, Type::INT8),
        ];
        for (condition, bound, of_type) in bounds {
            let sql = format!(
                "SELECT file, line, at_ms, daemon, node, call, aor_user, aor_domain, event, detail FROM fswake_journal
                 WHERE {condition} AND at_ms >= $2 AND NOT (file = $3 AND daemon = $4) ORDER BY written_in, file, line"
            );
            let values: &Values<'_> = &[
                (bound, of_type),
                (&wanted.since_ms, Type::INT8),
                (&file, Type::INT8),
                (&daemon, Type::TEXT),
            ];
            let page = async |rows: &[Row]| page(rows.iter().map(line).collect::<Result<_, _>>()?).await;
            moment.pages(&sql, values, TIMEOUT, page).await?;
        }
        moment.end().await?;
        Ok(snapshot)
    }

    /// The time before which lines are too old, by this server's clock, or too many: it is to keep the latest `most`.
    pub(super) async fn superfluous_before(&self, keep: Duration, most: u64) -> Result<i64, SharedError> {
        let keep = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let sql = "SELECT greatest((extract(epoch FROM now()) * 1000)::int8 - $1,
                                   (SELECT at_ms + 1 FROM fswake_journal ORDER BY at_ms DESC OFFSET $2 LIMIT 1))";
        let values: &Values<'_> = &[(&keep, Type::INT8), (&most, Type::INT8)];
        Ok(query_one(&self.client, sql, values).await?.try_get(0)?)
    }

    /// Deletes some lines from before a time, unless another daemon does so now. Returns whether there may be more.
    pub(super) async fn prune_lines(&mut self, before_ms: i64) -> Result<bool, SharedError> {
        let prune = async {
            let tx = self.client.transaction().await.map_err(SharedError::of)?;
            let lock: &Values<'_> = &[(&PRUNE_LOCK, Type::INT8)];
            let locked = tx.query_typed_one("SELECT pg_try_advisory_xact_lock($1)", lock).await;
            if !locked.map_err(SharedError::of)?.try_get::<_, bool>(0)? {
                return Ok(false);
            }
            let sql = format!(
                "DELETE FROM fswake_journal WHERE ctid = ANY (ARRAY
                     (SELECT ctid FROM fswake_journal WHERE at_ms < $1 ORDER BY at_ms LIMIT {PAGE})) RETURNING 1"
            );
            let values: &Values<'_> = &[(&before_ms, Type::INT8)];
            let deleted = tx.query_typed(&sql, values).await.map_err(SharedError::of)?.len();
            tx.commit().await.map_err(SharedError::of)?;
            Ok(i64::try_from(deleted) == Ok(PAGE))
        };
        within(TIMEOUT, prune).await
    }
}

fn line(row: &Row) -> Result<SharedLine, tokio_postgres::Error> {
    let text = |column: usize| row.try_get::<_, &str>(column).map(|text| unescaped(text).into_owned());
    Ok(SharedLine {
        file: row.try_get(0)?,
        line: row.try_get(1)?,
        at_ms: row.try_get(2)?,
        daemon: text(3)?,
        node: text(4)?,
        call: row
            .try_get::<_, Option<&str>>(5)?
            .map(|text| unescaped(text).into_owned()),
        aor_user: text(6)?,
        aor_domain: text(7)?,
        event: text(8)?,
        detail: text(9)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_are_read_as_postgresql_writes_them() {
        let snapshot = |end, open: &[i64]| {
            Some(Snapshot {
                end,
                open: open.to_vec(),
            })
        };
        assert_eq!(Snapshot::read("10:20:10,14"), snapshot(20, &[10, 14]));
        assert_eq!(Snapshot::read("20:20:"), snapshot(20, &[]));
        for text in ["", "10", "10:20", "10:x:", "10:20:1,x"] {
            assert_eq!(Snapshot::read(text), None, "{text}");
        }
    }
}
