//! New files: written whole or not at all, and never over another without permission.

use std::fs::{OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// A file to be made.
pub(crate) struct NewFile {
    /// Where.
    pub path: PathBuf,
    /// What is in it.
    pub text: String,
    /// Its permissions.
    pub mode: u32,
}

/// The result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Made {
    New,
    Replaced,
    /// It existed, with this text.
    Unchanged,
}

/// Checks whether the files may be made.
pub(crate) fn look(files: &[NewFile], force: bool) -> anyhow::Result<Vec<Made>> {
    let mut all = Vec::new();
    for file in files {
        all.push(match std::fs::read(&file.path) {
            Ok(text) if text == file.text.as_bytes() => Made::Unchanged,
            Ok(_) if force => Made::Replaced,
            Ok(_) => bail!(
                "{}: this file exists already, and stays as it is\n\
                 hint: --force replaces it, --output names another, and without --conf only tokens are copied",
                file.path.display()
            ),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Made::New,
            Err(e) => return Err(e).with_context(|| file.path.display().to_string()),
        });
    }
    Ok(all)
}

/// Files that were made, and what was there before. Unless they are kept, they are removed again.
#[derive(Default)]
pub(crate) struct Fresh(Vec<(PathBuf, Option<Before>)>);

/// A file that was replaced.
struct Before {
    text: Vec<u8>,
    permissions: Permissions,
}

impl Fresh {
    /// Makes a file.
    pub(crate) fn make(&mut self, file: &NewFile, made: Made) -> anyhow::Result<()> {
        let made = match made {
            Made::Unchanged => return Ok(()),
            Made::Replaced => replace(file).map(Some),
            // Unlike a rename, a link never replaces a file that was created meanwhile.
            Made::New => write(file, |temporary, path| std::fs::hard_link(temporary, path)).map(|()| None),
        };
        let before = made.with_context(|| file.path.display().to_string())?;
        self.0.push((file.path.clone(), before));
        Ok(())
    }

    /// Keeps them.
    pub(crate) fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        for (path, before) in &self.0 {
            let _ = match before {
                None => std::fs::remove_file(path),
                Some(before) => before.put_back(path),
            };
        }
    }
}

impl Before {
    fn put_back(&self, path: &Path) -> std::io::Result<()> {
        std::fs::write(path, &self.text)?;
        std::fs::set_permissions(path, self.permissions.clone())
    }
}

fn replace(file: &NewFile) -> std::io::Result<Before> {
    let before = Before {
        text: std::fs::read(&file.path)?,
        permissions: std::fs::metadata(&file.path)?.permissions(),
    };
    write(file, |temporary, path| std::fs::rename(temporary, path))?;
    Ok(before)
}

fn write(file: &NewFile, put: impl Fn(&Path, &Path) -> std::io::Result<()>) -> std::io::Result<()> {
    let mut name = file.path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let temporary = file.path.with_file_name(name);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(file.mode)
        .open(&temporary)
        .and_then(|mut out| {
            out.write_all(file.text.as_bytes())?;
            out.sync_all()
        })
        .and_then(|()| put(&temporary, &file.path));
    // Gone already after a rename.
    let _ = std::fs::remove_file(&temporary);
    written
}
