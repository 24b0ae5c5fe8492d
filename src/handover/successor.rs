//! The predecessor's side: SIGUSR2 starts a successor, which may be a newer fswake.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tracing::{error, info, warn};

use super::channel::{self, LONGEST, Offer, Ready, Socket, VARIABLE, Yours};
use super::duty::EventNumbers;
use super::sockets::Sockets;
use crate::words;

/// How long a successor may take until it is ready. It reads a million devices in seconds.
const LIMIT: Duration = Duration::from_secs(60);

/// The program of this process, as it was started: the path, not the file, which an upgrade replaces.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
}

impl Program {
    /// This process's.
    ///
    /// # Errors
    /// When the path cannot be found out.
    pub fn of_process() -> io::Result<Self> {
        let mut arguments = std::env::args_os();
        let called = PathBuf::from(arguments.next().unwrap_or_default());
        // A path may lead through a link to the current version, which must not be followed yet. A bare name was looked
        // up in PATH.
        let path = if called.components().count() > 1 {
            std::path::absolute(called)?
        } else {
            std::env::current_exe()?
        };
        Ok(Self {
            path,
            arguments: arguments.collect(),
        })
    }

    /// The command line that starts it once more.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.args(&self.arguments);
        // They are about this process.
        for name in ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "WATCHDOG_PID", VARIABLE] {
            command.env_remove(name);
        }
        command
    }

    /// Its arguments.
    pub fn arguments(&self) -> &[OsString] {
        &self.arguments
    }

    /// Its path.
    pub fn path(&self) -> &PathBuf {
        &self.path
    }
}

/// Why a successor did not become ready.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("it cannot be started: {}", words::of_io(.0))]
    Start(io::Error),
    #[error("it has ended; its own log lines say why")]
    Ended,
    #[error("it was not ready within {} s", LIMIT.as_secs())]
    TooSlow,
}

/// The successor that is being started, if there is one.
#[derive(Debug, Default)]
pub struct Succession(Option<Successor>);

/// A process that will take over.
#[derive(Debug)]
pub struct Successor {
    child: Child,
    channel: tokio::net::UnixStream,
    /// What it has said.
    said: Vec<u8>,
    /// When it must be ready.
    until: tokio::time::Instant,
}

impl Succession {
    /// Starts a successor, and offers it the sockets.
    pub fn start(&mut self, program: &Program, sockets: &Sockets, connected: usize) {
        let path = program.path().display();
        if let Some(successor) = &self.0 {
            info!(pid = successor.pid(), "a new process is being started already");
            return;
        }
        match start(program, sockets, connected) {
            Ok(successor) => {
                info!(program = %path, pid = successor.pid(), "starting a new process, which will take over");
                self.0 = Some(successor);
            }
            Err(cause) => {
                error!(program = %path, reason = %Failure::Start(cause), "the new process failed: this one goes on");
            }
        }
    }

    /// Waits until the successor is ready, and returns what it says. A failure is logged, and everything goes on as
    /// before.
    pub async fn ready(&mut self) -> (Successor, Ready) {
        loop {
            let Some(successor) = &mut self.0 else {
                return std::future::pending().await;
            };
            match successor.is_ready().await {
                Ok(ready) => {
                    if let Some(successor) = self.0.take() {
                        return (successor, ready);
                    }
                }
                Err(failure) => {
                    let (pid, status) = (successor.pid(), successor.end().await);
                    self.0 = None;
                    error!(pid, reason = %failure, status, "the new process failed: this one goes on");
                }
            }
        }
    }

    /// Gives up on a successor that is not ready yet.
    pub async fn give_up(&mut self) {
        if let Some(mut successor) = self.0.take() {
            warn!(pid = successor.pid(), "stopping: the new process is given up");
            successor.end().await;
        }
    }
}

fn start(program: &Program, sockets: &Sockets, connected: usize) -> io::Result<Successor> {
    let (ours, theirs) = UnixStream::pair()?;
    let open = sockets.in_use()?;
    let offer = Offer {
        connected,
        sockets: open
            .iter()
            .map(|open| Socket {
                used_for: open.used_for,
                is_a_units: open.is_a_units,
            })
            .collect(),
    };
    let descriptors: Vec<_> = open.iter().map(|open| open.listener.as_fd()).collect();
    channel::send(&ours, &offer, &descriptors)?;
    ours.set_nonblocking(true)?;
    let channel = tokio::net::UnixStream::from_std(ours)?;
    let mut command = program.command();
    command.env(VARIABLE, std::process::id().to_string());
    command.stdin(Stdio::from(OwnedFd::from(theirs)));
    let child = command.spawn()?;
    Ok(Successor {
        child,
        channel,
        said: Vec::new(),
        until: tokio::time::Instant::now() + LIMIT,
    })
}

impl Successor {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    async fn is_ready(&mut self) -> Result<Ready, Failure> {
        while self.said.last() != Some(&b'\n') && self.said.len() < LONGEST {
            // Nothing is lost when a signal comes first.
            let read = self.channel.read_buf(&mut self.said);
            match tokio::time::timeout_at(self.until, read).await {
                Err(_) => return Err(Failure::TooSlow),
                Ok(Ok(length)) if length > 0 => {}
                Ok(_) => break,
            }
        }
        serde_json::from_slice(&self.said).map_err(|_| Failure::Ended)
    }

    /// Ends it, if it has not ended; how it ended.
    async fn end(&mut self) -> String {
        // One that has closed its channel ends by itself: how it ends is worth knowing.
        for _ in 0..100 {
            match self.child.try_wait() {
                Ok(Some(status)) => return status.to_string(),
                Ok(None) if tokio::time::Instant::now() < self.until => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                _ => break,
            }
        }
        // Fails only if it has ended.
        let _ = self.child.kill();
        let status = self.child.wait();
        status.map_or_else(|e| words::of_io(&e), |status| status.to_string())
    }

    /// Tells it that it is on duty. The channel stays open until this process ends, so that the successor notices that.
    ///
    /// # Errors
    /// When it has ended.
    pub async fn hand_over(&mut self, answered: EventNumbers) -> io::Result<()> {
        self.channel.write_all(&channel::line(&Yours { answered })?).await
    }
}
