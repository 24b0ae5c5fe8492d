//! Checks that states which are visited once behave alike: states with one fingerprint, and states with the same view
//! for the receivers of an event.

use crate::cast::Cast;
use crate::ledger::{Broken, Invariant, holds};
use crate::map::{From, Map, Stage};
use crate::sim::Sim;
use crate::step::{Hearers, Step};

/// How much is checked that should not need checking.
#[derive(Clone, Copy, Debug)]
pub struct Doubt {
    /// Of so many states with a longer history, one is compared: do both behave alike?
    pub known: u128,
    /// The same where both histories are equally long. There are ten times as many, mostly the same events in another
    /// order.
    pub twin: u128,
    /// Of so many views of a state ([`Hearers`]), one: do the same events come to the same wherever it is met again?
    pub view: u128,
}

impl Doubt {
    /// For the longest histories.
    pub const SOME: Self = Self {
        known: 101,
        twin: 1009,
        view: 1009,
    };
    /// For short ones: everything.
    pub const ALL: Self = Self {
        known: 1,
        twin: 1,
        view: 1,
    };
}

/// The result of a step: the state, the commands, whether all invariants held.
type After = (u128, Vec<String>, bool);

impl Map<'_> {
    /// Two histories to one state: whatever comes next, both give the same commands and lead to the same state.
    pub fn act_alike(&self, one: &Sim, cast: &Cast, known: u32, then: Option<Step>) -> Result<(), Broken> {
        let mut stage = Stage::new(self);
        let mut other = stage.go_to(known)?.0.clone();
        if let Some(step) = then {
            other.take(step, cast, &mut None)?;
        }
        let after = |sim: &Sim| {
            let mut steps = Vec::new();
            Step::possible(sim, &mut steps);
            let take = |step: &Step| {
                let (mut sim, mut said) = (sim.clone(), Vec::new());
                let held = sim.take(*step, cast, &mut Some(&mut said));
                (sim.parts().whole(), said, held.is_ok())
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

    /// The same for a history that is not in the map: the last step to it is.
    pub fn twins_act_alike(&self, one: &Sim, cast: &Cast, other: From) -> Result<(), Broken> {
        self.act_alike(one, cast, other.parent, Some(other.step))
    }
}

/// What these steps do to everything that matters to their receivers, and the commands. A call that does not receive
/// them stays as it is.
pub fn what_it_makes(sim: &Sim, cast: &Cast, hearers: Hearers, steps: &[Step]) -> Result<u128, Broken> {
    let before = sim.parts();
    let mut all = Vec::new();
    for step in steps {
        let (mut after, mut said) = (sim.clone(), Vec::new());
        after.take(*step, cast, &mut Some(&mut said))?;
        let parts = after.parts();
        if let Hearers::Call(call) = hearers {
            let is_same = parts.call(1 - call) == before.call(1 - call);
            holds(Invariant::Deterministic, is_same, || {
                format!("{step:?} of call {call} changes the other call")
            })?;
        }
        all.push((parts.of(hearers), said));
    }
    all.sort();
    Ok(crate::fingerprint::of(&all))
}
