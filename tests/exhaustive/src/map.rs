//! All states so far, with their histories.
//!
//! A state is stored as its predecessor and the step between them. States of a level mostly have the same predecessor,
//! so only the last steps must be repeated. A broken invariant is reported with its history, and no shorter history
//! breaks it.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::beginnings::Beginning;
use crate::cast::Cast;
use crate::engine::Engine;
use crate::ledger::Broken;
use crate::sim::Sim;
use crate::step::Step;

/// A broken invariant, and the history that breaks it.
#[derive(Debug)]
pub struct Counterexample {
    broken: Broken,
    beginning: Beginning,
    history: Vec<Step>,
}

impl std::fmt::Display for Counterexample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}", self.broken)?;
        writeln!(f, "{:?}", self.beginning)?;
        writeln!(f, "{:?}", self.history)
    }
}

/// A fingerprint is already a hash.
#[derive(Default)]
pub struct AsItIs(u64);

impl Hasher for AsItIs {
    fn write(&mut self, _: &[u8]) {}

    fn write_u128(&mut self, n: u128) {
        #[expect(clippy::cast_possible_truncation, reason = "one half is enough to find a place")]
        let half = n as u64;
        self.0 = half;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A map with fingerprints as keys.
pub type ByFingerprint<V> = HashMap<u128, V, BuildHasherDefault<AsItIs>>;

/// The origin of a state. A beginning is its own parent.
#[derive(Clone, Copy, Debug)]
pub struct From {
    /// The previous state.
    pub parent: u32,
    /// The step from there.
    pub step: Step,
}

/// All states so far.
pub struct Map<'a> {
    beginnings: &'a [Beginning],
    /// Engines without history, one for each beginning. All other engines are cloned from them, so all hash tokens
    /// alike.
    blanks: Vec<Engine>,
    known: ByFingerprint<u32>,
    from: Vec<From>,
    prints: Vec<u128>,
}

impl<'a> Map<'a> {
    /// A map with only the beginnings. They have the first numbers.
    pub fn begin(beginnings: &'a [Beginning]) -> Result<Self, Box<Counterexample>> {
        let mut map = Self {
            beginnings,
            blanks: Sim::blanks(beginnings.iter().map(|b| &b.policy)),
            known: ByFingerprint::default(),
            from: Vec::new(),
            prints: Vec::new(),
        };
        for (n, beginning) in (0..).zip(beginnings) {
            let step = Step::Timer;
            map.from.push(From { parent: n, step });
            let sim = Sim::begin(&map.blanks[n as usize], beginning, &Cast::of(beginning));
            let print = match sim {
                Ok(sim) => sim.parts().whole(),
                Err(broken) => return Err(Box::new(map.counterexample(n, &[], broken))),
            };
            map.prints.push(print);
            map.known.insert(print, n);
        }
        Ok(map)
    }

    /// Adds a state. Returns its number if it is new.
    pub fn add(&mut self, print: u128, from: From) -> Option<u32> {
        let next = u32::try_from(self.from.len()).expect("fewer states than numbers");
        if *self.known.entry(print).or_insert(next) != next {
            return None;
        }
        self.from.push(from);
        self.prints.push(print);
        Some(next)
    }

    /// The number of states.
    pub fn count(&self) -> usize {
        self.from.len()
    }

    /// The state with this fingerprint.
    pub fn find(&self, print: u128) -> Option<u32> {
        self.known.get(&print).copied()
    }

    /// The fingerprint of a state.
    pub fn print(&self, state: u32) -> u128 {
        self.prints[state as usize]
    }

    /// The beginning of a state's history, and its steps.
    pub fn history(&self, state: u32) -> (usize, Vec<Step>) {
        let way = self.way_to(state);
        let steps = way[1..].iter().map(|state| self.from[*state as usize].step);
        (way[0] as usize, steps.collect())
    }

    /// The states of a history, from the beginning to the state itself.
    fn way_to(&self, mut state: u32) -> Vec<u32> {
        let mut way = vec![state];
        while self.from[state as usize].parent != state {
            state = self.from[state as usize].parent;
            way.push(state);
        }
        way.reverse();
        way
    }

    /// A broken invariant in a state, or after these steps from it.
    pub fn counterexample(&self, state: u32, then: &[Step], broken: Broken) -> Counterexample {
        let (beginning, mut history) = self.history(state);
        history.extend(then);
        Counterexample {
            broken,
            beginning: self.beginnings[beginning].clone(),
            history,
        }
    }
}

/// Replays histories, state by state. Consecutive histories mostly differ only in their last steps.
pub struct Stage<'a> {
    map: &'a Map<'a>,
    casts: Vec<Cast>,
    at: Vec<(u32, Sim)>,
}

impl<'a> Stage<'a> {
    /// No history yet.
    pub fn new(map: &'a Map<'a>) -> Self {
        Self {
            map,
            casts: map.beginnings.iter().map(Cast::of).collect(),
            at: Vec::new(),
        }
    }

    /// Replays the steps to a state.
    pub fn go_to(&mut self, state: u32) -> Result<(&Sim, &Cast), Broken> {
        let way = self.map.way_to(state);
        let beginning = way[0] as usize;
        let cast = &self.casts[beginning];
        let same = self.at.iter().zip(&way).take_while(|((was, _), is)| was == *is).count();
        self.at.truncate(same);
        for &state in &way[same..] {
            let sim = match self.at.last() {
                None => Sim::begin(&self.map.blanks[beginning], &self.map.beginnings[beginning], cast)?,
                Some((_, before)) => {
                    let mut sim = before.clone();
                    sim.take(self.map.from[state as usize].step, cast, &mut None)?;
                    sim
                }
            };
            self.at.push((state, sim));
        }
        let (_, sim) = self.at.last().expect("a history has at least one state");
        Ok((sim, cast))
    }
}
