//! Phones that FreeSWITCH rings itself, from the same dial-string as the held channel: mod_apn's form, `<plain
//! contacts>:_:loopback/user@domain/fswake`.
//!
//! No phone may ring twice, and FreeSWITCH's legs send no events to this connection. So phones that were registered
//! when the call came are FreeSWITCH's to ring. After `push_delay`, and whenever such a phone registers, fswake asks
//! FreeSWITCH for its leg's state.
//!
//! Whether this applies may only be known to FreeSWITCH's directory, which may be slow. What does not depend on it
//! happens meanwhile: unregistered phones are pushed, and phones that register are rung.

use std::time::Duration;

use super::{Call, Phase};
use crate::engine::event::DirectoryQuery;
use crate::engine::options::{OtherLegState, Ringing};
use crate::engine::order::CallOrder;
use crate::engine::party::{Leg, LegQuery, NextPush, OtherLeg};
use crate::engine::step::{Ringer, Step};
use crate::engine::world::World;
use crate::types::{Moment, Target};

/// How often FreeSWITCH is asked again about a leg to a phone that is awake and does not ring yet: such a leg may end.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How long FreeSWITCH may take to make its own leg: with a shorter `push_delay` a missing leg would mean nothing.
const LEG_IS_MADE: Duration = Duration::from_millis(200);

impl Call {
    /// Asks the directory who rings registered phones.
    pub(super) fn ask_who_rings(&mut self, world: &mut World) {
        if self.held.query == Some(DirectoryQuery::WhoRings) {
            self.ask_directory(DirectoryQuery::WhoRings, world);
        }
    }

    /// Whether a party has to wait for the directory's answer: FreeSWITCH may ring it.
    pub(super) fn waits_for_directory(&mut self, p: usize) -> bool {
        let is_asked = self.is_asked(DirectoryQuery::WhoRings);
        // FreeSWITCH rings only phones of its own.
        let node = self.held.node;
        let party = &mut self.parties[p];
        let here = party.target().filter(|target| is_asked && target.node() == node);
        let Some(target) = here.cloned() else {
            return false;
        };
        // If it registers before that, FreeSWITCH is asked about its leg.
        party.leg = Leg::Other(OtherLeg {
            target,
            query: LegQuery::None,
        });
        true
    }

    /// The directory's answer: who rings the phones that were registered when the call came. `None`: no answer, or too
    /// late.
    pub fn on_who_rings(&mut self, ringing: Option<Ringing>, world: &mut World) {
        if !self.is_asked(DirectoryQuery::WhoRings) {
            return;
        }
        if let Some(ringing) = ringing {
            self.held.options.ringing = ringing;
        }
        if self.phase != Phase::Holding {
            // If the bridge fails, the answer is used.
            self.asked = Some(world.now);
            return;
        }
        self.asked = None;
        let is_freeswitch = self.other_rings();
        self.note(
            world,
            Step::WhoRings {
                by: if is_freeswitch {
                    Ringer::FreeSwitch
                } else {
                    Ringer::Fswake
                },
                asked: world.now.since(self.figures.since),
            },
        );
        for p in 0..self.parties.len() {
            // In wake-only mode the previous party may have ended the hold.
            if self.phase != Phase::Holding {
                return;
            }
            let party = &mut self.parties[p];
            let is_undecided = !party.has_registered && !party.other_has_rung;
            match party.leg {
                Leg::Other(_) if is_undecided => {
                    party.leg = Leg::None;
                    self.start(p, world);
                }
                Leg::None | Leg::Over if party.has_registered => self.can_ring(p, world),
                _ => {}
            }
        }
        if self.phase == Phase::Holding {
            self.record(None, true, world);
            self.settle(world);
        }
    }

    /// When FreeSWITCH is first asked about a leg of its own.
    pub(super) fn first_question(world: &World) -> Moment {
        world.now.plus(world.policy.push_delay.max(LEG_IS_MADE))
    }

    /// Whether FreeSWITCH rings the phones that were registered when the call came.
    pub(super) fn other_rings(&self) -> bool {
        self.held.options.ringing == Ringing::FreeSwitch
    }

    /// Asks for the state of FreeSWITCH's own leg to this party. Ends in `OtherLegSeen`.
    pub(super) fn ask_other_leg(&mut self, p: usize, world: &mut World) {
        let party = &mut self.parties[p];
        party.wake.next = NextPush::None;
        let Some(other) = party.leg.other_mut() else { return };
        let again = match other.query {
            LegQuery::Open { .. } => return,
            LegQuery::None => false,
            LegQuery::Due { .. } => true,
        };
        other.query = LegQuery::Open { again };
        let target = other.target.clone();
        self.order(CallOrder::AskOtherLeg(target), world);
    }

    /// The state of FreeSWITCH's own leg to this contact.
    pub fn on_other_leg(&mut self, target: &Target, leg: OtherLegState, world: &mut World) {
        let is_asked = |other: &&mut OtherLeg| other.target == *target && matches!(other.query, LegQuery::Open { .. });
        let mut all = self.parties.iter_mut().enumerate();
        let asked = all.find_map(|(p, party)| Some((p, party.leg.other_mut().filter(is_asked)?)));
        let Some((p, other)) = asked else { return };
        let again = other.query == LegQuery::Open { again: true };
        other.query = LegQuery::None;
        if self.phase != Phase::Holding {
            return;
        }
        let party = &mut self.parties[p];
        let stayed = party.target() == Some(target);
        match leg {
            OtherLegState::Rings => {
                party.other_has_rung = true;
                self.wake_is_over(p, world);
                self.note_other_leg(p, true, world);
            }
            // Its INVITE is repeated until it is answered.
            OtherLegState::Dialed if party.has_registered && stayed => {
                if let Some(other) = party.leg.other_mut() {
                    other.query = LegQuery::Due {
                        at: world.now.plus(ASK_AGAIN),
                    };
                }
                if !again {
                    self.note_other_leg(p, false, world);
                }
            }
            _ if party.has_registered => {
                party.leg = Leg::None;
                self.ring_after_settling(p, world);
            }
            _ => self.push_unrung(p, world),
        }
        self.settle(world);
    }

    /// FreeSWITCH does not ring the phone: it is pushed. It is not rung at its address even if FreeSWITCH has no leg
    /// there, because it may have declined that leg a moment ago.
    fn push_unrung(&mut self, p: usize, world: &mut World) {
        if self.parties[p].device.is_some() {
            self.push(p, world);
        }
    }

    fn note_other_leg(&self, p: usize, rings: bool, world: &mut World) {
        let device = self.parties[p].label();
        self.note(world, Step::RungByFreeSwitch { device, rings });
    }
}
