//! Changes of devices by other daemons, which come from the store that all share.
//!
//! The daemon that receives a REGISTER decides what changes ([`super::tokens`]). The others apply the outcome, token by
//! token. There is one rule: the later change of a token counts. So all daemons end with the same devices, in whatever
//! order the changes arrive.

use std::sync::Arc;

use super::entry::KnownDevice;
use super::{AorKey, Directory};
use crate::engine::event::DeviceChange;
use crate::engine::policy::Policy;
use crate::types::{Device, DeviceKey, UnixMicros};

impl DeviceChange {
    /// The device that has changed.
    pub fn key(&self) -> DeviceKey {
        match self {
            Self::Kept(device) => device.key(),
            Self::Dropped { key, .. } => key.clone(),
        }
    }

    /// The time of the change.
    pub fn changed(&self) -> UnixMicros {
        match self {
            Self::Kept(device) => device.changed,
            Self::Dropped { changed, .. } => *changed,
        }
    }

    /// Orders changes of one token. The later one counts. Of two at the same time, a device counts more than a drop,
    /// and then the names decide, so that the order of arrival does not matter.
    fn rank(&self) -> (UnixMicros, bool, &str, &str) {
        match self {
            Self::Kept(device) => (device.changed, true, &device.aor.user, &device.aor.domain),
            Self::Dropped { changed, .. } => (*changed, false, "", ""),
        }
    }

    /// Whether it replaces the known change.
    pub fn is_later_than(&self, known: &Self) -> bool {
        self.rank() > known.rank()
    }
}

impl Directory {
    /// Applies another daemon's change. It is not stored again, because it comes from the store.
    pub fn apply_change(&mut self, change: DeviceChange, policy: &Policy) {
        let token = change.key();
        let hash = self.token_hash(&token);
        let known = self.known_change(hash, &token);
        if known.is_some_and(|known| !change.is_later_than(&known)) {
            return;
        }
        let owner = self.owners.get(&hash).and_then(|place| self.entries.key(*place));
        match change {
            DeviceChange::Kept(device) => {
                let key = AorKey::of(&device.aor, policy);
                if let Some(owner) = owner.filter(|owner| *owner != key) {
                    // Its phone is the other user's now.
                    self.drop_token(&owner, &token, (super::tokens::ANOTHER_USER, 0), &mut |_| {});
                    self.drop_if_empty(&owner);
                }
                self.dropped.clear(hash);
                self.owners.insert(hash, self.entries.known_place(&key));
                self.put(&key, token, device);
            }
            DeviceChange::Dropped { changed, .. } => {
                if let Some(owner) = owner {
                    self.drop_token(&owner, &token, ("elsewhere", changed), &mut |_| {});
                    self.drop_if_empty(&owner);
                }
                self.dropped.add(hash, changed);
            }
        }
    }

    /// The last known change of a token, whoever owns it.
    fn known_change(&mut self, hash: u64, token: &DeviceKey) -> Option<DeviceChange> {
        // Unpacked for a change: most changes are applied.
        let owner = self.owners.get(&hash).and_then(|place| self.entries.at_mut(*place));
        let known = owner.and_then(|entry| entry.devices.iter().find(|d| is_same(&d.key, token)));
        match known {
            Some(known) => Some(DeviceChange::Kept(known.device.clone())),
            None => self.dropped.changed(hash).map(|changed| DeviceChange::Dropped {
                key: token.clone(),
                changed,
            }),
        }
    }

    /// Files the device. Its pushes under way and its limits, which only this daemon knows, stay.
    fn put(&mut self, key: &AorKey, device_key: DeviceKey, device: Arc<Device>) {
        let entry = self.entries.known(key);
        if let Some(known) = entry.devices.iter_mut().find(|d| is_same(&d.key, &device_key)) {
            if *known.key != device_key {
                known.key = Arc::new(device_key);
            }
            known.device = device;
            (known.heard, known.elsewhere) = (true, true);
        } else {
            entry.add(KnownDevice {
                elsewhere: true,
                ..KnownDevice::new(device, Arc::new(device_key))
            });
        }
    }
}

/// Whether both have the same token of the same app, whoever owns it.
fn is_same(a: &DeviceKey, b: &DeviceKey) -> bool {
    a.provider == b.provider && a.app == b.app && a.token == b.token
}
