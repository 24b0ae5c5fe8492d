//! The first commands on fswake's own connection, whose replies nothing waits for.

use freeswitch_esl_tokio::{EslClient, EslCommand, EslEvent, EslEventType, EventFormat};
use tracing::{debug, warn};

use super::early_events;
use super::nodes::Nodes;
use super::peers;
use crate::types::NodeId;
use crate::words;

/// A sofia profile starts.
pub(super) const STARTED: &str = "sofia::profile_start";
const STARTS: &str = "CUSTOM sofia::profile_start";

/// Subscribes to what a login may lack the right for.
pub(super) async fn prepare(client: EslClient, is_waiting: bool, nodes: Nodes, node: NodeId) {
    if is_waiting {
        mark(&client).await;
    }
    loosen(&client).await;
    // Refused if the login's `esl-allowed-events` lacks it: profiles that start are then noticed later.
    if let Err(error) = client.subscribe_events_raw(EventFormat::Plain, STARTS).await {
        debug!(
            error = words::of_esl(&error),
            "FreeSWITCH does not report which profiles start"
        );
    }
    if nodes.key().is_none() {
        return;
    }
    let heard = client.subscribe_events_raw(EventFormat::Plain, peers::EVENTS).await;
    // Others are heard from now on.
    nodes.peers.listen_at(node);
    if let Err(error) = heard {
        warn!(
            error = words::of_esl(&error),
            "FreeSWITCH does not pass on what other fswakes say: phones may be pushed by each of them"
        );
    }
}

/// Sends the event that tells this process which events it gets. A failure shows when it takes over.
async fn mark(client: &EslClient) {
    let to_mark = format!("CUSTOM {}", early_events::MARK);
    let event = early_events::mark();
    let marked = async {
        client.subscribe_events_raw(EventFormat::Plain, &to_mark).await?;
        client.send_command(EslCommand::SendEvent { event }).await
    };
    if let Err(error) = marked.await {
        debug!(error = words::of_esl(&error), "the event fswake::mark is refused");
    }
}

/// Triggers what FreeSWITCH does once in its life: its first presence event, which a first call brings, makes mod_sofia
/// start its presence thread and sleep for 500 ms in the thread that delivers all events
/// (`sofia_presence_event_handler`; 1.10.12 and 1.11.2). Until then no ringing or answer of that call would arrive.
/// This event has no content and no other effect.
pub(super) async fn loosen(client: &EslClient) {
    let event = EslCommand::SendEvent {
        event: EslEvent::with_type(EslEventType::PresenceOut),
    };
    if let Err(error) = client.send_command(event).await {
        debug!(
            error = words::of_esl(&error),
            "FreeSWITCH's first presence event is still to come"
        );
    }
}
