//! Where the commands of a call go that has to leave its own connection.

use crate::esl::link::Link;

/// Where the commands of a call go that has to leave its own connection.
#[derive(Default)]
pub(super) enum SecondLink {
    /// On the call's own connection.
    #[default]
    None,
    /// The same; the other connection is ready.
    Ready(Link),
    /// On the other one, while this one holds the channel.
    InUse(Link),
    /// On the other one; the channel is not held any more.
    Left,
}
