//! A caller in the dialplan, held by the `socket` application.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::sync::watch;

use super::bus::{Listener, lock};
use super::channel::{Channel, Role};
use super::conn::Conn;
use super::core::{Core, SlowPickUp, new_uuid};

/// A call that is going to be held.
#[derive(Debug, Clone)]
pub struct Call {
    /// The argument of `socket` without `async full`: one `host:port`, or several separated by `|`.
    pub socket: String,
    /// The channel's UUID; generated if empty.
    pub uuid: String,
    /// Caller's number; empty if there is no caller.
    pub caller_number: String,
    /// Caller's name.
    pub caller_name: String,
    /// Destination number on the caller's own channel (a loopback's is `user@domain`).
    pub destination: String,
    /// Called user.
    pub user: String,
    /// Called domain.
    pub domain: String,
    /// Whether it comes through a `loopback/user@domain/context` dial-string.
    pub loopback: bool,
    /// Codecs the caller offers, in order.
    pub codecs: Vec<String>,
    /// Variables set before `socket`, in order, including `dialed_user`, `dialed_domain` and `socket_resume`.
    pub variables: Vec<(String, String)>,
    /// SIP Call-ID of the caller's INVITE; generated if empty.
    pub sip_call_id: String,
    /// Whether the client's commands are recorded.
    pub record: bool,
    /// Variables of the caller's own channel behind a loopback, in order.
    pub behind: Vec<(String, String)>,
    /// What the caller hides: `name`, `number`.
    pub hides: Vec<String>,
    /// UUIDs of that channel and of the loopback's other end; generated if empty.
    pub behind_uuids: (String, String),
    /// This number picks the call up before the client has subscribed.
    pub picked_up_unheard: Option<String>,
    /// `socket` without `async`: the channel's own thread serves the connection, and nothing else meanwhile.
    pub is_static: bool,
}

impl Call {
    /// A call to `user@domain` from 1000, "Alice", to the client at `socket`, with the shipped dialplan's variables
    /// except `call_timeout`. `$FSWAKE_SOCKET` decides on `async`: `static` means without.
    pub fn to(socket: SocketAddr, user: &str, domain: &str) -> Self {
        let call = Self::with_async(socket, user, domain);
        match std::env::var("FSWAKE_SOCKET").as_deref() {
            Ok("static") => call.without_async(),
            _ => call,
        }
    }

    /// The same, always with `async`.
    pub fn with_async(socket: SocketAddr, user: &str, domain: &str) -> Self {
        let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        Self {
            socket: socket.to_string(),
            uuid: String::new(),
            caller_number: "1000".to_owned(),
            caller_name: "Alice".to_owned(),
            destination: user.to_owned(),
            user: user.to_owned(),
            domain: domain.to_owned(),
            loopback: false,
            codecs: vec!["PCMU".to_owned(), "PCMA".to_owned()],
            variables: vec![
                set("dialed_user", user),
                set("dialed_domain", domain),
                set("hangup_after_bridge", "true"),
                set("fswake_bridge", &format!("user/{user}@{domain}")),
                set("socket_resume", "true"),
            ],
            sip_call_id: String::new(),
            record: true,
            // As in the vanilla dialplan and the shipped dial-string.
            behind: vec![
                set("hangup_after_bridge", "true"),
                set("loopback_no_pre_answer", "true"),
            ],
            hides: Vec::new(),
            behind_uuids: Default::default(),
            picked_up_unheard: None,
            is_static: false,
        }
    }

    /// Uses `socket` without `async`, as in its snippet.
    #[must_use]
    pub fn without_async(mut self) -> Self {
        self.is_static = true;
        self.variable("socket_resume", "false")
    }

    /// Uses a loopback dial-string. Without a caller's number, an `originate` has dialled it.
    #[must_use]
    pub fn through_loopback(mut self) -> Self {
        self.loopback = true;
        for (_, value) in self.variables.iter_mut().filter(|(name, _)| name == "fswake_bridge") {
            "plain".clone_into(value);
        }
        self
    }

    /// This number picks the call up as soon as the client has the channel data, before it can subscribe.
    #[must_use]
    pub fn picked_up_unheard(mut self, number: &str) -> Self {
        self.picked_up_unheard = Some(number.to_owned());
        self
    }

    /// Sets a variable of the caller's own channel behind a loopback; an empty value removes it.
    #[must_use]
    pub fn behind(mut self, name: &str, value: &str) -> Self {
        self.behind.retain(|(known, _)| known != name);
        if !value.is_empty() {
            self.behind.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// Sets the caller.
    #[must_use]
    pub fn from(mut self, number: &str, name: &str) -> Self {
        (self.caller_number, self.caller_name) = (number.to_owned(), name.to_owned());
        self
    }

    /// Sets a channel variable before `socket`; an empty value removes it.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.retain(|(known, _)| known != name);
        if !value.is_empty() {
            self.variables.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// The caller hides this: `name` or `number`.
    #[must_use]
    pub fn hides(mut self, what: &str) -> Self {
        self.hides.push(what.to_owned());
        self
    }

    /// Sets the codecs in the caller's offer.
    #[must_use]
    pub fn codecs(mut self, codecs: &[&str]) -> Self {
        self.codecs = codecs.iter().map(|codec| (*codec).to_owned()).collect();
        self
    }
}

/// What happened to a held channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was bridged to a leg.
    Connected {
        /// The leg's UUID.
        leg: String,
        /// Network address of the phone.
        phone: String,
        /// Codec the caller was answered with.
        held_codec: String,
        /// Codec the phone answered with.
        leg_codec: String,
        /// Whether the caller's side is the A leg, as with `bridge`.
        caller_is_a_leg: bool,
    },
    /// It was bridged to a leg whose phone has not answered, so the caller hears early media.
    Early {
        /// The leg's UUID.
        leg: String,
    },
    /// Another phone picked it up.
    PickedUp {
        /// The number of that phone.
        by: String,
    },
    /// It was transferred in the dialplan.
    Transferred {
        /// The new destination number.
        to: String,
    },
    /// The dialplan's `bridge` failed, and the next action runs (`continue_on_fail`).
    WentOn {
        /// The cause of the failure.
        cause: String,
        /// The channel's variables then.
        variables: Vec<(String, String)>,
    },
    /// The dialplan went on after `socket`.
    Resumed {
        /// The channel's variables then.
        variables: Vec<(String, String)>,
    },
    /// It ended with this cause.
    HungUp(String),
    /// The connection is gone and nothing moves the channel on: the caller waits until it hangs up.
    StuckParked,
}

/// What the caller's phone received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallerSaw {
    /// 183 (before the 180, through a loopback).
    SessionProgress,
    /// 180.
    Ringing,
    /// Audio from an application: its name and argument.
    Played(String, String),
    /// 200 with this codec.
    Answered {
        /// The codec of the answer.
        codec: String,
    },
    /// A failure response.
    Final(u16),
    /// BYE.
    Bye,
}

#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) timeline: Vec<(Instant, CallerSaw)>,
    pub(crate) commands: Vec<(Instant, String)>,
}

/// What remains after the channel's end.
#[derive(Debug)]
pub(crate) struct HeldShared {
    /// The channel's thread serves its connection, and nothing else meanwhile.
    pub(crate) is_busy: watch::Sender<bool>,
    pub(crate) outcomes: watch::Sender<Vec<(Instant, Outcome)>>,
    pub(crate) log: Mutex<Log>,
}

impl HeldShared {
    pub(crate) fn saw(&self, what: CallerSaw) {
        lock(&self.log).timeline.push((Instant::now(), what));
    }

    pub(crate) fn ended(&self, outcome: Outcome) {
        self.outcomes.send_modify(|all| all.push((Instant::now(), outcome)));
    }
}

/// An application waiting for the channel's thread.
#[derive(Debug, Clone)]
pub(crate) struct App {
    pub(crate) name: String,
    pub(crate) arg: String,
}

/// A held channel's own state.
#[derive(Debug)]
pub(crate) struct HeldState {
    pub(crate) shared: Arc<HeldShared>,
    pub(crate) listener: Option<Arc<Listener>>,
    pub(crate) picked_up_unheard: Option<String>,
    pub(crate) is_static: bool,
}

/// A handle to a held call.
#[derive(Clone)]
pub struct Held {
    core: Arc<Core>,
    /// The channel's UUID.
    pub uuid: String,
    /// When the call reached `socket`.
    pub started: Instant,
    /// The caller's own channel behind a loopback.
    pub behind: Option<String>,
    shared: Arc<HeldShared>,
}

impl Held {
    /// Adds a caller to the dialplan and runs `socket`.
    pub(crate) fn start(core: &Arc<Core>, call: &Call) -> Self {
        let uuid = if call.uuid.is_empty() {
            new_uuid()
        } else {
            call.uuid.clone()
        };
        let (outcomes, log) = (watch::Sender::new(Vec::new()), Mutex::default());
        let is_busy = watch::Sender::new(call.is_static);
        let shared = Arc::new(HeldShared { is_busy, outcomes, log });
        let state = HeldState {
            shared: Arc::clone(&shared),
            listener: None,
            picked_up_unheard: call.picked_up_unheard.clone(),
            is_static: call.is_static,
        };
        let role = Role::Held {
            loopback: call.loopback,
            state: Box::new(state),
        };
        let mut channel = Channel::new(uuid.clone(), role, core.next_session());
        channel.caller_name.clone_from(&call.caller_name);
        channel.caller_number.clone_from(&call.caller_number);
        channel.callee.clone_from(&call.user);
        channel.domain.clone_from(&call.domain);
        channel.destination = if call.loopback {
            format!("{}@{}", call.user, call.domain)
        } else {
            call.destination.clone()
        };
        channel.sip_call_id = if call.sip_call_id.is_empty() {
            new_uuid()
        } else {
            call.sip_call_id.clone()
        };
        channel.hides.clone_from(&call.hides);
        channel.offer.clone_from(&call.codecs);
        channel.codec = if call.loopback {
            call.codecs.first().cloned()
        } else {
            None
        };
        let mode = if call.is_static { "full" } else { "async full" };
        channel.socket = format!("{} {mode}", call.socket);
        channel.app = ("socket".to_owned(), channel.socket.clone(), new_uuid());
        for (name, value) in &call.variables {
            channel.set_variable(name, value, false);
        }
        let caller =
            (call.loopback && !call.caller_number.is_empty()).then(|| behind(core, call, &mut channel, &shared));
        let behind = caller.as_ref().map(|caller| caller.uuid.clone());
        let mut world = core.world();
        world.channels.insert(uuid.clone(), channel);
        if call.record {
            world.recorded.insert(uuid.clone(), Arc::clone(&shared));
        }
        world
            .channels
            .extend(caller.map(|caller| (caller.uuid.clone(), caller)));
        drop(world);
        let held = Self {
            core: Arc::clone(core),
            uuid,
            started: Instant::now(),
            behind,
            shared,
        };
        tokio::spawn(run_socket(Arc::clone(core), held.uuid.clone(), call.socket.clone()));
        held
    }

    /// The first outcome.
    ///
    /// # Panics
    ///
    /// If there is none within 60 s.
    pub async fn outcome(&self) -> Outcome {
        self.nth_outcome(0).await
    }

    /// Outcome number `n`, from 0: a connected call may end, and a resumed one may be hung up.
    ///
    /// # Panics
    ///
    /// If there is none within 60 s.
    pub async fn nth_outcome(&self, n: usize) -> Outcome {
        let mut changes = self.shared.outcomes.subscribe();
        let met = tokio::time::timeout(Duration::from_mins(1), changes.wait_for(|all| all.len() > n)).await;
        let all = met.unwrap_or_else(|_| panic!("held call {}: no outcome {n} within 60 s", self.uuid));
        all.expect("the handle keeps the sender")[n].1.clone()
    }

    /// All outcomes so far, with times.
    pub fn outcomes(&self) -> Vec<(Instant, Outcome)> {
        self.shared.outcomes.borrow().clone()
    }

    /// Waits until the call is bridged.
    ///
    /// # Panics
    ///
    /// If something else happens first.
    pub async fn wait_bridged(&self) {
        let outcome = self.outcome().await;
        assert!(
            matches!(outcome, Outcome::Connected { .. }),
            "not bridged but {outcome:?}"
        );
    }

    /// The caller gives up (ORIGINATOR_CANCEL) or, once answered, hangs up (NORMAL_CLEARING).
    pub fn caller_hangs_up(&self) {
        let uuid = self.caller();
        let channel = |uuid: &str| self.core.world().channels.get(uuid).map(Channel::is_answered);
        let cause = match channel(&uuid) {
            Some(true) => "NORMAL_CLEARING",
            _ => "ORIGINATOR_CANCEL",
        };
        self.core.hung_up_by_remote(&uuid, cause);
    }

    /// The channel whose end means the end of the call: a loopback, until the caller is bridged in its place.
    fn caller(&self) -> String {
        let world = self.core.world();
        let is_there = |uuid: &str| {
            world
                .channels
                .get(uuid)
                .is_some_and(|c| !c.replaced && c.cause.is_none())
        };
        let behind = self.behind.clone().filter(|uuid| is_there(uuid));
        behind
            .filter(|_| !is_there(&self.uuid))
            .unwrap_or_else(|| self.uuid.clone())
    }

    /// Another branch of a ring group answered: a loopback ends with LOSE_RACE.
    pub fn loses_race(&self) {
        self.core.hung_up_by_remote(&self.uuid, "LOSE_RACE");
    }

    /// The dial-string's timeout for a loopback has expired.
    pub fn ring_time_is_over(&self) {
        self.core.hung_up_by_remote(&self.uuid, "NO_ANSWER");
    }

    /// The phone with this number picks up the held channel (`intercept`): see `Core::pick_up`.
    pub fn pick_up(&self, number: &str) {
        self.pick_up_with("", number);
    }

    /// The same from a channel with this UUID; generated if empty.
    pub fn pick_up_with(&self, channel: &str, number: &str) {
        let channel = if channel.is_empty() {
            new_uuid()
        } else {
            channel.to_owned()
        };
        self.core.pick_up(&self.uuid, channel, number);
    }

    /// The caller behind this loopback is sent on in its dialplan by a `transfer`. The caller's own `bridge` ends with
    /// this cause.
    pub fn caller_goes_on(&self, cause: &str) {
        let caller = self.behind.as_deref().unwrap_or_default();
        let source = "0:x:bl_xfer:voicemail/default/XML".to_owned();
        self.core.caller_leaves(caller, &self.uuid, source, cause);
    }

    /// The caller behind this loopback is transferred to an extension that ends the call at once, so its channel cannot
    /// be queried any more. A busy FreeSWITCH sends the hangup event late.
    pub fn caller_goes_to_his_end(&self, late: Duration) {
        let caller = self.behind.as_deref().unwrap_or_default();
        let source = "0:x:bl_xfer:valet_park:lot 8001/default/inline";
        self.core
            .caller_ends_elsewhere(caller, &self.uuid, source, "CALL_REJECTED", late);
    }

    /// The channel that is bridged with a leg; behind a loopback, the caller's own.
    fn a_leg(&self) -> String {
        self.behind.clone().unwrap_or_else(|| self.uuid.clone())
    }

    /// The phone with this number picks up a caller who is bridged with a leg, or will be.
    pub fn pick_up_from_bridge(&self, number: &str) {
        self.core.pick_up(&self.a_leg(), new_uuid(), number);
    }

    /// The same, by a pick-up that read the partner (`signal_bond`) before the bridge was ordered.
    pub fn pick_up_around_the_order(&self, number: &str) {
        self.core.world().slow = Some(SlowPickUp {
            channel: self.a_leg(),
            number: number.to_owned(),
            has_begun: false,
            partner: None,
        });
    }

    /// The same after the bridge was ordered, too late. Returns the channel that picks up.
    pub fn pick_up_too_late(&self, number: &str) -> String {
        let other = new_uuid();
        let late = (self.a_leg(), other.clone(), number.to_owned());
        self.core.world().late.push(late);
        other
    }

    /// The late pick-up gets the caller after all.
    pub fn latecomer_wins(&self, channel: &str) {
        self.core.latecomer_wins(&self.a_leg(), channel);
    }

    /// Hangs up the channel that is bridged with a leg, or will be.
    pub fn ends_in_its_bridge(&self, cause: &str) {
        self.core.kill(&self.a_leg(), cause);
    }

    /// Transfers the caller who is bridged with a leg, or will be.
    pub fn transfer_from_bridge(&self, to: &str) {
        self.core.transfer(&self.a_leg(), to);
    }

    /// Whether this channel of a phone that picked a call up exists.
    pub fn stranger_is_there(&self, channel: &str) -> bool {
        self.core.world().strangers.contains_key(channel)
    }

    /// The phone with this number picks up the caller behind this loopback, whose own `bridge` ends.
    pub fn caller_is_picked_up(&self, number: &str) {
        let caller = self.behind.as_deref().unwrap_or_default();
        self.core.pick_caller_up(caller, &self.uuid, number);
    }

    /// A pick-up by this number just before the bridge with a leg is ordered.
    pub fn pick_up_before_the_bridge(&self, number: &str) {
        self.core.world().faster = Some((self.a_leg(), number.to_owned()));
    }

    /// A pick-up takes a leg that rings or has answered (`intercept` of the leg). The held channel ends with
    /// PICKED_OFF.
    pub fn leg_is_picked_up(&self) {
        self.core.pick_leg_up(&self.uuid);
    }

    /// The same with a ringing leg behind a loopback.
    pub fn ringing_leg_is_picked_up(&self) {
        let caller = self.behind.as_deref().unwrap_or_default();
        self.core.pick_ringing_leg_up(caller, &self.uuid);
    }

    /// `uuid_transfer` to an extension that answers and parks.
    pub fn transfer(&self, to: &str) {
        self.core.transfer(&self.uuid, to);
    }

    /// Another client parks it with `uuid_park`, or the caller behind it.
    pub fn park(&self) {
        self.core.park_elsewhere(&self.uuid, self.behind.as_deref());
    }

    /// What the caller received, with times.
    pub fn timeline(&self) -> Vec<(Instant, CallerSaw)> {
        lock(&self.shared.log).timeline.clone()
    }

    /// First lines of the commands on its connection, with times.
    pub fn commands(&self) -> Vec<(Instant, String)> {
        lock(&self.shared.log).commands.clone()
    }

    /// A channel variable's current value: the held channel's, otherwise that of the caller behind it.
    pub fn variable(&self, name: &str) -> Option<String> {
        let world = self.core.world();
        let of = |uuid: &String| Some(world.channels.get(uuid)?.variable(name)?.to_owned());
        of(&self.uuid).or_else(|| self.behind.as_ref().and_then(of))
    }

    /// Removes a variable from the held channel.
    pub fn forget(&self, name: &str) {
        if let Some(channel) = self.core.world().channels.get_mut(&self.uuid) {
            channel.set_variable(name, "", false);
        }
    }

    /// Breaks its connection like a network fault: without a notice, and FreeSWITCH sees an error.
    pub fn cut_connection(&self) {
        let listener = self
            .core
            .world()
            .channels
            .get_mut(&self.uuid)
            .and_then(|channel| channel.held()?.listener.clone());
        if let Some(listener) = listener {
            listener.close();
        }
    }
}

/// The caller's own channel behind a loopback.
fn behind(core: &Core, call: &Call, loopback: &mut Channel, shared: &Arc<HeldShared>) -> Channel {
    let chosen = |given: &str| if given.is_empty() { new_uuid() } else { given.to_owned() };
    let state = HeldState {
        shared: Arc::clone(shared),
        listener: None,
        picked_up_unheard: None,
        is_static: false,
    };
    let role = Role::Held {
        loopback: false,
        state: Box::new(state),
    };
    let mut caller = Channel::new(chosen(&call.behind_uuids.0), role, core.next_session());
    caller.caller_name.clone_from(&call.caller_name);
    caller.caller_number.clone_from(&call.caller_number);
    caller.callee.clone_from(&call.user);
    caller.domain.clone_from(&call.domain);
    caller.destination.clone_from(&call.destination);
    caller.sip_call_id = new_uuid();
    caller.offer.clone_from(&call.codecs);
    caller.behind = Some(loopback.uuid.clone());
    caller.end = chosen(&call.behind_uuids.1);
    loopback.behind = Some(caller.uuid.clone());
    loopback.end.clone_from(&caller.end);
    for (name, value) in &call.behind {
        caller.set_variable(name, value, false);
    }
    caller
}

/// The `socket` application tries each address in turn. If all fail, the dialplan goes on.
async fn run_socket(core: Arc<Core>, uuid: String, addresses: String) {
    for address in addresses.split('|').filter(|address| !address.is_empty()) {
        let Ok(stream) = TcpStream::connect(address).await else {
            continue;
        };
        let conn = Conn::new(Arc::clone(&core), stream, Some(uuid.clone()));
        if let Some(held) = core.world().channels.get_mut(&uuid).and_then(Channel::held) {
            held.listener = Some(Arc::clone(&conn.listener));
        }
        return Box::pin(conn.run()).await;
    }
    let is_static = core.world().channels.get(&uuid).is_some_and(Channel::is_static);
    core.connection_ended(&uuid, !is_static);
}
