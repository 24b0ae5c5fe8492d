//! A small event socket client for tests, for FreeSWITCH or the stand-in: API commands, and events.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::freeswitch::percent_decode;

/// A connection for commands. It gets events once it has subscribed.
pub struct Console {
    stream: BufReader<TcpStream>,
    events: VecDeque<ConsoleEvent>,
}

/// An event as on the wire: header names in their own case, values decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsoleEvent {
    /// Headers, in order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl ConsoleEvent {
    /// The value of the header with exactly this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        let header = self.headers.iter().find(|(n, _)| n == name);
        header.map(|(_, value)| value.as_str())
    }
}

impl Console {
    /// Connects and logs in.
    ///
    /// # Errors
    /// If FreeSWITCH is not up or not ready, or the password is wrong.
    pub async fn connect(address: SocketAddr, password: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut console = Self {
            stream: BufReader::new(stream),
            events: VecDeque::new(),
        };
        let hello = console.block().await?;
        if !hello.0.contains("auth/request") {
            return Err(io::Error::other("no greeting"));
        }
        let reply = console.ask(&format!("auth {password}")).await?;
        if reply.0.contains("+OK") {
            Ok(console)
        } else {
            Err(io::Error::other("login refused"))
        }
    }

    /// Runs an API command and returns its output.
    ///
    /// # Errors
    /// If the connection ends or stays silent for ten seconds.
    pub async fn api(&mut self, command: &str) -> io::Result<String> {
        let line = format!("api {command}");
        let (_, body) = tokio::time::timeout(Duration::from_secs(10), self.ask(&line)).await??;
        Ok(body)
    }

    /// Subscribes to events. `events` is the argument of `event plain`.
    ///
    /// # Errors
    /// If the connection ends or FreeSWITCH refuses.
    pub async fn subscribe(&mut self, events: &str) -> io::Result<()> {
        self.ask(&format!("event plain {events}")).await.and_then(accepted)
    }

    /// Sends `sendevent CUSTOM` with this subclass, headers and body. Headers may have any value.
    ///
    /// # Errors
    /// If the connection ends or FreeSWITCH refuses.
    pub async fn send_custom(&mut self, subclass: &str, headers: &[(&str, &str)], body: &str) -> io::Result<()> {
        self.send_event(&format!("CUSTOM\nEvent-Subclass: {subclass}"), headers, body)
            .await
    }

    /// Makes FreeSWITCH fire an event.
    ///
    /// # Errors
    /// If the connection ends or FreeSWITCH refuses.
    pub async fn send_event(&mut self, name: &str, headers: &[(&str, &str)], body: &str) -> io::Result<()> {
        let mut command = format!("sendevent {name}\n");
        for (name, value) in headers {
            let _ = writeln!(command, "{name}: {value}");
        }
        if !body.is_empty() {
            let _ = writeln!(command, "Content-Length: {}", body.len());
        }
        self.stream.write_all(format!("{command}\n{body}").as_bytes()).await?;
        self.reply().await.and_then(accepted)
    }

    /// Waits for the next event.
    ///
    /// # Errors
    /// If the connection ends or no event comes within ten seconds.
    pub async fn event(&mut self) -> io::Result<ConsoleEvent> {
        let wait = async {
            loop {
                if let Some(event) = self.events.pop_front() {
                    return Ok(event);
                }
                let (head, body) = self.block().await?;
                self.keep_event(&head, &body);
            }
        };
        tokio::time::timeout(Duration::from_secs(10), wait).await?
    }

    async fn ask(&mut self, line: &str) -> io::Result<(String, String)> {
        assert!(!line.contains('\n'), "a command must be one line");
        self.stream.write_all(format!("{line}\n\n").as_bytes()).await?;
        self.reply().await
    }

    /// Waits for the next message that is not an event.
    async fn reply(&mut self) -> io::Result<(String, String)> {
        loop {
            let (head, body) = self.block().await?;
            if !self.keep_event(&head, &body) {
                return Ok((head, body));
            }
        }
    }

    fn keep_event(&mut self, head: &str, body: &str) -> bool {
        let is_event = head.contains("text/event-plain");
        if is_event {
            let (headers, body) = body.split_once("\n\n").unwrap_or((body, ""));
            let header = |line: &str| {
                let (name, value) = line.split_once(": ")?;
                Some((name.to_owned(), percent_decode(value)))
            };
            self.events.push_back(ConsoleEvent {
                headers: headers.lines().filter_map(header).collect(),
                body: body.to_owned(),
            });
        }
        is_event
    }

    /// Headers and body of the next message.
    async fn block(&mut self) -> io::Result<(String, String)> {
        let (mut head, mut line) = (String::new(), String::new());
        loop {
            line.clear();
            if self.stream.read_line(&mut line).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if line != "\n" {
                head.push_str(&line);
            } else if !head.is_empty() {
                break;
            }
        }
        let length = head.lines().find_map(|l| l.strip_prefix("Content-Length: "));
        let mut body = vec![0; length.and_then(|l| l.trim().parse().ok()).unwrap_or(0)];
        self.stream.read_exact(&mut body).await?;
        Ok((head, String::from_utf8_lossy(&body).into_owned()))
    }
}

fn accepted((head, _): (String, String)) -> io::Result<()> {
    if head.contains("+OK") {
        Ok(())
    } else {
        Err(io::Error::other(head))
    }
}
