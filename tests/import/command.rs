//! `fswake-import-mod-apn` as an operator runs it.

use std::path::{Path, PathBuf};
use std::process::Command;

use rusqlite::Connection;

/// The output of a run.
#[derive(Debug)]
pub struct Ran {
    pub stdout: String,
    pub stderr: String,
    pub code: Option<i32>,
}

/// Runs the command; its store is in `state`, unless the arguments name another.
pub fn import(state: &Path, args: &[&str]) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_fswake-import-mod-apn"))
        .args(args)
        .current_dir(state)
        .env_clear()
        .env("STATE_DIRECTORY", state)
        .output()
        .unwrap();
    Ran {
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
        code: output.status.code(),
    }
}

/// A directory with mod_apn's configuration and a SQLite file with its table.
struct Place {
    dir: tempfile::TempDir,
    conf: PathBuf,
    db: PathBuf,
}

const ROWS: &str = "
    (1, 'ca111001', '1001', 'pbx.example', 'com.example.phone', 'voip', 'iOS', '2026-11-20 10:00:00'),
    (2, 'c4a71001', '1001', 'pbx.example', 'com.example.phone', 'im', 'iOS', '2026-11-21 10:00:00'),
    (3, 'droid-1002', '1002', 'PBX.example', 'com.example.phone', 'voip', 'Android', 1795000000),
    (4, 'ca111001', '1001', 'pbx.example', 'com.example.phone', 'voip', 'iOS', '2026-11-22 10:00:00'),
    (5, 'ca111001', '1003', 'pbx.example', 'com.example.phone', 'voip', 'iOS', '2026-10-01 00:00:00'),
    (6, 'a token', '1004', 'pbx.example', 'com.example.phone', 'voip', 'iOS', NULL)";

fn place(rows: &str) -> Place {
    let dir = tempfile::tempdir().unwrap();
    let conf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import/fixtures/minimal.xml");
    let db = dir.path().join("carusto.db");
    let made = Connection::open(&db).unwrap();
    made.execute_batch(&format!(
        "CREATE TABLE push_tokens (id INTEGER PRIMARY KEY, token VARCHAR(255) NOT NULL, extension VARCHAR(255) NOT NULL,
             realm VARCHAR(255) NOT NULL, app_id VARCHAR(255) NOT NULL, type VARCHAR(255) NOT NULL,
             platform VARCHAR(255) NOT NULL, last_update timestamp DEFAULT CURRENT_TIMESTAMP);
         INSERT INTO push_tokens VALUES {rows};"
    ))
    .unwrap();
    Place { dir, conf, db }
}

impl Place {
    fn import(&self, more: &[&str]) -> Ran {
        let mut args = vec!["--conf", self.conf.to_str().unwrap(), "--db", self.db.to_str().unwrap()];
        args.extend(more);
        import(self.dir.path(), &args)
    }

    fn store(&self) -> PathBuf {
        self.dir.path().join("fswake.db")
    }

    /// User, call and message token, last seen.
    fn stored(&self) -> Vec<(String, Option<String>, Option<String>, i64)> {
        let db = Connection::open(self.store()).unwrap();
        let mut query = db
            .prepare("SELECT aor_user, call_token, remote_token, last_seen FROM devices ORDER BY aor_user, token")
            .unwrap();
        let rows = query.query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?)));
        rows.unwrap().collect::<Result<_, _>>().unwrap()
    }
}

#[test]
fn one_run_brings_configuration_and_tokens() {
    let place = place(ROWS);
    let ran = place.import(&[]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(ran.stdout, "fswake.toml\n");
    let some = |t: &str| Some(t.to_owned());
    assert_eq!(
        place.stored(),
        [
            ("1001".into(), some("ca111001"), some("c4a71001"), 1_795_341_600),
            ("1002".into(), some("droid-1002"), None, 1_795_000_000),
        ]
    );
    for said in [
        "6 rows of push_tokens in ",
        ": 2 devices, 1 duplicates merged, 0 repaired, 2 rows refused\n",
        "has 2 new devices, 0 renewed, 0 known as they are\n",
        "warning: not copied: row 5 of 1003@pbx.example, token ",
        ": the token now belongs to 1001@pbx.example, whose row is newer\n",
        "warning: not copied: row 6 of 1004@pbx.example, token ",
        "domain pbx.example: 2 devices\n",
        "hint: fswake reads its devices when it starts",
    ] {
        assert!(ran.stderr.contains(said), "{said}: {}", ran.stderr);
    }
    for token in ["ca111001", "c4a71001", "droid-1002", "a token"] {
        assert!(
            !ran.stderr.contains(token) && !ran.stdout.contains(token),
            "{}",
            ran.stderr
        );
    }
}

#[test]
fn second_run_changes_nothing_and_says_so() {
    let place = place(ROWS);
    place.import(&[]);
    let before = (
        std::fs::read(place.dir.path().join("fswake.toml")).unwrap(),
        place.stored(),
    );
    let ran = place.import(&[]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(ran.stdout, "");
    for said in [
        "fswake.toml is there already, with the same text\n",
        "nothing to change, 2 devices are known\n",
    ] {
        assert!(ran.stderr.contains(said), "{said}: {}", ran.stderr);
    }
    assert_eq!(
        (
            std::fs::read(place.dir.path().join("fswake.toml")).unwrap(),
            place.stored()
        ),
        before
    );
}

#[test]
fn dry_run_prints_the_configuration_and_changes_nothing() {
    let place = place(ROWS);
    let ran = place.import(&["--dry-run"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let toml: toml::Table = ran.stdout.parse().unwrap();
    assert_eq!(toml["app"][0]["provider"].as_str(), Some("http"));
    for said in [
        "would write fswake.toml\n",
        "would have 2 new devices",
        "Nothing was changed: this was a dry run.\n",
    ] {
        assert!(ran.stderr.contains(said), "{said}: {}", ran.stderr);
    }
    let left: Vec<_> = std::fs::read_dir(place.dir.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(left, ["carusto.db"]);
}

#[test]
fn file_that_is_there_is_never_overwritten_without_force() {
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
        assert!(!place.store().exists(), "nothing is half done");
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
    // A deferred constraint lets the devices in and the commit fail.
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
fn tokens_alone_go_into_the_store_of_the_configuration() {
    let place = place(ROWS);
    let config = place.dir.path().join("own.toml");
    std::fs::write(&config, "[store]\npath = 'own.db'\n").unwrap();
    let db = place.db.to_str().unwrap();
    let args = ["--config", config.to_str().unwrap(), "--db", db];
    let ran = import(place.dir.path(), &args);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""), "{}", ran.stderr);
    assert!(place.dir.path().join("own.db").exists() && !place.store().exists());
    assert!(!place.dir.path().join("fswake.toml").exists());
}

#[test]
fn named_store_is_written_into_the_configuration() {
    let place = place(ROWS);
    let store = place.dir.path().join("elsewhere/tokens.db");
    let ran = place.import(&["--store", store.to_str().unwrap()]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let toml: toml::Table = std::fs::read_to_string(place.dir.path().join("fswake.toml"))
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(toml["store"]["path"].as_str(), store.to_str());
    let mode =
        |path: &Path| std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).unwrap().permissions()) & 0o777;
    assert_eq!((mode(&store), mode(store.parent().unwrap())), (0o600, 0o700));
}

#[test]
fn store_belongs_to_the_owner_of_its_directory() {
    use std::os::unix::fs::MetadataExt;
    let place = place(ROWS);
    let state = place.dir.path().join("state");
    std::fs::create_dir(&state).unwrap();
    if std::os::unix::fs::chown(&state, Some(4242), Some(4242)).is_err() {
        fswake_test_support::skipped::note("only root can give files away");
        return;
    }
    let ran = place.import(&["--store", state.join("fswake.db").to_str().unwrap()]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    for entry in std::fs::read_dir(&state).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().uid(), 4242, "{:?}", entry.file_name());
    }
}

#[test]
fn words_of_the_phones_for_their_platforms_are_kept() {
    let place = place(
        "(1, 'a1', '1', 'd', 'a', 'voip', 'ios', 0), (2, 'a2', '2', 'd', 'a', 'voip', 'ios', 0),
         (3, 't3', '3', 'd', 'a', 'voip', 'android', 0), (4, 't4', '4', 'd', 'a', 'voip', 'Harmony', 0)",
    );
    let ran = place.import(&[]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let toml: toml::Table = std::fs::read_to_string(place.dir.path().join("fswake.toml"))
        .unwrap()
        .parse()
        .unwrap();
    let platforms = toml["app"][0]["platforms"].as_table().unwrap();
    assert_eq!(platforms["apns"].as_str(), Some("ios"));
    assert!(!platforms.contains_key("fcm"), "{platforms}");
    assert!(
        ran.stderr
            .contains("note: only an app of provider http can push 1 device with platform harmony (app a)"),
        "{}",
        ran.stderr
    );
}

#[test]
fn what_cannot_be_read_is_named_and_nothing_is_done() {
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
fn killed_in_the_middle_it_leaves_no_device_and_no_file() {
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
    // A transaction that outgrows SQLite's memory begins to fill the log before it is committed.
    let log = place.dir.path().join("fswake.db-wal");
    let in_the_middle = || std::fs::metadata(&log).is_ok_and(|log| log.len() > 1 << 20);
    while !in_the_middle() {
        assert!(
            running.try_wait().unwrap().is_none(),
            "it ended before it could be killed"
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

/// As an editor of Windows saves it.
fn utf_16(text: &str) -> Vec<u8> {
    format!("\u{feff}{text}")
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect()
}

#[test]
fn configuration_in_any_encoding_that_is_harmless_is_the_same() {
    let plain =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import/fixtures/minimal.xml"))
            .unwrap();
    let told = |conf: &[u8]| {
        let mut place = place(ROWS);
        place.conf = place.dir.path().join("minimal.xml");
        std::fs::write(&place.conf, conf).unwrap();
        let ran = place.import(&["--dry-run"]);
        (ran.code, ran.stdout, ran.stderr)
    };
    let (code, expected, _) = told(plain.as_bytes());
    assert_eq!(code, Some(0));
    let mut latin_1 = b"<!-- Zo\xeb's -->".to_vec();
    latin_1.extend(plain.as_bytes());
    for conf in [
        format!("\u{feff}{plain}").into_bytes(),
        plain.replace('\n', "\r\n").into_bytes(),
        plain.trim_end().as_bytes().to_vec(),
        utf_16(&plain),
        latin_1,
    ] {
        let (code, stdout, stderr) = told(&conf);
        assert_eq!((code, stdout), (Some(0), expected.clone()), "{stderr}");
    }
    let value = plain.replace("/wake", "/wake\u{e9}");
    let value: Vec<u8> = value.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    let (code, _, stderr) = told(&value);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("minimal.xml: line 9 is not UTF-8 text"), "{stderr}");
    let mut declared = b"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>\n".to_vec();
    declared.extend(value);
    let (code, stdout, stderr) = told(&declared);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(
        stdout.contains("wake\u{e9}") || stdout.contains("wake%C3%A9"),
        "{stdout}"
    );
}

#[test]
fn a_failure_is_told_in_plain_words() {
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

#[test]
fn help_fits_a_terminal_and_manual_and_completions_are_printed() {
    let dir = tempfile::tempdir().unwrap();
    let help = import(dir.path(), &["--help"]).stdout;
    assert!(help.contains("Usage:") && !help.contains("--generate"), "{help}");
    for line in help.lines().filter(|line| line.chars().count() > 99) {
        // What is to be copied is not cut.
        assert!(line.starts_with("  fswake-import-mod-apn "), "{line}");
    }
    for (what, says) in [
        ("man", ".TH fswake-import-mod-apn"),
        ("bash", "complete -F"),
        ("zsh", "#compdef fswake-import-mod-apn"),
        ("fish", "complete -c fswake-import-mod-apn"),
    ] {
        let ran = import(dir.path(), &["--generate", what]);
        assert_eq!(ran.code, Some(0), "{what}: {}", ran.stderr);
        // A manual's hyphens are escaped.
        let text = ran.stdout.replace('\\', "");
        assert!(text.contains(says) && text.contains("dry-run"), "{what}: {text}");
    }
    let alone = import(dir.path(), &["--generate", "man", "--conf", "x"]);
    assert_eq!(alone.code, Some(2), "{}", alone.stderr);
}
