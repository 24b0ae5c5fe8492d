//! What `fswake setup` wrote last, so that it never undoes an operator's change. A file that is still as setup wrote it
//! may be replaced; any other is kept, and the new text goes next to it. dpkg treats conffiles the same way.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::words;

/// The name of the list, next to the configuration. `sha256sum --check` reads it too.
const LIST: &str = "setup.sha256";

/// The sums of the texts that setup last had for each file.
pub(super) struct SetupSums {
    list: PathBuf,
    sums: BTreeMap<PathBuf, String>,
}

/// What may be done with an existing file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileState {
    /// It has the new text.
    Good,
    /// It is as setup wrote it, and there is a new text.
    Old,
    /// An operator has changed it, and the text is still the one that setup had the last time.
    Edited,
    /// Both an operator and fswake have changed it, or its history is unknown.
    Both,
}

impl SetupSums {
    /// Reads the list next to the configuration. A missing list is an empty one.
    pub(super) fn beside(configuration: &Path) -> std::io::Result<Self> {
        let list = configuration.with_file_name(LIST);
        let text = match std::fs::read_to_string(&list) {
            Ok(text) => text,
            Err(e) if e.kind() == ErrorKind::NotFound => String::new(),
            Err(e) => return Err(named(&list, &e)),
        };
        let sums = text.lines().filter_map(|line| line.split_once("  "));
        let sums = sums.map(|(sum, path)| (path.into(), sum.to_owned())).collect();
        Ok(Self { list, sums })
    }

    /// Compares an existing file with the new text.
    pub(super) fn state(&self, path: &Path, before: &str, text: &str) -> FileState {
        let last = self.sums.get(path);
        if before == text {
            FileState::Good
        } else if last == Some(&sum(before)) {
            FileState::Old
        } else if last == Some(&sum(text)) {
            FileState::Edited
        } else {
            FileState::Both
        }
    }

    /// Notes the text that setup has for a file now.
    pub(super) fn note(&mut self, path: &Path, text: &str) {
        self.sums.insert(path.to_owned(), sum(text));
    }

    /// The list as a file.
    pub(super) fn to_file(&self) -> crate::new_files::NewFile {
        let mut text = String::new();
        for (path, sum) in &self.sums {
            let _ = writeln!(text, "{sum}  {}", path.display());
        }
        crate::new_files::NewFile {
            path: self.list.clone(),
            text,
            mode: 0o644,
        }
    }
}

fn sum(text: &str) -> String {
    Sha256::digest(text).iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// An error with the file that it is about.
pub(super) fn named(path: &Path, e: &std::io::Error) -> std::io::Error {
    std::io::Error::new(e.kind(), format!("{}: {}", path.display(), words::of_io(e)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_is_replaced_only_if_nobody_but_setup_has_written_it() {
        let dir = tempfile::tempdir().unwrap();
        let configuration = dir.path().join("fswake.toml");
        let path = Path::new("/etc/freeswitch/dialplan/fswake.xml");
        let mut sums = SetupSums::beside(&configuration).unwrap();
        assert_eq!(sums.state(path, "edited", "new"), FileState::Both);
        sums.note(path, "old");
        let file = sums.to_file();
        std::fs::write(&file.path, &file.text).unwrap();

        let sums = SetupSums::beside(&configuration).unwrap();
        for (before, text, state) in [
            ("old", "old", FileState::Good),
            ("new", "new", FileState::Good),
            ("old", "new", FileState::Old),
            ("edited", "old", FileState::Edited),
            ("edited", "new", FileState::Both),
        ] {
            assert_eq!(sums.state(path, before, text), state, "{before} {text}");
        }
        assert_eq!(
            sums.state(Path::new("/elsewhere"), "old", "new"),
            FileState::Both,
            "another file's sum counts for nothing"
        );
    }
}
