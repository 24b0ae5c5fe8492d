//! Intended differences from a plain bridge.

mod one;
mod two;

use fswake_test_support::realfs::{Routing, Topology};

/// An intended difference.
pub struct Departure {
    /// The row.
    pub row: &'static str,
    /// The routings that differ.
    pub routings: &'static [Routing],
    /// The name of the observation that differs.
    pub sees: &'static str,
    /// The values that are accepted, each compared whole.
    pub is: &'static [&'static str],
    /// A plain bridge through two FreeSWITCHes differs in the same way: [`Routing::Hop`].
    pub hop: bool,
    /// Depends on timing: sometimes there is no difference.
    pub varies: bool,
    /// Why.
    pub because: &'static str,
}

impl Departure {
    /// Whether this is that difference, compared with a plain bridge through two FreeSWITCHes.
    pub fn is(&self, seen: &str, hop: Option<&str>) -> bool {
        self.is.contains(&seen) || (self.hop && hop == Some(seen))
    }
}

const BOTH: &[Routing] = &[Routing::Dialplan, Routing::DialString];
const DIALPLAN: &[Routing] = &[Routing::Dialplan];
const DIAL_STRING: &[Routing] = &[Routing::DialString];

/// The departures through this many FreeSWITCHes, and the document that gives their reasons.
const LISTS: [(Topology, &[Departure], &str, &str); 2] = [
    (
        Topology::One,
        one::DEPARTURES,
        "docs/ARCHITECTURE.md",
        include_str!("../../../../docs/ARCHITECTURE.md"),
    ),
    (
        Topology::Two,
        two::DEPARTURES,
        "docs/CLUSTER.md",
        include_str!("../../../../docs/CLUSTER.md"),
    ),
];

/// A difference in every run.
const fn departs(
    row: &'static str,
    routings: &'static [Routing],
    sees: &'static str,
    is: &'static [&'static str],
    because: &'static str,
) -> Departure {
    Departure {
        row,
        routings,
        sees,
        is,
        hop: false,
        varies: false,
        because,
    }
}

/// A difference in some runs.
const fn may_depart(
    row: &'static str,
    sees: &'static str,
    is: &'static [&'static str],
    because: &'static str,
) -> Departure {
    Departure {
        varies: true,
        ..departs(row, BOTH, sees, is, because)
    }
}

/// A difference that a plain bridge through two FreeSWITCHes has too.
const fn hops(row: &'static str, routings: &'static [Routing], sees: &'static str, because: &'static str) -> Departure {
    Departure {
        hop: true,
        ..departs(row, routings, sees, &[], because)
    }
}

/// All, with the number of FreeSWITCHes.
pub fn all() -> impl Iterator<Item = (Topology, &'static Departure)> {
    let all = LISTS.into_iter();
    all.flat_map(|(topology, departures, ..)| departures.iter().map(move |departure| (topology, departure)))
}

/// Whether a row is compared with a plain bridge through two FreeSWITCHes too.
pub fn needs_hop(topology: Topology, row: &str) -> bool {
    topology == Topology::Two && two::DEPARTURES.iter().any(|d| d.row == row && d.hop)
}

/// The differences of a row with a routing. Through two FreeSWITCHes it has those through one too, unless it differs in
/// another way there.
pub fn of(topology: Topology, row: &str, way: Routing) -> Vec<&'static Departure> {
    let is_of = |d: &&Departure| d.row == row && d.routings.contains(&way);
    let one = one::DEPARTURES.iter().filter(is_of);
    if topology == Topology::One {
        return one.collect();
    }
    let two: Vec<_> = two::DEPARTURES.iter().filter(is_of).collect();
    let others = one.filter(|d| !two.iter().any(|other| other.sees == d.sees));
    two.iter().copied().chain(others).collect()
}

/// Fails with the reasons that the documents do not give.
pub fn are_documented() -> Result<(), String> {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    for (_, departures, name, document) in LISTS {
        let document = words(document);
        if let Some(departure) = departures.iter().find(|d| !document.contains(&words(d.because))) {
            return Err(format!("{name} lacks: {}", departure.because));
        }
    }
    Ok(())
}
