//! What test programs with a list of their own (libtest-mimic) share.

use libtest_mimic::Trial;

use crate::skipped;

/// The text of a panic.
pub fn text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()))
        .unwrap_or_default()
}

/// These tests of a program, marked as ignored (with a message) if something is missing.
pub fn unless(program: &str, installed: &Result<(), String>, trials: Vec<Trial>) -> Vec<Trial> {
    let Err(reason) = installed else { return trials };
    skipped::note_all(&named(program, &trials), reason);
    trials.into_iter().map(|trial| trial.with_ignored_flag(true)).collect()
}

/// The first of some tests, and how many others there are.
fn named(program: &str, trials: &[Trial]) -> String {
    let first = trials.first().map_or("none", Trial::name);
    format!("{program}: {first} and {} others", trials.len().saturating_sub(1))
}
