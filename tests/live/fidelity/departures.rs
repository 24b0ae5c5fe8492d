//! Where fswake's ways differ from a plain bridge on purpose. Each has its reason in docs/ARCHITECTURE.md.

use fswake_test_support::realfs::Way;

/// A difference that is meant.
pub struct Departure {
    /// The row.
    pub row: &'static str,
    /// The way that differs.
    pub way: Way,
    /// What differs, by its name in the row.
    pub sees: &'static str,
    /// Why.
    #[expect(dead_code, reason = "for whoever reads the list")]
    pub because: &'static str,
}

/// A row that no longer differs has to leave the list: the suite fails on it.
pub const DEPARTURES: &[Departure] = &[];
