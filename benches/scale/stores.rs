//! Stores that have many devices already.

use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use fswake::postgres::{Dsn, connect};
use fswake::store::shared::SCHEMA;
use fswake::store::{Options, Sqlite, StoreOp};
use fswake::types::{Device, PushToken};
use fswake_test_support::postgres::{PASSWORD, Server};
use tempfile::TempDir;
use tokio_postgres::Client;

use crate::people::device;

/// Devices in one transaction.
const AT_ONCE: usize = 20_000;

/// A file with so many devices, as fswake's own writer makes it. That takes minutes, so it is made once and copied.
pub fn fill_file(path: &Path, devices: usize) {
    static MADE: OnceLock<TempDir> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let dir = tempfile::tempdir().expect("a directory");
        let began = Instant::now();
        write(&dir.path().join("fswake.db"), devices);
        println!("file written in {:.1} s", began.elapsed().as_secs_f64());
        dir
    });
    std::fs::copy(made.path().join("fswake.db"), path).expect("a copy");
}

fn write(path: &Path, devices: usize) {
    let (_, writer) = Sqlite::open(path, &Options::default()).expect("a store");
    for first in (0..devices).step_by(AT_ONCE) {
        for n in first..devices.min(first + AT_ONCE) {
            writer.submit(StoreOp::Put(device(n).into()));
        }
        writer.flush(Duration::from_secs(300)).expect("all is written");
    }
    drop(writer);
    // The copy has no WAL.
    let file = rusqlite::Connection::open(path).expect("the file");
    let checkpoint = file.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| row.get::<_, i64>(0));
    assert_eq!(checkpoint.ok(), Some(0), "the WAL is in the file");
}

/// A connection as the database's owner.
pub async fn client(server: &Server) -> Client {
    let dsn = Dsn::read(&server.url("pbx", "postgres"), Some(PASSWORD)).expect("a URL");
    connect(&dsn).await.expect("a connection")
}

/// A database with these devices, as another fswake has written them. Returns its table's size in bytes, with indexes.
pub async fn fill_database(server: &Server, devices: usize) -> u64 {
    let client = client(server).await;
    client.batch_execute(SCHEMA).await.expect("the tables");
    for first in (0..devices).step_by(AT_ONCE) {
        let rows: Vec<_> = (first..devices.min(first + AT_ONCE)).map(|n| row(&device(n))).collect();
        let insert = format!(
            "INSERT INTO fswake_devices (digest, provider, app, token, aor_user, aor_domain, team, call_token, user_agent, \
             register_call_id, first_seen, last_seen, changed, dropped, daemon) VALUES {}",
            rows.join(",")
        );
        client.batch_execute(&insert).await.expect("rows");
    }
    client
        .batch_execute("VACUUM ANALYZE fswake_devices")
        .await
        .expect("VACUUM");
    let size = client
        .query_one("SELECT pg_total_relation_size('fswake_devices')", &[])
        .await;
    u64::try_from(size.expect("the size").get::<_, i64>(0)).expect("a size")
}

/// A row for INSERT. None of these texts has a quote.
fn row(device: &Device) -> String {
    use std::fmt::Write as _;
    let (key, token) = (device.key(), device.push.tokens.call().map_or("", PushToken::expose));
    let mut digest = String::from("\\x");
    for byte in key.digest() {
        let _ = write!(digest, "{byte:02x}");
    }
    let team = device
        .push
        .team
        .as_deref()
        .map_or("NULL".to_owned(), |team| format!("'{team}'"));
    format!(
        "('{digest}','{}','{}','{token}','{}','{}',{team},'{token}','{}','{}',{},{},{},false,'bench')",
        device.push.provider.name(),
        device.push.app,
        device.aor.user,
        device.aor.domain,
        device.user_agent,
        device.register_call_id,
        device.first_seen,
        device.last_seen,
        device.changed,
    )
}
