//! Credentials that change while pushes go on, and connections that are kept warm.
//!
//! A changed file is tried at once. One that cannot be used may be half written: it is an error only when it was the
//! same at two looks in a row, and what was in use stays in use.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tracing::info;

use crate::jitter;
use crate::push::app::App;
use crate::push::apps::health::Health;
use crate::push::apps::list::{AppList, LiveApps};
use crate::push::apps::live::LiveApp;
use crate::push::apps::watch::UnusableFiles;
use crate::push::clock::Clock;
use crate::push::setup::SetupError;
use crate::push::transport::tls::REWARM_EVERY;

/// Apps that open their connections at once.
const WARMED_AT_ONCE: usize = 32;
/// How often credential files and the days that are left are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What a new configuration changed, by the apps' names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppChanges {
    /// Apps that were not there before.
    pub added: Vec<Arc<str>>,
    /// Apps that are gone.
    pub removed: Vec<Arc<str>>,
    /// Apps with other settings.
    pub changed: Vec<Arc<str>>,
}

/// Reads all apps. One that `old` has with the same settings is kept with its connection and tokens.
pub(crate) fn build(mut apps: Vec<App>, old: &[Arc<LiveApp>], clock: &Clock) -> Result<LiveApps, SetupError> {
    if apps.is_empty() {
        apps.push(App::log());
    }
    let (mut known, mut built) = (old.to_vec(), Vec::<Arc<LiveApp>>::with_capacity(apps.len()));
    for app in apps {
        if built.iter().any(|s| s.app.name == app.name) {
            return Err(SetupError::app(&app, "duplicate app name"));
        }
        let before = old.iter().find(|s| s.app.name == app.name);
        let app = match before {
            Some(before) if before.app == app => Arc::clone(before),
            _ => {
                let health = before.map_or_else(|| Health::new(&app.name), |before| Arc::clone(&before.health));
                Arc::new(LiveApp::new(app, &known, health, clock)?)
            }
        };
        known.push(Arc::clone(&app));
        built.push(app);
    }
    Ok(built.into())
}

/// Replaces all apps at once, or none if one cannot be used.
pub(crate) fn reload(list: &AppList, apps: Vec<App>) -> Result<AppChanges, SetupError> {
    let _changing = list.changing.lock().unwrap_or_else(PoisonError::into_inner);
    let (old, clock) = (list.apps(), &list.clock);
    let new = build(apps, &old, clock)?;
    list.set_apps(Arc::clone(&new));
    let mut reloaded = AppChanges::default();
    let mut fresh = Vec::new();
    for app in new.iter().filter(|new| !old.iter().any(|old| Arc::ptr_eq(old, new))) {
        app.is_in_use(clock.now().wall);
        fresh.push(Arc::clone(app));
        let list = if is_named(&old, &app.name) {
            &mut reloaded.changed
        } else {
            &mut reloaded.added
        };
        list.push(Arc::clone(&app.name));
    }
    let gone = old.iter().filter(|app| !is_named(&new, &app.name));
    reloaded.removed = gone.map(|app| Arc::clone(&app.name)).collect();
    warm_soon(list, fresh);
    Ok(reloaded)
}

fn is_named(apps: &[Arc<LiveApp>], name: &str) -> bool {
    apps.iter().any(|app| *app.name == *name)
}

/// Looks at every credential file, and at the days that are left of certificates.
pub(crate) fn look(list: &AppList) {
    let _changing = list.changing.lock().unwrap_or_else(PoisonError::into_inner);
    let apps = list.apps();
    let fresh = apps.iter().filter_map(|app| look_at(list, app, &apps)).collect();
    for app in apps.iter() {
        app.health.look_at_expiry(list.clock.now().wall);
    }
    warm_soon(list, fresh);
}

/// The app with its newer files, if they can be used.
fn look_at(list: &AppList, app: &Arc<LiveApp>, known: &[Arc<LiveApp>]) -> Option<Arc<LiveApp>> {
    let mut renewal = app.renewal.lock().unwrap_or_else(PoisonError::into_inner);
    let files = renewal.used.look();
    if files == renewal.used {
        // Their time stamps may differ.
        renewal.used = files;
        renewal.failed = None;
        app.health.file_mended();
        return None;
    }
    let wall = list.clock.now().wall;
    if let Some(failed) = renewal.failed.as_mut().filter(|failed| failed.files == files) {
        if !std::mem::replace(&mut failed.said, true) {
            app.health.file_broke(failed.reason.clone(), wall);
        }
        return None;
    }
    match LiveApp::new(app.app.clone(), known, Arc::clone(&app.health), &list.clock) {
        Ok(new) => {
            let new = Arc::new(new);
            if !list.put(app, &new) {
                return None;
            }
            new.is_in_use(wall);
            info!(app = %new.name, "new credentials are in use");
            Some(new)
        }
        Err(error) => {
            // The app is named next to it wherever it is shown.
            let reason = error.problem();
            renewal.failed = Some(UnusableFiles {
                files,
                reason,
                said: false,
            });
            None
        }
    }
}

fn warm_soon(list: &AppList, fresh: Vec<Arc<LiveApp>>) {
    if !fresh.is_empty() {
        let clock = list.clock.clone();
        tokio::spawn(async move { warm(&fresh, &clock).await });
    }
}

/// Opens connections and gets tokens, of some apps at once; returns when all were tried.
pub(crate) async fn warm(apps: &[Arc<LiveApp>], clock: &Clock) {
    let mut opening = JoinSet::new();
    for app in apps {
        if opening.len() >= WARMED_AT_ONCE {
            opening.join_next().await;
        }
        let (app, clock) = (Arc::clone(app), clock.clone());
        opening.spawn(async move { app.warm(&clock).await });
    }
    while opening.join_next().await.is_some() {}
}

/// Never returns.
pub(crate) async fn keep_warm(list: &AppList) {
    loop {
        // So that daemons that were started together do not stay together.
        tokio::time::sleep(jitter::upper_quarter(REWARM_EVERY)).await;
        warm(&list.apps(), &list.clock).await;
    }
}

/// Never returns.
pub(crate) async fn keep_looking(list: &Arc<AppList>) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let list = Arc::clone(list);
        // The files may be on a disk that hangs.
        let looked = tokio::task::spawn_blocking(move || look(&list)).await;
        if let Err(error) = looked {
            tracing::error!(%error, "cannot check the credential files");
        }
    }
}
