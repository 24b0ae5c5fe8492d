//! A file next to the store for each process that only finishes its calls, for `fswake doctor`.

use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use tracing::debug;

use crate::types::UnixSeconds;
use crate::words;

/// Between the store's name and the process id.
const MARK: &str = ".finishing-";

/// This process finishes its calls until this is dropped.
#[derive(Debug)]
pub struct Finishing(PathBuf);

impl Finishing {
    /// It begins now.
    pub fn begin(store: &Path) -> Self {
        let mut name = store.as_os_str().to_owned();
        name.push(format!("{MARK}{}", std::process::id()));
        let file = PathBuf::from(name);
        if let Err(error) = std::fs::write(&file, "") {
            // Only the doctor misses it.
            debug!(
                error = words::of_io(&error),
                "cannot note that this process finishes its calls"
            );
        }
        Self(file)
    }
}

impl Drop for Finishing {
    fn drop(&mut self) {
        // If it was not made, there is nothing to remove.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The processes that finish calls of this store: their ids, and since when. The file of a process that was killed is
/// removed.
pub fn processes(store: &Path) -> Vec<(u32, UnixSeconds)> {
    let (Some(folder), Some(name)) = (store.parent(), store.file_name()) else {
        return Vec::new();
    };
    let start = format!("{}{MARK}", name.to_string_lossy());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(pid) = name
            .to_string_lossy()
            .strip_prefix(&start)
            .and_then(|pid| pid.parse().ok())
        else {
            continue;
        };
        if !runs(pid) {
            // Another user's file stays.
            let _ = std::fs::remove_file(entry.path());
            continue;
        }
        let since = entry.metadata().and_then(|about| about.modified()).ok();
        let since = since.and_then(|since| since.duration_since(UNIX_EPOCH).ok());
        found.push((pid, since.map_or(0, |since| since.as_secs().cast_signed())));
    }
    found.sort_unstable();
    found
}

/// Whether this is a process of fswake. Ids are used again.
fn runs(pid: u32) -> bool {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    name.starts_with("fswake")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_is_found_while_it_finishes_and_one_that_was_killed_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("fswake.db");
        let killed = dir.path().join("fswake.db.finishing-4294967295");
        std::fs::write(&killed, "").unwrap();
        std::fs::write(dir.path().join("fswake.db.finishing-x"), "").unwrap();
        let finishing = Finishing::begin(&store);
        // The test's own process is named after the library.
        let found: Vec<_> = processes(&store).into_iter().map(|(pid, _)| pid).collect();
        assert_eq!(found, [std::process::id()]);
        assert!(!killed.exists());
        drop(finishing);
        assert!(processes(&store).is_empty());
    }
}
