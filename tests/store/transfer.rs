//! `fswake export` and `fswake import`: from a file to a shared store and back.

use std::os::unix::fs::{MetadataExt, chown};

use fswake::store::transfer::{export_file, export_shared, import_file, import_shared};
use fswake::store::{Options, StoreOp};
use fswake::types::{Aor, Device, Provider, PushToken, Tokens};
use fswake_test_support::postgres::Server;
use rusqlite::Connection;

use super::device;
use super::place::{Place, dsn, stored};

/// Devices of several providers, with everything that a device can have.
fn devices() -> Vec<Device> {
    let odd = "\u{0} ' \" ; -- \r\n \\ \u{202e} \u{1f4f1} ${x}";
    let token = |byte: &str| PushToken::new(byte.repeat(32));
    let mut full = device(1);
    full.push.tokens = Tokens::Both {
        call: token("a1"),
        remote: token("b2"),
    };
    (full.user_agent, full.register_call_id) = (odd.into(), odd.into());
    full.set_aside = Some("BadDeviceToken".into());
    full.first_seen -= 5;
    full.changed += 7;
    let mut message_only = device(2);
    message_only.push.tokens = Tokens::Remote(token("c3"));
    let mut android = device(3);
    android.aor = Aor::new(odd, "example.org");
    (android.push.provider, android.push.team) = (Provider::Fcm, None);
    android.push.tokens = Tokens::Call(PushToken::new(format!("dT:APA91b{}", "x_-9".repeat(30))));
    let mut other = device(4);
    other.push.provider = Provider::from_name("acme");
    vec![full, message_only, android, other]
}

#[test]
fn devices_go_from_a_file_to_a_shared_store_and_back_with_every_field() {
    let Some(shared) = Server::shared().map(Place::shared) else {
        return;
    };
    let from = Place::file();
    let store = from.open(Options::default());
    for device in devices() {
        store.submit(StoreOp::Put(device.into()));
    }
    drop(store);
    let dsn = dsn(shared.url.as_deref().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.unwrap();
    let (mut there, mut back) = (Vec::new(), Vec::new());
    assert_eq!(export_file(&from.path, &mut there).unwrap(), 4);
    let to = Place::file();
    runtime.block_on(async {
        assert_eq!(import_shared(&dsn, &mut &there[..]).await.unwrap(), 4);
        assert_eq!(export_shared(&dsn, &mut back).await.unwrap(), 4);
    });
    assert_eq!(import_file(&to.path, &mut &back[..]).unwrap(), (4, 4));
    let before = stored(&from.path);
    assert_eq!(before.len(), 4);
    assert_eq!(stored(&to.path), before);
    // Once more: nothing is newer than what is there.
    assert_eq!(import_file(&to.path, &mut &back[..]).unwrap(), (4, 0));
}

#[test]
fn import_that_fails_half_way_changes_nothing_and_can_be_repeated() {
    let from = Place::file();
    let store = from.open(Options::default());
    for device in devices() {
        store.submit(StoreOp::Put(device.into()));
    }
    drop(store);
    let mut lines = Vec::new();
    export_file(&from.path, &mut lines).unwrap();
    let to = Place::file();
    drop(to.open(Options::default()));
    let db = Connection::open(&to.path).unwrap();
    // A copy of a shared store, which fails after some of the devices.
    let fails = "INSERT INTO shared VALUES (1, '', 0, '');
                 CREATE TRIGGER fails BEFORE INSERT ON outbox WHEN (SELECT count(*) FROM outbox) = 2
                 BEGIN SELECT RAISE(ABORT, 'it fails'); END";
    db.execute_batch(fails).unwrap();
    assert!(import_file(&to.path, &mut &lines[..]).is_err());
    let rows = |table: &str| -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        db.query_row(&sql, [], |row| row.get(0)).unwrap()
    };
    assert_eq!((rows("devices"), rows("outbox")), (0, 0));
    db.execute_batch("DROP TRIGGER fails").unwrap();
    assert_eq!(import_file(&to.path, &mut &lines[..]).unwrap(), (4, 4));
    assert_eq!((rows("devices WHERE elsewhere = 0"), rows("outbox")), (4, 4));
}

#[test]
fn file_that_an_import_creates_belongs_to_the_owner_of_its_directory() {
    let place = Place::file();
    if chown(place.path.parent().unwrap(), Some(4242), Some(4242)).is_err() {
        fswake_test_support::skipped::note("only root can give files away");
        return;
    }
    import_file(&place.path, &mut &b"{\"fswake-devices\":1}\n"[..]).unwrap();
    assert_eq!(std::fs::metadata(&place.path).unwrap().uid(), 4242);
}
