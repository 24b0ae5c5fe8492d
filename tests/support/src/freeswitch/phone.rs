//! A phone: what it registers as, and what it does when it is called.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::bus::lock;
use super::core::{Core, new_uuid};
use super::registry::Registration;

/// What a phone is.
#[derive(Debug, Clone)]
pub struct PhoneSpec {
    /// User part of its address.
    pub user: String,
    /// Domain it registers with.
    pub domain: String,
    /// Contact URI parameters without the leading `;`.
    pub params: String,
    /// `ip:port` that FreeSWITCH sees.
    pub address: String,
    /// `ip:port` that the Contact names, when a NAT is between (adds `fs_nat` and `fs_path`).
    pub behind: Option<String>,
    /// `udp`, `tcp`, `tls`, `ws` or `wss`.
    pub transport: String,
    /// User-Agent.
    pub agent: String,
    /// Call-ID of its registrations; a new one for every phone.
    pub call_id: String,
    /// Expires of its registrations, in seconds.
    pub expires: u32,
    /// Codecs it accepts.
    pub codecs: Vec<String>,
    /// Whether the profile asks for a password (otherwise `username` is `unknown`).
    pub authenticated: bool,
    /// The SIP profile it registers on; the server's when empty.
    pub profile: String,
}

impl PhoneSpec {
    /// An authenticated UDP phone without push parameters; its address is chosen when it is added.
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
        }
    }

    /// With these Contact parameters (`pn-provider=apns;...`).
    #[must_use]
    pub fn params(mut self, params: &str) -> Self {
        params.clone_into(&mut self.params);
        self
    }

    /// Behind a NAT that hides this private `ip:port`.
    #[must_use]
    pub fn behind(mut self, private: &str) -> Self {
        self.behind = Some(private.to_owned());
        self
    }

    /// At this network address.
    #[must_use]
    pub fn at(mut self, address: &str) -> Self {
        address.clone_into(&mut self.address);
        self
    }

    /// Accepting only these codecs.
    #[must_use]
    pub fn codecs(mut self, codecs: &[&str]) -> Self {
        self.codecs = codecs.iter().map(|codec| (*codec).to_owned()).collect();
        self
    }
}

/// What a phone does with an INVITE while it is awake (asleep it does nothing).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behaviour {
    /// Rings after the first time; answers after the second, counted from the INVITE, if there is one.
    Rings(Duration, Option<Duration>),
    /// Refuses with a SIP status (486, 603, 404, 408, 480, 503, ...) after a time; rings before when told.
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
    /// The transport is gone: the INVITE cannot be sent.
    Unreachable,
    /// Rings, answers and refuses only on the test's orders.
    Manual,
    /// Rings at once, answers after the first time, and hangs up when the second has passed since.
    HangsUp(Duration, Duration),
}

/// An INVITE that a phone got, and what happened to it.
#[derive(Debug, Clone)]
pub struct Invite {
    /// When FreeSWITCH began to originate it.
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
    /// The leg's variables, as FreeSWITCH read them out of the `originate`.
    pub variables: Vec<(String, String)>,
    /// Applications that were run on the leg, with their arguments expanded.
    pub executed: Vec<(String, String)>,
    /// Codecs in the offer.
    pub offer: Vec<String>,
    /// Whether the phone was awake to see it.
    pub seen: bool,
    /// Reason text of the CANCEL that ended it.
    pub cancel: Option<String>,
    /// Reason text of the BYE that ended it.
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

/// What a test makes a phone do by hand.
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

    /// What it does when called from now on.
    pub fn set_behaviour(&self, behaviour: Behaviour) {
        self.shared.change(|phone| phone.behaviour = behaviour);
    }

    /// What it is.
    pub fn spec(&self) -> PhoneSpec {
        lock(&self.shared.state).spec.clone()
    }

    /// Wakes and registers again, as an app does when a push starts it. Returns when the event was fired.
    pub fn wake(&self) -> Instant {
        self.shared.change(|phone| phone.awake = true);
        self.register()
    }

    /// Sends a REGISTER: a first one, or one with a new contact after [`Phone::change`]. The phone is awake afterwards.
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

    /// Changes what the phone is (new port, new token) for its next REGISTER.
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

    /// Falls asleep: its registration stays, INVITEs are not seen.
    pub fn sleep(&self) {
        self.shared.change(|phone| phone.awake = false);
    }

    /// Sends a REGISTER with Expires 0.
    pub fn unregister(&self) {
        self.core.unregister(&Registration::new(&self.spec()));
    }

    /// Lets its registration run out.
    pub fn expire(&self) {
        self.core.expire(&Registration::new(&self.spec()));
    }

    /// Closes its TCP, TLS or WebSocket connection (`reason: socket-disconnection`), and sleeps.
    pub fn disconnect(&self) {
        self.sleep();
        self.core.socket_disconnection(&Registration::new(&self.spec()));
    }

    /// The connection that it had when it was like this closes; it goes on with another.
    pub fn old_connection_closes(&self, was: &PhoneSpec) {
        self.core.socket_disconnection(&Registration::new(was));
    }

    /// The registration that it had when it was like this runs out.
    pub fn old_registration_expires(&self, was: &PhoneSpec) {
        self.core.expire(&Registration::new(was));
    }

    /// Answers or misses an OPTIONS ping (`sofia::sip_user_state`).
    pub fn ping(&self, reachable: bool) {
        self.core.ping(&Registration::new(&self.spec()), reachable);
    }

    /// The INVITEs so far, oldest first; those sent while it slept have `seen: false`.
    pub fn invites(&self) -> Vec<Invite> {
        lock(&self.shared.state).invites.clone()
    }

    /// Waits until `condition` holds for the INVITEs.
    ///
    /// # Panics
    ///
    /// After ten seconds.
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

    /// Waits for the `n`th INVITE (from 1) and returns it.
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

    /// Sends 180 for what it is called by now.
    pub fn ring(&self) {
        self.act(PhoneAct::Ring);
    }

    /// Sends 183 with media for what it is called by now.
    pub fn early_media(&self) {
        self.act(PhoneAct::Progress);
    }

    /// Answers what it is called by now.
    pub fn answer(&self) {
        self.act(PhoneAct::Answer);
    }

    /// Its user presses the key of `group_confirm_key`.
    pub fn press_key(&self) {
        self.act(PhoneAct::PressKey);
    }

    /// Refuses what it is called by now.
    pub fn refuse(&self, status: u16) {
        self.act(PhoneAct::Refuse(status));
    }

    /// Hangs up its answered call.
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
