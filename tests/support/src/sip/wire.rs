//! What a phone sends and hears with: a UDP port, or a TCP connection to its server on which the server's requests come back.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::{Mutex, mpsc};

use super::{Account, Message};

/// How a phone reaches its server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// One datagram per message.
    #[default]
    Udp,
    /// One connection for registrations and calls (RFC 3261 section 18).
    Tcp,
}

impl Transport {
    /// As Via has it.
    pub(super) fn in_via(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        }
    }

    /// As the URI of a Contact has it.
    pub(super) fn in_uri(self) -> &'static str {
        match self {
            Self::Udp => "",
            Self::Tcp => ";transport=tcp",
        }
    }
}

/// One socket of a phone. Only one task reads it.
pub(super) enum Wire {
    Udp(UdpSocket),
    Tcp(Connection),
}

/// A TCP connection. It closes when dropped.
pub(super) struct Connection {
    local: SocketAddr,
    server: SocketAddr,
    reader: Mutex<BufReader<OwnedReadHalf>>,
    /// Messages in the order in which they were sent.
    queue: mpsc::UnboundedSender<String>,
}

impl Wire {
    /// A new port, and for TCP a new connection.
    pub async fn open(account: &Account) -> Self {
        match account.transport {
            Transport::Udp => Self::Udp(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a UDP port")),
            Transport::Tcp => {
                let connection = Connection::open(account.server).await;
                Self::Tcp(connection.expect("FreeSWITCH accepts SIP over TCP"))
            }
        }
    }

    pub fn address(&self) -> SocketAddr {
        match self {
            Self::Udp(socket) => socket.local_addr().expect("a bound socket"),
            Self::Tcp(connection) => connection.local,
        }
    }

    /// Sends a message to this place, over TCP always to the server.
    pub fn send(self: &Arc<Self>, text: &str, to: SocketAddr) {
        match &**self {
            Self::Udp(socket) => {
                if socket.try_send_to(text.as_bytes(), to).is_err() {
                    let (wire, text) = (self.clone(), text.to_owned());
                    tokio::spawn(async move {
                        if let Self::Udp(socket) = &*wire {
                            let _ = socket.send_to(text.as_bytes(), to).await;
                        }
                    });
                }
            }
            // A closed connection is silent, as a lost datagram is.
            Self::Tcp(connection) => {
                let _ = connection.queue.send(text.to_owned());
            }
        }
    }

    /// The next message and where it came from; no message for keep-alives and other noise.
    pub async fn next(&self, buffer: &mut Vec<u8>) -> io::Result<(Option<Message>, SocketAddr)> {
        match self {
            Self::Udp(socket) => {
                buffer.resize(65_536, 0);
                let (length, from) = socket.recv_from(buffer).await?;
                Ok((Message::parse(&buffer[..length]), from))
            }
            Self::Tcp(connection) => {
                buffer.clear();
                connection.read(buffer).await?;
                Ok((Message::parse(buffer), connection.server))
            }
        }
    }
}

impl Connection {
    async fn open(server: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        let local = stream.local_addr()?;
        let (reader, mut writer) = stream.into_split();
        let (queue, mut messages) = mpsc::unbounded_channel::<String>();
        tokio::spawn(async move {
            while let Some(message) = messages.recv().await {
                if writer.write_all(message.as_bytes()).await.is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            local,
            server,
            reader: Mutex::new(BufReader::new(reader)),
            queue,
        })
    }

    /// One message as it came: its head until the empty line, and as much body as the head says.
    async fn read(&self, message: &mut Vec<u8>) -> io::Result<()> {
        let mut reader = self.reader.lock().await;
        let mut length = 0;
        loop {
            let begin = message.len();
            if reader.read_until(b'\n', message).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = String::from_utf8_lossy(&message[begin..]);
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.trim().eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let head = message.len();
        message.resize(head + length, 0);
        reader.read_exact(&mut message[head..]).await?;
        Ok(())
    }
}
