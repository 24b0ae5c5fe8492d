//! A connection of FreeSWITCH's `socket` application.
//!
//! `EslClient` serves one busy connection well, with a task, two queues and 128 KiB of buffers for each. Ten thousand
//! held calls mostly wait. So a link is a socket and the bytes that were read but not used: one file descriptor, no
//! task, and no buffer while idle. Commands, replies and events are `freeswitch_esl_tokio`'s own types.
//!
//! Events may arrive between any two replies. Those that come during a wait for a reply are kept for [`Link::event`].

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use freeswitch_esl_tokio::{EslCommand, EslError, EslEvent, EslResponse, parse_channel_dump};
use percent_encoding::percent_decode_str;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::dead_host::{self, Patience};
use super::endpoint::Endpoint;
use super::frame::{Head, fields};
use crate::clock::millis;

/// How long a login may take.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long FreeSWITCH may take to answer a command. With 3 s, 216 of 1,000 calls were given up while FreeSWITCH was
/// only slow (`benches/live_wake`). A host that is dead is noticed earlier ([`dead_host`]).
const COMMAND_TIMEOUT: Duration = Duration::from_secs(18);
/// The size of one read.
const CHUNK: usize = 8 * 1024;
/// The longest message about one channel; its data has some 10 KiB.
const LONGEST_MESSAGE: usize = 1024 * 1024;
/// The most events that are kept during a wait for a reply.
const MOST_EVENTS: usize = 1024;

/// One connection.
pub struct Link {
    socket: TcpStream,
    /// Bytes of messages that are not complete yet.
    unread: Vec<u8>,
    /// Events that came before a reply.
    events: VecDeque<EslEvent>,
    /// FreeSWITCH has closed its end, or has announced that it will.
    over: bool,
}

/// One message from FreeSWITCH.
#[derive(Debug)]
pub(crate) enum Message {
    Reply(EslResponse),
    Event(EslEvent),
    /// The connection ends.
    Goodbye,
    /// A message that is ignored.
    Other,
}

impl Link {
    /// Takes over an accepted connection.
    pub fn new(socket: TcpStream) -> Self {
        // Commands are short, and each waits for its reply.
        let _ = socket.set_nodelay(true);
        dead_host::notice(&socket, Patience::Long);
        Self {
            socket,
            unread: Vec::new(),
            events: VecDeque::new(),
            over: false,
        }
    }

    /// Connects to FreeSWITCH's event socket and logs in.
    pub async fn log_in(endpoint: &Endpoint) -> Result<Self, EslError> {
        let log_in = async {
            let mut link = Self::new(TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await?);
            if link.send(endpoint.login_command()).await?.is_success() {
                Ok(link)
            } else {
                Err(EslError::ConnectionClosed)
            }
        };
        in_time(LOGIN_TIMEOUT, log_in).await
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
        let write = async { Ok(self.socket.write_all(text.as_bytes()).await?) };
        in_time(COMMAND_TIMEOUT, write).await
    }

    async fn reply(&mut self) -> Result<EslResponse, EslError> {
        in_time(COMMAND_TIMEOUT, self.next_reply()).await
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
    pub fn kept(&self) -> impl Iterator<Item = &EslEvent> {
        self.events.iter()
    }

    /// Takes the events that have arrived and were not handled yet.
    pub fn take_kept(&mut self) -> VecDeque<EslEvent> {
        std::mem::take(&mut self.events)
    }

    /// Puts these events before all others.
    pub fn keep(&mut self, mut events: VecDeque<EslEvent>) {
        events.append(&mut self.events);
        self.events = events;
    }

    /// Makes FreeSWITCH look at its event queue now instead of at its next 20 ms tick: a lone line feed between
    /// commands (measured with 1.10.12; mod_event_socket skips it). Never called while a command is being written.
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
async fn in_time<T>(limit: Duration, step: impl Future<Output = Result<T, EslError>>) -> Result<T, EslError> {
    let late = |_| EslError::Timeout {
        timeout_ms: millis(limit),
    };
    timeout(limit, step).await.map_err(late)?
}

/// Takes the first message off the buffer, if it is complete.
pub(crate) fn take(unread: &mut Vec<u8>) -> Result<Option<Message>, EslError> {
    let too_long = |length: usize| EslError::protocol_error(format!("a message of {length} bytes"));
    let Some(head) = Head::of(unread)? else {
        return if unread.len() > LONGEST_MESSAGE {
            Err(too_long(unread.len()))
        } else {
            Ok(None)
        };
    };
    if head.length > LONGEST_MESSAGE {
        return Err(too_long(head.length));
    }
    let all = head.size + head.length;
    let Some(body) = unread.get(head.size..all) else {
        return Ok(None);
    };
    let body = String::from_utf8_lossy(body);
    let message = match head.field("Content-Type") {
        Some("command/reply" | "api/response") => Message::Reply(head.reply(&body)),
        // An event that cannot be parsed is ignored.
        Some("text/event-plain") => parse_channel_dump(&body).map_or(Message::Other, Message::Event),
        Some("text/disconnect-notice") if head.field("Content-Disposition") != Some("linger") => Message::Goodbye,
        Some(_) => Message::Other,
        None => return Err(EslError::protocol_error("a message without Content-Type")),
    };
    unread.drain(..all);
    if unread.is_empty() {
        *unread = Vec::new();
    }
    Ok(Some(message))
}

/// The lines of a channel's dump (`uuid_dump`), with decoded values.
pub fn dump(body: &str) -> Vec<(&str, String)> {
    fields(body)
        .map(|(name, value)| (name, percent_decode_str(value).decode_utf8_lossy().into_owned()))
        .collect()
}

/// A header of a channel's dump.
pub fn header<'a>(dump: &'a [(&str, String)], name: &str) -> Option<&'a str> {
    dump.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<Message> {
        let mut unread = text.as_bytes().to_vec();
        std::iter::from_fn(|| take(&mut unread).unwrap()).collect()
    }

    const EVENT: &str = "Content-Length: 68\nContent-Type: text/event-plain\n\n\
                         Event-Name: BACKGROUND_JOB\nJob-UUID: a%2Cb\nContent-Length: 6\n\n-ERR x";

    #[test]
    fn messages_are_told_apart_and_values_decoded() {
        let text = format!(
            "Content-Type: command/reply\nReply-Text: +OK\nCaller-Name: Zo%C3%AB\n\n{EVENT}\
             Content-Type: api/response\nContent-Length: 4\n\n+OK\nContent-Type: text/disconnect-notice\n\
             Content-Disposition: linger\nContent-Length: 0\n\n\
             Content-Type: text/disconnect-notice\nContent-Length: 3\n\nbye"
        );
        let got = all(&text);
        let [
            Message::Reply(reply),
            event,
            Message::Reply(api),
            Message::Other,
            Message::Goodbye,
        ] = &got[..]
        else {
            panic!("{got:?}");
        };
        assert_eq!((reply.is_success(), reply.header("Caller-Name")), (true, Some("Zoë")));
        assert!(api.api_result().is_ok());
        let Message::Event(event) = event else {
            panic!("{event:?}")
        };
        assert_eq!(
            (event.header_str("Job-UUID"), event.body()),
            (Some("a,b"), Some("-ERR x"))
        );
    }

    #[test]
    fn a_message_is_taken_when_its_last_byte_is_there() {
        for cut in 0..EVENT.len() {
            let mut unread = EVENT.as_bytes()[..cut].to_vec();
            assert!(take(&mut unread).unwrap().is_none(), "{cut}");
            unread.extend(&EVENT.as_bytes()[cut..]);
            assert!(matches!(take(&mut unread).unwrap(), Some(Message::Event(_))), "{cut}");
            assert_eq!(unread.capacity(), 0, "an idle link keeps no buffer");
        }
    }

    #[test]
    fn what_is_not_freeswitch_ends_the_connection() {
        for text in ["GET / HTTP/1.1\nHost: x\n\n", "Content-Type: a\nContent-Length: x\n\n"] {
            assert!(take(&mut text.as_bytes().to_vec()).is_err(), "{text}");
        }
        let long = format!(
            "Content-Type: api/response\nContent-Length: {}\n\n",
            LONGEST_MESSAGE + 1
        );
        assert!(take(&mut long.into_bytes()).is_err());
        assert!(take(&mut vec![b'x'; LONGEST_MESSAGE + 1]).is_err());
    }

    #[tokio::test]
    async fn commands_that_go_together_have_their_replies_in_order() {
        use tokio::io::AsyncReadExt as _;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut freeswitch, _) = listener.accept().await.unwrap();
        let mut link = Link::new(ours);
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
