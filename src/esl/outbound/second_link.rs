//! Which connection takes the commands of a call that has to close its own early.

use tokio::task::JoinHandle;

use crate::esl::link::Link;

/// Which connection takes the commands of a call that has to close its own early.
#[derive(Default)]
pub(super) enum SecondLink {
    /// The call's own connection.
    #[default]
    None,
    /// The same; the second connection is being opened.
    Coming(JoinHandle<Option<Link>>),
    /// The same; the second connection is ready.
    Ready(Link),
    /// The second one, while the first holds the channel.
    InUse(Link),
    /// The second one; the channel is not held any more.
    Left,
}
