//! An in-process FreeSWITCH: a real event socket on 127.0.0.1, and phones without SIP.
//!
//! Events are recorded ones ([`capture`]) with this call's values filled in, so names, order and texts are FreeSWITCH's
//! own. What the recordings do not show follows mod_event_socket.c of 1.10.12, with a comment.
//!
//! ```no_run
//! # use fswake_test_support::freeswitch::*;
//! # async fn example(daemon: std::net::SocketAddr) {
//! let fs = FakeFreeSwitch::start(Config::default()).await;
//! let phone = fs.phone(PhoneSpec::new("1001", "fs.test").params("pn-provider=apns;pn-prid=abc"));
//! phone.register();
//! phone.set_behaviour(Behaviour::Manual);
//! let held = fs.call(&Call::to(daemon, "1001", "fs.test"));
//! phone.invite(1).await;
//! phone.ring();
//! phone.answer();
//! held.wait_bridged().await;
//! # }
//! ```
//!
//! | module | what |
//! |---|---|
//! | `conn`, `command`, `bus` | the event socket: framing, 20 ms poll, commands, subscriptions and filters |
//! | `api`, `lists`, `dialstring` | API commands and their texts |
//! | `core`, `channel`, `calls`, `legs`, `bridges`, `hangup`, `sched` | channels and what happens to them |
//! | `held`, `phone`, `registry`, `bulk` | handles for tests |
//! | `cause`, `clock` | hangup causes; times as FreeSWITCH prints them |
//! | `capture`, `template`, `recognise`, `catalog`, `event` | recordings, and events made from them |

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;

mod api;
mod bridges;
mod bulk;
mod bus;
mod calls;
pub mod capture;
mod catalog;
mod cause;
mod channel;
mod clock;
mod command;
mod conn;
mod core;
mod dialstring;
mod event;
mod hangup;
mod held;
mod legs;
mod lists;
mod phone;
mod recognise;
mod registry;
mod sched;
mod template;

pub use self::bulk::{Burst, BurstReport};
pub use self::core::Config;
pub use self::event::{Event, percent_decode, percent_encode};
pub use self::held::{Call, CallerSaw, Held, Outcome};
pub use self::phone::{Behaviour, Invite, Phone, PhoneSpec};

use self::bus::lock;
use self::conn::Conn;
use self::core::{Answer, Core, new_uuid};

/// A running stand-in. It stops with the runtime.
#[derive(Clone)]
pub struct FakeFreeSwitch {
    core: Arc<Core>,
    address: SocketAddr,
}

impl FakeFreeSwitch {
    /// Starts one on a free port of 127.0.0.1.
    ///
    /// # Panics
    ///
    /// If there is no free port.
    pub async fn start(config: Config) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let core = Core::new(config);
        let _ = catalog::catalog();
        tokio::spawn(accept(Arc::clone(&core), listener, address));
        Self { core, address }
    }

    /// Where the event socket listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Adds a phone. It sleeps and is not registered.
    pub fn phone(&self, spec: PhoneSpec) -> Phone {
        Phone::add(&self.core, spec)
    }

    /// Lets a caller reach `socket`.
    pub fn call(&self, call: &Call) -> Held {
        Held::start(&self.core, call)
    }

    /// Sends the event of a REGISTER of a phone that is not added: nothing is stored.
    pub fn announce(&self, spec: &PhoneSpec) -> Arc<Event> {
        self.core.announce(&self.core.registration(spec), false)
    }

    /// Sends the event of the expiry of such a phone's registration.
    pub fn announce_expiry(&self, spec: &PhoneSpec) {
        self.core.expire(&self.core.registration(spec));
    }

    /// Sends many registrations.
    pub async fn register_burst(&self, burst: Burst) -> BurstReport {
        bulk::register_burst(&self.core, burst).await
    }

    /// Holds many calls: `call(n)` gives each.
    pub async fn hold_many(&self, count: usize, call: impl Fn(usize) -> Call) -> Vec<Held> {
        bulk::hold_many(&self.core, count, call).await
    }

    /// Fires a CUSTOM event with these headers, as another module would.
    pub fn fire_custom(&self, subclass: &str, headers: &[(&'static str, &str)]) -> Arc<Event> {
        let fields = headers
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect();
        self.core.custom(subclass, ("mod_test.c", "fire", "1"), fields)
    }

    /// Sets the answer to an API command, replacing the stand-in's own.
    pub fn answer(&self, command: &str, answer: &str) {
        self.answer_after(Duration::ZERO, command, answer);
    }

    /// From now on the event socket's user may not run this API command (`esl-allowed-api`).
    pub fn forbid(&self, command: &str) {
        self.core.world().forbidden.insert(command.to_owned());
    }

    /// Sets the answer to a command that takes FreeSWITCH this long.
    pub fn answer_after(&self, after: Duration, command: &str, answer: &str) {
        let (text, asked) = (answer.to_owned(), 0);
        let answer = Answer { text, after, asked };
        self.core.world().answers.insert(command.to_owned(), answer);
    }

    /// How often a command with a test's answer was sent.
    pub fn asked(&self, command: &str) -> usize {
        self.core.world().answers.get(command).map_or(0, |answer| answer.asked)
    }

    /// From now on each login takes this long.
    pub fn logins_take(&self, time: Duration) {
        self.core.world().login_delay = time;
    }

    /// From now on `originate` makes its channel after this delay. Until then the channel is unknown.
    pub fn originates_late(&self, delay: Duration) {
        self.core.world().originate_delay = delay;
    }

    /// Removes the test's answer to a command.
    pub fn answer_itself(&self, command: &str) {
        self.core.world().answers.remove(command);
    }

    /// Fires an event of any name with a body, as mod_sms or another client's `sendevent` does.
    pub fn fire(&self, name: &str, headers: &[(&'static str, &str)], body: &str) -> Arc<Event> {
        let mut fields = self.core.base_headers(name, None, ("mod_test.c", "fire", "1"));
        let given = headers
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).to_owned()));
        fields.extend(given);
        self.core
            .fire(name, fields, (!body.is_empty()).then(|| body.to_owned()))
    }

    /// A variable of an existing channel.
    pub fn variable(&self, uuid: &str, name: &str) -> Option<String> {
        let world = self.core.world();
        Some(world.channels.get(uuid)?.variable(name)?.to_owned())
    }

    /// Commands from clients that FreeSWITCH would have rejected or that are wrong. Empty after a clean test.
    pub fn complaints(&self) -> Vec<String> {
        self.core.world().complaints.clone()
    }

    /// UUIDs of all current legs.
    pub fn legs(&self) -> Vec<String> {
        let world = self.core.world();
        world
            .channels
            .values()
            .filter(|c| c.is_leg() && c.cause.is_none())
            .map(|c| c.uuid.clone())
            .collect()
    }

    /// How many event-socket connections are open (inbound, outbound).
    pub fn connections(&self) -> (usize, usize) {
        let all = self.core.bus.listeners();
        let outbound = all.iter().filter(|listener| listener.session.is_some()).count();
        (all.len() - outbound, outbound)
    }

    /// How many clients have been connected and not logged in yet, at most.
    pub fn most_logins_at_once(&self) -> usize {
        self.core.logins.most()
    }

    /// Fault: FreeSWITCH restarts with a new Core-UUID. Calls are lost, and registrations on request.
    pub fn restart(&self, forget_registrations: bool) {
        *lock(&self.core.instance) = new_uuid();
        *lock(&self.core.started) = Instant::now();
        let mut world = self.core.world();
        for channel in world.channels.values_mut().filter(|channel| !channel.is_behind()) {
            if let Some(held) = channel.held() {
                held.shared.ended(Outcome::HungUp("MANAGER_REQUEST".to_owned()));
            }
            if let Some(leg) = channel.leg() {
                leg.gone.send_replace(true);
            }
        }
        world.channels.clear();
        world.has_presence = false;
        if forget_registrations {
            world.registrations.clear();
        }
        drop(world);
        self.core
            .bus
            .listeners()
            .iter()
            .for_each(|listener| listener.shut_down());
    }

    /// Fault: closes the listening socket (new clients are refused) or opens it again on the same port.
    pub fn listen(&self, on: bool) {
        self.core.listening.send_replace(on);
    }

    /// Fault: `uuid_bridge` is accepted, but no bridge is made.
    pub fn lose_bridges(&self, on: bool) {
        self.core.world().loses_bridges = on;
    }

    /// Sets `api-expansion` of `switch.conf.xml`: whether commands in `${..}` are expanded.
    pub fn expand_no_commands(&self) {
        self.core.world().expands_no_commands = true;
    }

    /// Sets how long listing a profile's registrations takes. Meanwhile the connection that asked is blocked.
    pub fn list_takes(&self, time: std::time::Duration) {
        self.core.world().list_takes = time;
    }

    /// Stops a profile without an event. Its registrations stay.
    pub fn stop_profile(&self, name: &str) {
        self.core.world().stopped.insert(name.to_owned());
    }

    /// Starts it again. The event comes shortly before it runs.
    pub async fn start_profile(&self, name: &str, moment: std::time::Duration) {
        let fields = vec![
            ("module_name", "mod_sofia".to_owned()),
            ("profile_name", name.to_owned()),
            ("profile_uri", "sip:mod_sofia@127.0.0.1:5060".to_owned()),
        ];
        let calling = ("sofia.c", "config_sofia", "6343");
        self.core.custom("sofia::profile_start", calling, fields);
        tokio::time::sleep(moment).await;
        self.core.world().stopped.remove(name);
    }

    /// Fault: drops the inbound connections only.
    pub fn drop_inbound(&self) {
        let all = self.core.bus.listeners();
        all.iter()
            .filter(|listener| listener.session.is_none())
            .for_each(|listener| listener.close());
    }

    /// Fault: neither reads nor writes on any connection until thawed.
    pub fn freeze(&self, on: bool) {
        self.core.frozen.store(on, Ordering::SeqCst);
        self.core
            .bus
            .listeners()
            .iter()
            .for_each(|listener| listener.bell.notify_one());
    }
}

/// Accepts clients while listening is on. While it is off, the port refuses connections.
async fn accept(core: Arc<Core>, listener: TcpListener, address: SocketAddr) {
    let mut listening = core.listening.subscribe();
    let mut socket = Some(listener);
    loop {
        if !*listening.borrow_and_update() {
            socket = None;
            if listening.changed().await.is_err() {
                return;
            }
            continue;
        }
        let bound = match socket.take() {
            Some(bound) => bound,
            None => TcpListener::bind(address).await.expect("the previous port"),
        };
        tokio::select! {
            accepted = bound.accept() => {
                if let Ok((stream, _)) = accepted {
                    tokio::spawn(Conn::new(Arc::clone(&core), stream, None).run());
                }
            }
            _ = listening.changed() => {}
        }
        socket = Some(bound);
    }
}
