//! The successor's side: it was started by the process that takes calls.

use std::io;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tracing::{debug, info, warn};

use super::channel::{self, LONGEST, Ready, VARIABLE, Yours};
use super::duty::Duty;
use super::sockets::{Passed, Sockets};

/// How long a FreeSWITCH may take to send the mark, once its registrations were read. It comes before them, unless the
/// event socket's user may not send events.
const MARK: Duration = Duration::from_secs(2);
/// How often it looks whether FreeSWITCH's registrations were read.
const LOOK: Duration = Duration::from_millis(5);

/// The process that takes calls until it hands them over.
#[derive(Debug)]
pub struct Predecessor {
    /// Its process id.
    pub pid: u32,
    /// How many FreeSWITCHes it is connected to.
    connected: usize,
    channel: UnixStream,
}

impl Predecessor {
    /// The one that has started this process, and its sockets. `None` if something else has.
    ///
    /// # Errors
    /// When it has ended, or does not say what it should.
    pub fn of_process() -> anyhow::Result<Option<(Self, Sockets)>> {
        let Some(pid) = std::env::var(VARIABLE).ok().and_then(|pid| pid.parse().ok()) else {
            return Ok(None);
        };
        let offer = || -> io::Result<_> {
            let channel = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
            let (offer, descriptors) = channel::receive(&channel)?;
            Ok((channel, offer, descriptors))
        };
        let (channel, offer, descriptors) = offer().with_context(|| {
            format!("{VARIABLE} is set, but stdin is not a process of fswake that hands its calls over")
        })?;
        let passed = descriptors.into_iter().zip(offer.sockets);
        let passed = passed.map(|(descriptor, socket)| Passed {
            listener: TcpListener::from(descriptor),
            used_for: Some(socket.used_for),
            is_a_units: socket.is_a_units,
            is_claimed: false,
        });
        let predecessor = Self {
            pid,
            connected: offer.connected,
            channel,
        };
        Ok(Some((predecessor, Sockets::of_predecessor(passed.collect()))))
    }

    /// Says that this process is ready, and takes over when the predecessor has stopped taking calls. It is ready when
    /// it has read the registrations of as many FreeSWITCHes as the predecessor (`connected`), or of all that it has,
    /// and knows which events it gets from them ([`Duty::mark`]).
    ///
    /// # Errors
    /// When the predecessor has ended before it hands over: whoever watches over it starts it again.
    pub async fn take_over(self, connected: impl Fn() -> usize, all: usize, duty: &Duty) -> anyhow::Result<()> {
        let pid = self.pid;
        self.channel.set_nonblocking(true)?;
        let channel = tokio::net::UnixStream::from_std(self.channel)?;
        let (read, mut write) = channel.into_split();
        let mut read = BufReader::new(read.take(LONGEST as u64));
        let mut line = String::new();
        let read_registrations = async {
            let number = self.connected.min(all);
            while connected() < number {
                tokio::time::sleep(LOOK).await;
            }
            let marked = async {
                while duty.marks().len() < number {
                    tokio::time::sleep(LOOK).await;
                }
            };
            if tokio::time::timeout(MARK, marked).await.is_err() {
                warn!(
                    "FreeSWITCH has not sent the event fswake::mark (is it in esl-allowed-events?): an event that asks for a \
                     push at this moment may be answered by nobody"
                );
            }
        };
        tokio::select! {
            () = read_registrations => {}
            _ = read.read_line(&mut line) => bail!("the earlier process ({pid}) has ended before this one was ready"),
        }
        debug!(pid, "ready to take over");
        // If it has ended, this shows below.
        let ready = Ready { mark: duty.marks() };
        let _ = write.write_all(&channel::line(&ready)?).await;
        let yours = match read.read_line(&mut line).await {
            Ok(length) if length > 0 => serde_json::from_str::<Yours>(&line)?,
            _ => bail!("the earlier process ({pid}) has ended before it handed over"),
        };
        duty.begin(yours.answered);
        info!(pid, "took over: the earlier process finishes the calls that it holds");
        tokio::spawn(async move {
            // It says nothing more.
            let _ = read.read_line(&mut line).await;
            drop(write);
            info!(pid, "the earlier process has ended");
        });
        Ok(())
    }
}
