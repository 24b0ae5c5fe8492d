//! Refresh pushes: quiet pushes that make a phone register again before its registration ends.
//!
//! Only for apps with [`AppPolicy::refresh`](super::policy::AppPolicy::refresh), and only to a token that need not show a
//! call (APNs: the remote token), and never to a web push subscription without keys: it gets pushes without a payload, so
//! its app would take a refresh for a call. A push is due between one and two times `before` ahead of the registration's end; where
//! in that time follows from the device, so that phones that registered together are not pushed together. A REGISTER
//! moves it.
//!
//! Races, each with its test in `tests/refresh.rs`:
//! - the phone registers by itself just before its push is due: no push;
//! - the phone logs out, or its token is dropped, before its push is due: no push;
//! - the phone registers while its push is under way: it came back, and the next push is due later.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, json};

use super::command::{Command, Note};
use super::count::Count;
use super::directory::{AorKey, EVENT_TO_LIST};
use super::ordered_hash::ordered_hash;
use super::policy::Policy;
use super::step::Step;
use super::world::{PendingPush, Purpose, World};
use crate::types::push::{About, NotificationPurpose, NotificationPush, Payload, PushError, PushRequest};
use crate::types::{DeviceKey, Moment, Provider, Subscription, TokenType};

/// A registration that lasts less than this many times `before` is not refreshed: such a phone registers often by
/// itself.
const MIN_LENGTHS: u32 = 3;

/// The devices whose registrations are refreshed.
#[derive(Clone, Debug, Default)]
pub struct Refreshes {
    /// Earliest first, one for each device that counts ([`Registered::timer`]); the others are skipped.
    timers: BinaryHeap<Reverse<(Moment, Arc<DeviceKey>)>>,
    devices: HashMap<Arc<DeviceKey>, Registered>,
}

/// The registration of one device.
#[derive(Clone, Debug, Hash)]
struct Registered {
    key: AorKey,
    /// When it ends.
    ends: Moment,
    /// When something is to be done: a push, and after it a look whether the phone came back.
    due: Moment,
    /// When [`Refreshes::on_time`] looks at it next: never after `due`, and before it when that has moved since.
    timer: Moment,
    /// A push is sent, and the phone has not registered since.
    is_pushed: bool,
    /// The last push.
    pushed: Option<Moment>,
}

impl Hash for Refreshes {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self {
            devices,
            // Each device's is in `devices`.
            timers: _,
        } = self;
        ordered_hash(devices, state);
    }
}

impl Refreshes {
    /// A device has registered (`is_heard`), or is found registered, for so long.
    pub fn on_registered(
        &mut self,
        key: &AorKey,
        device: &Arc<DeviceKey>,
        lasts: Duration,
        is_heard: bool,
        world: &mut World,
    ) {
        let refresh = world.policy.app(device).and_then(|app| app.refresh);
        let Some(refresh) = refresh.filter(|_| gets_payloads(device)) else {
            if !self.devices.is_empty() {
                self.devices.remove(device);
            }
            return;
        };
        let (known, ends) = (self.devices.get(device), world.now.plus(lasts));
        // A list has a registration's end not to the second. If it ends much later, a REGISTER was missed.
        if !is_heard && known.is_some_and(|known| ends <= known.ends.plus(EVENT_TO_LIST)) {
            return;
        }
        let pushed = known.and_then(|known| known.pushed);
        if let Some(known) = known.filter(|known| known.is_pushed && is_heard) {
            let came = known.pushed.map(|at| world.now.since(at));
            count(device, came, world);
        }
        // Only a REGISTER says how long the whole registration lasts.
        let shortest = if is_heard {
            refresh.before * MIN_LENGTHS
        } else {
            refresh.before
        };
        let is_long = lasts >= shortest;
        if known.is_none() && !is_long {
            return;
        }
        let ahead = refresh.before + refresh.before.mul_f64(share(device));
        let latest = world.now.plus(lasts.saturating_sub(refresh.before));
        let allowed = pushed.map_or(world.now, |at| at.plus(refresh.gap));
        // If the gap leaves no time for it, this registration is not refreshed.
        let due = if is_long && allowed <= latest {
            world.now.plus(lasts.saturating_sub(ahead)).max(allowed)
        } else {
            ends
        };
        let armed = known.map(|known| known.timer).filter(|timer| *timer <= due);
        if armed.is_none() {
            self.timers.push(Reverse((due, Arc::clone(device))));
        }
        let registered = Registered {
            key: key.clone(),
            ends,
            due,
            timer: armed.unwrap_or(due),
            is_pushed: false,
            pushed,
        };
        self.devices.insert(Arc::clone(device), registered);
    }

    /// A push was refused or not delivered: the phone is not expected to come.
    pub fn on_push_refused(&mut self, push: &PendingPush, error: &PushError, world: &mut World) {
        if let Some(known) = self.devices.get_mut(&push.device)
            && known.pushed == Some(push.since)
        {
            known.is_pushed = false;
        }
        note_refusal(push, error, world);
    }

    /// AORs are compared differently from now on.
    pub fn refile(&mut self, policy: &Policy) {
        for (device, registered) in &mut self.devices {
            registered.key = AorKey::of(&device.aor, policy);
        }
    }

    /// When [`Refreshes::on_time`] may have something to do.
    pub fn next_timer(&self) -> Option<Moment> {
        self.timers.peek().map(|Reverse((due, _))| *due)
    }

    /// Handles the first device that is due. Returns whether there was one.
    pub fn on_time(&mut self, world: &mut World) -> bool {
        let first = self.timers.peek().filter(|Reverse((timer, _))| *timer <= world.now);
        let Some(Reverse((timer, device))) = first.cloned() else {
            return false;
        };
        self.timers.pop();
        if let Some(registered) = self.devices.get_mut(&device).filter(|known| known.timer == timer) {
            match registered.on_time(&device, world) {
                Some(next) => {
                    registered.timer = next;
                    self.timers.push(Reverse((next, device)));
                }
                None => _ = self.devices.remove(&device),
            }
        }
        true
    }
}

impl Registered {
    /// Does what is due, and returns when something is due again; `None`: nothing is, until the device registers.
    fn on_time(&mut self, device: &Arc<DeviceKey>, world: &mut World) -> Option<Moment> {
        if self.due > world.now {
            return Some(self.due);
        }
        let was_pushed = std::mem::take(&mut self.is_pushed);
        if was_pushed {
            count(device, None, world);
        }
        let gap = world.policy.app(device)?.refresh?.gap;
        if !was_pushed && self.ends > world.now && is_bound(&self.key, device, world) && self.push(device, world) {
            self.is_pushed = true;
            self.pushed = Some(world.now);
            self.due = self.ends;
            return Some(self.due);
        }
        // The time of the last push is kept for as long as it matters.
        self.due = self.pushed?.plus(gap);
        (self.due > world.now).then_some(self.due)
    }

    /// Sends a push; false if there is no token for it.
    fn push(&self, device: &Arc<DeviceKey>, world: &mut World) -> bool {
        let Some(known) = world.directory.device(&self.key, device) else {
            return false;
        };
        let Some(token) = known.device.push.token_for(TokenType::Im) else {
            return false;
        };
        if known.device.set_aside.is_some() && *token == device.token {
            return false;
        }
        let (to, token) = (known.device.push.clone(), token.clone());
        let id = world.pushes.begin(PendingPush {
            key: self.key.clone(),
            device: Arc::clone(device),
            purpose: Purpose::Refresh(token),
            since: world.now,
        });
        let keys = Map::from_iter([("custom".to_owned(), json!({ "kind": "refresh" }))]);
        world.out.push_back(Command::Push(Box::new(PushRequest {
            id,
            to,
            about: About::Notification(NotificationPush {
                purpose: NotificationPurpose::Refresh,
                token_type: TokenType::Im,
                payload: Arc::new(Payload::from(keys)),
            }),
            callee: device.aor.clone(),
            domain: device.aor.domain.clone(),
            ttl: self.ends.since(world.now),
        })));
        true
    }
}

/// Records a refusal that is about the phone or its push. All others are only counted: when a provider is away, there is
/// one for each phone.
fn note_refusal(push: &PendingPush, error: &PushError, world: &mut World) {
    let is_about_the_phone = matches!(
        error,
        PushError::TokenGone { .. } | PushError::TokenBad { .. } | PushError::Rejected { .. }
    );
    if !is_about_the_phone {
        return;
    }
    let step = Step::RefreshRefused {
        device: push.device.label().into(),
        reason: error.to_string().into(),
        class: error.class(),
        error: error.kind(),
        status: error.kind().status(),
    };
    world.out.push_back(Command::Note(Note {
        call: None,
        aor: push.device.aor.clone(),
        step,
    }));
}

/// Whether a push to this device can say what it is for.
fn gets_payloads(device: &DeviceKey) -> bool {
    device.provider != Provider::WebPush || Subscription::of(device.token.expose()).keys.is_some()
}

/// Where in the time of refresh pushes this device's is: from 0 to 1.
fn share(device: &DeviceKey) -> f64 {
    // Its keys are constants, so the result is the same in every run.
    let mut hasher = DefaultHasher::new();
    device.hash(&mut hasher);
    f64::from((hasher.finish() >> 32) as u32) / f64::from(u32::MAX)
}

fn is_bound(key: &AorKey, device: &DeviceKey, world: &World) -> bool {
    let entry = world.directory.open(key);
    entry.is_some_and(|entry| entry.is_bound(device, world.now))
}

fn count(device: &Arc<DeviceKey>, came: Option<Duration>, world: &mut World) {
    world.out.push_back(Command::Count(Count::Refresh {
        device: Arc::clone(device),
        came,
    }));
}
