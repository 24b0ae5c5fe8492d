//! Channels that are handed back at once.

use freeswitch_esl_tokio::{EslCommand, EslResponse};

use crate::esl::link::Link;

/// Hands a channel back to the dialplan, before a call was made of it.
pub(super) async fn hand_back(mut link: Link, data: &EslResponse) {
    if data.header("Socket-Mode") != Some("static") {
        let _ = link.send(EslCommand::Resume).await;
    }
    let _ = link.send(EslCommand::Exit).await;
}
