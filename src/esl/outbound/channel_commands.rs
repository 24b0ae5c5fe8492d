//! Learns over one connection for all calls that FreeSWITCH has run a command, or `intercept`, on a watched channel.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use freeswitch_esl_tokio::EslError;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::command::{filter, subscription};
use crate::esl::event_socket::EventSocket;
use crate::esl::link::Link;
use crate::words;

/// The commands that move a channel.
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
/// The pause before the next attempt to subscribe.
const PAUSE: Duration = Duration::from_secs(1);

/// The watched channels, each with whom to notify of a command that names it.
#[derive(Clone)]
pub(super) struct ChannelCommands {
    channels: Arc<Mutex<HashMap<String, Arc<Notify>>>>,
    first: Arc<Notify>,
}

impl ChannelCommands {
    /// Subscribes when the first channel is watched.
    pub(super) fn new(socket: EventSocket, stop: CancellationToken) -> Self {
        let channel_commands = Self {
            channels: Arc::default(),
            first: Arc::default(),
        };
        let ear = channel_commands.clone();
        if tokio::runtime::Handle::try_current().is_ok() {
            tokio::spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = ear.listen(&socket) => {}
                }
            });
        }
        channel_commands
    }

    /// Watches a channel.
    pub(super) fn watch(&self, channel: &str) -> Watch {
        let named = Arc::new(Notify::new());
        self.channels().insert(channel.to_owned(), named.clone());
        self.first.notify_one();
        Watch {
            channel: channel.to_owned(),
            channel_commands: self.clone(),
            named,
            due: Instant::now() + SELDOM,
            soon: SOON.len(),
        }
    }

    fn channels(&self) -> MutexGuard<'_, HashMap<String, Arc<Notify>>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn listen(&self, socket: &EventSocket) {
        loop {
            while self.channels().is_empty() {
                self.first.notified().await;
            }
            if let Err(error) = self.hear(socket).await {
                debug!(
                    error = words::of_esl(&error),
                    "cannot subscribe to FreeSWITCH's commands"
                );
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn hear(&self, socket: &EventSocket) -> Result<(), EslError> {
        let mut link = Link::log_in(&socket.endpoint()).await?;
        let mut commands: Vec<_> = COMMANDS.map(|name| filter("API-Command", name)).into();
        commands.push(filter("Application", "intercept"));
        commands.push(subscription("API CHANNEL_EXECUTE_COMPLETE"));
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

/// When to check where a channel is.
pub(super) struct Watch {
    channel: String,
    channel_commands: ChannelCommands,
    named: Arc<Notify>,
    due: Instant,
    /// How many of [`SOON`] have passed.
    soon: usize,
}

impl Watch {
    /// Waits for the next moment to check; returns whether a command has named the channel. Pending for ever without a
    /// watch. Cancel-safe.
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

    /// Something has happened: check soon.
    pub(super) fn soon(&mut self) {
        (self.due, self.soon) = (Instant::now(), 0);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.channel_commands.channels().remove(&self.channel);
    }
}
