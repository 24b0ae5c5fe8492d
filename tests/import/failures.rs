//! Runs that fail, are killed, or would overwrite something leave nothing half done.

use std::process::Command;

use rusqlite::Connection;

use super::command::{ROWS, import, place};

#[test]
fn existing_file_is_never_overwritten_without_force() {
    let place = place(ROWS);
    let output = place.dir.path().join("fswake.toml");
    std::fs::write(&output, "# mine\n").unwrap();
    for dry in [&["--dry-run"][..], &[]] {
        let ran = place.import(dry);
        assert_eq!(ran.code, Some(1));
        assert!(
            ran.stderr
                .contains("this file exists already, and stays as it is\nhint: --force"),
            "{}",
            ran.stderr
        );
        assert_eq!(std::fs::read_to_string(&output).unwrap(), "# mine\n");
        assert!(!place.store().exists(), "a store was left behind");
    }
    let ran = place.import(&["--force"]);
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (Some(0), "fswake.toml\n"),
        "{}",
        ran.stderr
    );
    assert!(
        std::fs::read_to_string(&output)
            .unwrap()
            .starts_with("# fswake's configuration")
    );
}

#[test]
fn store_that_cannot_be_written_leaves_no_files() {
    let place = place(ROWS);
    std::fs::write(
        place.store(),
        "this is no database, and it is long enough to be looked at as one by SQLite",
    )
    .unwrap();
    let ran = place.import(&[]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(!place.dir.path().join("fswake.toml").exists());
}

#[test]
fn configuration_that_cannot_be_written_leaves_no_devices() {
    let place = place(ROWS);
    let ran = place.import(&["--output", "no/such/directory/fswake.toml"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert_eq!(place.stored(), []);
}

#[test]
fn files_that_were_to_be_replaced_are_put_back_when_the_rest_fails() {
    let place = place(ROWS);
    let (output, state) = (place.dir.path().join("fswake.toml"), place.dir.path().join("fswake.db"));
    std::fs::write(&output, "# mine\n").unwrap();
    // A deferred constraint accepts the devices and makes the commit fail.
    place.import(&["--output", "first.toml"]);
    let db = Connection::open(&state).unwrap();
    db.execute_batch(
        "DELETE FROM devices;
         CREATE TABLE no (id INTEGER PRIMARY KEY);
         CREATE TABLE yes (no INTEGER REFERENCES no DEFERRABLE INITIALLY DEFERRED);
         CREATE TRIGGER late AFTER INSERT ON devices BEGIN INSERT INTO yes VALUES (1); END;",
    )
    .unwrap();
    let ran = place.import(&["--force"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert_eq!(place.stored(), []);
    assert_eq!(std::fs::read_to_string(&output).unwrap(), "# mine\n");
}

#[test]
fn error_in_the_middle_of_the_devices_leaves_nothing() {
    let place = place(ROWS);
    place.import(&["--output", "first.toml"]);
    let db = Connection::open(place.store()).unwrap();
    db.execute_batch(
        "DELETE FROM devices;
         CREATE TRIGGER full BEFORE INSERT ON devices WHEN new.aor_user = '1002' BEGIN SELECT RAISE(ABORT, 'full'); END;",
    )
    .unwrap();
    let ran = place.import(&[]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert_eq!(place.stored(), []);
    assert!(!place.dir.path().join("fswake.toml").exists());
}

#[test]
fn unreadable_input_is_reported_and_nothing_is_changed() {
    let place = place(ROWS);
    let broken = place.dir.path().join("broken.xml");
    std::fs::write(&broken, "<configuration>\n<settings>\n</configuration>").unwrap();
    let empty = place.dir.path().join("empty.db");
    Connection::open(&empty)
        .unwrap()
        .execute_batch("CREATE TABLE other (a)")
        .unwrap();
    let (broken, empty) = (broken.to_str().unwrap(), empty.to_str().unwrap());
    for (args, said) in [
        (vec!["--conf", broken], "broken.xml: line 3: broken XML: "),
        (vec!["--conf", "/nonexistent.xml"], "/nonexistent.xml: no such file"),
        (vec!["--db", empty], "empty.db: no such table: push_tokens"),
        (
            vec!["--db", "/nonexistent.db"],
            "/nonexistent.db: no such file or directory",
        ),
        (
            vec!["--db", "pbx:user:hunter2"],
            "an ODBC data source: tokens are read from PostgreSQL and from SQLite files",
        ),
        (
            vec!["--db", "pgsql://host=127.0.0.1 port=1 password=hunter2 dbname=pbx"],
            "127.0.0.1:1/pbx: ",
        ),
    ] {
        let mut all = Vec::new();
        all.extend(args);
        let ran = import(place.dir.path(), &all);
        assert_eq!(ran.code, Some(1), "{all:?}");
        assert!(
            ran.stderr.contains(said) && !ran.stderr.contains("hunter2"),
            "{all:?}: {}",
            ran.stderr
        );
        assert!(!place.store().exists() && !place.dir.path().join("fswake.toml").exists());
    }
    assert_eq!(import(place.dir.path(), &[]).code, Some(2));
}

#[test]
fn killed_run_leaves_no_device_and_no_file() {
    use std::os::unix::process::ExitStatusExt;
    let place = place(ROWS);
    Connection::open(&place.db)
        .unwrap()
        .execute_batch(
            "INSERT INTO push_tokens (id, token, extension, realm, app_id, type, platform)
             WITH RECURSIVE n (i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
             SELECT i, 'token-' || i, i, 'pbx.example', 'com.example.phone', 'voip', 'Android' FROM n",
        )
        .unwrap();
    let mut running = Command::new(env!("CARGO_BIN_EXE_fswake-import-mod-apn"))
        .arg("--conf")
        .arg(&place.conf)
        .arg("--db")
        .arg(&place.db)
        .current_dir(place.dir.path())
        .env_clear()
        .env("STATE_DIRECTORY", place.dir.path())
        .spawn()
        .unwrap();
    // A transaction that outgrows SQLite's memory writes to the log before it is committed.
    let log = place.dir.path().join("fswake.db-wal");
    let in_the_middle = || std::fs::metadata(&log).is_ok_and(|log| log.len() > 1 << 20);
    while !in_the_middle() {
        assert!(
            running.try_wait().unwrap().is_none(),
            "it finished before it could be killed"
        );
        std::thread::yield_now();
    }
    running.kill().unwrap();
    assert_eq!(running.wait().unwrap().signal(), Some(9));
    assert_eq!(place.stored(), []);
    assert!(!place.dir.path().join("fswake.toml").exists());
    let ran = place.import(&[]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(place.stored().len(), 19_003);
}

#[test]
fn failures_are_reported_in_plain_words() {
    let dir = tempfile::tempdir().unwrap();
    for (args, says) in [
        (["--conf", "/nonexistent/apn.conf.xml"], "no such file or directory\n"),
        (
            ["--db", "/nonexistent/a.db"],
            "fswake-import-mod-apn: /nonexistent/a.db: no such file or directory\n",
        ),
        (["--db", "postgresql://u@127.0.0.1:1/x"], "connection refused\n"),
        (["--db", "postgress://u:hunter2@127.0.0.1:1/x"], "unknown scheme"),
    ] {
        let ran = import(dir.path(), &args);
        assert_eq!(ran.code, Some(1), "{args:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(says), "{args:?}: {}", ran.stderr);
        for odd in ["os error", "client error", "IO error", "hunter2"] {
            assert!(!ran.stderr.contains(odd), "{args:?}: {}", ran.stderr);
        }
    }
}
