//! Reading the journal: timelines, their text, and speed with a long journal.

mod cli;
mod diagnosis;

use std::path::{Path, PathBuf};

use fswake::engine::policy::Policy;
use fswake::journal::{Journal, JournalError, Whose};
use fswake::store::sqlite::SCHEMA;
use fswake::types::{Aor, CallId};
use rusqlite::{Connection, params};
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

/// The file of a store with a test's own lines.
struct Book {
    dir: TempDir,
    path: PathBuf,
    db: Connection,
}

impl Book {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fswake.db");
        let db = Connection::open(&path).unwrap();
        db.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))
            .unwrap();
        db.execute_batch(SCHEMA).unwrap();
        Self { dir, path, db }
    }

    fn line(&self, call: u128, user: &str, at_ms: i64, event: &str, detail: &Value) {
        self.db
            .execute(
                "INSERT INTO journal (at_ms, call, aor_user, aor_domain, event, detail) VALUES (?1, ?2, ?3, 'fs.test', ?4, ?5)",
                params![at_ms, id(call).to_string(), user, event, detail.to_string()],
            )
            .unwrap();
    }

    /// A call that was pushed once and connected.
    fn connected(&self, call: u128, user: &str, at_ms: i64) {
        let device = format!("apns:com.example.app:{call:08x}");
        let steps = [
            (
                0,
                "call-held",
                json!({"caller": "+4930123", "devices": 1, "wait-ms": 25_000, "way": "dialplan"}),
            ),
            (1, "push-sent", json!({"device": device, "try": 1})),
            (
                60,
                "push-accepted",
                json!({"device": device, "status": 200, "provider-id": "ID-1", "attempts": 1, "ms": 59}),
            ),
            (
                900,
                "device-registered",
                json!({"device": device, "how": "fresh", "ms": 899}),
            ),
            (901, "leg-started", json!({"device": device, "leg": 0, "why": "woken"})),
            (1_000, "leg-ringing", json!({"device": device, "ms": 99})),
            (4_000, "leg-answered", json!({"device": device, "codec": "PCMA"})),
            (4_020, "call-over", json!({"result": "connected"})),
        ];
        for (after, step, detail) in steps {
            self.line(call, user, at_ms + after, step, &detail);
        }
    }

    fn journal(&self) -> Journal {
        Journal::open(&self.path).unwrap()
    }
}

fn id(call: u128) -> Uuid {
    Uuid::from_u128(call)
}

fn whose(user: &str, domain: &str) -> Whose {
    Whose::new(&Aor::new(user, domain), &Policy::default())
}

#[test]
fn wake_is_a_timeline_in_words() {
    let book = Book::new();
    book.connected(7, "1001", 1_795_536_071_042);
    let wake = book.journal().wake(CallId(id(7))).unwrap().unwrap();
    let about = &wake.overview;
    assert_eq!(
        (about.aor.as_str(), about.caller.as_str()),
        ("1001@fs.test", "+4930123")
    );
    assert_eq!(
        (about.result.as_deref(), about.held_ms),
        (Some("connected"), Some(4_020))
    );
    assert_eq!(about.answered_by.as_deref(), Some("apns:com.example.app:00000007"));
    assert_eq!((about.devices, about.pushes, about.legs), (1, 1, 1));
    assert_eq!(wake.diagnosis, None);
    let words: Vec<_> = wake.steps.iter().map(|s| (s.after_ms, s.words.as_str())).collect();
    assert_eq!(
        words,
        [
            (
                0,
                "call held, from +4930123, by the dialplan; phones known: 1; waits 25.0 s"
            ),
            (1, "push written, try 1"),
            (60, "provider took the push: 200, after 59 ms, apns-id ID-1"),
            (900, "REGISTER, fresh, 899 ms after the push"),
            (901, "INVITE (leg 0): it has registered"),
            (1_000, "rings, 99 ms after the INVITE"),
            (4_000, "answered, codec PCMA"),
            (4_020, "over: connected (connected)"),
        ]
    );
}

#[test]
fn timeline_says_who_took_a_call_and_what_the_dialplan_got() {
    let book = Book::new();
    let taken = |how: &str, by: &str| ("call-taken", json!({"how": how, "by": by}));
    let over = |result: &str| ("call-over", json!({"result": result, "caller": "x", "cause": ""}));
    let cases = [
        (taken("picked-up", "1002"), "picked up by 1002"),
        (taken("picked-up", ""), "picked up"),
        (taken("transferred", "5000"), "transferred to 5000"),
        (taken("transferred", ""), "transferred"),
        (taken("parked", ""), "parked"),
        (taken("lost-race", ""), "another phone of the ring group answered"),
        (
            ("ring-time-over", json!({"cause": "NO_ANSWER"})),
            "the dial-string's own timeout ended the call: NO_ANSWER",
        ),
        (
            ("early-media", json!({"device": "binding"})),
            "the caller hears the phone before it is answered",
        ),
        (over("taken"), "over: somebody else has the call (taken)"),
        (over("woken"), "over: a phone is awake; the dialplan rings it (woken)"),
        (
            ("call-over", json!({"result": "declined", "cause": "USER_BUSY"})),
            "over: declined; the dialplan goes on (declined), cause USER_BUSY",
        ),
    ];
    for (n, ((step, detail), _)) in (0..).zip(&cases) {
        book.line(1, "1001", n, step, detail);
    }
    let wake = book.journal().wake(CallId(id(1))).unwrap().unwrap();
    let words: Vec<_> = wake.steps.iter().map(|step| step.words.as_str()).collect();
    assert_eq!(words, cases.each_ref().map(|(_, words)| *words));
}

/// A step without text would be shown as its raw details.
#[test]
fn every_step_of_the_engine_has_a_text() {
    let book = Book::new();
    let calls = fswake::engine::StepKind::ALL
        .map(fswake::engine::StepKind::as_str)
        .into_iter()
        .filter(|name| !name.starts_with("notification"));
    for (n, step) in (0..).zip(calls.clone()) {
        book.line(1, "1001", n, step, &json!({}));
    }
    let wake = book.journal().wake(CallId(id(1))).unwrap().unwrap();
    assert_eq!(wake.steps.len(), calls.count());
    for step in &wake.steps {
        assert!(!step.words.is_empty(), "{}", step.step);
    }
}

#[test]
fn text_from_the_network_cannot_move_the_cursor() {
    let book = Book::new();
    book.line(1, "1001", 5, "call-held", &json!({"caller": "\u{1b}[2J\r\n1"}));
    book.line(
        1,
        "1001",
        6,
        "step-of-a-later-version",
        &json!({"why": "\u{1b}]0;x\u{7}", "n": 3}),
    );
    let wake = book.journal().wake(CallId(id(1))).unwrap().unwrap();
    for step in &wake.steps {
        assert!(!step.words.contains(|c: char| c.is_control()), "{}", step.words);
    }
    assert_eq!(wake.steps[1].words, r"n=3 why=\u{1b}]0;x\u{7}");
}

#[test]
fn wakes_of_a_user_are_found_under_every_alias_of_the_domain() {
    let book = Book::new();
    book.connected(1, "1001", 1_000);
    book.connected(2, "1002", 2_000);
    book.connected(3, "1001", 3_000);
    let calls = |whose: &Whose, since| {
        let wakes = book.journal().wakes_of(whose, since, 10).unwrap();
        wakes.into_iter().map(|w| w.overview.call).collect::<Vec<_>>()
    };
    let both = [id(1).to_string(), id(3).to_string()];
    assert_eq!(calls(&whose("1001", "FS.test"), 0), both);
    assert_eq!(calls(&whose("1001", "FS.test"), 1_001), both[1..]);
    assert_eq!(calls(&whose("1001", "other.test"), 0), [""; 0]);
    assert_eq!(calls(&Whose::user("1001"), 0), both);
    let policy = Policy {
        domain_aliases: vec![
            ("192.0.2.1".into(), "sip.test".into()),
            ("fs.test".into(), "sip.test".into()),
        ],
        ..Policy::default()
    };
    assert_eq!(calls(&Whose::new(&Aor::new("1001", "192.0.2.1"), &policy), 0), both);
    let latest = book.journal().wakes_of(&Whose::user("1001"), 0, 1).unwrap();
    assert_eq!(latest[0].overview.call, both[1]);
}

#[test]
fn recent_wakes_are_paged_newest_first_without_repetition() {
    let book = Book::new();
    for n in 1..=5 {
        book.connected(n, "1001", i64::try_from(n).unwrap() * 10_000);
    }
    let journal = book.journal();
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let page = journal.recent(before, 2).unwrap();
        assert!(page.wakes.len() <= 2);
        seen.extend(page.wakes.into_iter().map(|w| w.call));
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    let all: Vec<_> = (1..=5).rev().map(|n| id(n).to_string()).collect();
    assert_eq!(seen, all);
}

#[test]
fn missing_store_or_one_of_another_user_is_reported_with_a_hint() {
    let dir = tempfile::tempdir().unwrap();
    let error = |path: &Path| match Journal::open(path) {
        Ok(_) => panic!("opened"),
        Err(error) => error,
    };
    let missing = error(&dir.path().join("none.db"));
    assert!(matches!(missing, JournalError::Missing { .. }), "{missing}");
    assert!(missing.to_string().contains("fswake run"), "{missing}");
    let garbage = dir.path().join("garbage.db");
    std::fs::write(
        &garbage,
        "not a database, and longer than its header would be: ".repeat(40),
    )
    .unwrap();
    let garbage = error(&garbage);
    assert!(matches!(garbage, JournalError::Unreadable { .. }), "{garbage}");
}

#[test]
fn copy_in_a_read_only_directory_is_readable() {
    let book = Book::new();
    book.connected(1, "1001", 1_000);
    let Book { dir, path, db } = book;
    db.close().unwrap();
    assert!(!dir.path().join("fswake.db-wal").exists());
    // Root can write to every directory. A directory of the -shm file's name stands for one that cannot be written.
    std::fs::create_dir(dir.path().join("fswake.db-shm")).unwrap();
    assert!(Journal::open(&path).unwrap().wake(CallId(id(1))).unwrap().is_some());
}

/// A journal of a million lines: 125,000 calls to 1,000 users.
fn million() -> Book {
    let book = Book::new();
    book.db
        .execute_batch(
            "PRAGMA synchronous = off;
             INSERT INTO journal (at_ms, call, aor_user, aor_domain, event, detail)
             WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999999)
             SELECT unixepoch() * 1000 - 1000000000 + i * 1000,
                    printf('00000000-0000-0000-0000-%012x', i / 8), 'u' || (i / 8 % 1000), 'fs.test',
                    CASE i % 8 WHEN 0 THEN 'call-held' WHEN 7 THEN 'call-over' WHEN 1 THEN 'push-sent' ELSE 'leg-started' END,
                    '{\"device\":\"apns:com.example.app:0badcafe\",\"result\":\"timeout\",\"status\":200,\"provider-id\":\"EC1BF194-B3B2-424A-89A9-5A918A6E6B5C\"}'
             FROM n;",
        )
        .unwrap();
    book
}

#[test]
fn every_query_uses_an_index() {
    let book = Book::new();
    let plan = |sql: &str| {
        let mut query = book.db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        // The parameters may be anything: the shape is what counts.
        let (mut rows, mut plan) = (query.raw_query(), String::new());
        while let Some(row) = rows.next().unwrap() {
            plan += &row.get::<_, String>(3).unwrap();
        }
        plan
    };
    let asked = fswake::journal::questions(&whose("1001", "fs.test"));
    assert_eq!(asked.len(), 7);
    for sql in asked {
        let plan = plan(&sql);
        let by_index = plan.contains("USING INDEX journal_") || plan.contains("USING INTEGER PRIMARY KEY");
        assert!(by_index && !plan.contains("TEMP B-TREE"), "{sql}: {plan}");
    }
}
