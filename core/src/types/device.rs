//! Devices: a Contact's push parameters, and the stored device.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::{Aor, Printable, Provider, PushToken, UnixMicros, UnixSeconds};

/// A Contact's push parameters: one device's tokens for one app.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PushParams {
    /// Who delivers.
    pub provider: Provider,
    /// The app as its credentials are filed: APNs bundle id without team, `.voip` and `.remote`; FCM project id or
    /// sender id; `app-id` of the older parameter sets. Empty if the Contact names none.
    pub app: Arc<str>,
    /// Apple team id, if the Contact has one.
    pub team: Option<Arc<str>>,
    /// Its tokens.
    pub tokens: Tokens,
}

/// A device's tokens: at least one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Tokens {
    /// Only one that calls are pushed to (APNs: the PushKit token).
    Call(PushToken),
    /// Only one for messages, alerts and cancel pushes (APNs: the remote token).
    Remote(PushToken),
    /// One for each.
    Both {
        /// The one for calls.
        call: PushToken,
        /// The one for everything else.
        remote: PushToken,
    },
}

impl Tokens {
    /// Either or both; `None` without any.
    pub fn new(call: Option<PushToken>, remote: Option<PushToken>) -> Option<Self> {
        match (call, remote) {
            (Some(call), Some(remote)) => Some(Self::Both { call, remote }),
            (Some(call), None) => Some(Self::Call(call)),
            (None, Some(remote)) => Some(Self::Remote(remote)),
            (None, None) => None,
        }
    }

    /// The token that a call is pushed to.
    pub fn call(&self) -> Option<&PushToken> {
        match self {
            Self::Call(call) | Self::Both { call, .. } => Some(call),
            Self::Remote(_) => None,
        }
    }

    /// The token for messages, alerts and cancel pushes.
    pub fn remote(&self) -> Option<&PushToken> {
        match self {
            Self::Remote(remote) | Self::Both { remote, .. } => Some(remote),
            Self::Call(_) => None,
        }
    }

    /// The token that identifies the device: the one for calls, else the remote one.
    pub fn identity(&self) -> &PushToken {
        match self {
            Self::Call(token) | Self::Remote(token) | Self::Both { call: token, .. } => token,
        }
    }

    /// Drops the remote token of a device that has one for calls too.
    pub fn drop_remote(&mut self) {
        if let Self::Both { call, .. } = self {
            *self = Self::Call(call.clone());
        }
    }
}

impl PushParams {
    /// The token that identifies the device.
    pub fn token(&self) -> &PushToken {
        self.tokens.identity()
    }

    /// The token that a notification of this type goes to, if the device has one.
    ///
    /// Apple has a token for calls and another for messages, which are not interchangeable. Other providers have one
    /// token for both, whatever the Contact calls it.
    pub fn token_for(&self, kind: TokenType) -> Option<&PushToken> {
        let (own, other) = match kind {
            TokenType::Voip => (self.tokens.call(), self.tokens.remote()),
            TokenType::Im => (self.tokens.remote(), self.tokens.call()),
        };
        own.or_else(|| other.filter(|_| !self.provider.has_topics()))
    }
}

/// Which of a device's tokens a notification is for, in mod_apn's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenType {
    /// The one that calls go to (APNs: PushKit).
    Voip,
    /// The one for messages and alerts (APNs: the remote token).
    Im,
}

impl TokenType {
    /// The word in events, on the command line and in the journal; [`TokenType::from_name`] reads it back.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Voip => "voip",
            Self::Im => "im",
        }
    }

    /// Reads the word, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Voip, Self::Im]
            .into_iter()
            .find(|kind| kind.as_str().eq_ignore_ascii_case(name))
    }
}

/// What identifies a device across registrations (AOR, provider, app, token).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceKey {
    /// Whose device it is.
    pub aor: Aor,
    /// Who delivers its pushes.
    pub provider: Provider,
    /// Its app, as in [`PushParams::app`].
    pub app: Arc<str>,
    /// Its identifying token, as in [`PushParams::token`].
    pub token: PushToken,
}

impl DeviceKey {
    /// Its name for programs.
    pub fn public_id(&self) -> PublicId {
        PublicId(
            self.digest()
                .iter()
                .take(8)
                .fold(0, |id, byte| id << 8 | u64::from(*byte)),
        )
    }

    /// A hash (SHA-256) of provider, app and token, whoever has it.
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for part in [self.provider.name(), &self.app, self.token.expose()] {
            hash.update(part);
            hash.update([0]);
        }
        hash.finalize().into()
    }

    /// A name for logs, CDRs and operators: provider, app and token fingerprint.
    pub fn label(&self) -> String {
        format!(
            "{}:{}:{}",
            self.provider.name(),
            Printable(&self.app),
            self.token.fingerprint()
        )
    }
}

/// A device's name for programs: the first 64 bits of a hash of provider, app and token. It is stable across restarts,
/// and reveals neither the token nor its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PublicId(pub u64);

impl fmt::Display for PublicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl std::str::FromStr for PublicId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(text, 16).map(Self)
    }
}

/// A device as it is stored. It outlives its registrations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Whose device it is, as the phone registered.
    pub aor: Aor,
    /// Its tokens and app.
    pub push: PushParams,
    /// `User-Agent` of its last REGISTER.
    pub user_agent: Arc<str>,
    /// `Call-ID` of its last REGISTER: a new token from the same Call-ID and app replaces the old one.
    pub register_call_id: Arc<str>,
    /// Its first REGISTER, or when it was imported.
    pub first_seen: UnixSeconds,
    /// Its last REGISTER; for an imported device the last known one, which may be before `first_seen`.
    pub last_seen: UnixSeconds,
    /// Why the token is set aside until the next REGISTER (docs/ARCHITECTURE.md, "Tokens"), if it is.
    pub set_aside: Option<Arc<str>>,
    /// When it last changed: the time of its last REGISTER, or just after that if something else has changed it. Where
    /// several daemons share a store, the later of two changes counts.
    pub changed: UnixMicros,
}

/// What the engine's decisions depend on ([`crate::engine::digest`]).
impl Hash for Device {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self {
            aor,
            push,
            user_agent,
            register_call_id,
            first_seen,
            last_seen,
            set_aside,
            // Compared only with other daemons' changes, which tests/exhaustive does not try.
            changed: _,
        } = self;
        (
            aor,
            push,
            user_agent,
            register_call_id,
            first_seen,
            last_seen,
            set_aside,
        )
            .hash(state);
    }
}

impl Device {
    /// The last sign of life: its time to live counts from here.
    pub fn last_sign(&self) -> UnixSeconds {
        self.last_seen.max(self.first_seen)
    }

    /// The device's key.
    pub fn key(&self) -> DeviceKey {
        DeviceKey {
            aor: self.aor.clone(),
            provider: self.push.provider.clone(),
            app: self.push.app.clone(),
            token: self.push.token().clone(),
        }
    }
}
