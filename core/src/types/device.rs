//! Devices: what a Contact says about pushing its phone, and what is stored of it.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::{Aor, Printable, Provider, PushToken, UnixSeconds};

/// What a Contact says about pushing its phone: one device's tokens for one app.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PushParams {
    /// Who delivers.
    pub provider: Provider,
    /// The app as its credentials are filed: APNs bundle id without team, `.voip` and `.remote`; FCM project id or
    /// sender id; `app-id` of the older parameter sets. Empty when the Contact names none.
    pub app: Arc<str>,
    /// Apple team id, where the Contact has one.
    pub team: Option<Arc<str>>,
    /// The token that a call is pushed to (APNs: the PushKit token).
    pub call_token: Option<PushToken>,
    /// The token for messages, alerts and cancel pushes (APNs: the remote token).
    pub remote_token: Option<PushToken>,
}

impl PushParams {
    /// The token that identifies the device: the call token, else the remote one.
    pub fn token(&self) -> Option<&PushToken> {
        self.call_token.as_ref().or(self.remote_token.as_ref())
    }

    /// The token that a notification of this type goes to, if the device has one.
    ///
    /// Apple has a token for calls and another for messages, and neither can stand for the other. Everybody else has one
    /// token for all, whatever the Contact calls it.
    pub fn token_for(&self, kind: TokenType) -> Option<&PushToken> {
        let (own, other) = match kind {
            TokenType::Voip => (&self.call_token, &self.remote_token),
            TokenType::Im => (&self.remote_token, &self.call_token),
        };
        let one_for_all = !matches!(self.provider, Provider::Apns | Provider::ApnsSandbox);
        own.as_ref().or_else(|| other.as_ref().filter(|_| one_for_all))
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
        let mut hash = Sha256::new();
        for part in [self.provider.name(), &self.app, self.token.expose()] {
            hash.update(part);
            hash.update([0]);
        }
        let digest = hash.finalize();
        PublicId(digest.iter().take(8).fold(0, |id, byte| id << 8 | u64::from(*byte)))
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

/// A device's name for programs: the first 64 bits of a hash of provider, app and token. It stays the same across
/// restarts, and says nothing of the token or of whose it is.
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
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
    /// Its last REGISTER; of an imported device what was known of it, which may be before `first_seen`.
    pub last_seen: UnixSeconds,
    /// Why the token is set aside until the next REGISTER (docs/ARCHITECTURE.md, "Tokens"), if it is.
    pub set_aside: Option<Arc<str>>,
}

impl Device {
    /// The last sign of it: what its time to live counts from.
    pub fn last_sign(&self) -> UnixSeconds {
        self.last_seen.max(self.first_seen)
    }

    /// The device's key; `None` only for a device without any token, which is never stored.
    pub fn key(&self) -> Option<DeviceKey> {
        Some(DeviceKey {
            aor: self.aor.clone(),
            provider: self.push.provider.clone(),
            app: self.push.app.clone(),
            token: self.push.token()?.clone(),
        })
    }
}
