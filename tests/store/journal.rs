//! The journal in the store that several daemons share.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fswake::engine::Step;
use fswake::journal::{Journal, Whose};
use fswake::store::shared::SCHEMA;
use fswake::store::{JournalEntry, Options, StoreOp};
use fswake::types::{Aor, CallId};
use fswake_test_support::postgres::{PASSWORD, Server};
use rusqlite::Connection;
use uuid::Uuid;

use super::place::{Opened, Place, query, sql};
use super::{LONG, now_ms};

fn place() -> Option<Place> {
    Server::shared().map(Place::shared)
}

/// The step of one call.
fn step(call: u128, at_ms: i64, node: &str) -> StoreOp {
    StoreOp::Journal(JournalEntry {
        call: Some(CallId(Uuid::from_u128(call))),
        aor: Aor::new("user1", "example.org"),
        at_ms,
        node: node.into(),
        step: Step::ConnectionLost {},
    })
}

/// The calls in a daemon's file with their daemons and nodes, sorted.
fn calls(place: &Place) -> Vec<(u128, String, String)> {
    let db = Connection::open(&place.path).unwrap();
    let mut query = db.prepare("SELECT call, daemon, node FROM journal").unwrap();
    let rows = query.query_map([], |row| {
        let call: String = row.get(0)?;
        Ok((Uuid::parse_str(&call).unwrap().as_u128(), row.get(1)?, row.get(2)?))
    });
    let mut calls = rows.unwrap().collect::<Result<Vec<_>, _>>().unwrap();
    calls.sort();
    calls
}

/// Waits until a daemon's file has exactly these calls.
fn has(place: &Place, store: &Opened, expected: impl IntoIterator<Item = u128>) {
    let expected: Vec<_> = expected.into_iter().collect();
    let began = Instant::now();
    loop {
        let found: Vec<_> = calls(place).into_iter().map(|(call, ..)| call).collect();
        if found == expected {
            return;
        }
        let health = store.shared.as_ref().unwrap().health();
        assert!(began.elapsed() < LONG, "{found:?}, not {expected:?}: {health:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn in_postgresql(place: &Place) -> Vec<String> {
    let calls = "SELECT right(call, 4) FROM fswake_journal ORDER BY 1";
    query(place.url.as_deref().unwrap(), calls)
}

#[test]
fn every_file_gets_the_lines_of_all_daemons_with_daemon_and_node() {
    let Some(here) = place() else { return };
    let there = here.another();
    let (one, two) = (here.open(Options::default()), there.open(Options::default()));
    one.submit(step(1, now_ms(), "fs-1"));
    two.submit(step(2, now_ms(), "fs-2"));
    for (place, store) in [(&here, &one), (&there, &two)] {
        has(place, store, [1, 2]);
        assert_eq!(
            calls(place),
            [
                (1, here.daemon.to_string(), "fs-1".to_owned()),
                (2, there.daemon.to_string(), "fs-2".to_owned()),
            ]
        );
    }
    // A daemon with a new file has them too.
    let new = here.another();
    let third = new.open(Options::default());
    has(&new, &third, [1, 2]);
}

#[test]
fn nothing_of_the_journal_is_lost_while_postgresql_is_killed_and_down() {
    let Some(server) = Server::start() else { return };
    let server = Arc::new(server);
    let here = Place::shared(Arc::clone(&server));
    let there = here.another();
    let (one, two) = (here.open(Options::default()), there.open(Options::default()));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(150));
            server.kill();
        });
        for n in 0..500 {
            one.submit(step(n, now_ms(), ""));
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    for n in 500..1_000 {
        one.submit(step(n, now_ms(), ""));
    }
    one.flush(LONG).unwrap();
    // The daemon is killed too.
    std::mem::forget(one);
    let one = here.open(Options::default());
    assert_eq!(calls(&here).len(), 1_000);
    server.resume();
    has(&there, &two, 0..1_000);
    one.settle();
    assert_eq!(in_postgresql(&here).len(), 1_000);
}

#[test]
fn lines_of_a_killed_daemon_are_neither_lost_nor_doubled() {
    let Some(here) = place() else { return };
    let there = here.another();
    let two = there.open(Options::default());
    for round in 0..25 {
        let one = here.open(Options::default());
        one.submit(step(round, now_ms(), ""));
        one.settle();
        drop(one);
        // PostgreSQL has the lines, and the daemon was killed before its file noted it.
        let db = Connection::open(&here.path).unwrap();
        let back = format!("UPDATE shared_journal SET sent_to = max(sent_to - {}, 0)", round % 4);
        db.execute_batch(&back).unwrap();
    }
    here.open(Options::default()).settle();
    assert_eq!(in_postgresql(&here).len(), 25);
    has(&there, &two, 0..25);
}

#[test]
fn id_of_a_line_is_never_used_again_after_it_was_deleted() {
    let Some(here) = place() else { return };
    let one = here.open(Options::default());
    let at_ms = now_ms();
    for n in 0..3 {
        one.submit(step(n, at_ms, ""));
        one.settle();
        let db = Connection::open(&here.path).unwrap();
        db.execute_batch("DELETE FROM journal").unwrap();
    }
    assert_eq!(in_postgresql(&here), ["0000", "0001", "0002"]);
}

#[test]
fn old_lines_and_too_many_are_deleted_from_postgresql() {
    let Some(here) = place() else { return };
    let day = 86_400_000;
    let one = here.open(Options::default());
    for n in 0..50 {
        one.submit(step(n, now_ms() - 2 * day, ""));
    }
    for n in 100..150_u16 {
        one.submit(step(n.into(), now_ms() - i64::from(n), ""));
    }
    one.settle();
    drop(one);
    assert_eq!(in_postgresql(&here).len(), 100);
    let until = |options: Options, left: usize| {
        let _store = here.another().open(options);
        let began = Instant::now();
        while in_postgresql(&here).len() != left {
            assert!(began.elapsed() < LONG, "{:?}", in_postgresql(&here).len());
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    // Another daemon deletes them now: this one does not.
    let url = here.url.clone().unwrap();
    let busy = std::thread::spawn(move || {
        sql(
            &url,
            &format!(
                "BEGIN; SELECT pg_advisory_xact_lock({}); SELECT pg_sleep(3); COMMIT",
                0x6673_7761_6b66_i64
            ),
        );
    });
    std::thread::sleep(Duration::from_millis(500));
    let kept = Options {
        journal_keep: Duration::from_secs(86_400),
        ..Options::default()
    };
    let store = here.another().open(kept.clone());
    std::thread::sleep(Duration::from_millis(1_000));
    assert_eq!(in_postgresql(&here).len(), 100, "another daemon has the lock");
    drop(store);
    busy.join().unwrap();
    until(kept, 50);
    let few = Options {
        journal_max_lines: 20,
        ..Options::default()
    };
    until(few, 20);
    // The newest are left.
    let newest: Vec<_> = (100..120).map(|n| format!("{n:04x}")).collect();
    assert_eq!(in_postgresql(&here), newest);
}

#[test]
fn journal_of_a_single_daemon_is_merged_once_however_often_it_joins() {
    let Some(there) = place() else { return };
    let two = there.open(Options::default());
    let mut alone = Place::file();
    for n in 0..3 {
        let single = alone.open(Options::default());
        single.submit(step(n, now_ms(), ""));
        drop(single);
        alone = alone.sharing(there.url.clone());
        alone.open(Options::default()).settle();
        alone = alone.sharing(None);
    }
    assert_eq!(in_postgresql(&there), ["0000", "0001", "0002"]);
    has(&there, &two, 0..3);
}

#[test]
fn server_that_lost_lines_gets_them_again() {
    let Some(here) = place() else { return };
    let url = here.url.clone().unwrap();
    let one = here.open(Options::default());
    for n in 0..10 {
        one.submit(step(n, now_ms(), ""));
    }
    one.settle();
    drop(one);
    // As after a failover to a server that did not have the last ones.
    sql(
        &url,
        "ALTER TABLE fswake_journal RENAME TO former; ALTER INDEX fswake_journal_pkey RENAME TO former_pkey;
         ALTER INDEX fswake_journal_written RENAME TO former_written; ALTER INDEX fswake_journal_age RENAME TO former_age",
    );
    sql(&url, SCHEMA);
    sql(&url, "INSERT INTO fswake_journal SELECT * FROM former WHERE line <= 4");
    let one = here.open(Options::default());
    let began = Instant::now();
    while in_postgresql(&here).len() < 10 {
        assert!(began.elapsed() < LONG, "{:?}", in_postgresql(&here));
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(one);
    assert_eq!(calls(&here).len(), 10, "its own lines are not doubled in its file");
}

#[test]
fn line_of_a_transaction_that_ends_late_is_not_missed() {
    let Some(here) = place() else { return };
    let url = here.url.clone().unwrap();
    let one = here.open(Options::default());
    let slow = std::thread::spawn(move || {
        sql(
            &url,
            &format!(
                "BEGIN; INSERT INTO fswake_journal VALUES (7, 1, {}, 'slow', '', '{}', 'u', 'd', 'call-held', '{{}}', 0);
                 SELECT pg_sleep(4); COMMIT",
                now_ms(),
                Uuid::from_u128(1)
            ),
        );
    });
    std::thread::sleep(Duration::from_millis(500));
    let there = here.another();
    let two = there.open(Options::default());
    two.submit(step(2, now_ms(), ""));
    has(&here, &one, [2]);
    slow.join().unwrap();
    has(&here, &one, [1, 2]);
    has(&there, &two, [1, 2]);
}

#[test]
fn wakes_are_listed_by_time_however_late_their_lines_arrive() {
    let Some(here) = place() else { return };
    let held = |call: u128, at_ms: i64| {
        let StoreOp::Journal(entry) = step(call, at_ms, "") else {
            unreachable!()
        };
        entry
    };
    drop(here.open(Options::default()));
    // Lines of calls 1 to 9, in the order in which they arrived.
    let order = [5, 6, 1, 2, 9, 7, 3, 8, 4];
    let db = Connection::open(&here.path).unwrap();
    for n in order {
        let entry = held(n, i64::try_from(n).unwrap());
        let sql = "INSERT INTO journal (at_ms, call, aor_user, aor_domain, event, detail) VALUES (?1, ?2, 'u', 'd', 'call-held', '{}')";
        db.execute(sql, rusqlite::params![entry.at_ms, entry.call.unwrap().to_string()])
            .unwrap();
    }
    let journal = Journal::open(&here.path).unwrap();
    let (mut listed, mut before) = (Vec::new(), None);
    loop {
        let page = journal.recent(before, 2).unwrap();
        listed.extend(page.wakes.iter().map(|wake| wake.held_at_ms));
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(listed, [9, 8, 7, 6, 5, 4, 3, 2, 1]);
    let wakes = journal.wakes_of(&Whose::user("u"), 0, 9).unwrap();
    assert!(
        wakes
            .iter()
            .all(|wake| wake.overview.daemon.as_deref() == Some(&*here.daemon))
    );
}

#[test]
fn others_are_missing_when_they_have_not_been_read_for_a_while() {
    let Some(here) = place() else { return };
    let one = here.open(Options::default());
    one.submit(step(1, now_ms(), ""));
    one.settle();
    let missing = || Journal::open(&here.path).unwrap().others_missing_since_ms();
    let began = Instant::now();
    while missing().is_some() {
        assert!(began.elapsed() < LONG);
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(one);
    let db = Connection::open(&here.path).unwrap();
    let read_at = now_ms() - 60_000;
    db.execute("UPDATE shared_journal SET read_at_ms = ?1", [read_at])
        .unwrap();
    assert_eq!(missing(), Some(read_at));
    // Without a shared store none is missing.
    let alone = here.sharing(None);
    drop(alone.open(Options::default()));
    assert_eq!(Journal::open(&alone.path).unwrap().others_missing_since_ms(), None);
}

#[test]
fn tables_of_version_1_are_upgraded_by_those_who_start_together() {
    let Some(here) = place() else { return };
    let url = here.url.clone().unwrap();
    sql(&url, include_str!("postgresql_1.sql"));
    std::thread::scope(|scope| {
        for n in 0..4 {
            let place = here.another();
            scope.spawn(move || {
                let store = place.open(Options::default());
                store.submit(step(n, now_ms(), ""));
                store.settle();
            });
        }
    });
    assert_eq!(in_postgresql(&here).len(), 4);
    let new = place().unwrap();
    drop(new.open(Options::default()));
    let columns =
        "SELECT concat_ws(' ', table_name, column_name, data_type, is_nullable) FROM information_schema.columns
                   WHERE table_schema = 'public' UNION ALL SELECT concat_ws(' ', event_object_table, trigger_name) FROM
                   information_schema.triggers UNION ALL SELECT 'version ' || version FROM fswake_schema UNION ALL
                   SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1";
    assert_eq!(query(&url, columns), query(new.url.as_deref().unwrap(), columns));
    // The owner may apply the file again.
    sql(&url, SCHEMA);
}

#[test]
fn right_that_is_missing_is_named() {
    let Some(here) = place() else { return };
    let url = here.url.clone().unwrap();
    drop(here.open(Options::default()));
    let user = format!("clerk_{}", url.rsplit('/').next().unwrap());
    let password = PASSWORD.replace('\'', "''");
    sql(
        &url,
        &format!(
            "CREATE ROLE {user} LOGIN PASSWORD '{password}'; GRANT SELECT ON fswake_schema TO {user};
             GRANT SELECT, INSERT, UPDATE, DELETE ON fswake_devices TO {user}; GRANT SELECT ON fswake_journal TO {user}"
        ),
    );
    let clerk = here
        .another()
        .sharing(Some(url.replace("//pbx@", &format!("//{user}@"))));
    let store = clerk.open(Options::default());
    store.submit(step(1, now_ms(), ""));
    let shared = store.shared.as_ref().unwrap();
    let began = Instant::now();
    let reason = loop {
        if let Some(failing) = shared.health().journal.failing {
            break failing.reason;
        }
        assert!(began.elapsed() < LONG);
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(
        reason,
        format!(
            "user {user} lacks INSERT, DELETE on fswake_journal: docs/OPERATING.md, \"PostgreSQL\", has the rights that fswake needs"
        )
    );
    assert_eq!(shared.health().devices.failing, None, "devices are exchanged");
    sql(&url, &format!("GRANT INSERT, DELETE ON fswake_journal TO {user}"));
    has(&clerk, &store, [1]);
    store.settle();
    assert_eq!(in_postgresql(&here), ["0001"]);
}
