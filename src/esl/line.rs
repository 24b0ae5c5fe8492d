//! A connection to the event socket that asks and hears no events: one command, one reply.
//!
//! What takes FreeSWITCH long is asked on a connection of its own: its listener answers one command after the other, and sends no
//! event meanwhile. Answers may be long (20,000 registrations with tokens are 15 MiB, in 0.2 s), so they can be taken line by line;
//! `EslClient` takes 8 MiB at once and no more.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::inbound::Endpoint;

/// How long connecting, or a short command and its reply, may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long FreeSWITCH may say nothing in a long answer.
const SILENCE: Duration = Duration::from_secs(30);
/// No block of headers that FreeSWITCH sends us here is longer; nor is one line of an answer, or the answer to a short command.
const LONGEST: u64 = 256 * 1024;

/// A connection that is logged in.
pub(super) struct Line {
    endpoint: Endpoint,
    stream: BufReader<TcpStream>,
}

impl Line {
    /// Connects and logs in.
    pub(super) async fn open(endpoint: Endpoint) -> io::Result<Self> {
        in_time(PATIENCE, async {
            let stream = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await?;
            let _ = stream.set_nodelay(true);
            let stream = BufReader::new(stream);
            let mut line = Self { endpoint, stream };
            line.headers().await?;
            let password = line.endpoint.password.expose();
            let login = match &line.endpoint.user {
                Some(user) => format!("userauth {user}:{password}\n\n"),
                None => format!("auth {password}\n\n"),
            };
            line.stream.write_all(login.as_bytes()).await?;
            if line.headers().await?.0.contains("+OK") {
                Ok(line)
            } else {
                Err(io::Error::other("FreeSWITCH refuses the login"))
            }
        })
        .await
    }

    /// Where it goes.
    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Sends a command as it is written, and reads its reply; the reply's headers.
    pub(super) async fn command(&mut self, command: &str) -> io::Result<String> {
        in_time(PATIENCE, async {
            self.stream.write_all(command.as_bytes()).await?;
            let (headers, length) = self.headers().await?;
            self.text(length).await?;
            Ok(headers)
        })
        .await
    }

    /// The answer to a short API command.
    pub(super) async fn api(&mut self, command: &str) -> io::Result<String> {
        in_time(SILENCE, async {
            self.ask(command).await?;
            let (_, length) = self.headers().await?;
            self.text(length).await
        })
        .await
    }

    /// The answer to an API command, line by line, however long it is.
    pub(super) async fn api_lines(&mut self, command: &str, mut take: impl FnMut(&str)) -> io::Result<()> {
        let (_, mut left) = in_time(SILENCE, async {
            self.ask(command).await?;
            self.headers().await
        })
        .await?;
        let mut bytes = Vec::new();
        while left > 0 {
            bytes.clear();
            let mut line = (&mut self.stream).take(left.min(LONGEST));
            let read = in_time(SILENCE, line.read_until(b'\n', &mut bytes)).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            left = left.saturating_sub(u64::try_from(read).unwrap_or(u64::MAX));
            take(String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']));
        }
        Ok(())
    }

    async fn ask(&mut self, command: &str) -> io::Result<()> {
        self.stream.write_all(format!("api {command}\n\n").as_bytes()).await
    }

    /// The headers of the next reply, and the length of what follows them.
    async fn headers(&mut self) -> io::Result<(String, u64)> {
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
        let length = length.and_then(|l| l.trim().parse().ok()).unwrap_or(0);
        Ok((headers, length))
    }

    async fn text(&mut self, length: u64) -> io::Result<String> {
        if length > LONGEST {
            return Err(io::Error::other(format!("an answer of {length} bytes")));
        }
        let mut body = Vec::new();
        if (&mut self.stream).take(length).read_to_end(&mut body).await? < usize::try_from(length).unwrap_or(usize::MAX)
        {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(String::from_utf8_lossy(&body).into_owned())
    }
}

async fn in_time<T>(limit: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(limit, work)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
