//! Plays a sound to a caller while phones ring, although `socket` without `async` holds the channel.
//!
//! Playing needs the channel's thread, which serves the connection. So FreeSWITCH runs `socket` again inside the first,
//! with `async`. It connects again, and fswake holds the call there. This connection waits for the end of the inner
//! one.

use freeswitch_esl_tokio::EslCommand;
use tracing::debug;

use super::command::{api, execute};
use crate::esl::decode::HeldChannel;
use crate::esl::encode;
use crate::esl::link::Link;

/// Holds the channel with `async`, by these applications ([`crate::esl::encode::hold_with_async`]).
pub(super) async fn park(mut link: Link, held: &HeldChannel, applications: String) {
    debug!(channel = held.channel, "held with async, for what the caller hears");
    let inner = execute(None, "execute_extension", applications);
    let is_told = link.send(api(encode::resumes(&held.channel, false))).await;
    // The reply comes when the call is over or goes on in its dialplan.
    if is_told.is_ok() && link.send_and_wait(inner).await.is_ok_and(|came| came) {
        let _ = link.send(EslCommand::Exit).await;
    }
}
