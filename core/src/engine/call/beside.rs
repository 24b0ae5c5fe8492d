//! Phones that FreeSWITCH rings itself, from the same dial-string as the held channel: mod_apn's shape,
//! `<plain contacts>:_:loopback/user@domain/fswake`.
//!
//! No phone may ring twice, and FreeSWITCH's legs cannot be seen from here. So whatever was registered when the call came is
//! left to FreeSWITCH. After `push_delay`, and whenever such a phone registers, FreeSWITCH is asked how its leg stands.
//!
//! Whether it is so may be known to FreeSWITCH's directory only, which may be slow to say. What does not depend on it happens
//! meanwhile: phones that are not registered are pushed, and whoever registers is rung.

use std::time::Duration;

use super::{Call, Phase};
use crate::engine::event::Ask;
use crate::engine::order::CallOrder;
use crate::engine::party::Wake;
use crate::engine::step::Step;
use crate::engine::wishes::{OtherLeg, Ringing};
use crate::engine::world::World;
use crate::types::{Moment, Target};

/// FreeSWITCH is asked again this often about a leg to a phone that is awake and does not ring yet: such a leg may end.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// FreeSWITCH may take this long to make its own leg: with a shorter `push_delay` its absence would mean nothing.
const LEG_IS_MADE: Duration = Duration::from_millis(200);

impl Call {
    /// Asks the directory who rings what is registered.
    pub(super) fn ask_who_rings(&mut self, world: &mut World<'_>) {
        if self.held.ask == Some(Ask::WhoRings) {
            self.ask_directory(Ask::WhoRings, world);
        }
    }

    /// Whether nothing can be done for a party until the directory has answered: somebody else may ring it.
    pub(super) fn waits_for_directory(&mut self, p: usize) -> bool {
        let is_asked = self.is_asked(Ask::WhoRings);
        let party = &mut self.parties[p];
        let waits = is_asked && party.target.is_some();
        if waits {
            // Should it register before that, FreeSWITCH is asked about its leg.
            party.beside.clone_from(&party.target);
        }
        waits
    }

    /// The directory has said who rings what was registered when the call came; `None`: it does not tell, or not in time.
    pub fn on_who_rings(&mut self, ringing: Option<Ringing>, world: &mut World<'_>) {
        if !self.is_asked(Ask::WhoRings) {
            return;
        }
        if let Some(ringing) = ringing {
            self.held.wishes.ringing = ringing;
        }
        if self.phase != Phase::Holding {
            // Should the bridge fail, the answer is there.
            self.asked = Some(world.now);
            return;
        }
        self.asked = None;
        let beside = self.rings_beside();
        self.note(
            world,
            Step::WhoRings {
                by: if beside { "freeswitch" } else { "fswake" },
                asked: world.now.since(self.since),
            },
        );
        for p in 0..self.parties.len() {
            // In wake-only mode the party before may have ended the hold.
            if self.phase != Phase::Holding {
                return;
            }
            let party = &mut self.parties[p];
            let has_come = party.registered || party.rings_beside;
            if party.beside.is_some() && !has_come {
                party.beside = None;
                self.start(p, world);
            } else if party.registered && party.beside.is_none() && party.leg.is_none() && party.ring_at.is_none() {
                self.can_ring(p, world);
            }
        }
        if self.phase == Phase::Holding {
            self.record(None, true, world);
            self.settle(world);
        }
    }

    /// When FreeSWITCH is first asked about a leg of its own.
    pub(super) fn first_question(world: &World<'_>) -> Moment {
        world.now.plus(world.policy.push_delay.max(LEG_IS_MADE))
    }

    /// Whether somebody else rings what was registered when the call came.
    pub(super) fn rings_beside(&self) -> bool {
        self.held.wishes.ringing == Ringing::Beside
    }

    /// Asks how FreeSWITCH's own leg to this party stands. Ends in `OtherLegSeen`.
    pub(super) fn ask_beside(&mut self, p: usize, world: &mut World<'_>) {
        let party = &mut self.parties[p];
        party.wake = Wake::Done;
        if let Some(target) = party.beside.clone()
            && !std::mem::replace(&mut party.asking, true)
        {
            self.order(CallOrder::AskOtherLeg(target), world);
        }
    }

    /// How FreeSWITCH's own leg to this contact stands.
    pub fn on_other_leg(&mut self, target: &Target, leg: OtherLeg, world: &mut World<'_>) {
        let asked = |p: &super::Party| p.asking && p.beside.as_ref() == Some(target);
        let Some(p) = self.parties.iter().position(asked) else {
            return;
        };
        let party = &mut self.parties[p];
        party.asking = false;
        let again = party.ask_at.take().is_some();
        if self.phase != Phase::Holding || party.is_out {
            return;
        }
        let stayed = party.target.as_ref() == Some(target);
        match leg {
            OtherLeg::Rings => {
                party.rings_beside = true;
                self.wake_is_over(p, world);
                self.note_beside(p, true, world);
            }
            // Its INVITE is sent again until somebody answers.
            OtherLeg::Dialed if party.registered && stayed => {
                party.ask_at = Some(world.now.plus(ASK_AGAIN));
                if !again {
                    self.note_beside(p, false, world);
                }
            }
            _ if party.registered => {
                party.beside = None;
                self.ring_after_settling(p, world);
            }
            _ => self.wake_beside(p, world),
        }
        self.settle(world);
    }

    /// The phone does not ring by FreeSWITCH: it is pushed. It is not rung where it was, although FreeSWITCH may have no leg
    /// there: it may have declined that leg a moment ago.
    fn wake_beside(&mut self, p: usize, world: &mut World<'_>) {
        if self.parties[p].device.is_some() {
            self.push(p, world);
        }
    }

    fn note_beside(&self, p: usize, rings: bool, world: &mut World<'_>) {
        let device = self.parties[p].label();
        self.note(world, Step::RungBeside { device, rings });
    }
}
