//! The results of all rows, as a table.

use std::fmt::Write as _;

use fswake_test_support::realfs::{Routing, Topology};

use super::departures::{self, Departure};
use super::play::Observation;
use super::row::Row;

/// The result of one row.
pub struct Outcome {
    name: &'static str,
    item: u8,
    topology: Topology,
    seen: Vec<(Routing, Observation)>,
    /// What is wrong; empty when nothing is.
    faults: Vec<String>,
    departures: Vec<&'static Departure>,
    /// Skipped; the reason was printed.
    is_skipped: bool,
    /// The results of earlier tries.
    before: Vec<String>,
}

/// An observation's value of this name; with several of one name, the one at this position.
fn value(seen: &Observation, name: &str, nth: usize) -> String {
    let mut all = seen.iter().filter(|(n, _)| n == name);
    all.nth(nth).map_or("-".to_owned(), |(_, text)| text.clone())
}

/// Where a routing differs from the plain bridge: name, value there, value here.
fn differences(plain: &Observation, other: &Observation) -> Vec<(String, String, String)> {
    let mut all = Vec::new();
    let mut names: Vec<(&String, usize)> = Vec::new();
    for seen in [plain, other] {
        for (at, (name, _)) in seen.iter().enumerate() {
            let nth = seen[..at].iter().filter(|(n, _)| n == name).count();
            if !names.contains(&(name, nth)) {
                names.push((name, nth));
            }
        }
    }
    for (name, nth) in names {
        let (a, b) = (value(plain, name, nth), value(other, name, nth));
        if a != b {
            all.push((name.clone(), a, b));
        }
    }
    all
}

impl Outcome {
    /// Compares the routings.
    pub fn new(row: &Row, topology: Topology, seen: Vec<(Routing, Observation)>) -> Self {
        let (mut faults, mut departures) = (Vec::new(), Vec::new());
        let plain = &seen[0].1;
        let hop = seen.iter().find(|(way, _)| *way == Routing::Hop);
        let compared = seen.iter().skip(1).filter(|(way, _)| *way != Routing::Hop);
        for (way, other) in compared {
            let differences = differences(plain, other);
            let documented = departures::of(topology, row.name, *way);
            for (name, a, b) in &differences {
                let hop = hop.map(|(_, hop)| value(hop, name, 0));
                match documented.iter().find(|d| d.sees == name && d.is(b, hop.as_deref())) {
                    Some(departure) => departures.push(*departure),
                    None => faults.push(format!("{}: {name}: `{a}` is `{b}`", way.name())),
                }
            }
            for departure in documented {
                if !departure.varies && !differences.iter().any(|(name, ..)| name == departure.sees) {
                    faults.push(format!("{}: {}: no longer departs", way.name(), departure.sees));
                }
            }
        }
        Self {
            name: row.name,
            item: row.item,
            topology,
            seen,
            faults,
            departures,
            is_skipped: false,
            before: Vec::new(),
        }
    }

    /// Records a row that this FreeSWITCH cannot play.
    pub fn skipped(row: &Row, topology: Topology) -> Self {
        Self {
            name: row.name,
            item: row.item,
            topology,
            seen: Vec::new(),
            faults: Vec::new(),
            departures: Vec::new(),
            is_skipped: true,
            before: Vec::new(),
        }
    }

    /// Adds a fault.
    pub fn add(&mut self, fault: Option<String>) {
        self.faults.extend(fault);
    }

    /// Records an earlier try that differed.
    pub fn is_after(&mut self, before: &Self) {
        self.before.clone_from(&before.before);
        self.before.push(before.faults.join("; "));
    }

    /// Its faults as text.
    pub fn faults(&self) -> &[String] {
        &self.faults
    }

    fn verdict(&self) -> &'static str {
        if self.is_skipped {
            return "skipped";
        }
        match (self.faults.is_empty(), !self.departures.is_empty()) {
            (true, false) => "same",
            (true, true) => "departs, documented",
            (false, _) => "**differs**",
        }
    }

    fn cell(&self, way: Routing) -> String {
        let Some((_, seen)) = self.seen.iter().find(|(w, _)| *w == way) else {
            return "-".to_owned();
        };
        let plain = &self.seen[0].1;
        let told: Vec<String> = if way == self.seen[0].0 {
            seen.iter().map(|(name, text)| format!("{name}: {text}")).collect()
        } else {
            let all = differences(plain, seen);
            all.iter().map(|(name, _, text)| format!("{name}: {text}")).collect()
        };
        if told.is_empty() {
            "=".to_owned()
        } else {
            told.join("; ").replace('|', "/")
        }
    }
}

/// The rows as markdown, in the order of the issue.
pub fn markdown(outcomes: &mut [Outcome]) -> String {
    outcomes.sort_by_key(|o| (o.topology, o.item));
    let mut texts = Vec::new();
    for (topology, of) in [(Topology::One, "one FreeSWITCH"), (Topology::Two, "two FreeSWITCHes")] {
        let played: Vec<&Outcome> = outcomes.iter().filter(|o| o.topology == topology).collect();
        if !played.is_empty() {
            texts.push(format!("Through {of}:\n\n{}", table(&played)));
        }
    }
    texts.join("\n")
}

fn table(outcomes: &[&Outcome]) -> String {
    let mut text = "| item | row | plain | dialplan | dial-string | verdict |\n|---|---|---|---|---|---|\n".to_owned();
    for outcome in outcomes {
        let cells = Routing::ALL.map(|way| outcome.cell(way));
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} |",
            outcome.item,
            outcome.name,
            cells[0],
            cells[1],
            cells[2],
            outcome.verdict()
        );
    }
    let count = |verdict: &str| outcomes.iter().filter(|o| o.verdict() == verdict).count();
    let _ = writeln!(
        text,
        "\n{} rows: {} the same, {} depart as documented, {} differ, {} skipped",
        outcomes.len(),
        count("same"),
        count("departs, documented"),
        count("**differs**"),
        count("skipped")
    );
    let mut told: Vec<(&str, Vec<&str>)> = Vec::new();
    for outcome in outcomes {
        for departure in &outcome.departures {
            match told.iter_mut().find(|(because, _)| *because == departure.because) {
                Some((_, rows)) if rows.contains(&outcome.name) => {}
                Some((_, rows)) => rows.push(outcome.name),
                None => told.push((departure.because, vec![outcome.name])),
            }
        }
    }
    let again: Vec<&&Outcome> = outcomes.iter().filter(|o| !o.before.is_empty()).collect();
    if !again.is_empty() {
        text.push_str("\nPlayed more than once, because before:\n\n");
    }
    for outcome in again {
        let _ = writeln!(text, "- {}: {}", outcome.name, outcome.before.join(" -- "));
    }
    if !told.is_empty() {
        text.push_str("\nWhy rows depart:\n\n");
    }
    for (because, rows) in told {
        let _ = writeln!(text, "- {because} ({})", rows.join(", "));
    }
    text
}
