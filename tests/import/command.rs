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

/// Runs the command. Its store is in `state`, unless the arguments name another.
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
pub struct Place {
    pub dir: tempfile::TempDir,
    pub conf: PathBuf,
    pub db: PathBuf,
}

pub const ROWS: &str = "
    (1, 'ca111001', '1001', 'pbx.example', 'com.example.phone', 'voip', 'iOS', '2026-11-20 10:00:00'),
    (2, 'c4a71001', '1001', 'pbx.example', 'com.example.phone', 'im', 'iOS', '2026-11-21 10:00:00'),
    (3, 'droid-1002', '1002', 'PBX.example', 'com.example.phone', 'voip', 'Android', 1795000000),
    (4, 'ca111001', '1001', 'pbx.example', 'com.example.phone', 'voip', 'iOS', '2026-11-22 10:00:00'),
    (5, 'ca111001', '1003', 'pbx.example', 'com.example.phone', 'voip', 'iOS', '2026-10-01 00:00:00'),
    (6, 'a token', '1004', 'pbx.example', 'com.example.phone', 'voip', 'iOS', NULL)";

pub fn place(rows: &str) -> Place {
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
    pub fn import(&self, more: &[&str]) -> Ran {
        let mut args = vec!["--conf", self.conf.to_str().unwrap(), "--db", self.db.to_str().unwrap()];
        args.extend(more);
        import(self.dir.path(), &args)
    }

    pub fn store(&self) -> PathBuf {
        self.dir.path().join("fswake.db")
    }

    /// User, call and message token, last seen.
    pub fn stored(&self) -> Vec<(String, Option<String>, Option<String>, i64)> {
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
        "has 2 new devices, 0 renewed, 0 unchanged\n",
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
fn second_run_changes_nothing_and_reports_that() {
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
        "fswake.toml already exists, with the same text\n",
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
fn tokens_alone_are_written_into_the_configured_store() {
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
fn platform_names_of_the_phones_are_kept() {
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

/// As an editor on Windows saves it.
fn utf_16(text: &str) -> Vec<u8> {
    format!("\u{feff}{text}")
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect()
}

#[test]
fn configuration_in_any_harmless_encoding_is_accepted() {
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
fn help_fits_a_terminal_and_manual_and_completions_are_printed() {
    let dir = tempfile::tempdir().unwrap();
    let help = import(dir.path(), &["--help"]).stdout;
    assert!(help.contains("Usage:") && !help.contains("--generate"), "{help}");
    for line in help.lines().filter(|line| line.chars().count() > 99) {
        // Commands to copy are not wrapped.
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
        // Hyphens are escaped in a manual page.
        let text = ran.stdout.replace('\\', "");
        assert!(text.contains(says) && text.contains("dry-run"), "{what}: {text}");
    }
    let alone = import(dir.path(), &["--generate", "man", "--conf", "x"]);
    assert_eq!(alone.code, Some(2), "{}", alone.stderr);
}
