//! How a wait for a leg ended, and why a bridge was not made.

use freeswitch_esl_tokio::EslError;

use crate::engine::LegEnd;

/// How a wait for a leg ended.
pub(super) enum WaitOutcome {
    /// It has happened.
    Done,
    /// The leg is over.
    LegOver(LegEnd),
    /// fswake does not have the held channel any more.
    HeldLost,
    /// Nothing, in time.
    Nothing,
}

/// Why there is no bridge.
pub(super) enum NotBridged {
    /// It failed; with the leg's end, if that is why.
    Failed(Option<LegEnd>),
    /// The connection is lost.
    Lost(EslError),
}

impl From<EslError> for NotBridged {
    fn from(error: EslError) -> Self {
        Self::Lost(error)
    }
}
