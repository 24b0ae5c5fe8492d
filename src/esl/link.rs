//! One connection of FreeSWITCH's `socket` application, cheap while it has nothing to say.
//!
//! `EslClient` keeps 128 KiB of buffers per connection. A held call that only waits for a phone needs none of it, so
//! an idle link is put to sleep: the client is torn down at a message boundary (its `teardown_for_reexec`), and a new one
//! adopts the socket when either side has something to say. The old client's shell is kept until the end, because
//! dropping it would shut the socket down.

use std::time::Duration;

use freeswitch_esl_tokio::{EslClient, EslCommand, EslConnectOptions, EslError, EslEvent, EslEventStream, EslResponse};
use tokio::net::TcpStream;

/// How long FreeSWITCH may take to answer a command.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(3);

/// More sleeps than this are not taken: each keeps one file descriptor until the call ends.
const MOST_SLEEPS: usize = 4;

/// A connection that is awake or asleep.
pub struct Link {
    /// The same socket once more: to wait on while asleep, to nudge while awake, and to adopt from.
    socket: TcpStream,
    state: State,
    shells: Vec<EslClient>,
}

enum State {
    Awake(EslClient, EslEventStream),
    Asleep { residual: Vec<u8> },
}

fn options() -> EslConnectOptions {
    EslConnectOptions::new().with_event_queue_size(256)
}

fn duplicate(socket: &TcpStream) -> std::io::Result<TcpStream> {
    use std::os::fd::AsFd;
    let copy = std::net::TcpStream::from(socket.as_fd().try_clone_to_owned()?);
    TcpStream::from_std(copy)
}

impl Link {
    /// Takes over a connection whose channel is known, asleep; `residual` is what was read beyond that.
    pub fn adopt(socket: TcpStream, residual: Vec<u8>) -> Self {
        Self {
            socket,
            state: State::Asleep { residual },
            shells: Vec::new(),
        }
    }

    /// Sends a command and waits for its reply. Wakes the link.
    pub async fn send(&mut self, command: EslCommand) -> Result<EslResponse, EslError> {
        self.wake()?;
        match &self.state {
            State::Awake(client, _) => client.send_command(command).await,
            State::Asleep { .. } => Err(EslError::NotConnected),
        }
    }

    /// The next event. `None`: the connection is over. Cancel-safe.
    pub async fn event(&mut self) -> Option<EslEvent> {
        loop {
            match &mut self.state {
                State::Awake(_, events) => {
                    if let Ok(event) = events.recv().await? {
                        return Some(event);
                    }
                    // An event that cannot be read says nothing; the connection's end shows as None.
                }
                State::Asleep { .. } => {
                    // Peek, not `readable()`: that answers for bytes which the client has read since.
                    self.socket.peek(&mut [0]).await.ok()?;
                    self.wake().ok()?;
                }
            }
        }
    }

    /// Lets FreeSWITCH look at its event queue now rather than at its next 20 ms tick: a lone line feed between commands
    /// (measured with 1.10.12; mod_event_socket skips it). Never called while a command is being written.
    pub fn nudge(&self) {
        let _ = self.socket.try_write(b"\n");
    }

    /// Whether [`Link::sleep`] would free anything.
    pub fn can_sleep(&self) -> bool {
        matches!(self.state, State::Awake(..)) && self.shells.len() < MOST_SLEEPS
    }

    /// Frees the buffers. Returns the events that had arrived meanwhile. No command may be under way.
    pub async fn sleep(&mut self) -> Vec<EslEvent> {
        let State::Awake(client, events) = &mut self.state else {
            return Vec::new();
        };
        let Ok((_fd, residual)) = client.teardown_for_reexec().await else {
            return Vec::new();
        };
        let mut late = Vec::new();
        while let Some(event) = events.recv().await {
            late.extend(event.ok());
        }
        if let State::Awake(client, _) = std::mem::replace(&mut self.state, State::Asleep { residual }) {
            self.shells.push(client);
        }
        late
    }

    fn wake(&mut self) -> Result<(), EslError> {
        let State::Asleep { residual } = &self.state else {
            return Ok(());
        };
        let stream = duplicate(&self.socket).map_err(EslError::Io)?;
        let (client, events) = EslClient::adopt_stream_with_options(stream, residual, options())?;
        client.set_command_timeout(COMMAND_TIMEOUT);
        self.state = State::Awake(client, events);
        Ok(())
    }
}
