//! Checks the assumption that allows a state to be visited only once: states with one fingerprint behave alike, and so
//! do states with the same view for the receivers of an event.

use crate::cast::Cast;
use crate::ledger::{Broken, Invariant, holds};
use crate::map::{From, Map, Stage};
use crate::sim::Sim;
use crate::step::{Receivers, Step};

/// How often the assumption is checked.
#[derive(Clone, Copy, Debug)]
pub struct Doubt {
    /// Of this many states that a longer history reaches again, one is compared: do both behave alike?
    pub known: u128,
    /// The same for histories of equal length. There are ten times as many; mostly they have the same events in another
    /// order.
    pub twin: u128,
    /// Of this many views of a state ([`Receivers`]), one is compared: do the same events have the same effects wherever
    /// the view occurs again?
    pub view: u128,
}

impl Doubt {
    /// For long histories: samples.
    pub const SOME: Self = Self {
        known: 101,
        twin: 1009,
        view: 1009,
    };
    /// For short histories: everything.
    pub const ALL: Self = Self {
        known: 1,
        twin: 1,
        view: 1,
    };
}

/// The result of a step: the state, the commands, and whether all invariants held.
type Outcome = (u128, Vec<String>, bool);

impl Map<'_> {
    /// Two histories lead to one state. Every next step must give the same commands and the same state for both.
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
            // Unordered, because the numbers of legs and pushes differ.
            let mut all: Vec<_> = steps.iter().map(take).collect();
            all.sort();
            all
        };
        let told = (after(one), after(&other));
        holds(Invariant::Deterministic, told.0 == told.1, || {
            let only = |a: &Vec<Outcome>, b: &Vec<Outcome>| {
                a.iter().filter(|after| !b.contains(after)).cloned().collect::<Vec<_>>()
            };
            format!(
                "{:?} and then {then:?} lead to the same state but behave differently from there: {:#?} instead of {:#?}",
                self.history(known),
                only(&told.1, &told.0),
                only(&told.0, &told.1),
            )
        })
    }

    /// The same for a history of which only the state before its last step is in the map.
    pub fn twins_act_alike(&self, one: &Sim, cast: &Cast, other: From) -> Result<(), Broken> {
        self.act_alike(one, cast, other.parent, Some(other.step))
    }
}

/// The commands of these steps, and their effects on everything that matters to the receivers. A call that does not
/// receive them must not change.
pub fn effects(sim: &Sim, cast: &Cast, receivers: Receivers, steps: &[Step]) -> Result<u128, Broken> {
    let before = sim.parts();
    let mut all = Vec::new();
    for step in steps {
        let (mut after, mut said) = (sim.clone(), Vec::new());
        after.take(*step, cast, &mut Some(&mut said))?;
        let parts = after.parts();
        if let Receivers::Call(call) = receivers {
            let is_same = parts.call(1 - call) == before.call(1 - call);
            holds(Invariant::Deterministic, is_same, || {
                format!("{step:?} of call {call} changes the other call")
            })?;
        }
        all.push((parts.of(receivers), said));
    }
    all.sort();
    Ok(crate::fingerprint::of(&all))
}
