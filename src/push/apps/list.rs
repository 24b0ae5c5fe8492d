//! The apps in use, as one value that is replaced as a whole.

use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use crate::push::apns::token_file::TokenFile;
use crate::push::apps::live::LiveApp;
use crate::push::clock::Clock;

/// All apps, in the order of the configuration.
pub(crate) type LiveApps = Arc<[Arc<LiveApp>]>;

pub(crate) struct AppList {
    apps: RwLock<LiveApps>,
    pub clock: Clock,
    /// Held while files are read and apps changed: a look during a reload could bring old credentials back.
    pub changing: Mutex<()>,
    token_file: OnceLock<TokenFile>,
}

impl AppList {
    pub(crate) fn new(apps: LiveApps, clock: Clock) -> Self {
        Self {
            apps: RwLock::new(apps),
            clock,
            changing: Mutex::default(),
            token_file: OnceLock::new(),
        }
    }

    /// The apps as they are now.
    pub(crate) fn apps(&self) -> LiveApps {
        Arc::clone(&self.apps.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps Apple's provider tokens next to the store from now on, and takes over those that are there. Reads and
    /// writes a file.
    pub(crate) fn keep_tokens_beside(&self, store: &Path) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let _once = self.token_file.set(TokenFile::beside(store));
        for app in self.apps().iter() {
            self.keep_tokens_of(app);
        }
    }

    /// The same for an app that may be new.
    fn keep_tokens_of(&self, app: &LiveApp) {
        if let Some(file) = self.token_file.get() {
            app.keep_tokens_in(file, self.clock.now());
        }
    }

    /// Replaces all apps at once.
    pub(crate) fn set_apps(&self, apps: LiveApps) {
        for app in apps.iter() {
            self.keep_tokens_of(app);
        }
        *self.apps.write().unwrap_or_else(PoisonError::into_inner) = apps;
    }

    /// Replaces one app; `false` if it has gone meanwhile.
    pub(crate) fn put(&self, old: &Arc<LiveApp>, new: &Arc<LiveApp>) -> bool {
        self.keep_tokens_of(new);
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
