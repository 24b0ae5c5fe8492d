//! The store: file, schema, disk.

use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::{Check, State};
use crate::config::StoreConfig;
use crate::store::sqlite::SCHEMA_VERSION;
use crate::words;

const FAMILY: &str = "store";
/// Less than this on its disk and the operator is told.
const ENOUGH_MIB: u64 = 500;
const TOO_LITTLE_MIB: u64 = 50;

pub(super) fn checks(store: &StoreConfig) -> Vec<Check> {
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
        let advice =
            "make the directory, owned by fswake's user (systemd: StateDirectory=fswake), or change store.path";
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
            checks.insert(0, of_owner(path, folder));
            checks.push(of_version(version));
        }
        Err(_) if is_anothers(folder) => {
            let seen = format!("this user may not write {shown}, and need not: it is another's");
            checks.insert(0, not_by_this_user(&seen));
        }
        Err(error) => {
            let advice = "fswake's user has to own the file and its directory, both have to be writable for it, and the disk \
                          needs room; run the doctor as that user or as root";
            let seen = format!("{shown} cannot be written: {}", words::of_sqlite(&error));
            checks.insert(0, Check::error(FAMILY, "file", seen, advice));
        }
    }
    checks
}

/// Nothing is known of a store that only its owner can try.
fn not_by_this_user(seen: &str) -> Check {
    let advice = "run the doctor as root, or as fswake's user";
    Check::warning(FAMILY, "file", format!("not tried: {seen}"), advice)
}

/// Whose this process is.
fn me() -> Option<u32> {
    std::fs::metadata("/proc/self").ok().map(|me| me.uid())
}

/// Whether a directory is another user's, and so, as a rule, the daemon that writes there. Everything is root's.
fn is_anothers(folder: &Path) -> bool {
    let owner = folder.metadata().map(|about| about.uid()).ok();
    me().is_some_and(|me| me != 0 && Some(me) != owner)
}

/// So much is written for a try: more than stays in memory, so that a full disk says so.
const TRIED_BYTES: u32 = 256 * 1024;

/// Writes a row as the daemon does and takes it back; the schema's version.
fn look(path: &Path) -> rusqlite::Result<i64> {
    let mut connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.busy_timeout(Duration::from_secs(2))?;
    // Ten pages: what is more goes to the disk at once.
    connection.execute_batch("PRAGMA cache_size = 10")?;
    let trying = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    trying.execute_batch("CREATE TABLE fswake_doctor (x BLOB)")?;
    trying.execute("INSERT INTO fswake_doctor VALUES (zeroblob(?1))", [TRIED_BYTES])?;
    trying.rollback()?;
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Root may write whatever its owner and mode are; the daemon is another user, as a rule the one whose the directory is.
fn of_owner(path: &Path, folder: &Path) -> Check {
    let shown = path.display();
    let good = || {
        Check::ok(
            FAMILY,
            "file",
            format!("{shown} can be written: a row was, and taken back"),
        )
    };
    if me().is_some_and(|me| me != 0) {
        return good();
    }
    let Ok(daemon) = folder.metadata() else { return good() };
    for name in ["", "-wal", "-shm"] {
        let mut beside = path.as_os_str().to_owned();
        beside.push(name);
        let Ok(file) = std::fs::metadata(&beside) else { continue };
        if may_write(&file, &daemon) {
            continue;
        }
        let seen = format!(
            "{} cannot be written by user {}, whose {} is: it is user {}'s, mode {:04o}",
            Path::new(&beside).display(),
            user(daemon.uid()),
            folder.display(),
            user(file.uid()),
            file.mode() & 0o7777
        );
        let advice = format!(
            "chown {} and chmod 600 all of {shown}*, then restart fswake",
            user(daemon.uid())
        );
        return Check::error(FAMILY, "file", seen, advice);
    }
    good()
}

/// Whether whoever owns a directory may write a file in it.
fn may_write(file: &Metadata, owner: &Metadata) -> bool {
    let mode = file.mode();
    if file.uid() == owner.uid() {
        // Root's own daemon is bound by no mode, but what is meant to be read only is no store.
        return mode & 0o200 != 0;
    }
    owner.uid() == 0 || mode & 0o002 != 0 || (file.gid() == owner.gid() && mode & 0o020 != 0)
}

/// Its name, where /etc/passwd has it.
fn user(uid: u32) -> String {
    let all = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let number = uid.to_string();
    let known = all.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number).then(|| name.to_owned())
    });
    known.unwrap_or(number)
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
        State::Error
    } else if free < ENOUGH_MIB {
        State::Warning
    } else {
        State::Ok
    };
    let check = Check::new(
        FAMILY,
        "disk",
        state,
        format!("{free} MiB free at {}", folder.display()),
    );
    if state == State::Ok {
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

    /// A store in a directory of its own, and what the doctor says of its file.
    fn file_of(dir: &Path) -> Check {
        let config = dir.join("fswake.toml");
        std::fs::write(&config, format!("[store]\npath = '{}/fswake.db'", dir.display())).unwrap();
        let store = Config::load(Some(&config), &Environment::default()).unwrap().store;
        let all = checks(&store);
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
        assert_eq!(found.state, State::Ok, "{found:?}");
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
        assert_eq!(found.state, State::Error, "{found:?}");
    }

    #[test]
    fn file_of_another_user_than_the_directorys_is_an_error_for_root_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = store(dir.path());
        if std::os::unix::fs::chown(dir.path(), Some(4711), None).is_err() {
            eprintln!("skipped: this user cannot give files away");
            return;
        }
        let found = file_of(dir.path());
        assert_eq!(found.state, State::Error, "{found:?}");
        assert!(
            found.seen.contains("by user 4711") && found.seen.contains("it is user root's"),
            "{found:?}"
        );
        std::os::unix::fs::chown(&path, Some(4711), None).unwrap();
        assert_eq!(file_of(dir.path()).state, State::Ok);
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
            eprintln!("skipped: mounting is not permitted here");
            return;
        }
        let path = store(dir.path());
        // A daemon has the store open: what SQLite keeps beside it is there.
        let daemon = Connection::open(&path).unwrap();
        daemon.execute_batch("CREATE TABLE daemons (x)").unwrap();
        let _full = std::fs::write(dir.path().join("ballast"), vec![0; 1 << 20]);
        let config = format!("[store]\npath = '{}'", path.display());
        let elsewhere = tempfile::tempdir().unwrap();
        let file = elsewhere.path().join("fswake.toml");
        std::fs::write(&file, config).unwrap();
        let settings = Config::load(Some(&file), &Environment::default()).unwrap().store;
        let state = || checks(&settings).into_iter().find(|c| c.name == "file").unwrap();
        let full = state();
        std::fs::remove_file(dir.path().join("ballast")).unwrap();
        let mended = state();
        drop(daemon);
        let remounted = mount("remount,ro");
        let read_only = state();
        let _ = std::process::Command::new("umount").arg(dir.path()).output();
        assert_eq!(
            (full.state, mended.state),
            (State::Error, State::Ok),
            "{full:?} {mended:?}"
        );
        assert!(full.seen.contains("full"), "{full:?}");
        assert!(remounted && read_only.state == State::Error, "{read_only:?}");
    }
}
