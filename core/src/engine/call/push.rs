//! Pushing: to wake a phone, and to notify a woken one of the call's end.

use std::sync::Arc;
use std::time::Duration;

use super::{Call, Phase};
use crate::engine::command::Command;
use crate::engine::directory::{Binding, KnownDevice, LastPush};
use crate::engine::party::{NextPush, Party, PushState};
use crate::engine::policy::Alert;
use crate::engine::step::Step;
use crate::engine::world::{PendingPush, Purpose, World};
use crate::types::push::{About, CallPush, PushError, PushKind, PushReceipt, PushRequest};
use crate::types::{DeviceKey, PushId, PushParams};

/// How long a cancel push is of use: a phone that gets it later has stopped ringing.
const CANCEL_TTL: Duration = Duration::from_secs(30);

impl Call {
    /// Whether a phone that was rung in vain may be pushed. Not once the wait has ended: only ringing phones count
    /// then.
    pub(super) fn may_push(&self, p: usize, world: &World) -> bool {
        let party = &self.parties[p];
        let may = !self.rings_on && party.can_be_pushed(world.policy.push_retries);
        may && self.why_set_aside(party, world).is_none()
    }

    /// Why a party's token is not used, if it is not: the phone's next REGISTER, or another call's push, may change
    /// that at any time.
    pub(super) fn why_set_aside(&self, party: &Party, world: &World) -> Option<Arc<str>> {
        let device = party.device.as_ref()?;
        let known = world.directory.device(self.key_of(device), device)?;
        known.device.set_aside.clone()
    }

    /// Records that a phone is pushed again because it registered and has not rung since.
    pub(super) fn note_silence(&self, p: usize, world: &mut World) {
        let party = &self.parties[p];
        if let Some(leg) = party.leg.own().filter(|_| party.has_registered) {
            let silent = Step::LegSilent {
                device: party.label(),
                after: world.now.since(leg.since),
            };
            self.note(world, silent);
        }
    }

    /// Pushes a device for this call, or shares another call's push, unless a limit or a refused token forbids it.
    pub(super) fn push(&mut self, p: usize, world: &mut World) {
        if self.held.options.no_push {
            self.parties[p].wake.next = NextPush::None;
            return;
        }
        let Some(device) = self.parties[p].device.clone() else {
            return;
        };
        let key = self.key_of(&device).clone();
        let known = world.directory.device(&key, &device);
        let Some(known) = known.filter(|known| known.device.set_aside.is_none()) else {
            self.parties[p].wake.next = NextPush::Impossible;
            return;
        };
        let left = self.deadline.since(world.now);
        if left.is_zero() || self.rings_on {
            self.parties[p].wake.next = NextPush::None;
            return;
        }
        if let Some(last) = self.push_under_way(p, known, world) {
            let wake = &mut self.parties[p].wake;
            wake.next = NextPush::Shared {
                with: last.push,
                until: last.at.plus(world.policy.push_gap),
            };
            wake.was_shared = true;
            let device = self.parties[p].label();
            self.note(world, Step::PushShared { device });
            return;
        }
        let tries = self.parties[p].wake.pushes();
        if !self.is_admitted(tries, &device, world) {
            self.parties[p].wake.next = if tries == 0 {
                NextPush::Impossible
            } else {
                NextPush::None
            };
            self.parties[p].wake.is_limited = true;
            let device = self.parties[p].label();
            self.note(world, Step::PushLimited { device });
            return;
        }
        let Some(known) = world.directory.device_mut(&key, &device) else {
            return;
        };
        known.came = false;
        // Its next REGISTER counts for this call.
        known.missed = None;
        let (to, user_agent) = (known.device.push.clone(), known.device.user_agent.clone());
        let wake = &mut self.parties[p].wake;
        wake.send(world.now);
        wake.next = if tries < world.policy.push_retries {
            NextPush::At(world.now.plus(world.policy.push_retry))
        } else {
            NextPush::None
        };
        self.figures.pushes += 1;
        self.figures.first_push.get_or_insert(world.now);
        let push = self.send_push(p, to, PushKind::Call, left, world);
        if let Some(known) = world.directory.device_mut(&key, &device) {
            known.last_push = push.map(|push| LastPush { push, at: world.now });
        }
        let sent = Step::PushSent {
            device: self.parties[p].label(),
            tries: tries + 1,
            user_agent,
        };
        self.note(world, sent);
    }

    /// Another call's push to this device that is under way. `push-retry` spaces this call's own; the gap is about
    /// others.
    fn push_under_way(&self, p: usize, known: &KnownDevice, world: &World) -> Option<LastPush> {
        let last = known.last_push?;
        let is_ours = self.parties[p].wake.pushed_at() == Some(last.at);
        let is_recent = world.now.since(last.at) < world.policy.push_gap;
        let is_under_way = !is_ours && is_recent && !self.has_come_and_gone(&known.key, world);
        is_under_way.then_some(last)
    }

    /// Whether the limits allow one more push. A caller's limit counts phones woken, not retries.
    fn is_admitted(&self, tries: u32, device: &DeviceKey, world: &mut World) -> bool {
        let (now, policy) = (world.now, &world.policy);
        let (number, domain) = (&self.held.caller_number, self.key.domain());
        let per_caller = policy.caller_pushes_per_minute;
        let caller_may = tries > 0 || world.callers.admit(now, number, domain, per_caller);
        let known = world.directory.device_mut(self.key_of(device), device);
        caller_may && known.is_some_and(|known| known.recent.admit(now, policy.device_pushes_per_minute))
    }

    /// A push was accepted.
    pub fn on_push_accepted(&mut self, push: &PendingPush, receipt: &PushReceipt, world: &mut World) {
        let Some(p) = self.party_with(&push.device) else { return };
        self.parties[p].wake.accept(receipt.is_only_logged());
        self.note(world, push.accepted(self.parties[p].label(), receipt, world.now));
        if world.policy.alert == Alert::Push && !self.mode(world).only_wakes() {
            self.alert(world);
        }
    }

    /// A push was refused, or not delivered in time.
    pub fn on_push_refused(&mut self, push: &PendingPush, error: &PushError, world: &mut World) {
        let Some(p) = self.party_with(&push.device) else { return };
        let party = &mut self.parties[p];
        party.wake.last = Some(PushState::Refused(error.to_string().into()));
        let (is_accepted, has_registered) = (party.wake.is_accepted(), party.has_registered);
        self.note(world, push.refused(self.parties[p].label(), error, world.now));
        if self.phase == Phase::Over || has_registered {
            return;
        }
        if error.is_final() {
            self.parties[p].wake.next = NextPush::Impossible;
        }
        if error.is_final() || !is_accepted {
            self.ring_where_it_was(p, world);
        }
        if self.phase == Phase::Holding {
            self.settle(world);
        }
    }

    /// Whether a phone of this call is waited for because of this push of another call.
    pub fn rides_on(&self, push: PushId) -> bool {
        self.parties.iter().any(|p| p.rides_on(push))
    }

    /// Another call's push has failed: the phones that shared it are pushed for this call now, unless that would fail
    /// too.
    pub fn on_ride_over(&mut self, id: PushId, push: &PendingPush, error: &PushError, world: &mut World) {
        let Some(p) = self.party_with(&push.device) else { return };
        if !self.parties[p].rides_on(id) {
            return;
        }
        if error.is_about_the_device() {
            self.on_push_refused(push, error, world);
        } else {
            // Not before a bridge under way has failed.
            self.parties[p].wake.next = NextPush::At(world.now);
        }
    }

    /// A device has one registration less. If it was the last, reasons to skip a push or to share another call's are
    /// void.
    pub fn on_gone(&mut self, device: &Arc<DeviceKey>, world: &mut World) {
        let Some(p) = self.party_with(device) else { return };
        let party = &self.parties[p];
        let has_done_something = party.wake.sent.is_some() || party.has_registered || party.is_out();
        let is_waited_for = party.wake.due().is_some() && !has_done_something;
        let entry = world.directory.entry(self.key_of(device));
        let is_there = entry.is_some_and(|e| e.is_bound(device, world.now));
        let is_another_matter = is_there || party.leg.other().is_some() || self.phase != Phase::Holding;
        let shares = party.wake.was_shared && !self.has_come_and_gone(device, world);
        if !is_waited_for || is_another_matter || shares {
            return;
        }
        self.push(p, world);
        self.settle(world);
    }

    /// Whether a phone has registered since its last push and is not registered any more.
    fn has_come_and_gone(&self, device: &DeviceKey, world: &World) -> bool {
        world.directory.entry(self.key_of(device)).is_some_and(|entry| {
            let came = entry.devices.iter().any(|d| *d.key == *device && d.came);
            let is_there = |b: &Binding| b.expires > world.now && b.device.as_deref() == Some(device);
            came && !entry.bindings.iter().any(is_there)
        })
    }

    /// The phone rings, or has answered, declined or refused: its next call cannot share this wake.
    pub(super) fn wake_is_over(&self, p: usize, world: &mut World) {
        if let Some(device) = &self.parties[p].device
            && let Some(known) = world.directory.device_mut(self.key_of(device), device)
        {
            known.last_push = None;
        }
    }

    /// A push that tells how the call ended, if the app wants it and its provider can carry it.
    pub(super) fn push_news(&mut self, p: usize, kind: PushKind, world: &mut World) {
        let Some(device) = self.parties[p].device.clone().filter(|_| !self.held.options.no_push) else {
            return;
        };
        let Some(app) = world.policy.app(&device) else {
            return;
        };
        let is_wanted = match kind {
            PushKind::Cancel(_) => app.cancel_push,
            PushKind::MissedCall => app.missed_call_push,
            PushKind::Call => true,
        };
        let known = world.directory.device(self.key_of(&device), &device);
        let Some(known) = known.filter(|_| is_wanted) else {
            return;
        };
        let to = known.device.push.clone();
        let device = self.parties[p].label();
        let step = match kind {
            PushKind::Cancel(reason) => Step::CancelPushed { device, reason },
            _ => Step::MissedCallPushed { device },
        };
        let ttl = match kind {
            // A phone that was off shows it when it is back.
            PushKind::MissedCall => world.policy.notification_ttl,
            _ => CANCEL_TTL,
        };
        self.send_push(p, to, kind, ttl, world);
        self.note(world, step);
    }

    fn send_push(
        &mut self,
        p: usize,
        to: PushParams,
        kind: PushKind,
        ttl: Duration,
        world: &mut World,
    ) -> Option<PushId> {
        let device = self.parties[p].device.clone()?;
        let sip_call_id = match &self.held.sip_call_id {
            Some(given) => Arc::clone(given),
            None => self.parties[p].sip_call_id(self.held.call, p),
        };
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
