//! Tests that could not be made on this machine: noted where they are skipped, and named at the end of `cargo test`.
//!
//! A test that passes is silent, so what it prints of itself is not seen. Each one leaves a line in a file of this run
//! instead, which is known by the `cargo` that has started all its test programs; the last of them (`tests/last`) shows
//! what is there.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

/// The file of this run, next to the test programs.
fn file() -> PathBuf {
    let program = std::env::current_exe().expect("a test program");
    let folder = program.ancestors().nth(2).expect("a folder for build results");
    let run = std::os::unix::process::parent_id();
    folder.join("skipped").join(run.to_string())
}

/// Notes that this test is skipped, and prints it.
///
/// # Panics
/// The note cannot be written.
pub fn note(reason: &str) {
    let thread = std::thread::current();
    note_all(thread.name().unwrap_or("a test"), reason);
}

/// Notes that tests are skipped.
///
/// # Panics
/// The note cannot be written.
pub fn note_all(tests: &str, reason: &str) {
    eprintln!("SKIPPED: {tests}: {reason}");
    let file = file();
    fs::create_dir_all(file.parent().expect("a folder")).expect("a folder for notes");
    let mut notes = OpenOptions::new()
        .append(true)
        .create(true)
        .open(file)
        .expect("a file for notes");
    // One write: other tests write at the same time.
    notes
        .write_all(format!("{tests}: {reason}\n").as_bytes())
        .expect("a note");
}

/// What was noted in this run, in order and each line once; forgets it.
pub fn take() -> Vec<String> {
    let file = file();
    let notes = fs::read_to_string(&file).unwrap_or_default();
    let _ = fs::remove_file(&file);
    let mut notes: Vec<_> = notes.lines().map(str::to_owned).collect();
    notes.sort_unstable();
    notes.dedup();
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_skipped_is_told_once_and_by_name() {
        // Of other tests of this program, if there are any.
        let others = take();
        note("no such thing");
        note("no such thing");
        note_all("three tests", "no other thing");
        let name = "skipped::tests::what_is_skipped_is_told_once_and_by_name";
        assert_eq!(
            take(),
            [
                format!("{name}: no such thing"),
                "three tests: no other thing".to_owned()
            ]
        );
        assert_eq!(take(), Vec::<String>::new());
        for line in others {
            let (tests, reason) = line.split_once(": ").expect("a note");
            note_all(tests, reason);
        }
    }
}
