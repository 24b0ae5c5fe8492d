//! The file in which Apple's provider tokens outlive the process.
//!
//! Apple accepts one new token per key in 20 minutes. Without the file it would refuse a daemon that restarts within
//! that time, and a doctor that signs with the daemon's key. A token is worth less than the key, which is on the same
//! host, and nothing after an hour.
//!
//! A line has a checksum, the time of signing, and the token. The checksum covers the key too, so a line that was
//! signed with another key, or was damaged, is ignored.

use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};
use tracing::warn;

use crate::files;
use crate::types::UnixSeconds;
use crate::words;

/// Apple takes no older token.
const LONGEST: UnixSeconds = 3600;

/// A file of provider tokens; only its owner may read it.
#[derive(Clone, Debug)]
pub(crate) struct TokenFile(Arc<File>);

#[derive(Debug)]
struct File {
    path: PathBuf,
    /// Held while it is written: keys of several apps are signed with at once.
    writing: Mutex<()>,
}

/// A token with the time at which it was signed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct StoredToken {
    pub jwt: String,
    pub at: UnixSeconds,
}

impl TokenFile {
    /// The one that belongs to a store.
    pub(crate) fn beside(store: &Path) -> Self {
        Self(Arc::new(File {
            path: store.with_extension("apns-tokens"),
            writing: Mutex::default(),
        }))
    }

    /// The newest token of a key that is not from the future.
    pub(crate) fn find(&self, key: &[u8], now: UnixSeconds) -> Option<StoredToken> {
        let all = self.lines().into_iter().filter(|(sum, kept)| *sum == kept.sum(key));
        let good = all.filter(|(_, kept)| kept.at <= now);
        good.map(|(_, kept)| kept).max_by_key(|kept| kept.at)
    }

    /// Replaces a key's token in the file. A failure matters only at the next restart, so it is only logged. In a runtime the
    /// file is written on a thread for blocking work.
    pub(crate) fn keep(&self, key: &[u8], kept: StoredToken) {
        let (file, sum) = (self.clone(), kept.sum(key));
        let key = key.to_vec();
        let write = move || {
            if let Err(error) = file.write(&key, &sum, &kept) {
                warn!(
                    file = %file.path().display(), error = words::of_io(&error),
                    "cannot keep Apple's provider token: if fswake is restarted within 20 minutes, Apple may refuse its pushes for so long"
                );
            }
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(write)),
            Err(_) => write(),
        }
    }

    fn path(&self) -> &Path {
        &self.0.path
    }

    fn write(&self, key: &[u8], sum: &str, kept: &StoredToken) -> std::io::Result<()> {
        let _writing = self.0.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines = self.lines();
        lines.retain(|(sum, other)| *sum != other.sum(key) && kept.at.saturating_sub(other.at) < LONGEST);
        let mut text = format!("{sum} {} {}\n", kept.at, kept.jwt);
        for (sum, other) in lines {
            let _ = writeln!(text, "{sum} {} {}", other.at, other.jwt);
        }
        let temporary = self.path().with_extension(format!("{}.new", std::process::id()));
        // Left by a killed process: in a container every fswake has the same process id.
        let _ = std::fs::remove_file(&temporary);
        let written = self.write_to(&temporary, &text);
        let put = written.and_then(|()| std::fs::rename(&temporary, self.path()));
        if put.is_err() {
            let _ = std::fs::remove_file(&temporary);
        }
        put
    }

    fn write_to(&self, temporary: &Path, text: &str) -> std::io::Result<()> {
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(temporary)?;
        file.write_all(text.as_bytes())?;
        // The doctor runs as root, and the daemon has to read it.
        let folder = self.path().parent().unwrap_or(Path::new(".")).metadata()?;
        if file.metadata()?.uid() != folder.uid() {
            std::os::unix::fs::fchown(&file, Some(folder.uid()), Some(folder.gid()))?;
        }
        Ok(())
    }

    /// Its readable lines.
    fn lines(&self) -> Vec<(String, StoredToken)> {
        let bytes = files::read(self.path()).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let line = |line: &str| {
            let mut words = line.split(' ');
            let (sum, at, jwt) = (
                words.next()?.to_owned(),
                words.next()?.parse().ok()?,
                words.next()?.to_owned(),
            );
            Some((sum, StoredToken { jwt, at }))
        };
        text.lines().filter_map(line).collect()
    }
}

impl StoredToken {
    fn sum(&self, key: &[u8]) -> String {
        let mut sum = Sha256::new();
        sum.update(key);
        sum.update(format!("\n{}\n{}", self.at, self.jwt));
        sum.finalize().iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn kept(jwt: &str, at: UnixSeconds) -> StoredToken {
        StoredToken { jwt: jwt.into(), at }
    }

    fn found(file: &TokenFile, key: &[u8], now: UnixSeconds) -> Option<(String, UnixSeconds)> {
        file.find(key, now).map(|kept| (kept.jwt, kept.at))
    }

    #[test]
    fn token_is_found_with_its_own_key_only_and_replaced_by_a_newer_one() {
        let dir = tempfile::tempdir().unwrap();
        let file = TokenFile::beside(&dir.path().join("fswake.db"));
        assert_eq!(found(&file, b"key", 100), None, "no file");
        file.keep(b"key", kept("a.b.c", 100));
        file.keep(b"other", kept("d.e.f", 110));
        file.keep(b"key", kept("g.h.i", 120));
        assert_eq!(found(&file, b"key", 120), Some(("g.h.i".into(), 120)));
        assert_eq!(found(&file, b"key", 119), None, "from the future: the clock was set");
        assert_eq!(found(&file, b"other", 120), Some(("d.e.f".into(), 110)));
        assert_eq!(found(&file, b"third", 120), None);
        let mode = file.path().metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        let names: Vec<_> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(names, ["fswake.apns-tokens"], "nothing half written is left");
    }

    #[test]
    fn keys_that_are_signed_with_at_once_all_keep_their_tokens() {
        let dir = tempfile::tempdir().unwrap();
        let file = TokenFile::beside(&dir.path().join("fswake.db"));
        // A half-written file of an earlier process with the same id.
        let left = dir.path().join(format!("fswake.{}.new", std::process::id()));
        std::fs::write(left, "x").unwrap();
        std::thread::scope(|scope| {
            for n in 0..8_u8 {
                let file = file.clone();
                scope.spawn(move || file.keep(&[n], kept("a.b.c", 100)));
            }
        });
        for n in 0..8_u8 {
            assert_eq!(found(&file, &[n], 100), Some(("a.b.c".into(), 100)), "{n}");
        }
    }

    #[test]
    fn old_tokens_go_and_a_damaged_line_is_not_ours() {
        let dir = tempfile::tempdir().unwrap();
        let file = TokenFile::beside(&dir.path().join("fswake.db"));
        file.keep(b"old", kept("a.b.c", 100));
        file.keep(b"key", kept("d.e.f", 100 + LONGEST));
        let text = std::fs::read_to_string(file.path()).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        for damaged in [
            text.replace("d.e.f", "d.e.x"),
            text.replace(" 3700 ", " 3701 "),
            "x\n\n".into(),
        ] {
            std::fs::write(file.path(), damaged).unwrap();
            assert_eq!(found(&file, b"key", 9_999), None);
        }
        // A directory in place of the file is left alone.
        std::fs::remove_file(file.path()).unwrap();
        std::fs::create_dir(file.path()).unwrap();
        file.keep(b"key", kept("d.e.f", 100));
        assert_eq!(found(&file, b"key", 100), None);
    }

    #[test]
    fn file_that_root_writes_belongs_to_whom_the_folder_belongs_to() {
        let dir = tempfile::tempdir().unwrap();
        if std::os::unix::fs::chown(dir.path(), Some(4711), Some(4712)).is_err() {
            fswake_test_support::skipped::note("this user cannot give files away");
            return;
        }
        let file = TokenFile::beside(&dir.path().join("fswake.db"));
        file.keep(b"key", kept("a.b.c", 100));
        let about = file.path().metadata().unwrap();
        assert_eq!((about.uid(), about.gid()), (4711, 4712));
    }
}
