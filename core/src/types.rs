//! The field's own words as types: call, AOR, device, binding, token.
//!
//! Texts that travel through the whole daemon are shared (`Arc<str>`): an AOR or a token is copied for every event that
//! concerns it, and copies cost nothing that way.
//!
//! Tokens and secrets have a redacting `Debug` and no `Display`: what must reach the wire
//! asks for it by name ([`PushToken::expose`]), so that a log line cannot.

pub mod app_id;
mod payload;
mod provider;
pub mod push;
mod push_error;
mod token;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use uuid::Uuid;

pub use self::provider::Provider;
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

/// As an `i128`, which nothing else is: so a hasher can tell moments from other numbers and count them from now
/// ([`crate::engine::digest::FromNow`]).
impl Hash for Moment {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_i128(self.count());
    }
}

/// Seconds since 1970 in UTC: what is stored, and what providers and operators read.
pub type UnixSeconds = i64;

/// One held call. Also the namespace of its legs' channel UUIDs and SIP Call-IDs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(pub Uuid);

impl CallId {
    /// The SIP Call-ID of every INVITE to one party of the call, and what that party's push carries.
    ///
    /// One for each party: two dialogs with one Call-ID confuse phones and FreeSWITCH alike.
    pub fn sip_call_id(self, party: usize) -> Arc<str> {
        Uuid::new_v5(&self.0, format!("party {party}").as_bytes())
            .to_string()
            .into()
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One B-leg of a held call, numbered from 0 within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LegId {
    /// The call that the leg belongs to.
    pub call: CallId,
    /// Its number within that call.
    pub n: u32,
}

impl LegId {
    /// The channel UUID that FreeSWITCH is told to give the leg (`origination_uuid`).
    ///
    /// Derived (UUID version 5, RFC 9562 section 5.5), so that the connection can set its event
    /// filter for the next leg before anybody knows what that leg will call.
    pub fn channel(self) -> Uuid {
        Uuid::new_v5(&self.call.0, format!("leg {}", self.n).as_bytes())
    }
}

/// One push: a request to a provider for one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PushId(pub u64);

/// One notification that somebody asked for: a message to every device of one AOR, not a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NotificationId(pub u64);

/// Whom the doctor's own probe calls: nobody has this name (RFC 2606).
pub const NOBODY: &str = "doctor@fswake.invalid";

/// An address of record: who is called, and who registered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Aor {
    /// The user part, compared exactly (RFC 3261 section 19.1.4).
    pub user: Arc<str>,
    /// The domain, compared without case.
    pub domain: Arc<str>,
}

impl Aor {
    /// An AOR as given; nothing is normalised here.
    pub fn new(user: impl Into<Arc<str>>, domain: impl Into<Arc<str>>) -> Self {
        Self {
            user: user.into(),
            domain: domain.into(),
        }
    }

    /// Whether it is [`NOBODY`]: calls to it are no user's, and are not counted.
    pub fn is_nobody(&self) -> bool {
        NOBODY.split_once('@') == Some((&self.user, &self.domain))
    }
}

impl fmt::Display for Aor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", Printable(&self.user), Printable(&self.domain))
    }
}

/// Text from the network as it may appear on a log line: controls and line breaks are escaped.
#[derive(Clone, Copy)]
pub struct Printable<'a>(pub &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if c.is_control()
                || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
            {
                write!(f, "{}", c.escape_unicode())?;
            } else {
                fmt::Write::write_char(f, c)?;
            }
        }
        Ok(())
    }
}

/// Where a phone is, as a dial-string that is safe to give to FreeSWITCH: `sofia/<profile>/sip:user@host:port;..`.
///
/// Its `Debug` ends at the first parameter: with `strip-push-params = false` a token may follow.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Target(Arc<str>);

impl Target {
    /// Wraps what `contact`'s writer wrote, and nothing else.
    pub fn new(dial_string: impl Into<Arc<str>>) -> Self {
        Self(dial_string.into())
    }

    /// The dial-string.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The Contact as the phone sent it: without what FreeSWITCH adds about the way to it.
    pub fn contact(&self) -> &str {
        let ends = [";received=", ";fs_nat=", ";fs_path="];
        let end = ends.iter().filter_map(|added| self.0.find(added)).min();
        &self.0[..end.unwrap_or(self.0.len())]
    }

    /// The sofia profile that it goes through.
    pub fn profile(&self) -> &str {
        self.0.split('/').nth(1).unwrap_or_default()
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({})", self.0.split(';').next().unwrap_or_default())
    }
}

/// A secret from a file: its `Debug` says nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_of_tokens_and_secrets_shows_neither() {
        let shown = format!("{:?} {:?}", PushToken::new("f00dcafe-token"), Secret::new("hunter2"));
        assert!(!shown.contains("f00dcafe") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn network_text_cannot_break_a_log_line() {
        assert_eq!(Aor::new("a\nb\u{202e}", "c").to_string(), "a\\u{a}b\\u{202e}@c");
    }

    #[test]
    fn legs_of_a_call_have_distinct_repeatable_channels() {
        let call = CallId(Uuid::from_u128(7));
        assert_eq!(LegId { call, n: 1 }.channel(), LegId { call, n: 1 }.channel());
        assert_ne!(LegId { call, n: 1 }.channel(), LegId { call, n: 2 }.channel());
    }
}
