//! One party of a held call: a device or a phone without a token, with its leg and its wake.
//!
//! States that exclude each other share one field: a party has one leg or none ([`Leg`]), and its next push is due,
//! shared with another call, impossible, or not needed ([`NextPush`]).

mod leg;
mod wake;

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

pub use self::leg::{Leg, LegQuery, LegState, Origin, OtherLeg, OwnLeg};
pub use self::wake::{NextPush, OwnPushes, PartyWake, PushState};
use super::directory::AorEntry;
use super::event::LegEnd;
use crate::types::{CallId, DeviceKey, Moment, PushId, Target};

/// The name of a phone without a push token in logs, CDRs and the journal.
pub const NO_DEVICE: &str = "binding";

/// A device or binding that could answer.
#[derive(Clone, Debug, Default)]
pub struct Party {
    /// The device; `None` for a phone without a token.
    pub device: Option<Arc<DeviceKey>>,
    /// Its name in logs and CDRs, worked out once; empty for a phone without a token.
    pub label: Arc<str>,
    /// `Call-ID` of its REGISTERs.
    pub register_call_id: Arc<str>,
    /// `User-Agent` of its last REGISTER.
    pub user_agent: Arc<str>,
    /// The Call-ID of INVITEs to it and what its pushes carry, once there was one.
    pub sip_call_id: Option<Arc<str>>,
    /// Where it is, as far as known; newest wins.
    pub place: Option<Location>,
    /// It registered during this call.
    pub has_registered: bool,
    /// Its waking.
    pub wake: PartyWake,
    /// How it is rung.
    pub leg: Leg,
    /// fswake's own leg rang: an 18x came during this call.
    pub has_rung: bool,
    /// FreeSWITCH's own leg rang.
    pub other_has_rung: bool,
    /// The codecs that legs to it are offered.
    pub codecs: Codecs,
    /// How its last leg ended, if it ended by itself.
    pub ended: Option<LegEnd>,
}

/// Where a phone is registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// Dial-string to it.
    pub target: Target,
    /// Last proof of life.
    pub alive: Option<Moment>,
}

/// Which codecs a leg is offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Codecs {
    /// The caller's.
    #[default]
    Callers,
    /// Any: the phone supports none of the caller's, and FreeSWITCH transcodes.
    Any,
}

/// Hashes what decides ([`super::digest`]): its proof of life matters only when a call starts.
impl Hash for Location {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { target, alive } = self;
        (target, alive.is_some()).hash(state);
    }
}

/// Hashes what decides ([`super::digest`]).
impl Hash for Party {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self {
            device,
            register_call_id,
            place,
            has_registered,
            wake,
            leg,
            has_rung,
            other_has_rung,
            codecs,
            ended,
            // The call's name and the party's place in it.
            sip_call_id: _,
            // For the journal and the summary.
            label: _,
            user_agent: _,
        } = self;
        (device, register_call_id, place, has_registered).hash(state);
        wake.what_decides(*leg != Leg::Over).hash(state);
        (leg, has_rung, other_has_rung, codecs, ended).hash(state);
    }
}

impl Party {
    /// All who could answer for an AOR: each device once, with its newest live binding, then the other bindings.
    pub fn all_of(entry: &AorEntry, now: Moment) -> Vec<Self> {
        let live = |device: Option<&Arc<DeviceKey>>| {
            entry
                .bindings
                .iter()
                .rev()
                .find(move |b| b.expires > now && b.device.as_ref() == device)
        };
        let devices = entry.devices.iter().map(|d| Self {
            device: Some(d.key.clone()),
            label: d.label.clone(),
            register_call_id: d.device.register_call_id.clone(),
            user_agent: d.device.user_agent.clone(),
            place: live(Some(&d.key)).map(|b| Location {
                target: b.target.clone(),
                alive: b.alive,
            }),
            ..Self::default()
        });
        let others = entry
            .bindings
            .iter()
            .filter(|b| b.expires > now && b.device.is_none())
            .map(|b| Self {
                register_call_id: b.call_id.clone(),
                user_agent: b.user_agent.clone(),
                place: Some(Location {
                    target: b.target.clone(),
                    alive: b.alive,
                }),
                ..Self::default()
            });
        devices.chain(others).collect()
    }

    /// Names its device, or a new one that replaces it.
    pub fn name(&mut self, device: &Arc<DeviceKey>) {
        if self.device.as_ref() != Some(device) {
            self.device = Some(device.clone());
            self.label = device.label().into();
        }
    }

    /// The Call-ID of INVITEs to it and what its pushes carry: worked out when it is first needed.
    pub fn sip_call_id(&mut self, call: CallId, number: usize) -> Arc<str> {
        self.sip_call_id.get_or_insert_with(|| call.sip_call_id(number)).clone()
    }

    /// Its name in logs and CDRs.
    pub fn label(&self) -> Arc<str> {
        if self.device.is_some() {
            self.label.clone()
        } else {
            NO_DEVICE.into()
        }
    }

    /// Where it is.
    pub fn target(&self) -> Option<&Target> {
        self.place.as_ref().map(|place| &place.target)
    }

    /// Its last proof of life at its current address.
    pub fn alive(&self) -> Option<Moment> {
        self.place.as_ref()?.alive
    }

    /// Whether it can be rung now without a push: it has registered and had its pause, or was registered all the time.
    pub fn is_awake(&self) -> bool {
        let has_come = self.has_registered || (self.place.is_some() && !self.wake.is_under_way());
        has_come && self.leg.due_at().is_none()
    }

    /// Whether more than an unexpected REGISTER may bring it: it showed life, or it is being woken. An entry that is
    /// only in FreeSWITCH's list may be a ghost.
    pub fn may_come(&self) -> bool {
        let is_woken = self.wake.is_under_way() || self.wake.due().is_some();
        self.alive().is_some() || self.leg.other().is_some() || is_woken
    }

    /// Whether waiting for it makes sense: a leg is alive, or it was pushed and may yet register.
    pub fn may_answer(&self) -> bool {
        match &self.leg {
            Leg::Due { .. } | Leg::Own(_) => true,
            Leg::Over => false,
            Leg::Other(other) if other.query != LegQuery::None => true,
            Leg::None | Leg::Other(_) => self.wake.may_succeed(),
        }
    }

    /// Whether it is waited for because of this push of another call.
    pub fn rides_on(&self, push: PushId) -> bool {
        matches!(self.wake.next, NextPush::Shared { with, .. } if with == push)
    }

    /// It leaves this call: neither rung nor pushed any more.
    pub fn leave(&mut self) {
        self.leg = Leg::Over;
        self.wake.rest();
    }

    /// Whether it has declined, answered, or rung until the end.
    pub fn is_out(&self) -> bool {
        self.leg == Leg::Over
    }

    /// Whether FreeSWITCH's own leg or fswake's rings it.
    pub fn rings(&self) -> bool {
        self.other_has_rung || self.leg.is(LegState::Ringing)
    }

    /// Whether a push is still allowed after a leg failed, as far as this call decides.
    pub fn can_be_pushed(&self, retries: u32) -> bool {
        self.device.is_some() && !self.is_out() && self.wake.pushes() <= retries
    }

    /// When its leg has had the whole debounce time without an answer, although the phone has registered elsewhere.
    pub fn moves_at(&self, debounce: Duration) -> Option<Moment> {
        let leg = self.leg.own()?;
        let has_moved = leg.registered_again() && self.target() != Some(&leg.target);
        has_moved.then(|| leg.since.plus(debounce))
    }
}
