//! What ends a hold, and with which result.

use std::sync::Arc;

use super::end::End;
use super::{Call, Phase};
use crate::engine::command::HoldResult;
use crate::engine::event::Takeover;
use crate::engine::order::Next;
use crate::engine::party::{Leg, Party};
use crate::engine::step::{Step, TakeoverKind};
use crate::engine::world::World;

impl Call {
    /// The held channel is gone, and the legs end for the same reason. Not only callers end it: so does the time of a
    /// ring group or of the dial-string, and so does a pick-up.
    pub fn on_caller_gone(&mut self, cause: &Arc<str>, world: &mut World) {
        if self.phase == Phase::Over {
            return;
        }
        self.note_first(world);
        match &**cause {
            "LOSE_RACE" => self.end_as_taken(TakeoverKind::LostRace, None, world),
            "PICKED_OFF" => {
                // The leg that answered, or whose early media the caller hears, was picked up: it is not fswake's any
                // more.
                if let Some(p) = self.party_of_bridge() {
                    self.parties[p].leg = Leg::None;
                }
                self.end_as_taken(TakeoverKind::PickedUp, None, world);
            }
            "NO_ANSWER" | "ALLOTTED_TIMEOUT" => {
                self.note(world, Step::RingTimeOver { cause: cause.clone() });
                let result = match self.result_without_answer() {
                    HoldResult::NoDevice => HoldResult::Unreachable,
                    result => result,
                };
                self.end(End::of_channel(result, cause), world);
            }
            // FreeSWITCH's cause for a bridge that it could not make: the phone has answered.
            "DESTINATION_OUT_OF_ORDER" if matches!(self.phase, Phase::Connecting(_)) => {
                self.note(world, Step::CallCut { cause: cause.clone() });
                self.end(End::cut(cause), world);
            }
            _ => {
                self.note(world, Step::CallerGone { cause: cause.clone() });
                self.end(End::abandoned(), world);
            }
        }
    }

    /// Somebody else has the held channel. The phones show "completed elsewhere", and fswake leaves the channel alone.
    pub fn on_taken(&mut self, how: &Takeover, world: &mut World) {
        if self.phase == Phase::Over {
            return;
        }
        self.note_first(world);
        let text = |text: &Arc<str>| Some(text.clone()).filter(|t| !t.is_empty());
        let (how, by) = match how {
            Takeover::PickedUp { by } => (TakeoverKind::PickedUp, text(by)),
            Takeover::Parked => (TakeoverKind::Parked, None),
            Takeover::Transferred { to } => (TakeoverKind::Transferred, text(to)),
        };
        self.end_as_taken(how, by, world);
    }

    fn end_as_taken(&mut self, how: TakeoverKind, by: Option<Arc<str>>, world: &mut World) {
        self.note(world, Step::CallTaken { how, by });
        self.end(End::taken(), world);
    }

    /// FreeSWITCH goes on without fswake: the dialplan's next action has the caller now.
    pub fn on_connection_lost(&mut self, world: &mut World) {
        if self.phase == Phase::Over {
            return;
        }
        self.note_first(world);
        self.note(world, Step::ConnectionLost {});
        // FreeSWITCH now connects or ends the leg that the caller hears. A bridge under way may be complete.
        if let Some(p) = self.party_of_bridge() {
            self.parties[p].leave();
        }
        self.end(End::lost(), world);
    }

    /// The party whose leg is being bridged or heard.
    fn party_of_bridge(&self) -> Option<usize> {
        match self.phase {
            Phase::Connecting(n) | Phase::Early(n) => self.party_of_leg(n),
            Phase::Holding | Phase::Over => None,
        }
    }

    /// The time for this call is over.
    pub(super) fn time_is_up(&mut self, world: &mut World) {
        let is_rung = self.parties.iter().any(|p| p.leg.own().is_some());
        let is_awake = |p: &Party| {
            if self.is_request() {
                self.needs_no_push(p, world)
            } else {
                p.is_awake()
            }
        };
        let result = if self.mode(world).only_wakes() && self.parties.iter().any(is_awake) {
            HoldResult::Woken
        } else {
            self.result_without_answer()
        };
        let next = if is_rung {
            Next::Fail {
                cause: self.time_over().into(),
                sip_status: None,
            }
        } else {
            self.next(result, world)
        };
        self.release(result, next, world);
    }

    /// Ends the hold and hands the channel back.
    pub fn finish(&mut self, result: HoldResult, world: &mut World) {
        let next = self.next(result, world);
        self.release(result, next, world);
    }

    /// FreeSWITCH's cause for a bridge whose time is over.
    fn time_over(&self) -> &'static str {
        if self.held.options.leg_timeout {
            "ALLOTTED_TIMEOUT"
        } else {
            "NO_ANSWER"
        }
    }

    /// What the dialplan's own bridge does next: it rings the phones if none was rung, and else fails as they did.
    fn next(&self, result: HoldResult, world: &World) -> Next {
        let left = self.held.max_wait.map(|_| self.ring_until.since(world.now));
        match result {
            HoldResult::HandsOff | HoldResult::Woken => return Next::Ring(None),
            HoldResult::Draining => return Next::Ring(left),
            _ => {}
        }
        // FreeSWITCH's rule for several phones: the cause of the first one that was dialled.
        match self.parties.iter().find_map(|p| p.ended.as_ref()) {
            Some(end) => Next::fails(end),
            None => Next::Ring(left),
        }
    }

    pub(super) fn release(&mut self, result: HoldResult, next: Next, world: &mut World) {
        // A bridge under way ends by itself, one way or the other.
        if self.phase != Phase::Holding {
            return;
        }
        self.note_first(world);
        // Without the directory's answer, the channel's own variables apply.
        self.asked = None;
        self.end(End::released(result, next, self.time_over()), world);
    }

    /// Ends the wait early if no phone is left that could answer.
    pub(super) fn settle(&mut self, world: &mut World) {
        self.hand_back_if_awake(world);
        let is_rung = |p: &Party| p.leg.due_at().is_some_and(|when| when <= world.now);
        let rings = |p: &Party| p.leg.own().is_some() || p.other_has_rung || is_rung(p);
        let waits = if self.rings_on {
            self.parties.iter().any(rings)
        } else {
            self.first_register.is_some()
                || self.asked.is_some()
                || self.waits_for_any()
                || self.parties.iter().any(Party::may_answer)
        };
        if self.phase == Phase::Holding && !waits {
            self.finish(self.result_without_answer(), world);
        }
    }

    /// Whether it waits for any REGISTER, although no phone was pushed. Not once a phone was reached, which was the
    /// answer.
    fn waits_for_any(&self) -> bool {
        let options = self.held.options;
        (options.wait_any || options.no_push) && !self.declined && !self.parties.iter().any(|p| p.has_rung)
    }

    /// The result of an unanswered hold. "Timeout" only if a phone rang: then the dialplan need not ring the same
    /// phones again. Otherwise the dialplan may still reach somebody.
    pub(super) fn result_without_answer(&self) -> HoldResult {
        if self.parties.is_empty() {
            HoldResult::NoDevice
        } else if self.declined && self.parties.iter().all(|p| p.leg.own().is_none()) {
            HoldResult::Declined
        } else if self.parties.iter().any(|p| p.has_rung || p.other_has_rung) {
            HoldResult::Timeout
        } else {
            HoldResult::Unreachable
        }
    }
}
