//! All histories from some beginnings, breadth first: level by level, each state once.
//!
//! Every step from every state is taken, and all that must hold is looked at after it. Whatever state is new is then left alone
//! until its calls are over; and where a leg or a call has just ended, everything is said once more. After the last step of the
//! longest histories only what must hold is looked at, and a history that ends its calls ends there.
//!
//! A state is kept as the step that led to it and the state before. Neighbours come from one state, mostly, so that only the last steps are
//! taken again. So a broken invariant comes with its history, and no history is shorter.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::beginnings::Beginning;
use crate::engine::Engine;
use crate::ledger::{Broken, Invariant, holds};
use crate::sim::{Cast, Sim};
use crate::step::Step;

/// Of so many states to which a second history leads, one is looked at closely: do both act alike?
const LOOK_AT_ONE_IN: u128 = 101;
/// Where both histories are equally long there are ten times as many, mostly the same events in another order.
const LOOK_AT_ONE_TWIN_IN: u128 = 1009;

/// Of so many histories that end their calls, one hears everything once more.
const SAY_AGAIN_IN_ONE_OF: usize = 16;

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Different states with a call that is held or to come, without those at the bound.
    pub states: usize,
    /// Steps taken: each from a state that had not been seen before.
    pub steps: usize,
    /// How many of them ended the calls.
    pub ended: usize,
    /// Orders of events that this stands for: the longest, and shorter ones that ended their calls.
    pub histories: f64,
    /// Pairs of histories to one state that were found to act alike.
    pub compared: usize,
    /// New states at each length.
    pub levels: Vec<usize>,
    /// How long it took.
    pub took: Duration,
}

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
struct AsItIs(u64);

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

type ByFingerprint<V> = HashMap<u128, V, BuildHasherDefault<AsItIs>>;

/// Where a state comes from. A beginning has itself as parent.
#[derive(Clone, Copy)]
struct From {
    parent: u32,
    step: Step,
}

/// A state that a worker has not seen before.
struct Found {
    fingerprint: u128,
    from: From,
}

/// Where the steps from one state lead.
struct Leads<T> {
    /// To other states.
    on: Vec<T>,
    /// How many lead to an end: of the calls, or of the longest histories.
    ends: usize,
}

/// What a worker brings home.
#[derive(Default)]
struct Work {
    found: Vec<Found>,
    /// For each state of its share where its steps lead: to a state of before, or (`true`) to one that it has found.
    leads: Vec<Leads<(u32, bool)>>,
    compared: usize,
    ended: usize,
    broken: Option<Counterexample>,
}

/// A history that is taken again, state by state. The next state's is mostly the same but for its last steps.
struct Stage<'a> {
    map: &'a Map<'a>,
    casts: Vec<Cast>,
    at: Vec<(u32, Sim)>,
}

impl<'a> Stage<'a> {
    fn new(map: &'a Map<'a>) -> Self {
        Self {
            map,
            casts: map.beginnings.iter().map(Cast::of).collect(),
            at: Vec::new(),
        }
    }

    /// Where the history has led.
    fn sim(&self) -> &Sim {
        &self.at.last().expect("some state").1
    }

    /// Takes the steps to a state; from which beginning they start.
    fn go_to(&mut self, state: u32) -> Result<usize, Broken> {
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
        Ok(beginning)
    }
}

/// All states so far.
struct Map<'a> {
    beginnings: &'a [Beginning],
    /// Engines that know nothing, one for each beginning. All engines are made of them, and hash tokens alike.
    blanks: Vec<Engine>,
    known: ByFingerprint<u32>,
    from: Vec<From>,
    prints: Vec<u128>,
}

impl Map<'_> {
    fn history(&self, mut state: u32) -> (usize, Vec<Step>) {
        let mut steps = Vec::new();
        loop {
            let from = self.from[state as usize];
            if from.parent == state {
                steps.reverse();
                return (state as usize, steps);
            }
            steps.push(from.step);
            state = from.parent;
        }
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

    fn counterexample(&self, state: u32, step: Option<Step>, broken: Broken) -> Counterexample {
        let (beginning, mut history) = self.history(state);
        history.extend(step);
        Counterexample {
            broken,
            beginning: self.beginnings[beginning].clone(),
            history,
        }
    }

    /// Takes every step from every state of a share.
    fn explore(&self, share: &[u32], is_last: bool) -> Work {
        let mut stage = Stage::new(self);
        let mut work = Work::default();
        let mut mine = ByFingerprint::<u32>::default();
        let mut steps = Vec::new();
        for &state in share {
            let mut at = None;
            let mut look = || self.expand((state, is_last), &mut stage, &mut steps, &mut mine, &mut work, &mut at);
            let looked = catch_unwind(AssertUnwindSafe(&mut look)).unwrap_or_else(|panic| {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
                holds(Invariant::NoPanic, false, || text.unwrap_or_default())
            });
            if let Err(broken) = looked {
                work.broken = Some(self.counterexample(state, at, broken));
                break;
            }
        }
        work
    }

    fn expand(
        &self,
        (state, is_last): (u32, bool),
        stage: &mut Stage<'_>,
        steps: &mut Vec<Step>,
        mine: &mut ByFingerprint<u32>,
        work: &mut Work,
        at: &mut Option<Step>,
    ) -> Result<(), Broken> {
        let beginning = stage.go_to(state)?;
        let (sim, cast) = (stage.sim(), &stage.casts[beginning]);
        holds(
            Invariant::Deterministic,
            sim.fingerprint() == self.prints[state as usize],
            || "the same steps led elsewhere".into(),
        )?;
        Step::possible(sim, steps);
        let mut leads = Leads {
            on: Vec::new(),
            ends: 0,
        };
        for &step in &*steps {
            *at = Some(step);
            let mut next = sim.clone();
            next.take(step, cast, &mut None)?;
            if next.is_over() {
                leads.ends += 1;
                work.ended += 1;
                if work.ended.is_multiple_of(SAY_AGAIN_IN_ONE_OF) {
                    next.clone().ignores_what_is_late(cast)?;
                }
                next.ends(cast)?;
                continue;
            }
            if is_last {
                leads.ends += 1;
                continue;
            }
            let fingerprint = next.fingerprint();
            if let Some(&known) = self.known.get(&fingerprint) {
                leads.on.push((known, false));
                if fingerprint.is_multiple_of(LOOK_AT_ONE_IN) {
                    self.act_alike(&next, cast, known, None)?;
                    work.compared += 1;
                }
                continue;
            }
            match mine.entry(fingerprint) {
                Entry::Occupied(found) => {
                    leads.on.push((*found.get(), true));
                    if fingerprint.is_multiple_of(LOOK_AT_ONE_TWIN_IN) {
                        let From { parent, step } = work.found[*found.get() as usize].from;
                        self.act_alike(&next, cast, parent, Some(step))?;
                        work.compared += 1;
                    }
                }
                Entry::Vacant(free) => {
                    let number = u32::try_from(work.found.len()).unwrap_or(u32::MAX);
                    free.insert(number);
                    leads.on.push((number, true));
                    let from = From { parent: state, step };
                    work.found.push(Found { fingerprint, from });
                    if has_lost(sim, &next) {
                        next.clone().ignores_what_is_late(cast)?;
                    }
                    next.ends(cast)?;
                }
            }
        }
        *at = None;
        work.leads.push(leads);
        Ok(())
    }

    /// Two histories to one state: whatever comes next, both say the same and go on to the same state.
    fn act_alike(&self, one: &Sim, cast: &Cast, known: u32, then: Option<Step>) -> Result<(), Broken> {
        let mut stage = Stage::new(self);
        stage.go_to(known)?;
        let mut other = stage.sim().clone();
        if let Some(step) = then {
            other.take(step, cast, &mut None)?;
        }
        let after = |sim: &Sim| {
            let mut steps = Vec::new();
            Step::possible(sim, &mut steps);
            let take = |step: &Step| {
                let (mut sim, mut said) = (sim.clone(), Vec::new());
                let held = sim.take(*step, cast, &mut Some(&mut said));
                (sim.fingerprint(), said, held.is_ok())
            };
            // In no order: legs and pushes have other numbers.
            let mut all: Vec<_> = steps.iter().map(take).collect();
            all.sort();
            all
        };
        let told = (after(one), after(&other));
        holds(Invariant::Deterministic, told.0 == told.1, || {
            let only = |a: &Vec<After>, b: &Vec<After>| {
                a.iter().filter(|after| !b.contains(after)).cloned().collect::<Vec<_>>()
            };
            format!(
                "{:?} and then {then:?} lead to the same state, and from there elsewhere: {:#?} instead of {:#?}",
                self.history(known),
                only(&told.1, &told.0),
                only(&told.0, &told.1),
            )
        })
    }
}

/// What a step leads to: the state, what was said, whether all invariants held.
type After = (u128, Vec<String>, bool);

/// Whether a step ended a call or a leg, or gave the first of it.
fn has_lost(before: &Sim, after: &Sim) -> bool {
    let count = |sim: &Sim| {
        let legs: usize = sim.ledger.calls.iter().map(|call| call.legs.len()).sum();
        let heard: usize = sim
            .ledger
            .calls
            .iter()
            .flat_map(|call| &call.legs)
            .filter(|leg| leg.heard > crate::ledger::Heard::Nothing)
            .count();
        let over = sim.ledger.calls.iter().filter(|call| call.over).count();
        (legs, heard, over)
    };
    count(before) != count(after)
}

/// Tries every order of up to `bound` steps from every beginning.
pub fn all_orders(beginnings: &[Beginning], bound: usize, workers: usize) -> Result<Seen, Box<Counterexample>> {
    let began = Instant::now();
    let mut map = Map {
        beginnings,
        blanks: Sim::blanks(beginnings.iter().map(|b| &b.policy)),
        known: ByFingerprint::default(),
        from: Vec::new(),
        prints: Vec::new(),
    };
    let mut seen = Seen::default();
    for (n, beginning) in (0..).zip(beginnings) {
        let sim = Sim::begin(&map.blanks[n as usize], beginning, &Cast::of(beginning));
        let first = From {
            parent: n,
            step: Step::Timer,
        };
        map.from.push(first);
        let print = sim.map(|sim| sim.fingerprint());
        map.prints.push(*print.as_ref().unwrap_or(&0));
        if let Err(broken) = print {
            return Err(Box::new(map.counterexample(n, None, broken)));
        }
        map.known.insert(map.prints[n as usize], n);
    }
    seen.levels.push(beginnings.len());
    let mut level: Vec<u32> = (0..).take(beginnings.len()).collect();
    // For each state where its steps lead.
    let mut leads: Vec<Leads<u32>> = Vec::new();
    for length in 1..=bound {
        let share = level.len().div_ceil(workers * 8).max(1);
        let work = in_parallel(&map, &level, share, workers, length == bound);
        level.clear();
        for work in work {
            if let Some(broken) = work.broken {
                return Err(Box::new(broken));
            }
            seen.compared += work.compared;
            seen.ended += work.ended;
            // Numbers of the states that this worker found.
            let mut numbers = Vec::with_capacity(work.found.len());
            for found in work.found {
                let next = u32::try_from(map.known.len()).unwrap_or(u32::MAX);
                let number = *map.known.entry(found.fingerprint).or_insert(next);
                numbers.push(number);
                if number == next {
                    map.from.push(found.from);
                    map.prints.push(found.fingerprint);
                    level.push(next);
                }
            }
            for lead in work.leads {
                let to = |(n, is_new): (u32, bool)| if is_new { numbers[n as usize] } else { n };
                leads.push(Leads {
                    on: lead.on.into_iter().map(to).collect(),
                    ends: lead.ends,
                });
            }
        }
        if length < bound {
            seen.levels.push(level.len());
        }
    }
    seen.states = map.known.len();
    seen.steps = leads.iter().map(|lead| lead.on.len() + lead.ends).sum();
    seen.histories = histories(&leads, beginnings.len(), bound);
    seen.took = began.elapsed();
    Ok(seen)
}

/// Shares a level out; what comes back is in the level's order, whoever was faster.
fn in_parallel(map: &Map<'_>, level: &[u32], share: usize, workers: usize, is_last: bool) -> Vec<Work> {
    let shares: Vec<_> = level.chunks(share).collect();
    let next = std::sync::atomic::AtomicUsize::new(0);
    let mut done: Vec<_> = std::thread::scope(|scope| {
        let work = || {
            let mut done = Vec::new();
            loop {
                let n = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let Some(share) = shares.get(n) else { return done };
                done.push((n, map.explore(share, is_last)));
            }
        };
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap_or_default())
            .collect()
    });
    done.sort_unstable_by_key(|(n, _)| *n);
    done.into_iter().map(|(_, work)| work).collect()
}

/// How many orders of events there are, by length: as many lead to a state as lead to the states before it.
fn histories(leads: &[Leads<u32>], beginnings: usize, bound: usize) -> f64 {
    let mut now = vec![0.0; leads.len()];
    now[..beginnings].fill(1.0);
    let mut all = 0.0;
    for length in 1..=bound {
        let mut next = vec![0.0; leads.len()];
        for (lead, many) in leads.iter().zip(&now).filter(|(_, many)| **many > 0.0) {
            for to in &lead.on {
                if length < bound {
                    next[*to as usize] += many;
                } else {
                    all += many;
                }
            }
            #[expect(clippy::cast_precision_loss, reason = "a few")]
            let ends = lead.ends as f64;
            all += many * ends;
        }
        now = next;
    }
    all
}
