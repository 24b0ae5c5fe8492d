//! A scriptable SIP phone on loopback, UDP only.
//!
//! It registers with digest authentication and any Contact, sleeps (hears nothing) and wakes (at a new port, or in
//! place), rings, answers, declines or stays silent as its [`Script`] says, places calls, and keeps a list of what
//! happened to it. Waiting for something that does not happen within [`PATIENCE`] fails the test and prints that list.

mod calls;
mod message;
mod register;

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::net::UdpSocket;
use tokio::sync::{oneshot, watch};

pub use self::calls::OutgoingCall;
pub use self::message::Message;

/// How long a phone waits for what must happen.
pub const PATIENCE: Duration = Duration::from_secs(15);
/// RFC 3261's T1.
const RETRANSMIT: Duration = Duration::from_millis(500);

/// What a phone does with an INVITE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// Rings, and is answered so long after it began to ring.
    Answer(Duration),
    /// Rings until somebody gives up.
    Ring,
    /// Says no with this status at once.
    Decline(u16),
    /// Says nothing at all.
    Silent,
}

/// How a phone behaves.
#[derive(Clone, Debug)]
pub struct Script {
    /// What it does with an INVITE.
    pub on_invite: Reaction,
    /// How long it takes before that.
    pub ring_after: Duration,
    /// Payload types that it can do, best first: 0 is PCMU, 8 is PCMA.
    pub codecs: Vec<u8>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            on_invite: Reaction::Answer(Duration::from_millis(100)),
            ring_after: Duration::ZERO,
            codecs: vec![0, 8],
        }
    }
}

impl From<Reaction> for Script {
    fn from(on_invite: Reaction) -> Self {
        Self {
            on_invite,
            ..Self::default()
        }
    }
}

/// What can happen to a phone.
#[derive(Clone, Debug)]
pub enum What {
    /// A REGISTER was answered with this status.
    Registered(u16),
    /// An INVITE came (once per dialog, not per retransmission).
    Invited(Arc<Message>),
    /// It sent 180.
    Rang,
    /// It sent 200.
    Answered,
    /// It sent this refusal.
    Declined(u16),
    /// The far end acknowledged its 200.
    Confirmed,
    /// The far end cancelled, for this Reason.
    Cancelled(Option<String>),
    /// The far end hung up, for this Reason.
    Ended(Option<String>),
    /// The far end answered our INVITE with this status.
    Response(u16),
}

/// Something that happened.
#[derive(Clone, Debug)]
pub struct Happening {
    /// When.
    pub at: Instant,
    /// In which dialog (Call-ID and tag); empty for registrations.
    pub dialog: String,
    /// What.
    pub what: What,
}

/// Whose phone it is and where its server is.
#[derive(Clone, Debug)]
pub struct Account {
    /// User part of the AOR.
    pub user: String,
    /// Domain part.
    pub domain: String,
    /// Digest password.
    pub password: String,
    /// The server's UDP address.
    pub server: SocketAddr,
}

/// A phone; clones are the same phone.
#[derive(Clone)]
pub struct Phone {
    inner: Arc<Inner>,
}

struct Inner {
    account: Account,
    state: Mutex<State>,
    changes: watch::Sender<usize>,
}

struct State {
    socket: Arc<UdpSocket>,
    awake: bool,
    script: Script,
    contact: String,
    display: String,
    happenings: Vec<Happening>,
    dialogs: HashMap<String, calls::Dialog>,
    answers: HashMap<(u32, String), oneshot::Sender<Message>>,
    registration: register::Registration,
    sequence: u32,
}

/// A word that no other has: for tags, branches and Call-IDs.
pub(crate) fn unique() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let nanos = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_nanos() & 0xffff_ffff_ffff);
    format!(
        "{nanos:x}{:x}x{:x}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

impl Phone {
    /// A phone that is switched on and has not registered.
    pub async fn new(account: Account, script: impl Into<Script>) -> Self {
        let socket = Arc::new(bind().await);
        let state = State {
            socket: socket.clone(),
            awake: true,
            script: script.into(),
            contact: format!("<sip:{}@127.0.0.1:PORT>", account.user),
            display: String::new(),
            happenings: Vec::new(),
            dialogs: HashMap::new(),
            answers: HashMap::new(),
            registration: register::Registration::default(),
            sequence: 0,
        };
        let phone = Self {
            inner: Arc::new(Inner {
                account,
                state: Mutex::new(state),
                changes: watch::Sender::new(0),
            }),
        };
        phone.listen(socket);
        phone
    }

    /// One reader per socket. What comes while it sleeps, or to a socket that it has left, is read and not heard.
    fn listen(&self, socket: Arc<UdpSocket>) {
        let phone = Arc::downgrade(&self.inner);
        tokio::spawn(async move {
            let mut buffer = vec![0; 65_536];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let Some(inner) = phone.upgrade() else { return };
                let phone = Phone { inner };
                let hears = {
                    let state = phone.lock();
                    state.awake && Arc::ptr_eq(&state.socket, &socket)
                };
                if hears && let Some(message) = Message::parse(&buffer[..length]) {
                    phone.heard(message, from);
                }
            }
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its account.
    pub fn account(&self) -> &Account {
        &self.inner.account
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.lock().socket.local_addr().expect("a bound socket")
    }

    /// Puts this text behind `<sip:user@host:port` of its Contact, `>` included if there is to be one, and anything after.
    pub fn contact_params(&self, params: &str) {
        let user = &self.inner.account.user;
        self.lock().contact = format!("<sip:{user}@127.0.0.1:PORT{params}>");
    }

    /// Makes this the whole value of its Contact; `PORT` stands for its port.
    pub fn contact_text(&self, contact: &str) {
        contact.clone_into(&mut self.lock().contact);
    }

    /// Puts this text before the URI in its From, quotes included if there are to be any.
    pub fn display_name(&self, display: &str) {
        display.clone_into(&mut self.lock().display);
    }

    /// From now on it behaves like this.
    pub fn behave(&self, script: impl Into<Script>) {
        self.lock().script = script.into();
    }

    /// Falls asleep: its socket stays open, and it hears nothing.
    pub fn sleep(&self) {
        self.lock().awake = false;
    }

    /// Wakes up at the same port. It has not registered yet.
    pub fn wake_in_place(&self) {
        self.lock().awake = true;
    }

    /// Wakes up at a new port and with a new Call-ID for its REGISTERs. It has not registered yet. The old port stays silent.
    pub async fn wake_elsewhere(&self) {
        let socket = Arc::new(bind().await);
        {
            let mut state = self.lock();
            state.awake = true;
            state.socket = socket.clone();
            state.registration = register::Registration::default();
        }
        self.listen(socket);
    }

    fn send(&self, text: &str, to: SocketAddr) {
        let socket = self.lock().socket.clone();
        if socket.try_send_to(text.as_bytes(), to).is_err() {
            let text = text.to_owned();
            tokio::spawn(async move { socket.send_to(text.as_bytes(), to).await });
        }
    }

    fn happened(&self, at: Instant, dialog: &str, what: What) {
        let mut state = self.lock();
        state.happenings.push(Happening {
            at,
            dialog: dialog.to_owned(),
            what,
        });
        let count = state.happenings.len();
        drop(state);
        self.inner.changes.send_replace(count);
    }

    /// All that has happened so far.
    pub fn happenings(&self) -> Vec<Happening> {
        self.lock().happenings.clone()
    }

    /// How often something happened.
    pub fn count(&self, wanted: impl Fn(&What) -> bool) -> usize {
        self.lock().happenings.iter().filter(|h| wanted(&h.what)).count()
    }

    /// Waits for something that happens, or happened already; fails the test when it does not.
    pub async fn expect(&self, name: &str, wanted: impl Fn(&Happening) -> bool) -> Happening {
        match self.wait(PATIENCE, wanted).await {
            Some(happening) => happening,
            None => panic!(
                "phone {}: no {name} within {PATIENCE:?}; {}",
                self.inner.account.user,
                self.story()
            ),
        }
    }

    /// Waits so long for something that happens, or happened already.
    pub async fn wait(&self, patience: Duration, wanted: impl Fn(&Happening) -> bool) -> Option<Happening> {
        let mut changes = self.inner.changes.subscribe();
        let find = async {
            loop {
                changes.mark_unchanged();
                if let Some(found) = self.lock().happenings.iter().find(|h| wanted(h)) {
                    return found.clone();
                }
                if changes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::time::timeout(patience, find).await.ok()
    }

    /// The list of happenings as text.
    pub fn story(&self) -> String {
        let state = self.lock();
        let Some(first) = state.happenings.first().map(|h| h.at) else {
            return "nothing happened".to_owned();
        };
        let mut story = "what happened:".to_owned();
        for h in &state.happenings {
            let what = match &h.what {
                What::Invited(invite) => format!("Invited, From {}", invite.header("From")),
                what => format!("{what:?}"),
            };
            let ms = (h.at - first).as_millis();
            story.push_str(&format!("\n  {ms:>6} ms [{}] {what}", h.dialog));
        }
        story
    }

    /// Waits until so many of its REGISTERs were accepted; when the last of them was.
    pub async fn registered(&self, times: usize) -> Instant {
        let mut changes = self.inner.changes.subscribe();
        let find = async {
            loop {
                changes.mark_unchanged();
                let accepted = |h: &&Happening| matches!(h.what, What::Registered(200));
                if let Some(nth) = self.happenings().iter().filter(accepted).nth(times - 1) {
                    return nth.at;
                }
                if changes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        match tokio::time::timeout(PATIENCE, find).await {
            Ok(at) => at,
            Err(_) => panic!(
                "phone {}: no REGISTER number {times}; {}",
                self.inner.account.user,
                self.story()
            ),
        }
    }

    /// Waits for the first INVITE.
    pub async fn invited(&self) -> Arc<Message> {
        let found = self.expect("INVITE", |h| matches!(h.what, What::Invited(_))).await;
        let What::Invited(invite) = found.what else {
            unreachable!()
        };
        invite
    }

    /// How many INVITEs came.
    pub fn invites(&self) -> usize {
        self.count(|w| matches!(w, What::Invited(_)))
    }

    /// Waits until it rings.
    pub async fn rang(&self) -> Instant {
        self.expect("ringing", |h| matches!(h.what, What::Rang)).await.at
    }

    /// Waits until its answer is acknowledged.
    pub async fn on_the_line(&self) -> Instant {
        self.expect("answered call", |h| matches!(h.what, What::Confirmed))
            .await
            .at
    }

    /// Waits until it has declined.
    pub async fn declined(&self) -> Instant {
        self.expect("decline", |h| matches!(h.what, What::Declined(_))).await.at
    }

    /// Waits for a CANCEL and says when it came and its Reason.
    pub async fn cancelled(&self) -> (Instant, String) {
        let found = self.expect("CANCEL", |h| matches!(h.what, What::Cancelled(_))).await;
        let What::Cancelled(reason) = found.what else {
            unreachable!()
        };
        (found.at, reason.unwrap_or_default())
    }

    /// Waits for a BYE.
    pub async fn ended(&self) -> Instant {
        self.expect("BYE", |h| matches!(h.what, What::Ended(_))).await.at
    }

    fn heard(&self, message: Message, from: SocketAddr) {
        match (message.status(), message.method()) {
            (Some(status), "INVITE") => self.heard_response(&message, status),
            (Some(status), method) => {
                if status >= 200 {
                    let waiter = self.lock().answers.remove(&(message.sequence(), method.to_owned()));
                    if let Some(waiter) = waiter {
                        if method == "REGISTER" && status != 401 {
                            self.happened(message.at, "", What::Registered(status));
                        }
                        let _ = waiter.send(message);
                    }
                }
            }
            (None, "INVITE") => self.heard_invite(message, from),
            (None, "CANCEL") => self.heard_cancel(&message, from),
            (None, "ACK") => self.heard_ack(&message),
            (None, "BYE") => self.heard_bye(&message, from),
            (None, _) => self.send(&self.response(&message, 200, None, ""), from),
        }
    }

    /// Sends a request until it is answered for good.
    async fn transact(&self, request: &str, sequence: u32, method: &str, to: SocketAddr) -> Option<Message> {
        let (sender, mut answer) = oneshot::channel();
        self.lock().answers.insert((sequence, method.to_owned()), sender);
        let mut pause = RETRANSMIT;
        for _ in 0..6 {
            self.send(request, to);
            if let Ok(answer) = tokio::time::timeout(pause, &mut answer).await {
                return answer.ok();
            }
            pause *= 2;
        }
        None
    }

    fn contact(&self) -> String {
        let state = self.lock();
        let port = state.socket.local_addr().map_or(0, |a| a.port());
        state.contact.replace("PORT", &port.to_string())
    }

    fn next_sequence(&self) -> u32 {
        let mut state = self.lock();
        state.sequence += 1;
        state.sequence
    }

    fn response(&self, request: &Message, status: u16, tag: Option<&str>, body: &str) -> String {
        let mut text = format!("SIP/2.0 {status} {}\r\n", phrase(status));
        for (name, value) in &request.headers {
            if ["Via", "Record-Route", "From", "Call-ID", "CSeq"]
                .iter()
                .any(|n| n.eq_ignore_ascii_case(name))
            {
                text.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        let to = request.header("To");
        match tag.filter(|_| request.tag("To").is_none()) {
            Some(tag) => text.push_str(&format!("To: {to};tag={tag}\r\n")),
            None => text.push_str(&format!("To: {to}\r\n")),
        }
        let contact = self.plain_contact();
        text.push_str(&format!("Contact: {contact}\r\nUser-Agent: live-phone\r\n"));
        finish(text, body)
    }

    /// The Contact of calls: never the odd one that it may have registered with.
    fn plain_contact(&self) -> String {
        format!("<sip:{}@{}>", self.inner.account.user, self.address())
    }
}

/// Appends the body's headers and the body.
fn finish(mut head: String, body: &str) -> String {
    if !body.is_empty() {
        head.push_str("Content-Type: application/sdp\r\n");
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    head
}

fn phrase(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        200 => "OK",
        480 => "Temporarily Unavailable",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        503 => "Service Unavailable",
        600 => "Busy Everywhere",
        603 => "Decline",
        _ => "Said So",
    }
}

async fn bind() -> UdpSocket {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a UDP port")
}
