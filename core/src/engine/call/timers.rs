//! What a call waits for, and what it does when the time comes: a table of timers.
//!
//! Each due time is stored in the state that it belongs to. When that state ends, so does its timer.

use std::time::Duration;

use super::{Call, Phase};
use crate::engine::party::{NextPush, Party};
use crate::engine::world::World;
use crate::types::Moment;

/// A timer of a call, or of one of its parties.
#[derive(Clone, Copy, Debug)]
enum Timer {
    /// The wait for a phone, or the time of those that ring on, has ended.
    Wait,
    /// The wait for a first REGISTER has ended.
    FirstRegister,
    /// FreeSWITCH's directory has not answered in time.
    Directory,
    /// A push is due. If FreeSWITCH may ring the phone itself, it is first asked for its leg's state.
    Push(usize),
    /// FreeSWITCH is asked again for its own leg's state.
    OtherLeg(usize),
    /// A leg is due to be dialled.
    Dial(usize),
    /// A leg has no answer, and its phone has registered elsewhere.
    Moved(usize),
    /// A leg has no answer, and its phone has registered where the leg goes.
    Yield(usize),
}

/// A row of the table: a timer, and when it is due if it is set.
type Row = (Timer, Option<Moment>);

impl Call {
    /// The call's own timers, in the order in which they are looked at.
    fn own_timers(&self) -> [Row; 3] {
        [
            (Timer::Wait, Some(self.deadline)),
            (Timer::FirstRegister, self.first_register),
            (Timer::Directory, self.asked),
        ]
    }

    /// Those of one party, in the order in which they are looked at.
    fn timers_of(&self, p: usize, debounce: Duration) -> [Row; 5] {
        let Party { wake, leg, .. } = &self.parties[p];
        [
            (Timer::Push(p), wake.due()),
            (Timer::OtherLeg(p), leg.asks_at()),
            (Timer::Dial(p), leg.due_at()),
            (Timer::Moved(p), self.parties[p].moves_at(debounce)),
            (Timer::Yield(p), leg.yields_at()),
        ]
    }

    /// Carries out a timer.
    fn fire(&mut self, timer: Timer, world: &mut World) {
        match timer {
            Timer::Wait => self.wait_is_over(world),
            Timer::FirstRegister => self.first_register = None,
            Timer::Directory => self.has_no_answer(world),
            Timer::Push(p) => self.push_is_due(p, world),
            Timer::OtherLeg(p) => self.ask_other_leg(p, world),
            Timer::Dial(p) => self.can_ring(p, world),
            Timer::Moved(p) => self.replace(p, world),
            Timer::Yield(p) => self.replace_in_place(p, world),
        }
    }

    /// The next timer, if the call still has one.
    pub fn next_timer(&self, debounce: Duration) -> Option<Moment> {
        match self.phase {
            // FreeSWITCH finishes a bridge under way; the connection's own timeout handles one that never ends.
            Phase::Over | Phase::Connecting(_) | Phase::Early(_) => None,
            Phase::Holding => {
                let of_parties = (0..self.parties.len()).flat_map(|p| self.timers_of(p, debounce));
                let all = self.own_timers().into_iter().chain(of_parties);
                all.filter_map(|(_, due)| due).min()
            }
        }
    }

    /// Timers may be due. A late or repeated one does nothing.
    pub fn on_time(&mut self, world: &mut World) {
        for row in 0..self.own_timers().len() {
            self.fire_if_due(self.own_timers()[row], world);
        }
        let debounce = world.policy.debounce;
        for p in 0..self.parties.len() {
            for row in 0..self.timers_of(p, debounce).len() {
                // By the current state: the previous timer may have changed it.
                self.fire_if_due(self.timers_of(p, debounce)[row], world);
            }
        }
        self.settle(world);
    }

    fn fire_if_due(&mut self, (timer, due): Row, world: &mut World) {
        // An earlier timer may have ended the hold.
        let is_holding = self.phase == Phase::Holding;
        if is_holding && due.is_some_and(|when| when <= world.now) {
            self.fire(timer, world);
        }
    }

    /// The wait has ended: phones that ring by now ring on, until their time has ended too.
    fn wait_is_over(&mut self, world: &mut World) {
        let may = !self.rings_on && self.ring_until > world.now && self.parties.iter().any(Party::rings);
        if !may {
            return self.time_is_up(world);
        }
        self.rings_on = true;
        self.deadline = self.ring_until;
        // A question about FreeSWITCH's own leg does not affect any phone.
        for party in self.parties.iter_mut().filter(|p| p.leg.other().is_none()) {
            party.wake.rest();
        }
    }

    /// The wait has ended and no other party rings: the call ends when this one has no leg.
    pub(super) fn rests_on(&self, p: usize) -> bool {
        let rings = |p: &Party| p.leg.own().is_some() || p.other_has_rung;
        self.rings_on && !self.parties.iter().enumerate().any(|(q, party)| q != p && rings(party))
    }

    fn push_is_due(&mut self, p: usize, world: &mut World) {
        let party = &self.parties[p];
        if party.leg.other().is_some() && party.wake.sent.is_none() {
            return self.ask_other_leg(p, world);
        }
        self.note_silence(p, world);
        self.push(p, world);
        if self.parties[p].wake.next == NextPush::Impossible {
            self.ring_where_it_was(p, world);
        }
    }
}
