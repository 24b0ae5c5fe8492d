//! Whether two engines behave alike from now on: hashes everything that decides what an engine does.
//!
//! For checks that try every order of events (`tests/exhaustive`) and visit engines that behave alike only once. Two
//! engines that behave differently must differ here:
//! - `Hash` is derived for most of what an engine consists of, so the compiler leaves no field out, and a new field is
//!   in it from the start;
//! - where it is written by hand, every field is named too (no `..`): the compiler asks about a new one, and what is
//!   left out says why;
//! - moments are counted from now ([`FromNow`]): the engine only ever compares them with now and with each other.
//!
//! Left out are:
//! - what is only reported: numbers and durations for the journal, the summary and CDRs, which decide nothing;
//! - the numbers of legs and pushes, which are names: a leg is known by its party, a push by its purpose and device;
//! - pushes with news of a call's end: their outcome is ignored;
//! - the numbers of questions about registrations: they are answered before;
//! - where no call is to come, what only a call asks when it comes: in which order phones are known, and when they were
//!   last alive;
//! - how far away a moment is that is more than [`FAR`] away;
//! - timers that come too early, where nothing is done, or that count no more ([`Engine::fire`] skips them);
//! - the key of the hash of tokens, which differs between engines: compare an engine with clones of the same engine
//!   only.

use std::hash::{Hash, Hasher};
use std::time::Duration;

use super::world::{PendingPush, Purpose, World};
use super::{CallSlot, Engine};
use crate::types::{CallId, Moment, PushId};

impl Engine {
    /// Hashes everything that decides what this engine does from now on, except its calls ([`Engine::digest_call`]) and
    /// their pushes ([`Engine::digest_pushes`]). Drain the commands before, and answer its questions about
    /// registrations. `more_calls` tells whether calls may still come.
    pub fn digest<H: Hasher>(&self, more_calls: bool, state: &mut FromNow<'_, H>) {
        let Self {
            calls,
            // Those that count are asked for with the calls.
            timers: _,
            notifications,
            refreshes,
            world,
            draining,
        } = self;
        let World {
            // What moments are counted from.
            now: _,
            policy,
            directory,
            nodes,
            callers,
            // Those of calls are hashed apart, those of notifications below.
            pushes: _,
            // Drained.
            out: _,
        } = world;
        policy.hash(state);
        directory.digest(more_calls, state);
        let mut all: Vec<_> = calls.keys().collect();
        all.sort_unstable();
        all.hash(state);
        nodes.hash(state);
        callers.hash(state);
        notifications.hash(state);
        refreshes.hash(state);
        self.tell_pushes(|purpose| matches!(purpose, Purpose::Notification(..)), state);
        draining.hash(state);
    }

    /// Hashes everything that decides what a held call does.
    pub fn digest_call<H: Hasher>(&self, call: CallId, state: &mut FromNow<'_, H>) {
        let held = self.calls.get(&call);
        held.map(|held| held.what_decides(self.world.policy.debounce))
            .hash(state);
    }

    /// Hashes the pushes under way that are to wake a phone for this call, which may be over.
    pub fn digest_pushes<H: Hasher>(&self, call: CallId, state: &mut FromNow<'_, H>) {
        self.tell_pushes(|purpose| *purpose == Purpose::Wake(call), state);
    }

    /// The pushes under way for some purpose. A push's number is only a name: its device and purpose, whether it is the
    /// device's last one, and which calls share it identify it.
    fn tell_pushes(&self, is_told: impl Fn(&Purpose) -> bool, state: &mut impl Hasher) {
        let is_last = |id, push: &PendingPush| {
            let devices = self.world.directory.entry(&push.key).map(|entry| &entry.devices);
            let known = devices.into_iter().flatten().find(|d| d.key == push.device);
            known.and_then(|d| d.last_push).is_some_and(|last| last.push == id)
        };
        let all = self.world.pushes.under_way().filter(|(_, push)| is_told(&push.purpose));
        let mut all: Vec<_> = all
            .map(|(id, push)| (push.what_decides(), is_last(id, push), self.riders(id)))
            .collect();
        all.sort_unstable();
        all.hash(state);
    }

    /// The calls that share a push, which must learn of its end too.
    pub fn riders(&self, push: PushId) -> Vec<CallId> {
        let riders = self.calls.iter().filter(|(_, held)| held.call.rides_on(push));
        let mut riders: Vec<_> = riders.map(|(call, _)| *call).collect();
        riders.sort_unstable();
        riders
    }

    /// When a call has something to do next: [`Engine::next_timer`] without timers that come too early or count no
    /// more.
    pub fn next_due(&self) -> Option<Moment> {
        let next = |held: &CallSlot| held.call.next_timer(self.world.policy.debounce);
        self.calls.values().filter_map(next).min()
    }
}

/// Moments that are further away than this are equally far: nothing in the engine but the end of a registration takes
/// as long, and no check lasts as long as those do.
pub const FAR: Duration = Duration::from_secs(300);

/// A hasher that counts moments from now. Only [`Moment`] is hashed as an `i128`;
/// nothing else may.
pub struct FromNow<'a, H> {
    /// Now.
    pub now: Moment,
    /// Where everything goes.
    pub inner: &'a mut H,
}

impl<H: Hasher> Hasher for FromNow<'_, H> {
    fn write_i128(&mut self, moment: i128) {
        let far = Moment(FAR).count();
        self.inner.write_i128((moment - self.now.count()).clamp(-far, far));
    }

    fn write(&mut self, bytes: &[u8]) {
        self.inner.write(bytes);
    }

    fn write_u8(&mut self, n: u8) {
        self.inner.write_u8(n);
    }

    fn write_u32(&mut self, n: u32) {
        self.inner.write_u32(n);
    }

    fn write_u64(&mut self, n: u64) {
        self.inner.write_u64(n);
    }

    fn write_usize(&mut self, n: usize) {
        self.inner.write_usize(n);
    }

    fn write_isize(&mut self, n: isize) {
        self.inner.write_isize(n);
    }

    fn finish(&self) -> u64 {
        self.inner.finish()
    }
}
