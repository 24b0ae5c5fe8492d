//! A phone gets one ringing dialog per call, whatever it slept through (docs/ARCHITECTURE.md, "One dialog").
//!
//! FreeSWITCH repeats an INVITE over UDP that got no provisional answer, even after `uuid_kill`, and delays the CANCEL
//! until there is one. A proxy may do the same to its phones (Kamailio does, unless `cancel_b_method` is set). A phone
//! that registers at that INVITE's address would get it and a new one: the same Call-ID in two dialogs. FreeSWITCH's
//! SIP stack does not report a 100, so the first sign of a phone is its 18x.

use std::time::Duration;

use super::Call;
use super::route::{Hop, Route};
use crate::engine::order::Cause;
use crate::engine::party::{Leg, LegQuery, LegState, NextPush, Origin, OwnLeg};
use crate::engine::world::World;

/// How long an INVITE under way to a phone's new address is left alone: a new one would not arrive sooner. With
/// [`CANCEL_FIRST`] and the time that FreeSWITCH takes for an INVITE this is under 700 ms.
const OLD_INVITE: Duration = Duration::from_millis(600);
/// How long a phone that has just been sent an INVITE over UDP, or finds one waiting, may take to ring.
const ROUND_TRIP: Duration = Duration::from_millis(200);
/// The CANCEL of a leg is out before the INVITE that replaces it to the same address.
const CANCEL_FIRST: Duration = Duration::from_millis(20);

impl Call {
    /// Whether a phone is rung at its old address although it may sleep there: not over UDP if a push will wake it.
    pub(super) fn may_ring_asleep(&self, p: usize) -> bool {
        let party = &self.parties[p];
        !party.wake.is_under_way() || party.target().is_some_and(|t| Route::to(t).hop != Hop::Udp)
    }

    /// No push can wake this phone: its old address is the only one left, as long as it is registered there.
    pub(super) fn ring_where_it_was(&mut self, p: usize, world: &mut World) {
        let party = &self.parties[p];
        let is_there = party.target().is_some_and(|target| {
            let mut entries = self.keys().filter_map(|key| world.directory.entry(key));
            entries.any(|entry| entry.is_bound_to(target, world.now))
        });
        let is_rung = !matches!(party.leg, Leg::None | Leg::Due { .. });
        if is_rung || party.has_registered || self.rings_on || !is_there || self.mode(world).only_wakes() {
            return;
        }
        self.ring(p, Origin::Known, world);
    }

    /// A phone registered before its leg has an 18x: the leg stays, or is replaced by one to the new address.
    pub(super) fn registered_while_dialing(&mut self, p: usize, leg: &OwnLeg, world: &mut World) {
        let party = &mut self.parties[p];
        let age = world.now.since(leg.since);
        // Rung before this wake-up: the phone could not receive it there.
        let is_before = leg.origin == Origin::Known
            || party.wake.pushed_at().is_some_and(|at| at > leg.since)
            || (party.wake.was_shared && leg.origin == Origin::Awake);
        let is_same_wake_up = !is_before && age < world.policy.debounce;
        if !is_same_wake_up && party.target() != Some(&leg.target) {
            return self.replace(p, world);
        }
        if let Some(leg) = party.leg.own_mut() {
            leg.set_registered_again();
        }
        if !is_same_wake_up {
            let now = world.now;
            let road = Route::to(&leg.target);
            let waits = match road.hop {
                // Too late; but a phone that was only suspended finds the INVITE in its socket.
                Hop::Udp => Some(road.next_repeat(leg.since, now).plus(ROUND_TRIP).since(now))
                    .filter(|repeat| *repeat <= OLD_INVITE)
                    .unwrap_or(ROUND_TRIP),
                Hop::Connection => OLD_INVITE,
            };
            if let Some(LegState::Dialing { yields_at, .. }) = self.state_of_leg(p) {
                yields_at.get_or_insert(now.plus(waits));
            }
        }
        self.expect_ringing(p, world);
    }

    /// A new leg to the old address, after the old leg's CANCEL.
    pub(super) fn replace_in_place(&mut self, p: usize, world: &mut World) {
        if self.rests_on(p) {
            // The call does not outlive its last leg.
            if let Some(LegState::Dialing { yields_at, .. }) = self.state_of_leg(p) {
                *yields_at = None;
            }
            return;
        }
        let Some(old) = self.parties[p].leg.take_own() else {
            return;
        };
        self.kill_for_another(&old, world);
        self.ring_behind_the_cancel(p, world);
    }

    fn ring_behind_the_cancel(&mut self, p: usize, world: &World) {
        let when = world.now.plus(world.policy.settle_delay.max(CANCEL_FIRST));
        self.parties[p].leg.dial_at(when);
    }

    fn state_of_leg(&mut self, p: usize) -> Option<&mut LegState> {
        self.parties[p].leg.own_mut().map(|leg| &mut leg.state)
    }

    /// A phone registers at the address of another device of this call. Two tokens at one Contact are one phone, and
    /// the last to register is the one that is there. Returns whether it rings there already for the other device. An
    /// unanswered INVITE is replaced.
    pub(super) fn take_place(&mut self, p: usize, world: &mut World) -> bool {
        let Some(place) = self.parties[p].target().cloned() else {
            return false;
        };
        let mut rings_there = false;
        for q in (0..self.parties.len()).filter(|q| *q != p) {
            // The call does not outlive its last leg.
            let is_last = self.rests_on(q);
            let former = &mut self.parties[q];
            if former.leg.other().is_some() {
                continue;
            }
            if former.target() == Some(&place) {
                former.place = None;
                former.leg.dial_no_more();
            }
            let goes_there = |leg: &OwnLeg| leg.target == place;
            if let Some(leg) = former
                .leg
                .take_own_if(|leg| goes_there(leg) && leg.is_dialing() && !is_last)
            {
                self.give_way(p, q, &leg, world);
            } else if former.leg.own().is_some_and(goes_there) {
                rings_there = true;
            }
        }
        if rings_there {
            let party = &mut self.parties[p];
            party.leg.dial_no_more();
            if let Some(leg) = party.leg.take_own_if(OwnLeg::is_dialing) {
                self.kill_for_another(&leg, world);
            }
        }
        rings_there
    }

    /// Moves the unanswered leg of `q` to the address of `p`.
    fn give_way(&mut self, p: usize, q: usize, leg: &OwnLeg, world: &mut World) {
        self.kill_for_another(leg, world);
        // Not a phone that FreeSWITCH may be ringing: ask first.
        self.ring_behind_the_cancel(p, world);
        let former = &self.parties[q];
        if former.has_registered && former.place.is_some() {
            self.ring_after_settling(q, world);
        } else if former.wake.next == NextPush::None && former.wake.sent.is_none() {
            self.push(q, world);
        }
    }

    fn kill_for_another(&self, leg: &OwnLeg, world: &mut World) {
        self.kill(leg.n, Cause::COMPLETED_ELSEWHERE, world);
    }

    /// A phone that registers while another is being connected: it is rung if that fails.
    pub(super) fn remember_for_later(&mut self, p: usize, world: &World) {
        let settled = world.now.plus(world.policy.settle_delay);
        let party = &mut self.parties[p];
        match &mut party.leg {
            Leg::None => party.leg.dial_at(settled),
            Leg::Other(other) => {
                other.query = match other.query {
                    LegQuery::Open { .. } => LegQuery::Open { again: true },
                    LegQuery::None | LegQuery::Due { .. } => LegQuery::Due { at: world.now },
                };
            }
            Leg::Own(leg) if leg.is_dialing() => {
                leg.set_registered_again();
                self.expect_ringing(p, world);
            }
            Leg::Due { .. } | Leg::Own(_) | Leg::Over => {}
        }
    }
}
