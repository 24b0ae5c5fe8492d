//! Wake only: the call goes back to the dialplan, whose own `bridge` rings, as soon as there is a phone to ring.

use super::{Call, Phase};
use crate::engine::command::HoldResult;
use crate::engine::event::Ask;
use crate::engine::party::{Origin, Party};
use crate::engine::wishes::Mode;
use crate::engine::world::World;

impl Call {
    /// A phone of this party can be rung now: it is, or in wake-only mode the dialplan may do so.
    pub(super) fn can_ring(&mut self, p: usize, world: &mut World<'_>) {
        if self.mode(world).only_wakes() {
            self.hand_back_if_awake(world);
        } else {
            let party = &mut self.parties[p];
            let origin = match party.ring_as.take() {
                _ if party.registered => Origin::Woken,
                origin => origin.unwrap_or(Origin::Known),
            };
            self.ring(p, origin, world);
        }
    }

    /// Whether those who were to be woken are awake; then the call goes back.
    pub(super) fn hand_back_if_awake(&mut self, world: &mut World<'_>) {
        let mode = self.mode(world);
        if self.phase != Phase::Holding || !mode.only_wakes() || self.is_asked(Ask::WhoRings) {
            return;
        }
        let has_come = |p: &Party| p.registered && p.ring_at.is_none();
        let is_waited_for = |p: &Party| !p.registered && (p.pushed.is_some() || p.rides) && p.may_answer();
        let can_ring = self.parties.iter().any(|p| has_come(p) || p.target.is_some());
        let is_time = match mode {
            // Whoever is registered all along waits for those who are woken: the dialplan rings them together.
            _ if !self.parties.iter().any(is_waited_for) => {
                can_ring && !self.parties.iter().any(|p| p.ring_at.is_some())
            }
            Mode::WakeAll => false,
            Mode::WakeFirst | Mode::Connect => self.parties.iter().any(has_come),
        };
        if is_time {
            self.finish(HoldResult::Woken, world);
        }
    }
}
