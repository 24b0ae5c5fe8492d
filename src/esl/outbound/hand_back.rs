//! Channels that are handed back at once.

use std::time::Duration;

use freeswitch_esl_tokio::{EslCommand, EslResponse};
use tokio::time::timeout;

use crate::esl::link::Link;

/// How long the connection waits for FreeSWITCH's replies. FreeSWITCH carries the commands out without that, too.
const PATIENCE: Duration = Duration::from_secs(3);

/// Hands a channel back to the dialplan, before a call was made of it.
pub(super) async fn hand_back(mut link: Link, data: &EslResponse) {
    let is_static = data.header("Socket-Mode") == Some("static");
    let resume = (!is_static).then_some(EslCommand::Resume);
    let commands: Vec<_> = resume.into_iter().chain([EslCommand::Exit]).collect();
    let _ = timeout(PATIENCE, link.send_all(&commands)).await;
}
