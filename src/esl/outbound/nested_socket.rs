//! A caller who hears something played while phones ring, and whom `socket` without `async` holds.
//!
//! What is played takes the channel's thread, and that one serves the connection. So FreeSWITCH is told to run `socket` once more
//! inside the first, with `async`: it connects again, and the call is held there as any other with `async`. This connection waits
//! for the end of that one.

use freeswitch_esl_tokio::EslCommand;
use tracing::debug;

use super::command::{api, execute};
use crate::esl::decode::HeldChannel;
use crate::esl::encode;
use crate::esl::link::Link;

/// Has the channel held with `async`, by these applications ([`crate::esl::encode::hold_with_async`]).
pub(super) async fn park(mut link: Link, held: &HeldChannel, applications: String) {
    debug!(channel = held.channel, "held with async, for what the caller hears");
    let inner = execute(None, "execute_extension", applications);
    let is_told = link.send(api(encode::resumes(&held.channel, false))).await;
    // Its reply comes when the call is over, or goes on in its dialplan.
    if is_told.is_ok() && link.send_and_wait(inner).await.is_ok_and(|came| came) {
        let _ = link.send(EslCommand::Exit).await;
    }
}
