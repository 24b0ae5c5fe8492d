//! Answers to notifications that FreeSWITCH's events asked for, on a connection of their own.
//!
//! Of their own for two reasons: whoever asked may look for `uuid` and `response` in exactly that case, as mod_apn writes
//! them, and [`freeswitch_esl_tokio`] writes `Uuid`; and the connection that registrations come on never waits for the
//! reply to an answer. It is opened for the first answer and closed when there has been none for a while.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::inbound::{Endpoint, Settings};
use super::notifications::{Uuid, answer};

/// A connection without an answer for this long is closed.
const IDLE: Duration = Duration::from_secs(30);
/// How long connecting, or one answer and its reply, may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// No block of headers that FreeSWITCH sends us here is longer; nor is what follows it.
const LONGEST: u64 = 16 * 1024;

/// An answer to be given.
#[derive(Debug)]
pub struct Answer {
    /// The asker's own name for its question.
    pub to: Uuid,
    /// Whether at least one device's provider took it.
    pub sent: bool,
}

/// Gives the answers.
pub struct Answerer {
    /// Where to.
    pub settings: watch::Receiver<Settings>,
    /// What.
    pub answers: mpsc::Receiver<Answer>,
    /// The end.
    pub stop: CancellationToken,
}

impl Answerer {
    /// Runs until it is told to stop, or nobody is left who could ask.
    pub async fn run(mut self) {
        let stop = self.stop.clone();
        let mut line: Option<Line> = None;
        loop {
            let idle = if line.is_some() { IDLE } else { Duration::MAX };
            let next = tokio::select! {
                () = stop.cancelled() => return,
                next = timeout(idle, self.answers.recv()) => next,
            };
            match next {
                Ok(Some(answer)) => line = self.give(line, &answer).await,
                Ok(None) => return,
                Err(_idle) => line = None,
            }
        }
    }

    /// Gives one answer; on a new connection when the old one has ended or goes elsewhere.
    async fn give(&self, line: Option<Line>, answer: &Answer) -> Option<Line> {
        let endpoint = self.settings.borrow().endpoint.clone();
        if let Some(mut line) = line.filter(|line| line.endpoint == endpoint)
            && line.give(answer).await.is_ok()
        {
            return Some(line);
        }
        let given = async {
            let mut line = Line::open(endpoint).await?;
            line.give(answer).await?;
            Ok::<_, io::Error>(line)
        };
        given
            .await
            .map_err(|error| warn!(%error, "the answer to a notification cannot be given"))
            .ok()
    }
}

/// A connection that is logged in.
struct Line {
    endpoint: Endpoint,
    stream: BufReader<TcpStream>,
}

impl Line {
    async fn open(endpoint: Endpoint) -> io::Result<Self> {
        in_time(async {
            let stream = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await?;
            let _ = stream.set_nodelay(true);
            let stream = BufReader::new(stream);
            let mut line = Self { endpoint, stream };
            line.reply().await?;
            let password = line.endpoint.password.expose();
            let login = match &line.endpoint.user {
                Some(user) => format!("userauth {user}:{password}\n\n"),
                None => format!("auth {password}\n\n"),
            };
            line.stream.write_all(login.as_bytes()).await?;
            let reply = line.reply().await?;
            if reply.contains("+OK") {
                Ok(line)
            } else {
                Err(io::Error::other("FreeSWITCH refuses the login"))
            }
        })
        .await
    }

    async fn give(&mut self, what: &Answer) -> io::Result<()> {
        in_time(async {
            let command = answer(&what.to, what.sent);
            self.stream.write_all(command.as_bytes()).await?;
            let reply = self.reply().await?;
            if reply.contains("+OK") {
                Ok(())
            } else {
                Err(io::Error::other("FreeSWITCH refuses sendevent"))
            }
        })
        .await
    }

    /// The headers of the next reply. This connection hears no events.
    async fn reply(&mut self) -> io::Result<String> {
        let mut headers = String::new();
        let mut limited = (&mut self.stream).take(LONGEST);
        loop {
            let start = headers.len();
            if limited.read_line(&mut headers).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if headers[start..].trim().is_empty() {
                headers.truncate(start);
                if start > 0 {
                    break;
                }
            }
        }
        let length = headers.lines().find_map(|l| l.strip_prefix("Content-Length:"));
        let length: u64 = length.and_then(|l| l.trim().parse().ok()).unwrap_or(0);
        let mut body = Vec::new();
        (&mut self.stream)
            .take(length.min(LONGEST))
            .read_to_end(&mut body)
            .await?;
        Ok(headers)
    }
}

async fn in_time<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(PATIENCE, work)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
