//! The store: what it returns, what survives, what it refuses. What holds for both a file and a shared store is tested on
//! both: on real files, and on a real PostgreSQL.

mod disk;
mod journal;
mod place;
mod shared;
mod transfer;

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fswake::engine::Step;
use fswake::store::sqlite::{SCHEMA, SCHEMA_VERSION};
use fswake::store::{Health, JournalEntry, Options, Sqlite, StoreError, StoreOp, StoreWriter};
use fswake::types::{Aor, CallId, Device, Provider, PushParams, PushToken, Tokens};
use rusqlite::{Connection, params};
use uuid::Uuid;

use place::{Place, on_each};

const LONG: Duration = Duration::from_secs(60);

fn device(n: u32) -> Device {
    Device {
        aor: Aor::new(format!("user{n}"), "example.org"),
        push: PushParams {
            provider: Provider::Apns,
            app: "org.example.phone".into(),
            team: Some("ABCDE12345".into()),
            tokens: Tokens::Call(PushToken::new(format!("{n:064x}"))),
        },
        user_agent: "Phone/1.0".into(),
        register_call_id: format!("call-{n}").into(),
        first_seen: 1_700_000_000,
        last_seen: 1_700_000_000 + i64::from(n),
        set_aside: None,
        changed: (1_700_000_000 + i64::from(n)) * 1_000_000,
    }
}

fn line(at_ms: i64) -> StoreOp {
    StoreOp::Journal(JournalEntry {
        call: Some(CallId(Uuid::from_u128(7))),
        aor: Aor::new("user1", "example.org"),
        at_ms,
        node: "fs-1".into(),
        step: Step::PushSent {
            device: "apns:a:0badcafe".into(),
            tries: 1,
            user_agent: "Phone/1.0".into(),
        },
    })
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

fn count(path: &Path, table: &str) -> i64 {
    let db = Connection::open(path).unwrap();
    db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))
        .unwrap()
}

fn until(writer: &StoreWriter, what: &str, holds: impl Fn(&Health) -> bool) -> Health {
    let started = Instant::now();
    loop {
        let health = writer.health();
        if holds(&health) {
            return health;
        }
        assert!(started.elapsed() < LONG, "{what}: {health:?}");
        std::thread::yield_now();
    }
}

#[test]
fn every_field_is_stored_unchanged_with_any_text() {
    on_each(|place| {
        let odd = "\u{0} ' \" ; -- \r\n \\ %00 \u{202e} \u{1f4f1} ${x} ]]> 007";
        let mut strange = device(1);
        strange.aor = Aor::new(odd, "Example.ORG");
        strange.push = PushParams {
            provider: Provider::from_name("acme"),
            app: odd.into(),
            team: Some("".into()),
            tokens: Tokens::Both {
                call: PushToken::new(odd.repeat(500)),
                remote: PushToken::new("0123"),
            },
        };
        strange.user_agent = odd.into();
        strange.register_call_id = odd.into();
        strange.first_seen = i64::MIN;
        strange.last_seen = i64::MAX;
        strange.set_aside = Some(odd.into());
        let mut bare = device(2);
        bare.push.team = None;
        bare.push.app = "".into();
        bare.push.tokens = Tokens::Remote(bare.push.token().clone());
        let store = place.open(Options::default());
        assert!(store.devices().is_empty());
        store.submit(StoreOp::Put(strange.clone().into()));
        store.submit(StoreOp::Put(bare.clone().into()));
        drop(store);
        assert_eq!(place.stored(), [strange, bare]);
    });
}

#[test]
fn put_replaces_and_delete_removes() {
    on_each(|place| {
        let store = place.open(Options::default());
        store.submit(StoreOp::Put(device(1).into()));
        store.submit(StoreOp::Put(device(2).into()));
        store.flush(LONG).unwrap();
        let newer = Device {
            last_seen: 1_800_000_000,
            changed: device(1).changed + 1,
            ..device(1)
        };
        store.submit(StoreOp::Put(newer.clone().into()));
        store.submit(StoreOp::Delete(device(2).key(), device(2).changed + 1));
        drop(store);
        assert_eq!(place.stored(), [newer]);
    });
}

#[test]
fn token_has_one_owner_and_a_late_delete_for_the_former_one_is_ignored() {
    on_each(|place| {
        let former = device(1);
        let mut owner = device(1);
        owner.aor = Aor::new("other", "example.org");
        owner.changed += 1;
        let store = place.open(Options::default());
        store.submit(StoreOp::Put(former.clone().into()));
        store.submit(StoreOp::Put(owner.clone().into()));
        store.submit(StoreOp::Delete(former.key(), owner.changed));
        drop(store);
        assert_eq!(place.stored(), [owner]);
    });
}

#[test]
fn two_writers_share_one_store() {
    on_each(|place| {
        let (one, two) = (place.open(Options::default()), place.another().open(Options::default()));
        for n in 0..100 {
            if n % 2 == 0 { &one } else { &two }.submit(StoreOp::Put(device(n).into()));
        }
        drop((one, two));
        assert_eq!(place.stored().len(), 100);
    });
}

#[test]
fn burst_of_100_000_devices_loses_none() {
    on_each(|place| {
        let store = place.open(Options::default());
        for n in 0..100_000 {
            store.submit(StoreOp::Put(device(n).into()));
        }
        // With PostgreSQL on a busy machine this takes more than half a minute.
        store.flush(LONG * 4).unwrap();
        assert_eq!((store.health().dropped_devices, store.health().queued), (0, 0));
        drop(store);
        assert_eq!(place.stored().len(), 100_000);
    });
}

#[test]
fn store_of_a_newer_version_is_refused_in_words() {
    on_each(|place| {
        drop(place.open(Options::default()));
        place.make_newer();
        let refused = place.try_open(Options::default()).err().unwrap();
        assert!(
            refused.contains("has schema version 99, this fswake knows up to")
                && refused.contains("run the newer fswake"),
            "{refused}"
        );
    });
}

#[test]
fn file_is_readable_by_its_owner_only() {
    let place = Place::file();
    std::fs::write(&place.path, "").unwrap();
    std::fs::set_permissions(&place.path, PermissionsExt::from_mode(0o644)).unwrap();
    let (_, writer) = Sqlite::open(&place.path, &Options::default()).unwrap();
    writer.submit(StoreOp::Put(device(1).into()));
    writer.flush(LONG).unwrap();
    for file in ["fswake.db", "fswake.db-wal", "fswake.db-shm"] {
        let mode = place.path.with_file_name(file).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

/// Not a test: this is the process that the next test kills.
#[test]
#[ignore = "run by the next test"]
fn child_that_writes_until_it_is_killed() {
    let place = Place::of_child();
    let store = place.open(Options::default());
    for n in 0.. {
        for n in n * 50..(n + 1) * 50 {
            store.submit(StoreOp::Put(device(n).into()));
            store.submit(line(now_ms()));
        }
        store.flush(LONG).unwrap();
        println!("\nwritten {}", (n + 1) * 50);
    }
}

#[test]
fn kill_during_a_write_loses_nothing_that_was_committed() {
    on_each(|place| {
        for batches in [1, 3, 9] {
            let mut child = Command::new(std::env::current_exe().unwrap());
            place.name_to_child(&mut child);
            let mut child = child
                .args([
                    "--exact",
                    "child_that_writes_until_it_is_killed",
                    "--ignored",
                    "--nocapture",
                ])
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let lines = BufReader::new(child.stdout.take().unwrap()).lines();
            let written = lines.filter_map(|l| l.unwrap().strip_prefix("written ")?.parse::<usize>().ok());
            let written = written.take(batches).last().unwrap();
            child.kill().unwrap();
            child.wait().unwrap();
            // What is in the file is sent when the store is opened again.
            drop(place.open(Options::default()));
            assert!(place.stored().len() >= written);
            let db = Connection::open(&place.path).unwrap();
            let verdict: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
            assert_eq!(verdict, "ok");
        }
    });
}

#[test]
fn old_journal_lines_are_pruned_in_small_steps_and_new_ones_stay() {
    let place = Place::file();
    // Both writers use one file. The first one must not prune what the second one has to.
    let keeps_long = Options {
        journal_keep: Duration::from_secs(10 * 365 * 86_400),
        ..Options::default()
    };
    let (_, writer) = Sqlite::open(&place.path, &keeps_long).unwrap();
    let old = now_ms() - 40 * 24 * 3600 * 1000;
    for n in 0..2_500 {
        writer.submit(line(old + n));
    }
    writer.submit(line(now_ms()));
    writer.flush(LONG).unwrap();
    drop(writer);
    assert_eq!(count(&place.path, "journal"), 2_501);
    let (_, _writer) = Sqlite::open(&place.path, &Options::default()).unwrap();
    let started = Instant::now();
    while count(&place.path, "journal") > 1 {
        assert!(started.elapsed() < LONG);
    }
}

#[test]
fn journal_keeps_its_newest_lines_when_there_are_too_many() {
    let place = Place::file();
    let options = Options {
        journal_max_lines: 1_200,
        ..Options::default()
    };
    let (_, writer) = Sqlite::open(&place.path, &Options::default()).unwrap();
    let start = now_ms();
    for n in 0..5_000 {
        writer.submit(line(start + n));
    }
    writer.flush(LONG).unwrap();
    drop(writer);
    let (_, _writer) = Sqlite::open(&place.path, &options).unwrap();
    let started = Instant::now();
    while count(&place.path, "journal") > 1_200 {
        assert!(started.elapsed() < LONG);
    }
    let db = Connection::open(&place.path).unwrap();
    let oldest = || {
        db.query_row("SELECT count(*), min(at_ms) FROM journal", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
    };
    assert_eq!(oldest().unwrap(), (1_200, start + 3_800));
}

/// schema.sql of version 1.
const VERSION_1: &str = include_str!("version_1.sql");

#[test]
fn store_of_version_1_is_upgraded_with_its_data() {
    let place = Place::file();
    let db = Connection::open(&place.path).unwrap();
    db.execute_batch(VERSION_1).unwrap();
    db.execute_batch(
        "INSERT INTO devices VALUES (1, 'user1', 'example.org', 'fcm', 'acme', 'tok', NULL, 'tok', NULL, 'A/1', 'c', 1, 2, NULL);
         INSERT INTO journal VALUES (1, 1700000000000, 'c1', 'user1', 'example.org', 'call-held', '{}');",
    )
    .unwrap();
    let indexes = |db: &Connection| -> Vec<String> {
        let mut query = db
            .prepare("SELECT name FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name")
            .unwrap();
        let names = query.query_map([], |row| row.get(0)).unwrap();
        names.collect::<Result<_, _>>().unwrap()
    };
    let fresh = Connection::open_in_memory().unwrap();
    fresh.execute_batch(SCHEMA).unwrap();
    assert_ne!(indexes(&db), indexes(&fresh));
    drop(db);
    // Lines of that age would otherwise be pruned.
    let keeps_long = Options {
        journal_keep: Duration::from_secs(100 * 365 * 86_400),
        ..Options::default()
    };
    let (snapshot, writer) = Sqlite::open(&place.path, &keeps_long).unwrap();
    assert_eq!(snapshot.devices[0].aor, Aor::new("user1", "example.org"));
    drop(writer);
    let db = Connection::open(&place.path).unwrap();
    let version: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    assert_eq!((version, count(&place.path, "journal")), (SCHEMA_VERSION, 1));
    assert_eq!(indexes(&db), indexes(&fresh));
    let key = snapshot.devices[0].key();
    let found = fswake::store::devices::find(&db, key.public_id()).unwrap();
    assert_eq!(found.as_ref(), Some(&snapshot.devices[0]));
    // The way back: a copy for the older version.
    let copy = place.path.with_file_name("fswake.db.version-1");
    assert_eq!(copy.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let old = Connection::open(&copy).unwrap();
    let version: i64 = old.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    assert_eq!((version, count(&copy, "devices"), count(&copy, "journal")), (1, 1, 1));
    assert!(!copy.with_extension("version-1.new").exists());
}

/// An older fswake says where the copy is that it can use. This one makes none of a file that needs no upgrade.
#[test]
fn older_version_names_the_copy_that_was_made_for_it() {
    let place = Place::file();
    drop(place.open(Options::default()));
    let copy = place.path.with_file_name(format!("fswake.db.version-{SCHEMA_VERSION}"));
    assert!(!copy.exists());
    place.make_newer();
    std::fs::write(&copy, "").unwrap();
    let refused = place.try_open(Options::default()).err().unwrap();
    assert!(
        refused.ends_with(&format!(
            "or put back its copy from before the upgrade, {}",
            copy.display()
        )),
        "{refused}"
    );
}

/// Another process writes the file: changes wait, and the file is neither upgraded nor written.
#[test]
fn writer_that_waits_for_its_turn_writes_everything_then_and_nothing_before() {
    let place = Place::file();
    let (_, old) = Sqlite::open(&place.path, &Options::default()).unwrap();
    old.submit(StoreOp::Put(device(1).into()));
    old.flush(LONG).unwrap();
    let waits = Options {
        waits: true,
        ..Options::default()
    };
    let (snapshot, new) = Sqlite::open(&place.path, &waits).unwrap();
    assert_eq!(snapshot.devices, [device(1)]);
    new.submit(StoreOp::Put(device(2).into()));
    assert!(new.flush(Duration::from_millis(100)).is_err());
    assert_eq!(count(&place.path, "devices"), 1);
    // The old process has left: it adds to the journal only.
    old.leave_devices_to_another();
    old.submit(StoreOp::Put(device(3).into()));
    old.submit(line(now_ms()));
    old.flush(LONG).unwrap();
    new.begin();
    new.flush(LONG).unwrap();
    assert_eq!((count(&place.path, "devices"), count(&place.path, "journal")), (2, 1));
    // One that never gets its turn ends without writing.
    let (_, third) = Sqlite::open(&place.path, &waits).unwrap();
    third.submit(StoreOp::Put(device(4).into()));
    drop(third);
    assert_eq!(count(&place.path, "devices"), 2);
}

#[test]
fn errors_in_the_journal_of_an_older_store_get_their_codes() {
    let place = Place::file();
    let (_, writer) = Sqlite::open(&place.path, &Options::default()).unwrap();
    drop(writer);
    let db = Connection::open(&place.path).unwrap();
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let now = i64::try_from(now.as_millis()).unwrap();
    for (event, detail) in [
        (
            "push-refused",
            r#"{"device":"x","class":"provider-busy","reason":"503 UNAVAILABLE","ms":7}"#,
        ),
        ("push-refused", r#"{"device":"x","reason":"token gone (Unregistered)"}"#),
        (
            "push-refused",
            r#"{"device":"x","class":"token-gone","code":"clock","reason":"x"}"#,
        ),
        ("push-refused", r#"{"class":7}"#),
        // These lines were not written by fswake and stay unchanged.
        ("push-refused", "{"),
        ("push-refused", r#"["class"]"#),
        ("push-sent", r#"{"class":"token-gone"}"#),
    ] {
        db.execute(
            "INSERT INTO journal (at_ms, call, aor_user, aor_domain, event, detail) VALUES (?1, 'c', 'u', 'd', ?2, ?3)",
            params![now, event, detail],
        )
        .unwrap();
    }
    db.execute_batch("PRAGMA user_version = 4").unwrap();
    drop(db);
    let (_, writer) = Sqlite::open(&place.path, &Options::default()).unwrap();
    drop(writer);
    let db = Connection::open(&place.path).unwrap();
    let mut query = db.prepare("SELECT detail FROM journal ORDER BY id").unwrap();
    let found: Vec<String> = query
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(
        found,
        [
            r#"{"device":"x","class":"provider-busy","reason":"503 UNAVAILABLE","ms":7,"code":"busy","status":503}"#,
            r#"{"device":"x","reason":"token gone (Unregistered)","code":"token-gone"}"#,
            r#"{"device":"x","class":"token-gone","code":"clock","reason":"x"}"#,
            r#"{"class":7,"code":"rejected","status":0}"#,
            "{",
            r#"["class"]"#,
            r#"{"class":"token-gone"}"#,
        ]
    );
}

#[test]
fn tokens_of_an_older_store_are_normalised_and_duplicate_devices_merged() {
    let place = Place::file();
    let db = Connection::open(&place.path).unwrap();
    db.execute_batch(VERSION_1).unwrap();
    let insert = |id: i64, user: &str, provider: &str, call: Option<&str>, remote: Option<&str>, seen: i64| {
        let sql = "INSERT INTO devices VALUES (?1, ?2, 'd', ?3, 'app', ?4, NULL, ?5, ?6, '', '', 1, ?7, NULL)";
        let row = params![id, user, provider, call.or(remote), call, remote, seen];
        db.execute(sql, row).unwrap();
    };
    // One phone with two users. The user seen last gets it, whatever form the token had.
    insert(1, "early", "apns", Some("AABB01"), None, 10);
    insert(2, "late", "apns", Some("aabb01"), None, 20);
    insert(3, "late", "apns", Some("AABB02"), Some("CC"), 20);
    insert(4, "early", "apns", Some("aabb02"), Some("CC"), 10);
    insert(5, "late", "apns.dev", Some("AABB03"), None, 20);
    insert(6, "early", "apns.dev", Some("AAbb03"), None, 10);
    // Without a valid call token, the other token identifies the device.
    insert(7, "half", "apns", Some("(null)"), Some("DD"), 5);
    insert(8, "none", "fcm", Some("null"), None, 5);
    insert(9, "none", "apns", Some("../../x"), None, 5);
    insert(10, "kept", "fcm", Some("aB:cD"), None, 5);
    insert(11, "kept", "acme", Some("AABB"), None, 5);
    drop(db);
    let (snapshot, writer) = Sqlite::open(&place.path, &Options::default()).unwrap();
    drop(writer);
    let mut found: Vec<_> = snapshot
        .devices
        .iter()
        .map(|d| {
            let shown = |token: Option<&PushToken>| token.map_or("-", |t| t.expose()).to_owned();
            let (call, remote) = (shown(d.push.tokens.call()), shown(d.push.tokens.remote()));
            format!("{} {} {call} {remote}", d.aor.user, d.push.provider.name())
        })
        .collect();
    found.sort();
    assert_eq!(
        found,
        [
            "half apns - dd",
            "kept acme AABB -",
            "kept fcm aB:cD -",
            "late apns aabb01 -",
            "late apns aabb02 cc",
            "late apns.dev aabb03 -",
        ]
    );
    let db = Connection::open(&place.path).unwrap();
    for device in &snapshot.devices {
        let key = device.key();
        let found = fswake::store::devices::find(&db, key.public_id()).unwrap();
        assert_eq!(
            found.as_ref(),
            Some(device),
            "its public id is not that of its new token"
        );
    }
}

#[test]
fn owners_of_unseen_devices_are_listed_page_by_page() {
    let place = Place::file();
    let (_, writer) = Sqlite::open(&place.path, &Options::default()).unwrap();
    for n in 0..2_500_u32 {
        let mut one = device(n);
        one.aor = Aor::new(format!("u{n}"), "d");
        (one.first_seen, one.last_seen) = (1, if n % 2 == 0 { 100 } else { 1_000 });
        writer.submit(StoreOp::Put(one.into()));
    }
    // An import that is newer than mod_apn's last row.
    let mut imported = device(9_999);
    (imported.first_seen, imported.last_seen) = (1_000, 5);
    writer.submit(StoreOp::Put(imported.into()));
    writer.flush(LONG).unwrap();
    let db = Connection::open(&place.path).unwrap();
    let (mut after, mut found) = (Some(0), Vec::new());
    while let Some(row) = after {
        let (some, next) = fswake::store::devices::owners_unseen(&db, 500, row).unwrap();
        found.extend(some);
        after = next;
    }
    assert_eq!(found.len(), 1_250);
    assert!(found.iter().all(|aor| aor.user[1..].parse::<u32>().unwrap() % 2 == 0));
}

#[test]
fn schema_applies_twice() {
    let db = Connection::open_in_memory().unwrap();
    db.execute_batch(SCHEMA).unwrap();
    db.execute_batch(SCHEMA).unwrap();
    let version: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    assert_eq!(version, SCHEMA_VERSION);
}

#[test]
fn newer_schema_is_refused() {
    let place = Place::file();
    let db = Connection::open(&place.path).unwrap();
    db.execute_batch("PRAGMA user_version = 99").unwrap();
    let refused = Sqlite::open(&place.path, &Options::default()).unwrap_err();
    assert!(matches!(refused, StoreError::NewerSchema { found: 99, .. }));
    assert_eq!(
        refused.to_string(),
        format!(
            "{}: the store has schema version 99, this fswake knows up to {SCHEMA_VERSION}: run the newer fswake, or name another \
             store.path",
            place.path.display()
        )
    );
}

#[test]
fn damaged_file_is_refused_with_its_name_and_what_to_do() {
    let place = Place::file();
    std::fs::write(&place.path, "this is not a database ".repeat(1000)).unwrap();
    let refused = Sqlite::open(&place.path, &Options::default()).unwrap_err();
    assert!(matches!(refused, StoreError::Corrupt { .. }));
    let text = refused.to_string();
    assert!(text.starts_with(place.path.to_str().unwrap()), "{text}");
    assert!(text.contains("move the file"), "{text}");
}

#[test]
fn missing_directory_is_refused_with_its_name() {
    let refused = Sqlite::open(Path::new("/nonexistent/fswake.db"), &Options::default()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "/nonexistent/fswake.db: the store cannot be opened: no such file or directory; \
         the directory must exist, and fswake must be able to write both"
    );
}
