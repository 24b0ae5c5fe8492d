//! Removes what earlier versions kept next to the store and nothing uses any more.

use std::io::ErrorKind;
use std::path::Path;

use tracing::{info, warn};

use crate::words;

/// Removes the file of Apple's provider tokens. They are secrets for the rest of their hour.
pub fn remove_left_over(store: &Path) {
    let tokens = store.with_extension("apns-tokens");
    if tokens == store {
        return;
    }
    match std::fs::remove_file(&tokens) {
        Ok(()) => info!(file = %tokens.display(), "removed: fswake no longer keeps Apple's provider tokens"),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => {
            let error = words::of_io(&error);
            warn!(file = %tokens.display(), error, "cannot be removed: delete it, it holds old provider tokens of Apple");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_an_earlier_version_are_removed_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| dir.path().join(name);
        for name in ["fswake.db", "fswake.db-wal", "fswake.apns-tokens", "odd.apns-tokens"] {
            std::fs::write(file(name), "x").unwrap();
        }
        remove_left_over(&file("fswake.db"));
        remove_left_over(&file("fswake.db"));
        // The store itself may have that name.
        remove_left_over(&file("odd.apns-tokens"));
        let mut left: Vec<_> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        left.sort();
        assert_eq!(left, ["fswake.db", "fswake.db-wal", "odd.apns-tokens"]);
    }
}
