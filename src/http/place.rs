//! A connection's place among those that an address takes at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A connection's place. A request that waits for a phone lends it to others meanwhile: otherwise a few dozen such
/// requests would keep everybody else out.
pub(super) struct Place {
    places: Arc<Semaphore>,
    own: Mutex<Option<OwnedSemaphorePermit>>,
    is_lent: AtomicBool,
}

impl Place {
    pub(super) fn new(places: Arc<Semaphore>, own: OwnedSemaphorePermit) -> Self {
        Self {
            places,
            own: Mutex::new(Some(own)),
            is_lent: AtomicBool::new(false),
        }
    }

    /// Lends it until the answer is dropped.
    pub(super) fn lend(self: &Arc<Self>) -> Lent {
        self.is_lent.store(true, Ordering::Relaxed);
        self.hold(None);
        Lent(Arc::clone(self))
    }

    /// Whether its request waits for a phone.
    pub(super) fn is_lent(&self) -> bool {
        self.is_lent.load(Ordering::Relaxed)
    }

    /// Whether the connection may take another request.
    pub(super) fn is_held(&self) -> bool {
        self.own.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn hold(&self, permit: Option<OwnedSemaphorePermit>) {
        *self.own.lock().unwrap_or_else(PoisonError::into_inner) = permit;
    }
}

/// A place that others have. When this is dropped it is taken back, if one is free.
pub(super) struct Lent(Arc<Place>);

impl Drop for Lent {
    fn drop(&mut self) {
        self.0.hold(Arc::clone(&self.0.places).try_acquire_owned().ok());
        self.0.is_lent.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_place_that_is_lent_is_anybodys_and_is_taken_back_if_one_is_free() {
        let places = Arc::new(Semaphore::new(1));
        let take = || Arc::clone(&places).try_acquire_owned();
        let first = Arc::new(Place::new(places.clone(), take().unwrap()));
        assert!(take().is_err());
        let lent = first.lend();
        let second = take().unwrap();
        drop(lent);
        assert!(!first.is_held(), "the other still has it");
        let lent = first.lend();
        drop(second);
        drop(lent);
        assert!(first.is_held() && take().is_err());
    }
}
