//! Whether the daemon's user may write the store: root, who usually runs the doctor, may write anything.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::doctor::check::Check;

pub(super) const FAMILY: &str = "store";

/// The user that has to be able to write.
struct SystemAccount {
    uid: u32,
    gid: u32,
    /// Why it is this user.
    because: String,
}

impl SystemAccount {
    /// The running daemon's user, else the directory's owner.
    fn daemon(folder: &Path, runs_as: Option<u32>) -> Option<Self> {
        if let Some(uid) = runs_as {
            return Some(Self {
                uid,
                // systemd's own users have a group of the same number.
                gid: passwd(|fields| (fields[2].parse() == Ok(uid)).then(|| fields[3].parse().ok())?).unwrap_or(uid),
                because: "as whom fswake runs".into(),
            });
        }
        let about = folder.metadata().ok()?;
        Some(Self {
            uid: about.uid(),
            gid: about.gid(),
            because: format!("whose {} is", folder.display()),
        })
    }

    /// Whether all these bits (of 0o7) are set for this user.
    fn may(&self, about: &Metadata, bits: u32) -> bool {
        let shift = match () {
            // Modes do not limit root's own daemon, but a read-only file is not meant to be a store.
            () if self.uid == about.uid() => 6,
            () if self.uid == 0 => return true,
            () if self.gid == about.gid() => 3,
            () => 0,
        };
        (about.mode() >> shift) & bits == bits
    }
}

/// The store's files and their directory, as far as the daemon's user may write them.
pub(super) fn check(path: &Path, folder: &Path, runs_as: Option<u32>) -> Check {
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
    let Some(daemon) = SystemAccount::daemon(folder, runs_as) else {
        return good();
    };
    let name = user(daemon.uid);
    let cannot = |path: &Path, about: &Metadata, advice: String| {
        let seen = format!(
            "{} cannot be written by user {name}, {}: it is user {}'s, mode {:04o}",
            path.display(),
            daemon.because,
            user(about.uid()),
            about.mode() & 0o7777
        );
        Check::error(FAMILY, "file", seen, advice)
    };
    // SQLite makes files next to the store, and opens them by their names.
    if let Ok(about) = folder.metadata()
        && !daemon.may(&about, 0o3)
    {
        let advice = format!("chown {name} and chmod 700 {}, then restart fswake", folder.display());
        return cannot(folder, &about, advice);
    }
    for beside in ["", "-wal", "-shm"] {
        let mut file = path.as_os_str().to_owned();
        file.push(beside);
        let file = Path::new(&file);
        let Ok(about) = file.metadata() else { continue };
        if !daemon.may(&about, 0o2) {
            let advice = format!("chown {name} and chmod 600 all of {shown}*, then restart fswake");
            return cannot(file, &about, advice);
        }
    }
    good()
}

/// The name of the user that has to own the store.
pub(super) fn name_of_daemon(folder: &Path, runs_as: Option<u32>) -> String {
    SystemAccount::daemon(folder, runs_as).map_or_else(|| "fswake".to_owned(), |daemon| user(daemon.uid))
}

/// Its name, if /etc/passwd has it.
fn user(uid: u32) -> String {
    passwd(|fields| (fields[2].parse() == Ok(uid)).then(|| fields[0].to_owned())).unwrap_or_else(|| uid.to_string())
}

/// The first line of /etc/passwd that matches.
fn passwd<T>(find: impl Fn(&[&str]) -> Option<T>) -> Option<T> {
    let all = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let lines = all.lines().map(|line| line.split(':').collect::<Vec<_>>());
    lines.filter(|fields| fields.len() > 3).find_map(|fields| find(&fields))
}

/// This process's user.
pub(super) fn me() -> Option<u32> {
    std::fs::metadata("/proc/self").ok().map(|me| me.uid())
}
