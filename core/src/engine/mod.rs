//! The engine: decides, and has no other effects.
//!
//! Feed one [`Event`], drain every [`Command`], then wait until [`Engine::next_timer`]. No clock, no log, no lock, no
//! I/O: the same events give the same commands.
//!
//! | module | what it knows |
//! |---|---|
//! | [`event`], [`command`] | what goes in, what comes out |
//! | [`order`] | orders for a call's own connection |
//! | [`step`] | what the journal records |
//! | [`count`] | what is worth counting |
//! | [`policy`] | the operator's settings |
//! | [`directory`] | devices and bindings of all AORs, and who owns a token |
//! | [`call`] | one held call |
//! | [`party`] | one device or binding in a held call |
//! | [`outcome`] | what follows from a push that has ended |
//! | [`notification`] | pushes on request, without a call |
//! | `refresh` | pushes ahead of a registration's end |
//! | `voicemail` | what a mailbox holds; pushes for its changes |
//! | [`options`] | the options of one call's channel or dial-string |
//! | [`ids`] | maps by fswake's own ids |
//! | [`limits`] | how often a phone may be woken |
//! | [`node`] | several FreeSWITCHes: how phones of the others are reached |
//! | [`world`] | what all calls share |
//! | [`view`] | what an operator may see |
//! | [`wake_report`] | the answer to a wake on request |
//! | [`digest`] | whether two engines behave alike |

pub mod call;
pub mod command;
pub mod count;
pub mod digest;
pub mod directory;
pub mod event;
pub mod ids;
pub mod limits;
mod names;
pub mod node;
mod node_events;
pub mod notification;
pub mod options;
pub mod order;
mod ordered_hash;
pub mod outcome;
pub mod party;
mod peers;
pub mod policy;
mod refresh;
pub mod step;
pub mod view;
mod voicemail;
pub mod wake_report;
pub mod world;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use self::call::Call;
pub use self::call::DIRECTORY;
pub use self::command::{Command, Delivery, DeviceDelivery, HoldResult, Nobody, NotSent, Note, Summary};
pub use self::count::Count;
use self::directory::{AorKey, Departures};
pub use self::event::{
    Audience, DeviceChange, DirectoryQuery, Event, HeldCall, LegEnd, Listing, Mailbox, MessagesWaiting, Notification,
    Registration, Routing, Source, Takeover, UnregisterWhy, Unregistration,
};
use self::ids::IdMap;
use self::notification::Notifications;
pub use self::options::{CallOptions, EarlyMedia, Mode, OtherLegState, Ringing};
pub use self::order::{CallOrder, Cause, Connect, Next, Record, Ring};
pub use self::party::{NO_DEVICE, Origin};
use self::policy::Policy;
use self::refresh::Refreshes;
pub use self::step::{Caller, RegisterKind, Ringer, Step, StepKind, TakeoverKind};
pub use self::wake_report::{WakeReport, WakeState, WokenParty};
use self::world::World;
use crate::types::{Aor, CallId, Device, Moment, NotificationId, UnixSeconds};

/// All held calls, all devices, all bindings.
///
/// # Examples
/// One wake: a call comes for a phone that sleeps, the phone is pushed, registers, and rings.
/// ```
/// use std::time::{Duration, SystemTime};
///
/// use fswake_core::engine::policy::Policy;
/// use fswake_core::engine::{CallOptions, CallOrder, Command, Engine, Event, Routing, HeldCall, Registration, Source};
/// use fswake_core::types::{Aor, CallId, Device, Moment, NodeId, Provider, PushParams, PushToken, Target, Tokens};
///
/// let aor = Aor::new("1001", "example.org");
/// let push = PushParams {
///     provider: Provider::Apns,
///     app: "com.example.acme".into(),
///     team: None,
///     tokens: Tokens::Call(PushToken::new("00fc13adff78")),
/// };
/// // Its token is known from an earlier REGISTER.
/// let phone = Device {
///     aor: aor.clone(),
///     push: push.clone(),
///     user_agent: "Acme/1.0".into(),
///     register_call_id: "a@phone".into(),
///     first_seen: 1_800_000_000,
///     last_seen: 1_800_000_000,
///     set_aside: None,
///     changed: 1_800_000_000_000_000,
/// };
/// let mut engine = Engine::new(Policy::default(), vec![phone]);
/// let at = |seconds| Moment(Duration::from_secs(seconds));
///
/// let call = CallId(uuid::Uuid::from_u128(1));
/// engine.handle(at(100), Event::CallHeld(HeldCall {
///     call,
///     node: NodeId::FIRST,
///     aor: aor.clone(),
///     caller_number: "1002".into(),
///     caller_name: "Alice".into(),
///     routing: Routing::Dialplan,
///     at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_100),
///     max_wait: None,
///     options: CallOptions::default(),
///     query: None,
///     sip_call_id: None,
/// }));
/// let commands: Vec<Command> = std::iter::from_fn(|| engine.poll_command()).collect();
/// assert!(commands.iter().any(|command| matches!(command, Command::Push(_))));
/// // If nothing comes, `fire` has something to do then: push again.
/// assert_eq!(engine.next_timer(), Some(at(105)));
///
/// engine.handle(at(102), Event::Registered(Registration {
///     aor,
///     call_id: "b@phone".into(),
///     target: Some(Target::new("sofia/internal/sip:1001@192.0.2.7:5060")),
///     push: Some(push),
///     wants_no_push: false,
///     user_agent: "Acme/1.0".into(),
///     expires: Duration::from_secs(600),
///     at: 1_800_000_102,
///     stamp: 1_800_000_102_000_000,
///     source: Source::Event,
/// }));
/// let commands: Vec<Command> = std::iter::from_fn(|| engine.poll_command()).collect();
/// assert!(commands.iter().any(|command| matches!(command, Command::Call(id, CallOrder::Ring(_)) if *id == call)));
/// ```
#[derive(Clone, Debug)]
pub struct Engine {
    calls: IdMap<CallId, CallSlot>,
    /// Earliest first. A call has one that counts ([`CallSlot::timer`]); the others are skipped when their time
    /// comes.
    timers: BinaryHeap<Reverse<(Moment, CallId)>>,
    notifications: Notifications,
    refreshes: Refreshes,
    /// What calls and notifications share.
    world: World,
    draining: bool,
}

#[derive(Clone, Debug)]
struct CallSlot {
    call: Call,
    /// When [`Call::on_time`] is called next: never after its next timer, and before it when that has moved since.
    timer: Option<Moment>,
}

impl Engine {
    /// An engine that knows these devices and holds nothing.
    pub fn new(policy: Policy, devices: Vec<Device>) -> Self {
        Self {
            calls: IdMap::default(),
            timers: BinaryHeap::new(),
            notifications: Notifications::default(),
            refreshes: Refreshes::default(),
            world: World::new(policy, devices),
            draining: false,
        }
    }

    /// Handles one event. Drain the commands before the next.
    pub fn handle(&mut self, now: Moment, event: Event) {
        self.world.now = now;
        let World {
            policy, directory, out, ..
        } = &mut self.world;
        match event {
            Event::Registered(reg) => self.registered(reg),
            Event::Unregistered(end) => {
                let gone = directory.unregister(now, &end, policy, &mut |c| out.push_back(c));
                self.gone(&gone);
            }
            Event::Listed(listing) => {
                let (missed, gone) = directory.compare(listing, policy);
                for registration in missed {
                    self.registered(registration);
                }
                self.gone(&gone);
            }
            Event::Pinged {
                node,
                aor,
                call_id,
                target,
                reachable,
            } => {
                let of = directory.pinged(node, &aor, &call_id, target.as_ref(), policy);
                of.for_each(|binding| binding.alive = reachable.then_some(now));
            }
            Event::ResyncBegan(node, number) => directory.begin_resync(node, number),
            Event::ResyncEnded(node, number, profiles) => {
                directory.end_resync(node, number, &profiles);
                self.node_is_back(node);
            }
            Event::NodeLost(node) => self.node_is_lost(node),
            Event::CallHeld(held) => self.held(held),
            Event::UserFound { call, user } => self.user_found(call, user),
            Event::WhoRings { call, ringing } => self.with(call, |call, world| call.on_who_rings(ringing, world)),
            Event::LegDialed(leg) => self.with(leg.call, |call, world| call.on_dialed(leg.n, world)),
            Event::LegRinging(leg) => self.with(leg.call, |call, world| call.on_ringing(leg.n, world)),
            Event::LegEarlyMedia { leg, codec } => {
                self.with(leg.call, |call, world| call.on_early_media(leg.n, codec, world));
            }
            Event::LegAnswered { leg, codec } => {
                self.with(leg.call, |call, world| call.on_answered(leg.n, codec, world));
            }
            Event::LegEnded { leg, end } => self.with(leg.call, |call, world| call.on_leg_ended(leg.n, &end, world)),
            Event::Bridged(leg) => self.with(leg.call, |call, world| call.on_bridged(leg.n, world)),
            Event::EarlyBridged(leg) => self.with(leg.call, |call, world| call.on_early_bridged(leg.n, world)),
            Event::BridgeFailed { leg, end } => {
                self.with(leg.call, |call, world| {
                    call.on_bridge_failed(leg.n, end.as_ref(), world);
                });
            }
            Event::CallTaken { call, how } => self.with(call, |call, world| call.on_taken(&how, world)),
            Event::CallerGone { call, cause } => self.with(call, |call, world| call.on_caller_gone(&cause, world)),
            Event::OtherLegSeen { call, target, leg } => {
                self.with(call, |call, world| call.on_other_leg(&target, leg, world));
            }
            Event::ConnectionLost(call) => self.with(call, Call::on_connection_lost),
            Event::AskerGone(call) => self.with(call, Call::on_asker_gone),
            Event::PushEnded { push, outcome, at } => self.push_ended(push, &outcome, at),
            Event::NotificationAsked(id, asked) => self.notification_asked(id, &asked),
            Event::MessagesWaiting(id, told) => self.messages_waiting(id, &told),
            Event::PolicyChanged(policy) => self.change_policy(*policy),
            Event::DeviceChangedElsewhere(change) => directory.apply_change(change, policy),
            Event::PushedElsewhere { aor, device, caller } => self.pushed_elsewhere(&aor, device, caller.as_deref()),
            Event::ForgetAsked(device) => directory.forget(&device, policy, &mut |c| out.push_back(c)),
            Event::AgeCheckDue { aor, at } => _ = self.key_of(&aor, at),
            Event::Draining => self.draining = true,
            Event::DrainTimeUp => self.release_all(),
        }
        self.world.directory.rest(now);
    }

    /// Restores a stored device at start, before the first event; `elsewhere` tells whether another daemon made its
    /// last change. Those that this daemon changed come first. No two have the same token.
    pub fn restore(&mut self, device: &Device, elsewhere: bool) {
        let World { policy, directory, .. } = &mut self.world;
        directory.restore(device, elsewhere, policy);
    }

    /// Fires every timer that is due.
    pub fn tick(&mut self, now: Moment) {
        while self.fire(now) {}
    }

    /// Fires the first due timer, if any. Draining the commands after each keeps the first of many calls from waiting
    /// for the last. Returns whether one was due.
    pub fn fire(&mut self, now: Moment) -> bool {
        let due = self.timers.peek().filter(|Reverse((when, _))| *when <= now).copied();
        let Some(Reverse((when, id))) = due else {
            self.world.now = now;
            return self.refreshes.on_time(&mut self.world);
        };
        self.timers.pop();
        if let Some(held) = self.calls.get_mut(&id).filter(|held| held.timer == Some(when)) {
            held.timer = None;
            self.world.now = now;
            self.with(id, Call::on_time);
        }
        self.world.directory.rest(now);
        true
    }

    /// The next command, in order.
    pub fn poll_command(&mut self) -> Option<Command> {
        self.world.out.pop_front()
    }

    /// When [`Engine::fire`] may have something to do.
    pub fn next_timer(&self) -> Option<Moment> {
        let call = self.timers.peek().map(|Reverse((when, _))| *when);
        call.into_iter().chain(self.refreshes.next_timer()).min()
    }

    /// How many calls are held.
    pub fn held_calls(&self) -> usize {
        self.calls.len()
    }

    /// How many devices and bindings are known.
    pub fn known(&self) -> (usize, usize) {
        self.world.directory.size()
    }

    fn held(&mut self, held: HeldCall) {
        let id = held.call;
        if self.calls.contains_key(&id) {
            return;
        }
        if self.draining {
            if held.routing == Routing::Request {
                let report = WakeReport::of_nobody(id, HoldResult::Draining);
                self.world.out.push_back(Command::WakeEnded(Box::new(report)));
                return;
            }
            let order = CallOrder::Release {
                result: HoldResult::Draining,
                next: Next::Ring(None),
            };
            self.world.out.push_back(Command::Call(id, order));
            return;
        }
        let key = self.key_of(&held.aor, held.since());
        let call = Call::hold(held, key.clone(), &mut self.world);
        if call.is_over() {
            return;
        }
        self.world.directory.wait(&key, id);
        let mut held = CallSlot { call, timer: None };
        held.arm(id, self.world.policy.debounce, &mut self.timers);
        self.calls.insert(id, held);
    }

    /// The key under which an AOR is filed. Forgets its devices that have not registered for too long.
    fn key_of(&mut self, aor: &Aor, at: UnixSeconds) -> AorKey {
        let World {
            policy, directory, out, ..
        } = &mut self.world;
        let key = AorKey::of(aor, policy);
        directory.forget_old(&key, at, policy, &mut |c| out.push_back(c));
        key
    }

    /// The directory's answer: whose number was dialled.
    fn user_found(&mut self, id: CallId, user: Option<Arc<str>>) {
        let Some(held) = self.calls.get(&id) else { return };
        let at = held.call.held_at();
        let found = user.and_then(|user| held.call.is_for(user));
        if let Some(aor) = &found {
            self.key_of(aor, at);
        }
        self.with(id, |call, world| call.on_user_found(found, world));
    }

    fn registered(&mut self, reg: Registration) {
        let (is_heard, lasts) = (reg.source == Source::Event, reg.expires);
        let World {
            now,
            policy,
            directory,
            out,
            ..
        } = &mut self.world;
        let arrival = directory.register(*now, reg, policy, &mut |c| out.push_back(c));
        let Some(arrival) = arrival else { return };
        if let Some(device) = &arrival.device {
            if is_heard && let Some(known) = directory.device_mut(&arrival.key, device) {
                known.came = true;
            }
            self.refreshes
                .on_registered(&arrival.key, device, lasts, is_heard, &mut self.world);
        }
        for &id in &arrival.waiting {
            self.with(id, |call, world| call.on_registered(&arrival, world));
        }
    }

    fn gone(&mut self, gone: &Departures) {
        for device in &gone.devices {
            for &id in &gone.waiting {
                self.with(id, |call, world| call.on_gone(device, world));
            }
        }
    }

    fn notification_asked(&mut self, id: NotificationId, asked: &Notification) {
        let key = self.key_of(&asked.aor, asked.at);
        self.notifications.ask(id, asked, &key, &mut self.world);
    }

    fn change_policy(&mut self, policy: Policy) {
        let is_renaming = !policy.names_alike(&self.world.policy);
        self.world.policy = policy;
        let World {
            policy,
            directory,
            pushes,
            ..
        } = &mut self.world;
        let mut all: Vec<_> = self.calls.keys().copied().collect();
        all.sort_unstable();
        if is_renaming {
            for (id, held) in &self.calls {
                held.call.keys().for_each(|key| directory.wait_no_more(key, *id));
            }
            directory.refile(policy);
            pushes.refile(policy);
            self.refreshes.refile(policy);
        }
        for id in all {
            let Some(held) = self.calls.get_mut(&id) else { continue };
            if is_renaming {
                held.call.refile(policy);
                held.call.keys().for_each(|key| directory.wait(key, id));
            }
            held.arm(id, policy.debounce, &mut self.timers);
        }
    }

    fn release_all(&mut self) {
        let mut all: Vec<_> = self.calls.keys().copied().collect();
        all.sort_unstable();
        for id in all {
            self.with(id, |call, world| call.finish(HoldResult::Draining, world));
        }
    }

    /// Lets one call handle something; then removes it if it is over, or updates its timer.
    fn with(&mut self, id: CallId, step: impl FnOnce(&mut Call, &mut World)) {
        let Some(held) = self.calls.get_mut(&id) else { return };
        step(&mut held.call, &mut self.world);
        held.call.record_pushes(&mut self.world);
        if held.call.is_over() {
            self.remove(id);
        } else {
            held.arm(id, self.world.policy.debounce, &mut self.timers);
        }
    }

    fn remove(&mut self, id: CallId) {
        let Some(held) = self.calls.remove(&id) else { return };
        held.call
            .keys()
            .for_each(|key| self.world.directory.wait_no_more(key, id));
        if self.calls.is_empty() {
            self.timers.clear();
        }
    }
}

impl CallSlot {
    /// Hashes what decides ([`digest`]): of the timer only that it comes in time. Too early a timer does nothing.
    fn what_decides(&self, debounce: Duration) -> (&Call, bool) {
        let Self { call, timer } = self;
        let next = call.next_timer(debounce);
        (call, next.is_none_or(|next| timer.is_some_and(|timer| timer <= next)))
    }

    /// Makes sure that the call is checked at its next timer. A timer that moves later costs nothing: the call is
    /// checked too early once, does nothing, and its timer is set again.
    fn arm(&mut self, id: CallId, debounce: Duration, timers: &mut BinaryHeap<Reverse<(Moment, CallId)>>) {
        if let Some(next) = self.call.next_timer(debounce)
            && self.timer.is_none_or(|armed| next < armed)
        {
            timers.push(Reverse((next, id)));
            self.timer = Some(next);
        }
    }
}
