//! Commands of the event socket, as the client library has them.

use freeswitch_esl_tokio::{EslCommand, ExecuteOptions};

use crate::types::LegId;

/// The events of a call's connection.
const EVENTS: &str = "CHANNEL_PROGRESS CHANNEL_PROGRESS_MEDIA CHANNEL_ANSWER CHANNEL_BRIDGE CHANNEL_HANGUP CHANNEL_PARK \
                      CHANNEL_UNPARK CHANNEL_EXECUTE_COMPLETE BACKGROUND_JOB";

/// Subscribes to these events, as far as they pass the filters.
pub(super) fn subscription(events: &str) -> EslCommand {
    let (format, events) = ("plain".into(), events.into());
    EslCommand::Events { format, events }
}

/// Subscribes to all events of a call, as far as they pass the filters.
pub(super) fn all_events() -> EslCommand {
    subscription(EVENTS)
}

/// Adds a filter for the events of that channel or job.
pub(super) fn filter(header: &str, value: &str) -> EslCommand {
    EslCommand::Filter {
        header: header.into(),
        value: value.into(),
    }
}

/// Runs an application on a leg, or on the held channel.
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
