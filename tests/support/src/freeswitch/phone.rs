//! A phone: its registration, and its behaviour when called.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::bus::lock;
use super::core::{Core, new_uuid};
use super::registry::Registration;

/// A phone's properties.
#[derive(Debug, Clone)]
pub struct PhoneSpec {
    /// User part of its address.
    pub user: String,
    /// Domain it registers with.
    pub domain: String,
    /// Contact URI parameters without the leading `;`.
    pub params: String,
    /// The `ip:port` that FreeSWITCH sees.
    pub address: String,
    /// The `ip:port` in the Contact, if there is a NAT in between (adds `fs_nat` and `fs_path`).
    pub behind: Option<String>,
    /// `udp`, `tcp`, `tls`, `ws` or `wss`.
    pub transport: String,
    /// User-Agent.
    pub agent: String,
    /// Call-ID of its registrations; by default every phone has its own.
    pub call_id: String,
    /// Expires of its registrations, in seconds.
    pub expires: u32,
    /// Codecs it accepts.
    pub codecs: Vec<String>,
    /// Whether the profile requires a password. Otherwise `username` is `unknown`.
    pub authenticated: bool,
    /// The SIP profile that it registers on; the server's if empty.
    pub profile: String,
    /// The number in its answers (P-Asserted-Identity), if not its own.
    pub asserts: Option<String>,
}

impl PhoneSpec {
    /// An authenticated UDP phone without push parameters. It gets an address when it is added.
    pub fn new(user: &str, domain: &str) -> Self {
        Self {
            user: user.into(),
            domain: domain.into(),
            params: String::new(),
            address: String::new(),
            behind: None,
            transport: "udp".into(),
            agent: "example-phone".into(),
            call_id: new_uuid()[..16].replace('-', "0"),
            expires: 3600,
            codecs: vec!["PCMU".into(), "PCMA".into()],
            authenticated: true,
            profile: String::new(),
            asserts: None,
        }
    }

    /// Sets its Contact parameters (`pn-provider=apns;...`).
    #[must_use]
    pub fn params(mut self, params: &str) -> Self {
        params.clone_into(&mut self.params);
        self
    }

    /// Puts it behind a NAT, with this private `ip:port`.
    #[must_use]
    pub fn behind(mut self, private: &str) -> Self {
        self.behind = Some(private.to_owned());
        self
    }

    /// Sets its network address.
    #[must_use]
    pub fn at(mut self, address: &str) -> Self {
        address.clone_into(&mut self.address);
        self
    }

    /// Limits its codecs.
    #[must_use]
    pub fn codecs(mut self, codecs: &[&str]) -> Self {
        self.codecs = codecs.iter().map(|codec| (*codec).to_owned()).collect();
        self
    }
}

/// How a phone reacts to an INVITE while it is awake. While asleep it does not react.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behaviour {
    /// Rings after the first time, and answers after the second, if any. Both count from the INVITE.
    Rings(Duration, Option<Duration>),
    /// Refuses with a SIP status (486, 603, 404, 408, 480, 503, ...) after a time, and may ring before that.
    Refuses {
        /// The SIP status.
        status: u16,
        /// Counted from the INVITE.
        after: Duration,
        /// Whether 180 comes first.
        rings: bool,
    },
    /// Never answers.
    Silent,
    /// Its connection is gone, so the INVITE cannot be sent.
    Unreachable,
    /// Rings, answers and refuses only when the test says so.
    Manual,
    /// Rings at once, answers after the first time, and hangs up after a further second time.
    HangsUp(Duration, Duration),
}

/// An INVITE to a phone, and its outcome.
#[derive(Debug, Clone)]
pub struct Invite {
    /// When FreeSWITCH started to originate it.
    pub at: Instant,
    /// The leg's channel.
    pub leg: String,
    /// SIP Call-ID.
    pub call_id: String,
    /// Caller's number and name.
    pub caller: (String, String),
    /// The request URI.
    pub uri: String,
    /// Headers added with `sip_h_`.
    pub headers: Vec<(String, String)>,
    /// The leg's variables, as FreeSWITCH parsed them from the `originate`.
    pub variables: Vec<(String, String)>,
    /// Applications run on the leg, with expanded arguments.
    pub executed: Vec<(String, String)>,
    /// Codecs in the offer.
    pub offer: Vec<String>,
    /// Whether the phone was awake and got it.
    pub seen: bool,
    /// Reason text of its CANCEL.
    pub cancel: Option<String>,
    /// Reason text of its BYE.
    pub bye: Option<String>,
    /// Whether the phone answered it.
    pub answered: bool,
}

impl Invite {
    /// A variable of the leg.
    pub fn variable(&self, name: &str) -> Option<&str> {
        let found = self.variables.iter().rev().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// What a test makes a phone do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PhoneAct {
    Ring,
    Progress,
    Answer,
    PressKey,
    Refuse(u16),
}

pub(crate) struct PhoneState {
    pub(crate) spec: PhoneSpec,
    pub(crate) awake: bool,
    pub(crate) behaviour: Behaviour,
    pub(crate) invites: Vec<Invite>,
}

pub(crate) struct PhoneShared {
    pub(crate) state: Mutex<PhoneState>,
    pub(crate) changed: watch::Sender<u64>,
}

impl PhoneShared {
    /// Changes the phone and notifies waiting tests.
    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut PhoneState) -> R) -> R {
        let result = change(&mut lock(&self.state));
        self.changed.send_modify(|count| *count += 1);
        result
    }

    /// The number in its answers, if not its own.
    pub(crate) fn asserts(&self) -> Option<String> {
        lock(&self.state).spec.asserts.clone()
    }
}

/// A handle to a phone.
#[derive(Clone)]
pub struct Phone {
    core: Arc<Core>,
    index: usize,
    shared: Arc<PhoneShared>,
}

impl Phone {
    pub(crate) fn add(core: &Arc<Core>, mut spec: PhoneSpec) -> Self {
        let mut world = core.world();
        let index = world.phones.len();
        if spec.address.is_empty() {
            spec.address = format!("127.0.{}.{}:5060", 1 + index / 250, 1 + index % 250);
        }
        if spec.profile.is_empty() {
            spec.profile.clone_from(&core.config.profile);
        }
        world.by_address.insert(spec.address.clone(), index);
        let behaviour = Behaviour::Rings(Duration::ZERO, None);
        let state = PhoneState {
            spec,
            awake: false,
            behaviour,
            invites: Vec::new(),
        };
        let shared = Arc::new(PhoneShared {
            state: Mutex::new(state),
            changed: watch::Sender::new(0),
        });
        world.phones.push(Arc::clone(&shared));
        drop(world);
        Self {
            core: Arc::clone(core),
            index,
            shared,
        }
    }

    /// Sets its behaviour for future calls.
    pub fn set_behaviour(&self, behaviour: Behaviour) {
        self.shared.change(|phone| phone.behaviour = behaviour);
    }

    /// Its properties.
    pub fn spec(&self) -> PhoneSpec {
        lock(&self.shared.state).spec.clone()
    }

    /// Wakes it up and sends a REGISTER, as an app does when a push starts it. Returns once the event was fired.
    pub fn wake(&self) -> Instant {
        self.shared.change(|phone| phone.awake = true);
        self.register()
    }

    /// Sends a REGISTER: the first one, or one with a new contact after [`Phone::change`]. It also wakes the phone.
    pub fn register(&self) -> Instant {
        self.send_register(false)
    }

    /// Registers again with the same contact (`update-reg: true`).
    pub fn refresh(&self) -> Instant {
        self.send_register(true)
    }

    fn send_register(&self, refresh: bool) -> Instant {
        let spec = self.shared.change(|phone| {
            phone.awake = true;
            phone.spec.clone()
        });
        self.core.register(&Registration::new(&spec), refresh).fired_at
    }

    /// Changes its properties (new port, new token) for the next REGISTER.
    pub fn change(&self, change: impl FnOnce(&mut PhoneSpec)) {
        let (old, new) = self.shared.change(|phone| {
            let old = phone.spec.address.clone();
            change(&mut phone.spec);
            (old, phone.spec.address.clone())
        });
        let mut world = self.core.world();
        world.by_address.remove(&old);
        world.by_address.insert(new, self.index);
    }

    /// Puts it to sleep. Its registration stays, and INVITEs do not reach it.
    pub fn sleep(&self) {
        self.shared.change(|phone| phone.awake = false);
    }

    /// Sends a REGISTER with Expires 0.
    pub fn unregister(&self) {
        self.core.unregister(&Registration::new(&self.spec()));
    }

    /// Lets its registration expire.
    pub fn expire(&self) {
        self.core.expire(&Registration::new(&self.spec()));
    }

    /// Closes its TCP, TLS or WebSocket connection (`reason: socket-disconnection`), and puts it to sleep.
    pub fn disconnect(&self) {
        self.sleep();
        self.core.socket_disconnection(&Registration::new(&self.spec()));
    }

    /// Closes the connection that it had with these properties. It goes on with another.
    pub fn old_connection_closes(&self, was: &PhoneSpec) {
        self.core.socket_disconnection(&Registration::new(was));
    }

    /// Answers or misses an OPTIONS ping (`sofia::sip_user_state`).
    pub fn ping(&self, reachable: bool) {
        self.core.ping(&Registration::new(&self.spec()), reachable);
    }

    /// All INVITEs so far, oldest first. Those sent while it slept have `seen: false`.
    pub fn invites(&self) -> Vec<Invite> {
        lock(&self.shared.state).invites.clone()
    }

    /// Waits until `condition` holds for its INVITEs.
    ///
    /// # Panics
    ///
    /// If that takes more than ten seconds.
    pub async fn wait_for(&self, what: &str, condition: impl Fn(&[Invite]) -> bool) -> Vec<Invite> {
        let mut changes = self.shared.changed.subscribe();
        let met = changes.wait_for(|_| condition(&lock(&self.shared.state).invites));
        let in_time = tokio::time::timeout(Duration::from_secs(10), met).await.is_ok();
        assert!(
            in_time,
            "phone {}: no {what} within 10 s: {:?}",
            self.spec().user,
            self.invites()
        );
        self.invites()
    }

    /// Waits for INVITE number `n`, from 1, and returns it.
    pub async fn invite(&self, n: usize) -> Invite {
        self.wait_for(&format!("INVITE {n}"), |invites| invites.len() >= n)
            .await[n - 1]
            .clone()
    }

    /// Waits for a CANCEL on the last INVITE and returns its Reason text.
    pub async fn cancelled(&self) -> String {
        let last = |invites: &[Invite]| invites.last().and_then(|invite| invite.cancel.clone());
        last(&self.wait_for("CANCEL", |invites| last(invites).is_some()).await).unwrap_or_default()
    }

    /// Waits for a BYE on the last INVITE and returns its Reason text.
    pub async fn got_bye(&self) -> String {
        let last = |invites: &[Invite]| invites.last().and_then(|invite| invite.bye.clone());
        last(&self.wait_for("BYE", |invites| last(invites).is_some()).await).unwrap_or_default()
    }

    /// Sends 180 for its current INVITEs.
    pub fn ring(&self) {
        self.act(PhoneAct::Ring);
    }

    /// Sends 183 with media for its current INVITEs.
    pub fn early_media(&self) {
        self.act(PhoneAct::Progress);
    }

    /// Answers its current INVITEs.
    pub fn answer(&self) {
        self.act(PhoneAct::Answer);
    }

    /// Presses the key of `group_confirm_key`.
    pub fn press_key(&self) {
        self.act(PhoneAct::PressKey);
    }

    /// Refuses its current INVITEs.
    pub fn refuse(&self, status: u16) {
        self.act(PhoneAct::Refuse(status));
    }

    /// Hangs up its answered calls.
    pub fn hang_up(&self) {
        let legs: Vec<String> = self
            .legs()
            .into_iter()
            .filter(|(_, answered)| *answered)
            .map(|(leg, _)| leg)
            .collect();
        for leg in legs {
            self.core.hung_up_by_remote(&leg, "NORMAL_CLEARING");
        }
    }

    fn legs(&self) -> Vec<(String, bool)> {
        let world = self.core.world();
        let mine = world
            .channels
            .values()
            .filter(|c| c.leg().is_some_and(|leg| leg.phone == Some(self.index)));
        mine.map(|channel| (channel.uuid.clone(), channel.is_answered()))
            .collect()
    }

    fn act(&self, act: PhoneAct) {
        let world = self.core.world();
        for leg in world.channels.values().filter_map(|channel| channel.leg()) {
            if leg.phone == Some(self.index) {
                let _ = leg.acts.send(act);
            }
        }
    }
}
