//! All configured apps: picks the one that serves a device and keeps each ready.
//!
//! Every app has its own connection, tokens and limit of pushes under way, so that no app's provider slows another's.
//!
//! The list of apps is a value that is replaced as a whole: a push that is under way goes on with what it began with,
//! the next one finds what is new (`renewal`). Race: the provider refuses a push with the old key after the new one has
//! come into use (`push_refused_with_the_old_key_goes_out_with_the_new_one` in tests/push).

use std::sync::Arc;
use std::time::Instant;

use futures_util::StreamExt;

use crate::metrics::AppMetrics;
use crate::push::app::App;
use crate::push::apps::list::AppList;
use crate::push::apps::live::LiveApp;
use crate::push::apps::prober;
use crate::push::apps::renewal::{self, AppChanges};
use crate::push::apps::status::AppState;
use crate::push::clock::Clock;
use crate::push::setup::SetupError;
use crate::push::transport::probe::Probe;
use crate::types::push::{PushError, PushOutcome, PushRequest};
use crate::types::{Provider, PushParams};

/// Sends pushes for every configured app. Cheap to clone; all clones see the same apps.
#[derive(Clone)]
pub struct Pushers(Arc<AppList>);

/// The app that serves a device, with its numbers: found once for a push.
#[derive(Clone)]
pub struct AppHandle(Arc<LiveApp>);

impl AppHandle {
    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.0.name
    }

    /// Its provider, as the configuration has it.
    pub fn provider(&self) -> &Provider {
        &self.0.app.provider
    }

    /// Its numbers; looked up with `find` the first time.
    pub fn metrics(&self, find: impl FnOnce(&str, &str) -> Arc<AppMetrics>) -> &Arc<AppMetrics> {
        self.0.metrics(|| find(self.name(), self.provider().name()))
    }
}

impl Pushers {
    /// Reads every credential file and checks every payload template. Without apps, everything goes to the log.
    pub fn new(apps: Vec<App>) -> Result<Self, SetupError> {
        Self::with_clock(apps, &Clock::default())
    }

    /// The same with another clock, for what depends on the age of tokens and certificates.
    pub fn with_clock(apps: Vec<App>, clock: &Clock) -> Result<Self, SetupError> {
        let apps = renewal::build(apps, &[], clock)?;
        for app in apps.iter() {
            app.is_in_use(clock.now().wall);
        }
        Ok(Self(Arc::new(AppList::new(apps, clock.clone()))))
    }

    /// The names of all apps, in the order of the configuration: labels of logs and metrics.
    pub fn names(&self) -> Vec<Arc<str>> {
        self.0.apps().iter().map(|s| Arc::clone(&s.name)).collect()
    }

    /// What an operator should know of each app, in the order of the configuration.
    pub fn states(&self) -> Vec<AppState> {
        let wall = self.0.clock.now().wall;
        self.0.apps().iter().map(|s| s.state(wall)).collect()
    }

    /// The same, each with its configuration.
    pub fn apps(&self) -> Vec<(App, AppState)> {
        let wall = self.0.clock.now().wall;
        let apps = self.0.apps();
        apps.iter().map(|s| (s.app.clone(), s.state(wall))).collect()
    }

    /// The app that serves a device whose owner is in `domain`: the one place where that is decided.
    pub fn find(&self, provider: &Provider, app_id: &str, domain: &str) -> Option<AppHandle> {
        let apps = self.0.apps();
        App::find(&apps, |one| &one.app, provider, app_id, domain).map(|app| AppHandle(Arc::clone(app)))
    }

    /// The name of the app that serves a device.
    pub fn serves(&self, to: &PushParams, domain: &str) -> Option<Arc<str>> {
        self.find(&to.provider, &to.app, domain)
            .map(|app| Arc::clone(app.name()))
    }

    /// The app that serves a request's device.
    pub fn app_of(&self, req: &PushRequest) -> Result<AppHandle, PushError> {
        let found = self.find(&req.to.provider, &req.to.app, &req.domain);
        found.ok_or_else(|| PushError::NoApp {
            provider: req.to.provider.clone(),
            app: req.to.app.clone(),
        })
    }

    /// Sends one push and waits for its outcome, at most `req.ttl` long.
    pub async fn push(&self, req: &PushRequest) -> PushOutcome {
        self.push_by(self.app_of(req)?, req).await
    }

    /// The same by the app that serves the device ([`Pushers::app_of`]).
    pub async fn push_by(&self, AppHandle(mut app): AppHandle, req: &PushRequest) -> PushOutcome {
        let began = Instant::now();
        let mut outcome = app.push(req).await;
        if matches!(outcome, Err(PushError::Misconfigured { .. }))
            && let Ok(AppHandle(newer)) = self.app_of(req)
            && !Arc::ptr_eq(&newer, &app)
        {
            app = newer;
            let left = PushRequest {
                ttl: req.ttl.saturating_sub(began.elapsed()),
                ..req.clone()
            };
            outcome = app.push(&left).await;
        }
        app.pushed(req, &outcome, self.0.clock.now());
        outcome
    }

    /// Tries every app's way to its provider without reaching a phone: its name and what was found, in the order of the
    /// configuration. `None`: there is nothing to try.
    pub async fn probe(&self) -> Vec<(Arc<str>, Option<Probe>)> {
        let apps = self.0.apps();
        // Many tenants whose provider is away are one provider's patience, not many.
        let probing = futures_util::stream::iter(apps.iter().cloned()).map(|app| async move {
            let probe = app.probe().await;
            (Arc::clone(&app.name), probe)
        });
        probing.buffered(prober::AT_ONCE).collect().await
    }

    /// Opens every app's connection and gets its tokens before the first call needs them. Returns when all were tried;
    /// what fails is logged and tried again by the pushes themselves.
    pub async fn warm(&self) {
        renewal::warm(&self.0.apps(), &self.0.clock).await;
    }

    /// The same, and from then on keeps them so, looks at credential files every second, and probes. Never returns.
    pub async fn keep(&self) {
        tokio::join!(
            async {
                self.warm().await;
                renewal::keep_warm(&self.0).await;
            },
            renewal::keep_looking(&self.0),
            prober::keep_probing(&self.0)
        );
    }

    /// Replaces all apps at once, or none if one cannot be used. Reads files, and needs a runtime.
    ///
    /// An app with the same settings keeps its connection and tokens; pushes under way end with what they began with.
    pub fn reload(&self, apps: Vec<App>) -> Result<AppChanges, SetupError> {
        renewal::reload(&self.0, apps)
    }

    /// Looks at every credential file, and at the days that are left of certificates; what is new is in use for the
    /// next push. Reads files, and needs a runtime.
    pub fn look(&self) {
        renewal::look(&self.0);
    }
}

impl std::fmt::Debug for Pushers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}
