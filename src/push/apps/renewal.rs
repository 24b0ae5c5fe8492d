//! Credentials that change while pushes go on, and connections that are kept warm.
//!
//! A changed file is tried at once. One that cannot be used may be half written: it is an error only when it was the same
//! at two looks in a row, and what was in use stays in use.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tracing::info;

use crate::push::app::App;
use crate::push::apps::health::Health;
use crate::push::apps::pushers::{Apps, Pushers, Served, Shared, log_app};
use crate::push::apps::watch::Files;
use crate::push::clock::Clock;
use crate::push::setup::SetupError;
use crate::push::transport::retry::jitter;

/// How often an app's connection and token are looked after between calls.
///
/// Pings keep a connection that lives; this opens anew one that the provider closed.
const REWARM_EVERY: Duration = Duration::from_secs(240);
/// So many apps open their connections at once.
const WARMED_AT_ONCE: usize = 32;
/// How often credential files and the days that are left are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// An app's files, and what became of a change to newer ones.
pub(crate) struct Renewal {
    /// What is in use.
    used: Files,
    failed: Option<Failed>,
}

/// What could not be used at the last look.
struct Failed {
    files: Files,
    reason: String,
    said: bool,
}

impl Renewal {
    pub(crate) fn new(used: Files) -> Self {
        Self { used, failed: None }
    }
}

/// What a new configuration changed, by the apps' names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// Apps that were not there before.
    pub added: Vec<Arc<str>>,
    /// Apps that are no more.
    pub removed: Vec<Arc<str>>,
    /// Apps with other settings.
    pub changed: Vec<Arc<str>>,
}

/// Reads all apps. One that `old` has with the same settings is kept with its connection and tokens.
pub(crate) fn build(mut apps: Vec<App>, old: &[Arc<Served>], clock: &Clock) -> Result<Apps, SetupError> {
    if apps.is_empty() {
        apps.push(log_app());
    }
    let (mut known, mut built) = (old.to_vec(), Vec::<Arc<Served>>::with_capacity(apps.len()));
    for app in apps {
        if built.iter().any(|s| s.app.name == app.name) {
            return Err(SetupError::app(&app, "duplicate app name"));
        }
        let before = old.iter().find(|s| s.app.name == app.name);
        let served = match before {
            Some(before) if before.app == app => Arc::clone(before),
            _ => {
                let health = before.map_or_else(|| Health::new(&app.name), |before| Arc::clone(&before.health));
                Arc::new(Served::new(app, &known, health, clock)?)
            }
        };
        known.push(Arc::clone(&served));
        built.push(served);
    }
    Ok(built.into())
}

impl Pushers {
    /// Puts other apps in the place of those that are there, all at once, or nothing at all. Reads files, and needs a
    /// runtime.
    ///
    /// An app with the same settings keeps its connection and tokens; pushes under way end with what they began with.
    pub fn reload(&self, apps: Vec<App>) -> Result<Reloaded, SetupError> {
        let _changing = self.0.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let (old, clock) = (self.0.apps(), &self.0.clock);
        let new = build(apps, &old, clock)?;
        self.0.set_apps(Arc::clone(&new));
        let mut reloaded = Reloaded::default();
        let mut fresh = Vec::new();
        for served in new.iter().filter(|new| !old.iter().any(|old| Arc::ptr_eq(old, new))) {
            served.is_in_use(clock.now().wall);
            fresh.push(Arc::clone(served));
            let list = if is_named(&old, &served.name) {
                &mut reloaded.changed
            } else {
                &mut reloaded.added
            };
            list.push(Arc::clone(&served.name));
        }
        let gone = old.iter().filter(|served| !is_named(&new, &served.name));
        reloaded.removed = gone.map(|served| Arc::clone(&served.name)).collect();
        self.0.warm_soon(fresh);
        Ok(reloaded)
    }

    /// Looks at every credential file, and at the days that are left of certificates; what is new is in use for the
    /// next push. Reads files, and needs a runtime.
    pub fn look(&self) {
        self.0.look();
    }
}

fn is_named(apps: &[Arc<Served>], name: &str) -> bool {
    apps.iter().any(|served| *served.name == *name)
}

impl Shared {
    fn look(&self) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let apps = self.apps();
        let fresh = apps.iter().filter_map(|served| self.look_at(served, &apps)).collect();
        for served in apps.iter() {
            served.health.look_at_expiry(self.clock.now().wall);
        }
        self.warm_soon(fresh);
    }

    /// What serves the app from now on, if that is new.
    fn look_at(&self, served: &Arc<Served>, known: &[Arc<Served>]) -> Option<Arc<Served>> {
        let mut renewal = served.renewal.lock().unwrap_or_else(PoisonError::into_inner);
        let files = renewal.used.look();
        if files == renewal.used {
            // Their time stamps may be newer.
            renewal.used = files;
            renewal.failed = None;
            served.health.file_mended();
            return None;
        }
        let wall = self.clock.now().wall;
        if let Some(failed) = renewal.failed.as_mut().filter(|failed| failed.files == files) {
            if !std::mem::replace(&mut failed.said, true) {
                served.health.file_broke(failed.reason.clone(), wall);
            }
            return None;
        }
        match Served::new(served.app.clone(), known, Arc::clone(&served.health), &self.clock) {
            Ok(new) => {
                let new = Arc::new(new);
                if !self.put(served, &new) {
                    return None;
                }
                new.is_in_use(wall);
                info!(app = %new.name, "new credentials are in use");
                Some(new)
            }
            Err(error) => {
                // The app is named beside it wherever it is shown.
                let (reason, app) = (error.to_string(), format!("app {}: ", served.name));
                let reason = reason.strip_prefix(&app).unwrap_or(&reason).to_owned();
                renewal.failed = Some(Failed {
                    files,
                    reason,
                    said: false,
                });
                None
            }
        }
    }

    fn warm_soon(&self, fresh: Vec<Arc<Served>>) {
        if !fresh.is_empty() {
            let clock = self.clock.clone();
            tokio::spawn(async move { warm(&fresh, &clock).await });
        }
    }
}

/// Opens connections and gets tokens, of some apps at once; returns when all were tried.
pub(crate) async fn warm(apps: &[Arc<Served>], clock: &Clock) {
    let mut opening = JoinSet::new();
    for served in apps {
        if opening.len() >= WARMED_AT_ONCE {
            opening.join_next().await;
        }
        let (served, clock) = (Arc::clone(served), clock.clone());
        opening.spawn(async move { served.warm(&clock).await });
    }
    while opening.join_next().await.is_some() {}
}

/// Never returns.
pub(crate) async fn keep_warm(pushers: &Shared) {
    loop {
        // Daemons that were started together do not connect together for ever.
        tokio::time::sleep(REWARM_EVERY.mul_f64(0.75 + jitter() / 4.0)).await;
        warm(&pushers.apps(), &pushers.clock).await;
    }
}

/// Never returns.
pub(crate) async fn keep_looking(pushers: &Arc<Shared>) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let pushers = Arc::clone(pushers);
        // Files may be on a disk that hangs.
        let looked = tokio::task::spawn_blocking(move || pushers.look()).await;
        if let Err(error) = looked {
            tracing::error!(%error, "cannot check the credential files");
        }
    }
}
