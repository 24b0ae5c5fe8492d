//! What is known of one AOR: its devices and its bindings.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::command::{Command, Note};
use crate::engine::count::Count;
use crate::engine::event::Registration;
use crate::engine::limits::Window;
use crate::engine::policy::Policy;
use crate::engine::step::Step;
use crate::types::{Aor, CallId, Device, DeviceKey, Moment, PushParams, Target};

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
    /// `User-Agent` of a phone without a token; empty for others, whose device has it.
    pub user_agent: Arc<str>,
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
    /// The last call that it was pushed for and did not come to.
    pub missed: Option<Box<Missed>>,
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
            missed: None,
            recent: Window::default(),
        }
    }
}

/// A call that a device was pushed for, and that was over, unanswered, before it registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missed {
    /// The call.
    pub call: CallId,
    /// Who was called.
    pub aor: Aor,
    /// When the device was pushed last.
    pub pushed: Moment,
    /// When the call was over.
    pub over: Moment,
}

/// A REGISTER this long after a call's end has nothing to do with its push any more.
const LATE_AT_MOST: Duration = Duration::from_secs(300);

impl Entry {
    /// Notes that a phone which was pushed for a call registers now that the call is over.
    pub(super) fn note_late(&mut self, now: Moment, reg: &Registration, out: &mut dyn FnMut(Command)) {
        let token = reg.push.as_ref().and_then(PushParams::token);
        for known in &mut self.devices {
            let is_it = known.device.register_call_id == reg.call_id || known.device.push.token() == token;
            if known.missed.is_none() || !is_it {
                continue;
            }
            let Some(missed) = known.missed.take() else { continue };
            let late = now.since(missed.over);
            if late <= LATE_AT_MOST {
                out(Command::Note(Note {
                    call: Some(missed.call),
                    aor: missed.aor,
                    step: Step::LateRegister {
                        device: known.label.clone(),
                        user_agent: reg.user_agent.clone(),
                        late,
                        since_push: now.since(missed.pushed),
                    },
                }));
                if let Some(device) = known.device.key() {
                    out(Command::Count(Count::Late { device, late }));
                }
            }
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
    /// `User-Agent` of the REGISTER.
    pub user_agent: Arc<str>,
    /// False for a registration that was read again and had been known unchanged.
    pub is_news: bool,
}
