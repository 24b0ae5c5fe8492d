//! mod_apn's tokens in a real PostgreSQL: a private server that exists only during this test.
//!
//! Without the server's programs (Debian: `postgresql`) these tests are skipped, and noted as such.

use std::path::Path;
use std::process::Command;

use fswake_test_support::postgres::{PASSWORD, Server};
use rusqlite::Connection;

use super::command::{self, Ran};

/// Runs SQL, as mod_apn does.
fn sql(server: &Server, sql: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let dsn = fswake::postgres::Dsn::read(&server.dsn("host=127.0.0.1"), None).unwrap();
        let client = fswake::postgres::connect(&dsn).await.unwrap();
        client.batch_execute(sql).await.unwrap();
    });
}

fn import(state: &Path, dsn: &str) -> Ran {
    let ran = command::import(state, &["--store", "fswake.db", "--db", dsn]);
    assert!(!format!("{ran:?}").contains("w0rd"), "{ran:?}");
    ran
}

/// The table as mod_apn creates it, with rows as mod_apn writes them. The server's time zone is UTC+6.
const TABLE: &str = "CREATE TABLE push_tokens (id serial NOT NULL, token VARCHAR(255) NOT NULL, extension VARCHAR(255) NOT NULL,
    realm VARCHAR(255) NOT NULL, app_id VARCHAR(255) NOT NULL, type VARCHAR(255) NOT NULL, platform VARCHAR(255) NOT NULL,
    last_update timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP, CONSTRAINT push_tokens_pkey PRIMARY KEY (id));
  INSERT INTO push_tokens (token, extension, realm, app_id, type, platform, last_update) VALUES
    ('ca111001', '1001', 'pbx.example', 'com.example.phone', 'voip', 'iOS', '2026-11-20 06:00:00'),
    ('c4a71001', '1001', 'pbx.example', 'com.example.phone', 'im', 'iOS', '2026-11-20 06:00:00'),
    ('droid-1002', '1002', 'pbx.example', 'com.example.phone', 'voip', 'Android', '2026-11-20 06:00:00'),
    ('droid-1002', '1002', 'pbx.example', 'com.example.phone', 'voip', 'Android', '2026-11-21 06:00:00'),
    (repeat('x', 255), '1003', 'pbx.example', 'com.example.phone', 'voip', 'Android', '2026-11-21 06:00:00')";

fn stored(state: &Path) -> Vec<(String, String, i64)> {
    let db = Connection::open(state.join("fswake.db")).unwrap();
    let mut query = db
        .prepare("SELECT aor_user, token, last_seen FROM devices ORDER BY aor_user")
        .unwrap();
    let rows = query.query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)));
    rows.unwrap().collect::<Result<_, _>>().unwrap()
}

#[test]
fn tokens_are_copied_from_postgresql_and_a_second_run_changes_nothing() {
    let Some(server) = Server::start() else { return };
    sql(&server, TABLE);
    let state = tempfile::tempdir().unwrap();
    // Midnight in the server's time zone, which must be taken into account.
    let expected = [
        ("1001".to_owned(), "ca111001".to_owned(), 1_795_132_800),
        ("1002".to_owned(), "droid-1002".to_owned(), 1_795_219_200),
    ];
    let (socket, port) = (server.dir().display(), server.port);
    let password = "p'a%5Css%20w0rd";
    let names = [
        server.dsn("hostaddr=127.0.0.1"),
        server.dsn("host=localhost"),
        server.dsn(&format!("host={socket}")),
        format!("postgresql://pbx:{password}@127.0.0.1:{port}/postgres"),
        format!("postgresql://pbx:{password}@localhost:{port}/postgres?sslmode=disable&application_name=fswake"),
    ];
    for (n, name) in names.iter().enumerate() {
        let ran = import(state.path(), name);
        assert_eq!(ran.code, Some(0), "{name}: {}", ran.stderr);
        assert_eq!(stored(state.path()), expected, "{name}");
        let said = if n == 0 {
            "has 2 new devices, 0 renewed"
        } else {
            "nothing to change, 2 devices are known"
        };
        assert!(ran.stderr.contains(said), "{}", ran.stderr);
        assert!(
            ran.stderr.contains("1 duplicates merged, 0 repaired, 1 rows refused"),
            "{}",
            ran.stderr
        );
        assert!(
            ran.stderr.contains("row 5 of 1003@pbx.example, token "),
            "{}",
            ran.stderr
        );
    }
    sql(
        &server,
        "UPDATE push_tokens SET last_update = '2026-11-22 06:00:00' WHERE extension = '1001' AND type = 'im'",
    );
    let ran = import(state.path(), &names[0]);
    assert!(
        ran.stderr.contains("has 0 new devices, 1 renewed, 1 unchanged"),
        "{}",
        ran.stderr
    );
    assert_eq!(stored(state.path())[0].2, 1_795_305_600);
}

#[test]
fn tables_made_by_hand_are_accepted_with_any_types() {
    let Some(server) = Server::start() else { return };
    // Each has the same time. The tests above use mod_apn's own table.
    for (types, last_update) in [
        (
            "bigserial text bigint text text text text timestamptz",
            "'2026-11-20 00:00:00Z'",
        ),
        ("integer varchar integer text text text text bigint", "1795132800"),
        ("serial text text text text text text numeric", "1795132800.75"),
        ("serial text text text text text text text", "'1795132800'"),
        ("serial text text text text text text varchar", "'2026-11-20T00:00:00Z'"),
    ] {
        let names = [
            "id",
            "token",
            "extension",
            "realm",
            "app_id",
            "type",
            "platform",
            "last_update",
        ];
        let columns: Vec<_> = names
            .iter()
            .zip(types.split(' '))
            .map(|(name, kind)| format!("{name} {kind}"))
            .collect();
        let row = |id: u32, seen: &str| {
            format!("({id}, 'ca11{id:04}', '{id}', 'pbx.example', 'com.example.phone', 'voip', 'iOS', {seen})")
        };
        sql(
            &server,
            &format!(
                "DROP TABLE IF EXISTS push_tokens; CREATE TABLE push_tokens ({}); INSERT INTO push_tokens VALUES {}, {}",
                columns.join(", "),
                row(1, last_update),
                row(2, "NULL")
            ),
        );
        let state = tempfile::tempdir().unwrap();
        let ran = import(state.path(), &server.dsn("host=127.0.0.1"));
        assert_eq!(ran.code, Some(0), "{types}: {}", ran.stderr);
        let expected = [
            ("1".to_owned(), "ca110001".to_owned(), 1_795_132_800),
            ("2".to_owned(), "ca110002".to_owned(), 0),
        ];
        assert_eq!(stored(state.path()), expected, "{types}");
    }
    sql(&server, "DROP TABLE push_tokens");
    sql(&server, TABLE);
    sql(
        &server,
        "UPDATE push_tokens SET last_update = 'infinity' WHERE extension = '1002'",
    );
    let state = tempfile::tempdir().unwrap();
    let ran = import(state.path(), &server.dsn("host=127.0.0.1"));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(stored(state.path())[1], ("1002".to_owned(), "droid-1002".to_owned(), 0));
}

#[test]
fn postgresql_certificate_is_verified_where_tls_is_required() {
    let Some(server) = Server::start() else { return };
    sql(&server, TABLE);
    let state = tempfile::tempdir().unwrap();
    let ca = server.file("ca.pem");
    // Readable only for the server's user and the test's user.
    let trusted = format!(
        "{} sslmode=verify-full sslrootcert={}",
        server.dsn("host=localhost"),
        ca.display()
    );
    let ran = import(state.path(), &trusted);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let other_name = trusted.replace("host=localhost", "host=localhost.localdomain hostaddr=127.0.0.1");
    let unknown = format!("{} sslmode=require", server.dsn("host=localhost"));
    for name in [other_name, unknown] {
        let ran = import(state.path(), &name);
        assert_eq!(ran.code, Some(1), "{}", ran.stderr);
        assert!(ran.stderr.contains("certificate"), "{}", ran.stderr);
    }
}

#[test]
fn missing_permission_in_postgresql_is_reported() {
    let Some(server) = Server::start() else { return };
    let state = tempfile::tempdir().unwrap();
    let wrong = server.dsn("host=127.0.0.1").replace("p\\'a", "x");
    for (name, said) in [
        (server.dsn("host=127.0.0.1"), "relation \"push_tokens\" does not exist"),
        (wrong, "password authentication failed for user \"pbx\""),
        (
            server.dsn("host=127.0.0.1").replace("dbname=postgres", "dbname=pbx"),
            "database \"pbx\" does not exist",
        ),
    ] {
        let ran = import(state.path(), &name);
        assert_eq!(ran.code, Some(1), "{}", ran.stderr);
        assert!(ran.stderr.contains(said), "{said}: {}", ran.stderr);
        assert!(!state.path().join("fswake.db").exists());
    }
}

#[test]
fn postgresql_password_can_come_from_the_environment() {
    let Some(server) = Server::start() else { return };
    sql(&server, TABLE);
    let state = tempfile::tempdir().unwrap();
    let name = format!("postgresql://pbx@127.0.0.1:{}/postgres", server.port);
    let output = Command::new(env!("CARGO_BIN_EXE_fswake-import-mod-apn"))
        .args(["--store", "fswake.db", "--db", &name])
        .current_dir(state.path())
        .env_clear()
        .env("PGPASSWORD", PASSWORD)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(stored(state.path()).len(), 2);
}
