//! How a phone behaves.

use std::time::Duration;

use super::Transport;

/// A phone's reaction to an INVITE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// Rings, and answers this long after it began to ring.
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
    /// Its reaction to an INVITE.
    pub on_invite: Reaction,
    /// The delay before that.
    pub ring_after: Duration,
    /// Payload types that it supports, best first: 0 is PCMU, 8 is PCMA, 9 is G722.
    pub codecs: Vec<u8>,
    /// Rings with 183 and its own audio instead of 180.
    pub early_media: bool,
    /// Sends and recognises voices; its own is this one (0 to 9). Without one it neither sends nor receives audio.
    pub voice: Option<u8>,
    /// Supports and offers video, H.264 and VP8.
    pub video: bool,
    /// Offers its audio with an SDES key. Its answers follow the offer.
    pub secure: bool,
    /// Supports T.38, and accepts an offer of it, but does not offer it itself.
    pub fax: bool,
    /// The target of [`Reaction::Redirect`].
    pub redirect_to: String,
    /// Parameters in the Contact of its answers, with the leading `;`. Apps put their push parameters there.
    pub contact_params: String,
    /// The transport to its server.
    pub transport: Transport,
    /// Additional headers of its INVITEs.
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
