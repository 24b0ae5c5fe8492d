//! What is known of one AOR: its devices and its bindings.

use std::sync::Arc;

use crate::engine::limits::Window;
use crate::engine::policy::Policy;
use crate::types::{Aor, Device, DeviceKey, Moment, Target};

/// An AOR as it is compared: aliases resolved, domain in lower case (or empty with `ignore-domain`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AorKey {
    pub(super) user: Arc<str>,
    pub(super) domain: Arc<str>,
}

impl AorKey {
    /// Normalises an AOR.
    pub fn of(aor: &Aor, policy: &Policy) -> Self {
        let domain = if policy.ignore_domain {
            Arc::default()
        } else {
            let lower = lower(&aor.domain);
            let alias = policy.domain_aliases.iter().find(|(alias, _)| **alias == *lower);
            alias.map_or(lower, |(_, real)| real.to_ascii_lowercase().into())
        };
        Self {
            user: aor.user.clone(),
            domain,
        }
    }
}

impl AorKey {
    /// The domain as it is compared; empty with `ignore-domain`.
    pub fn domain(&self) -> &str {
        &self.domain
    }
}

/// The same text where it is in lower case already, as nearly always.
fn lower(text: &Arc<str>) -> Arc<str> {
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        text.to_ascii_lowercase().into()
    } else {
        text.clone()
    }
}

/// A live contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Dial-string to it.
    pub target: Target,
    /// `Call-ID` of its REGISTERs.
    pub call_id: Arc<str>,
    /// The device it belongs to; `None` for phones without a token.
    pub device: Option<DeviceKey>,
    /// When it runs out.
    pub expires: Moment,
    /// Last proof of life, if any since we know it and since a ping failed.
    pub alive: Option<Moment>,
    pub(super) generation: u64,
}

/// A device with what only the running daemon knows of it.
#[derive(Clone, Debug)]
pub struct KnownDevice {
    /// As stored.
    pub device: Device,
    /// Its name in logs and CDRs ([`DeviceKey::label`]), worked out once.
    pub label: Arc<str>,
    /// Whether its last REGISTER was heard when `last_seen` says; a reading of all registrations does not tell when that was.
    pub heard: bool,
    /// Its last call push.
    pub last_push: Option<Moment>,
    /// Call pushes in the current minute, for the rate limit.
    pub recent: Window,
}

impl KnownDevice {
    pub(super) fn new(device: Device, key: &DeviceKey) -> Self {
        Self {
            device,
            label: key.label().into(),
            heard: true,
            last_push: None,
            recent: Window::default(),
        }
    }
}

/// What one AOR has.
#[derive(Debug, Default)]
pub struct Entry {
    /// Devices, oldest first.
    pub devices: Vec<KnownDevice>,
    /// Bindings, oldest first.
    pub bindings: Vec<Binding>,
}

/// What a registration changed, as far as a waiting call cares.
#[derive(Debug, PartialEq, Eq)]
pub struct Seen {
    /// Whose.
    pub key: AorKey,
    /// Which device, if it has a token.
    pub device: Option<DeviceKey>,
    /// The device that this one replaces (a new token of the same app).
    pub replaced: Option<DeviceKey>,
    /// Where it is now.
    pub target: Target,
    /// `Call-ID` of the REGISTER, the identity of phones without a token.
    pub call_id: Arc<str>,
    /// False for a registration that was read again and had been known unchanged.
    pub is_news: bool,
}
