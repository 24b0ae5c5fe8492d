//! Searches all histories from some beginnings, breadth first: level by level, each state once.
//!
//! It takes every step from every state, and checks all invariants after each. When a leg or a call has just ended, it
//! repeats every event. It also leaves every state alone until its calls are over. For most states the passing of time
//! is one of their steps. States with one event left (`last`) and states without timers are left alone when they are
//! found.

use std::collections::hash_map::Entry;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::alike::Doubt;
use crate::beginnings::Beginning;
use crate::cast::Cast;
use crate::last::LastStates;
use crate::ledger::{Broken, Invariant, LegSound, holds};
pub use crate::map::Counterexample;
use crate::map::{ByFingerprint, From, Map, Stage};
use crate::sim::Sim;
use crate::step::Step;

/// Counts of the search.
#[derive(Clone, Debug, Default)]
pub struct SearchCount {
    /// Different states with a held or future call, without those at the maximum length.
    pub states: usize,
    /// New states of each length.
    pub levels: Vec<usize>,
    /// Possible events in these states: each was tried or skipped.
    pub steps: usize,
    /// Events that had been tried already, with the other call in another state.
    pub spared: usize,
    /// Tried events that ended the calls.
    pub ended: usize,
    /// Pairs that were compared and behave alike: histories to one state, and states with one view.
    pub compared: usize,
    /// The duration.
    pub took: Duration,
}

/// The result of a worker.
#[derive(Default)]
struct Work {
    /// New states, with their fingerprints.
    found: Vec<(u128, From)>,
    seen: SearchCount,
    broken: Option<Counterexample>,
}

/// A level, shared by all workers.
struct Level<'a> {
    map: &'a Map<'a>,
    doubt: Doubt,
    /// Receives the states with one event left, if this level leads to them.
    last: Option<&'a LastStates>,
}

/// The working data of one worker.
struct Bench<'a> {
    stage: Stage<'a>,
    steps: Vec<Step>,
    /// For each fingerprint, the state's index in `work.found`.
    mine: ByFingerprint<usize>,
    work: Work,
    /// The steps being tried from the current state.
    at: [Option<Step>; 2],
}

impl Level<'_> {
    /// Takes every step from every state of a share.
    fn explore(&self, share: &[u32]) -> Work {
        let mut bench = Bench {
            stage: Stage::new(self.map),
            steps: Vec::new(),
            mine: ByFingerprint::default(),
            work: Work::default(),
            at: [None; 2],
        };
        for &state in share {
            let mut expand = || self.expand(state, &mut bench);
            let looked = catch_unwind(AssertUnwindSafe(&mut expand)).unwrap_or_else(|panic| {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
                holds(Invariant::NoPanic, false, || text.unwrap_or_default())
            });
            if let Err(broken) = looked {
                let then: Vec<_> = bench.at.into_iter().flatten().collect();
                bench.work.broken = Some(self.map.counterexample(state, &then, broken));
                break;
            }
        }
        bench.work
    }

    fn expand(&self, state: u32, bench: &mut Bench<'_>) -> Result<(), Broken> {
        let Bench {
            stage,
            steps,
            mine,
            work,
            at,
        } = bench;
        let (sim, cast) = stage.go_to(state)?;
        let is_it = sim.parts().whole() == self.map.print(state);
        holds(Invariant::Deterministic, is_it, || {
            "the same steps led to another state".into()
        })?;
        Step::possible(sim, steps);
        work.seen.steps += steps.len();
        for &step in &*steps {
            *at = [Some(step), None];
            let mut next = sim.clone();
            next.take(step, cast, &mut None)?;
            if next.is_over() {
                work.seen.ended += 1;
                next.is_left_in_order(work.seen.ended, cast)?;
                continue;
            }
            let parts = next.parts();
            let print = parts.whole();
            if let Some(known) = self.map.find(print) {
                if print.is_multiple_of(self.doubt.known) {
                    self.map.act_alike(&next, cast, known, None)?;
                    work.seen.compared += 1;
                }
                continue;
            }
            let from = From { parent: state, step };
            let twin = match (self.last, mine.entry(print)) {
                (None, Entry::Vacant(free)) => {
                    free.insert(work.found.len());
                    work.found.push((print, from));
                    repeat_events(sim, &next, cast)?;
                    if next.engine.next_due().is_none() {
                        next.ends(cast)?;
                    }
                    continue;
                }
                (None, Entry::Occupied(found)) => Some(work.found[*found.get()].1),
                (Some(last), _) if last.is_new(print, from) => {
                    repeat_events(sim, &next, cast)?;
                    next.clone().ends(cast)?;
                    let tried = last.look(&next, parts, cast, &mut at[1])?;
                    work.seen.steps += tried.steps;
                    work.seen.spared += tried.spared;
                    work.seen.ended += tried.ended;
                    work.seen.compared += tried.compared;
                    continue;
                }
                (Some(last), _) => last.sample(print),
            };
            if let Some(twin) = twin.filter(|_| print.is_multiple_of(self.doubt.twin)) {
                self.map.twins_act_alike(&next, cast, twin)?;
                work.seen.compared += 1;
            }
        }
        *at = [None; 2];
        Ok(())
    }

    /// Distributes a level. The results are in the level's order, regardless of the workers' speed.
    fn explore_all(&self, level: &[u32], workers: usize) -> Vec<Work> {
        let shares: Vec<_> = level.chunks(level.len().div_ceil(workers * 8).max(1)).collect();
        let next = AtomicUsize::new(0);
        let mut done: Vec<_> = std::thread::scope(|scope| {
            let work = || {
                let mut done = Vec::new();
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let Some(share) = shares.get(n) else { return done };
                    done.push((n, self.explore(share)));
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
}

/// Repeats every event if the step ended a call or a leg, or was the first event of a leg.
fn repeat_events(before: &Sim, new: &Sim, cast: &Cast) -> Result<(), Broken> {
    let count = |sim: &Sim| {
        let calls = &sim.ledger.calls;
        let legs: usize = calls.iter().map(|call| call.legs.len()).sum();
        let heard = calls.iter().flat_map(|call| &call.legs);
        let heard = heard.filter(|leg| leg.heard > LegSound::Nothing).count();
        (legs, heard, calls.iter().filter(|call| call.over).count())
    };
    if count(before) == count(new) {
        return Ok(());
    }
    new.clone().ignores_what_is_late(cast)
}

/// Tries every order of up to `bound` steps (at least two) from every beginning.
pub fn all_orders(
    beginnings: &[Beginning],
    bound: usize,
    workers: usize,
    doubt: Doubt,
) -> Result<SearchCount, Box<Counterexample>> {
    let began = Instant::now();
    let mut map = Map::begin(beginnings)?;
    let last = LastStates::new(doubt);
    let mut seen = SearchCount::default();
    seen.levels.push(map.count());
    let mut states: Vec<u32> = (0..).take(map.count()).collect();
    for length in 1..bound {
        let is_last = length + 1 == bound;
        let level = Level {
            map: &map,
            doubt,
            last: is_last.then_some(&last),
        };
        let work = level.explore_all(&states, workers);
        states.clear();
        for work in work {
            if let Some(broken) = work.broken {
                return Err(Box::new(broken));
            }
            seen.steps += work.seen.steps;
            seen.spared += work.seen.spared;
            seen.ended += work.seen.ended;
            seen.compared += work.seen.compared;
            let new = work.found.into_iter();
            states.extend(new.filter_map(|(print, from)| map.add(print, from)));
        }
        seen.levels.push(if is_last { last.count() } else { states.len() });
    }
    seen.states = seen.levels.iter().sum();
    seen.took = began.elapsed();
    Ok(seen)
}
