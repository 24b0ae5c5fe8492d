//! The server's state, and how it sends events.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::bus::{Bus, lock};
use super::channel::Channel;
use super::clock;
use super::event::Event;
use super::held::HeldShared;
use super::phone::PhoneShared;
use super::registry::Registration;
use super::template::{Server, Template};

/// Settings of the stand-in.
#[derive(Debug, Clone)]
pub struct Config {
    /// Event-socket password.
    pub password: String,
    /// `user@domain` and password of event-socket users (`userauth`).
    pub users: Vec<(String, String)>,
    /// Longest time an event waits in a listener's queue while the client is silent; zero delivers at once.
    pub poll: Duration,
    /// A channel's own clock: applications start, and legs report, at its ticks.
    pub tick: Duration,
    /// How long an `originate`'s thread keeps running after the answer (measured: 10 to 20 ms).
    pub originate_tail: Duration,
    /// If the phone refuses, how long before the leg's hang-up the `originate`'s job ends (usually 0; at times 1 ms was
    /// measured).
    pub originate_ahead: Duration,
    /// How long FreeSWITCH waits for the first command on a connection (mod_event_socket.c: 25 s).
    pub first_command: Duration,
    /// `FreeSWITCH-Hostname`.
    pub hostname: String,
    /// The SIP profile's name.
    pub profile: String,
    /// Codecs that legs offer unless a variable sets others.
    pub codecs: Vec<String>,
    /// Modules for which `module_exists` returns true.
    pub modules: Vec<String>,
    /// Values for `global_getvar`.
    pub globals: Vec<(String, String)>,
    /// How long the first presence event since the start delays all events (measured: 500 ms; mod_sofia,
    /// `sofia_presence_event_handler`). Any client may send that event; otherwise the first leg causes it.
    pub first_presence: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            password: "ClueCon".into(),
            users: Vec::new(),
            poll: Duration::from_millis(20),
            tick: Duration::from_millis(20),
            originate_tail: Duration::from_millis(15),
            originate_ahead: Duration::ZERO,
            first_command: Duration::from_secs(25),
            hostname: "vm".into(),
            profile: "internal".into(),
            codecs: vec!["PCMU".into(), "PCMA".into()],
            modules: vec!["mod_sofia".into(), "mod_event_socket".into(), "mod_loopback".into()],
            globals: vec![("domain".into(), "fs.test".into())],
            first_presence: Duration::ZERO,
        }
    }
}

impl Config {
    /// Delivers events at once instead of on the 20 ms poll.
    #[must_use]
    pub fn instant_events(mut self) -> Self {
        self.poll = Duration::ZERO;
        self
    }

    /// Delivers events at once, and runs channels without the 20 ms clock.
    #[must_use]
    pub fn instant(mut self) -> Self {
        self.tick = Duration::ZERO;
        self.originate_tail = Duration::ZERO;
        self.instant_events()
    }
}

/// A test's answer to an API command.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) after: Duration,
    pub(crate) asked: usize,
}

/// A pick-up that takes some time.
#[derive(Debug, Clone)]
pub(crate) struct SlowPickUp {
    pub(crate) channel: String,
    pub(crate) number: String,
    pub(crate) has_begun: bool,
    /// The partner that the channel had when the pick-up began.
    pub(crate) partner: Option<String>,
}

/// All state that commands use.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) channels: HashMap<String, Channel>,
    /// Held channels whose commands are recorded, also after their end.
    pub(crate) recorded: HashMap<String, Arc<HeldShared>>,
    pub(crate) phones: Vec<Arc<PhoneShared>>,
    /// Network address to phone.
    pub(crate) by_address: HashMap<String, usize>,
    /// (user, domain, Call-ID) to registration.
    pub(crate) registrations: BTreeMap<(String, String, String), Registration>,
    /// Tasks of the scheduler, such as `sched_hangup`.
    pub(crate) schedule: super::sched::Schedule,
    /// Complaints about what a correct client would not have sent.
    pub(crate) complaints: Vec<String>,
    /// API commands that the event socket's user may not run (`esl-allowed-api`). A held call's connection has no such
    /// list.
    pub(crate) forbidden: HashSet<String>,
    /// Answers to API commands that a test has set.
    pub(crate) answers: HashMap<String, Answer>,
    /// Fault: `originate` makes its channel after this delay.
    pub(crate) originate_delay: Duration,
    /// How long a login takes.
    pub(crate) login_delay: Duration,
    /// Channels of phones that pick calls up, with their numbers.
    pub(crate) strangers: HashMap<String, String>,
    /// Fault: bridges are accepted but never made.
    pub(crate) loses_bridges: bool,
    /// `api-expansion` of `switch.conf.xml` is `false`.
    pub(crate) expands_no_commands: bool,
    /// A pick-up at the moment of the order to bridge: the channel, and the number.
    pub(crate) faster: Option<(String, String)>,
    /// Pick-ups after the order to bridge, too late: the channel, the other channel and its number.
    pub(crate) late: Vec<(String, String, String)>,
    /// A pick-up that begins between a channel's answer and its order to bridge, and ends later.
    pub(crate) slow: Option<SlowPickUp>,
    /// How long listing a profile's registrations takes. Meanwhile the connection that asked is blocked.
    pub(crate) list_takes: Duration,
    /// Stopped profiles. They keep their registrations.
    pub(crate) stopped: BTreeSet<String>,
    /// Whether there has been a presence event.
    pub(crate) has_presence: bool,
}

impl World {
    /// The variables of a channel that picks up another.
    pub(crate) fn of_a_stranger(&self, uuid: &str, name: &str) -> Option<String> {
        match name {
            "caller_id_number" => self.strangers.get(uuid).cloned(),
            "bridge_to" => {
                let mut bridged = self.channels.values().filter(|channel| channel.bridge_uuid == uuid);
                bridged.next().map(|channel| channel.uuid.clone())
            }
            _ => None,
        }
    }
}

/// The running server.
pub(crate) struct Core {
    pub(crate) config: Config,
    pub(crate) bus: Bus,
    pub(crate) world: Mutex<World>,
    /// `Core-UUID`: new after a restart.
    pub(crate) instance: Mutex<String>,
    /// mod_hash's entries: realm and key.
    hash: Mutex<BTreeSet<String>>,
    pub(crate) listening: watch::Sender<bool>,
    pub(crate) frozen: AtomicBool,
    pub(crate) started: Mutex<Instant>,
    pub(crate) sessions: AtomicU64,
    sequence: AtomicU64,
    pub(crate) logins: Logins,
}

/// Clients that have connected and not logged in yet. FreeSWITCH's listening socket keeps five or six that wait; the
/// stand-in serves any number, and says how many there were.
#[derive(Default)]
pub(crate) struct Logins {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Logins {
    pub(crate) fn begin(&self) {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
    }

    pub(crate) fn end(&self) {
        self.now.fetch_sub(1, Ordering::SeqCst);
    }

    pub(crate) fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }
}

impl Core {
    /// `Core-UUID`: new after a restart.
    pub(crate) fn core_uuid(&self) -> String {
        lock(&self.instance).clone()
    }

    /// mod_hash's API, as far as fswake uses it.
    pub(crate) fn hash(&self, arg: &str) -> String {
        let words: Vec<_> = arg.split('/').collect();
        let mut hash = lock(&self.hash);
        match words.as_slice() {
            ["insert_ifempty", realm, key, _value] if hash.insert(format!("{realm}/{key}")) => "+OK\n".to_owned(),
            ["insert_ifempty", ..] => "-ERR key already exists\n".to_owned(),
            ["delete", realm, key] if hash.remove(&format!("{realm}/{key}")) => "+OK\n".to_owned(),
            ["select", realm, key] if hash.contains(&format!("{realm}/{key}")) => "taken".to_owned(),
            // mod_event_socket's words for no answer.
            ["select", _, _] => "-ERR no reply\n".to_owned(),
            ["delete", ..] => "-ERR Not found\n".to_owned(),
            _ => "-ERR Usage: hash insert|insert_ifempty|select|delete|delete_ifmatch/realm/key[/value]\n".to_owned(),
        }
    }

    pub(crate) fn new(config: Config) -> Arc<Self> {
        Arc::new(Self {
            config,
            bus: Bus::default(),
            world: Mutex::default(),
            instance: Mutex::new(new_uuid()),
            hash: Mutex::default(),
            listening: watch::Sender::new(true),
            frozen: AtomicBool::new(false),
            started: Mutex::new(Instant::now()),
            sessions: AtomicU64::new(0),
            sequence: AtomicU64::new(1200),
            logins: Logins::default(),
        })
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    pub(crate) fn next_session(&self) -> u64 {
        self.sessions.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn next_sequence(&self) -> u64 {
        self.sequence.fetch_add(1, Ordering::Relaxed)
    }

    /// Makes an event for a channel of `world`, if the channel still exists.
    pub(crate) fn make(&self, world: &World, uuid: &str, template: &Template) -> Option<Event> {
        let own = world.channels.get(uuid)?;
        let peer = own.peer.as_ref().and_then(|peer| world.channels.get(peer));
        let core_uuid = lock(&self.instance).clone();
        let server = Server {
            core_uuid: &core_uuid,
            hostname: &self.config.hostname,
            sequence: self.next_sequence(),
        };
        Some(template.fill(&server, own, peer))
    }

    /// Sends a channel event to its subscribers.
    pub(crate) fn emit(&self, world: &World, uuid: &str, template: &Template) {
        if self.bus.anybody_wants(template.name())
            && let Some(event) = self.make(world, uuid, template)
        {
            self.bus.fire(&Arc::new(event));
        }
    }

    /// The headers at the start of every event. `calling` is file, function and line.
    pub(crate) fn base_headers(
        &self,
        name: &str,
        subclass: Option<&str>,
        calling: (&str, &str, &str),
    ) -> Vec<(Cow<'static, str>, String)> {
        let now = clock::micros();
        let mut headers: Vec<(Cow<'static, str>, String)> = Vec::with_capacity(40);
        let mut add = |name: &'static str, value: String| headers.push((Cow::Borrowed(name), value));
        if let Some(subclass) = subclass {
            add("Event-Subclass", subclass.to_owned());
        }
        add("Event-Name", name.to_owned());
        add("Core-UUID", lock(&self.instance).clone());
        add("FreeSWITCH-Hostname", self.config.hostname.clone());
        add("FreeSWITCH-Switchname", self.config.hostname.clone());
        add("FreeSWITCH-IPv4", "192.0.2.2".to_owned());
        add("FreeSWITCH-IPv6", "fd00::2".to_owned());
        add("Event-Date-Local", clock::local(now));
        add("Event-Date-GMT", clock::gmt(now));
        add("Event-Date-Timestamp", now.to_string());
        add("Event-Calling-File", calling.0.to_owned());
        add("Event-Calling-Function", calling.1.to_owned());
        add("Event-Calling-Line-Number", calling.2.to_owned());
        add("Event-Sequence", self.next_sequence().to_string());
        headers
    }

    pub(crate) fn fire(
        &self,
        name: &str,
        headers: Vec<(Cow<'static, str>, String)>,
        body: Option<String>,
    ) -> Arc<Event> {
        let event = Arc::new(Event::new(name, headers, body));
        self.bus.fire(&event);
        event
    }

    /// Sends a presence event. The first one delays the events after it.
    pub(crate) fn presence(self: &Arc<Self>) {
        let is_first = !std::mem::replace(&mut self.world().has_presence, true);
        if is_first && !self.config.first_presence.is_zero() {
            self.bus.hold_up(true);
            let core = Arc::clone(self);
            tokio::spawn(async move {
                tokio::time::sleep(core.config.first_presence).await;
                core.bus.hold_up(false);
            });
        }
    }

    /// Half a tick: the time after which a channel's own thread acts once it is woken.
    pub(crate) async fn half_tick(&self) {
        if self.config.tick.is_zero() {
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(self.config.tick / 2).await;
        }
    }

    pub(crate) async fn tick(&self) {
        self.ticks(1).await;
    }

    pub(crate) async fn ticks(&self, count: u32) {
        if self.config.tick.is_zero() {
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(self.config.tick * count).await;
        }
    }

    pub(crate) fn complain(&self, text: String) {
        self.world().complaints.push(text);
    }
}

/// A random UUID in FreeSWITCH's form.
pub(crate) fn new_uuid() -> String {
    uuid::Uuid::new_v4().to_string()
}
