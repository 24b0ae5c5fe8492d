//! One call's part of a connection that many calls share, for a channel that FreeSWITCH's application `sleep` holds.
//!
//! Commands of a call's own connection are translated here: `resume` becomes `uuid_break`, and filters become entries in
//! the shared connection's table.

use std::collections::VecDeque;

use freeswitch_esl_tokio::{EslCommand, EslError, EslEvent, EslResponse};
use tokio::sync::mpsc;

use super::shared_connection::{ListenerId, SharedConnection};
use crate::esl::encode;

/// One call's part of a connection.
pub struct SharedLink {
    connection: SharedConnection,
    /// The held channel.
    channel: String,
    /// The value of the channel's `fswake_held` while fswake holds it.
    holder: String,
    listener: ListenerId,
    queue: mpsc::Receiver<EslEvent>,
    /// Events that came before a reply.
    events: VecDeque<EslEvent>,
    /// The other channels whose events this call gets, each by a filter.
    channels: Vec<String>,
    /// The task of FreeSWITCH's scheduler that ends the hold if fswake dies.
    lease: Option<String>,
    /// The channel is still held, and is released when the link is dropped.
    holds: bool,
}

impl SharedLink {
    /// A new call's part, with the events of its channel.
    pub(crate) fn new(connection: SharedConnection, channel: &str, holder: &str) -> Self {
        let (listener, queue) = connection.listen();
        connection.route(channel, listener);
        Self {
            connection,
            channel: channel.to_owned(),
            holder: holder.to_owned(),
            listener,
            queue,
            events: VecDeque::new(),
            channels: Vec::new(),
            lease: None,
            holds: true,
        }
    }

    /// Sets the lease by which FreeSWITCH ends the hold if fswake dies, and removes the first one.
    pub(crate) async fn lease(&mut self, first: Option<&str>) -> Result<(), EslError> {
        let mut commands = vec![api(encode::hold_lease(&self.channel, &self.holder))];
        commands.extend(first.map(|task| api(encode::end_task(task))));
        let replies = self.send_all(&commands).await?;
        self.lease = replies.first().and_then(EslResponse::body).and_then(encode::task);
        Ok(())
    }

    pub(super) async fn send_all(&mut self, commands: &[EslCommand]) -> Result<Vec<EslResponse>, EslError> {
        let translated: Vec<Vec<EslCommand>> = commands.iter().map(|command| self.translate(command)).collect();
        let replies = self.connection.send(&translated.concat(), Some(self.listener)).await;
        while let Ok(event) = self.queue.try_recv() {
            self.events.push_back(event);
        }
        let mut replies = replies?.into_iter();
        let reply_to = |sent: Vec<EslCommand>| {
            let last = replies.by_ref().take(sent.len()).last();
            last.unwrap_or_else(ok)
        };
        Ok(translated.into_iter().map(reply_to).collect())
    }

    /// What is sent for a command of a call's own connection; the last reply counts. Nothing is sent if the shared
    /// connection does it for all calls: it gets all jobs, and all kinds of events.
    fn translate(&mut self, command: &EslCommand) -> Vec<EslCommand> {
        match command {
            // The connection has one filter for all held channels.
            EslCommand::Filter { header, value } if header == "Unique-ID" && *value == self.channel => Vec::new(),
            EslCommand::Filter { header, value } if header == "Unique-ID" => {
                self.connection.route(value, self.listener);
                self.channels.push(value.clone());
                vec![command.clone()]
            }
            EslCommand::Filter { .. } | EslCommand::Events { .. } | EslCommand::Linger { .. } => Vec::new(),
            EslCommand::GetVar { name } => vec![api(format!("uuid_getvar {} {name}", self.channel))],
            EslCommand::Resume => {
                self.holds = false;
                let mut sent = self.end_of_lease();
                sent.push(api(encode::end_sleep(&self.channel)));
                sent
            }
            EslCommand::Exit => {
                self.holds = false;
                self.end_of_lease()
            }
            // An application without a channel gets an error: the held channel runs nothing while it sleeps.
            other => vec![other.clone()],
        }
    }

    fn end_of_lease(&mut self) -> Vec<EslCommand> {
        let task = self.lease.take();
        task.map(|task| api(encode::end_task(&task))).into_iter().collect()
    }

    pub(super) async fn event(&mut self) -> Option<EslEvent> {
        match self.events.pop_front() {
            Some(event) => Some(event),
            None => self.queue.recv().await,
        }
    }

    pub(super) fn kept(&self) -> &VecDeque<EslEvent> {
        &self.events
    }

    pub(super) fn kept_mut(&mut self) -> &mut VecDeque<EslEvent> {
        &mut self.events
    }

    pub(super) fn nudge(&self) {
        self.connection.nudge();
    }

    /// FreeSWITCH no longer holds the channel: ends the link without a further command to the channel.
    pub(super) fn end(&mut self) {
        self.holds = false;
        self.events.clear();
        self.queue.close();
        self.forget();
    }

    fn forget(&mut self) {
        self.connection.forget(&self.channel, &self.channels, self.listener);
        self.channels.clear();
        let mut commands = Vec::new();
        if self.holds {
            commands.push(api(encode::end_hold(&self.channel, &self.holder)));
        }
        commands.extend(self.end_of_lease());
        self.connection.order(&commands);
    }
}

impl Drop for SharedLink {
    fn drop(&mut self) {
        self.forget();
    }
}

fn api(command: String) -> EslCommand {
    EslCommand::Api { command }
}

/// The reply to a command for which nothing is sent.
fn ok() -> EslResponse {
    let ok = [("Reply-Text".to_owned(), "+OK".to_owned())];
    EslResponse::new(ok.into_iter().collect(), None)
}
