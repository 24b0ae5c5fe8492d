//! The files that a configuration names: secrets, keys, certificates.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::error::In;
use super::settings::{For, UnreadFile};
use super::values::CheckResult;
use crate::files::{self, FileError};

/// What an unreadable file means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MissingFile {
    /// An error.
    IsWrong,
    /// Named in [`super::settings::Config::unread`].
    IsNoted,
}

/// Where relative names of secrets are searched, and warnings about the files.
#[derive(Clone, Copy, Debug)]
pub(super) struct Files<'a> {
    pub config: &'a Path,
    pub credentials: Option<&'a Path>,
    pub notes: &'a RefCell<Vec<String>>,
    pub missing: MissingFile,
    pub unread: &'a RefCell<Vec<UnreadFile>>,
}

impl Files<'_> {
    /// The file that a name means: next to the configuration, unless systemd has it among the credentials.
    pub fn resolve(&self, name: &str) -> PathBuf {
        let credential = self.credentials.map(|dir| dir.join(name)).filter(|path| path.exists());
        credential.unwrap_or_else(|| self.config.join(name))
    }

    /// Where a name was searched, for users who may not read it.
    fn places(&self, name: &str) -> String {
        if Path::new(name).is_absolute() {
            return String::new();
        }
        let beside = match self.config.to_str() {
            None | Some("") => "the working directory".into(),
            Some(folder) => folder.to_owned(),
        };
        match self.credentials {
            Some(credentials) => format!(" (searched in {} and {beside})", credentials.display()),
            None => format!(" (searched in {beside}; systemd's credentials are given to the daemon only)"),
        }
    }

    /// Reads a file with a function of [`crate::files`]; also returns its path. `None`: it cannot be read, and the
    /// command does not need it.
    pub fn read<T>(
        &self,
        at: In<'_>,
        key: &str,
        name: &str,
        read: fn(&Path) -> Result<T, FileError>,
    ) -> CheckResult<(PathBuf, Option<T>)> {
        let path = self.resolve(name);
        match read(&path) {
            Ok(content) => Ok((path, Some(content))),
            Err(FileError::Unread(e)) if self.missing == MissingFile::IsNoted => {
                let mut error = at.unreadable(key, &path, &e);
                error.allowed += &self.places(name);
                let is_credential = Path::new(name).is_relative() && self.credentials.is_none();
                self.unread.borrow_mut().push(UnreadFile {
                    error,
                    to: match e.kind() {
                        ErrorKind::PermissionDenied => For::AnotherUser,
                        ErrorKind::NotFound if is_credential => For::Systemd,
                        _ => For::Nobody,
                    },
                });
                Ok((path, None))
            }
            Err(FileError::Unread(e)) => Err(at.unreadable(key, &path, &e)),
            Err(other) => Err(at.plain(key, path.display().to_string(), other.to_string())),
        }
    }

    /// Reads a secret on a line of its own. A blank at its ends is part of it, and causes a warning.
    pub fn secret(&self, at: In<'_>, key: &str, name: &str) -> CheckResult<(PathBuf, Option<String>)> {
        let (path, line) = self.read(at, key, name, files::line)?;
        if line.as_ref().is_some_and(|line| line.has_outer_blank) {
            self.note(format!(
                "{key}: {}: its line begins or ends with a blank, which is part of the secret",
                path.display()
            ));
        }
        Ok((path, line.map(|line| line.text)))
    }

    /// A warning for the operator.
    pub fn note(&self, note: String) {
        self.notes.borrow_mut().push(note);
    }
}
