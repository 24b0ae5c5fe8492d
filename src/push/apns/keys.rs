//! The signing keys of one app: the one in use, and while keys are exchanged the next.
//!
//! A team may have two keys (Apple, "Establishing a token-based connection to APNs"). The new one is configured as the
//! next, then the old one is revoked: the first push that Apple refuses for its key is signed with the other and sent
//! again, and so are all that follow.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::push::apns::token::{Bearer, ProviderToken};
use crate::push::clock::Now;

/// When Apple refuses both keys, the one that was refused first is tried again after this.
const TRY_AGAIN: Duration = Duration::from_secs(60);

/// One or two keys, and what Apple thinks of them.
pub(crate) struct SigningKeys {
    keys: Vec<Arc<ProviderToken>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The index of the key that signs now.
    used: usize,
    /// The keys that Apple refuses, as far as is known.
    refused: [Option<Refusal>; 2],
}

/// Why a key is refused, and since when.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub since: Now,
    pub reason: String,
}

/// What to do after Apple has refused a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OtherKey {
    /// It signs from now on.
    TakesOver,
    /// It signs already: another push was refused first.
    IsUsed,
    /// There is none, or Apple refuses it too.
    None,
}

/// A provider token, and the number of the key that has signed it.
pub(crate) struct SignedBy {
    pub key: usize,
    pub bearer: Bearer,
}

impl SigningKeys {
    /// `next` is the key to use when Apple refuses `key`.
    pub(crate) fn new(key: Arc<ProviderToken>, next: Option<Arc<ProviderToken>>) -> Self {
        Self {
            keys: [key].into_iter().chain(next).collect(),
            state: Mutex::default(),
        }
    }

    /// All of them.
    pub(crate) fn all(&self) -> &[Arc<ProviderToken>] {
        &self.keys
    }

    /// The provider token to send now.
    pub(crate) fn current(&self, now: Now) -> Result<SignedBy, String> {
        let key = self.state().used;
        let bearer = self.keys[key].current(now)?;
        Ok(SignedBy { key, bearer })
    }

    /// Renews a token that Apple called expired, as [`ProviderToken::renew_refused`] does.
    pub(crate) fn renew_refused(&self, refused: &SignedBy, now: Now) -> bool {
        self.keys[refused.key].renew_refused(&refused.bearer, now)
    }

    /// Apple refuses a key: the other one signs from now on, unless it was refused within the last minute.
    pub(crate) fn is_refused(&self, key: usize, reason: &str, now: Now) -> OtherKey {
        if self.keys.len() < 2 {
            return OtherKey::None;
        }
        let other = 1 - key;
        let mut state = self.state();
        state.refused[key].get_or_insert_with(|| Refusal {
            since: now,
            reason: reason.to_owned(),
        });
        let ago = |refusal: &Refusal| now.monotonic.saturating_duration_since(refusal.since.monotonic);
        if state.refused[other]
            .as_ref()
            .is_some_and(|refusal| ago(refusal) < TRY_AGAIN)
        {
            return OtherKey::None;
        }
        state.refused[other] = None;
        if std::mem::replace(&mut state.used, other) == key {
            OtherKey::TakesOver
        } else {
            OtherKey::IsUsed
        }
    }

    /// Apple has taken a push that was signed with a key.
    pub(crate) fn is_taken(&self, key: usize) {
        if self.keys.len() > 1 {
            self.state().refused[key] = None;
        }
    }

    /// Why the first key is not used any more, if the next one is used in its place.
    pub(crate) fn replaced(&self) -> Option<Refusal> {
        let state = self.state();
        match &state.refused {
            [Some(refusal), None] => Some(refusal.clone()),
            _ => None,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::push::clock::Clock;

    const REASON: &str = "InvalidProviderToken";

    fn keys(n: usize) -> SigningKeys {
        let key = |id: &str| {
            let pem = fswake_test_support::tls::signing_key().pem;
            Arc::new(ProviderToken::new(pem.as_bytes(), id, "TEAMID1234").unwrap())
        };
        SigningKeys::new(key("KEYID00001"), (n > 1).then(|| key("KEYID00002")))
    }

    fn later(now: Now, by: Duration) -> Now {
        Now {
            monotonic: now.monotonic + by,
            wall: now.wall + by,
        }
    }

    #[test]
    fn only_key_has_no_other() {
        let (keys, now) = (keys(1), Clock::default().now());
        assert_eq!(keys.is_refused(0, REASON, now), OtherKey::None);
        assert_eq!(keys.current(now).unwrap().key, 0);
        assert!(keys.replaced().is_none());
    }

    #[test]
    fn next_key_signs_once_the_first_is_refused() {
        let (keys, now) = (keys(2), Clock::default().now());
        assert_eq!(keys.is_refused(0, REASON, now), OtherKey::TakesOver);
        // Pushes that were under way with the first key.
        assert_eq!(keys.is_refused(0, REASON, now), OtherKey::IsUsed);
        assert_eq!(keys.current(now).unwrap().key, 1);
        assert_eq!(keys.replaced().unwrap().since.wall, now.wall);
    }

    #[test]
    fn of_two_refused_keys_the_other_is_tried_once_a_minute_and_the_one_that_is_taken_stays() {
        let (keys, now) = (keys(2), Clock::default().now());
        keys.is_refused(0, REASON, now);
        assert_eq!(keys.is_refused(1, REASON, now), OtherKey::None);
        assert!(keys.replaced().is_none(), "neither works");
        assert_eq!(keys.is_refused(1, REASON, later(now, TRY_AGAIN / 2)), OtherKey::None);
        assert_eq!(keys.current(now).unwrap().key, 1);
        assert_eq!(keys.is_refused(1, REASON, later(now, TRY_AGAIN)), OtherKey::TakesOver);
        keys.is_taken(0);
        assert_eq!(keys.current(now).unwrap().key, 0);
        assert!(keys.replaced().is_none(), "the first key works");
    }
}
