//! Stores that have many devices already.

use std::path::Path;
use std::time::Duration;

use fswake::postgres::{Dsn, connect};
use fswake::store::shared::SCHEMA;
use fswake::store::{Options, Sqlite, StoreOp};
use fswake::types::{Device, PushToken};
use fswake_test_support::postgres::{PASSWORD, Server};
use tokio_postgres::Client;

use crate::people::device;

/// Devices in one transaction.
const AT_ONCE: usize = 20_000;

/// A file with so many devices, as fswake's own writer makes it.
pub fn fill_file(path: &Path, devices: usize) {
    let (_, writer) = Sqlite::open(path, &Options::default()).expect("a store");
    for first in (0..devices).step_by(AT_ONCE) {
        for n in first..devices.min(first + AT_ONCE) {
            writer.submit(StoreOp::Put(device(n).into()));
        }
        writer.flush(Duration::from_secs(300)).expect("all is written");
    }
}

/// A connection as the database's owner.
pub async fn client(server: &Server) -> Client {
    let dsn = Dsn::read(&server.url("pbx", "postgres"), Some(PASSWORD)).expect("a URL");
    connect(&dsn).await.expect("a connection")
}

/// A database with these devices, as another fswake has written them.
pub async fn fill_database(server: &Server, devices: usize) {
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
    client.batch_execute("VACUUM ANALYZE fswake_devices").await.expect("VACUUM");
}

/// A row for INSERT. None of these texts has a quote.
fn row(device: &Device) -> String {
    use std::fmt::Write as _;
    let (key, token) = (device.key(), device.push.tokens.call().map_or("", PushToken::expose));
    let mut digest = String::from("\\x");
    for byte in key.digest() {
        let _ = write!(digest, "{byte:02x}");
    }
    let team = device.push.team.as_deref().map_or("NULL".to_owned(), |team| format!("'{team}'"));
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
