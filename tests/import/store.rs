//! Which imported devices the store accepts, and which of its own it keeps.

use std::path::{Path, PathBuf};

use fswake::store::{Fate, Import, Options, Sqlite, StoreOp};
use fswake::types::{Aor, Device, Provider, PushParams, PushToken, Tokens};
use rusqlite::Connection;
use tempfile::TempDir;

struct Place {
    _dir: TempDir,
    path: PathBuf,
}

fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fswake.db");
    Place { _dir: dir, path }
}

/// Devices as an import makes them: first seen at 1000, last seen at `last_seen`.
fn device(user: &str, call: Option<&str>, message: Option<&str>, last_seen: i64) -> Device {
    Device {
        aor: Aor::new(user, "pbx.example"),
        push: PushParams {
            provider: Provider::Fcm,
            app: "acme-1234".into(),
            team: None,
            tokens: Tokens::new(call.map(PushToken::new), message.map(PushToken::new)).unwrap(),
        },
        user_agent: "".into(),
        register_call_id: "".into(),
        first_seen: 1000,
        last_seen,
        set_aside: None,
        changed: 0,
    }
}

/// Devices as a REGISTER makes them.
fn registered(user: &str, call: &str, last_seen: i64) -> Device {
    Device {
        user_agent: "Phone/1".into(),
        register_call_id: "call-1".into(),
        first_seen: 500,
        ..device(user, Some(call), None, last_seen)
    }
}

fn put(path: &Path, devices: &[Device]) {
    let (_, store) = Sqlite::open(path, &Options::default()).unwrap();
    for device in devices {
        store.submit(StoreOp::Put(device.clone().into()));
    }
    store.flush(std::time::Duration::from_secs(30)).unwrap();
}

fn stored(path: &Path) -> Vec<Device> {
    let (snapshot, _store) = Sqlite::open(path, &Options::default()).unwrap();
    let mut devices = snapshot.devices;
    devices.sort_by(|a, b| (&a.aor, a.push.token()).cmp(&(&b.aor, b.push.token())));
    devices
}

fn import(path: &Path, devices: &[Device]) -> Vec<Fate> {
    let foreseen = Import::foresee(path, devices).unwrap();
    let fates = Import::begin(path, devices).unwrap().commit().unwrap();
    assert_eq!(fates, foreseen, "not the result of the dry run");
    fates
}

#[test]
fn imported_devices_are_loaded_at_start() {
    let place = place();
    let devices = [
        device("101", Some("a"), Some("b"), 900),
        device("102", None, Some("c"), 0),
    ];
    assert_eq!(import(&place.path, &devices), [Fate::Added, Fate::Added]);
    assert_eq!(stored(&place.path), devices);
}

#[test]
fn second_import_changes_nothing() {
    let place = place();
    let devices = [
        device("101", Some("a"), Some("b"), 900),
        device("102", None, Some("c"), 0),
    ];
    import(&place.path, &devices);
    let mut again = devices.clone();
    again[0].first_seen = 2000;
    assert_eq!(import(&place.path, &again), [Fate::Known, Fate::Known]);
    assert_eq!(stored(&place.path), devices);
}

#[test]
fn data_of_a_newer_register_is_kept() {
    let place = place();
    let known = registered("101", "a", 950);
    put(&place.path, std::slice::from_ref(&known));
    let older = device("101", Some("a"), Some("b"), 900);
    assert_eq!(import(&place.path, &[older]), [Fate::Known]);
    let other = device("102", Some("a"), None, 900);
    assert_eq!(
        import(&place.path, &[other]),
        [Fate::Kept(Aor::new("101", "pbx.example"))]
    );
    assert_eq!(stored(&place.path), [known]);
}

#[test]
fn older_data_is_renewed_and_the_phones_own_data_stays() {
    let place = place();
    put(&place.path, &[registered("101", "a", 800)]);
    let newer = device("101", Some("a"), Some("b"), 900);
    assert_eq!(import(&place.path, &[newer]), [Fate::Renewed]);
    let mut expected = registered("101", "a", 900);
    expected.push.tokens = Tokens::Both {
        call: PushToken::new("a"),
        remote: PushToken::new("b"),
    };
    // Later than the row that it replaces.
    expected.changed = 1;
    assert_eq!(stored(&place.path), [expected]);
}

#[test]
fn token_moves_from_a_user_who_was_seen_earlier() {
    let place = place();
    put(&place.path, &[registered("101", "a", 800)]);
    let newer = device("102", Some("a"), None, 900);
    assert_eq!(
        import(&place.path, std::slice::from_ref(&newer)),
        [Fate::Taken(Aor::new("101", "pbx.example"))]
    );
    // Later than the row that it replaces.
    let taken = Device { changed: 1, ..newer };
    assert_eq!(stored(&place.path), [taken]);
}

#[test]
fn message_token_of_a_known_phone_does_not_make_a_second_device() {
    let place = place();
    let mut whole = registered("101", "a", 800);
    whole.push.tokens = Tokens::Both {
        call: PushToken::new("a"),
        remote: PushToken::new("b"),
    };
    put(&place.path, std::slice::from_ref(&whole));
    assert_eq!(
        import(&place.path, &[device("101", None, Some("b"), 900)]),
        [Fate::Known]
    );
    assert_eq!(stored(&place.path), [whole]);
}

#[test]
fn nothing_is_visible_before_the_commit() {
    let place = place();
    put(&place.path, &[registered("101", "a", 800)]);
    let begun = Import::begin(&place.path, &[device("102", Some("c"), None, 900)]).unwrap();
    assert_eq!(begun.fates, [Fate::Added]);
    let count = || -> i64 {
        let db = Connection::open(&place.path).unwrap();
        db.query_row("SELECT count(*) FROM devices", [], |row| row.get(0))
            .unwrap()
    };
    assert_eq!(count(), 1);
    drop(begun);
    assert_eq!(count(), 1);
}

#[test]
fn error_in_the_middle_leaves_nothing() {
    let place = place();
    put(&place.path, &[]);
    let db = Connection::open(&place.path).unwrap();
    db.execute_batch(
        "CREATE TRIGGER full BEFORE INSERT ON devices WHEN new.token = 'third'
         BEGIN SELECT RAISE(ABORT, 'the disk is full'); END",
    )
    .unwrap();
    let devices = ["first", "second", "third", "fourth"].map(|t| device("101", Some(t), None, 900));
    let error = Import::begin(&place.path, &devices).unwrap_err().to_string();
    assert!(error.contains("the disk is full"), "{error}");
    assert_eq!(stored(&place.path), []);
}

#[test]
fn dry_run_creates_no_file() {
    let place = place();
    assert_eq!(
        Import::foresee(&place.path, &[device("101", Some("a"), None, 1)]).unwrap(),
        [Fate::Added]
    );
    assert!(!place.path.exists());
}

#[test]
fn import_works_while_the_daemon_has_the_store_open() {
    let place = place();
    let (_, store) = Sqlite::open(&place.path, &Options::default()).unwrap();
    store.submit(StoreOp::Put(registered("101", "a", 800).into()));
    store.flush(std::time::Duration::from_secs(30)).unwrap();
    import(&place.path, &[device("102", Some("b"), None, 900)]);
    store.submit(StoreOp::Put(registered("103", "c", 800).into()));
    store.flush(std::time::Duration::from_secs(30)).unwrap();
    drop(store);
    let users: Vec<_> = stored(&place.path).iter().map(|d| d.aor.user.to_string()).collect();
    assert_eq!(users, ["101", "102", "103"]);
}

#[test]
fn dry_run_reads_the_store_of_an_older_version_and_does_not_change_it() {
    let place = place();
    put(&place.path, &[registered("101", "a", 800)]);
    let older = Connection::open(&place.path).unwrap();
    let columns = "ALTER TABLE devices DROP COLUMN changed; ALTER TABLE devices DROP COLUMN elsewhere;
                   PRAGMA user_version = 5";
    older.execute_batch(columns).unwrap();
    let devices = [device("101", Some("a"), None, 700), device("102", Some("b"), None, 900)];
    assert_eq!(
        Import::foresee(&place.path, &devices).unwrap(),
        [Fate::Known, Fate::Added]
    );
    assert!(!older.column_exists(None, "devices", "changed").unwrap());
    drop(older);
    assert_eq!(import(&place.path, &devices), [Fate::Known, Fate::Added]);
}
