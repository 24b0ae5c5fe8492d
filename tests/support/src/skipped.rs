//! Records tests that cannot run on this machine, so that `cargo test` can name them at its end.
//!
//! Cargo shows no output of a test that passes. So each skipped test adds a line to a file for this run, which is
//! identified by the `cargo` process that started the test programs. The last program (`tests/last`) prints the file.

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

/// Records and prints that this test is skipped.
///
/// # Panics
/// If the file cannot be written.
pub fn note(reason: &str) {
    let thread = std::thread::current();
    note_all(thread.name().unwrap_or("a test"), reason);
}

/// Records that tests are skipped.
///
/// # Panics
/// If the file cannot be written.
pub fn note_all(tests: &str, reason: &str) {
    eprintln!("SKIPPED: {tests}: {reason}");
    let file = file();
    fs::create_dir_all(file.parent().expect("a folder")).expect("a folder for notes");
    let mut notes = OpenOptions::new()
        .append(true)
        .create(true)
        .open(file)
        .expect("a file for notes");
    // A single write, because other tests write at the same time.
    notes
        .write_all(format!("{tests}: {reason}\n").as_bytes())
        .expect("a note");
}

/// Takes the lines recorded in this run, sorted and without repeats.
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
    fn skipped_tests_are_listed_once_by_name() {
        // Other tests of this program may have left lines.
        let others = take();
        note("no such thing");
        note("no such thing");
        note_all("three tests", "no other thing");
        let name = "skipped::tests::skipped_tests_are_listed_once_by_name";
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
