//! The apps in use, as one value that is replaced as a whole.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::push::apps::live::LiveApp;
use crate::push::clock::Clock;

/// All apps, in the order of the configuration.
pub(crate) type LiveApps = Arc<[Arc<LiveApp>]>;

pub(crate) struct AppList {
    apps: RwLock<LiveApps>,
    pub clock: Clock,
    /// Held while files are read and apps changed: a look during a reload could bring old credentials back.
    pub changing: Mutex<()>,
}

impl AppList {
    pub(crate) fn new(apps: LiveApps, clock: Clock) -> Self {
        Self {
            apps: RwLock::new(apps),
            clock,
            changing: Mutex::default(),
        }
    }

    /// The apps as they are now.
    pub(crate) fn apps(&self) -> LiveApps {
        Arc::clone(&self.apps.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces all apps at once.
    pub(crate) fn set_apps(&self, apps: LiveApps) {
        *self.apps.write().unwrap_or_else(PoisonError::into_inner) = apps;
    }

    /// Replaces one app; `false` if it has gone meanwhile.
    pub(crate) fn put(&self, old: &Arc<LiveApp>, new: &Arc<LiveApp>) -> bool {
        let mut apps = self.apps.write().unwrap_or_else(PoisonError::into_inner);
        let mut list = apps.to_vec();
        let Some(place) = list.iter_mut().find(|s| Arc::ptr_eq(s, old)) else {
            return false;
        };
        *place = Arc::clone(new);
        *apps = list.into();
        true
    }
}
