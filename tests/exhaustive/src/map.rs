//! All states so far, and how to get to them again.
//!
//! A state is kept as the step that led to it and the state before. Neighbours come from one state, mostly, so that
//! only the last steps are taken again. So a broken invariant comes with its history, and no history is shorter.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::beginnings::Beginning;
use crate::cast::Cast;
use crate::engine::Engine;
use crate::ledger::Broken;
use crate::sim::Sim;
use crate::step::Step;

/// An invariant that broke, and the history in which it did.
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

/// A fingerprint is a hash already.
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

/// A map by fingerprint.
pub type ByFingerprint<V> = HashMap<u128, V, BuildHasherDefault<AsItIs>>;

/// Where a state comes from. A beginning has itself as parent.
#[derive(Clone, Copy, Debug)]
pub struct From {
    /// The state before.
    pub parent: u32,
    /// What happened then.
    pub step: Step,
}

/// All states so far.
pub struct Map<'a> {
    beginnings: &'a [Beginning],
    /// Engines without history, one for each beginning. All engines are cloned from them, and hash tokens alike.
    blanks: Vec<Engine>,
    known: ByFingerprint<u32>,
    from: Vec<From>,
    prints: Vec<u128>,
}

impl<'a> Map<'a> {
    /// Only the beginnings, which are the states with the first numbers.
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

    /// Adds a state, unless it is there already: its number if it is new.
    pub fn add(&mut self, print: u128, from: From) -> Option<u32> {
        let next = u32::try_from(self.from.len()).expect("fewer states than numbers");
        if *self.known.entry(print).or_insert(next) != next {
            return None;
        }
        self.from.push(from);
        self.prints.push(print);
        Some(next)
    }

    /// How many states there are.
    pub fn count(&self) -> usize {
        self.from.len()
    }

    /// The state with this fingerprint.
    pub fn find(&self, print: u128) -> Option<u32> {
        self.known.get(&print).copied()
    }

    /// What the state is filed under.
    pub fn print(&self, state: u32) -> u128 {
        self.prints[state as usize]
    }

    /// The beginning that leads to a state, and the steps from there.
    pub fn history(&self, state: u32) -> (usize, Vec<Step>) {
        let way = self.way_to(state);
        let steps = way[1..].iter().map(|state| self.from[*state as usize].step);
        (way[0] as usize, steps.collect())
    }

    /// The states on the way to a state, itself included, the beginning first.
    fn way_to(&self, mut state: u32) -> Vec<u32> {
        let mut way = vec![state];
        while self.from[state as usize].parent != state {
            state = self.from[state as usize].parent;
            way.push(state);
        }
        way.reverse();
        way
    }

    /// What broke in a state, or after these steps from it.
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

/// A history that is taken again, state by state. The next state's is mostly the same but for its last steps.
pub struct Stage<'a> {
    map: &'a Map<'a>,
    casts: Vec<Cast>,
    at: Vec<(u32, Sim)>,
}

impl<'a> Stage<'a> {
    /// Nowhere.
    pub fn new(map: &'a Map<'a>) -> Self {
        Self {
            map,
            casts: map.beginnings.iter().map(Cast::of).collect(),
            at: Vec::new(),
        }
    }

    /// Takes the steps to a state.
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
        let (_, sim) = self.at.last().expect("a way has a state");
        Ok((sim, cast))
    }
}
