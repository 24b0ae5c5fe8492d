//! Questions to FreeSWITCH over its event socket.

use std::io::ErrorKind;
use std::time::Duration;

use freeswitch_esl_tokio::{
    AuthMethod, EslClient, EslConnectOptions, EslError, EslEvent, EslEventStream, EslEventType, EventFormat,
};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::Check;
use crate::config::FreeSwitch;
use crate::words;

/// How long any answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A logged-in connection.
pub(super) struct Session {
    client: EslClient,
    /// Ends of channels, of the events that were asked for. All others are taken off the connection as they come: replies
    /// stand behind them.
    ends: mpsc::UnboundedReceiver<EslEvent>,
    /// Where, for reports.
    pub address: String,
    /// As whom, for reports.
    pub user: String,
    /// It has let a command wait for too long: no other is tried, so that the doctor comes to an end.
    is_silent: bool,
}

impl Session {
    /// Logs in; what is wrong, if it cannot.
    pub(super) async fn open(settings: &FreeSwitch) -> Result<Self, Box<Check>> {
        let address = format!("{}:{}", settings.host, settings.port);
        let user = settings.user.clone().unwrap_or_else(|| "the default user".into());
        let method = match &settings.user {
            Some(user) => AuthMethod::user(user, settings.password.expose()),
            None => AuthMethod::password(settings.password.expose()),
        };
        let connect = EslClient::connect_with_auth(&settings.host, settings.port, method, EslConnectOptions::new());
        match tokio::time::timeout(PATIENCE, Box::pin(connect)).await {
            Ok(Ok((client, events))) => {
                client.set_command_timeout(PATIENCE);
                let (sender, ends) = mpsc::unbounded_channel();
                tokio::spawn(read(events, sender));
                Ok(Self {
                    client,
                    ends,
                    address,
                    user,
                    is_silent: false,
                })
            }
            Ok(Err(error)) => Err(Box::new(refused(&address, &user, &error))),
            Err(_) => Err(Box::new(Check::error(
                "freeswitch",
                "login",
                format!("{address} does not answer within {PATIENCE:?}"),
                "look for a firewall between the two hosts, and at FreeSWITCH itself (`fs_cli -x status`)",
            ))),
        }
    }

    /// One API command's answer, without the line break at its end; what failed, if it did.
    pub(super) async fn api(&mut self, command: &str) -> Result<String, String> {
        if self.is_silent {
            return Err("FreeSWITCH does not answer any more".into());
        }
        match self.client.api(command).await {
            Ok(reply) => Ok(reply.body().unwrap_or_default().trim_end().to_owned()),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Waits for the end of a channel; a variable that it had then.
    pub(super) async fn end_of(&mut self, channel: Uuid, variable: &str) -> Option<String> {
        let (channel, header) = (channel.to_string(), format!("variable_{variable}"));
        loop {
            let event = self.ends.recv().await?;
            if event.header_str("Unique-ID") == Some(&channel) {
                return event.header_str(&header).map(str::to_owned);
            }
        }
    }

    /// Asks for events; what failed, if it did.
    pub(super) async fn subscribe(&mut self, events: &str) -> Result<(), String> {
        if self.is_silent {
            return Err("FreeSWITCH does not answer any more".into());
        }
        let asked = self.client.subscribe_events_raw(EventFormat::Plain, events).await;
        asked.map_err(|error| self.failed(&error))
    }

    fn failed(&mut self, error: &EslError) -> String {
        self.is_silent |= matches!(error, EslError::Timeout { .. });
        words::of_esl(error)
    }
}

async fn read(mut events: EslEventStream, ends: mpsc::UnboundedSender<EslEvent>) {
    while let Some(event) = events.recv().await {
        let Ok(event) = event else { continue };
        if event.event_type() == Some(EslEventType::ChannelHangupComplete) && ends.send(event).is_err() {
            return;
        }
    }
}

fn refused(address: &str, user: &str, error: &EslError) -> Check {
    let (seen, advice) = match error {
        EslError::AuthenticationFailed { .. } => (
            format!("{address}: the password of {user} is not taken"),
            "compare freeswitch.password-file with autoload_configs/event_socket.conf.xml (or the user's esl-password)",
        ),
        EslError::Io(e) if e.kind() == ErrorKind::ConnectionRefused => (
            format!("{address}: connection refused"),
            "is FreeSWITCH running, is mod_event_socket loaded, and does it listen there (listen-ip, listen-port)?",
        ),
        EslError::ConnectionClosed | EslError::NotConnected => (
            format!("{address}: FreeSWITCH closed the connection"),
            "its apply-inbound-acl does not allow this host (fs-conf/autoload_configs/acl.conf.xml)",
        ),
        other => (
            format!("{address}: {}", words::of_esl(other)),
            "compare [freeswitch] with autoload_configs/event_socket.conf.xml; add this host's address to its apply-inbound-acl",
        ),
    };
    Check::error("freeswitch", "login", seen, advice)
}
