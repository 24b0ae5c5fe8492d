//! Notices that somebody else takes a channel that `socket` holds without `async`.
//!
//! FreeSWITCH fires no event of the channel then: its thread serves our connection, and whoever picks it up waits for the connection's
//! end. So fswake asks what has moved the channel last (`transfer_source`):
//! - when an API command has named it (`uuid_transfer`, `uuid_bridge`, `uuid_park`, ..): FreeSWITCH fires an event API after each;
//! - when another channel that has run `intercept` has become its partner;
//! - while its phones ring, when it is answered, and not by us: whoever picks it up answers it;
//! - when a phone of his was picked off, which happens to the partner of whom somebody picks up;
//! - once a second, for whatever else there is (`sched_transfer`, a SIP REFER).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use freeswitch_esl_tokio::{EslCommand, EslError, EslEvent, EslEventType};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::connection::{Connection, Place, api, filter};
use super::kind;
use super::moved::Moved;
use crate::esl::directory::Directory;
use crate::esl::link::{self, Link};
use crate::esl::{decode, encode};

/// The commands that take a channel somewhere else.
const COMMANDS: [&str; 6] = [
    "uuid_transfer",
    "uuid_bridge",
    "uuid_park",
    "uuid_dual_transfer",
    "uuid_deflect",
    "uuid_redirect",
];
/// Without a hint.
const SELDOM: Duration = Duration::from_secs(1);
/// A channel is answered a moment before it is moved.
const SOON: [Duration; 2] = [Duration::from_millis(15), Duration::from_millis(50)];
/// The pause before the next attempt to hear of commands.
const PAUSE: Duration = Duration::from_secs(1);

/// Who wants to know when a command has named his channel.
#[derive(Clone)]
pub(super) struct Touched {
    channels: Arc<Mutex<HashMap<String, Arc<Notify>>>>,
    first: Arc<Notify>,
}

impl Touched {
    /// Listens from the first channel on that somebody watches.
    pub(super) fn new(directory: Directory, stop: CancellationToken) -> Self {
        let touched = Self {
            channels: Arc::default(),
            first: Arc::default(),
        };
        let ear = touched.clone();
        if tokio::runtime::Handle::try_current().is_ok() {
            tokio::spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = ear.listen(&directory) => {}
                }
            });
        }
        touched
    }

    /// Watches a channel.
    pub(super) fn watch(&self, channel: &str) -> Watch {
        let named = Arc::new(Notify::new());
        self.channels().insert(channel.to_owned(), named.clone());
        self.first.notify_one();
        Watch {
            channel: channel.to_owned(),
            touched: self.clone(),
            named,
            due: Instant::now() + SELDOM,
            soon: SOON.len(),
        }
    }

    fn channels(&self) -> MutexGuard<'_, HashMap<String, Arc<Notify>>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn listen(&self, directory: &Directory) {
        loop {
            while self.channels().is_empty() {
                self.first.notified().await;
            }
            if let Err(error) = self.hear(directory).await {
                debug!(reason = kind(&error), "FreeSWITCH's commands are not heard of");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn hear(&self, directory: &Directory) -> Result<(), EslError> {
        let mut link = Link::log_in(&directory.endpoint()).await?;
        let mut commands: Vec<_> = COMMANDS.map(|name| filter("API-Command", name)).into();
        commands.push(filter("Application", "intercept"));
        commands.push(EslCommand::Events {
            format: "plain".into(),
            events: "API CHANNEL_EXECUTE_COMPLETE".into(),
        });
        link.send_all(&commands).await?;
        while let Some(event) = link.event().await {
            let header = |name: &str| event.header_str(name).unwrap_or_default();
            let words = header("API-Command-Argument").split(' ');
            let channels = self.channels();
            for named in words
                .chain([header("variable_signal_bond")])
                .filter_map(|word| channels.get(word))
            {
                named.notify_one();
            }
        }
        Err(EslError::ConnectionClosed)
    }
}

/// When to look where a channel is.
pub(super) struct Watch {
    channel: String,
    touched: Touched,
    named: Arc<Notify>,
    due: Instant,
    /// How many of [`SOON`] are over.
    soon: usize,
}

impl Watch {
    /// The next moment to look; whether a command has named the channel. Never without a watch. Cancel-safe.
    pub(super) async fn due(watch: &mut Option<Self>) -> bool {
        let Some(watch) = watch else {
            return std::future::pending().await;
        };
        let is_named = tokio::select! {
            biased;
            () = watch.named.notified() => true,
            () = tokio::time::sleep_until(watch.due) => false,
        };
        let next = SOON.get(watch.soon).copied();
        watch.soon = watch.soon.saturating_add(1).min(SOON.len());
        watch.due = Instant::now() + next.unwrap_or(SELDOM);
        is_named
    }

    /// Something has happened.
    pub(super) fn soon(&mut self) {
        (self.due, self.soon) = (Instant::now(), 0);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.touched.channels().remove(&self.channel);
    }
}

impl Connection {
    /// What a connection without `async` asks for besides.
    pub(super) fn without_async(&self) -> Vec<EslCommand> {
        let socket = &self.held.socket;
        let mut commands = Vec::new();
        if socket.is_static && socket.is_told_to_resume {
            commands.push(api(encode::resumes(&self.held.channel, false)));
        }
        commands
    }

    /// Whether this event may mean that somebody takes the channel.
    pub(super) fn may_be_taken(&mut self, event: &EslEvent) {
        let Some(watch) = &mut self.watch else { return };
        let of = event.header_str("Unique-ID").unwrap_or_default();
        if of == self.held.channel && event.event_type() == Some(EslEventType::ChannelAnswer) {
            watch.soon();
        }
    }

    /// Looks whether somebody else has the channel.
    pub(super) async fn look(&mut self, is_named: bool) -> Result<(), EslError> {
        if self.place != Place::Held {
            return Ok(());
        }
        let name = "transfer_source".into();
        let reply = self.link.send(EslCommand::GetVar { name }).await?;
        // FreeSWITCH has no other answer for a variable that is not set.
        let moved = reply.reply_text().filter(|text| !text.starts_with("-ERR"));
        let moved = moved.filter(|text| !text.is_empty()).unwrap_or(decode::UNSET);
        if moved != self.held.socket.moved_by {
            let moved = Moved(moved.to_owned());
            self.was_moved_by(&moved).await;
        } else if is_named && self.is_parked_elsewhere().await {
            self.was_taken(decode::LeftTo::Park).await;
        }
        Ok(())
    }

    /// `uuid_park` leaves no note.
    async fn is_parked_elsewhere(&mut self) -> bool {
        let command = format!("uuid_dump {}", self.held.channel);
        let dump = self.ask(command).await.unwrap_or_default();
        let dump = link::dump(&dump);
        self.place == Place::Held && decode::is_parked(|name| link::header(&dump, name))
    }
}
