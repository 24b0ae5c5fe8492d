//! One app in use: its settings, its loaded credentials, and its health.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Instant, SystemTime};

use crate::metrics::AppMetrics;
use crate::push::app::App;
use crate::push::apps::health::{Health, Whose};
use crate::push::apps::sender::Sender;
use crate::push::apps::status::{AppState, AppStatus};
use crate::push::apps::watch::{Files, Renewal};
use crate::push::clock::{Clock, Now};
use crate::push::setup::SetupError;
use crate::push::transport::probe::Probe;
use crate::types::push::{PushOutcome, PushRequest};

/// An app with its credentials as they were read.
pub(crate) struct LiveApp {
    pub app: App,
    pub name: Arc<str>,
    sender: Sender,
    pub health: Arc<Health>,
    /// The number of its credentials, for its health.
    generation: u64,
    pub renewal: Mutex<Renewal>,
    /// Held while probing or warming: of two attempts to connect, the first to fail ends the other without a reason.
    asking: tokio::sync::Mutex<()>,
    /// Its numbers, found once.
    metrics: OnceLock<Arc<AppMetrics>>,
}

impl LiveApp {
    /// Reads an app's credentials. Equal keys of `known` apps are shared: Apple counts provider tokens by key.
    pub(crate) fn new(app: App, known: &[Arc<Self>], health: Arc<Health>, clock: &Clock) -> Result<Self, SetupError> {
        // Read before they are used, so that the next look sees a change in between.
        let files = Files::of(&app);
        let sender = Sender::new(&app, known.iter().map(|one| &one.sender), clock)?;
        Ok(Self {
            name: app.name.as_str().into(),
            app,
            sender,
            generation: health.next_generation(),
            health,
            renewal: Mutex::new(Renewal::new(files)),
            asking: tokio::sync::Mutex::default(),
            metrics: OnceLock::new(),
        })
    }

    /// These credentials are in use from now on.
    pub(crate) fn is_in_use(&self, wall: SystemTime) {
        self.health.renewed(self.generation, self.sender.expires());
        self.health.look_at_expiry(wall);
    }

    /// Delivers one push, or returns the error.
    pub(crate) async fn push(&self, req: &PushRequest) -> PushOutcome {
        self.sender.push(&self.name, req).await
    }

    /// Records the outcome of a push.
    pub(crate) fn pushed(&self, req: &PushRequest, outcome: &PushOutcome, at: Now) {
        let whose = match self.sender {
            Sender::WebPush(_) => Whose::Phones,
            _ => Whose::Provider,
        };
        self.health.pushed(self.generation, whose, req, outcome, at);
    }

    /// Tries its provider without reaching a phone. `None`: there is nothing to try.
    pub(crate) async fn probe(&self) -> Option<Probe> {
        let began = Instant::now();
        let (outcome, date) = self.sender.probe().await?;
        Some(Probe {
            outcome,
            date,
            took: began.elapsed(),
        })
    }

    /// Whether a probe is due.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.health.is_due(self.generation, now)
    }

    /// Probes, and records the outcome.
    pub(crate) async fn ask(&self, clock: &Clock) {
        let _asking = self.asking.lock().await;
        let probe = self.probe().await;
        let now = clock.now();
        match probe {
            Some(probe) => self.health.probed(self.generation, &probe.outcome, now),
            None => self.health.has_nobody_to_ask(self.generation, now.monotonic),
        }
    }

    pub(crate) async fn warm(&self, clock: &Clock) {
        let _asking = self.asking.lock().await;
        let warmed = self.sender.warm().await;
        self.health.warmed(self.generation, &warmed, clock.now());
    }

    /// What an operator should know of it.
    pub(crate) fn state(&self, wall: SystemTime) -> AppState {
        let blank = AppState {
            name: Arc::clone(&self.name),
            provider: self.app.provider.clone(),
            tenant: self.app.tenant.clone(),
            domains: self.app.domains.clone(),
            credentials: self.app.credentials.kind(),
            expires: None,
            days_left: None,
            problems: self.sender.key_problem().into_iter().collect(),
            status: match &self.sender {
                Sender::Log => AppStatus::OnlyLogs,
                _ => AppStatus::Untried,
            },
            why: None,
            checked: None,
            last_success: None,
            last_failure: None,
        };
        self.health.fill(blank, wall)
    }

    /// Its numbers; looked up with `find` the first time.
    pub(crate) fn metrics(&self, find: impl FnOnce() -> Arc<AppMetrics>) -> &Arc<AppMetrics> {
        self.metrics.get_or_init(find)
    }
}
