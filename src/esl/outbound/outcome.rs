//! How a wait for a leg ended, and why a bridge was not made.

use freeswitch_esl_tokio::EslError;

use crate::engine::LegEnd;

/// What was waited for.
pub(super) enum WaitOutcome {
    /// It has happened.
    Done,
    /// The leg is over.
    LegOver(LegEnd),
    /// The held channel is not ours any more.
    HeldLost,
    /// Nothing, in time.
    Nothing,
}

/// Why there is no bridge.
pub(super) enum NotBridged {
    /// It failed; and how the leg ended, where that is why.
    Failed(Option<LegEnd>),
    /// The connection is lost.
    Lost(EslError),
}

impl From<EslError> for NotBridged {
    fn from(error: EslError) -> Self {
        Self::Lost(error)
    }
}
