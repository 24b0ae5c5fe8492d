//! The store: file, schema, disk.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::{Check, State};
use crate::config::StoreConfig;
use crate::store::sqlite::SCHEMA_VERSION;

const FAMILY: &str = "store";
/// Less than this on its disk and the operator is told.
const ENOUGH_MIB: u64 = 500;
const TOO_LITTLE_MIB: u64 = 50;

pub(super) fn checks(store: &StoreConfig) -> Vec<Check> {
    let path = &store.path;
    let shown = path.display().to_string();
    let folder = path.parent().unwrap_or(Path::new("."));
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
            checks.insert(0, Check::ok(FAMILY, "file", format!("{shown} can be written")));
            checks.push(of_version(version));
        }
        Err(error) => {
            let advice = "fswake's user has to own the file and its directory; run the doctor as that user or as root";
            let seen = format!("{shown} cannot be written: {error}");
            checks.insert(0, Check::error(FAMILY, "file", seen, advice));
        }
    }
    checks
}

/// Takes the lock that a writer takes and gives it back; the schema's version.
fn look(path: &Path) -> rusqlite::Result<i64> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.busy_timeout(Duration::from_secs(2))?;
    connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK;")?;
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
            let seen = format!("{}: {error}", folder.display());
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
