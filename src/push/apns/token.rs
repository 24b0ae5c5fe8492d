//! The APNs provider token: one JWT per signing key, the same in every process that has the key.
//!
//! Apple refuses a token older than an hour and answers `TooManyProviderTokenUpdates` to one that is new more often
//! than every 20 minutes ("Establishing a token-based connection to APNs"). A team has two keys at most, so several
//! fswakes share one. They need not agree on a token: `iat` is the time rounded down to a multiple of [`PERIOD`], and
//! the signature is deterministic (RFC 6979), so all of them make the same bytes, also after a restart. Never change a
//! byte of the JWT: other processes may run another version.
//!
//! Apple counts from the first push with a token, which may come late in its period. It then refuses the next one, and
//! every process goes on with the token before, until Apple must take the next ([`ProviderToken::use_other`]).
//!
//! Races, and the test for each in tests/push: many pushes find no token at once (`parallel_pushes_share_one_jwt`);
//! many pushes find theirs refused at once (`jwt_that_is_new_too_soon_is_replaced_by_the_one_before_for_all`); a period
//! ends while other processes push (`two_senders_with_one_key_cost_apple_one_token_in_a_period`).

use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use p256::pkcs8::DecodePrivateKey;
use reqwest::header::HeaderValue;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde::Serialize;

use crate::clock::unix;
use crate::push::clock::Now;
use crate::types::UnixSeconds;

/// How long a token is in use, in seconds. Two periods are an hour, so a token may be used into the next period.
const PERIOD: UnixSeconds = 30 * 60;
/// A token whose first push came at the end of its period is used for so long into the next: Apple's 20 minutes, and a
/// minute for clocks that differ.
const POSTPONED_BY: UnixSeconds = 21 * 60;
/// A clock that goes back by no more than this was corrected, not set.
const CORRECTION: UnixSeconds = 60;

/// Signs and keeps the provider token of one key.
pub(crate) struct ProviderToken {
    key: SigningKey,
    key_id: String,
    team_id: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    issued: Option<Bearer>,
    too_new: Option<TooNew>,
}

/// Apple has answered `TooManyProviderTokenUpdates` to the token of a period.
#[derive(Clone, Copy)]
struct TooNew {
    iat: UnixSeconds,
    /// Apple refuses the token before it as well.
    and_the_one_before: bool,
}

/// An `authorization` header. Tokens of one key differ by their `iat` only.
#[derive(Clone)]
pub(crate) struct Bearer {
    pub header: HeaderValue,
    iat: UnixSeconds,
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'static str,
    kid: &'a str,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    iat: UnixSeconds,
}

impl ProviderToken {
    /// Reads the key.
    pub(crate) fn new(pem: &[u8], key_id: &str, team_id: &str) -> Result<Self, String> {
        let key = PrivatePkcs8KeyDer::from_pem_slice(pem).ok();
        let key = key.and_then(|key| SigningKey::from_pkcs8_der(key.secret_pkcs8_der()).ok());
        Ok(Self {
            key: key.ok_or("not a .p8 signing key (PEM, PKCS #8, P-256, not encrypted)")?,
            key_id: key_id.to_owned(),
            team_id: team_id.to_owned(),
            state: Mutex::default(),
        })
    }

    /// The id of its key.
    pub(crate) fn key_id(&self) -> &str {
        &self.key_id
    }

    /// Whether the keys themselves are the same, whatever their ids.
    pub(crate) fn has_same_key(&self, other: &Self) -> bool {
        self.key == other.key
    }

    /// Whether both make the same tokens: apps that share a key share one.
    pub(crate) fn is_for(&self, other: &Self) -> bool {
        self.key_id == other.key_id && self.team_id == other.team_id && self.has_same_key(other)
    }

    /// The token to use now.
    pub(crate) fn current(&self, now: Now) -> Result<Bearer, String> {
        let mut state = self.state();
        let due = state.due(unix(now.wall));
        self.issue(&mut state, due)
    }

    /// Apple calls a token expired or invalid. The cause may be the clock that its `iat` is from, if that was set since:
    /// then the token of the time now is used. `false`: this is the token of now, so the clock is wrong or the key is
    /// refused.
    pub(crate) fn renew_refused(&self, refused: &Bearer, now: Now) -> bool {
        let mut state = self.state();
        if state.has_replaced(refused) {
            return true;
        }
        let iat = period(unix(now.wall));
        if iat == refused.iat {
            return false;
        }
        if let Some(known) = &mut state.too_new {
            known.and_the_one_before = true;
        }
        self.issue(&mut state, iat).is_ok()
    }

    /// Apple calls a token too new. The first push with the token before came late in its period, and Apple takes that
    /// one for at most 20 minutes more; or another process has gone on to the token of this period. Each is tried once.
    /// `false`: Apple takes neither, because something else signs with this key.
    pub(crate) fn use_other(&self, refused: &Bearer, now: Now) -> bool {
        let mut state = self.state();
        if state.has_replaced(refused) {
            return true;
        }
        let now = unix(now.wall);
        let iat = period(now);
        let known = state.too_new.filter(|known| known.iat == iat);
        let is_of_the_period = refused.iat == iat;
        let and_the_one_before = match known {
            None if is_of_the_period && now - iat < POSTPONED_BY => false,
            None if !is_of_the_period => true,
            Some(known) if !is_of_the_period && !known.and_the_one_before => true,
            _ => return false,
        };
        state.too_new = Some(TooNew {
            iat,
            and_the_one_before,
        });
        let due = state.due(now);
        self.issue(&mut state, due).is_ok()
    }

    fn issue(&self, state: &mut State, iat: UnixSeconds) -> Result<Bearer, String> {
        if let Some(issued) = state.issued.as_ref().filter(|issued| issued.iat == iat) {
            return Ok(issued.clone());
        }
        let bearer = Bearer::new(&self.sign(iat)?, iat)?;
        state.issued = Some(bearer.clone());
        Ok(bearer)
    }

    fn sign(&self, iat: UnixSeconds) -> Result<String, String> {
        let header = Header {
            alg: "ES256",
            kid: &self.key_id,
        };
        let claims = Claims {
            iss: &self.team_id,
            iat,
        };
        let signed = format!("{}.{}", part(&header)?, part(&claims)?);
        let signature: Signature = self
            .key
            .try_sign(signed.as_bytes())
            .map_err(|_| "the key does not sign")?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes())))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The `iat` of the token to use.
    fn due(&self, now: UnixSeconds) -> UnixSeconds {
        let iat = period(now);
        let is_postponed = |known: TooNew| known.iat == iat && !known.and_the_one_before;
        match &self.issued {
            // The clock was corrected just after this period began. Apple refuses the token before it by now.
            Some(issued) if issued.iat > now && issued.iat - now <= CORRECTION => issued.iat,
            _ if self.too_new.is_some_and(is_postponed) && now - iat < POSTPONED_BY => iat - PERIOD,
            _ => iat,
        }
    }

    /// Another push was refused first, and the token is another now.
    fn has_replaced(&self, refused: &Bearer) -> bool {
        self.issued.as_ref().is_some_and(|issued| issued.iat != refused.iat)
    }
}

impl Bearer {
    fn new(jwt: &str, iat: UnixSeconds) -> Result<Self, String> {
        let mut header = HeaderValue::from_str(&format!("bearer {jwt}")).map_err(|_| "unusable JWT".to_owned())?;
        header.set_sensitive(true);
        Ok(Self { header, iat })
    }
}

/// When the period began that a time belongs to.
fn period(at: UnixSeconds) -> UnixSeconds {
    at - at.rem_euclid(PERIOD)
}

/// A part of a JWT (RFC 7515 section 3.1).
fn part(value: &impl Serialize) -> Result<String, String> {
    let json = serde_json::to_vec(value).map_err(|_| "unusable JWT")?;
    Ok(URL_SAFE_NO_PAD.encode(json))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use fswake_test_support::tls::signing_key;

    use super::*;
    use crate::clock::from_unix;

    /// The start of a period, years ago.
    const START: UnixSeconds = 1_700_000_000 - 1_700_000_000 % PERIOD;

    /// A throw-away key made for these tests alone would still be a committed key: it is generated here.
    fn token() -> ProviderToken {
        ProviderToken::new(signing_key().pem.as_bytes(), "KEYID12345", "TEAMID1234").unwrap()
    }

    /// So many seconds after the start of the period.
    fn at(seconds: i64) -> Now {
        Now {
            monotonic: Instant::now(),
            wall: from_unix(START + seconds).unwrap(),
        }
    }

    /// The `iat` of the token in use, in minutes after the start.
    fn used(token: &ProviderToken, seconds: i64) -> i64 {
        (token.current(at(seconds)).unwrap().iat - START) / 60
    }

    #[test]
    fn jwt_is_signed_for_half_an_hour_and_is_then_half_an_hour_old() {
        let token = token();
        assert_eq!([0, 1, 1799].map(|s| used(&token, s)), [0; 3]);
        assert_eq!([1800, 3599, 3600].map(|s| used(&token, s)), [30, 30, 60]);
    }

    #[test]
    fn processes_with_the_same_key_make_the_same_bytes() {
        let pem = signing_key().pem;
        let signed = |seconds| {
            let token = ProviderToken::new(pem.as_bytes(), "KEYID12345", "TEAMID1234").unwrap();
            token.current(at(seconds)).unwrap().header
        };
        assert_eq!(signed(0), signed(1799));
        assert_ne!(signed(0), signed(1800));
    }

    /// The key and the signature of RFC 6979 appendix A.2.5. The JWT was made with another implementation.
    #[test]
    fn jwt_is_the_same_in_every_version_of_fswake() {
        let hex = |text: &str| -> Vec<u8> {
            let digits = text.as_bytes().chunks(2);
            let byte = |two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap();
            digits.map(byte).collect()
        };
        let der = "3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420\
                   c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721";
        let token = ProviderToken {
            key: SigningKey::from_pkcs8_der(&hex(der)).unwrap(),
            key_id: "KEYID12345".into(),
            team_id: "TEAMID1234".into(),
            state: Mutex::default(),
        };
        let signature: Signature = token.key.sign(b"sample");
        let expected = "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716\
                        f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8";
        assert_eq!(signature.to_bytes().as_slice(), hex(expected));
        let jwt = "eyJhbGciOiJFUzI1NiIsImtpZCI6IktFWUlEMTIzNDUifQ.eyJpc3MiOiJURUFNSUQxMjM0IiwiaWF0IjoxNzAwMDAwM\
                   TAwfQ.To7LLz3XIDyQkhfX47V73AwnyW6dl7afFUOmn0vrCm-ZwwZo4WyUgKcBxTTI9e4fHso4aTs8jgxFvayW4RITew";
        assert_eq!(token.sign(1_700_000_100).unwrap(), jwt);
    }

    #[test]
    fn other_curves_other_forms_and_encrypted_keys_are_refused() {
        let pem = signing_key().pem;
        let renamed = |to: &str| pem.replace("PRIVATE KEY", to);
        for bad in [
            renamed("EC PRIVATE KEY"),
            renamed("ENCRYPTED PRIVATE KEY"),
            pem[..80].into(),
        ] {
            let refused = ProviderToken::new(bad.as_bytes(), "KEYID12345", "TEAMID1234").err();
            assert!(refused.unwrap().starts_with("not a .p8 signing key"));
        }
    }

    #[test]
    fn jwt_that_is_too_new_is_preceded_by_the_one_before_until_apple_must_take_it() {
        let token = token();
        let new = token.current(at(1801)).unwrap();
        assert!(token.use_other(&new, at(1801)));
        assert!(token.use_other(&new, at(1801)), "another push was refused first");
        assert_eq!([1802, 1800 + 1259].map(|s| used(&token, s)), [0; 2]);
        assert_eq!([1800 + 1260, 3599, 3600].map(|s| used(&token, s)), [30, 30, 60]);
    }

    #[test]
    fn jwt_before_is_followed_once_another_process_uses_the_next() {
        let token = token();
        let new = token.current(at(1801)).unwrap();
        assert!(token.use_other(&new, at(1801)));
        let before = token.current(at(1900)).unwrap();
        assert!(token.use_other(&before, at(1900)));
        assert_eq!(used(&token, 1901), 30);
        // Something else signs with the key: each of the two is tried once in a period.
        assert!(!token.use_other(&new, at(1902)));
        assert_eq!(used(&token, 1903), 30);
        let next = token.current(at(3600)).unwrap();
        assert!(token.use_other(&next, at(3600)));
    }

    #[test]
    fn jwt_before_is_not_used_when_it_is_nearly_an_hour_old() {
        let token = token();
        let new = token.current(at(1800 + 1260)).unwrap();
        assert!(!token.use_other(&new, at(1800 + 1260)));
        assert_eq!(used(&token, 1800 + 1260), 30);
    }

    #[test]
    fn clock_that_is_corrected_at_the_end_of_a_period_brings_no_older_jwt_back() {
        let token = token();
        assert_eq!([1800, 1799, 1740, 1801].map(|s| used(&token, s)), [30; 4]);
        assert_eq!(used(&token, 1739), 0, "the clock was set");
    }

    #[test]
    fn refused_jwt_is_renewed_only_if_the_clock_was_set() {
        let token = token();
        let first = token.current(at(1900)).unwrap();
        assert!(
            !token.renew_refused(&first, at(1901)),
            "the key is refused, or the clock is wrong"
        );
        // The clock was ahead, and `iat` is in the future for Apple.
        assert!(token.renew_refused(&first, at(60)));
        assert!(token.renew_refused(&first, at(61)), "renewed by another push");
        assert_eq!(used(&token, 62), 0);
        let second = token.current(at(62)).unwrap();
        assert!(!token.renew_refused(&second, at(63)));
        // The clock was behind.
        assert!(token.renew_refused(&second, at(7200)));
        assert_eq!(used(&token, 7200), 120);
    }

    #[test]
    fn jwt_from_the_near_future_is_given_up_if_apple_refuses_it() {
        let token = token();
        let early = token.current(at(1800)).unwrap();
        assert_eq!(used(&token, 1790), 30);
        assert!(token.renew_refused(&early, at(1790)));
        assert_eq!([1791, 1800].map(|s| used(&token, s)), [0, 30]);
    }

    #[test]
    fn jwt_before_that_is_called_expired_gives_way_to_that_of_the_period() {
        let token = token();
        let new = token.current(at(1801)).unwrap();
        assert!(token.use_other(&new, at(1801)));
        let before = token.current(at(3000)).unwrap();
        assert!(
            token.renew_refused(&before, at(3000)),
            "this clock is ten minutes behind"
        );
        assert_eq!(used(&token, 3001), 30);
    }
}
