//! An HTTP/2 server over TLS that misbehaves on demand.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

/// A fault that replaces the service's answer to a request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// This reply.
    Reply(Reply),
    /// No answer; the connection stays open.
    Hang,
    /// Closes the TCP connection.
    Close,
    /// Sends GOAWAY at once, and answers no request of the connection.
    GoAway,
    /// Sends RST_STREAM with REFUSED_STREAM.
    RefuseStream,
    /// The service's own answer, after a delay.
    Delay(Duration),
    /// This reply, with a Content-Length, up to the middle of its body.
    HalfReply(Reply, BreaksOff),
}

/// How a reply ends in the middle.
#[derive(Clone, Copy, Debug)]
pub enum BreaksOff {
    /// The TCP connection is closed.
    Close,
    /// The body ends (END_STREAM). HTTP/1.1 has no such end: there the connection is closed.
    ShortBody,
    /// RST_STREAM. HTTP/1.1 has none: there the connection is closed.
    Reset,
}

/// A reply.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Header fields.
    pub headers: Vec<(&'static str, String)>,
    /// Body.
    pub body: Vec<u8>,
}

impl Reply {
    /// A JSON reply.
    pub(crate) fn json(status: u16, body: &serde_json::Value) -> Self {
        Self {
            status,
            headers: vec![("content-type", "application/json".to_owned())],
            body: body.to_string().into_bytes(),
        }
    }
}

impl Fault {
    /// An APNs error.
    pub fn apns(status: u16, reason: &str) -> Self {
        Self::json(status, &serde_json::json!({ "reason": reason }))
    }

    /// An APNs 410 with its timestamp in milliseconds.
    pub fn gone(reason: &str, timestamp_ms: i64) -> Self {
        Self::json(410, &serde_json::json!({ "reason": reason, "timestamp": timestamp_ms }))
    }

    /// A Google error with FCM's error code in its details.
    pub fn fcm(http: u16, status: &str, code: &str) -> Self {
        let detail =
            serde_json::json!({ "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code });
        Self::google(http, status, "No text decides.", &[detail])
    }

    /// A Google error.
    pub fn google(http: u16, status: &str, message: &str, details: &[serde_json::Value]) -> Self {
        let error = serde_json::json!({ "code": http, "status": status, "message": message, "details": details });
        Self::json(http, &serde_json::json!({ "error": error }))
    }

    /// A JSON reply.
    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::Reply(Reply {
            status,
            headers: Vec::new(),
            body: body.to_string().into_bytes(),
        })
    }

    /// Adds a `Retry-After`.
    #[must_use]
    pub fn retry_after(mut self, value: &str) -> Self {
        if let Self::Reply(reply) = &mut self {
            reply.headers.push(("retry-after", value.to_owned()));
        }
        self
    }

    /// The same reply, broken off in each way.
    #[must_use]
    pub fn halves(&self) -> [Self; 3] {
        let Self::Reply(reply) = self else {
            panic!("only a reply can break off: {self:?}");
        };
        [BreaksOff::Close, BreaksOff::ShortBody, BreaksOff::Reset].map(|end| Self::HalfReply(reply.clone(), end))
    }
}

/// Faults to inject: into the next requests, or into every request for one token.
#[derive(Debug, Default)]
pub struct Faults(Mutex<(VecDeque<Fault>, HashMap<String, Fault>)>);

impl Faults {
    /// Adds a fault for the next request that has none.
    pub fn next(&self, fault: Fault) {
        self.lock().0.push_back(fault);
    }

    /// Sets a fault for every request for a token.
    pub fn token(&self, token: &str, fault: Fault) {
        self.lock().1.insert(token.to_owned(), fault);
    }

    /// Removes all faults.
    pub fn clear(&self) {
        *self.lock() = Default::default();
    }

    /// Takes the fault for a probe, which must have been set for its token.
    pub fn of_probe(&self, token: &str) -> Option<Fault> {
        self.lock().1.get(token).cloned()
    }

    /// Removes the fault that [`Faults::token`] set.
    pub fn mend(&self, token: &str) {
        self.lock().1.remove(token);
    }

    /// Takes the fault for a request.
    pub fn take(&self, token: &str) -> Option<Fault> {
        let mut faults = self.lock();
        let of_token = faults.1.get(token).cloned();
        of_token.or_else(|| faults.0.pop_front())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, (VecDeque<Fault>, HashMap<String, Fault>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A received request.
#[derive(Clone, Debug)]
pub struct HttpRequest {
    /// When its body was complete.
    pub at: Instant,
    /// Number of its connection, from 1.
    pub connection: usize,
    /// Method.
    pub method: String,
    /// Path with query.
    pub path: String,
    /// Header fields.
    pub headers: http::HeaderMap,
    /// Body.
    pub body: Bytes,
}

impl HttpRequest {
    /// A header field as text; empty when missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("")
    }
}

/// How a service handles a request.
pub trait Service: Send + Sync + 'static {
    /// Returns the reply, and a fault to apply first or instead.
    fn answer(&self, request: HttpRequest) -> (Reply, Option<Fault>);
}

/// A running server. It stops when dropped.
#[derive(Debug)]
pub struct Server {
    /// The listening address.
    pub addr: SocketAddr,
    connections: Arc<AtomicUsize>,
    shutdown: broadcast::Sender<Order>,
    accepting: tokio::task::JoinHandle<()>,
}

#[derive(Clone, Copy, Debug)]
enum Order {
    /// Sends GOAWAY; requests in progress are answered.
    Graceful,
    /// Closes the TCP connection.
    Close,
}

impl Server {
    /// Starts on a free port.
    pub async fn start(config: Arc<ServerConfig>, streams: u32, service: Arc<dyn Service>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("its address");
        let acceptor = TlsAcceptor::from(config);
        let connections = Arc::new(AtomicUsize::new(0));
        let (shutdown, _) = broadcast::channel(16);
        let (count, orders) = (Arc::clone(&connections), shutdown.clone());
        let accepting = tokio::spawn(async move {
            let mut serving = tokio::task::JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let (acceptor, count, orders) = (acceptor.clone(), Arc::clone(&count), orders.subscribe());
                serving.spawn(serve(socket, acceptor, count, orders, streams, Arc::clone(&service)));
            }
        });
        Self {
            addr,
            connections,
            shutdown,
            accepting,
        }
    }

    /// How many connections have completed TLS and HTTP/2 so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Sends GOAWAY on every connection; requests in progress are answered.
    pub fn go_away(&self) {
        let _ = self.shutdown.send(Order::Graceful);
    }

    /// Closes every connection.
    pub fn close_all(&self) {
        let _ = self.shutdown.send(Order::Close);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

enum Command {
    Close,
    GoAway,
}

async fn serve(
    socket: TcpStream,
    acceptor: TlsAcceptor,
    count: Arc<AtomicUsize>,
    mut orders: broadcast::Receiver<Order>,
    streams: u32,
    service: Arc<dyn Service>,
) {
    let _ = socket.set_nodelay(true);
    let Ok(tls) = acceptor.accept(socket).await else { return };
    let handshake = h2::server::Builder::new()
        .max_concurrent_streams(streams)
        .handshake(tls);
    let Ok(mut connection) = handshake.await else { return };
    let number = count.fetch_add(1, Ordering::SeqCst) + 1;
    let (commands, mut commanded) = mpsc::unbounded_channel();
    let mut requests = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = connection.accept() => match accepted {
                Some(Ok((request, respond))) => {
                    let (service, commands) = (Arc::clone(&service), commands.clone());
                    requests.spawn(handle(request, respond, number, service, commands));
                }
                _ => return,
            },
            Some(command) = commanded.recv() => match command {
                Command::Close => return,
                Command::GoAway => connection.abrupt_shutdown(Reason::NO_ERROR),
            },
            Ok(order) = orders.recv() => match order {
                Order::Close => return,
                Order::Graceful => connection.graceful_shutdown(),
            },
            Some(_) = requests.join_next() => {}
        }
    }
}

async fn handle(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    connection: usize,
    service: Arc<dyn Service>,
    commands: mpsc::UnboundedSender<Command>,
) {
    let (parts, mut stream) = request.into_parts();
    let mut body = Vec::new();
    while let Some(Ok(chunk)) = stream.data().await {
        let _ = stream.flow_control().release_capacity(chunk.len());
        body.extend_from_slice(&chunk);
    }
    let received = HttpRequest {
        at: Instant::now(),
        connection,
        method: parts.method.to_string(),
        path: parts.uri.path_and_query().map_or_else(String::new, ToString::to_string),
        headers: parts.headers,
        body: body.into(),
    };
    let (reply, fault) = service.answer(received);
    let reply = match fault {
        None => reply,
        Some(Fault::Reply(other)) => other,
        Some(Fault::Delay(time)) => {
            tokio::time::sleep(time).await;
            reply
        }
        Some(Fault::Hang) => {
            // Keeps the stream open until the client gives up on it.
            let _ = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
            return;
        }
        Some(Fault::RefuseStream) => return respond.send_reset(Reason::REFUSED_STREAM),
        Some(Fault::Close) => {
            let _ = commands.send(Command::Close);
            return std::future::pending().await;
        }
        Some(Fault::GoAway) => {
            let _ = commands.send(Command::GoAway);
            return std::future::pending().await;
        }
        Some(Fault::HalfReply(reply, end)) => return send_half(respond, reply, end, &commands).await,
    };
    let empty = reply.body.is_empty();
    let response = head(&reply).body(()).expect("a valid reply");
    if let Ok(mut send) = respond.send_response(response, empty)
        && !empty
    {
        let _ = send.send_data(reply.body.into(), true);
    }
}

fn head(reply: &Reply) -> http::response::Builder {
    let fields = reply.headers.iter();
    fields.fold(Response::builder().status(reply.status), |head, (name, value)| {
        head.header(*name, value)
    })
}

async fn send_half(
    mut respond: SendResponse<Bytes>,
    mut reply: Reply,
    end: BreaksOff,
    commands: &mpsc::UnboundedSender<Command>,
) {
    let response = head(&reply).header("content-length", reply.body.len()).body(());
    let Ok(mut send) = respond.send_response(response.expect("a reply that can be sent"), false) else {
        return;
    };
    reply.body.truncate(reply.body.len() / 2);
    let _ = send.send_data(reply.body.into(), matches!(end, BreaksOff::ShortBody));
    // The connection has to send it first: a reset and a close drop what still waits.
    tokio::time::sleep(Duration::from_millis(50)).await;
    match end {
        BreaksOff::Reset => send.send_reset(Reason::INTERNAL_ERROR),
        BreaksOff::Close => {
            let _ = commands.send(Command::Close);
            std::future::pending::<()>().await;
        }
        BreaksOff::ShortBody => {}
    }
}
