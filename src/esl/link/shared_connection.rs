//! One connection to the event socket that many calls share.
//!
//! Commands of all calls are written in the order in which they are given, without waiting for replies. FreeSWITCH replies
//! in the same order, so each reply goes to the call that sent the command. Events go to the calls that have asked for
//! their channel, or have started their job. No call waits for another:
//! - replies to calls that have ended are dropped;
//! - a call with more than [`QUEUE`] unhandled events loses its connection, as if FreeSWITCH had closed it;
//! - if FreeSWITCH does not read commands, or closes the connection, all calls lose it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use freeswitch_esl_tokio::{EslCommand, EslError, EslEvent, EslEventType, EslResponse};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::message::{Message, take};
use super::own_link::in_time;
use crate::esl::endpoint::Endpoint;

/// The most events that may wait for a call, some 10 KiB each.
pub(super) const QUEUE: usize = 512;
/// The most bytes that FreeSWITCH may leave unread: with more, it has stopped.
const MOST_UNSENT: usize = 16 * 1024 * 1024;
/// The size of one read.
const CHUNK: usize = 64 * 1024;

/// A connection that many calls share; closed when the last part of it is dropped.
#[derive(Clone)]
pub(crate) struct SharedConnection {
    parts: Arc<Parts>,
    _closes: Arc<tokio_util::sync::DropGuard>,
}

struct Parts {
    state: Mutex<State>,
    /// There are bytes to write.
    unsent: Notify,
    over: CancellationToken,
}

#[derive(Default)]
struct State {
    unsent: Vec<u8>,
    /// Commands without a reply yet, in order.
    pending: VecDeque<PendingReply>,
    /// The calls that get events. A call that is not among them has lost its connection.
    listeners: HashMap<ListenerId, mpsc::Sender<EslEvent>>,
    last: u64,
    /// The calls that get a channel's events. Phones of one ring group share a caller, so there may be several.
    channels: HashMap<String, Vec<ListenerId>>,
    /// The call that gets a `bgapi` job's result.
    jobs: HashMap<String, ListenerId>,
    is_over: bool,
}

/// A call that gets events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ListenerId(u64);

/// A command without a reply yet.
struct PendingReply {
    reply: oneshot::Sender<EslResponse>,
    /// The call that gets the result of the job that the command starts.
    job: Option<ListenerId>,
}

impl SharedConnection {
    /// Connects and logs in. Events that no call has asked for go into `others`; if that is full, they are lost.
    pub(crate) async fn open(endpoint: &Endpoint, others: mpsc::Sender<EslEvent>) -> Result<Self, EslError> {
        let connect = async { Ok(TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await?) };
        let socket = in_time(connect).await?;
        let _ = socket.set_nodelay(true);
        let (reads, writes) = socket.into_split();
        let over = CancellationToken::new();
        let parts = Arc::new(Parts {
            state: Mutex::default(),
            unsent: Notify::new(),
            over: over.clone(),
        });
        tokio::spawn(write(parts.clone(), writes));
        tokio::spawn(read(parts.clone(), reads, others));
        let connection = Self {
            parts,
            _closes: Arc::new(over.drop_guard()),
        };
        let replies = connection.send_all(&[endpoint.login_command()]).await?;
        if replies.iter().all(EslResponse::is_success) {
            Ok(connection)
        } else {
            Err(EslError::ConnectionClosed)
        }
    }

    /// Sends commands together and waits for their replies.
    pub(crate) async fn send_all(&self, commands: &[EslCommand]) -> Result<Vec<EslResponse>, EslError> {
        self.send(commands, None).await
    }

    /// The same; this listener gets the results of the jobs that they start.
    pub(super) async fn send(
        &self,
        commands: &[EslCommand],
        listener: Option<ListenerId>,
    ) -> Result<Vec<EslResponse>, EslError> {
        let mut awaited = Vec::with_capacity(commands.len());
        self.write(&mut self.parts.state(), commands, listener, |reply| awaited.push(reply))?;
        in_time(async {
            let mut replies = Vec::with_capacity(awaited.len());
            for reply in awaited {
                replies.push(reply.await.map_err(|_| EslError::ConnectionClosed)?);
            }
            Ok(replies)
        })
        .await
    }

    /// Sends commands without waiting for their replies.
    pub(super) fn order(&self, commands: &[EslCommand]) {
        // Listeners learn of the connection's end.
        let _ = self.write(&mut self.parts.state(), commands, None, drop);
    }

    fn write(
        &self,
        state: &mut State,
        commands: &[EslCommand],
        listener: Option<ListenerId>,
        mut ask: impl FnMut(oneshot::Receiver<EslResponse>),
    ) -> Result<(), EslError> {
        let texts: Result<Vec<String>, EslError> = commands.iter().map(EslCommand::to_wire_format).collect();
        let text = texts?.concat();
        if state.is_over {
            return Err(EslError::ConnectionClosed);
        }
        if state.unsent.len() + text.len() > MOST_UNSENT {
            warn!("FreeSWITCH does not read commands: closing the connection that calls share");
            self.parts.over.cancel();
            return Err(EslError::ConnectionClosed);
        }
        state.unsent.extend_from_slice(text.as_bytes());
        for command in commands {
            let (reply, awaited) = oneshot::channel();
            let job = listener.filter(|_| matches!(command, EslCommand::BgApi { .. }));
            state.pending.push_back(PendingReply { reply, job });
            ask(awaited);
        }
        self.parts.unsent.notify_one();
        Ok(())
    }

    /// A new listener and its events. They end when it is forgotten, when too many wait for it, or when the connection
    /// ends.
    pub(super) fn listen(&self) -> (ListenerId, mpsc::Receiver<EslEvent>) {
        let (events, received) = mpsc::channel(QUEUE);
        let mut state = self.parts.state();
        state.last += 1;
        let listener = ListenerId(state.last);
        if !state.is_over {
            state.listeners.insert(listener, events);
        }
        (listener, received)
    }

    /// This listener gets this channel's events from now on.
    pub(super) fn route(&self, channel: &str, listener: ListenerId) {
        let mut state = self.parts.state();
        if state.listeners.contains_key(&listener) {
            let listeners = state.channels.entry(channel.to_owned()).or_default();
            listeners.retain(|known| *known != listener);
            listeners.push(listener);
        }
    }

    /// This listener gets no more events of its held channel, of these other channels, or of any job. FreeSWITCH stops
    /// sending events of other channels that no listener is left for.
    pub(super) fn forget(&self, held: &str, channels: &[String], listener: ListenerId) {
        let mut state = self.parts.state();
        state.listeners.remove(&listener);
        state.jobs.retain(|_, known| *known != listener);
        let mut unused = Vec::new();
        for channel in channels {
            if state.leave(channel, listener) {
                unused.push(EslCommand::FilterDelete {
                    header: "Unique-ID".into(),
                    value: Some(channel.clone()),
                });
            }
        }
        state.leave(held, listener);
        // Before anybody else can ask for that channel.
        let _ = self.write(&mut state, &unused, None, drop);
    }

    /// Makes FreeSWITCH look at its event queue now, unless a command is about to.
    pub(super) fn nudge(&self) {
        let mut state = self.parts.state();
        if state.unsent.is_empty() && !state.is_over {
            state.unsent.push(b'\n');
            drop(state);
            self.parts.unsent.notify_one();
        }
    }

    /// Waits for the connection's end.
    pub(crate) async fn closed(&self) {
        self.parts.over.cancelled().await;
    }
}

impl State {
    /// This listener gets no more events of this channel; returns whether it was the last one.
    fn leave(&mut self, channel: &str, listener: ListenerId) -> bool {
        let Some(listeners) = self.channels.get_mut(channel) else {
            return false;
        };
        listeners.retain(|known| *known != listener);
        let is_unused = listeners.is_empty();
        if is_unused {
            self.channels.remove(channel);
        }
        is_unused
    }
}

impl Parts {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends all waits for replies and events.
    fn end(&self) {
        let mut state = self.state();
        *state = State {
            is_over: true,
            ..State::default()
        };
        drop(state);
        self.over.cancel();
    }

    /// Passes a reply to the oldest command without one.
    fn answer(&self, reply: EslResponse) {
        let mut state = self.state();
        let Some(pending) = state.pending.pop_front() else {
            return;
        };
        if let (Some(listener), Some(job)) = (pending.job, reply.header("Job-UUID"))
            && state.listeners.contains_key(&listener)
        {
            state.jobs.insert(job.to_owned(), listener);
        }
        drop(state);
        let _ = pending.reply.send(reply);
    }

    /// Passes an event to the calls of its channel or job.
    fn pass_on(&self, event: EslEvent, others: &mpsc::Sender<EslEvent>) {
        let mut state = self.state();
        let listeners = if event.event_type() == Some(EslEventType::BackgroundJob) {
            let job = event.header_str("Job-UUID").unwrap_or_default();
            state.jobs.remove(job).into_iter().collect()
        } else {
            let channel = event.header_str("Unique-ID").unwrap_or_default();
            let listeners = state.channels.get(channel).cloned();
            // An announcement of a call has a subclass.
            let Some(listeners) = listeners.filter(|_| event.header_str("Event-Subclass").is_none()) else {
                drop(state);
                let _ = others.try_send(event);
                return;
            };
            listeners
        };
        for listener in listeners {
            let Some(events) = state.listeners.get(&listener) else {
                continue;
            };
            if let Err(mpsc::error::TrySendError::Full(_)) = events.try_send(event.clone()) {
                warn!("a call does not keep up with its events, and loses its connection");
                state.listeners.remove(&listener);
            }
        }
    }
}

async fn write(parts: Arc<Parts>, mut socket: OwnedWriteHalf) {
    loop {
        tokio::select! {
            () = parts.over.cancelled() => break,
            () = parts.unsent.notified() => {}
        }
        let text = std::mem::take(&mut parts.state().unsent);
        let written = tokio::select! {
            () = parts.over.cancelled() => break,
            written = socket.write_all(&text) => written,
        };
        if written.is_err() {
            break;
        }
    }
    parts.end();
}

async fn read(parts: Arc<Parts>, mut socket: OwnedReadHalf, others: mpsc::Sender<EslEvent>) {
    let mut unread = Vec::new();
    loop {
        match take(&mut unread) {
            Ok(Some(Message::Reply(reply))) => parts.answer(reply),
            Ok(Some(Message::Event(event))) => parts.pass_on(event, &others),
            Ok(Some(Message::Other)) => {}
            Ok(Some(Message::Goodbye)) => break,
            Err(error) => {
                debug!(%error, "the connection that calls share");
                break;
            }
            Ok(None) => {
                unread.reserve(CHUNK);
                let read = tokio::select! {
                    () = parts.over.cancelled() => break,
                    read = socket.read_buf(&mut unread) => read,
                };
                if !read.is_ok_and(|read| read > 0) {
                    break;
                }
            }
        }
    }
    parts.end();
}

#[cfg(test)]
mod tests;
