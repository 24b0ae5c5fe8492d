//! What is known of one AOR: its devices and its bindings.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use super::Binding;
use crate::engine::command::{Command, Note};
use crate::engine::count::Count;
use crate::engine::event::{Mailbox, Registration, Source};
use crate::engine::ids::IdMap;
use crate::engine::limits::Window;
use crate::engine::policy::Policy;
use crate::engine::step::Step;
use crate::types::{Aor, CallId, Device, DeviceKey, Moment, PushId, PushParams, Target, Tokens, UnixMicros};

/// More devices or bindings of one AOR than this are not kept: the oldest go.
pub(super) const MOST_PER_AOR: usize = 20;

/// An AOR as it is compared: aliases resolved, domain in lower case (or empty with `ignore-domain`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AorKey {
    pub(super) user: Arc<str>,
    pub(super) domain: Arc<str>,
    /// Of both, worked out once: an event looks for its AOR several times.
    hash: u64,
}

/// Keyed, because phones choose the names. Maps by this hash need no other ([`AorMap`]).
static AOR_HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// A map by AOR.
pub(super) type AorMap<V> = IdMap<AorKey, V>;

impl Hash for AorKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl AorKey {
    /// Normalises an AOR.
    pub fn of(aor: &Aor, policy: &Policy) -> Self {
        Self::new(aor.user.clone(), policy.domain_of(&aor.domain))
    }

    pub(super) fn new(user: Arc<str>, domain: Arc<str>) -> Self {
        Self {
            hash: AOR_HASHER.hash_one((&user, &domain)),
            user,
            domain,
        }
    }

    /// A key with this hash.
    #[cfg(test)]
    pub(super) fn with_hash(user: &str, hash: u64) -> Self {
        let (user, domain) = (user.into(), "d".into());
        Self { user, domain, hash }
    }

    /// Its hash. Another AOR may have the same.
    pub(super) fn number(&self) -> u64 {
        self.hash
    }

    /// An AOR that has this key.
    pub fn aor(&self) -> Aor {
        Aor {
            user: self.user.clone(),
            domain: self.domain.clone(),
        }
    }

    /// Whether it is this user's.
    pub fn is_of(&self, user: &str) -> bool {
        *self.user == *user
    }

    /// The domain as it is compared; empty with `ignore-domain`.
    pub fn domain(&self) -> &str {
        &self.domain
    }
}

/// A call push that has been sent.
#[derive(Clone, Copy, Debug)]
pub struct LastPush {
    /// Which.
    pub push: PushId,
    /// When.
    pub at: Moment,
}

/// A device with what only the running daemon knows of it.
#[derive(Clone, Debug)]
pub struct KnownDevice {
    /// Its identity, shared with its bindings and with the calls that ring it.
    pub key: Arc<DeviceKey>,
    /// As stored; shared with the store's queue.
    pub device: Arc<Device>,
    /// Its name in logs and CDRs ([`DeviceKey::label`]), worked out once.
    pub label: Arc<str>,
    /// Whether `last_seen` is the time of its last REGISTER; a resync does not have that time.
    pub heard: bool,
    /// Whether its last change came from another daemon. Then times decide which REGISTER is later. REGISTERs at this
    /// daemon arrive in order, whatever FreeSWITCH's clock does.
    pub elsewhere: bool,
    /// Its last call push, while the wake is under way: until it rings, answers or declines.
    pub last_push: Option<LastPush>,
    /// It has registered since.
    pub came: bool,
    /// The last call that it was pushed for and missed.
    pub missed: Option<Box<MissedCall>>,
    /// Call pushes in the current minute, for the rate limit.
    pub recent: Window,
}

/// Hashes what decides ([`crate::engine::digest`]).
impl Hash for KnownDevice {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self {
            key,
            device,
            heard,
            elsewhere,
            last_push,
            came,
            recent,
            // For the journal and what is counted.
            missed: _,
            label: _,
        } = self;
        // Its number is a name; which push under way is the last one is hashed with those.
        let last_push = last_push.map(|last| last.at);
        (key, device, heard, elsewhere, last_push, came, recent).hash(state);
    }
}

impl KnownDevice {
    pub(super) fn new(device: Arc<Device>, key: Arc<DeviceKey>) -> Self {
        Self {
            device,
            label: key.label().into(),
            key,
            heard: true,
            elsewhere: false,
            last_push: None,
            came: false,
            missed: None,
            recent: Window::default(),
        }
    }

    /// Whether no push to it matters any more.
    fn is_at_rest(&self, now: Moment) -> bool {
        let is_too_late = |missed: &MissedCall| now.since(missed.over) > LATE_AT_MOST;
        self.last_push.is_none() && self.recent.is_over(now) && self.missed.as_deref().is_none_or(is_too_late)
    }

    /// Whether another daemon received a REGISTER of it later than this time.
    pub(super) fn is_newer_elsewhere(&self, stamp: UnixMicros) -> bool {
        self.elsewhere && self.device.changed >= stamp
    }

    /// The device, to be changed as a consequence of what is known of it. The time of the change is just after the last
    /// one, and before any later REGISTER.
    pub(super) fn changing(&mut self) -> &mut Device {
        let device = Arc::make_mut(&mut self.device);
        device.changed = device.changed.saturating_add(1);
        device
    }

    /// Whether it is the one with this provider, app and token.
    fn is_that_of(&self, push: &PushParams) -> bool {
        is(&self.key, push)
    }
}

/// Whether a device has this provider, app and token, whatever its AOR.
pub(super) fn is(key: &DeviceKey, push: &PushParams) -> bool {
    key.provider == push.provider && key.app == push.app && key.token == *push.token()
}

/// A call that a device was pushed for, and that was over, unanswered, before it registered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MissedCall {
    /// The call.
    pub call: CallId,
    /// Who was called.
    pub aor: Aor,
    /// When the device was pushed last.
    pub pushed: Moment,
    /// When the call was over.
    pub over: Moment,
}

/// A REGISTER this long after a call's end is unrelated to its push.
const LATE_AT_MOST: Duration = Duration::from_secs(300);

/// What one AOR has.
#[derive(Clone, Debug, Default)]
pub struct AorEntry {
    /// Devices, oldest first.
    pub devices: Vec<KnownDevice>,
    /// Bindings, oldest first.
    pub bindings: Vec<Binding>,
    /// The calls that wait for one of them.
    pub waiting: Vec<CallId>,
    /// What the mailbox held when FreeSWITCH said so last.
    pub mailbox: Option<Mailbox>,
}

/// Hashes what decides in an entry ([`crate::engine::digest`]).
pub(super) struct EntryDigest<'a> {
    entry: &'a AorEntry,
    calls: bool,
}

impl Hash for EntryDigest<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let AorEntry {
            devices,
            bindings,
            waiting,
            mailbox,
        } = self.entry;
        waiting.hash(state);
        mailbox.hash(state);
        let (mut devices, mut bindings): (Vec<_>, Vec<_>) = (devices.iter().collect(), bindings.iter().collect());
        // A call finds its phones in this order, and the oldest goes if there are too many.
        if !self.calls && devices.len().max(bindings.len()) < MOST_PER_AOR {
            devices.sort_unstable_by_key(|device| &device.key);
            bindings.sort_unstable_by_key(|b| (b.target.as_str(), &b.call_id));
        }
        devices.hash(state);
        state.write_usize(bindings.len());
        for binding in bindings {
            let Binding {
                target,
                call_id,
                domain,
                user_agent,
                device,
                expires,
                alive,
                generation,
                heard,
                // No question is open.
                asked: _,
                in_doubt,
            } = binding;
            (target, call_id, domain, user_agent, device, in_doubt).hash(state);
            (expires, generation, heard, alive.is_some()).hash(state);
            // Whether it is awake matters when a call comes.
            alive.filter(|_| self.calls).hash(state);
        }
    }
}

impl AorEntry {
    /// Hashes what decides; `calls` tells whether calls may still come.
    pub(super) fn deciding(&self, calls: bool) -> EntryDigest<'_> {
        EntryDigest { entry: self, calls }
    }

    /// Whether it is empty.
    pub(super) fn is_empty(&self) -> bool {
        self.devices.is_empty() && self.bindings.is_empty() && self.waiting.is_empty()
    }

    /// Whether it has nothing but devices, of which nothing is to be remembered that the store does not have, and a
    /// mailbox.
    pub(super) fn is_at_rest(&self, now: Moment) -> bool {
        let is_nowhere = self.bindings.is_empty() && self.waiting.is_empty();
        is_nowhere && !self.devices.is_empty() && self.devices.iter().all(|d| d.is_at_rest(now))
    }

    /// Adds a device. Most AORs have one.
    pub(super) fn add(&mut self, known: KnownDevice) {
        self.devices.reserve_exact(1);
        self.devices.push(known);
    }

    /// Records that a phone which was pushed for a call registers after the call has ended.
    pub(super) fn note_late(&mut self, now: Moment, reg: &Registration, out: &mut dyn FnMut(Command)) {
        let token = reg.push.as_ref().map(PushParams::token);
        for known in &mut self.devices {
            let is_it = known.device.register_call_id == reg.call_id || Some(known.device.push.token()) == token;
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
                let device = known.key.clone();
                out(Command::Count(Count::Late { device, late }));
            }
        }
    }

    /// The device with these parameters.
    pub(super) fn device_of(&self, push: &PushParams) -> Option<&KnownDevice> {
        self.devices.iter().find(|d| d.is_that_of(push))
    }

    /// The device whose REGISTERs have this Call-ID: a resync does not tell the User-Agent, and so not every token.
    /// Without it a phone would be two, one to be pushed and one to be rung.
    pub(super) fn device_that_registered_as(&self, call_id: &Arc<str>) -> Option<Arc<DeviceKey>> {
        let is_it = |d: &&KnownDevice| !call_id.is_empty() && d.device.register_call_id == *call_id;
        self.devices.iter().find(is_it).map(|d| d.key.clone())
    }

    /// Devices of the same phone and app with another token: they registered with the same Call-ID, or only the message
    /// token was known so far, from an import or from before there was a call token.
    pub(super) fn same_phone(&self, push: &PushParams, call_id: &Arc<str>) -> Vec<Arc<DeviceKey>> {
        let message = push.tokens.remote();
        let by_message = |d: &Device| matches!(&d.push.tokens, Tokens::Remote(only) if Some(only) == message);
        let same = |d: &&KnownDevice| {
            let of_this_phone = d.device.register_call_id == *call_id || by_message(&d.device);
            d.key.provider == push.provider && d.key.app == push.app && of_this_phone && !d.is_that_of(push)
        };
        self.devices.iter().filter(same).map(|d| d.key.clone()).collect()
    }

    /// Devices with this token under another name of the app. A token of Apple's belongs to one app on one phone: the
    /// app's name was read differently then, because other app ids were configured.
    pub(super) fn renamed(&self, push: &PushParams) -> Vec<Arc<DeviceKey>> {
        let same = |d: &&KnownDevice| {
            push.provider.has_topics()
                && d.key.provider == push.provider
                && d.key.token == *push.token()
                && d.key.app != push.app
        };
        self.devices.iter().filter(same).map(|d| d.key.clone()).collect()
    }

    /// Records a REGISTER of a device at this time; a new one is added.
    pub(super) fn keep(&mut self, push: PushParams, reg: &Registration, changed: UnixMicros) -> Option<&KnownDevice> {
        let known = self.devices.iter().position(|d| d.is_that_of(&push));
        let device = Arc::new(Device {
            aor: reg.aor.clone(),
            push,
            user_agent: reg.user_agent.clone(),
            register_call_id: reg.call_id.clone(),
            first_seen: known.map_or(reg.at, |i| self.devices[i].device.first_seen),
            last_seen: reg.at,
            set_aside: None,
            changed,
        });
        let heard = reg.source == Source::Event;
        if let Some(i) = known {
            let known = &mut self.devices[i];
            if known.key.aor != device.aor {
                known.key = Arc::new(device.key());
            }
            known.device = device;
            (known.heard, known.elsewhere) = (heard, false);
            Some(known)
        } else {
            let key = Arc::new(device.key());
            self.add(KnownDevice {
                heard,
                ..KnownDevice::new(device, key)
            });
            self.devices.last()
        }
    }

    /// The device to remove if there are too many.
    pub(super) fn surplus(&self) -> Option<Arc<DeviceKey>> {
        if self.devices.len() <= MOST_PER_AOR {
            return None;
        }
        let oldest = self.devices.iter().min_by_key(|d| d.device.last_seen);
        oldest.map(|d| d.key.clone())
    }
}

/// What a registration changed, for waiting calls.
#[derive(Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Whose registration it is.
    pub key: AorKey,
    /// Which device, if it has a token.
    pub device: Option<Arc<DeviceKey>>,
    /// The device that this one replaces (a new token of the same app).
    pub replaced: Option<Arc<DeviceKey>>,
    /// Where it is now.
    pub target: Target,
    /// `Call-ID` of the REGISTER, the identity of phones without a token.
    pub call_id: Arc<str>,
    /// `User-Agent` of the REGISTER.
    pub user_agent: Arc<str>,
    /// False for a registration that was read again and had been known unchanged.
    pub is_news: bool,
    /// The calls that wait for this AOR.
    pub waiting: Vec<CallId>,
}
