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
use crate::types::{DeviceKey, Moment, Provider, PushParams, PushToken, UnixMicros, UnixSeconds};

/// Why a device is dropped whose token registers for another user.
pub(super) const ANOTHER_USER: &str = "another-user";
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
        let known = entry.and_then(|e| e.device_of(&push));
        if let Some(known) = known.filter(|d| is_listed || d.is_newer_elsewhere(reg.stamp)) {
            // Nothing new about a known device: a list does not say when it registered.
            return Ownership {
                device: Some(known.key.clone()),
                replaced: None,
            };
        }
        let known = known.map(|d| d.device.changed);
        // A known token needs no hash if no token was dropped.
        let hash = (known.is_none() || !self.dropped.is_empty()).then(|| self.hash_of(&push));
        if is_listed && known.is_none() && hash.is_some_and(|hash| self.dropped.has(hash)) {
            return Ownership::default();
        }
        let before = known.or_else(|| self.changed(hash?, &push));
        let entry = self.entries.get(key);
        let renamed = entry.map(|e| e.renamed(&push)).unwrap_or_default();
        let replaced = entry.filter(|_| !is_listed).map(|e| e.same_phone(&push, &reg.call_id));
        // An AOR's own tokens belong to nobody else; any other may have to be taken from somebody.
        if known.is_none() && !self.take_over(now, key, &push, reg, out) {
            return Ownership::default();
        }
        if let Some(hash) = hash {
            self.dropped.clear(hash);
        }
        let replaced = replaced.unwrap_or_default();
        for (old, why) in each(&replaced, "new-token").chain(each(&renamed, APP_RENAMED)) {
            self.drop_token(key, old, (why, reg.stamp), out);
        }
        let entry = self.entries.known(key);
        // A list has no time: its entry is later than what was known here, and earlier than any REGISTER elsewhere.
        let stamp = if is_listed { 1 } else { reg.stamp };
        let changed = before.map_or(stamp, |before| stamp.max(before + 1));
        let Some(kept) = entry.keep(push, reg, changed) else {
            return Ownership::default();
        };
        let device = Some(kept.key.clone());
        out(Command::StoreDevice(kept.device.clone()));
        if let Some(surplus) = entry.surplus() {
            self.drop_token(key, &surplus, ("too-many-devices", 0), out);
        }
        let replaced = replaced.into_iter().chain(renamed).next();
        Ownership { device, replaced }
    }

    /// Makes `key` the owner of this token; false if it stays another's, at least for now.
    fn take_over(
        &mut self,
        now: Moment,
        key: &AorKey,
        push: &PushParams,
        reg: &Registration,
        out: &mut dyn FnMut(Command),
    ) -> bool {
        let is_listed = reg.source != Source::Event;
        let hash = self.hash_of(push);
        let owner = self.owners.get(&hash).and_then(|place| self.entries.key(*place));
        if let Some(owner) = owner.filter(|owner| owner != key) {
            let bound = |b: &Binding| b.expires > now && b.device.as_ref().is_some_and(|d| is(d, push));
            let entry = self.entries.get(&owner);
            if is_listed && entry.is_some_and(|e| e.bindings.iter().any(bound)) {
                return false;
            }
            let device = entry.and_then(|e| e.device_of(push));
            if device.is_some_and(|d| d.elsewhere && (is_listed || d.is_newer_elsewhere(reg.stamp))) {
                return false;
            }
            if let Source::Resync(_) = reg.source
                && let Some(target) = reg.target.as_ref().filter(|_| device.is_some() && !self.nobody_to_ask)
            {
                // After a restart the owner's own registration may come later in this list, or in another FreeSWITCH's.
                // By the time of the answer it has come.
                self.ask_in(key, &reg.aor, target.node(), vec![target.profile().into()], out);
                return false;
            }
            if let Some(device) = device.map(|d| d.key.clone()) {
                self.drop_token(&owner, &device, (ANOTHER_USER, 0), out);
            }
        }
        self.owners.insert(hash, self.entries.known_place(key));
        true
    }

    /// A REGISTER without push parameters by a phone that had them: its user disabled pushes.
    pub(super) fn forget_unpushed(&mut self, key: &AorKey, reg: &Registration, out: &mut dyn FnMut(Command)) {
        let Some(entry) = self.entries.get(key) else { return };
        let was: Vec<_> = entry
            .devices
            .iter()
            .filter(|d| d.device.register_call_id == reg.call_id && !d.is_newer_elsewhere(reg.stamp))
            .map(|d| d.key.clone())
            .collect();
        for device in was {
            self.drop_token(key, &device, ("registered-without-push", reg.stamp), out);
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
            None if is_its_name => self.drop_token(key, device, ("gone", 0), out),
            Some(reason) if is_its_name => {
                let device = known.changing();
                device.set_aside = Some(format!("{reason} at {at}").into());
                out(Command::StoreDevice(known.device.clone()));
            }
            // The message token of a device whose calls go to another token: its next REGISTER restores it.
            _ if known.device.push.tokens.remote() == Some(token) => {
                known.changing().push.tokens.drop_remote();
                out(Command::StoreDevice(known.device.clone()));
            }
            _ => {}
        }
    }

    /// Forgets devices of this AOR that were not seen for `token_ttl`.
    pub fn forget_old(&mut self, key: &AorKey, at: UnixSeconds, policy: &Policy, out: &mut dyn FnMut(Command)) {
        // It is read now, and at rest again afterwards.
        self.entries.touch(key);
        let Some(entry) = self.entries.get(key) else { return };
        let ttl = i64::try_from(policy.token_ttl.as_secs()).unwrap_or(i64::MAX);
        let old: Vec<_> = entry
            .devices
            .iter()
            .filter(|d| at.saturating_sub(d.device.last_sign()) > ttl)
            .map(|d| d.key.clone())
            .collect();
        for device in old {
            self.drop_token(key, &device, ("unseen-too-long", 0), out);
        }
        self.drop_if_empty(key);
    }

    /// Drops a device of `key`, whatever the spelling of its AOR. `why` comes with FreeSWITCH's time of the event that
    /// caused it, or 0. Without an event the drop is just after the device's last change, and before any later REGISTER
    /// elsewhere.
    pub(super) fn drop_token(
        &mut self,
        key: &AorKey,
        device: &DeviceKey,
        (why, stamp): (&'static str, UnixMicros),
        out: &mut dyn FnMut(Command),
    ) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        let same = |d: &DeviceKey| d.provider == device.provider && d.app == device.app && d.token == device.token;
        let Some(i) = entry.devices.iter().position(|d| same(&d.key)) else {
            return;
        };
        let gone = entry.devices.remove(i);
        let changed = stamp.max(gone.device.changed.saturating_add(1));
        let its = |b: &Binding| b.device.as_ref().is_some_and(|d| same(d));
        if why == ANOTHER_USER {
            // The phone is the other user's now.
            entry.bindings.retain(|b| !its(b));
        }
        for b in entry.bindings.iter_mut().filter(|b| its(b)) {
            b.device = None;
        }
        let hash = self.token_hash(device);
        if self.owners.get(&hash).copied() == self.entries.place(key) {
            self.owners.remove(&hash);
        }
        if why != APP_RENAMED {
            self.dropped.add(hash, changed);
        }
        let key = gone.key;
        out(Command::ForgetDevice { key, changed, why });
    }

    /// Whether an AOR has this token, or had it dropped.
    pub(super) fn is_owned(&self, push: &PushParams) -> bool {
        let hash = self.hash_of(push);
        self.owners.contains_key(&hash) || self.dropped.has(hash)
    }

    /// The time of a token's last change.
    fn changed(&self, hash: u64, push: &PushParams) -> Option<UnixMicros> {
        let owner = self.owners.get(&hash).and_then(|place| self.entries.at(*place));
        let known = owner.and_then(|e| e.device_of(push)).map(|d| d.device.changed);
        known.or_else(|| self.dropped.changed(hash))
    }

    pub(super) fn hash_of(&self, push: &PushParams) -> u64 {
        self.hash(&push.provider, &push.app, push.token())
    }

    pub(super) fn token_hash(&self, device: &DeviceKey) -> u64 {
        self.hash(&device.provider, &device.app, &device.token)
    }

    fn hash(&self, provider: &Provider, app: &str, token: &PushToken) -> u64 {
        self.hasher.hash_one((provider, app, token))
    }
}
