//! How a phone behaves.

use std::time::Duration;

use super::Transport;

/// What a phone does with an INVITE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// Rings, and is answered so long after it began to ring.
    Answer(Duration),
    /// Rings until the caller gives up.
    Ring,
    /// Declines with this status at once.
    Decline(u16),
    /// Never answers.
    Silent,
    /// Redirects to another URI (302): the script's `redirect_to`.
    Redirect,
}

/// How a phone behaves.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one ability, and they combine freely"
)]
pub struct Script {
    /// What it does with an INVITE.
    pub on_invite: Reaction,
    /// How long it takes before that.
    pub ring_after: Duration,
    /// Payload types that it can do, best first: 0 is PCMU, 8 is PCMA, 9 is G722.
    pub codecs: Vec<u8>,
    /// Rings with 183 and its own audio in place of 180.
    pub early_media: bool,
    /// Speaks with this voice (0 to 9) and listens; without one it is deaf and dumb.
    pub voice: Option<u8>,
    /// Can do video, H.264 and VP8, and offers it.
    pub video: bool,
    /// Offers its audio with an SDES key. In an answer it does what was offered.
    pub secure: bool,
    /// Can do T.38, and takes it when it is offered; it does not offer it by itself.
    pub fax: bool,
    /// Where [`Reaction::Redirect`] sends callers.
    pub redirect_to: String,
    /// What stands behind the URI's place in the Contact of its answers, `;` included. Apps put their push parameters
    /// there.
    pub contact_params: String,
    /// How it reaches its server.
    pub transport: Transport,
    /// Headers of its own for the INVITEs that it sends.
    pub headers: Vec<(String, String)>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            on_invite: Reaction::Answer(Duration::from_millis(100)),
            ring_after: Duration::ZERO,
            codecs: vec![0, 8],
            early_media: false,
            voice: None,
            video: false,
            secure: false,
            fax: false,
            redirect_to: String::new(),
            contact_params: String::new(),
            transport: Transport::default(),
            headers: Vec::new(),
        }
    }
}

impl From<Reaction> for Script {
    fn from(on_invite: Reaction) -> Self {
        Self {
            on_invite,
            ..Self::default()
        }
    }
}
