//! Wake only: the call goes back to the dialplan, whose own `bridge` rings, as soon as there is a phone to ring.

use super::{Call, Phase};
use crate::engine::command::HoldResult;
use crate::engine::event::DirectoryQuery;
use crate::engine::options::Mode;
use crate::engine::party::Party;
use crate::engine::world::World;

impl Call {
    /// Hands the call back if the phones to wake are awake.
    pub(super) fn hand_back_if_awake(&mut self, world: &mut World) {
        let mode = self.mode(world);
        if self.phase != Phase::Holding || !mode.only_wakes() || self.is_asked(DirectoryQuery::WhoRings) {
            return;
        }
        let is_due = |p: &Party| p.leg.due_at().is_some();
        let has_come = |p: &Party| p.has_registered && !is_due(p);
        let is_waited_for = |p: &Party| !p.has_registered && p.wake.is_under_way() && p.may_answer();
        let is_there = |p: &Party| {
            if self.is_request() {
                self.needs_no_push(p, world)
            } else {
                p.place.is_some()
            }
        };
        let can_ring = self.parties.iter().any(|p| has_come(p) || is_there(p));
        let is_time = match mode {
            // Its answer says who else is woken.
            Mode::WakeFirst if self.is_request() => can_ring,
            // Phones that were registered all along wait for those that are woken: the dialplan rings them together.
            _ if !self.parties.iter().any(is_waited_for) => can_ring && !self.parties.iter().any(is_due),
            Mode::WakeAll => false,
            Mode::WakeFirst | Mode::Connect => self.parties.iter().any(has_come),
        };
        if is_time {
            self.finish(HoldResult::Woken, world);
        }
    }
}
