//! The states with one event left. Most states are of this kind, so they are neither numbered nor visited again: each
//! is checked, and its last events are tried, when it is first found.
//!
//! After the last event only the invariants are checked, and each concerns one call. So an event is tried once for
//! everything that matters to its receivers ([`Receivers`]), whatever the rest of the state is:
//!
//! | event | decided by | because |
//! |---|---|---|
//! | of a leg, a caller, or a push that no other call shares | that call, its pushes, and what all calls share | the engine gives it only that call and the `World` (`core/src/engine/world.rs`), which has no other call |
//! | of a phone's registration, or a new call | both calls, and what they share | pushes in progress are only read when they end |
//! | any other | everything | |
//!
//! [`Doubt::view`] checks this by samples, and for short histories everywhere.

use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::alike::{Doubt, effects};
use crate::cast::Cast;
use crate::ledger::{Broken, Invariant, holds};
use crate::map::{ByFingerprint, From};
use crate::parts::Parts;
use crate::sim::Sim;
use crate::step::{Receivers, Step};

/// A map that threads share. It is split into parts with separate locks.
struct Shared<V>(Vec<Mutex<ByFingerprint<V>>>);

impl<V> Shared<V> {
    fn new() -> Self {
        Self((0..256).map(|_| Mutex::default()).collect())
    }

    fn part(&self, print: u128) -> MutexGuard<'_, ByFingerprint<V>> {
        let part = usize::from((print >> 120) as u8);
        self.0[part].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self) -> usize {
        let len = |part: &Mutex<ByFingerprint<V>>| part.lock().unwrap_or_else(PoisonError::into_inner).len();
        self.0.iter().map(len).sum()
    }
}

/// All states with one event left.
pub struct LastStates {
    doubt: Doubt,
    seen: Shared<()>,
    /// How the states were found for which a second history will be compared.
    samples: Shared<From>,
    /// The views of the receivers for which events were tried.
    views: Shared<()>,
    /// The results, if they are checked.
    made: Shared<u128>,
}

/// Counts of tried events.
#[derive(Clone, Copy, Debug, Default)]
pub struct TryCount {
    /// Possible last events.
    pub steps: usize,
    /// Events that had been tried with the same view.
    pub spared: usize,
    /// Events that ended all calls.
    pub ended: usize,
    /// Compared results.
    pub compared: usize,
}

impl LastStates {
    /// No states yet.
    pub fn new(doubt: Doubt) -> Self {
        Self {
            doubt,
            seen: Shared::new(),
            samples: Shared::new(),
            views: Shared::new(),
            made: Shared::new(),
        }
    }

    /// The number of states.
    pub fn count(&self) -> usize {
        self.seen.count()
    }

    /// Adds a state. Returns whether it is new.
    pub fn is_new(&self, print: u128, from: From) -> bool {
        let is_new = self.seen.part(print).insert(print, ()).is_none();
        if is_new && print.is_multiple_of(self.doubt.twin) {
            self.samples.part(print).insert(print, from);
        }
        is_new
    }

    /// How a state was found, if a second history to it must be compared.
    pub fn sample(&self, print: u128) -> Option<From> {
        self.samples.part(print).get(&print).copied()
    }

    /// Tries every last event. `at` names the event in a failure.
    pub fn look(&self, sim: &Sim, parts: Parts, cast: &Cast, at: &mut Option<Step>) -> Result<TryCount, Broken> {
        let mut all = Vec::new();
        Step::possible(sim, &mut all);
        // Timers were covered already: the state was left alone until its calls were over.
        all.retain(|step| *step != Step::Timer);
        let mut tried = TryCount {
            steps: all.len(),
            ..TryCount::default()
        };
        for receivers in [Receivers::Call(0), Receivers::Call(1), Receivers::Phones] {
            let (heard, rest): (Vec<_>, _) = all.into_iter().partition(|step| step.receivers(sim) == receivers);
            all = rest;
            if heard.is_empty() {
                continue;
            }
            let view = parts.of(receivers);
            if view.is_multiple_of(self.doubt.view) {
                self.compare(sim, view, cast, receivers, &heard)?;
                tried.compared += 1;
            }
            if self.views.part(view).insert(view, ()).is_some() {
                tried.spared += heard.len();
            } else {
                Self::take(sim, cast, &heard, at, &mut tried)?;
            }
        }
        Self::take(sim, cast, &all, at, &mut tried)?;
        Ok(tried)
    }

    fn take(sim: &Sim, cast: &Cast, steps: &[Step], at: &mut Option<Step>, tried: &mut TryCount) -> Result<(), Broken> {
        for &step in steps {
            *at = Some(step);
            let mut next = sim.clone();
            next.take(step, cast, &mut None)?;
            if next.is_over() {
                tried.ended += 1;
                next.is_left_in_order(tried.ended, cast)?;
            }
        }
        *at = None;
        Ok(())
    }

    fn compare(&self, sim: &Sim, view: u128, cast: &Cast, receivers: Receivers, steps: &[Step]) -> Result<(), Broken> {
        let made = effects(sim, cast, receivers, steps)?;
        let before = match self.made.part(view).entry(view) {
            Entry::Vacant(free) => *free.insert(made),
            Entry::Occupied(before) => *before.get(),
        };
        holds(Invariant::Deterministic, made == before, || {
            format!("steps for {receivers:?} have other effects although its view is the same: {steps:?}")
        })
    }
}
