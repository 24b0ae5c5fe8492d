//! Credential files as of the last check.
//!
//! They are looked at every second instead of being watched through inotify. What replaces a file can be a rename over
//! it, a symlink of a directory above it (Kubernetes, `..data`), a new mount, or a write in place, on any file system;
//! an inotify watch has to follow each of these again and misses network file systems, while one `stat` a second sees
//! them all and costs a microsecond.
//!
//! A file is read again when its `stat` (symlinks followed) differs, and also while it is so young that a second write
//! could have left the same times behind. Only its content counts: a copy of the same file is no news.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};

use crate::files;
use crate::push::app::App;

/// A file that was changed less than this before it was read is read again: coarse time stamps may hide a second
/// change.
const YOUNG: Duration = Duration::from_secs(3);

/// The files of one app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Files(Vec<Snapshot>);

#[derive(Clone, Debug)]
struct Snapshot {
    path: PathBuf,
    stamp: Option<Stamp>,
    content: Content,
}

/// Two checks that saw the same content are equal, whatever happened in between.
impl PartialEq for Snapshot {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path && self.content == other.content
    }
}

impl Eq for Snapshot {}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    /// SHA-256: the content itself is a secret, and nothing here needs it.
    Is([u8; 32]),
    Unreadable(std::io::ErrorKind),
}

/// What changes when a file is replaced or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Files {
    /// Reads the files that an app names.
    pub(crate) fn of(app: &App) -> Self {
        Self(app.files().map(Snapshot::now).collect())
    }

    /// Looks again.
    pub(crate) fn look(&self) -> Self {
        Self(self.0.iter().map(Snapshot::again).collect())
    }
}

impl Snapshot {
    fn now(path: &Path) -> Self {
        // The time stamp first: if the file changes in between, the next look sees it.
        let stamp = Stamp::of(path);
        let content = match files::read(path) {
            Ok(bytes) => Content::Is(Sha256::digest(bytes).into()),
            Err(error) => Content::Unreadable(error.kind()),
        };
        Self {
            path: path.to_owned(),
            stamp: stamp.filter(|stamp| !stamp.is_young()),
            content,
        }
    }

    fn again(&self) -> Self {
        match self.stamp {
            Some(stamp) if Stamp::of(&self.path) == Some(stamp) => self.clone(),
            _ => Self::now(&self.path),
        }
    }
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let meta = std::fs::metadata(path).ok()?;
        Some(Self {
            device: meta.dev(),
            inode: meta.ino(),
            length: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    }

    fn is_young(&self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let changed = Duration::from_secs(u64::try_from(self.changed.0.max(self.modified.0)).unwrap_or(0));
        now.saturating_sub(changed) < YOUNG
    }
}

/// An app's files, and the result of a change.
pub(crate) struct Renewal {
    /// What is in use.
    pub used: Files,
    pub failed: Option<UnusableFiles>,
}

/// The error at the last check.
pub(crate) struct UnusableFiles {
    pub files: Files,
    pub reason: String,
    pub said: bool,
}

impl Renewal {
    pub(crate) fn new(used: Files) -> Self {
        Self { used, failed: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(path: &Path) -> Files {
        Files(vec![Snapshot::now(path)])
    }

    #[test]
    fn write_in_place_of_the_same_length_is_seen_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        std::fs::write(&file, "one").unwrap();
        let before = files(&file);
        assert_eq!(before.look(), before);
        std::fs::write(&file, "two").unwrap();
        assert_ne!(before.look(), before);
    }

    #[test]
    fn rename_symlink_swap_and_disappearance_are_seen_and_an_equal_copy_is_no_news() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        // As Kubernetes does it: key -> ..data/key, ..data -> one.
        for (version, content) in [("one", "1"), ("two", "2"), ("copy", "2")] {
            std::fs::create_dir(at(version)).unwrap();
            std::fs::write(at(version).join("key"), content).unwrap();
        }
        let link = |version: &str| {
            std::os::unix::fs::symlink(version, at("new")).unwrap();
            std::fs::rename(at("new"), at("..data")).unwrap();
        };
        link("one");
        std::os::unix::fs::symlink("..data/key", at("key")).unwrap();
        let one = files(&at("key"));
        link("two");
        let two = one.look();
        assert_ne!(two, one);
        link("copy");
        assert_eq!(two.look(), two);
        std::fs::remove_file(at("..data")).unwrap();
        assert_ne!(two.look(), two);
        std::fs::remove_file(at("key")).unwrap();
        std::fs::write(at("plain"), "1").unwrap();
        std::fs::rename(at("plain"), at("key")).unwrap();
        assert_eq!(two.look(), one);
    }

    #[test]
    fn old_file_is_not_read_again_until_its_stat_changes() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        std::fs::write(&file, "one").unwrap();
        let mut seen = Snapshot::now(&file);
        assert_eq!(seen.stamp, None, "young: to be read again");
        seen.stamp = Stamp::of(&file);
        seen.content = Content::Is([7; 32]);
        assert_eq!(seen.again(), seen, "not read again");
        std::fs::write(&file, "more").unwrap();
        assert_ne!(seen.again(), seen);
    }
}
