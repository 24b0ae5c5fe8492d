//! Devices and bindings of all AORs, and the rules about who owns a token and when it is dropped
//! (docs/ARCHITECTURE.md, "Tokens").
//!
//! Races, each with its test in `tests/directory.rs`:
//! - the same token registers at two AORs: the last authenticated REGISTER wins;
//! - "gone" arrives after the phone registered again: the newer REGISTER wins;
//! - a reading of all registrations overlaps with live events: live events win.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

mod entry;
mod filing;

pub use self::entry::{AorKey, Binding, Entry, KnownDevice, Missed, Seen};
use super::command::Command;
use super::event::{Registration, Source, UnregisterWhy, Unregistration};
use super::policy::{OnUnregister, Policy};
use crate::types::push::PushError;
use crate::types::{Aor, Device, DeviceKey, Moment, Provider, PushToken, Target, UnixSeconds};

/// More devices or bindings of one AOR than this are not kept: the oldest go.
const MOST_PER_AOR: usize = 20;

/// All AORs.
#[derive(Debug, Default)]
pub struct Directory {
    entries: HashMap<AorKey, Entry>,
    /// Hash of (provider, app, token) -> its owner. A hash, not the token itself: a million of them would double the memory.
    owners: HashMap<u64, AorKey>,
    hasher: RandomState,
    /// The number of the latest reading of all registrations.
    reading: u64,
}

impl Directory {
    /// A reading of all registrations begins: what is heard from now on belongs to it.
    pub fn begin_reading(&mut self, number: u64) {
        self.reading = number;
    }

    /// Puts a stored device back at start.
    pub fn restore(&mut self, device: Device, policy: &Policy) {
        let Some(device_key) = device.key() else { return };
        let key = AorKey::of(&device.aor, policy);
        self.owners.insert(self.token_hash(&device_key), key.clone());
        self.entries
            .entry(key)
            .or_default()
            .devices
            .push(KnownDevice::new(device, &device_key));
    }

    /// What an AOR has, if anything.
    pub fn entry(&self, key: &AorKey) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// One device, to note a push.
    pub fn device_mut(&mut self, key: &AorKey, device: &DeviceKey) -> Option<&mut KnownDevice> {
        self.entries
            .get_mut(key)?
            .devices
            .iter_mut()
            .find(|d| is(&d.device, device))
    }

    /// How many devices there are: every one has a token, and every token one owner.
    pub fn devices(&self) -> usize {
        self.owners.len()
    }

    /// How many devices and bindings there are.
    pub fn size(&self) -> (usize, usize) {
        self.entries
            .values()
            .fold((0, 0), |(d, b), e| (d + e.devices.len(), b + e.bindings.len()))
    }

    /// Proof of life from a leg: a phone that answers INVITEs is awake.
    pub fn saw_alive(&mut self, key: &AorKey, target: &Target, now: Moment) {
        for b in self.entries.get_mut(key).into_iter().flat_map(|e| &mut e.bindings) {
            if b.target == *target {
                b.alive = Some(now);
            }
        }
    }

    /// Takes in a registration. `None`: there is nothing that a call could ring.
    pub fn register(
        &mut self,
        now: Moment,
        mut reg: Registration,
        policy: &Policy,
        out: &mut dyn FnMut(Command),
    ) -> Option<Seen> {
        let key = AorKey::of(&reg.aor, policy);
        let device = reg.push.as_ref().and_then(|push| {
            Some(DeviceKey {
                aor: reg.aor.clone(),
                provider: push.provider.clone(),
                app: push.app.clone(),
                token: push.token()?.clone(),
            })
        });
        let reading = matches!(reg.source, Source::Reading(_));
        let device = device.filter(|d| !(reading && self.is_held_by_another(d, &key, now)));
        let mut replaced = None;
        if let Some(entry) = self.entries.get_mut(&key).filter(|_| !reading) {
            entry.note_late(now, &reg, out);
        }
        if let Some(device) = &device {
            replaced = self.own(&key, device, &mut reg, out);
        } else if reg.wants_no_push && !reading {
            self.forget_unpushed(&key, &reg.call_id, out);
        }
        let target = reg.target.take()?;
        let is_news = self.bind(now, &key, device.as_ref(), &reg, &target);
        Some(Seen {
            key,
            device,
            replaced,
            target,
            call_id: reg.call_id,
            user_agent: reg.user_agent,
            is_news,
        })
    }

    /// Makes `device` belong to `key`, taking it from whoever had it. Returns the device it replaces.
    fn own(
        &mut self,
        key: &AorKey,
        device: &DeviceKey,
        reg: &mut Registration,
        out: &mut dyn FnMut(Command),
    ) -> Option<DeviceKey> {
        let hash = self.token_hash(device);
        if let Some(owner) = self.owners.get(&hash).filter(|o| *o != key).cloned() {
            self.remove_device(&owner, device, "another-user", out);
        }
        let reading = matches!(reg.source, Source::Reading(_));
        // Its message token alone was known so far: from an import, or from before it had a call token.
        let by_message = |d: &Device| {
            let message = reg.push.as_ref().and_then(|p| p.remote_token.as_ref());
            message.is_some() && d.push.call_token.is_none() && d.push.token() == message
        };
        let same_phone = |d: &Device| {
            !is(d, device)
                && !reading
                && d.push.provider == device.provider
                && d.push.app == device.app
                && (d.register_call_id == reg.call_id || by_message(d))
        };
        let entry = self.entries.entry(key.clone()).or_default();
        let devices = entry.devices.iter().filter(|d| same_phone(&d.device));
        let old: Vec<_> = devices.filter_map(|d| d.device.key()).collect();
        for old in &old {
            self.remove_device(key, old, "new-token", out);
        }
        let old = old.into_iter().next();
        let push = reg.push.take()?;
        let entry = self.entries.entry(key.clone()).or_default();
        let known = entry.devices.iter().position(|d| is(&d.device, device));
        let first_seen = known.map_or(reg.at, |i| entry.devices[i].device.first_seen);
        let stored = Device {
            aor: reg.aor.clone(),
            push,
            user_agent: reg.user_agent.clone(),
            register_call_id: reg.call_id.clone(),
            first_seen,
            last_seen: reg.at,
            set_aside: None,
        };
        match known {
            // A reading tells nothing new about a device we know: when it registered is not in it.
            Some(_) if reading => return None,
            Some(i) => {
                entry.devices[i].device = stored.clone();
                entry.devices[i].heard = true;
            }
            None => {
                entry.devices.push(KnownDevice {
                    heard: !reading,
                    ..KnownDevice::new(stored.clone(), device)
                });
            }
        }
        let surplus = (entry.devices.len() > MOST_PER_AOR)
            .then(|| {
                entry
                    .devices
                    .iter()
                    .min_by_key(|d| d.device.last_seen)
                    .and_then(|d| d.device.key())
            })
            .flatten();
        self.owners.insert(hash, key.clone());
        out(Command::StoreDevice(stored));
        if let Some(surplus) = surplus {
            self.remove_device(key, &surplus, "too-many-devices", out);
        }
        old
    }

    /// A REGISTER without push parameters by a phone that had them: its user switched pushes off.
    fn forget_unpushed(&mut self, key: &AorKey, call_id: &Arc<str>, out: &mut dyn FnMut(Command)) {
        let Some(entry) = self.entries.get(key) else { return };
        let was: Vec<_> = entry
            .devices
            .iter()
            .filter(|d| d.device.register_call_id == *call_id)
            .filter_map(|d| d.device.key())
            .collect();
        for device in was {
            self.remove_device(key, &device, "registered-without-push", out);
        }
    }

    /// Records where a phone is. Newest contact of a device wins. Returns whether it says anything new.
    fn bind(
        &mut self,
        now: Moment,
        key: &AorKey,
        device: Option<&DeviceKey>,
        reg: &Registration,
        target: &Target,
    ) -> bool {
        let expires = now.plus(reg.expires);
        let (generation, reading) = match reg.source {
            Source::Event => (self.reading, false),
            Source::Reading(n) => (n, true),
        };
        let bindings = &mut self.entries.entry(key.clone()).or_default().bindings;
        let same = |b: &Binding| match device {
            Some(d) => b.device.as_ref() == Some(d) || b.call_id == reg.call_id,
            None => b.call_id == reg.call_id || b.target == *target,
        };
        if reading
            && let Some(b) = bindings
                .iter_mut()
                .find(|b| b.target == *target && b.call_id == reg.call_id)
        {
            // Its expiry moves only when it registered while we were away.
            let refreshed = expires > b.expires.plus(Duration::from_secs(3));
            b.expires = expires;
            b.generation = generation;
            return refreshed;
        }
        bindings.retain(|b| !same(b));
        bindings.push(Binding {
            target: target.clone(),
            call_id: reg.call_id.clone(),
            user_agent: device.map_or_else(|| reg.user_agent.clone(), |_| Arc::default()),
            device: device.cloned(),
            expires,
            alive: (!reading).then_some(now),
            generation,
        });
        if bindings.len() > MOST_PER_AOR {
            bindings.remove(0);
        }
        true
    }

    /// Takes in the end of a registration.
    pub fn unregister(&mut self, end: &Unregistration, policy: &Policy, out: &mut dyn FnMut(Command)) {
        let key = AorKey::of(&end.aor, policy);
        let Some(entry) = self.entries.get_mut(&key) else {
            return;
        };
        let token = end.push.as_ref().and_then(|p| p.token());
        let over = |b: &Binding| b.call_id == end.call_id || end.target.as_ref() == Some(&b.target);
        let mut devices: Vec<DeviceKey> = entry
            .bindings
            .iter()
            .filter(|b| over(b))
            .filter_map(|b| b.device.clone())
            .collect();
        entry.bindings.retain(|b| !over(b));
        if end.why == UnregisterWhy::Explicit {
            devices.extend(
                entry
                    .devices
                    .iter()
                    .filter(|d| {
                        d.device.register_call_id == end.call_id || (token.is_some() && d.device.push.token() == token)
                    })
                    .filter_map(|d| d.device.key()),
            );
            for device in devices {
                let keep = policy.app(&device).map(|a| a.on_unregister);
                if keep.unwrap_or_default() == OnUnregister::Forget {
                    self.remove_device(&key, &device, "unregistered", out);
                }
            }
        }
        self.drop_if_empty(&key);
    }

    /// A ping's result: proof of life, or its end.
    pub fn ping(&mut self, now: Moment, aor: &Aor, call_id: &str, reachable: bool, policy: &Policy) {
        let key = AorKey::of(aor, policy);
        for b in self.entries.get_mut(&key).into_iter().flat_map(|e| &mut e.bindings) {
            if *b.call_id == *call_id {
                b.alive = reachable.then_some(now);
            }
        }
    }

    /// Ends every binding that neither the reading with this number nor an event since it began has named.
    pub fn end_reading(&mut self, number: u64) {
        self.entries.retain(|_, e| {
            e.bindings.retain(|b| b.generation >= number);
            !(e.bindings.is_empty() && e.devices.is_empty())
        });
    }

    /// Applies the rules about tokens to a push that was refused (docs/ARCHITECTURE.md, "Tokens").
    pub fn judge(
        &mut self,
        key: &AorKey,
        device: &DeviceKey,
        token: &PushToken,
        error: &PushError,
        at: UnixSeconds,
        out: &mut dyn FnMut(Command),
    ) {
        let (since, reason) = match error {
            PushError::TokenGone { since, .. } => (*since, None),
            PushError::TokenBad { reason } => (None, Some(reason)),
            _ => return,
        };
        let Some(known) = self.device_mut(key, device) else {
            return;
        };
        if known.heard && since.is_some_and(|since| known.device.last_seen > since) {
            return;
        }
        let is_its_name = *token == device.token;
        match reason {
            None if is_its_name => self.remove_device(key, device, "gone", out),
            Some(reason) if is_its_name => {
                known.device.set_aside = Some(format!("{reason} at {at}"));
                out(Command::StoreDevice(known.device.clone()));
            }
            // The token for messages of a device whose calls go to another one: its next REGISTER brings it back.
            _ if known.device.push.remote_token.as_ref() == Some(token) => {
                known.device.push.remote_token = None;
                out(Command::StoreDevice(known.device.clone()));
            }
            _ => {}
        }
    }

    /// Forgets a device because an operator says so.
    pub fn forget(&mut self, device: &DeviceKey, policy: &Policy, out: &mut dyn FnMut(Command)) {
        let key = AorKey::of(&device.aor, policy);
        self.remove_device(&key, device, "asked", out);
        self.drop_if_empty(&key);
    }

    /// Forgets devices of this AOR that were not seen for `token_ttl`.
    pub fn forget_old(&mut self, key: &AorKey, at: UnixSeconds, policy: &Policy, out: &mut dyn FnMut(Command)) {
        let Some(entry) = self.entries.get(key) else { return };
        let ttl = i64::try_from(policy.token_ttl.as_secs()).unwrap_or(i64::MAX);
        let old: Vec<_> = entry
            .devices
            .iter()
            .filter(|d| at.saturating_sub(d.device.last_sign()) > ttl)
            .filter_map(|d| d.device.key())
            .collect();
        for device in old {
            self.remove_device(key, &device, "unseen-too-long", out);
        }
    }

    fn is_held_by_another(&self, device: &DeviceKey, key: &AorKey, now: Moment) -> bool {
        let Some(owner) = self.owners.get(&self.token_hash(device)).filter(|o| *o != key) else {
            return false;
        };
        let same = |d: &DeviceKey| d.provider == device.provider && d.app == device.app && d.token == device.token;
        let bound = |b: &Binding| b.expires > now && b.device.as_ref().is_some_and(same);
        self.entries.get(owner).is_some_and(|e| e.bindings.iter().any(bound))
    }

    fn remove_device(&mut self, key: &AorKey, device: &DeviceKey, why: &'static str, out: &mut dyn FnMut(Command)) {
        let hash = self.token_hash(device);
        let Some(entry) = self.entries.get_mut(key) else { return };
        let Some(i) = entry.devices.iter().position(|d| is(&d.device, device)) else {
            return;
        };
        let gone = entry.devices.remove(i);
        for b in &mut entry.bindings {
            if b.device.as_ref().is_some_and(|d| is(&gone.device, d)) {
                b.device = None;
            }
        }
        if self.owners.get(&hash) == Some(key) {
            self.owners.remove(&hash);
        }
        if let Some(key) = gone.device.key() {
            out(Command::ForgetDevice { key, why });
        }
    }

    fn drop_if_empty(&mut self, key: &AorKey) {
        if self
            .entries
            .get(key)
            .is_some_and(|e| e.bindings.is_empty() && e.devices.is_empty())
        {
            self.entries.remove(key);
        }
    }

    fn token_hash(&self, device: &DeviceKey) -> u64 {
        self.hasher
            .hash_one((&device.provider as &Provider, &*device.app, &device.token as &PushToken))
    }
}

/// Whether a stored device is the one with this provider, app and token.
fn is(device: &Device, key: &DeviceKey) -> bool {
    device.push.provider == key.provider && device.push.app == key.app && device.push.token() == Some(&key.token)
}
