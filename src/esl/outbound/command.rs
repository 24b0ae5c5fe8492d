//! Commands of the event socket, as the client library has them.

use freeswitch_esl_tokio::{EslCommand, ExecuteOptions};

use crate::esl::encode;
use crate::types::LegId;

/// What is heard.
const EVENTS: &str = "CHANNEL_PROGRESS CHANNEL_PROGRESS_MEDIA CHANNEL_ANSWER CHANNEL_BRIDGE CHANNEL_HANGUP CHANNEL_PARK \
                      CHANNEL_UNPARK CHANNEL_EXECUTE_COMPLETE BACKGROUND_JOB";

/// Has FreeSWITCH send these events, where they pass the filters.
pub(super) fn subscription(events: &str) -> EslCommand {
    let (format, events) = ("plain".into(), events.into());
    EslCommand::Events { format, events }
}

/// Has FreeSWITCH send all events of a call, where they pass the filters.
pub(super) fn all_events() -> EslCommand {
    subscription(EVENTS)
}

/// The same on a connection that many calls share: their announcements, too, and what those behind a loopback read.
pub(super) fn shared_events() -> EslCommand {
    subscription(&format!("{EVENTS} DTMF CUSTOM {}", encode::ANNOUNCEMENT))
}

/// Has FreeSWITCH send the events of that channel, or job, too.
pub(super) fn filter(header: &str, value: &str) -> EslCommand {
    EslCommand::Filter {
        header: header.into(),
        value: value.into(),
    }
}

/// Has FreeSWITCH run an application on a leg, or on the held channel.
pub(super) fn execute(on: Option<LegId>, app: &str, argument: String) -> EslCommand {
    EslCommand::Execute {
        app: app.into(),
        args: Some(argument),
        uuid: on.map(|leg| leg.channel().to_string()),
        options: ExecuteOptions::new(),
    }
}

pub(super) fn api(command: String) -> EslCommand {
    EslCommand::Api { command }
}
