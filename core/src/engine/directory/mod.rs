//! Devices and bindings of all AORs, and the rules about who owns a token and when it is dropped (docs/ARCHITECTURE.md,
//! "Tokens").
//!
//! Races, each with its test in `tests/directory.rs`:
//! - the same token registers at two AORs: the last authenticated REGISTER wins;
//! - "gone" arrives after the phone registered again: the newer REGISTER wins;
//! - a resync overlaps with live events: live events win;
//! - an old registration of a phone ends after its new one began: only what has ended ends (`ends`);
//! - the same token registers at two nodes: the later REGISTER wins, in whatever order the changes arrive (`elsewhere`);
//! - a user's registrations are asked for, and an event comes before the answer: the event wins.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher, RandomState};
use std::sync::Arc;

mod binding;
mod bindings;
mod dropped_tokens;
mod elsewhere;
mod ends;
mod entries;
mod entry;
mod outcome;
mod packed;
mod refile;
mod texts;
mod tokens;

pub use self::binding::Binding;
use self::binding::{Age, InDoubt};
pub use self::bindings::EVENT_TO_LIST;
use self::dropped_tokens::DroppedTokens;
use self::entries::{Entries, Place};
use self::entry::AorMap;
pub use self::entry::{AorEntry, AorKey, Arrival, KnownDevice, LastPush, MissedCall};
pub use self::outcome::Departures;
use self::outcome::{ListingQuery, Ownership};
use super::command::Command;
use super::event::{Mailbox, Registration, Source};
use super::ids::IdMap;
use super::ordered_hash::ordered_hash;
use super::policy::Policy;
use crate::types::{Aor, CallId, Device, DeviceKey, Moment, NodeId, PublicId, Target};

/// All AORs.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    entries: Entries,
    /// Hash of (provider, app, token) -> its owner. A hash, not the token itself: a million of them would double the
    /// memory.
    owners: IdMap<u64, Place>,
    /// Hash of a Call-ID -> who registered with it last, of phones without a token.
    phones: IdMap<u64, AorKey>,
    /// How many phones there are when those that are gone are swept out.
    sweep_at: usize,
    hasher: RandomState,
    /// The number of the latest resync (all registrations are read).
    resync: u64,
    /// How many questions about a user's registrations have been asked.
    asked: u64,
    /// Users whose registrations were asked for, without an answer so far.
    questions: AorMap<Vec<ListingQuery>>,
    /// Dropped tokens: an older list must not bring them back.
    dropped: DroppedTokens,
    /// Whose registrations have ended since the first of the resyncs under way began, and as whom they were registered:
    /// a list may be older.
    ended: AorMap<BTreeSet<Aor>>,
    /// The FreeSWITCHes whose registrations are being read, each with how many questions had been asked when that
    /// began.
    resyncing: BTreeMap<NodeId, u64>,
    /// Nobody can be asked which registrations a user has.
    nobody_to_ask: bool,
}

impl Directory {
    /// An empty one.
    pub fn new(nobody_to_ask: bool) -> Self {
        Self {
            nobody_to_ask,
            ..Self::default()
        }
    }

    /// Hashes what decides ([`super::digest`]); `calls` tells whether calls may still come.
    pub(super) fn digest(&self, calls: bool, state: &mut impl Hasher) {
        let Self {
            entries,
            owners,
            phones,
            // When memory is given back.
            sweep_at: _,
            // Part of the keys of `owners` and `phones`.
            hasher: _,
            resync,
            // No question is open.
            asked: _,
            questions: _,
            dropped,
            ended,
            resyncing,
            // Never changes.
            nobody_to_ask: _,
        } = self;
        let mut all: Vec<_> = entries
            .iter()
            .map(|(key, entry)| (key, entry.deciding(calls)))
            .collect();
        all.sort_unstable_by_key(|(key, _)| *key);
        all.hash(state);
        let owners = owners.iter().map(|(token, place)| (*token, entries.key(*place)));
        ordered_hash(&owners.collect::<IdMap<_, _>>(), state);
        ordered_hash(phones, state);
        ordered_hash(ended, state);
        (resync, dropped).hash(state);
        for node in resyncing.keys() {
            node.hash(state);
        }
    }

    /// A resync begins: later news belongs to it.
    pub fn begin_resync(&mut self, node: NodeId, number: u64) {
        self.resync = number;
        self.resyncing.remove(&node);
        self.forget_ends();
        self.resyncing.insert(node, self.asked);
    }

    /// The resync under way of this FreeSWITCH is over, as a whole or not.
    pub fn stop_resync(&mut self, node: NodeId) {
        self.resyncing.remove(&node);
        self.forget_ends();
    }

    /// Registrations that have ended matter only to lists that are being read.
    fn forget_ends(&mut self) {
        if self.resyncing.is_empty() {
            self.ended.clear();
        }
    }

    /// Restores a stored device at start; `elsewhere` tells whether another daemon made its last change. Those that
    /// this daemon changed come first. No two have the same token.
    pub fn restore(&mut self, device: &Device, elsewhere: bool, policy: &Policy) {
        let key = AorKey::of(&device.aor, policy);
        let hash = self.hash_of(&device.push);
        self.owners.insert(hash, self.entries.restore(&key, device, elsewhere));
    }

    /// Packs what nothing happens to any more. Called after each event.
    pub fn rest(&mut self, now: Moment) {
        self.entries.rest(now);
    }

    /// What an AOR has, if anything, for somebody who looks once.
    pub fn look(&self, key: &AorKey) -> Option<AorEntry> {
        self.entries.look(key)
    }

    /// What an AOR has, if anything.
    pub fn entry(&self, key: &AorKey) -> Option<&AorEntry> {
        self.entries.get(key)
    }

    /// One device.
    pub fn device(&self, key: &AorKey, device: &DeviceKey) -> Option<&KnownDevice> {
        self.entries.get(key)?.devices.iter().find(|d| *d.key == *device)
    }

    /// One device, to record a push.
    pub fn device_mut(&mut self, key: &AorKey, device: &DeviceKey) -> Option<&mut KnownDevice> {
        self.entries
            .get_mut(key)?
            .devices
            .iter_mut()
            .find(|d| *d.key == *device)
    }

    /// One device by its name for programs.
    pub fn device_by_id(&mut self, key: &AorKey, id: PublicId) -> Option<&mut KnownDevice> {
        let devices = &mut self.entries.get_mut(key)?.devices;
        devices.iter_mut().find(|d| d.key.public_id() == id)
    }

    /// Writes down what a user's mailbox holds; what it held before, if that is known. `None`: the user has no device.
    pub fn mailbox(&mut self, key: &AorKey, now: Mailbox) -> Option<Option<Mailbox>> {
        let entry = self.entries.get_mut(key).filter(|entry| !entry.devices.is_empty())?;
        Some(entry.mailbox.replace(now))
    }

    /// How many devices there are: every one has a token, and every token one owner.
    pub fn devices(&self) -> usize {
        self.owners.len()
    }

    /// What an AOR has, unless it is at rest: then it has no bindings, and nobody waits for it.
    pub fn open(&self, key: &AorKey) -> Option<&AorEntry> {
        self.entries.open(key)
    }

    /// How many devices and bindings there are.
    pub fn size(&self) -> (usize, usize) {
        self.entries
            .iter()
            .fold((0, 0), |(d, b), (_, e)| (d + e.devices.len(), b + e.bindings.len()))
    }

    /// Proof of life from a leg: a phone that answers INVITEs is awake.
    pub fn saw_alive(&mut self, key: &AorKey, target: &Target, now: Moment) {
        for b in self.entries.get_mut(key).into_iter().flat_map(|e| &mut e.bindings) {
            if b.target == *target {
                b.alive = Some(now);
            }
        }
    }

    /// Handles a registration. `None`: it has nothing that a call could ring.
    pub fn register(
        &mut self,
        now: Moment,
        mut reg: Registration,
        policy: &Policy,
        out: &mut dyn FnMut(Command),
    ) -> Option<Arrival> {
        let key = AorKey::of(&reg.aor, policy);
        let is_listed = reg.source != Source::Event;
        let mut owned = Ownership::default();
        if let Some(entry) = self.entries.get_mut(&key).filter(|_| !is_listed) {
            entry.note_late(now, &reg, out);
        }
        let has_token = reg.push.is_some();
        if has_token {
            owned = self.own(now, &key, &mut reg, out);
        } else if reg.wants_no_push && !is_listed {
            self.forget_unpushed(&key, &reg, out);
        }
        let target = reg.target.take()?;
        let age = match reg.source {
            Source::Event => Age::of(self.resync, self.asked),
            Source::Answer(number) => Age::of(self.resync, number),
            // The list is as old as the resync.
            Source::Resync(number) => Age {
                may_be_over: self.ended.contains_key(&key),
                ..Age::of(
                    number,
                    self.resyncing.get(&target.node()).copied().unwrap_or(self.asked),
                )
            },
        };
        let entry = self.entries.known(&key);
        if is_listed && owned.device.is_none() {
            owned.device = entry.device_that_registered_as(&reg.call_id);
        }
        let is_there = |b: &Binding| b.target == target && b.call_id == reg.call_id;
        if is_listed && has_token && owned.device.is_none() && !entry.bindings.iter().any(is_there) {
            // Its phone has logged out here, or is another user's by now: a list that still has it does not bring it
            // back.
            self.drop_if_empty(&key);
            return None;
        }
        let bound = entry.bind(now, owned.device.as_ref(), &reg, &target, age);
        let waiting = entry.waiting.clone();
        match bound.in_doubt {
            InDoubt::Nothing => {}
            // Where a user may have one registration only, the others have ended without an event.
            InDoubt::Others => self.ask(&key, &reg.aor, target.node(), out),
            InDoubt::Itself => self.ask_in(&key, &reg.aor, target.node(), vec![target.profile().into()], out),
        }
        if owned.device.is_none() && !reg.call_id.is_empty() {
            let phone = self.phone(&reg.call_id);
            if bound.is_new {
                self.find_former_user(phone, &key, &reg, out);
            } else {
                // A row of a list, or a refresh: the next login here finds its user.
                self.phones.entry(phone).or_insert_with(|| key.clone());
            }
        }
        Some(Arrival {
            key,
            device: owned.device,
            replaced: owned.replaced,
            target,
            call_id: reg.call_id,
            user_agent: reg.user_agent,
            is_news: bound.is_news,
            waiting,
        })
    }

    /// Ends every binding of these profiles that neither the resync with this number nor an event since it began has
    /// named.
    pub fn end_resync(&mut self, node: NodeId, number: u64, profiles: &[Arc<str>]) {
        self.stop_resync(node);
        let is_read =
            |b: &Binding| b.target.node() == node && profiles.iter().any(|profile| **profile == *b.target.profile());
        let mut changed = Vec::new();
        for (key, entry) in self.entries.awake() {
            let before = entry.bindings.len();
            entry.bindings.retain(|b| b.generation >= number || !is_read(b));
            if entry.bindings.len() < before || entry.is_empty() {
                changed.push(key.clone());
            }
        }
        for key in &changed {
            self.entries.touch(key);
            self.drop_if_empty(key);
        }
    }

    /// A call waits for a phone of this AOR.
    pub fn wait(&mut self, key: &AorKey, call: CallId) {
        self.entries.known(key).waiting.push(call);
    }

    /// Forgets a device because an operator asks for it.
    pub fn forget(&mut self, device: &DeviceKey, policy: &Policy, out: &mut dyn FnMut(Command)) {
        let key = AorKey::of(&device.aor, policy);
        self.drop_token(&key, device, ("asked", 0), out);
        self.drop_if_empty(&key);
    }

    /// That call does not wait any more.
    pub fn wait_no_more(&mut self, key: &AorKey, call: CallId) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.waiting.retain(|other| *other != call);
        }
        self.drop_if_empty(key);
    }

    fn drop_if_empty(&mut self, key: &AorKey) {
        if self.entries.get(key).is_some_and(AorEntry::is_empty) {
            self.entries.remove(key);
        }
    }
}
