//! What moved a channel last, and how a caller behind a loopback ended.

use std::sync::Arc;

use freeswitch_esl_tokio::EslResponse;

use crate::esl::decode;

/// What moved a channel last: FreeSWITCH's `transfer_source`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TransferSource(pub(super) String);

/// The end of a caller behind a loopback.
#[derive(Debug)]
pub(super) struct CallerEnd {
    pub(super) cause: Arc<str>,
    /// What had moved the caller.
    pub(super) moved: TransferSource,
}

impl TransferSource {
    /// From the answer to [`crate::esl::encode::who_moved`].
    pub(super) fn by(answer: Option<&EslResponse>) -> Self {
        let text = answer.and_then(EslResponse::body).unwrap_or_default();
        Self(text.trim().to_owned())
    }

    /// The channel does not exist any more.
    pub(super) fn is_gone(&self) -> bool {
        self.0.is_empty() || self.0.starts_with("-ERR")
    }

    /// Nothing has moved it.
    pub(super) fn is_nothing(&self) -> bool {
        self.0 == decode::UNSET
    }

    /// The channel that it was about to be bridged with.
    pub(super) fn to_channel(&self) -> Option<String> {
        match decode::transfer_target(&self.0, "") {
            decode::TransferTarget::Channel(other) => Some(other),
            decode::TransferTarget::Dialplan(_) | decode::TransferTarget::Park => None,
        }
    }

    pub(super) fn is_to(&self, channel: &str) -> bool {
        self.to_channel().as_deref() == Some(channel)
    }
}
