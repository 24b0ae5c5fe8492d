//! A small client of FreeSWITCH's event socket, for questions that tests ask.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::freeswitch::percent_decode;

/// A connection that only asks; it subscribes to nothing.
pub struct Console {
    stream: BufReader<TcpStream>,
}

impl Console {
    /// Connects and logs in.
    ///
    /// # Errors
    /// When FreeSWITCH is not there, or not ready, or the password is wrong.
    pub async fn connect(address: SocketAddr, password: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut console = Self {
            stream: BufReader::new(stream),
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

    /// One API command; its output.
    ///
    /// # Errors
    /// When the connection ends or says nothing for ten seconds.
    pub async fn api(&mut self, command: &str) -> io::Result<String> {
        let line = format!("api {command}");
        let (_, body) = tokio::time::timeout(Duration::from_secs(10), self.ask(&line)).await??;
        Ok(body)
    }

    /// Asks for events of a name, to be read by [`Console::event`]; no question may be asked after that.
    ///
    /// # Errors
    /// When the connection ends.
    pub async fn listen(&mut self, name: &str) -> io::Result<()> {
        self.ask(&format!("event plain {name}")).await.map(|_| ())
    }

    /// The next event: its headers by name, as they were before they were encoded for the wire.
    ///
    /// # Errors
    /// When the connection ends or says nothing for ten seconds.
    pub async fn event(&mut self) -> io::Result<HashMap<String, String>> {
        let (_, body) = tokio::time::timeout(Duration::from_secs(10), self.block()).await??;
        let headers = body.lines().filter_map(|line| line.split_once(": "));
        Ok(headers
            .map(|(name, value)| (name.to_owned(), percent_decode(value)))
            .collect())
    }

    async fn ask(&mut self, line: &str) -> io::Result<(String, String)> {
        assert!(!line.contains('\n'), "one command, one line");
        self.stream.write_all(format!("{line}\n\n").as_bytes()).await?;
        self.block().await
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
