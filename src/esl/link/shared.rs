//! One call's part of a connection that many calls share, for a channel that FreeSWITCH's application `sleep` holds.
//!
//! What the commands of a connection of its own mean there is said in other words here: the end of the hold is `uuid_break`, and
//! events are asked for by channel.

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
    /// What the channel's `fswake_held` is while it is ours.
    holder: String,
    listener: ListenerId,
    queue: mpsc::Receiver<EslEvent>,
    /// Events that came before a reply.
    events: VecDeque<EslEvent>,
    /// Channels that are heard.
    heard: Vec<String>,
    /// The task of FreeSWITCH's scheduler that ends the hold without us.
    lease: Option<String>,
    /// The channel is held for us: it is let go where nobody did so in order.
    holds: bool,
}

/// A command as this connection has it.
enum Said {
    /// It is sent.
    Sent(EslCommand),
    /// Nothing is sent for it.
    Understood,
}

impl SharedLink {
    /// The part of the call that this channel belongs to.
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
            heard: Vec::new(),
            lease: None,
            holds: true,
        }
    }

    /// Has FreeSWITCH end the hold when fswake is gone, instead of when the first lease is over.
    pub(crate) async fn lease(&mut self, first: Option<&str>) -> Result<(), EslError> {
        let api = |command: String| EslCommand::Api { command };
        let mut commands = vec![api(encode::hold_lease(&self.channel, &self.holder))];
        commands.extend(first.map(|task| api(encode::end_task(task))));
        let replies = self.send_all(&commands).await?;
        self.lease = replies.first().and_then(EslResponse::body).and_then(encode::task);
        Ok(())
    }

    pub(super) async fn send_all(&mut self, commands: &[EslCommand]) -> Result<Vec<EslResponse>, EslError> {
        let said: Vec<Vec<Said>> = commands.iter().map(|command| self.say(command)).collect();
        let sent: Vec<EslCommand> = said
            .iter()
            .flatten()
            .filter_map(|said| match said {
                Said::Sent(command) => Some(command.clone()),
                Said::Understood => None,
            })
            .collect();
        let replies = self.connection.send(&sent, Some(self.listener)).await;
        while let Ok(event) = self.queue.try_recv() {
            self.events.push_back(event);
        }
        let mut replies = replies?.into_iter();
        let mut of_each = Vec::with_capacity(said.len());
        for said in said {
            let mut last = understood();
            for part in said {
                if let Said::Sent(_) = part {
                    last = replies.next().ok_or(EslError::ConnectionClosed)?;
                }
            }
            of_each.push(last);
        }
        Ok(of_each)
    }

    fn say(&mut self, command: &EslCommand) -> Vec<Said> {
        let api = |command: String| Said::Sent(EslCommand::Api { command });
        match command {
            EslCommand::Filter { header, value } if header == "Unique-ID" => {
                self.connection.route(value, self.listener);
                self.heard.push(value.clone());
                vec![Said::Sent(command.clone())]
            }
            // The connection hears of all jobs, and of all events that any call needs.
            EslCommand::Filter { .. } | EslCommand::Events { .. } | EslCommand::Linger { .. } => vec![Said::Understood],
            EslCommand::GetVar { name } => vec![api(format!("uuid_getvar {} {name}", self.channel))],
            EslCommand::Resume => {
                self.holds = false;
                let ends = self.lease.take().map(|task| api(encode::end_task(&task)));
                ends.into_iter()
                    .chain([api(encode::end_sleep(&self.channel))])
                    .collect()
            }
            EslCommand::Exit => {
                self.holds = false;
                self.lease
                    .take()
                    .map(|task| api(encode::end_task(&task)))
                    .into_iter()
                    .collect()
            }
            // An application without a channel is refused by FreeSWITCH: the held one runs nothing while it sleeps.
            other => vec![Said::Sent(other.clone())],
        }
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

    /// The channel is held no more, and nothing is to be done about it.
    pub(super) fn end(&mut self) {
        self.holds = false;
        self.events.clear();
        self.queue.close();
        self.forget();
    }

    fn forget(&mut self) {
        self.heard.push(self.channel.clone());
        self.connection.forget(&self.heard, self.listener);
        self.heard.clear();
        let mut commands = Vec::new();
        let api = |command: String| EslCommand::Api { command };
        if self.holds {
            commands.push(api(encode::end_hold(&self.channel, &self.holder)));
        }
        commands.extend(self.lease.take().map(|task| api(encode::end_task(&task))));
        self.connection.order(&commands);
    }
}

impl Drop for SharedLink {
    fn drop(&mut self) {
        self.forget();
    }
}

/// The reply to what needs none.
fn understood() -> EslResponse {
    let ok = [("Reply-Text".to_owned(), "+OK".to_owned())];
    EslResponse::new(ok.into_iter().collect(), None)
}
