//! A wake that somebody asked for: there is no channel, and the end is an answer.

use super::end::End;
use super::{Call, Phase};
use crate::engine::command::{Command, HoldResult};
use crate::engine::event::Routing;
use crate::engine::party::{NextPush, Party, PushState};
use crate::engine::step::Step;
use crate::engine::wake_report::{WakeReport, WakeState, WokenParty};
use crate::engine::world::World;
use crate::types::Moment;

impl Call {
    /// Whether somebody asked for it, and no channel is held.
    pub(super) fn is_request(&self) -> bool {
        self.held.routing == Routing::Request
    }

    /// Nobody waits for the answer any more.
    pub fn on_asker_gone(&mut self, world: &mut World) {
        if self.phase == Phase::Over || !self.is_request() {
            return;
        }
        self.note_first(world);
        self.note(world, Step::AskerGone {});
        self.end(End::abandoned(), world);
    }

    /// Answers whoever asked.
    pub(super) fn answer(&self, result: HoldResult, world: &mut World) {
        let party = |party: &Party| self.woken_party(party, world);
        let report = WakeReport {
            call: self.held.call,
            result,
            took: world.now.since(self.figures.since),
            parties: self.parties.iter().map(party).collect(),
        };
        world.out.push_back(Command::WakeEnded(Box::new(report)));
    }

    /// Whether a phone can be rung now: it has registered since, or it needs no push. One that is registered, has a token
    /// and has not been heard of lately may sleep.
    pub(super) fn needs_no_push(&self, party: &Party, world: &World) -> bool {
        let began = self.figures.since;
        let is_fresh = |alive: Moment| began.since(alive) < world.policy.fresh_for && !self.held.options.push_awake;
        let is_there = || party.place.is_some() && (party.device.is_none() || party.alive().is_some_and(is_fresh));
        party.leg.due_at().is_none() && (party.has_registered || is_there())
    }

    fn woken_party(&self, party: &Party, world: &World) -> WokenParty {
        let set_aside = self.why_set_aside(party, world);
        let is_impossible = party.wake.next == NextPush::Impossible;
        let (state, problem) = match &party.wake.last {
            _ if party.has_registered => (WakeState::Registered, None),
            _ if self.needs_no_push(party, world) => (WakeState::Awake, None),
            Some(PushState::Refused(why)) if is_impossible || !party.wake.is_accepted() => {
                (WakeState::Refused, Some(why.clone()))
            }
            Some(PushState::Logged) => (WakeState::Logged, None),
            _ if party.wake.is_under_way() => (WakeState::Pushed, None),
            _ if set_aside.is_some() => (WakeState::SetAside, set_aside),
            _ if party.wake.is_limited => (WakeState::Limited, None),
            _ => (WakeState::NotPushed, None),
        };
        WokenParty {
            device: party.device.clone(),
            label: party.label(),
            user_agent: party.user_agent.clone(),
            target: party.target().cloned(),
            pushes: party.wake.pushes(),
            to_register: party.wake.to_register,
            problem,
            state,
        }
    }
}
