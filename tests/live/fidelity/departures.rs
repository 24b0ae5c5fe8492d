//! Where fswake's ways differ from a plain bridge on purpose.

use fswake_test_support::realfs::Way;

/// A difference that is meant.
pub struct Departure {
    /// The row.
    pub row: &'static str,
    /// The ways that differ.
    pub ways: &'static [Way],
    /// What differs, by its name in the row.
    pub sees: &'static str,
    /// What is there instead has this in it.
    pub is: &'static str,
    /// It is a matter of timing, and sometimes there is no difference.
    pub varies: bool,
    /// Why.
    pub because: &'static str,
}

impl Departure {
    /// Whether this is the difference that is meant.
    pub fn is(&self, seen: &str) -> bool {
        seen.contains(self.is)
    }
}

const BOTH: &[Way] = &[Way::Dialplan, Way::DialString];
const DIALPLAN: &[Way] = &[Way::Dialplan];
const DIAL_STRING: &[Way] = &[Way::DialString];

/// A row that no longer differs has to leave the list: the suite fails on it.
pub const DEPARTURES: &[Departure] = &[];
