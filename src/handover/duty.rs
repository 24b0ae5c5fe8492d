//! Whose turn it is: only the process on duty does what must not be done twice.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// Where a process is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It has started, and its predecessor is on duty.
    Waiting,
    /// It takes calls.
    OnDuty,
    /// Its successor is on duty. It finishes the calls that it holds.
    Retired,
}

/// Who answers an event that both processes receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// This process.
    Ours,
    /// The other.
    Theirs,
    /// Not known before this process is on duty.
    NotYet,
}

/// The number of an event (`Event-Sequence`), for each FreeSWITCH (`Core-UUID`).
pub type EventNumbers = HashMap<String, u64>;

/// This process's turn. Clones share it.
#[derive(Clone, Debug)]
pub struct Duty(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    phase: watch::Sender<Phase>,
    events: Mutex<Events>,
}

#[derive(Debug, Default)]
struct Events {
    /// The last that the predecessor answers.
    theirs: EventNumbers,
    /// The last that this process has answered.
    ours: EventNumbers,
    /// The ones after which this process gets all.
    marks: EventNumbers,
}

impl Duty {
    /// Starts in this phase.
    pub fn new(phase: Phase) -> Self {
        Self(Arc::new(Shared {
            phase: watch::Sender::new(phase),
            events: Mutex::default(),
        }))
    }

    /// The present phase.
    pub fn phase(&self) -> Phase {
        *self.0.phase.borrow()
    }

    /// Whether this process is the one that takes calls.
    pub fn is_on_duty(&self) -> bool {
        self.phase() == Phase::OnDuty
    }

    /// Waits until its turn has come.
    pub async fn begun(&self) {
        self.wait(|phase| phase != Phase::Waiting).await;
    }

    /// Waits until its turn is over.
    pub async fn over(&self) {
        self.wait(|phase| phase == Phase::Retired).await;
    }

    async fn wait(&self, is_it: impl Fn(Phase) -> bool) {
        // The sender lives as long as `self`.
        let _ = self.0.phase.subscribe().wait_for(|phase| is_it(*phase)).await;
    }

    /// This process gets all events after this one: it has sent it itself, when it had subscribed.
    pub fn mark(&self, core: &str, number: u64) {
        self.events().marks.insert(core.to_owned(), number);
    }

    /// The marks so far.
    pub fn marks(&self) -> EventNumbers {
        self.events().marks.clone()
    }

    /// Its turn begins. The predecessor answers the events up to these.
    pub fn begin(&self, theirs: EventNumbers) {
        self.events().theirs = theirs;
        self.0.phase.send_replace(Phase::OnDuty);
    }

    /// Its turn ends. Returns up to which events it answers: all that its successor has not got, even those that are
    /// still on their way to this process, and what it has answered.
    pub fn retire(&self, successors_marks: EventNumbers) -> EventNumbers {
        let mut events = self.events();
        for (core, mark) in successors_marks {
            let last = events.ours.entry(core).or_default();
            *last = mark.max(*last);
        }
        self.0.phase.send_replace(Phase::Retired);
        events.ours.clone()
    }

    /// Who answers the event of this FreeSWITCH with this number. Both processes get the same events, but not at the
    /// same time. So not the time decides, but the event's number: up to the one that [`Duty::retire`] returned, they
    /// are the predecessor's.
    pub fn claims(&self, core: &str, number: Option<u64>) -> Claim {
        let mut events = self.events();
        let is_up_to =
            |answered: &EventNumbers| number.is_some_and(|n| answered.get(core).is_some_and(|last| n <= *last));
        match self.phase() {
            Phase::Waiting => Claim::NotYet,
            Phase::OnDuty if is_up_to(&events.theirs) => Claim::Theirs,
            Phase::OnDuty => {
                if let Some(number) = number {
                    let last = events.ours.entry(core.to_owned()).or_default();
                    *last = number.max(*last);
                }
                Claim::Ours
            }
            Phase::Retired if is_up_to(&events.ours) => Claim::Ours,
            Phase::Retired => Claim::Theirs,
        }
    }

    fn events(&self) -> MutexGuard<'_, Events> {
        self.0.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In whatever order the two processes get the events, and whenever the handover is, each event has one answer.
    #[test]
    fn each_event_is_claimed_by_one_of_two_processes() {
        for handover in 0..=6 {
            for late in [0, 2] {
                let (old, new) = (Duty::new(Phase::OnDuty), Duty::new(Phase::Waiting));
                let mut kept = Vec::new();
                let mut claimed = [0; 6];
                for step in 0..8_usize {
                    if step == handover {
                        new.begin(old.retire(EventNumbers::new()));
                        for number in kept.drain(..) {
                            claimed[number] += usize::from(new.claims("core", Some(number as u64)) == Claim::Ours);
                        }
                    }
                    // One of them gets each event later than the other.
                    for (duty, delay) in [(&old, late), (&new, 2 - late)] {
                        let Some(number) = step.checked_sub(delay).filter(|n| *n < 6) else {
                            continue;
                        };
                        match duty.claims("core", Some(number as u64)) {
                            Claim::Ours => claimed[number] += 1,
                            Claim::Theirs => {}
                            Claim::NotYet => kept.push(number),
                        }
                    }
                }
                assert_eq!(claimed, [1; 6], "handover before step {handover}, delay {late}");
            }
        }
    }

    /// The predecessor has not read them yet when the successor is ready, which has not got them.
    #[test]
    fn events_before_the_successors_first_are_the_predecessors() {
        let (old, new) = (Duty::new(Phase::OnDuty), Duty::new(Phase::Waiting));
        assert_eq!(old.claims("core", Some(3)), Claim::Ours);
        new.mark("core", 5);
        new.begin(old.retire(new.marks()));
        for number in 4..=5 {
            assert_eq!(old.claims("core", Some(number)), Claim::Ours, "event {number}");
            assert_eq!(new.claims("core", Some(number)), Claim::Theirs, "event {number}");
        }
        assert_eq!(new.claims("core", Some(6)), Claim::Ours);
        assert_eq!(old.claims("core", Some(6)), Claim::Theirs);
    }

    #[test]
    fn other_freeswitch_counts_its_own_events() {
        let old = Duty::new(Phase::OnDuty);
        assert_eq!(old.claims("a", Some(900)), Claim::Ours);
        let new = Duty::new(Phase::Waiting);
        new.begin(old.retire(EventNumbers::new()));
        assert_eq!(new.claims("a", Some(900)), Claim::Theirs);
        assert_eq!(new.claims("b", Some(1)), Claim::Ours, "FreeSWITCH was restarted");
        assert_eq!(old.claims("b", Some(1)), Claim::Theirs);
        assert_eq!(
            (new.claims("a", None), old.claims("a", None)),
            (Claim::Ours, Claim::Theirs)
        );
    }
}
