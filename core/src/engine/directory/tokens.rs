//! Who owns a token, and when it is dropped (docs/ARCHITECTURE.md, "Tokens").

use std::hash::BuildHasher;
use std::sync::Arc;

use super::entry::is;
use super::outcome::Ownership;
use super::{AorKey, Binding, Directory};
use crate::engine::command::Command;
use crate::engine::event::{Registration, Source};
use crate::engine::policy::Policy;
use crate::types::push::PushError;
use crate::types::{DeviceKey, Moment, Provider, PushParams, PushToken, UnixSeconds};

/// Why a device is dropped whose token registers for another user.
const ANOTHER_USER: &str = "another-user";
/// Why a device is dropped whose app has a new name.
const APP_RENAMED: &str = "app-renamed";

fn each<'a>(devices: &'a [Arc<DeviceKey>], why: &'static str) -> impl Iterator<Item = (&'a DeviceKey, &'static str)> {
    devices.iter().map(move |device| (&**device, why))
}

impl Directory {
    /// Makes `key` the owner of this REGISTER's token, and takes it from the previous owner.
    pub(super) fn own(
        &mut self,
        now: Moment,
        key: &AorKey,
        reg: &mut Registration,
        out: &mut dyn FnMut(Command),
    ) -> Ownership {
        let is_listed = reg.source != Source::Event;
        let Some(push) = reg.push.take() else {
            return Ownership::default();
        };
        let entry = self.entries.get(key);
        let known = entry.and_then(|e| e.device_of(&push)).map(|d| d.key.clone());
        if known.is_some() && is_listed {
            // Nothing new about a device that is known: when it registered is not in it.
            return Ownership {
                device: known,
                replaced: None,
            };
        }
        let hash = self.hash_of(&push);
        if is_listed && known.is_none() && self.dropped.has(hash) {
            return Ownership::default();
        }
        self.dropped.clear(hash);
        let entry = self.entries.get(key);
        let renamed = entry.map(|e| e.renamed(&push)).unwrap_or_default();
        let replaced = entry.filter(|_| !is_listed).map(|e| e.same_phone(&push, &reg.call_id));
        // An AOR's own tokens belong to nobody else; any other may have to be taken from somebody.
        if known.is_none() && !self.take_over(now, key, &push, is_listed, out) {
            return Ownership::default();
        }
        let replaced = replaced.unwrap_or_default();
        for (old, why) in each(&replaced, "new-token").chain(each(&renamed, APP_RENAMED)) {
            self.drop_token(key, old, why, out);
        }
        let entry = self.entries.entry(key.clone()).or_default();
        let Some(kept) = entry.keep(push, reg) else {
            return Ownership::default();
        };
        let device = Some(kept.key.clone());
        out(Command::StoreDevice(kept.device.clone()));
        if let Some(surplus) = entry.surplus() {
            self.drop_token(key, &surplus, "too-many-devices", out);
        }
        let replaced = replaced.into_iter().chain(renamed).next();
        Ownership { device, replaced }
    }

    /// Makes `key` the owner of this token; false if it stays another's.
    fn take_over(
        &mut self,
        now: Moment,
        key: &AorKey,
        push: &PushParams,
        is_listed: bool,
        out: &mut dyn FnMut(Command),
    ) -> bool {
        let hash = self.hash_of(push);
        if let Some(owner) = self.owners.get(&hash).filter(|o| *o != key).cloned() {
            let bound = |b: &Binding| b.expires > now && b.device.as_ref().is_some_and(|d| is(d, push));
            let entry = self.entries.get(&owner);
            if is_listed && entry.is_some_and(|e| e.bindings.iter().any(bound)) {
                return false;
            }
            if let Some(device) = entry.and_then(|e| e.device_of(push)).map(|d| d.key.clone()) {
                self.drop_token(&owner, &device, ANOTHER_USER, out);
            }
        }
        self.owners.insert(hash, key.clone());
        true
    }

    /// A REGISTER without push parameters by a phone that had them: its user disabled pushes.
    pub(super) fn forget_unpushed(&mut self, key: &AorKey, call_id: &Arc<str>, out: &mut dyn FnMut(Command)) {
        let Some(entry) = self.entries.get(key) else { return };
        let was: Vec<_> = entry
            .devices
            .iter()
            .filter(|d| d.device.register_call_id == *call_id)
            .map(|d| d.key.clone())
            .collect();
        for device in was {
            self.drop_token(key, &device, "registered-without-push", out);
        }
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
            None if is_its_name => self.drop_token(key, device, "gone", out),
            Some(reason) if is_its_name => {
                Arc::make_mut(&mut known.device).set_aside = Some(format!("{reason} at {at}").into());
                out(Command::StoreDevice(known.device.clone()));
            }
            // The message token of a device whose calls go to another token: its next REGISTER restores it.
            _ if known.device.push.tokens.remote() == Some(token) => {
                Arc::make_mut(&mut known.device).push.tokens.drop_remote();
                out(Command::StoreDevice(known.device.clone()));
            }
            _ => {}
        }
    }

    /// Forgets devices of this AOR that were not seen for `token_ttl`.
    pub fn forget_old(&mut self, key: &AorKey, at: UnixSeconds, policy: &Policy, out: &mut dyn FnMut(Command)) {
        let Some(entry) = self.entries.get(key) else { return };
        let ttl = i64::try_from(policy.token_ttl.as_secs()).unwrap_or(i64::MAX);
        let old: Vec<_> = entry
            .devices
            .iter()
            .filter(|d| at.saturating_sub(d.device.last_sign()) > ttl)
            .map(|d| d.key.clone())
            .collect();
        for device in old {
            self.drop_token(key, &device, "unseen-too-long", out);
        }
        self.drop_if_empty(key);
    }

    /// Drops a device of `key`, whatever the spelling of its AOR.
    pub(super) fn drop_token(
        &mut self,
        key: &AorKey,
        device: &DeviceKey,
        why: &'static str,
        out: &mut dyn FnMut(Command),
    ) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        let same = |d: &DeviceKey| d.provider == device.provider && d.app == device.app && d.token == device.token;
        let Some(i) = entry.devices.iter().position(|d| same(&d.key)) else {
            return;
        };
        let gone = entry.devices.remove(i);
        let its = |b: &Binding| b.device.as_ref().is_some_and(|d| same(d));
        if why == ANOTHER_USER {
            // The phone is the other user's now.
            entry.bindings.retain(|b| !its(b));
        }
        for b in entry.bindings.iter_mut().filter(|b| its(b)) {
            b.device = None;
        }
        let hash = self.token_hash(device);
        if self.owners.get(&hash) == Some(key) {
            self.owners.remove(&hash);
        }
        if why != APP_RENAMED {
            self.dropped.add(hash);
        }
        out(Command::ForgetDevice { key: gone.key, why });
    }

    /// Whether an AOR has this token, or had it dropped.
    pub(super) fn is_owned(&self, push: &PushParams) -> bool {
        let hash = self.hash_of(push);
        self.owners.contains_key(&hash) || self.dropped.has(hash)
    }

    fn hash_of(&self, push: &PushParams) -> u64 {
        self.hash(&push.provider, &push.app, push.token())
    }

    pub(super) fn token_hash(&self, device: &DeviceKey) -> u64 {
        self.hash(&device.provider, &device.app, &device.token)
    }

    fn hash(&self, provider: &Provider, app: &str, token: &PushToken) -> u64 {
        self.hasher.hash_one((provider, app, token))
    }
}
