//! The store: file, schema, disk.

mod owner;
pub(super) mod shared;

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use self::owner::{FAMILY, me};
use super::check::{Check, CheckState};
use super::daemon::Daemon;
use crate::clock::to_the_second;
use crate::config::StoreConfig;
use crate::handover::finishing;
use crate::store::sqlite::SCHEMA_VERSION;
use crate::types::UnixSeconds;
use crate::words;

/// What the daemon reports if its file has been replaced.
pub(crate) const STORE_FILE: &str = "store file";

/// Whether the running daemon still uses the file of this name.
pub(super) fn in_use(daemon: &Daemon) -> Option<Check> {
    let found = daemon.problem(STORE_FILE)?;
    Some(Check::error(FAMILY, "file in use", &found.problem, &found.advice))
}

/// Free space on its disk below which the operator is warned.
const ENOUGH_MIB: u64 = 500;
const TOO_LITTLE_MIB: u64 = 50;

/// `runs_as` is the running daemon's user, if there is one.
pub(super) fn checks(store: &StoreConfig, runs_as: Option<u32>) -> Vec<Check> {
    let path = &store.path;
    let shown = path.display().to_string();
    let folder = path.parent().unwrap_or(Path::new("."));
    if path
        .metadata()
        .is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
    {
        return vec![not_by_this_user(&format!(
            "this user may not look into {}",
            folder.display()
        ))];
    }
    if !folder.is_dir() {
        let advice = "systemd makes this folder when the daemon starts (StateDirectory=fswake). Without systemd make it and give it to \
                      fswake's user, or change store.path";
        let seen = format!("{} is not there", folder.display());
        return vec![Check::error(FAMILY, "file", seen, advice)];
    }
    let mut checks = vec![space(folder)];
    if !path.exists() {
        let advice = "`fswake run` makes it; if it has run: --config or store.path names another place";
        checks.insert(
            0,
            Check::warning(FAMILY, "file", format!("{shown} is not there yet"), advice),
        );
        return checks;
    }
    match look(path) {
        Ok(version) => {
            checks.insert(0, owner::check(path, folder, runs_as));
            checks.push(of_version(version));
            checks.extend(finishing::processes(path).into_iter().map(of_earlier_process));
        }
        Err(error) => checks.insert(0, unwritten(path, folder, &error, runs_as)),
    }
    checks
}

/// After a restart, the process that held calls finishes them.
fn of_earlier_process((pid, since): (u32, UnixSeconds)) -> Check {
    let seen = format!(
        "finishes the calls that it holds since {}; another one takes new calls",
        format_args!("{} UTC", to_the_second(since))
    );
    Check::ok(FAMILY, format!("process {pid}"), seen)
}

/// Why no row could be written: the advice depends on it.
fn unwritten(path: &Path, folder: &Path, error: &rusqlite::Error, runs_as: Option<u32>) -> Check {
    let shown = path.display();
    let code = error.sqlite_error_code();
    let is_about_rights = matches!(
        code,
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen)
    );
    let why = words::of_sqlite(error);
    let error =
        |why: &str, advice: String| Check::error(FAMILY, "file", format!("{shown} cannot be written: {why}"), advice);
    if is_about_rights && is_mounted_read_only(folder) {
        let advice = "mount it writable again. A disk that fails is mounted so by the kernel: look at `dmesg`";
        return error("its file system is mounted read-only", advice.into());
    }
    if is_about_rights && is_anothers(folder) {
        let seen = format!("this user may not write {shown}, and need not: it is another's");
        return not_by_this_user(&seen);
    }
    match code {
        _ if is_about_rights => {
            let daemon = owner::name_of_daemon(folder, runs_as);
            error(
                &why,
                format!(
                    "chown {daemon} {}; chown {daemon} {shown}* and chmod 600 {shown}*",
                    folder.display()
                ),
            )
        }
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => error(
            "it is damaged, or no store of fswake's",
            format!(
                "stop fswake, move {shown}, {shown}-wal and {shown}-shm away, put a backup in their place if there is one, and \
                 start it: without one it makes a new store, and phones are known again when they register"
            ),
        ),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => error(
            &why,
            format!(
                "`fuser -v {shown}` shows who has it open: a second fswake, a backup, an sqlite3 shell? fswake itself locks it \
                 for milliseconds"
            ),
        ),
        Some(ErrorCode::DiskFull) => error(
            &why,
            "make room; store.journal-keep and store.journal-max-lines limit the journal".into(),
        ),
        Some(ErrorCode::SystemIoFailure) => error(
            &why,
            format!(
                "`df {}` says whether it is full; if not, `dmesg` says what fails",
                folder.display()
            ),
        ),
        _ => error(&why, "look at the disk (`dmesg`) and at fswake's log".into()),
    }
}

fn is_mounted_read_only(folder: &Path) -> bool {
    rustix::fs::statvfs(folder).is_ok_and(|disk| disk.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY))
}

/// A store that only its owner can test is not reported.
fn not_by_this_user(seen: &str) -> Check {
    let advice = "run the doctor as root, or as fswake's user";
    Check::warning(FAMILY, "file", format!("not tried: {seen}"), advice)
}

/// Whether a directory belongs to another user, who is then usually the daemon's. Root may use all of them.
fn is_anothers(folder: &Path) -> bool {
    let owner = folder.metadata().map(|about| about.uid()).ok();
    me().is_some_and(|me| me != 0 && Some(me) != owner)
}

/// The size of the test write: more than stays in memory, so that a full disk shows.
const TRIED_BYTES: u32 = 256 * 1024;

/// Writes a row as the daemon does and removes it; returns the schema's version.
fn look(path: &Path) -> rusqlite::Result<i64> {
    let mut connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.busy_timeout(Duration::from_secs(2))?;
    // Ten pages: more goes to the disk at once.
    connection.execute_batch("PRAGMA cache_size = 10")?;
    let trying = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    trying.execute_batch("CREATE TABLE fswake_doctor (x BLOB)")?;
    trying.execute("INSERT INTO fswake_doctor VALUES (zeroblob(?1))", [TRIED_BYTES])?;
    trying.rollback()?;
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

fn of_version(found: i64) -> Check {
    let seen = format!("version {found}");
    match found {
        SCHEMA_VERSION => Check::ok(FAMILY, "schema", seen),
        ..SCHEMA_VERSION => Check::warning(
            FAMILY,
            "schema",
            seen,
            format!("it becomes version {SCHEMA_VERSION} when this fswake is started"),
        ),
        _ => Check::error(
            FAMILY,
            "schema",
            seen,
            format!("a newer fswake made it; this one knows up to {SCHEMA_VERSION}"),
        ),
    }
}

fn space(folder: &Path) -> Check {
    let free = match rustix::fs::statvfs(folder) {
        Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize) >> 20,
        Err(error) => {
            let seen = format!("{}: {}", folder.display(), words::of(&error));
            return Check::warning(FAMILY, "disk", seen, "look with `df`");
        }
    };
    let state = if free < TOO_LITTLE_MIB {
        CheckState::Error
    } else if free < ENOUGH_MIB {
        CheckState::Warning
    } else {
        CheckState::Ok
    };
    let check = Check::new(
        FAMILY,
        "disk",
        state,
        format!("{free} MiB free at {}", folder.display()),
    );
    if state == CheckState::Ok {
        check
    } else {
        check.advise("make room; store.journal-keep and store.journal-max-lines limit the journal")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::config::{Config, Environment};

    /// A store in its own directory, and the doctor's report on its file.
    fn file_of(dir: &Path) -> Check {
        file_for(dir, None)
    }

    /// The same with a daemon of this user.
    fn file_for(dir: &Path, runs_as: Option<u32>) -> Check {
        let config = dir.join("fswake.toml");
        std::fs::write(&config, format!("[store]\npath = '{}/fswake.db'", dir.display())).unwrap();
        let store = Config::load(Some(&config), &Environment::default()).unwrap().store;
        let all = checks(&store, runs_as);
        all.into_iter().find(|c| c.name == "file").unwrap()
    }

    fn store(dir: &Path) -> std::path::PathBuf {
        let path = dir.join("fswake.db");
        let db = Connection::open(&path).unwrap();
        db.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))
            .unwrap();
        db.execute_batch(crate::store::sqlite::SCHEMA).unwrap();
        path
    }

    #[test]
    fn row_is_written_and_taken_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = store(dir.path());
        let found = file_of(dir.path());
        assert_eq!(found.state, CheckState::Ok, "{found:?}");
        let db = Connection::open(&path).unwrap();
        let left = "SELECT count(*) FROM sqlite_schema WHERE name = 'fswake_doctor'";
        assert_eq!(db.query_row(left, [], |row| row.get::<_, i64>(0)), Ok(0));
    }

    #[test]
    fn file_that_its_owner_may_only_read_is_an_error_whoever_asks() {
        let dir = tempfile::tempdir().unwrap();
        let path = store(dir.path());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o444)).unwrap();
        let found = file_of(dir.path());
        assert_eq!(found.state, CheckState::Error, "{found:?}");
    }

    #[test]
    fn file_of_another_user_than_the_directorys_is_an_error_for_root_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = store(dir.path());
        if std::os::unix::fs::chown(dir.path(), Some(4711), None).is_err() {
            fswake_test_support::skipped::note("this user cannot give files away");
            return;
        }
        let found = file_of(dir.path());
        assert_eq!(found.state, CheckState::Error, "{found:?}");
        assert!(
            found.seen.contains("by user 4711") && found.seen.contains("is user root's"),
            "{found:?}"
        );
        std::os::unix::fs::chown(&path, Some(4711), None).unwrap();
        assert_eq!(file_of(dir.path()).state, CheckState::Ok);
    }

    #[test]
    fn disk_that_is_full_or_mounted_read_only_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let mount = |options: &str| {
            let mut command = std::process::Command::new("mount");
            command.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(dir.path());
            command.output().is_ok_and(|o| o.status.success())
        };
        if !mount("size=1m") {
            fswake_test_support::skipped::note("mounting is not permitted here");
            return;
        }
        let path = store(dir.path());
        // A daemon has the store open, so SQLite's side files exist.
        let daemon = Connection::open(&path).unwrap();
        daemon.execute_batch("CREATE TABLE daemons (x)").unwrap();
        let _full = std::fs::write(dir.path().join("ballast"), vec![0; 1 << 20]);
        let config = format!("[store]\npath = '{}'", path.display());
        let elsewhere = tempfile::tempdir().unwrap();
        let file = elsewhere.path().join("fswake.toml");
        std::fs::write(&file, config).unwrap();
        let settings = Config::load(Some(&file), &Environment::default()).unwrap().store;
        let state = || checks(&settings, None).into_iter().find(|c| c.name == "file").unwrap();
        let full = state();
        std::fs::remove_file(dir.path().join("ballast")).unwrap();
        let mended = state();
        drop(daemon);
        let remounted = mount("remount,ro");
        let read_only = state();
        let _ = std::process::Command::new("umount").arg(dir.path()).output();
        assert_eq!(
            (full.state, mended.state),
            (CheckState::Error, CheckState::Ok),
            "{full:?} {mended:?}"
        );
        assert!(full.seen.contains("full"), "{full:?}");
        assert!(remounted && read_only.state == CheckState::Error, "{read_only:?}");
        let advice = |check: &Check| check.advice.clone().unwrap();
        assert!(
            advice(&full).contains("full") || advice(&full).contains("make room"),
            "{full:?}"
        );
        assert!(read_only.seen.contains("mounted read-only"), "{read_only:?}");
        assert!(
            advice(&read_only).contains("mount it writable") && !advice(&full).contains("chown"),
            "{read_only:?}"
        );
    }

    #[test]
    fn damaged_file_and_one_that_is_locked_have_advice_of_their_own() {
        let dir = tempfile::tempdir().unwrap();
        let path = store(dir.path());
        let mut other = Connection::open(&path).unwrap();
        let lock = other.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
        let locked = file_of(dir.path());
        drop(lock);
        drop(other);
        std::fs::write(&path, vec![b'x'; 8192]).unwrap();
        let damaged = file_of(dir.path());
        for (found, seen, to_do) in [
            (locked, "another process keeps it locked", "fuser"),
            (damaged, "it is damaged", "backup"),
        ] {
            assert_eq!(found.state, CheckState::Error, "{found:?}");
            let advice = found.advice.clone().unwrap();
            assert!(found.seen.contains(seen) && advice.contains(to_do), "{found:?}");
            assert!(!advice.contains("chown") && !advice.contains("chmod"), "{found:?}");
        }
    }

    #[test]
    fn directory_that_the_daemon_may_not_write_is_an_error_for_root_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = store(dir.path());
        let give = |path: &Path| std::os::unix::fs::chown(path, Some(4711), Some(4711)).is_ok();
        if !give(dir.path()) || !give(&path) {
            fswake_test_support::skipped::note("this user cannot give files away");
            return;
        }
        assert_eq!(file_of(dir.path()).state, CheckState::Ok);
        // SQLite makes files next to the store.
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o500)).unwrap();
        let found = file_of(dir.path());
        assert_eq!(found.state, CheckState::Error, "{found:?}");
        assert!(found.seen.contains("mode 0500"), "{found:?}");
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        // The running daemon is another user than the directory's owner.
        assert_eq!(file_for(dir.path(), Some(4711)).state, CheckState::Ok);
        let found = file_for(dir.path(), Some(4712));
        assert_eq!(found.state, CheckState::Error, "{found:?}");
        let advice = found.advice.clone().unwrap();
        assert!(
            found.seen.contains("user 4712, as whom fswake runs") && advice.contains("chown 4712"),
            "{found:?}"
        );
    }
}
