//! What a phone's messages go through: a UDP socket, or the one TCP connection that it has with its server.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::Mutex;

use super::{Message, websocket};

/// The longest message.
const LONGEST: usize = 65_536;

/// How a phone reaches its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Transport {
    /// Datagrams.
    #[default]
    Udp,
    /// A connection, which ends when the phone falls asleep, as with apps that are put to sleep.
    Tcp,
    /// A WebSocket connection (RFC 7118), as browsers have.
    Ws,
}

/// An open socket.
pub(super) enum Wire {
    Udp(UdpSocket),
    Tcp {
        local: SocketAddr,
        server: SocketAddr,
        read: Mutex<(OwnedReadHalf, Vec<u8>)>,
        write: Mutex<OwnedWriteHalf>,
        is_websocket: bool,
    },
}

impl Wire {
    pub async fn open(transport: Transport, server: SocketAddr) -> Self {
        match transport {
            Transport::Udp => Self::Udp(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a UDP port")),
            Transport::Tcp | Transport::Ws => {
                let mut stream = TcpStream::connect(server).await.expect("a TCP connection");
                stream.set_nodelay(true).expect("a socket");
                let is_websocket = transport == Transport::Ws;
                if is_websocket {
                    websocket::shake_hands(&mut stream).await;
                }
                let local = stream.local_addr().expect("its address");
                let (read, write) = stream.into_split();
                Self::Tcp {
                    local,
                    server,
                    read: Mutex::new((read, Vec::new())),
                    write: Mutex::new(write),
                    is_websocket,
                }
            }
        }
    }

    pub fn address(&self) -> SocketAddr {
        match self {
            Self::Udp(socket) => socket.local_addr().expect("a bound socket"),
            Self::Tcp { local, .. } => *local,
        }
    }

    /// As in a Via.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Udp(_) => "UDP",
            Self::Tcp { is_websocket: true, .. } => "WS",
            Self::Tcp { .. } => "TCP",
        }
    }

    /// What a Contact says of it.
    pub fn parameter(&self) -> &'static str {
        match self {
            Self::Udp(_) => "",
            Self::Tcp { is_websocket: true, .. } => ";transport=ws",
            Self::Tcp { .. } => ";transport=tcp",
        }
    }

    /// The next message; `None` when there will be none.
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
            Self::Tcp {
                server,
                read,
                is_websocket,
                ..
            } => {
                let (stream, buffer) = &mut *read.lock().await;
                loop {
                    if *is_websocket {
                        match websocket::take_frame(buffer) {
                            Some(payload) => match Message::parse(&payload) {
                                Some(message) => return Some((message, *server)),
                                None => continue,
                            },
                            None if stream.read_buf(buffer).await.ok()? == 0 => return None,
                            None => continue,
                        }
                    }
                    // Keep-alives (RFC 5626) stand between messages.
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
            Self::Tcp {
                write, is_websocket, ..
            } => {
                let bytes = websocket::framed(text, *is_websocket);
                let _ = write.lock().await.write_all(&bytes).await;
            }
        }
    }

    /// Sends at once if that is possible.
    pub fn try_send(&self, text: &str, to: SocketAddr) -> bool {
        match self {
            Self::Udp(socket) => socket.try_send_to(text.as_bytes(), to).is_ok(),
            Self::Tcp {
                write, is_websocket, ..
            } => {
                let bytes = websocket::framed(text, *is_websocket);
                let sent = write.try_lock().ok().and_then(|s| s.try_write(&bytes).ok());
                assert!(sent.is_none_or(|n| n == bytes.len()), "a message was cut");
                sent.is_some()
            }
        }
    }

    /// Ends a connection.
    pub async fn close(&self) {
        if let Self::Tcp { write, .. } = self {
            let _ = write.lock().await.shutdown().await;
        }
    }
}

/// How long the message at the beginning is, once all of it is there.
fn complete(buffer: &[u8]) -> Option<usize> {
    let head = buffer.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let message = Message::parse(&buffer[..head]);
    let body = message.and_then(|m| m.header("Content-Length").parse::<usize>().ok());
    let length = head + body.unwrap_or_default();
    (buffer.len() >= length).then_some(length)
}
