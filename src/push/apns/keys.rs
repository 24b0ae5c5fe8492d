//! The signing keys of one app: the one in use, and while keys are rotated the next.
//!
//! A team may have two keys (Apple, "Establishing a token-based connection to APNs"). The new one is configured as the
//! next, then the old one is revoked: the first push that Apple refuses for its key is signed with the other and sent
//! again, and so are all that follow.
//!
//! Races, with their tests in tests/push/apns_auth.rs and below: many pushes are refused at once (one switches, all are
//! sent again); an answer to the key before comes after the switch (it changes nothing).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::push::apns::token::{Bearer, ProviderToken};
use crate::push::clock::Now;

/// When Apple refuses both keys, the other one is tried again after this.
const TRY_AGAIN: Duration = Duration::from_secs(60);

/// One or two keys.
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
    pub last: Now,
    pub reason: String,
}

/// Apple refuses one of two keys, and takes the other, which is in use.
#[derive(Clone, Debug)]
pub(crate) enum KeyProblem {
    /// The first.
    Old(Refusal),
    /// The second: it could not take over.
    Next(Refusal),
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

    /// The id of a key, for the log.
    pub(crate) fn id(&self, key: usize) -> &str {
        self.keys[key].key_id()
    }

    /// The number of the key that is not in use; `None`: there is one only.
    pub(crate) fn unused(&self) -> Option<usize> {
        (self.keys.len() > 1).then(|| 1 - self.state().used)
    }

    /// The provider token to send now.
    pub(crate) fn current(&self, now: Now) -> Result<SignedBy, String> {
        let used = self.state().used;
        self.sign_with(used, now)
    }

    /// The same of one of the keys.
    pub(crate) fn sign_with(&self, key: usize, now: Now) -> Result<SignedBy, String> {
        let bearer = self.keys[key].current(now)?;
        Ok(SignedBy { key, bearer })
    }

    /// Replaces a token that Apple called expired or invalid, as [`ProviderToken::renew_refused`] does.
    pub(crate) fn renew_refused(&self, refused: &SignedBy, now: Now) -> bool {
        self.keys[refused.key].renew_refused(&refused.bearer, now)
    }

    /// Replaces a token that Apple called too new, as [`ProviderToken::use_other`] does.
    pub(crate) fn use_other(&self, refused: &SignedBy, now: Now) -> bool {
        self.keys[refused.key].use_other(&refused.bearer, now)
    }

    /// Apple refuses a key: the other one signs from now on, unless it was refused within the last minute. So a push
    /// tries each key once.
    pub(crate) fn refused(&self, key: usize, reason: &str, now: Now) -> OtherKey {
        if self.keys.len() < 2 {
            return OtherKey::None;
        }
        let mut state = self.state();
        state.note_refusal(key, reason, now);
        let other = 1 - key;
        if state.refused[other]
            .as_ref()
            .is_some_and(|refusal| refusal.is_recent(now))
        {
            return OtherKey::None;
        }
        if std::mem::replace(&mut state.used, other) == key {
            OtherKey::TakesOver
        } else {
            OtherKey::IsUsed
        }
    }

    /// Apple has taken a push that was signed with a key. A late answer to the key before changes nothing.
    pub(crate) fn accepted(&self, key: usize) {
        let mut state = self.state();
        if state.used == key {
            state.refused[key] = None;
        }
    }

    /// A probe with the key that is not in use was refused.
    pub(crate) fn unused_is_refused(&self, key: usize, reason: &str, now: Now) {
        let mut state = self.state();
        if state.used != key {
            state.note_refusal(key, reason, now);
        }
    }

    /// A probe with the key that is not in use was taken. The first key then signs again; returns whether it does now and
    /// did not before.
    pub(crate) fn unused_is_accepted(&self, key: usize) -> bool {
        let mut state = self.state();
        if state.used == key {
            return false;
        }
        state.refused[key] = None;
        let is_back = key == 0;
        if is_back {
            state.used = key;
        }
        is_back
    }

    /// Which key Apple refuses, if it takes the one in use.
    pub(crate) fn problem(&self) -> Option<KeyProblem> {
        let state = self.state();
        match (&state.refused, state.used) {
            ([Some(refusal), None], 1) => Some(KeyProblem::Old(refusal.clone())),
            ([None, Some(refusal)], 0) => Some(KeyProblem::Next(refusal.clone())),
            _ => None,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn note_refusal(&mut self, key: usize, reason: &str, now: Now) {
        let refusal = self.refused[key].get_or_insert_with(|| Refusal {
            since: now,
            last: now,
            reason: reason.to_owned(),
        });
        refusal.last = now;
    }
}

impl Refusal {
    fn is_recent(&self, now: Now) -> bool {
        now.monotonic.saturating_duration_since(self.last.monotonic) < TRY_AGAIN
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

    fn used(keys: &SigningKeys, now: Now) -> usize {
        keys.current(now).unwrap().key
    }

    #[test]
    fn only_key_has_no_other() {
        let (keys, now) = (keys(1), Clock::default().now());
        assert_eq!(keys.refused(0, REASON, now), OtherKey::None);
        assert_eq!(used(&keys, now), 0);
        assert!(keys.problem().is_none() && keys.unused().is_none());
    }

    #[test]
    fn next_key_signs_once_the_first_is_refused() {
        let (keys, now) = (keys(2), Clock::default().now());
        assert_eq!(keys.refused(0, REASON, now), OtherKey::TakesOver);
        // Pushes that were under way with the first key.
        assert_eq!(keys.refused(0, REASON, now), OtherKey::IsUsed);
        keys.accepted(0);
        assert_eq!(used(&keys, now), 1);
        assert!(matches!(keys.problem(), Some(KeyProblem::Old(refusal)) if refusal.since.wall == now.wall));
    }

    #[test]
    fn of_two_refused_keys_each_is_tried_once_by_a_push_and_the_other_once_a_minute() {
        let (keys, now) = (keys(2), Clock::default().now());
        keys.refused(0, REASON, now);
        assert_eq!(keys.refused(1, REASON, now), OtherKey::None);
        assert!(keys.problem().is_none(), "neither works");
        assert_eq!(keys.refused(1, REASON, later(now, TRY_AGAIN / 2)), OtherKey::None);
        assert_eq!(used(&keys, now), 1);
        for minute in 1..4 {
            let now = later(now, 2 * TRY_AGAIN * minute);
            let first = used(&keys, now);
            assert_eq!(keys.refused(first, REASON, now), OtherKey::TakesOver);
            assert_eq!(keys.refused(1 - first, REASON, now), OtherKey::None);
        }
        keys.accepted(used(&keys, now));
        assert!(keys.problem().is_some(), "one works");
    }

    #[test]
    fn probe_of_the_other_key_finds_that_it_is_refused_and_that_the_first_works_again() {
        let (keys, now) = (keys(2), Clock::default().now());
        keys.unused_is_refused(1, REASON, now);
        assert!(matches!(keys.problem(), Some(KeyProblem::Next(_))));
        assert!(!keys.unused_is_accepted(1));
        assert!(keys.problem().is_none());
        keys.refused(0, REASON, now);
        assert!(keys.unused_is_accepted(0), "the first key signs again");
        assert_eq!(used(&keys, now), 0);
        assert!(keys.problem().is_none());
    }
}
