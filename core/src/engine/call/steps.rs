//! Ringing and pushing: the steps of a held call that cost a phone something.

use std::sync::Arc;
use std::time::Duration;

use super::{Call, Phase};
use crate::engine::command::Command;
use crate::engine::directory::{Binding, Directory, LastPush};
use crate::engine::order::{CallOrder, Cause, Ring};
use crate::engine::party::{LastWord, Leg, LegState, Origin, Party, Wake};
use crate::engine::policy::Alert;
use crate::engine::step::Step;
use crate::engine::world::{PendingPush, Purpose, World};
use crate::types::push::{About, CallPush, PushError, PushKind, PushReceipt, PushRequest};
use crate::types::{DeviceKey, PushId, PushParams};

impl Call {
    /// Rings a phone that has just registered, once it can take a call.
    pub(super) fn ring_after_settling(&mut self, p: usize, world: &mut World<'_>) {
        if world.policy.settle_delay.is_zero() || self.rests_on(p) {
            self.can_ring(p, world);
        } else {
            let when = world.now.plus(world.policy.settle_delay);
            self.parties[p].ring_at.get_or_insert(when);
        }
    }

    /// Gives up a leg that its phone cannot have heard for one to where the phone is now.
    pub(super) fn replace(&mut self, p: usize, world: &mut World<'_>) {
        let old = self.parties[p].leg.take();
        // The new leg first: somebody waits for it, and killing takes FreeSWITCH two milliseconds.
        self.ring_after_settling(p, world);
        if let Some(old) = old {
            self.kill(old.n, Cause::Ours("LOSE_RACE"), world);
        }
    }

    /// Rings a party where it is, unless it is rung already or has declined. While another is being connected: only if that fails.
    pub(super) fn ring(&mut self, p: usize, origin: Origin, world: &mut World<'_>) {
        let leg = self.leg_id(self.legs);
        let call = self.held.call;
        let party = &self.parties[p];
        let Some(target) = party.target.clone() else { return };
        let goes_there = |leg: &Leg| leg.target == target;
        let is_rung = self.parties.iter().any(|q| q.leg.as_ref().is_some_and(goes_there));
        if party.leg.is_some() || party.is_out || is_rung {
            return;
        }
        let party = &mut self.parties[p];
        if matches!(self.phase, Phase::Connecting(_)) {
            party.ring_at.get_or_insert(world.now);
            party.ring_as = Some(origin);
        }
        if self.phase != Phase::Holding {
            return;
        }
        self.legs += 1;
        party.registered_again = false;
        party.leg = Some(Leg {
            n: leg.n,
            target: target.clone(),
            origin,
            since: world.now,
            state: LegState::Dialing,
            yields_at: None,
        });
        let timeout = self.ring_until.since(world.now);
        let park_timeout = world.policy.park_timeout;
        let any_codec = party.any_codec;
        let sip_call_id = party.sip_call_id(call, p);
        let device = party.label();
        let ring = Ring {
            leg,
            target,
            sip_call_id,
            timeout,
            park_timeout,
            any_codec,
            early_media: self.rings_alone(),
        };
        self.order(CallOrder::Ring(Box::new(ring)), world);
        let started = Step::LegStarted {
            device,
            leg: leg.n,
            why: origin,
        };
        self.note(world, started);
        if origin == Origin::Woken {
            self.expect_ringing(p, world);
        }
    }

    /// A wake is over when the phone rings, not when it registers: one that stays silent is pushed again.
    pub(super) fn expect_ringing(&mut self, p: usize, world: &World<'_>) {
        if self.may_push(p, world) {
            self.parties[p].wake = Wake::At(world.now.plus(world.policy.push_retry));
        }
    }

    /// Whether a phone that was rung in vain may be pushed. Not once the call rings on: nobody is waited for then.
    pub(super) fn may_push(&self, p: usize, world: &World<'_>) -> bool {
        let party = &self.parties[p];
        let may = !self.rings_on && party.can_be_pushed(world.policy.push_retries);
        may && self.why_set_aside(party, world.directory).is_none()
    }

    /// Why a party's token is not used, if it is not: the phone's next REGISTER, or another call's push, may change that at any time.
    pub(super) fn why_set_aside(&self, party: &Party, directory: &Directory) -> Option<Arc<str>> {
        let device = party.device.as_ref()?;
        let known = directory.device(self.key_of(device), device)?;
        known.device.set_aside.clone()
    }

    /// Notes that a phone is pushed again because it registered and has not rung since.
    pub(super) fn note_silence(&self, p: usize, world: &mut World<'_>) {
        let party = &self.parties[p];
        if let Some(leg) = party.leg.as_ref().filter(|_| party.registered) {
            let silent = Step::LegSilent {
                device: party.label(),
                after: world.now.since(leg.since),
            };
            self.note(world, silent);
        }
    }

    /// Pushes a device for this call, or rides on a wake that is under way, or finds that it may not.
    pub(super) fn push(&mut self, p: usize, world: &mut World<'_>) {
        if self.held.wishes.no_push {
            self.parties[p].wake = Wake::Done;
            return;
        }
        let left = self.deadline.since(world.now);
        let policy = world.policy;
        let tries = self.parties[p].pushes;
        let Some(device) = self.parties[p].device.clone() else {
            return;
        };
        let is_gone = self.has_come_and_gone(&device, world);
        let known = world.directory.device_mut(self.key_of(&device), &device);
        let Some(known) = known.filter(|known| known.device.set_aside.is_none()) else {
            self.parties[p].wake = Wake::Impossible;
            return;
        };
        if left.is_zero() || self.rings_on {
            self.parties[p].wake = Wake::Done;
            return;
        }
        // Our own retries are spaced by push-retry; the gap is about other calls' pushes.
        let pushed = self.parties[p].pushed;
        let is_under_way =
            |last: &LastPush| pushed != Some(last.at) && !is_gone && world.now.since(last.at) < policy.push_gap;
        if let Some(last) = known.last_push.filter(is_under_way) {
            self.parties[p].wake = Wake::Riding {
                on: last.push,
                until: last.at.plus(policy.push_gap),
            };
            self.parties[p].rides = true;
            let device = self.parties[p].label();
            self.note(world, Step::PushShared { device });
            return;
        }
        // A caller answers for waking a phone, not for how often that has to be tried.
        let caller_may = tries > 0
            || world.callers.admit(
                world.now,
                &self.held.caller_number,
                self.key.domain(),
                policy.caller_pushes_per_minute,
            );
        let admitted = caller_may && known.recent.admit(world.now, policy.device_pushes_per_minute);
        if !admitted {
            self.parties[p].wake = if tries == 0 { Wake::Impossible } else { Wake::Done };
            let device = self.parties[p].label();
            self.note(world, Step::PushLimited { device });
            return;
        }
        known.came = false;
        // From now on a REGISTER is this call's.
        known.missed = None;
        let (to, user_agent) = (known.device.push.clone(), known.device.user_agent.clone());
        let party = &mut self.parties[p];
        party.pushed = Some(world.now);
        party.pushes += 1;
        party.last_word = Some(LastWord::Sent);
        party.wake = if party.pushes <= policy.push_retries {
            Wake::At(world.now.plus(policy.push_retry))
        } else {
            Wake::Done
        };
        self.pushes += 1;
        self.first_push.get_or_insert(world.now);
        let push = self.send_push(p, to, PushKind::Call, left, world);
        if let Some(known) = world.directory.device_mut(self.key_of(&device), &device) {
            known.last_push = push.map(|push| LastPush { push, at: world.now });
        }
        let sent = Step::PushSent {
            device: self.parties[p].label(),
            tries: tries + 1,
            user_agent,
        };
        self.note(world, sent);
    }

    /// A push was accepted.
    pub fn on_push_accepted(&mut self, push: &PendingPush, receipt: &PushReceipt, world: &mut World<'_>) {
        let Some(p) = self.party_with(&push.device) else { return };
        self.parties[p].accepted = true;
        let word = if receipt.status == 0 {
            LastWord::Logged
        } else {
            LastWord::Taken
        };
        self.parties[p].last_word = Some(word);
        self.note(world, push.accepted(self.parties[p].label(), receipt, world.now));
        if world.policy.alert == Alert::Push && !self.mode(world).only_wakes() {
            self.alert(world);
        }
    }

    /// A push was refused, or not delivered in time.
    pub fn on_push_refused(&mut self, push: &PendingPush, error: &PushError, world: &mut World<'_>) {
        let Some(p) = self.party_with(&push.device) else { return };
        self.parties[p].last_word = Some(LastWord::Refused(error.to_string().into()));
        self.note(world, push.refused(self.parties[p].label(), error, world.now));
        if self.phase == Phase::Over || self.parties[p].registered {
            return;
        }
        if error.is_final() {
            self.parties[p].wake = Wake::Impossible;
        }
        if error.is_final() || !self.parties[p].accepted {
            self.ring_where_it_was(p, world);
        }
        if self.phase == Phase::Holding {
            self.settle(world);
        }
    }

    /// Whether a phone of this call is waited for because of this push, which is another call's.
    pub fn rides_on(&self, push: PushId) -> bool {
        self.parties.iter().any(|p| p.rides_on(push))
    }

    /// Another call's push has failed: whoever rode on it is pushed for this call now, unless the same would come of that.
    pub fn on_ride_over(&mut self, id: PushId, push: &PendingPush, error: &PushError, world: &mut World<'_>) {
        let Some(p) = self.party_with(&push.device) else { return };
        if !self.parties[p].rides_on(id) {
            return;
        }
        if error.is_about_the_device() {
            self.on_push_refused(push, error, world);
        } else {
            // Not before a bridge that is under way has failed.
            self.parties[p].wake = Wake::At(world.now);
        }
    }

    /// A device has a registration less. Where it has none: what would have made its push needless, or have come by another call's, is over.
    pub fn on_gone(&mut self, device: &Arc<DeviceKey>, world: &mut World<'_>) {
        let Some(p) = self.party_with(device) else { return };
        let party = &self.parties[p];
        let has_done_something = party.pushes > 0 || party.registered || party.is_out;
        let is_waited_for = party.wake.due().is_some() && !has_done_something;
        let entry = world.directory.entry(self.key_of(device));
        let is_there = entry.is_some_and(|e| e.is_bound(device, world.now));
        let is_another_matter = is_there || party.beside.is_some() || self.phase != Phase::Holding;
        if !is_waited_for || is_another_matter || (party.rides && !self.has_come_and_gone(device, world)) {
            return;
        }
        self.push(p, world);
        self.settle(world);
    }

    /// Whether a phone has registered since its last push and is not registered any more.
    fn has_come_and_gone(&self, device: &DeviceKey, world: &World<'_>) -> bool {
        world.directory.entry(self.key_of(device)).is_some_and(|entry| {
            let came = entry.devices.iter().any(|d| *d.key == *device && d.came);
            let is_there = |b: &Binding| b.expires > world.now && b.device.as_deref() == Some(device);
            came && !entry.bindings.iter().any(is_there)
        })
    }

    /// The phone rings, or has answered, declined or refused: its next call finds no wake under way that it could share.
    pub(super) fn wake_is_over(&self, p: usize, world: &mut World<'_>) {
        if let Some(device) = &self.parties[p].device
            && let Some(known) = world.directory.device_mut(self.key_of(device), device)
        {
            known.last_push = None;
        }
    }

    /// A push that says how the call ended, where the app wants it and its provider can carry it.
    pub(super) fn push_news(&mut self, p: usize, kind: PushKind, world: &mut World<'_>) {
        let Some(device) = self.parties[p].device.clone().filter(|_| !self.held.wishes.no_push) else {
            return;
        };
        let Some(wishes) = world.policy.app(&device) else {
            return;
        };
        let wanted = match kind {
            PushKind::Cancel(_) => wishes.cancel_push,
            PushKind::MissedCall => wishes.missed_call_push,
            PushKind::Call => true,
        };
        let Some(known) = world
            .directory
            .device_mut(self.key_of(&device), &device)
            .filter(|_| wanted)
        else {
            return;
        };
        let to = known.device.push.clone();
        let device = self.parties[p].label();
        let step = match kind {
            PushKind::Cancel(reason) => Step::CancelPushed { device, reason },
            _ => Step::MissedCallPushed { device },
        };
        self.send_push(p, to, kind, Duration::from_secs(30), world);
        self.note(world, step);
    }

    fn send_push(
        &mut self,
        p: usize,
        to: PushParams,
        kind: PushKind,
        ttl: Duration,
        world: &mut World<'_>,
    ) -> Option<PushId> {
        let device = self.parties[p].device.clone()?;
        let sip_call_id = self.parties[p].sip_call_id(self.held.call, p);
        let domain = device.aor.domain.clone();
        let purpose = match kind {
            PushKind::Call => Purpose::Wake(self.held.call),
            PushKind::Cancel(_) | PushKind::MissedCall => Purpose::News,
        };
        let id = world.pushes.begin(PendingPush {
            key: self.key_of(&device).clone(),
            device,
            purpose,
            since: world.now,
        });
        world.out.push_back(Command::Push(Box::new(PushRequest {
            id,
            to,
            about: About::Call(CallPush {
                kind,
                call: self.held.call,
                sip_call_id,
                caller_number: self.held.caller_number.clone(),
                caller_name: self.held.caller_name.clone(),
                held_at: self.held.at,
            }),
            callee: self.held.aor.clone(),
            domain,
            ttl,
        })));
        Some(id)
    }
}
