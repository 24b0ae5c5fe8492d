//! The copy of the file that is made before its schema is upgraded: the way back to the older fswake.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use tracing::{info, warn};

use crate::words;

/// Where the copy of a file with this schema version is: `fswake.db.version-6`.
pub(super) fn place(path: &Path, version: i64) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".version-{version}"));
    name.into()
}

/// Copies the whole file, whose schema version this is. If there is no room for it, the upgrade goes on without a copy:
/// calls are worth more.
pub(super) fn make(connection: &Connection, path: &Path, version: i64) {
    let copy = place(path, version);
    let shown = copy.display();
    match copy_to(connection, &copy) {
        Ok(()) => info!(copy = %shown, version, "the store is upgraded; this is a copy of it for the older fswake"),
        Err(error) => warn!(copy = %shown, version, error, "the store is upgraded, and cannot be copied before"),
    }
}

/// Under another name first, so that a copy is whole or not there.
fn copy_to(connection: &Connection, copy: &Path) -> Result<(), String> {
    let mut unfinished = copy.as_os_str().to_owned();
    unfinished.push(".new");
    let unfinished = PathBuf::from(unfinished);
    let made = || -> io::Result<()> {
        if unfinished.exists() {
            std::fs::remove_file(&unfinished)?;
        }
        // It has tokens. SQLite takes a file that exists and is empty.
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&unfinished)?;
        Ok(())
    };
    made().map_err(|e| words::of_io(&e))?;
    let name = unfinished.to_str().ok_or("its name is not UTF-8")?;
    let copied = connection
        .execute("VACUUM INTO ?1", [name])
        .map_err(|e| words::of_sqlite(&e));
    let renamed = copied.and_then(|_| std::fs::rename(&unfinished, copy).map_err(|e| words::of_io(&e)));
    if renamed.is_err() {
        // What is left of it takes room.
        let _ = std::fs::remove_file(&unfinished);
    }
    renamed
}
