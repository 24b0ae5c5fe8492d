//! An event-socket client for tests of the stand-in.
#![allow(dead_code, reason = "each test file uses a part")]

use std::time::Duration;

use fswake_test_support::freeswitch::FakeFreeSwitch;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A client that receives messages as text.
pub struct Client {
    /// The connection, for raw bytes.
    pub stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    /// Reads from a connection.
    pub fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    /// Logs in and subscribes.
    pub async fn inbound(fs: &FakeFreeSwitch, events: &str) -> Self {
        let mut client = Self::new(TcpStream::connect(fs.address()).await.unwrap());
        client.next().await;
        assert!(client.ask("auth ClueCon").await.contains("+OK accepted"));
        assert!(
            client
                .ask(&format!("event plain {events}"))
                .await
                .contains("+OK event listener")
        );
        client
    }

    /// Takes a held call and subscribes.
    pub async fn outbound(listener: &TcpListener) -> Self {
        let mut client = Self::new(listener.accept().await.unwrap().0);
        assert!(client.ask("connect").await.contains("Event-Name: CHANNEL_DATA"));
        let events =
            "CHANNEL_PROGRESS CHANNEL_ANSWER CHANNEL_BRIDGE CHANNEL_HANGUP CHANNEL_HANGUP_COMPLETE BACKGROUND_JOB";
        client.ask(&format!("event plain {events}")).await;
        client
    }

    /// Sends a command.
    pub async fn send(&mut self, command: &str) {
        self.stream
            .write_all(format!("{command}\n\n").as_bytes())
            .await
            .unwrap();
    }

    /// The next message; `None` once the connection has ended.
    pub async fn message(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\n\n") {
                let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
                let length = head
                    .lines()
                    .find_map(|line| line.strip_prefix("Content-Length: ")?.parse::<usize>().ok());
                let total = end + 2 + length.unwrap_or(0);
                if self.buffer.len() >= total {
                    return Some(String::from_utf8(self.buffer.drain(..total).collect()).unwrap());
                }
            }
            let mut chunk = [0u8; 8192];
            let len = self.stream.read(&mut chunk).await.unwrap_or(0);
            if len == 0 {
                return None;
            }
            self.buffer.extend_from_slice(&chunk[..len]);
        }
    }

    /// The next message, within a time limit.
    pub async fn next(&mut self) -> String {
        tokio::time::timeout(Duration::from_secs(8), self.message())
            .await
            .expect("no message within the time limit")
            .expect("open")
    }

    /// Reads until a message contains all these words.
    pub async fn until(&mut self, words: &[&str]) -> String {
        loop {
            let message = self.next().await;
            if words.iter().all(|word| message.contains(word)) {
                return message;
            }
        }
    }

    /// Sends a command and waits for its reply, past any events.
    pub async fn ask(&mut self, command: &str) -> String {
        self.send(command).await;
        loop {
            let message = self.next().await;
            if !message.contains("text/event-plain") {
                return message;
            }
        }
    }

    /// Starts a leg.
    pub async fn originate(&mut self, leg: &str, more: &str, uri: &str) {
        let vars = format!("origination_uuid={leg},originate_timeout=4{more}");
        self.ask(&format!("bgapi originate {{{vars}}}sofia/internal/{uri} &park()"))
            .await;
    }
}
