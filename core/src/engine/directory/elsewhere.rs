//! What other daemons have put into the store that all share.
//!
//! Each daemon decides what a REGISTER changes when it hears it ([`super::tokens`]); the others take the outcome, token by
//! token. There is one rule: the later change of a token counts. So all come to know the same, in whatever order they
//! hear.

use std::sync::Arc;

use super::entry::KnownDevice;
use super::{AorKey, Directory};
use crate::engine::event::DeviceChange;
use crate::engine::policy::Policy;
use crate::types::{Device, DeviceKey, UnixMicros};

impl DeviceChange {
    /// Which device it is about.
    pub fn key(&self) -> DeviceKey {
        match self {
            Self::Kept(device) => device.key(),
            Self::Dropped { key, .. } => key.clone(),
        }
    }

    /// When it was so.
    pub fn changed(&self) -> UnixMicros {
        match self {
            Self::Kept(device) => device.changed,
            Self::Dropped { changed, .. } => *changed,
        }
    }

    /// What is compared: the later change counts. Of two at the same time a device counts more than none, and then the
    /// order of names; so it does not matter which comes first.
    fn rank(&self) -> (UnixMicros, bool, &str, &str) {
        match self {
            Self::Kept(device) => (device.changed, true, &device.aor.user, &device.aor.domain),
            Self::Dropped { changed, .. } => (*changed, false, "", ""),
        }
    }

    /// Whether it counts more than what was known.
    pub fn is_later_than(&self, known: &Self) -> bool {
        self.rank() > known.rank()
    }
}

impl Directory {
    /// Takes in what another daemon says. Nothing has to be stored of it: it comes from the store.
    pub fn apply_change(&mut self, news: DeviceChange, policy: &Policy) {
        let token = news.key();
        if self
            .known_change(&token)
            .is_some_and(|known| !news.is_later_than(&known))
        {
            return;
        }
        let hash = self.token_hash(&token);
        let owner = self.owners.get(&hash).cloned();
        match news {
            DeviceChange::Kept(device) => {
                let key = AorKey::of(&device.aor, policy);
                if let Some(owner) = owner.filter(|owner| *owner != key) {
                    // Its phone is the other user's now.
                    self.drop_token(&owner, &token, (super::tokens::ANOTHER_USER, 0), &mut |_| {});
                    self.drop_if_empty(&owner);
                }
                self.dropped.clear(hash);
                self.owners.insert(hash, key.clone());
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

    /// What is known of a token, whoever has it.
    fn known_change(&self, token: &DeviceKey) -> Option<DeviceChange> {
        let hash = self.token_hash(token);
        let owner = self.owners.get(&hash).and_then(|owner| self.entries.get(owner));
        let known = owner.and_then(|entry| entry.devices.iter().find(|d| is_same(&d.key, token)));
        match known {
            Some(known) => Some(DeviceChange::Kept(known.device.clone())),
            None => self.dropped.changed(hash).map(|changed| DeviceChange::Dropped {
                key: token.clone(),
                changed,
            }),
        }
    }

    /// Writes it down; what only this daemon knows of it (pushes under way, limits) stays.
    fn put(&mut self, key: &AorKey, device_key: DeviceKey, device: Arc<Device>) {
        let devices = &mut self.entries.entry(key.clone()).or_default().devices;
        if let Some(known) = devices.iter_mut().find(|d| is_same(&d.key, &device_key)) {
            if *known.key != device_key {
                known.key = Arc::new(device_key);
            }
            known.device = device;
            (known.heard, known.elsewhere) = (true, true);
        } else {
            devices.push(KnownDevice {
                elsewhere: true,
                ..KnownDevice::new(device, Arc::new(device_key))
            });
        }
    }
}

/// Whether it is the same token of the same app, whoever has it.
fn is_same(a: &DeviceKey, b: &DeviceKey) -> bool {
    a.provider == b.provider && a.app == b.app && a.token == b.token
}
