//! One connection of ours to the event socket that many calls share.
//!
//! Commands of all calls are written in the order in which they are given, without waiting for replies; FreeSWITCH replies in that
//! order, so each reply goes to whoever asked. Events go to the call that has asked for their channel or has started their job.
//! Neither a call that does not listen nor one that has gone keeps another waiting:
//! - replies to whoever has gone are dropped;
//! - a call that has left more than [`QUEUE`] events unheard loses its connection, as if FreeSWITCH had closed it;
//! - when FreeSWITCH does not read what we write, or closes the connection, all calls lose it.

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
use super::own::in_time;
use crate::esl::endpoint::Endpoint;

/// Events that a call may leave unheard, some 10 KiB each.
pub(super) const QUEUE: usize = 512;
/// Bytes that FreeSWITCH may leave unread: more is a FreeSWITCH that stands still.
const MOST_UNSENT: usize = 16 * 1024 * 1024;
/// What is read at once.
const CHUNK: usize = 64 * 1024;

/// A connection that many calls share; closed when the last part of it is dropped.
#[derive(Clone)]
pub(crate) struct SharedConnection {
    parts: Arc<Parts>,
    _closes: Arc<tokio_util::sync::DropGuard>,
}

struct Parts {
    state: Mutex<State>,
    /// Something is to be written.
    unsent: Notify,
    over: CancellationToken,
}

#[derive(Default)]
struct State {
    unsent: Vec<u8>,
    /// Who waits for the replies, in order.
    asked: VecDeque<Asked>,
    /// The calls that hear events: a call that is not among them has lost its connection.
    listeners: HashMap<ListenerId, mpsc::Sender<EslEvent>>,
    last: u64,
    /// Who hears of a channel: two calls where they are phones of one ring group, and have the same caller.
    channels: HashMap<String, Vec<ListenerId>>,
    /// Who hears of a `bgapi` job.
    jobs: HashMap<String, ListenerId>,
    is_over: bool,
}

/// A call that hears events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ListenerId(u64);

/// A command whose reply is to come.
struct Asked {
    reply: oneshot::Sender<EslResponse>,
    /// Who hears of the job that the command starts.
    job: Option<ListenerId>,
}

impl SharedConnection {
    /// Connects and logs in. Events that no call has asked for go into `others`; one that finds no room there is lost.
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

    /// The same; this listener hears of the jobs that they start.
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

    /// Sends commands whose replies nobody waits for.
    pub(super) fn order(&self, commands: &[EslCommand]) {
        // The connection's end is said to whoever listens.
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
            state.asked.push_back(Asked { reply, job });
            ask(awaited);
        }
        self.parts.unsent.notify_one();
        Ok(())
    }

    /// A new listener, and what it hears: until it is forgotten, leaves too much unheard, or the connection is over.
    pub(super) fn listen(&self) -> (ListenerId, mpsc::Receiver<EslEvent>) {
        let (events, heard) = mpsc::channel(QUEUE);
        let mut state = self.parts.state();
        state.last += 1;
        let listener = ListenerId(state.last);
        if !state.is_over {
            state.listeners.insert(listener, events);
        }
        (listener, heard)
    }

    /// From here on this listener hears of this channel.
    pub(super) fn route(&self, channel: &str, listener: ListenerId) {
        let mut state = self.parts.state();
        if state.listeners.contains_key(&listener) {
            let heard = state.channels.entry(channel.to_owned()).or_default();
            heard.retain(|known| *known != listener);
            heard.push(listener);
        }
    }

    /// A listener hears nothing more, of these channels or of any job. FreeSWITCH sends no more of what nobody hears.
    pub(super) fn forget(&self, channels: &[String], listener: ListenerId) {
        let mut state = self.parts.state();
        state.listeners.remove(&listener);
        state.jobs.retain(|_, heard| *heard != listener);
        let mut unheard = Vec::new();
        for channel in channels {
            let Some(heard) = state.channels.get_mut(channel) else {
                continue;
            };
            heard.retain(|known| *known != listener);
            if heard.is_empty() {
                state.channels.remove(channel);
                unheard.push(EslCommand::FilterDelete {
                    header: "Unique-ID".into(),
                    value: Some(channel.clone()),
                });
            }
        }
        // Before anybody else can ask for that channel.
        let _ = self.write(&mut state, &unheard, None, drop);
    }

    /// Lets FreeSWITCH look at its event queue now; nothing where a command does that anyway.
    pub(super) fn nudge(&self) {
        let mut state = self.parts.state();
        if state.unsent.is_empty() && !state.is_over {
            state.unsent.push(b'\n');
            drop(state);
            self.parts.unsent.notify_one();
        }
    }

    /// Waits until it is over.
    pub(crate) async fn closed(&self) {
        self.parts.over.cancelled().await;
    }
}

impl Parts {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing comes any more: whoever waits is told so.
    fn end(&self) {
        let mut state = self.state();
        *state = State {
            is_over: true,
            ..State::default()
        };
        drop(state);
        self.over.cancel();
    }

    /// A reply, to whoever asked first.
    fn answer(&self, reply: EslResponse) {
        let mut state = self.state();
        let Some(asked) = state.asked.pop_front() else { return };
        if let (Some(listener), Some(job)) = (asked.job, reply.header("Job-UUID"))
            && state.listeners.contains_key(&listener)
        {
            state.jobs.insert(job.to_owned(), listener);
        }
        drop(state);
        let _ = asked.reply.send(reply);
    }

    /// An event, to the call whose channel or job it names.
    fn hear(&self, event: EslEvent, others: &mpsc::Sender<EslEvent>) {
        let mut state = self.state();
        let listeners = if event.event_type() == Some(EslEventType::BackgroundJob) {
            let job = event.header_str("Job-UUID").unwrap_or_default();
            state.jobs.remove(job).into_iter().collect()
        } else {
            let channel = event.header_str("Unique-ID").unwrap_or_default();
            let heard = state.channels.get(channel).cloned();
            // How a call is announced has a subclass.
            let Some(heard) = heard.filter(|_| event.header_str("Event-Subclass").is_none()) else {
                drop(state);
                let _ = others.try_send(event);
                return;
            };
            heard
        };
        for listener in listeners {
            let heard = state
                .listeners
                .get(&listener)
                .map(|events| events.try_send(event.clone()));
            if let Some(Err(mpsc::error::TrySendError::Full(_))) = heard {
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
            Ok(Some(Message::Event(event))) => parts.hear(event, &others),
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
mod tests {
    use std::fmt::Write as _;

    use tokio::net::TcpListener;

    use super::*;
    use crate::types::Secret;

    /// A connection, and FreeSWITCH's end of it.
    async fn connected() -> (SharedConnection, mpsc::Receiver<EslEvent>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Endpoint {
            host: "127.0.0.1".into(),
            port: listener.local_addr().unwrap().port(),
            user: None,
            password: Secret::new("x"),
        };
        let (others, announced) = mpsc::channel(4);
        let accepts = async {
            let (mut socket, _) = listener.accept().await.unwrap();
            let text = b"Content-Type: auth/request\n\nContent-Type: command/reply\nReply-Text: +OK accepted\n\n";
            socket.write_all(text).await.unwrap();
            let mut login = [0; 8];
            let _ = socket.read_exact(&mut login).await.unwrap();
            assert_eq!(&login, b"auth x\n\n");
            socket
        };
        let (connection, socket) = tokio::join!(SharedConnection::open(&endpoint, others), accepts);
        (connection.unwrap(), announced, socket)
    }

    fn event(headers: &[(&str, &str)]) -> String {
        let text = headers.iter().fold(String::new(), |mut text, (name, value)| {
            let _ = writeln!(text, "{name}: {value}");
            text
        });
        let text = text + "\n";
        format!(
            "Content-Length: {}\nContent-Type: text/event-plain\n\n{text}",
            text.len()
        )
    }

    fn of_channel(channel: &str) -> String {
        event(&[("Event-Name", "CHANNEL_ANSWER"), ("Unique-ID", channel)])
    }

    fn api(command: &str) -> EslCommand {
        EslCommand::Api {
            command: command.into(),
        }
    }

    fn answer(text: &str) -> String {
        format!("Content-Type: api/response\nContent-Length: {}\n\n{text}", text.len())
    }

    #[tokio::test]
    async fn each_reply_goes_to_whoever_asked_also_when_another_has_gone() {
        let (connection, _announced, mut freeswitch) = connected().await;
        // Nobody waits for this one.
        connection.order(&[api("gone")]);
        let first = [api("one"), api("two")];
        let second = [api("three")];
        let answers = async {
            let mut read = [0; 64];
            let mut n = 0;
            while !read[..n].ends_with(b"three\n\n") {
                n += freeswitch.read(&mut read[n..]).await.unwrap();
            }
            assert_eq!(&read[..n], b"api gone\n\napi one\n\napi two\n\napi three\n\n");
            let text = ["0", "1", "2", "3"].map(answer).concat();
            freeswitch.write_all(text.as_bytes()).await.unwrap();
        };
        let (first, second, ()) = tokio::join!(connection.send_all(&first), connection.send_all(&second), answers);
        let bodies = |replies: Result<Vec<EslResponse>, EslError>| -> Vec<String> {
            let replies = replies.unwrap();
            replies.iter().map(|reply| reply.body().unwrap().to_owned()).collect()
        };
        assert_eq!(
            (bodies(first), bodies(second)),
            (vec!["1".into(), "2".into()], vec!["3".into()])
        );
    }

    #[tokio::test]
    async fn events_go_to_the_call_of_their_channel_or_job_and_others_to_nobody() {
        let (connection, mut announced, mut freeswitch) = connected().await;
        let (listener, mut heard) = connection.listen();
        connection.route("u-1", listener);
        let job = [EslCommand::BgApi {
            command: "originate x".into(),
        }];
        let (replies, ()) = tokio::join!(connection.send(&job, Some(listener)), async {
            let reply = "Content-Type: command/reply\nReply-Text: +OK Job-UUID: j-1\nJob-UUID: j-1\n\n";
            let jobs = ["j-0", "j-1"].map(|job| event(&[("Event-Name", "BACKGROUND_JOB"), ("Job-UUID", job)]));
            let announcement = event(&[
                ("Event-Name", "CUSTOM"),
                ("Event-Subclass", "fswake%3A%3Ahold"),
                ("Unique-ID", "u-1"),
            ]);
            let text = reply.to_owned() + &jobs.concat() + &announcement + &of_channel("u-2") + &of_channel("u-1");
            freeswitch.write_all(text.as_bytes()).await.unwrap();
        });
        assert!(replies.unwrap()[0].is_success());
        assert_eq!(heard.recv().await.unwrap().header_str("Job-UUID"), Some("j-1"));
        assert_eq!(heard.recv().await.unwrap().header_str("Unique-ID"), Some("u-1"));
        let subclass = announced.recv().await.unwrap();
        assert_eq!(subclass.header_str("Event-Subclass"), Some("fswake::hold"));
        // Two phones of one ring group have the same caller.
        let (second, mut also_heard) = connection.listen();
        connection.route("u-1", second);
        freeswitch.write_all(of_channel("u-1").as_bytes()).await.unwrap();
        assert!(heard.recv().await.is_some() && also_heard.recv().await.is_some());
        connection.forget(&["u-1".into()], listener);
        assert!(heard.recv().await.is_none());
        connection.forget(&["u-1".into()], second);
        let mut read = [0; 64];
        let mut n = 0;
        while !read[..n].ends_with(b"u-1\n\n") {
            n += freeswitch.read(&mut read[n..]).await.unwrap();
        }
        let text = String::from_utf8_lossy(&read[..n]).into_owned();
        assert!(text.ends_with("\n\nfilter delete Unique-ID u-1\n\n"), "{text:?}");
        assert_eq!(text.matches("filter").count(), 1, "for the last of them: {text:?}");
    }

    #[tokio::test]
    async fn call_that_does_not_listen_loses_its_connection_and_keeps_nobody_waiting() {
        let (connection, _announced, mut freeswitch) = connected().await;
        let [(deaf, mut unheard), (other, mut heard)] = [connection.listen(), connection.listen()];
        connection.route("u-1", deaf);
        connection.route("u-2", other);
        let text = of_channel("u-1").repeat(QUEUE + 1) + &of_channel("u-2");
        freeswitch.write_all(text.as_bytes()).await.unwrap();
        assert!(heard.recv().await.is_some());
        for _ in 0..QUEUE {
            assert!(unheard.recv().await.is_some());
        }
        assert!(unheard.recv().await.is_none(), "its connection is over");
    }

    #[tokio::test]
    async fn end_of_the_connection_is_told_to_all_that_wait() {
        let (connection, _announced, freeswitch) = connected().await;
        let (_, mut heard) = connection.listen();
        let question = [api("status")];
        let (replies, ()) = tokio::join!(connection.send_all(&question), async { drop(freeswitch) });
        assert!(replies.is_err() && heard.recv().await.is_none());
        connection.closed().await;
        assert!(connection.send_all(&question).await.is_err());
        assert!(connection.listen().1.recv().await.is_none());
    }
}
