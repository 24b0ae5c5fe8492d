//! One event-socket connection: the loop of `read_packet` and `listener_run`.
//!
//! Races that occur in FreeSWITCH and are modelled: an event waits for the end of the 20 ms poll unless the client
//! sends something; events never interrupt the parsing of a command; the linger notice is sent by the poll that sees
//! the hangup.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::Instant;

use super::bus::Listener;
use super::core::Core;

const GOODBYE: &str = "Disconnected, goodbye.\nSee you at ClueCon! http://www.cluecon.com/\n";

/// What all clients get when mod_event_socket ends (`kill_all_listeners`).
const FAREWELL: &str = "The system is being shut down.\n";

/// A received command: first line, headers, body.
#[derive(Debug, Clone, Default)]
pub(crate) struct Command {
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Command {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// A connection and its client's settings.
#[allow(clippy::struct_excessive_bools, reason = "the flags of listener_t, one for one")]
pub(crate) struct Conn {
    pub(crate) core: Arc<Core>,
    pub(crate) listener: Arc<Listener>,
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
    buffer: Vec<u8>,
    pub(crate) authed: bool,
    pub(crate) running: bool,
    /// `resume` was sent.
    pub(crate) resume: bool,
    /// Seconds to linger; -1 is forever.
    pub(crate) linger: Option<i64>,
    got_command: bool,
    saw_hangup: bool,
    linger_until: Option<Instant>,
    opened: Instant,
    poll_since: Instant,
}

impl Conn {
    pub(crate) fn new(core: Arc<Core>, stream: TcpStream, session: Option<String>) -> Self {
        let _ = stream.set_nodelay(true);
        let (reader, writer) = stream.into_split();
        let listener = core.bus.add(session);
        Self {
            core,
            reader,
            writer,
            buffer: Vec::new(),
            authed: listener.session.is_some(),
            listener,
            running: true,
            resume: false,
            linger: None,
            got_command: false,
            saw_hangup: false,
            linger_until: None,
            opened: Instant::now(),
            poll_since: Instant::now(),
        }
    }

    /// Serves the connection until either side closes it.
    pub(crate) async fn run(mut self) {
        if !self.authed {
            self.core.logins.begin();
            self.write(b"Content-Type: auth/request\n\n").await;
        }
        while self.running {
            if self.listener.closing.load(Ordering::SeqCst) {
                break;
            }
            if self.core.frozen.load(Ordering::SeqCst) {
                self.listener.bell.notified().await;
                continue;
            }
            if let Some(command) = self.take_command() {
                self.got_command = true;
                self.handle(command).await;
                if self.running && self.buffer.is_empty() {
                    self.flush().await;
                }
                self.poll_since = Instant::now();
                continue;
            }
            self.wait().await;
        }
        if !self.authed {
            self.core.logins.end();
        }
        self.core.bus.remove(&self.listener);
        if !self.listener.closing.load(Ordering::SeqCst) {
            self.say(GOODBYE).await;
        } else if self.listener.farewell.load(Ordering::SeqCst) {
            self.say(FAREWELL).await;
        }
        let _ = self.writer.shutdown().await;
        if let Some(session) = self.listener.session.clone() {
            self.core.connection_ended(&session, self.resume);
        }
    }

    /// Waits for bytes, the end of the connection, or the timeout, as `poll` does.
    async fn wait(&mut self) {
        let mut deadline = Instant::now() + Duration::from_hours(1);
        let something_waits = self.listener.has_events() || self.hangup_is_new();
        if something_waits && self.buffer.is_empty() {
            deadline = self.poll_end();
        }
        if !self.got_command {
            deadline = deadline.min(self.opened + self.core.config.first_command);
        }
        deadline = self.linger_until.map_or(deadline, |until| deadline.min(until));
        let mut bytes = [0u8; 4096];
        tokio::select! {
            read = self.reader.read(&mut bytes) => match read {
                Ok(0) | Err(_) => self.running = false,
                Ok(len) => {
                    self.buffer.extend_from_slice(&bytes[..len]);
                    self.skip_line_feeds();
                    if self.buffer.is_empty() {
                        self.flush().await;
                        self.poll_since = Instant::now();
                    }
                }
            },
            () = self.listener.bell.notified() => {}
            () = tokio::time::sleep_until(deadline) => {
                let now = Instant::now();
                let hopeless = !self.got_command && now >= self.opened + self.core.config.first_command;
                if hopeless || self.linger_until.is_some_and(|until| now >= until) {
                    self.running = false;
                } else if self.buffer.is_empty() {
                    self.flush().await;
                    self.poll_since = Instant::now();
                }
            }
        }
    }

    /// The end of the current poll. Polls follow each other without a gap since the last wake-up.
    fn poll_end(&self) -> Instant {
        let poll = self.core.config.poll;
        if poll.is_zero() {
            return Instant::now();
        }
        let gone = self.poll_since.elapsed().as_nanos() / poll.as_nanos();
        self.poll_since + poll * u32::try_from(gone + 1).unwrap_or(1)
    }

    fn hangup_is_new(&self) -> bool {
        !self.saw_hangup && self.listener.down.load(Ordering::SeqCst)
    }

    /// Sends the queued events, then notices a hangup.
    async fn flush(&mut self) {
        let down = self.hangup_is_new();
        let events = self.listener.take_events();
        if !events.is_empty() {
            let json = self.listener.is_json();
            let mut out = String::new();
            for event in &events {
                let rendered = if json { event.json() } else { String::new() };
                let (kind, text) = if json {
                    ("json", rendered.as_str())
                } else {
                    ("plain", event.plain())
                };
                let len = text.len();
                let _ = write!(out, "Content-Length: {len}\nContent-Type: text/event-{kind}\n\n{text}");
            }
            for event in &events {
                event.mark_written();
            }
            self.write(out.as_bytes()).await;
        }
        if down {
            self.saw_hangup = true;
            self.linger_or_end().await;
        }
    }

    async fn linger_or_end(&mut self) {
        let Some(seconds) = self.linger else {
            self.running = false;
            return;
        };
        let session = self.listener.session.clone().unwrap_or_default();
        let name = self
            .core
            .world()
            .channels
            .get(&session)
            .map(super::channel::Channel::name)
            .unwrap_or_default();
        let notice = format!(
            "Content-Type: text/disconnect-notice\nControlled-Session-UUID: {session}\nContent-Disposition: linger\n\
             Channel-Name: {name}\nLinger-Time: {seconds}\nContent-Length: 0\n\n"
        );
        self.write(notice.as_bytes()).await;
        // The source compares whole seconds with `>`, so the time is one second longer than requested.
        self.linger_until = u64::try_from(seconds)
            .ok()
            .map(|s| Instant::now() + Duration::from_secs(s + 1));
    }

    /// `send_disconnect`.
    async fn say(&mut self, words: &str) {
        let len = words.len();
        let text = match &self.listener.session {
            Some(session) => format!(
                "Content-Type: text/disconnect-notice\nControlled-Session-UUID: {session}\n\
                 Content-Disposition: disconnect\nContent-Length: {len}\n\n{words}"
            ),
            None => format!("Content-Type: text/disconnect-notice\nContent-Length: {len}\n\n{words}"),
        };
        self.write(text.as_bytes()).await;
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        if self.writer.write_all(bytes).await.is_err() {
            self.running = false;
        }
    }

    pub(crate) async fn reply(&mut self, text: &str) {
        self.write(format!("Content-Type: command/reply\nReply-Text: {text}\n\n").as_bytes())
            .await;
    }

    fn skip_line_feeds(&mut self) {
        let blank = self
            .buffer
            .iter()
            .take_while(|byte| matches!(byte, b'\r' | b'\n'))
            .count();
        self.buffer.drain(..blank);
    }

    /// Takes a complete command from the buffer, with its body if it has one.
    fn take_command(&mut self) -> Option<Command> {
        self.skip_line_feeds();
        let mut feeds = 0;
        let end = self.buffer.iter().position(|byte| {
            match byte {
                b'\n' => feeds += 1,
                b'\r' => {}
                _ => feeds = 0,
            }
            feeds == 2
        })? + 1;
        let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        let mut lines = head.split(['\r', '\n']).filter(|line| !line.is_empty());
        let line = lines.next()?.to_owned();
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.trim_start_matches(' ').to_owned()))
            .collect();
        let mut command = Command {
            line,
            headers,
            body: String::new(),
        };
        let length: usize = command
            .get("Content-Length")
            .and_then(|value| value.trim().parse().ok())
            .unwrap_or(0);
        let body = self.buffer.get(end..end + length)?;
        command.body = String::from_utf8_lossy(body).into_owned();
        self.buffer.drain(..end + length);
        if self.buffer.is_empty() {
            self.buffer.shrink_to(256);
        }
        Some(command)
    }
}
