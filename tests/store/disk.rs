//! Files that cannot be written for a while: devices are kept in memory and written later.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use fswake::store::{Options, Sqlite, StoreError, StoreOp};
use rusqlite::Connection;

use super::place::{Place, stored};
use super::{LONG, count, device, line, now_ms, until};

/// A file system of 1 MiB; `None` if the user may not mount one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let disk = Self(tempfile::tempdir().unwrap());
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
            .arg(disk.0.path())
            .output()
            .is_ok_and(|o| o.status.success());
        if !mounted {
            fswake_test_support::skipped::note("mounting is not permitted here (needs root)");
            return None;
        }
        Some(disk)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read_only(&self) {
        let remount = ["-o", "remount,ro"];
        let done = Command::new("mount").args(remount).arg(self.0.path()).status().unwrap();
        assert!(done.success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).output();
    }
}

#[test]
fn full_file_system_loses_no_device() {
    let Some(disk) = SmallDisk::mount() else { return };
    let path = disk.path("fswake.db");
    let (_, writer) = Sqlite::open(&path, &Options::default()).unwrap();
    writer.submit(StoreOp::Put(device(0).into()));
    writer.flush(LONG).unwrap();
    let ballast = disk.path("ballast");
    std::fs::write(&ballast, vec![0; 1 << 20]).unwrap_err();
    for n in 0..1_000 {
        writer.submit(StoreOp::Put(device(n).into()));
    }
    until(&writer, "failing", |h| h.failing.is_some());
    std::fs::remove_file(&ballast).unwrap();
    writer.flush(LONG).unwrap();
    assert_eq!((writer.health().failing, writer.health().dropped_devices), (None, 0));
    drop(writer);
    assert_eq!(stored(&path).len(), 1_000);
}

#[test]
fn read_only_file_system_is_refused_at_start_with_what_is_needed() {
    let Some(disk) = SmallDisk::mount() else { return };
    let path = disk.path("fswake.db");
    drop(Sqlite::open(&path, &Options::default()).unwrap());
    disk.read_only();
    let refused = Sqlite::open(&path, &Options::default()).unwrap_err();
    assert!(matches!(refused, StoreError::Unusable { .. }));
    assert!(
        refused.to_string().contains(
            "it is not a file that this user can open (owner, mode, or a read-only file system); the directory must"
        ),
        "{refused}"
    );
}

#[test]
fn full_disk_keeps_devices_in_memory_until_there_is_space_again() {
    let place = Place::file();
    drop(Sqlite::open(&place.path, &Options::default()).unwrap());
    let other = Connection::open(&place.path).unwrap();
    other
        .execute_batch("CREATE TABLE ballast (x); INSERT INTO ballast VALUES (zeroblob(4000000));")
        .unwrap();
    let pages: u32 = other.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    let options = Options {
        max_pages: Some(pages + 20),
        max_queued_journal: 100,
        ..Options::default()
    };
    let (_, writer) = Sqlite::open(&place.path, &options).unwrap();
    for n in 0..5_000 {
        writer.submit(StoreOp::Put(device(n).into()));
        writer.submit(line(now_ms()));
    }
    let health = until(&writer, "failing", |h| h.failing.is_some());
    assert!(health.failing.unwrap().reason.contains("full"));
    let unflushed = writer.flush(Duration::from_millis(10)).unwrap_err();
    assert_eq!(unflushed.queued, writer.health().queued);
    other.execute_batch("DROP TABLE ballast;").unwrap();
    writer.flush(LONG).unwrap();
    let health = writer.health();
    assert_eq!((health.failing, health.queued, health.dropped_devices), (None, 0, 0));
    assert!(health.dropped_journal > 0);
    assert_eq!(count(&place.path, "devices"), 5_000);
    let lines = u64::try_from(count(&place.path, "journal")).unwrap();
    assert_eq!(lines + health.dropped_journal, 5_000);
}

#[test]
fn file_locked_by_another_process_is_written_after_the_lock() {
    let place = Place::file();
    let (_, writer) = Sqlite::open(&place.path, &Options::default()).unwrap();
    let other = Connection::open(&place.path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    writer.submit(StoreOp::Put(device(1).into()));
    let health = until(&writer, "failing", |h| h.failing.is_some());
    assert!(health.failing.unwrap().reason.contains("locked"));
    assert_eq!(health.queued, 1);
    other.execute_batch("ROLLBACK").unwrap();
    writer.flush(LONG).unwrap();
    assert_eq!(writer.health().failing, None);
    drop(writer);
    assert_eq!(stored(&place.path), [device(1)]);
}

#[test]
fn stop_while_the_file_is_locked_ends_and_is_reported() {
    let place = Place::file();
    let (_, writer) = Sqlite::open(&place.path, &Options::default()).unwrap();
    let other = Connection::open(&place.path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    writer.submit(StoreOp::Put(device(1).into()));
    drop(writer);
    other.execute_batch("ROLLBACK").unwrap();
    assert!(stored(&place.path).is_empty());
}
