//! The terms of the field as types: call, AOR, device, binding, token.
//!
//! Texts that travel through the whole daemon are shared (`Arc<str>`): every event copies an AOR or a token, and these
//! copies are cheap.
//!
//! Tokens and secrets have a redacting `Debug` and no `Display`. Code that sends one has to ask for it by name
//! ([`PushToken::expose`]), so that a log line cannot.

mod aor;
pub mod app_id;
mod device;
mod id;
mod node;
mod payload;
mod provider;
pub mod push;
mod push_error;
mod push_error_kind;
mod subscription;
mod token;
mod word;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

pub use self::aor::{Aor, NOBODY, Printable};
pub use self::device::{Device, DeviceKey, PublicId, PushParams, TokenType, Tokens};
pub use self::id::{CallId, LegId, NotificationId, PushId};
pub use self::node::NodeId;
pub use self::provider::Provider;
pub use self::subscription::{Subscription, SubscriptionKeys, with_keys};
pub use self::token::{PushToken, TokenFault};

/// A moment on the daemon's monotonic clock, counted from its start.
///
/// The engine never reads a clock: every event comes with its `Moment`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub Duration);

impl Moment {
    /// The moment `after` later.
    #[must_use]
    pub fn plus(self, after: Duration) -> Self {
        Self(self.0.saturating_add(after))
    }

    /// How long ago `earlier` was; zero when it is in the future.
    #[must_use]
    pub fn since(self, earlier: Moment) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// Its nanoseconds.
    pub(crate) fn count(self) -> i128 {
        i128::try_from(self.0.as_nanos()).unwrap_or(i128::MAX)
    }
}

/// As an `i128`, which no other type is hashed as: so a hasher can tell moments from other numbers, and count them from
/// now ([`crate::engine::digest::FromNow`]).
impl Hash for Moment {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_i128(self.count());
    }
}

/// Seconds since 1970 in UTC: the form that is stored, and that providers and operators read.
pub type UnixSeconds = i64;

/// Microseconds since 1970 in UTC, the unit of FreeSWITCH's event times. Decides which of two changes is the later one.
pub type UnixMicros = i64;

/// The first 128 bits of a hash (SHA-256) of a [`Target`].
pub type TargetDigest = [u8; 16];

/// Where a phone is, as a dial-string that is safe to give to FreeSWITCH: `sofia/<profile>/sip:user@host:port;..`.
///
/// Its `Debug` ends at the first parameter: with `strip-push-params = false` a token may follow.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Target {
    node: NodeId,
    dial_string: Arc<str>,
}

impl Target {
    /// Wraps a text of `contact`'s writer, and of nothing else.
    pub fn new(dial_string: impl Into<Arc<str>>) -> Self {
        Self {
            node: NodeId::FIRST,
            dial_string: dial_string.into(),
        }
    }

    /// The same phone, registered at this FreeSWITCH.
    #[must_use]
    pub fn at(self, node: NodeId) -> Self {
        Self { node, ..self }
    }

    /// The FreeSWITCH that it is registered at.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// The dial-string.
    pub fn as_str(&self) -> &str {
        &self.dial_string
    }

    /// The Contact as the phone sent it: without FreeSWITCH's additions about the route.
    ///
    /// # Examples
    /// ```
    /// use fswake_core::types::Target;
    ///
    /// let target = Target::new("sofia/internal/sip:1001@192.0.2.7:5060;ob;fs_nat=yes;fs_path=sip%3A192.0.2.1");
    /// assert_eq!(target.contact(), "sofia/internal/sip:1001@192.0.2.7:5060;ob");
    /// assert_eq!(target.profile(), "internal");
    /// ```
    pub fn contact(&self) -> &str {
        let ends = [";received=", ";fs_nat=", ";fs_path="];
        let end = ends.iter().filter_map(|added| self.as_str().find(added)).min();
        &self.as_str()[..end.unwrap_or(self.as_str().len())]
    }

    /// The URI alone: what goes to whoever dials it by other means.
    ///
    /// # Examples
    /// ```
    /// use fswake_core::types::Target;
    ///
    /// let target = Target::new("sofia/internal/sip:1001@192.0.2.7:5060;ob");
    /// assert_eq!(target.uri(), "sip:1001@192.0.2.7:5060;ob");
    /// ```
    pub fn uri(&self) -> &str {
        self.as_str().splitn(3, '/').nth(2).unwrap_or_default()
    }

    /// The dial-string up to its first parameter, for log lines: a token may be among the parameters.
    pub fn without_params(&self) -> &str {
        self.as_str().split(';').next().unwrap_or_default()
    }

    /// What identifies it among the addresses of a user at its FreeSWITCH, without revealing it. Another daemon may number the
    /// FreeSWITCHes otherwise.
    pub fn digest(&self) -> TargetDigest {
        let mut hash = Sha256::new();
        hash.update(self.as_str());
        let whole: [u8; 32] = hash.finalize().into();
        std::array::from_fn(|i| whole[i])
    }

    /// The sofia profile that it goes through.
    pub fn profile(&self) -> &str {
        self.as_str().split('/').nth(1).unwrap_or_default()
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({})", self.without_params())
    }
}

/// A secret from a file: its `Debug` shows nothing, and its memory is overwritten on drop.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps a secret.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(Zeroizing::new(secret.into()))
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_of_tokens_and_secrets_shows_neither() {
        let shown = format!("{:?} {:?}", PushToken::new("f00dcafe-token"), Secret::new("hunter2"));
        assert!(!shown.contains("f00dcafe") && !shown.contains("hunter2"), "{shown}");
    }
}
