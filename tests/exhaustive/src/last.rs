//! The states with one event to go. Most states are of this kind, so they are neither numbered nor visited again: each
//! is checked, and its last events are tried, when it is first found.
//!
//! After the last event only the invariants are checked, and each is about one call. So an event is tried once for
//! everything that matters to its receivers ([`Hearers`]), whatever the rest is like:
//!
//! | event | decided by | because |
//! |---|---|---|
//! | of a leg, a caller, or a push that no other call shares | that call, its pushes, and what all share | the engine
//! gives it that call and the `World` (`core/src/engine/world.rs`), which has no other call |
//! | of a phone's registration, a new call | both calls, and what all share | pushes under way are only ever read by their own ends |
//! | any other | everything | |
//!
//! [`Doubt::view`] checks this by samples, and everywhere if the check is short.

use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::alike::{Doubt, what_it_makes};
use crate::cast::Cast;
use crate::ledger::{Broken, Invariant, holds};
use crate::map::{ByFingerprint, From};
use crate::parts::Parts;
use crate::sim::Sim;
use crate::step::{Hearers, Step};

/// A map that threads share, in parts that are locked one by one.
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

/// All states with one event to go.
pub struct LastStates {
    doubt: Doubt,
    seen: Shared<()>,
    /// How those were found for which a second history is compared.
    samples: Shared<From>,
    /// What matters to the receivers of events that were tried.
    views: Shared<()>,
    /// The result, if it is checked.
    made: Shared<u128>,
}

/// What was tried.
#[derive(Clone, Copy, Debug, Default)]
pub struct TryCount {
    /// Last events that were possible.
    pub steps: usize,
    /// Those that had been tried with the same view.
    pub spared: usize,
    /// How many ended the calls.
    pub ended: usize,
    /// How often results were compared.
    pub compared: usize,
}

impl LastStates {
    /// None so far.
    pub fn new(doubt: Doubt) -> Self {
        Self {
            doubt,
            seen: Shared::new(),
            samples: Shared::new(),
            views: Shared::new(),
            made: Shared::new(),
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.seen.count()
    }

    /// Whether it is there already; adds it if not.
    pub fn is_new(&self, print: u128, from: From) -> bool {
        let is_new = self.seen.part(print).insert(print, ()).is_none();
        if is_new && print.is_multiple_of(self.doubt.twin) {
            self.samples.part(print).insert(print, from);
        }
        is_new
    }

    /// How a state was found, if a second history to it is to be looked at.
    pub fn sample(&self, print: u128) -> Option<From> {
        self.samples.part(print).get(&print).copied()
    }

    /// Tries every last event. `at` names it in a failure.
    pub fn look(&self, sim: &Sim, parts: Parts, cast: &Cast, at: &mut Option<Step>) -> Result<TryCount, Broken> {
        let mut all = Vec::new();
        Step::possible(sim, &mut all);
        // Its time has passed already: it was left alone until its calls were over.
        all.retain(|step| *step != Step::Timer);
        let mut tried = TryCount {
            steps: all.len(),
            ..TryCount::default()
        };
        for hearers in [Hearers::Call(0), Hearers::Call(1), Hearers::Phones] {
            let (heard, rest): (Vec<_>, _) = all.into_iter().partition(|step| step.hearers(sim) == hearers);
            all = rest;
            if heard.is_empty() {
                continue;
            }
            let view = parts.of(hearers);
            if view.is_multiple_of(self.doubt.view) {
                self.compare(sim, view, cast, hearers, &heard)?;
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

    fn compare(&self, sim: &Sim, view: u128, cast: &Cast, hearers: Hearers, steps: &[Step]) -> Result<(), Broken> {
        let made = what_it_makes(sim, cast, hearers, steps)?;
        let before = match self.made.part(view).entry(view) {
            Entry::Vacant(free) => *free.insert(made),
            Entry::Occupied(before) => *before.get(),
        };
        holds(Invariant::Deterministic, made == before, || {
            format!("what {hearers:?} hears comes to something else where what it does not see is another: {steps:?}")
        })
    }
}
