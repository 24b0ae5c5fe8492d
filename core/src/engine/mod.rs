//! The engine: decides, and does nothing else.
//!
//! Feed one [`Event`], drain every [`Command`], then wait until [`Engine::next_timer`]. No clock, no log, no lock, no
//! I/O: the same events give the same commands.
//!
//! | module | what it knows |
//! |---|---|
//! | [`event`], [`command`] | what goes in, what comes out |
//! | [`order`] | what a call's own connection is told to do |
//! | [`step`] | what the journal is told |
//! | [`count`] | what is worth counting |
//! | [`policy`] | the operator's settings |
//! | [`directory`] | devices and bindings of all AORs, and who owns a token |
//! | [`call`] | one held call |
//! | [`party`] | one device or binding in a held call |
//! | [`outcome`] | what comes of a push that has ended |
//! | [`notification`] | pushes that somebody asked for and that are no call's |
//! | [`wishes`] | what one call's channel or dial-string asks for |
//! | [`ids`] | maps keyed by ids of ours |
//! | [`limits`] | how often a phone may be woken |
//! | [`world`] | what a call may touch besides itself |
//! | [`view`] | what an operator may see |
//! | [`digest`] | whether two engines act alike |

pub mod call;
pub mod command;
pub mod count;
pub mod digest;
pub mod directory;
pub mod event;
pub mod ids;
pub mod limits;
pub mod notification;
pub mod order;
pub mod outcome;
pub mod party;
pub mod policy;
pub mod step;
pub mod view;
pub mod wishes;
pub mod world;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use self::call::Call;
pub use self::call::DIRECTORY;
pub use self::command::{Command, Delivered, Delivery, HoldResult, Nobody, NotSent, Note, Summary};
pub use self::count::Count;
use self::directory::{AorKey, Directory, Gone};
pub use self::event::{
    Ask, Event, HeldCall, LegEnd, Listing, Notification, Registration, Source, Taken, UnregisterWhy, Unregistration,
    Way,
};
use self::ids::IdMap;
use self::limits::Callers;
use self::notification::Notifications;
pub use self::order::{CallOrder, Cause, Connect, Next, Record, Ring};
use self::policy::Policy;
pub use self::step::Step;
pub use self::wishes::{Mode, OtherLeg, Ringing, Wishes};
use self::world::{Pushes, World};
use crate::types::{CallId, Device, Moment, NotificationId};

/// All held calls, all devices, all bindings.
#[derive(Clone, Debug)]
pub struct Engine {
    policy: Policy,
    directory: Directory,
    calls: IdMap<CallId, Held>,
    /// Earliest first. A call has one that counts ([`Held::timer`]); what else is here is skipped when its time comes.
    timers: BinaryHeap<Reverse<(Moment, CallId)>>,
    callers: Callers,
    pushes: Pushes,
    notifications: Notifications,
    out: VecDeque<Command>,
    draining: bool,
}

#[derive(Clone, Debug)]
struct Held {
    call: Call,
    /// When [`Call::on_time`] is called next: never after its next timer, and before it when that has moved since.
    timer: Option<Moment>,
}

impl Engine {
    /// An engine that knows these devices and holds nothing.
    pub fn new(policy: Policy, devices: Vec<Device>) -> Self {
        let mut directory = Directory::default();
        for device in devices {
            directory.restore(device, &policy);
        }
        Self {
            policy,
            directory,
            calls: IdMap::default(),
            timers: BinaryHeap::new(),
            callers: Callers::default(),
            pushes: Pushes::default(),
            notifications: Notifications::default(),
            out: VecDeque::new(),
            draining: false,
        }
    }

    /// Takes in one event. Drain the commands before the next.
    pub fn handle(&mut self, now: Moment, event: Event) {
        match event {
            Event::Registered(reg) => self.registered(now, reg),
            Event::Unregistered(end) => {
                let gone = self
                    .directory
                    .unregister(now, &end, &self.policy, &mut |c| self.out.push_back(c));
                self.gone(now, &gone);
            }
            Event::Listed(listing) => {
                let (missed, gone) = self.directory.compare(listing, &self.policy);
                for registration in missed {
                    self.registered(now, registration);
                }
                self.gone(now, &gone);
            }
            Event::Pinged {
                aor,
                call_id,
                target,
                reachable,
            } => {
                let of = self.directory.pinged(&aor, &call_id, target.as_ref(), &self.policy);
                of.for_each(|binding| binding.alive = reachable.then_some(now));
            }
            Event::ReadingBegan(number) => self.directory.begin_reading(number),
            Event::ReadingEnded(number, profiles) => self.directory.end_reading(number, &profiles),
            Event::CallHeld(held) => self.held(now, held),
            Event::UserFound { call, user } => self.user_found(now, call, user),
            Event::WhoRings { call, ringing } => {
                self.with(now, call, |call, world| call.on_who_rings(ringing, world));
            }
            Event::LegDialed(leg) => self.with(now, leg.call, |call, world| call.on_dialed(leg.n, world)),
            Event::LegRinging(leg) => self.with(now, leg.call, |call, world| call.on_ringing(leg.n, world)),
            Event::LegEarlyMedia { leg, codec } => {
                self.with(now, leg.call, |call, world| call.on_early_media(leg.n, codec, world));
            }
            Event::LegAnswered { leg, codec } => {
                self.with(now, leg.call, |call, world| call.on_answered(leg.n, codec, world));
            }
            Event::LegEnded { leg, end } => {
                self.with(now, leg.call, |call, world| call.on_leg_ended(leg.n, &end, world));
            }
            Event::Bridged(leg) => self.with(now, leg.call, |call, world| call.on_bridged(leg.n, world)),
            Event::EarlyBridged(leg) => self.with(now, leg.call, |call, world| call.on_early_bridged(leg.n, world)),
            Event::BridgeFailed { leg, end } => {
                self.with(now, leg.call, |call, world| {
                    call.on_bridge_failed(leg.n, end.as_ref(), world);
                });
            }
            Event::CallTaken { call, how } => self.with(now, call, |c, world| c.on_taken(&how, world)),
            Event::CallerGone { call, cause } => self.with(now, call, |c, world| c.on_caller_gone(&cause, world)),
            Event::OtherLegSeen { call, target, leg } => {
                self.with(now, call, |c, world| c.on_other_leg(&target, leg, world));
            }
            Event::ConnectionLost(call) => self.with(now, call, Call::on_connection_lost),
            Event::PushEnded { push, outcome, at } => self.push_ended(now, push, &outcome, at),
            Event::NotificationAsked(id, asked) => self.notification_asked(now, id, &asked),
            Event::PolicyChanged(policy) => self.change_policy(*policy),
            Event::ForgetAsked(device) => {
                self.directory
                    .forget(&device, &self.policy, &mut |c| self.out.push_back(c));
            }
            Event::AgeLookedAt { aor, at } => {
                let key = AorKey::of(&aor, &self.policy);
                self.directory
                    .forget_old(&key, at, &self.policy, &mut |c| self.out.push_back(c));
            }
            Event::Draining => self.draining = true,
            Event::DrainTimeUp => self.release_all(now),
        }
    }

    /// Fires every timer that is due.
    pub fn tick(&mut self, now: Moment) {
        while self.fire(now) {}
    }

    /// Fires the first timer that is due, if one is: whoever drains the commands after each lets the first of many calls
    /// not wait for the last. Returns whether one was due.
    pub fn fire(&mut self, now: Moment) -> bool {
        let due = self.timers.peek().filter(|Reverse((when, _))| *when <= now).copied();
        let Some(Reverse((when, id))) = due else { return false };
        self.timers.pop();
        if let Some(held) = self.calls.get_mut(&id).filter(|held| held.timer == Some(when)) {
            held.timer = None;
            self.with(now, id, Call::on_time);
        }
        true
    }

    /// The next command, in order.
    pub fn poll_command(&mut self) -> Option<Command> {
        self.out.pop_front()
    }

    /// When [`Engine::fire`] may have something to do.
    pub fn next_timer(&self) -> Option<Moment> {
        self.timers.peek().map(|Reverse((when, _))| *when)
    }

    /// How many calls are held.
    pub fn held_calls(&self) -> usize {
        self.calls.len()
    }

    /// How many devices and bindings are known.
    pub fn known(&self) -> (usize, usize) {
        self.directory.size()
    }

    fn held(&mut self, now: Moment, held: HeldCall) {
        let id = held.call;
        if self.calls.contains_key(&id) {
            return;
        }
        if self.draining {
            let order = CallOrder::Release {
                result: HoldResult::Draining,
                next: Next::Ring(None),
            };
            self.out.push_back(Command::Call(id, order));
            return;
        }
        let key = AorKey::of(&held.aor, &self.policy);
        let at = held.since();
        self.directory
            .forget_old(&key, at, &self.policy, &mut |c| self.out.push_back(c));
        let mut world = World {
            now,
            policy: &self.policy,
            directory: &mut self.directory,
            callers: &mut self.callers,
            pushes: &mut self.pushes,
            out: &mut self.out,
        };
        let call = Call::hold(held, key.clone(), &mut world);
        if call.is_over() {
            return;
        }
        self.directory.wait(key, id);
        let mut held = Held { call, timer: None };
        held.arm(id, self.policy.debounce, &mut self.timers);
        self.calls.insert(id, held);
    }

    /// The directory has said who is called: what was dialled may be another name of theirs.
    fn user_found(&mut self, now: Moment, id: CallId, user: Option<Arc<str>>) {
        let Some(held) = self.calls.get(&id) else { return };
        let found = user.and_then(|user| held.call.is_for(user));
        if let Some(aor) = &found {
            let key = AorKey::of(aor, &self.policy);
            let at = held.call.held_at();
            self.directory
                .forget_old(&key, at, &self.policy, &mut |c| self.out.push_back(c));
        }
        self.with(now, id, |call, world| call.on_user_found(found, world));
    }

    fn registered(&mut self, now: Moment, reg: Registration) {
        let is_heard = reg.source == Source::Event;
        let seen = self
            .directory
            .register(now, reg, &self.policy, &mut |c| self.out.push_back(c));
        let Some(seen) = seen else { return };
        if let Some(device) = seen.device.as_ref().filter(|_| is_heard)
            && let Some(known) = self
                .directory
                .device_mut(&AorKey::of(&device.aor, &self.policy), device)
        {
            known.came = true;
        }
        for &id in &seen.waiting {
            self.with(now, id, |call, world| call.on_registered(&seen, world));
        }
    }

    fn gone(&mut self, now: Moment, gone: &Gone) {
        for device in &gone.devices {
            for &id in &gone.waiting {
                self.with(now, id, |call, world| call.on_gone(device, world));
            }
        }
    }

    fn notification_asked(&mut self, now: Moment, id: NotificationId, asked: &Notification) {
        let key = AorKey::of(&asked.aor, &self.policy);
        self.directory
            .forget_old(&key, asked.at, &self.policy, &mut |c| self.out.push_back(c));
        self.notify(now, |all, world| all.ask(id, asked, &key, world));
    }

    fn notify(&mut self, now: Moment, step: impl FnOnce(&mut Notifications, &mut World<'_>)) {
        let mut world = World {
            now,
            policy: &self.policy,
            directory: &mut self.directory,
            callers: &mut self.callers,
            pushes: &mut self.pushes,
            out: &mut self.out,
        };
        step(&mut self.notifications, &mut world);
    }

    fn change_policy(&mut self, policy: Policy) {
        let is_renaming = !policy.names_alike(&self.policy);
        self.policy = policy;
        let mut all: Vec<_> = self.calls.keys().copied().collect();
        all.sort_unstable();
        if is_renaming {
            for (id, held) in &self.calls {
                held.call.keys().for_each(|key| self.directory.wait_no_more(key, *id));
            }
            self.directory.file_anew(&self.policy);
            self.pushes.file_anew(&self.policy);
        }
        for id in all {
            let Some(held) = self.calls.get_mut(&id) else { continue };
            if is_renaming {
                held.call.file_anew(&self.policy);
                held.call.keys().for_each(|key| self.directory.wait(key.clone(), id));
            }
            held.arm(id, self.policy.debounce, &mut self.timers);
        }
    }

    fn release_all(&mut self, now: Moment) {
        let mut all: Vec<_> = self.calls.keys().copied().collect();
        all.sort_unstable();
        for id in all {
            self.with(now, id, |call, world| call.finish(HoldResult::Draining, world));
        }
    }

    /// Lets one call handle something, then removes it if it is over or sets its timer anew.
    fn with(&mut self, now: Moment, id: CallId, step: impl FnOnce(&mut Call, &mut World<'_>)) {
        let Some(held) = self.calls.get_mut(&id) else { return };
        let mut world = World {
            now,
            policy: &self.policy,
            directory: &mut self.directory,
            callers: &mut self.callers,
            pushes: &mut self.pushes,
            out: &mut self.out,
        };
        step(&mut held.call, &mut world);
        held.call.record_pushes(&mut world);
        if held.call.is_over() {
            self.remove(id);
        } else {
            held.arm(id, self.policy.debounce, &mut self.timers);
        }
    }

    fn remove(&mut self, id: CallId) {
        let Some(held) = self.calls.remove(&id) else { return };
        held.call.keys().for_each(|key| self.directory.wait_no_more(key, id));
        if self.calls.is_empty() {
            self.timers.clear();
        }
    }
}

impl Held {
    /// What decides ([`digest`]): of the timer only that it is there in time. What comes too early does nothing.
    fn what_decides(&self, debounce: Duration) -> (&Call, bool) {
        let Self { call, timer } = self;
        let next = call.next_timer(debounce);
        (call, next.is_none_or(|next| timer.is_some_and(|timer| timer <= next)))
    }

    /// Sees to it that the call is asked at its next timer. A timer that moves later costs nothing: the call is asked too
    /// early once, does nothing, and is armed anew.
    fn arm(&mut self, id: CallId, debounce: Duration, timers: &mut BinaryHeap<Reverse<(Moment, CallId)>>) {
        if let Some(next) = self.call.next_timer(debounce)
            && self.timer.is_none_or(|armed| next < armed)
        {
            timers.push(Reverse((next, id)));
            self.timer = Some(next);
        }
    }
}
