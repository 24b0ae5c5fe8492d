//! The store that several daemons share: what it does in addition to any store.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fswake::engine::{DeviceChange, Event};
use fswake::input::Input;
use fswake::store::shared::{Arrival, SCHEMA};
use fswake::store::{Options, StoreOp};
use fswake::types::{Aor, Device};
use fswake_test_support::postgres::Server;

use super::place::{Opened, Place, query, sql};
use super::{LONG, device};

fn place() -> Option<Place> {
    Server::shared().map(Place::shared)
}

/// The next change that the loop gets.
fn received(store: &mut Opened) -> DeviceChange {
    let began = Instant::now();
    loop {
        match store.received.try_recv() {
            Ok(Input::Event(Event::DeviceChangedElsewhere(change))) => return change,
            Ok(other) => panic!("{other:?}"),
            Err(_) => assert!(began.elapsed() < LONG, "no change was received: {:?}", store.shared),
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn until(store: &Opened, what: &str, holds: impl Fn(&fswake::store::shared::SharedHealth) -> bool) {
    let began = Instant::now();
    let shared = store.shared.as_ref().unwrap();
    while !holds(&shared.health()) {
        assert!(began.elapsed() < LONG, "{what}: {:?}", shared.health());
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn owned_by(user: &str, later: i64) -> Device {
    let mut device = device(1);
    device.aor = Aor::new(user, "example.org");
    device.changed += later;
    device
}

#[test]
fn new_moved_and_dropped_tokens_reach_the_other_daemons() {
    let Some(place) = place() else { return };
    let (one, mut two) = (place.open(Options::default()), place.another().open(Options::default()));
    let moved = owned_by("other", 1);
    for (op, change) in [
        (StoreOp::Put(device(1).into()), DeviceChange::Kept(device(1).into())),
        (
            StoreOp::Put(moved.clone().into()),
            DeviceChange::Kept(moved.clone().into()),
        ),
        (
            StoreOp::Delete(moved.key(), moved.changed + 1),
            DeviceChange::Dropped {
                key: moved.key(),
                changed: moved.changed + 1,
            },
        ),
    ] {
        one.submit(op);
        assert_eq!(received(&mut two), change);
    }
    until(&two, "notified", |health| health.arrival == Arrival::Notify);
}

#[test]
fn later_register_owns_the_token_in_any_order_of_writing() {
    let Some(server) = Server::shared() else { return };
    for first in 0..2 {
        let place = Place::shared(Arc::clone(&server));
        let both = [owned_by("early", 0), owned_by("late", 1)];
        for n in [first, 1 - first] {
            let store = place.another().open(Options::default());
            store.submit(StoreOp::Put(both[n].clone().into()));
        }
        assert_eq!(place.stored(), [both[1].clone()]);
    }
}

#[test]
fn daemons_that_start_together_create_the_tables_once() {
    let Some(place) = place() else { return };
    std::thread::scope(|scope| {
        let starts: Vec<_> = (0..6)
            .map(|n| {
                let place = place.another();
                scope.spawn(move || {
                    let store = place.open(Options::default());
                    // Its first try succeeds: it never sees half of the tables, and never creates them twice.
                    assert_eq!(store.shared.as_ref().unwrap().health().devices.failing, None);
                    store.submit(StoreOp::Put(device(n).into()));
                })
            })
            .collect();
        for start in starts {
            start.join().unwrap();
        }
    });
    let url = place.url.as_deref().unwrap();
    assert_eq!(query(url, "SELECT count(*) FROM fswake_schema"), ["1"]);
    assert_eq!(place.stored().len(), 6);
}

/// Reading all devices is quick, and filling the file takes longer. What changes meanwhile is not missed.
#[test]
fn new_daemon_gets_all_devices_at_once_and_its_file_is_filled_meanwhile() {
    let Some(place) = place() else { return };
    let one = place.open(Options::default());
    for n in 0..3_500 {
        one.submit(StoreOp::Put(device(n).into()));
    }
    let dropped = device(7);
    one.submit(StoreOp::Delete(dropped.key(), dropped.changed + 1));
    one.settle();
    let (mut read, another) = (Vec::new(), place.another());
    let mut two = another.open_and_read(&mut |device| read.push(device.clone()));
    assert_eq!(
        two.snapshot.devices.len() + two.snapshot.elsewhere.len(),
        0,
        "not by way of the file"
    );
    read.sort_by(|a, b| a.aor.cmp(&b.aor));
    let all = place.stored();
    assert_eq!((read.len(), &read), (3_499, &all));
    // Its own changes wait for their turn; those of others come after it.
    let (own, other) = (owned_by("own", 1), {
        let mut other = device(2);
        other.changed += 5;
        other
    });
    two.submit(StoreOp::Put(own.clone().into()));
    one.submit(StoreOp::Put(other.clone().into()));
    while received(&mut two) != DeviceChange::Kept(other.clone().into()) {}
    two.settle();
    drop((one, two));
    let file = rusqlite::Connection::open(&another.path).unwrap();
    let count = |sql: &str| file.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(count("SELECT count(*) FROM devices"), 3_499);
    assert_eq!(count("SELECT count(*) FROM devices WHERE aor_user = 'own'"), 1);
    let indexes =
        "SELECT count(*) FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'devices' AND sql IS NOT NULL";
    assert_eq!(count(indexes), 2);
    assert_eq!(count("SELECT count(*) FROM outbox"), 0);
    // From now on it starts with its file.
    let again = another.open_and_read(&mut |_| panic!("the file has them"));
    assert_eq!(again.devices().len(), 3_499);
}

#[test]
fn nothing_is_lost_while_postgresql_is_killed_and_down() {
    let Some(server) = Server::start() else { return };
    let server = Arc::new(server);
    let place = Place::shared(Arc::clone(&server));
    let (one, mut two) = (place.open(Options::default()), place.another().open(Options::default()));
    // Killed while changes are being sent.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(50));
            server.kill();
        });
        for n in 0..500 {
            one.submit(StoreOp::Put(device(n).into()));
            std::thread::sleep(Duration::from_micros(200));
        }
    });
    until(&one, "failing", |health| health.devices.failing.is_some());
    for n in 500..1_000 {
        one.submit(StoreOp::Put(device(n).into()));
    }
    // They are in the file: a restarted daemon has them, and starts without the server.
    one.flush(LONG).unwrap();
    std::mem::forget(one);
    let one = place.open(Options::default());
    assert_eq!(one.devices().len(), 1_000);
    assert!(one.shared.as_ref().unwrap().health().devices.failing.is_some());
    server.resume();
    until(&one, "again", |health| {
        health.devices.failing.is_none() && health.devices.waiting == 0
    });
    let mut users = std::collections::BTreeSet::new();
    while users.len() < 1_000 {
        users.insert(received(&mut two).key().aor.user);
    }
    drop((one, two));
    assert_eq!(place.stored().len(), 1_000);
}

#[test]
fn changes_are_polled_where_notifications_do_not_arrive() {
    let Some(place) = place() else { return };
    let url = place.url.as_deref().unwrap();
    drop(place.open(Options::default()));
    let (one, mut two) = (place.open(Options::default()), place.another().open(Options::default()));
    until(&two, "notified", |health| health.arrival == Arrival::Notify);
    // Rows arrive as by a replication that carries no notifications.
    sql(
        url,
        "CREATE OR REPLACE FUNCTION fswake_written() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN NEW.written := clock_timestamp() - interval '1 minute';
               NEW.written_in := pg_current_xact_id()::text::bigint; RETURN NEW; END $$",
    );
    one.submit(StoreOp::Put(device(1).into()));
    assert_eq!(received(&mut two), DeviceChange::Kept(device(1).into()));
    until(&two, "polls", |health| health.arrival == Arrival::Poll);
}

#[test]
fn transaction_that_began_earlier_and_ends_later_is_not_missed() {
    let Some(place) = place() else { return };
    let url = place.url.clone().unwrap();
    drop(place.open(Options::default()));
    let mut two = place.another().open(Options::default());
    let slow = std::thread::spawn({
        let url = url.clone();
        move || {
            // The row of a daemon whose commit takes long.
            sql(
                &url,
                "BEGIN; INSERT INTO fswake_devices VALUES ('\\x00', 'fcm', 'slow', 't', 'slow', 'd', NULL, 't', NULL, '', '', 1, 1,
                 NULL, 1, false, 'x', now(), 0); SELECT pg_sleep(3); COMMIT",
            );
        }
    });
    std::thread::sleep(Duration::from_millis(500));
    let one = place.another().open(Options::default());
    one.submit(StoreOp::Put(device(1).into()));
    assert_eq!(received(&mut two), DeviceChange::Kept(device(1).into()));
    assert_eq!(&*received(&mut two).key().aor.user, "slow");
    slow.join().unwrap();
}

#[test]
fn file_of_a_single_daemon_is_merged_when_it_shares_a_store() {
    let Some(place) = place() else { return };
    let alone = Place::file();
    let single = alone.open(Options::default());
    single.submit(StoreOp::Put(device(1).into()));
    single.submit(StoreOp::Put(owned_by("later", 5).into()));
    single.submit(StoreOp::Put(device(2).into()));
    drop(single);
    let other = place.open(Options::default());
    other.submit(StoreOp::Put(owned_by("earlier", 4).into()));
    other.submit(StoreOp::Put(device(3).into()));
    drop(other);
    let joining = alone.sharing(place.url.clone());
    let joined = joining.open(Options::default());
    let users: Vec<_> = joined.devices().iter().map(|d| d.aor.user.to_string()).collect();
    assert_eq!(users, ["later", "user2", "user3"]);
    drop(joined);
    assert_eq!(place.stored().len(), 3);
}

#[test]
fn user_without_rights_is_reported_and_changes_wait() {
    let Some(place) = place() else { return };
    let url = place.url.clone().unwrap();
    drop(place.open(Options::default()));
    let name = url.rsplit('/').next().unwrap();
    let user = format!("guest_{name}");
    let password = fswake_test_support::postgres::PASSWORD.replace('\'', "''");
    sql(&url, &format!("CREATE ROLE {user} LOGIN PASSWORD '{password}'"));
    let guest = place
        .another()
        .sharing(Some(url.replace("//pbx@", &format!("//{user}@"))));
    let store = guest.open(Options::default());
    store.submit(StoreOp::Put(device(1).into()));
    store.flush(LONG).unwrap();
    until(&store, "refused", |health| {
        let reason = health.devices.failing.as_ref().map(|failing| failing.reason.as_str());
        reason.is_some_and(|reason| {
            reason.contains(
                "lacks SELECT, INSERT, UPDATE, DELETE on fswake_devices, SELECT on fswake_schema: docs/OPERATING.md",
            )
        })
    });
    // Exactly the rights that docs/OPERATING.md names.
    let documented = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/OPERATING.md")).unwrap();
    let grants: Vec<_> = documented.lines().filter(|line| line.starts_with("GRANT ")).collect();
    assert_eq!(grants.len(), 3);
    for grant in grants {
        sql(&url, &grant.replace(" fswake;", &format!(" {user};")));
    }
    until(&store, "granted", |health| {
        health.devices.failing.is_none() && health.devices.sent == 1
    });
    drop(store);
    assert_eq!(place.stored(), [device(1)]);
}

#[test]
fn tables_that_an_administrator_creates_are_used() {
    let Some(place) = place() else { return };
    let url = place.url.as_deref().unwrap();
    sql(url, SCHEMA);
    let store = place.open(Options::default());
    until(&store, "works", |health| health.devices.failing.is_none());
    store.submit(StoreOp::Put(device(1).into()));
    drop(store);
    assert_eq!(place.stored(), [device(1)]);
}

#[test]
fn row_that_was_dropped_is_kept_for_a_while_so_that_all_daemons_read_it() {
    let Some(place) = place() else { return };
    let late = place.another();
    let store = late.open(Options::default());
    store.submit(StoreOp::Put(device(1).into()));
    store.settle();
    drop(store);
    let store = place.open(Options::default());
    assert_eq!(store.devices().len(), 1);
    store.submit(StoreOp::Delete(device(1).key(), device(1).changed + 1));
    drop(store);
    assert!(late.open(Options::default()).devices().is_empty());
    let rows = query(
        place.url.as_deref().unwrap(),
        "SELECT count(*) FROM fswake_devices WHERE dropped",
    );
    assert_eq!(rows, ["1"]);
}
