//! A phone's transport: a UDP socket, or a connection to its server.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::Mutex;
use tokio::task::unconstrained;
use tokio_rustls::TlsConnector;

use super::{Account, Message, websocket};
use crate::tls::OF_FREESWITCH;

/// The longest message.
const LONGEST: usize = 65_536;

/// The transport between a phone and its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Transport {
    /// Datagrams.
    #[default]
    Udp,
    /// A TCP connection. It is closed when the phone falls asleep, as by apps that are suspended.
    Tcp,
    /// A TLS connection.
    Tls,
    /// A WebSocket connection (RFC 7118), as from browsers.
    Ws,
    /// A WebSocket connection over TLS.
    Wss,
}

impl Transport {
    /// All transports.
    pub const ALL: [Self; 5] = [Self::Udp, Self::Tcp, Self::Tls, Self::Ws, Self::Wss];
    /// Transports with a connection of the phone's own.
    pub const CONNECTIONS: [Self; 4] = [Self::Tcp, Self::Tls, Self::Ws, Self::Wss];

    /// For a connection on which messages must be framed.
    fn is_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }
}

type Incoming = Box<dyn AsyncRead + Send + Unpin>;
type Outgoing = Box<dyn AsyncWrite + Send + Unpin>;

/// An open socket.
pub(super) enum Wire {
    Udp(UdpSocket),
    Connection {
        transport: Transport,
        local: SocketAddr,
        server: SocketAddr,
        read: Mutex<(Incoming, Vec<u8>)>,
        write: Mutex<Outgoing>,
    },
}

impl Wire {
    pub async fn open(transport: Transport, account: &Account) -> Self {
        let server = account.server_of(transport);
        if transport == Transport::Udp {
            let local: IpAddr = match server {
                SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            };
            return Self::Udp(UdpSocket::bind((local, 0)).await.expect("a UDP port"));
        }
        let mut stream = TcpStream::connect(server).await.expect("a TCP connection");
        stream.set_nodelay(true).expect("a socket");
        let local = stream.local_addr().expect("its address");
        let (read, write): (Incoming, Outgoing) = if matches!(transport, Transport::Tls | Transport::Wss) {
            let connector = TlsConnector::from(OF_FREESWITCH.client());
            let name = "localhost".try_into().expect("a name");
            let mut stream = connector.connect(name, stream).await.expect("a TLS connection");
            if transport.is_websocket() {
                websocket::shake_hands(&mut stream).await;
            }
            let (read, write) = tokio::io::split(stream);
            (Box::new(read), Box::new(write))
        } else {
            if transport.is_websocket() {
                websocket::shake_hands(&mut stream).await;
            }
            let (read, write) = stream.into_split();
            (Box::new(read), Box::new(write))
        };
        Self::Connection {
            transport,
            local,
            server,
            read: Mutex::new((read, Vec::new())),
            write: Mutex::new(write),
        }
    }

    pub fn address(&self) -> SocketAddr {
        match self {
            Self::Udp(socket) => socket.local_addr().expect("a bound socket"),
            Self::Connection { local, .. } => *local,
        }
    }

    /// The address in its Contact and Via. A WebSocket cannot be connected to, so there it is a name, as in RFC 7118.
    pub fn place(&self, name: &str) -> String {
        match self {
            Self::Connection { transport, .. } if transport.is_websocket() => format!("{name}.invalid"),
            _ => self.address().to_string(),
        }
    }

    /// The transport's name in a Via.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Udp(_) => "UDP",
            Self::Connection { transport, .. } => match transport {
                Transport::Tls => "TLS",
                Transport::Ws => "WS",
                Transport::Wss => "WSS",
                _ => "TCP",
            },
        }
    }

    /// The transport's parameter in a Contact.
    pub fn parameter(&self) -> &'static str {
        match self {
            Self::Udp(_) => "",
            Self::Connection { transport, .. } => match transport {
                Transport::Tls => ";transport=tls",
                // The same with TLS, as in JsSIP.
                Transport::Ws | Transport::Wss => ";transport=ws",
                _ => ";transport=tcp",
            },
        }
    }

    /// The next message; `None` once the connection has ended.
    pub async fn receive(&self) -> Option<(Message, SocketAddr)> {
        match self {
            Self::Udp(socket) => {
                let mut buffer = vec![0; LONGEST];
                loop {
                    let (length, from) = socket.recv_from(&mut buffer).await.ok()?;
                    if let Some(message) = Message::parse(&buffer[..length]) {
                        return Some((message, from));
                    }
                }
            }
            Self::Connection {
                transport,
                server,
                read,
                ..
            } => {
                let (stream, buffer) = &mut *read.lock().await;
                loop {
                    if transport.is_websocket() {
                        match websocket::take_frame(buffer) {
                            Some(payload) => match Message::parse(&payload) {
                                Some(message) => return Some((message, *server)),
                                None => continue,
                            },
                            None if stream.read_buf(buffer).await.ok()? == 0 => return None,
                            None => continue,
                        }
                    }
                    // Keep-alives (RFC 5626) may come between messages.
                    let blank = buffer.iter().take_while(|b| b"\r\n".contains(*b)).count();
                    buffer.drain(..blank);
                    if let Some(length) = complete(buffer) {
                        let message = Message::parse(&buffer[..length]);
                        buffer.drain(..length);
                        if let Some(message) = message {
                            return Some((message, *server));
                        }
                        continue;
                    }
                    if stream.read_buf(buffer).await.ok()? == 0 {
                        return None;
                    }
                }
            }
        }
    }

    pub async fn send(&self, text: &str, to: SocketAddr) {
        match self {
            Self::Udp(socket) => {
                let _ = socket.send_to(text.as_bytes(), to).await;
            }
            Self::Connection { transport, write, .. } => {
                let bytes = websocket::framed(text, transport.is_websocket());
                let mut write = write.lock().await;
                let _ = write.write_all(&bytes).await;
                let _ = write.flush().await;
            }
        }
    }

    /// Sends at once if possible.
    pub fn try_send(&self, text: &str, to: SocketAddr) -> bool {
        match self {
            Self::Udp(socket) => socket.try_send_to(text.as_bytes(), to).is_ok(),
            Self::Connection { transport, write, .. } => {
                let bytes = websocket::framed(text, transport.is_websocket());
                let Ok(mut write) = write.try_lock() else { return false };
                let all = pin!(async {
                    let _ = write.write_all(&bytes).await;
                    let _ = write.flush().await;
                });
                // `unconstrained`, so that tokio's budget for tasks does not delay it.
                let all = pin!(unconstrained(all));
                let sent = all.poll(&mut Context::from_waker(Waker::noop()));
                assert!(matches!(sent, Poll::Ready(())), "only part of a message could be sent");
                true
            }
        }
    }

    /// Closes a connection.
    pub async fn close(&self) {
        if let Self::Connection { write, .. } = self {
            let _ = write.lock().await.shutdown().await;
        }
    }
}

/// The length of the first message, once it is complete.
fn complete(buffer: &[u8]) -> Option<usize> {
    let head = buffer.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let message = Message::parse(&buffer[..head]);
    let body = message.and_then(|m| m.header("Content-Length").parse::<usize>().ok());
    let length = head + body.unwrap_or_default();
    (buffer.len() >= length).then_some(length)
}
