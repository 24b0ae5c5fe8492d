//! A connection to the event socket that asks and gets no events: one command, one reply.
//!
//! Slow questions need a separate connection: FreeSWITCH's listener answers one command after the other, and sends no
//! event meanwhile. Answers may be long (20,000 registrations with tokens are 15 MiB, in 0.2 s), so they can be read
//! line by line; `EslClient` accepts 8 MiB at most.

use std::io;
use std::time::Duration;

use freeswitch_esl_tokio::EslResponse;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::dead_host::{self, Patience};
use super::endpoint::Endpoint;
use super::frame::Head;

/// How long connecting, or a short command and its reply, may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long FreeSWITCH may pause in a long answer.
const SILENCE: Duration = Duration::from_secs(30);
/// The longest block of headers, and the longest line of an answer.
const LONGEST: u64 = 256 * 1024;
/// The longest answer that is not read line by line: `sofia xmlstatus` names every gateway.
const LONGEST_ANSWER: usize = 8 * 1024 * 1024;

/// A connection after its login.
pub(super) struct QueryConnection {
    endpoint: Endpoint,
    stream: BufReader<TcpStream>,
}

/// What may run twice: on a connection that may have ended unnoticed, and then on a new one.
pub(super) trait Query {
    /// The result.
    type Output;
    fn run(&self, line: &mut QueryConnection) -> impl Future<Output = io::Result<Self::Output>> + Send;
}

impl QueryConnection {
    /// Connects and logs in.
    pub(super) async fn open(endpoint: Endpoint) -> io::Result<Self> {
        in_time(PATIENCE, async {
            let stream = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await?;
            let _ = stream.set_nodelay(true);
            dead_host::notice(&stream, Patience::Short);
            let stream = BufReader::new(stream);
            let mut line = Self { endpoint, stream };
            line.head().await?;
            let login = line
                .endpoint
                .login_command()
                .to_wire_format()
                .map_err(io::Error::other)?;
            line.stream.write_all(login.as_bytes()).await?;
            if line.head().await?.reply("").is_success() {
                Ok(line)
            } else {
                Err(io::Error::other("FreeSWITCH refuses the login"))
            }
        })
        .await
    }

    /// Whether it leads to this event socket, with this login.
    pub(super) fn goes_to(&self, endpoint: &Endpoint) -> bool {
        self.endpoint == *endpoint
    }

    /// Runs a query on the previous connection, or on a new one if that has ended or goes elsewhere. The connection
    /// is for the next.
    pub(super) async fn run<E: Query>(
        before: Option<Self>,
        endpoint: Endpoint,
        errand: &E,
    ) -> io::Result<(Self, E::Output)> {
        if let Some(mut line) = before.filter(|line| line.goes_to(&endpoint))
            && let Ok(found) = errand.run(&mut line).await
        {
            return Ok((line, found));
        }
        let mut line = Self::open(endpoint).await?;
        let found = errand.run(&mut line).await?;
        Ok((line, found))
    }

    /// Sends a command as written; returns its reply.
    pub(super) async fn command(&mut self, command: &str) -> io::Result<EslResponse> {
        in_time(PATIENCE, async {
            self.stream.write_all(command.as_bytes()).await?;
            let head = self.head().await?;
            let body = self.text(head.length).await?;
            Ok(head.reply(&body))
        })
        .await
    }

    /// The answer to a short API command.
    pub(super) async fn api(&mut self, command: &str) -> io::Result<String> {
        in_time(SILENCE, async {
            self.ask(command).await?;
            let head = self.head().await?;
            self.text(head.length).await
        })
        .await
    }

    /// The answer to an API command, line by line, however long it is.
    pub(super) async fn api_lines(&mut self, command: &str, mut take: impl FnMut(&str)) -> io::Result<()> {
        let head = in_time(SILENCE, async {
            self.ask(command).await?;
            self.head().await
        })
        .await?;
        let mut left = u64::try_from(head.length).unwrap_or(u64::MAX);
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

    /// Waits, while nothing is asked, until FreeSWITCH's host is gone. Another end of the connection shows with the
    /// next question.
    pub(super) async fn host_is_gone(&mut self) -> io::Error {
        let failed = self.stream.fill_buf().await.err();
        match failed.and_then(|error| dead_host::gone(&error)) {
            Some(gone) => gone,
            None => std::future::pending().await,
        }
    }

    async fn ask(&mut self, command: &str) -> io::Result<()> {
        self.stream.write_all(format!("api {command}\n\n").as_bytes()).await
    }

    /// The head of the next reply.
    async fn head(&mut self) -> io::Result<Head> {
        let mut bytes = Vec::new();
        let mut limited = (&mut self.stream).take(LONGEST);
        loop {
            if limited.read_until(b'\n', &mut bytes).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(head) = Head::of(&bytes).map_err(io::Error::other)? {
                // An idle connection may have got FreeSWITCH's farewell, which is no answer.
                let is_end = head.field("Content-Type") == Some("text/disconnect-notice");
                return if is_end {
                    Err(io::ErrorKind::UnexpectedEof.into())
                } else {
                    Ok(head)
                };
            }
        }
    }

    async fn text(&mut self, length: usize) -> io::Result<String> {
        if length > LONGEST_ANSWER {
            return Err(io::Error::other(format!("an answer of {length} bytes")));
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }
}

async fn in_time<T>(limit: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(limit, work)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::types::Secret;

    /// What a test's FreeSWITCH receives that sends this after the login.
    async fn answered(answer: Vec<u8>) -> (io::Result<Vec<usize>>, io::Result<usize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Endpoint {
            host: "127.0.0.1".into(),
            port: listener.local_addr().unwrap().port(),
            user: None,
            password: Secret::new("x"),
        };
        tokio::spawn(async move {
            for _ in 0..2 {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.write_all(b"Content-Type: auth/request\n\n").await.unwrap();
                stream
                    .write_all(b"Content-Type: command/reply\nReply-Text: +OK accepted\n\n")
                    .await
                    .unwrap();
                let _ = stream.write_all(&answer).await;
                let _ = stream.shutdown().await;
                let _ = stream.read_to_end(&mut Vec::new()).await;
            }
        });
        let mut lines = Vec::new();
        let mut line = QueryConnection::open(endpoint.clone()).await.unwrap();
        let by_line = line.api_lines("x", |line| lines.push(line.len())).await;
        drop(line);
        let mut line = QueryConnection::open(endpoint).await.unwrap();
        let whole = line.api("x").await;
        (by_line.map(|()| lines), whole.map(|text| text.len()))
    }

    fn api(length: usize, body: &str) -> Vec<u8> {
        format!("Content-Type: api/response\nContent-Length: {length}\n\n{body}").into_bytes()
    }

    #[tokio::test]
    async fn answers_are_read_to_their_end_and_no_further() {
        let (lines, whole) = answered(api(6, "ab\r\nc\nmore")).await;
        assert_eq!((lines.unwrap(), whole.unwrap()), (vec![2, 1], 6));
        // An answer that breaks off is an error.
        let (lines, whole) = answered(api(7, "ab\nc")).await;
        assert!(lines.is_err() && whole.is_err());
        let (lines, whole) = answered(b"nothing that ends".to_vec()).await;
        assert!(lines.is_err() && whole.is_err());
    }

    #[tokio::test]
    async fn long_answer_is_read_by_lines_and_refused_as_a_whole() {
        let line = "x".repeat(1023) + "\n";
        let count = 9 * 1024;
        let (lines, whole) = answered(api(line.len() * count, &line.repeat(count))).await;
        assert_eq!(lines.unwrap().len(), count);
        assert!(whole.is_err());
        // A line that is too long comes in pieces; it cannot be a registration.
        let (lines, _) = answered(api(300 * 1024, &"x".repeat(300 * 1024))).await;
        assert_eq!(lines.unwrap(), [256 * 1024, 44 * 1024]);
    }
}
