//! A shared store whose database user lacks rights.

use fswake::postgres::{Dsn, connect};
use fswake::store::shared::SCHEMA;
use fswake_test_support::postgres::{PASSWORD, Server};

use crate::harness::*;
use crate::shared::sharing;

async fn sql(server: &Server, sql: &str) {
    let dsn = Dsn::read(&server.url("pbx", "postgres"), Some(PASSWORD)).unwrap();
    let client = connect(&dsn).await.unwrap();
    client.batch_execute(sql).await.unwrap();
}

/// fswake starts, wakes calls from its file, and names the right.
async fn is_named(stage: &Stage, right: &str) -> Daemon {
    let daemon = stage.start().await;
    daemon
        .log
        .wait(&[" ERROR ", "the shared store cannot be used", right])
        .await;
    let (code, stdout, stderr) = stage.tool(&["--wide", "doctor"]).await;
    assert_eq!(code, Some(1), "{stdout}{stderr}");
    assert!(stdout.contains(right), "{right}: {stdout}");
    let _held = stage.call(&daemon, "1001");
    stage.push().await;
    daemon
}

#[tokio::test]
async fn calls_are_woken_whatever_right_the_database_user_lacks_and_the_right_is_named() {
    let Some(server) = Server::start() else { return };
    let password = PASSWORD.replace('\'', "''");
    sql(&server, &format!("CREATE ROLE guest LOGIN PASSWORD '{password}'")).await;
    let mut stage = sharing(&server).await;
    stage.set("store.url", server.url("guest", "postgres"));
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    daemon.asleep(&phone).await;
    stage.stored(1).await;
    daemon.kill().await;
    let no_create =
        "fswake's tables are not there, and its user may not create them (user guest lacks CREATE on schema public)";
    is_named(&stage, no_create).await.kill().await;
    let grants = "GRANT SELECT, UPDATE, DELETE ON fswake_devices TO guest; GRANT SELECT ON fswake_schema TO guest;
                  GRANT SELECT, INSERT, DELETE ON fswake_journal TO guest";
    sql(&server, &format!("{SCHEMA}; {grants}")).await;
    let daemon = is_named(&stage, "lacks INSERT on fswake_devices").await;
    sql(&server, "GRANT INSERT ON fswake_devices TO guest").await;
    daemon.log.wait(&["the shared store can be used again"]).await;
    let other = sharing(&server).await;
    let near = other.start().await;
    let _held = other.call(&near, "1001");
    other.push().await;
}
