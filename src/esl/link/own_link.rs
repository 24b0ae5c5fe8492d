//! A connection of FreeSWITCH's `socket` application.
//!
//! `EslClient` serves one busy connection well, with a task, two queues and 128 KiB of buffers for each. Ten thousand
//! held calls mostly wait. So a link is a socket and the bytes that were read but not used: one file descriptor, no
//! task, and no buffer while idle. Commands, replies and events are `freeswitch_esl_tokio`'s own types.
//!
//! Events may arrive between any two replies. Those that come during a wait for a reply are kept for [`OwnLink::event`].

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use freeswitch_esl_tokio::{EslCommand, EslError, EslEvent, EslResponse};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::message::{Message, take};
use crate::clock::millis;
use crate::esl::endpoint::Endpoint;

/// How long FreeSWITCH may take to answer a command.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(3);
/// The size of one read.
const CHUNK: usize = 8 * 1024;
/// The most events that are kept during a wait for a reply.
const MOST_EVENTS: usize = 1024;

/// A connection that only one call has.
pub struct OwnLink {
    socket: TcpStream,
    /// Bytes of messages that are not complete yet.
    unread: Vec<u8>,
    /// Events that came before a reply.
    events: VecDeque<EslEvent>,
    /// FreeSWITCH has closed its end, or has announced that it will.
    over: bool,
}

impl OwnLink {
    /// Takes over an accepted connection.
    pub fn new(socket: TcpStream) -> Self {
        // Commands are short, and each waits for its reply.
        let _ = socket.set_nodelay(true);
        Self {
            socket,
            unread: Vec::new(),
            events: VecDeque::new(),
            over: false,
        }
    }

    /// Connects to FreeSWITCH's event socket and logs in.
    pub async fn log_in(endpoint: &Endpoint) -> Result<Self, EslError> {
        let connect = async { Ok(TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await?) };
        let mut link = Self::new(in_time(connect).await?);
        if link.send(endpoint.login_command()).await?.is_success() {
            Ok(link)
        } else {
            Err(EslError::ConnectionClosed)
        }
    }

    /// Sends a command whose reply may take any time; returns whether it came before the connection's end.
    pub async fn send_and_wait(&mut self, command: EslCommand) -> Result<bool, EslError> {
        self.write(&[command]).await?;
        match self.next_reply().await {
            Ok(_) => Ok(true),
            Err(EslError::ConnectionClosed) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Sends a command and waits for its reply. After an error or a cancellation the link is unusable.
    pub async fn send(&mut self, command: EslCommand) -> Result<EslResponse, EslError> {
        self.write(&[command]).await?;
        self.reply().await
    }

    /// Sends commands together and waits for the reply to each, in order: FreeSWITCH begins the next one without
    /// waiting for us.
    pub async fn send_all(&mut self, commands: &[EslCommand]) -> Result<Vec<EslResponse>, EslError> {
        self.write(commands).await?;
        let mut replies = Vec::with_capacity(commands.len());
        for _ in commands {
            replies.push(self.reply().await?);
        }
        Ok(replies)
    }

    async fn write(&mut self, commands: &[EslCommand]) -> Result<(), EslError> {
        let texts: Result<Vec<String>, EslError> = commands.iter().map(EslCommand::to_wire_format).collect();
        let text = texts?.concat();
        in_time(async { Ok(self.socket.write_all(text.as_bytes()).await?) }).await
    }

    async fn reply(&mut self) -> Result<EslResponse, EslError> {
        in_time(self.next_reply()).await
    }

    async fn next_reply(&mut self) -> Result<EslResponse, EslError> {
        loop {
            match self.message().await? {
                Some(Message::Reply(reply)) => return Ok(reply),
                Some(Message::Event(event)) if self.events.len() < MOST_EVENTS => self.events.push_back(event),
                Some(Message::Event(_) | Message::Other) => {}
                Some(Message::Goodbye) | None => {
                    self.over = true;
                    return Err(EslError::ConnectionClosed);
                }
            }
        }
    }

    /// The next event. `None`: the connection is over. Cancel-safe.
    pub async fn event(&mut self) -> Option<EslEvent> {
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        while !self.over {
            match self.message().await {
                Ok(Some(Message::Event(event))) => return Some(event),
                Ok(Some(Message::Reply(_) | Message::Other)) => {}
                Ok(Some(Message::Goodbye) | None) | Err(_) => self.over = true,
            }
        }
        None
    }

    /// Events that have arrived and were not handled yet.
    pub fn kept(&self) -> &VecDeque<EslEvent> {
        &self.events
    }

    /// The same, to be changed.
    pub fn kept_mut(&mut self) -> &mut VecDeque<EslEvent> {
        &mut self.events
    }

    /// See [`super::Link::nudge`].
    pub fn nudge(&self) {
        let _ = self.socket.try_write(b"\n");
    }

    /// The next message; `None` at the connection's end. Cancel-safe: what was read stays in `unread`.
    async fn message(&mut self) -> Result<Option<Message>, EslError> {
        loop {
            if let Some(message) = take(&mut self.unread)? {
                return Ok(Some(message));
            }
            self.socket.readable().await?;
            self.unread.reserve(CHUNK);
            match self.socket.try_read_buf(&mut self.unread) {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.unread.is_empty() {
                        self.unread = Vec::new();
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Time limit for what may be slow, but must end.
pub(super) async fn in_time<T>(step: impl Future<Output = Result<T, EslError>>) -> Result<T, EslError> {
    let late = |_| EslError::Timeout {
        timeout_ms: millis(COMMAND_TIMEOUT),
    };
    timeout(COMMAND_TIMEOUT, step).await.map_err(late)?
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = "Content-Length: 68\nContent-Type: text/event-plain\n\n\
                         Event-Name: BACKGROUND_JOB\nJob-UUID: a%2Cb\nContent-Length: 6\n\n-ERR x";

    #[tokio::test]
    async fn commands_that_go_together_have_their_replies_in_order() {
        use tokio::io::AsyncReadExt as _;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut freeswitch, _) = listener.accept().await.unwrap();
        let mut link = OwnLink::new(ours);
        let command = |command: &str| EslCommand::Api {
            command: command.into(),
        };
        let answers = async {
            let mut read = [0; 64];
            let n = freeswitch.read(&mut read).await.unwrap();
            assert_eq!(&read[..n], b"api one\n\napi two\n\n", "both before any reply");
            let first = "Content-Type: api/response\nContent-Length: 5\n\n-ERR1";
            let second = "Content-Type: api/response\nContent-Length: 3\n\n+OK";
            let text = format!("{first}{EVENT}{second}");
            freeswitch.write_all(text.as_bytes()).await.unwrap();
        };
        let commands = [command("one"), command("two")];
        let (replies, ()) = tokio::join!(link.send_all(&commands), answers);
        let bodies: Vec<_> = replies.unwrap().iter().map(|r| r.body().map(str::to_owned)).collect();
        assert_eq!(bodies, [Some("-ERR1".to_owned()), Some("+OK".to_owned())]);
        assert!(link.event().await.is_some(), "what came between them is kept");
    }
}
