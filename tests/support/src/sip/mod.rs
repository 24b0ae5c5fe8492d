//! A scriptable SIP phone on loopback.
//!
//! It registers with digest authentication and any Contact, sleeps (receives nothing) and wakes (at a new port or the
//! old one). It rings, answers, declines or stays silent as its [`Script`] says, places calls, and records what
//! happened. If something that a test waits for does not happen within [`PATIENCE`], the test fails and prints that
//! record.

mod auth;
mod dialog;
mod incoming;
mod lamp;
mod message;
mod outgoing;
mod register;
mod script;
mod sdp;
mod sound;
mod story;
mod stream;
mod websocket;
mod wire;
mod within;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{oneshot, watch};

pub use self::message::Message;
pub use self::outgoing::OutgoingCall;
pub use self::script::{Reaction, Script};
pub use self::sdp::{Direction, Media, Session, read as read_sdp};
pub use self::sound::{Noise, level_of};
pub use self::story::{StoryEvent, What};
pub use self::wire::Transport;
use self::wire::Wire;
pub use self::within::Leg;

/// How long a phone waits for an expected event.
pub const PATIENCE: Duration = Duration::from_secs(15);
/// RFC 3261's T1.
const RETRANSMIT: Duration = Duration::from_millis(500);

/// A phone's user and server.
#[derive(Clone, Debug)]
pub struct Account {
    /// User part of the AOR.
    pub user: String,
    /// Domain part.
    pub domain: String,
    /// Digest password.
    pub password: String,
    /// The server's address for UDP and TCP.
    pub server: SocketAddr,
    /// Its address for TLS.
    pub tls_server: SocketAddr,
    /// The server's address for WebSockets.
    pub ws_server: SocketAddr,
    /// The server's address for secure WebSockets.
    pub wss_server: SocketAddr,
}

impl Account {
    /// The server's address for this transport.
    pub fn server_of(&self, transport: Transport) -> SocketAddr {
        match transport {
            Transport::Udp | Transport::Tcp => self.server,
            Transport::Tls => self.tls_server,
            Transport::Ws => self.ws_server,
            Transport::Wss => self.wss_server,
        }
    }
}

/// A phone. Clones are the same phone.
#[derive(Clone)]
pub struct Phone {
    inner: Arc<Inner>,
}

struct Inner {
    account: Account,
    state: Mutex<State>,
    changes: watch::Sender<usize>,
    frozen: watch::Sender<bool>,
}

struct State {
    socket: Arc<Wire>,
    transport: Transport,
    awake: bool,
    script: Script,
    contact: String,
    /// Its host name where it has no address of its own: the same for all its connections, as with JsSIP.
    name: String,
    display: String,
    happenings: Vec<StoryEvent>,
    dialogs: HashMap<String, dialog::Dialog>,
    answers: HashMap<(u32, String), oneshot::Sender<Message>>,
    registration: register::Registration,
    sequence: u32,
}

/// An address that a phone has left.
pub struct OldLocation(Arc<Wire>);

impl OldLocation {
    /// The address.
    pub fn address(&self) -> SocketAddr {
        self.0.address()
    }

    /// Closes its connection.
    pub async fn close(&self) {
        self.0.close().await;
    }
}

/// A unique word for tags, branches and Call-IDs.
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
    /// A phone that is switched on and not registered.
    pub async fn new(account: Account, script: impl Into<Script>) -> Self {
        let script = script.into();
        let transport = script.transport;
        let socket = Arc::new(Wire::open(transport, &account).await);
        let name = unique();
        let state = State {
            socket: socket.clone(),
            transport,
            awake: true,
            script,
            contact: format!("<sip:{}@PLACE{}>", account.user, socket.parameter()),
            name,
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
                frozen: watch::Sender::new(false),
            }),
        };
        phone.listen(socket);
        phone
    }

    /// Reads a socket, one task for each. Messages that arrive while the phone sleeps, or on a socket that it has left,
    /// are dropped.
    fn listen(&self, socket: Arc<Wire>) {
        let phone = Arc::downgrade(&self.inner);
        tokio::spawn(async move {
            while let Some((message, from)) = socket.receive().await {
                let Some(inner) = phone.upgrade() else { return };
                let phone = Phone { inner };
                let mut frozen = phone.inner.frozen.subscribe();
                let _ = frozen.wait_for(|is_frozen| !is_frozen).await;
                let hears = {
                    let state = phone.lock();
                    state.awake && Arc::ptr_eq(&state.socket, &socket)
                };
                if hears {
                    phone.heard(message, from);
                }
            }
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The phone's account.
    pub fn account(&self) -> &Account {
        &self.inner.account
    }

    /// Its local address.
    pub fn address(&self) -> SocketAddr {
        self.lock().socket.address()
    }

    /// The host of its Contact, with the port if there is one.
    pub fn place(&self) -> String {
        let state = self.lock();
        state.socket.place(&state.name)
    }

    /// Appends this text to `<sip:user@host:port` of its Contact. The text includes the `>`, if there is to be one.
    pub fn contact_params(&self, params: &str) {
        let user = &self.inner.account.user;
        let mut state = self.lock();
        state.contact = format!("<sip:{user}@PLACE{}{params}>", state.socket.parameter());
    }

    /// Sets the whole value of its Contact. `PORT` is replaced by its port, `PLACE` by its address and port.
    pub fn contact_text(&self, contact: &str) {
        contact.clone_into(&mut self.lock().contact);
    }

    /// The whole value of its Contact, before `PLACE` and `PORT` are replaced.
    pub fn own_contact(&self) -> String {
        self.lock().contact.clone()
    }

    /// Sets the text before the URI in its From, including any quotes.
    pub fn display_name(&self, display: &str) {
        display.clone_into(&mut self.lock().display);
    }

    /// Changes its behaviour.
    pub fn behave(&self, script: impl Into<Script>) {
        self.lock().script = script.into();
    }

    /// Falls asleep: a UDP socket stays open but receives nothing, a connection is closed.
    pub fn sleep(&self) {
        let mut state = self.lock();
        state.awake = false;
        let socket = state.socket.clone();
        drop(state);
        tokio::spawn(async move { socket.close().await });
    }

    /// Falls asleep without closing its connection: to the server it seems to be there.
    pub fn doze(&self) {
        self.lock().awake = false;
    }

    /// Suspends it. Messages wait in its socket.
    pub fn freeze(&self) {
        self.inner.frozen.send_replace(true);
    }

    /// Resumes it. It then gets the waiting messages.
    pub fn thaw(&self) {
        self.inner.frozen.send_replace(false);
    }

    /// Wakes it up at the same port. It has not registered yet.
    pub fn wake_in_place(&self) {
        self.lock().awake = true;
    }

    /// Moves it to a new port with the same Call-ID for its REGISTERs, as when a phone changes networks. It has not
    /// registered there yet. The old socket stays open and silent until it is closed.
    pub async fn move_elsewhere(&self) -> OldLocation {
        let transport = self.lock().transport;
        let socket = Arc::new(Wire::open(transport, self.account()).await);
        let old = std::mem::replace(&mut self.lock().socket, socket.clone());
        self.listen(socket);
        OldLocation(old)
    }

    /// Wakes it up at a new port, with a new Call-ID for its REGISTERs. It has not registered yet. The old port stays
    /// silent.
    pub async fn wake_elsewhere(&self) {
        let transport = self.lock().transport;
        let socket = Arc::new(Wire::open(transport, self.account()).await);
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
        if !socket.try_send(text, to) {
            let text = text.to_owned();
            tokio::spawn(async move { socket.send(&text, to).await });
        }
    }

    fn heard(&self, message: Message, from: SocketAddr) {
        match (message.status(), message.method()) {
            (Some(status), "INVITE") => self.heard_response(message, status),
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
            (None, _) => self.heard_request(message, from),
        }
    }

    /// Sends a request, and repeats it until it has a final answer.
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
        let (place, port) = (state.socket.place(&state.name), state.socket.address().port());
        state
            .contact
            .replace("PLACE", &place)
            .replace("PORT", &port.to_string())
    }

    /// A Via with its own branch.
    fn via(&self, branch: &str) -> String {
        let state = self.lock();
        let (name, place) = (state.socket.name(), state.socket.place(&state.name));
        format!("SIP/2.0/{name} {place};rport;branch={branch}")
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
                let _ = write!(text, "{name}: {value}\r\n");
            }
        }
        let to = request.header("To");
        match tag.filter(|_| request.tag("To").is_none()) {
            Some(tag) => write!(text, "To: {to};tag={tag}\r\n"),
            None => write!(text, "To: {to}\r\n"),
        }
        .expect("writing to a string cannot fail");
        let contact = self.plain_contact();
        let params = self.lock().script.contact_params.clone();
        let contact = contact.replace('>', &format!("{params}>"));
        let _ = write!(text, "Contact: {contact}\r\nUser-Agent: live-phone\r\n");
        finish(text, body)
    }

    /// The Contact for calls, without the odd forms that it may register with.
    fn plain_contact(&self) -> String {
        let state = self.lock();
        let (user, place) = (&self.inner.account.user, state.socket.place(&state.name));
        format!("<sip:{user}@{place}{}>", state.socket.parameter())
    }
}

/// Appends the headers of the body, and the body.
fn finish(mut head: String, body: &str) -> String {
    if !body.is_empty() {
        head.push_str("Content-Type: application/sdp\r\n");
    }
    let _ = write!(head, "Content-Length: {}\r\n\r\n{body}", body.len());
    head
}

fn phrase(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        183 => "Session Progress",
        200 => "OK",
        202 => "Accepted",
        302 => "Moved Temporarily",
        404 => "Not Found",
        480 => "Temporarily Unavailable",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        500 => "Server Internal Error",
        503 => "Service Unavailable",
        600 => "Busy Everywhere",
        603 => "Decline",
        _ => "Said So",
    }
}
