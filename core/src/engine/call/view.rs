//! A held call as an operator sees it.

use super::{Call, Phase};
use crate::engine::directory::Directory;
use crate::engine::party::{LegState, Party, Wake};
use crate::engine::view::{CallView, PartyState, PartyView};
use crate::types::Moment;

impl Call {
    /// A copy of what may be shown.
    pub fn view(&self, now: Moment, directory: &Directory) -> CallView {
        let party = |p: &Party| PartyView {
            device: p.device.clone(),
            label: p.label(),
            state: state(p, self.why_set_aside(p, directory).is_some()),
            user_agent: p.user_agent.clone(),
            pushes: p.pushes,
            last_word: p.last_word.clone(),
        };
        CallView {
            call: self.held.call,
            aor: self.held.aor.clone(),
            caller_number: self.held.caller_number.clone(),
            caller_name: self.held.caller_name.clone(),
            at: self.held.at,
            held: now.since(self.since),
            left: self.deadline.since(now),
            connecting: matches!(self.phase, Phase::Connecting(_) | Phase::Early(_)),
            parties: self.parties.iter().map(party).collect(),
        }
    }
}

fn state(party: &Party, is_set_aside: bool) -> PartyState {
    match party.leg.as_ref().map(|leg| leg.state) {
        Some(LegState::Answered) => return PartyState::Answered,
        Some(LegState::Ringing) => return PartyState::Ringing,
        Some(LegState::Dialing) => return PartyState::Dialing,
        None => {}
    }
    if party.is_out {
        PartyState::Out
    } else if party.ring_at.is_some() || party.registered {
        PartyState::Registered
    } else if party.pushed.is_some() && party.wake != Wake::Impossible {
        PartyState::Pushed
    } else if party.wake.due().is_some() {
        PartyState::PushDue
    } else if is_set_aside {
        PartyState::SetAside
    } else {
        PartyState::Unreachable
    }
}
