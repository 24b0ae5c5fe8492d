//! The APNs provider token: one JWT per signing key, shared by every app that uses the key.
//!
//! Apple refuses a token older than an hour and answers `TooManyProviderTokenUpdates` to one that is new more often
//! than every 20 minutes ("Establishing a token-based connection to APNs"). So one is signed, used for 50 minutes,
//! and the first push after that signs the next: signing takes microseconds, so nothing is done ahead of time.
//! It outlives the process (`token_file`), for the same reason.
//!
//! Races, and the test for each in tests/push: many pushes find no token at once (`parallel_pushes_share_one_jwt`);
//! many pushes find theirs refused at once (`refused_jwt_is_renewed_once_for_all`).

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::header::HeaderValue;
use serde::Serialize;

use crate::clock::{from_unix, unix};
use crate::push::apns::token_file::{StoredToken, TokenFile};
use crate::push::clock::Now;

/// A token is renewed at this age.
const RENEW_AT: Duration = Duration::from_secs(50 * 60);
/// Apple refuses a new token while the last one is younger than this.
const RENEW_NOT_BEFORE: Duration = Duration::from_secs(20 * 60);
/// A wall clock that moved by more than this against the monotonic clock was set.
const CLOCK_STEP: Duration = Duration::from_secs(60);

/// Signs and keeps the provider token of one key.
pub(crate) struct ProviderToken {
    key: EncodingKey,
    key_id: String,
    team_id: String,
    issued: Mutex<Option<SignedToken>>,
    file: OnceLock<TokenFile>,
}

#[derive(Clone)]
struct SignedToken {
    bearer: Bearer,
    at: Now,
    /// Signed by an earlier process: it may be expired because the clock was wrong then.
    is_kept: bool,
}

/// An `authorization` header; distinguishes one token from the next.
#[derive(Clone)]
pub(crate) struct Bearer {
    pub header: HeaderValue,
    serial: u64,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    iat: i64,
}

impl ProviderToken {
    /// Reads the key and signs once, so that a key that cannot sign is found at start.
    pub(crate) fn new(pem: &[u8], key_id: &str, team_id: &str) -> Result<Self, String> {
        let problem = "not a .p8 signing key (PEM, PKCS #8, P-256, not encrypted)";
        let token = Self {
            key: EncodingKey::from_ec_pem(pem).map_err(|_| problem.to_owned())?,
            key_id: key_id.to_owned(),
            team_id: team_id.to_owned(),
            issued: Mutex::new(None),
            file: OnceLock::new(),
        };
        token.sign(SystemTime::now()).map_err(|_| problem.to_owned())?;
        Ok(token)
    }

    /// The id of its key.
    pub(crate) fn key_id(&self) -> &str {
        &self.key_id
    }

    /// Whether the keys themselves are the same, whatever their ids.
    pub(crate) fn has_same_key(&self, other: &Self) -> bool {
        self.key.as_bytes() == other.key.as_bytes()
    }

    /// The key's own bytes, to find the apps that share it.
    pub(crate) fn is_for(&self, other: &Self) -> bool {
        self.key_id == other.key_id && self.team_id == other.team_id && self.key.as_bytes() == other.key.as_bytes()
    }

    /// Keeps its tokens in a file from now on, and takes up the one that is there. Reads the file.
    pub(crate) fn keep_in(&self, file: &TokenFile, now: Now) {
        if self.file.set(file.clone()).is_err() {
            return;
        }
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        if issued.is_none() {
            *issued = self.kept(file, now);
        }
    }

    fn kept(&self, file: &TokenFile, now: Now) -> Option<SignedToken> {
        let kept = file.find(self.key.as_bytes(), unix(now.wall))?;
        let wall = from_unix(kept.at)?;
        let age = now.wall.duration_since(wall).ok()?;
        let at = Now {
            // Before the machine's start there is no time to measure from.
            monotonic: now.monotonic.checked_sub(age).unwrap_or(now.monotonic),
            wall,
        };
        let issued = SignedToken {
            bearer: Bearer::new(&kept.jwt, 0).ok()?,
            at,
            is_kept: true,
        };
        (issued.age(now) < RENEW_AT).then_some(issued)
    }

    /// The token to use now.
    pub(crate) fn current(&self, now: Now) -> Result<Bearer, String> {
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        match &*issued {
            Some(i) if i.age(now) < RENEW_AT => Ok(i.bearer.clone()),
            _ => self.issue(&mut issued, now),
        }
    }

    /// Renews a token that Apple called expired. `false`: renewing cannot help, or must not happen yet.
    ///
    /// Apple's 20 minutes hold here too, with one exception: when the wall clock was set since the token was signed (or
    /// may have been, before this process), its `iat` is wrong, every push fails, and there is nothing to lose by
    /// signing again, once per step of the clock.
    pub(crate) fn renew_refused(&self, refused: &Bearer, now: Now) -> bool {
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        match &*issued {
            // Another push was rejected first and has renewed it.
            Some(i) if i.bearer.serial != refused.serial => true,
            Some(i) if i.age(now) < RENEW_NOT_BEFORE && !i.clock_was_set(now) && !i.is_kept => false,
            _ => self.issue(&mut issued, now).is_ok(),
        }
    }

    /// Renews a token that Apple called invalid, if that may be the fault of the clock that signed it: `iat` is in the
    /// future when the clock was ahead then. `false`: the key itself is refused.
    pub(crate) fn renew_doubtful(&self, refused: &Bearer, now: Now) -> bool {
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        match &*issued {
            Some(i) if i.bearer.serial != refused.serial => true,
            Some(i) if i.clock_was_set(now) || i.is_kept => self.issue(&mut issued, now).is_ok(),
            _ => false,
        }
    }

    fn issue(&self, issued: &mut Option<SignedToken>, now: Now) -> Result<Bearer, String> {
        let serial = issued.as_ref().map_or(0, |i| i.bearer.serial + 1);
        let jwt = self.sign(now.wall)?;
        let bearer = Bearer::new(&jwt, serial)?;
        *issued = Some(SignedToken {
            bearer: bearer.clone(),
            at: now,
            is_kept: false,
        });
        if let Some(file) = self.file.get() {
            let at = unix(now.wall);
            file.keep(self.key.as_bytes(), StoredToken { jwt, at });
        }
        Ok(bearer)
    }

    fn sign(&self, wall: SystemTime) -> Result<String, String> {
        let header = Header {
            alg: Algorithm::ES256,
            kid: Some(self.key_id.clone()),
            typ: None,
            ..Header::default()
        };
        let claims = Claims {
            iss: &self.team_id,
            iat: unix(wall),
        };
        jsonwebtoken::encode(&header, &claims, &self.key).map_err(|_| "the key does not sign".to_owned())
    }
}

impl Bearer {
    fn new(jwt: &str, serial: u64) -> Result<Self, String> {
        let mut header = HeaderValue::from_str(&format!("bearer {jwt}")).map_err(|_| "unusable JWT".to_owned())?;
        header.set_sensitive(true);
        Ok(Self { header, serial })
    }
}

impl SignedToken {
    /// The larger of both clocks: the monotonic one stands still while the machine sleeps, the other may be set back.
    fn age(&self, now: Now) -> Duration {
        let wall = now.wall.duration_since(self.at.wall).unwrap_or_default();
        now.monotonic.saturating_duration_since(self.at.monotonic).max(wall)
    }

    fn clock_was_set(&self, now: Now) -> bool {
        let elapsed = now.monotonic.saturating_duration_since(self.at.monotonic);
        let expected = self.at.wall + elapsed;
        let step = now
            .wall
            .duration_since(expected)
            .unwrap_or_else(|behind| behind.duration());
        step > CLOCK_STEP
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::push::clock::Clock;

    /// A throw-away key made for these tests alone would still be a committed key: it is generated here.
    fn token() -> ProviderToken {
        let pem = fswake_test_support::tls::signing_key().pem;
        ProviderToken::new(pem.as_bytes(), "KEYID12345", "TEAMID1234").unwrap()
    }

    fn at(start: Now, minutes: u64, wall_minutes: i64) -> Now {
        let wall = Duration::from_secs(wall_minutes.unsigned_abs() * 60);
        Now {
            monotonic: start.monotonic + Duration::from_secs(minutes * 60),
            wall: if wall_minutes < 0 {
                start.wall - wall
            } else {
                start.wall + wall
            },
        }
    }

    #[test]
    fn jwt_lives_for_fifty_minutes() {
        let (token, start) = (token(), Clock::default().now());
        let first = token.current(start).unwrap();
        assert_eq!(token.current(at(start, 49, 49)).unwrap().serial, first.serial);
        assert_ne!(token.current(at(start, 51, 51)).unwrap().serial, first.serial);
    }

    #[test]
    fn refused_jwt_is_not_renewed_within_twenty_minutes() {
        let (token, start) = (token(), Clock::default().now());
        let first = token.current(start).unwrap();
        assert!(!token.renew_refused(&first, at(start, 19, 19)));
        assert_eq!(token.current(at(start, 19, 19)).unwrap().serial, first.serial);
        assert!(token.renew_refused(&first, at(start, 21, 21)));
        let second = token.current(at(start, 21, 21)).unwrap();
        assert!(
            token.renew_refused(&first, at(start, 22, 22)),
            "renewed by another push"
        );
        assert_eq!(token.current(at(start, 22, 22)).unwrap().serial, second.serial);
    }

    /// The same key in another process, with the tokens of one file.
    fn another(of: &ProviderToken, file: &TokenFile, now: Now) -> ProviderToken {
        let token = ProviderToken {
            key: of.key.clone(),
            key_id: of.key_id.clone(),
            team_id: of.team_id.clone(),
            issued: Mutex::new(None),
            file: OnceLock::new(),
        };
        token.keep_in(file, now);
        token
    }

    #[test]
    fn jwt_outlives_the_process_until_it_is_to_be_renewed() {
        let dir = tempfile::tempdir().unwrap();
        let file = TokenFile::beside(&dir.path().join("fswake.db"));
        let (token, start) = (token(), Clock::default().now());
        token.keep_in(&file, start);
        let first = token.current(start).unwrap().header;
        let of = |now| another(&token, &file, now).current(now).unwrap().header;
        // Its file has whole seconds.
        assert_eq!(of(at(start, 49, 49)), first);
        assert_ne!(
            of(at(start, 0, -10)),
            first,
            "signed in the future: the clock is another"
        );
        let later = of(at(start, 51, 51));
        assert_ne!(later, first);
        assert_eq!(of(at(start, 52, 52)), later, "the new one is kept in its place");
    }

    #[test]
    fn kept_jwt_that_is_called_expired_is_renewed_once() {
        let dir = tempfile::tempdir().unwrap();
        let file = TokenFile::beside(&dir.path().join("fswake.db"));
        let (token, start) = (token(), Clock::default().now());
        token.keep_in(&file, start);
        token.current(start).unwrap();
        let now = at(start, 1, 1);
        let next = another(&token, &file, now);
        let kept = next.current(now).unwrap();
        assert!(
            next.renew_refused(&kept, now),
            "the clock may have been wrong when it was signed"
        );
        let second = next.current(now).unwrap();
        assert_ne!(second.header, kept.header);
        assert!(!next.renew_refused(&second, now));
    }

    #[test]
    fn clock_that_was_set_back_renews_a_refused_jwt_once() {
        let (token, start) = (token(), Clock::default().now());
        let first = token.current(start).unwrap();
        assert!(token.renew_refused(&first, at(start, 1, -60)));
        let second = token.current(at(start, 1, -60)).unwrap();
        assert!(!token.renew_refused(&second, at(start, 2, -59)));
    }

    #[test]
    fn jwt_that_is_called_invalid_is_renewed_only_if_the_clock_may_be_at_fault() {
        let (token, start) = (token(), Clock::default().now());
        let first = token.current(start).unwrap();
        assert!(!token.renew_doubtful(&first, at(start, 1, 1)), "the key is refused");
        // Signed while the clock was ten minutes ahead: `iat` is in the future for Apple.
        assert!(token.renew_doubtful(&first, at(start, 1, -9)));
        let second = token.current(at(start, 1, -9)).unwrap();
        assert!(!token.renew_doubtful(&second, at(start, 2, -8)));
    }
}
