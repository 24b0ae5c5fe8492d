//! All configured apps: picks the one that serves a device and keeps each ready.
//!
//! Every app has its own connection, tokens and limit of pushes under way, so that no app's provider slows another's.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use reqwest::Url;
use tokio::task::JoinSet;

use super::apns::Apns;
use super::app::{App, Credentials, PayloadStyle};
use super::auth::Clock;
use super::fcm::Fcm;
use super::{PushError, PushOutcome, PushRequest, log};
use crate::types::{Printable, Provider, PushParams};

/// How often an app's connection and token are looked after between calls.
///
/// Pings keep a connection that lives; this opens anew one that the provider closed.
const REWARM_EVERY: Duration = Duration::from_secs(240);

/// Why the configured apps cannot be used: names app and file, never what is in the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// The app's own settings.
    #[error("app {app}: {problem}")]
    App {
        /// The app's name.
        app: String,
        /// What is wrong, and what is allowed.
        problem: String,
    },
    /// A file that the app names.
    #[error("app {app}: {file}: {problem}", file = .file.display())]
    File {
        /// The app's name.
        app: String,
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

impl SetupError {
    pub(super) fn app(app: &App, problem: &str) -> Self {
        Self::App {
            app: app.name.clone(),
            problem: problem.to_owned(),
        }
    }

    pub(super) fn file(app: &App, file: &Path, problem: &str) -> Self {
        Self::File {
            app: app.name.clone(),
            file: file.to_owned(),
            problem: problem.to_owned(),
        }
    }

    /// Reads a file of the app.
    pub(super) fn read(app: &App, file: &Path) -> Result<Vec<u8>, Self> {
        std::fs::read(file).map_err(|e| Self::file(app, file, &e.to_string()))
    }

    /// The app's `base_url`, or the provider's.
    pub(super) fn base_url(app: &App, default: &str) -> Result<String, Self> {
        let Some(url) = &app.base_url else {
            return Ok(default.to_owned());
        };
        let good = Url::parse(url).is_ok_and(|u| u.scheme() == "https" && u.path() == "/" && u.query().is_none());
        if !good {
            return Err(Self::app(
                app,
                "base_url must be https://host:port: tokens travel on it",
            ));
        }
        Ok(url.trim_end_matches('/').to_owned())
    }
}

/// Sends pushes for every configured app. Cheap to clone.
#[derive(Clone)]
pub struct Pushers(Arc<Inner>);

struct Inner {
    apps: Vec<Arc<Served>>,
    kept_warm: AtomicBool,
}

struct Served {
    app: App,
    pusher: Pusher,
}

enum Pusher {
    Apns(Box<Apns>),
    Fcm(Box<Fcm>),
    Log,
}

impl Pushers {
    /// Reads every credential file and checks every payload template. Without apps, everything goes to the log.
    pub fn new(apps: Vec<App>) -> Result<Self, SetupError> {
        Self::with_clock(apps, &Clock::default())
    }

    /// The same with another clock, for what depends on the age of tokens.
    pub fn with_clock(mut apps: Vec<App>, clock: &Clock) -> Result<Self, SetupError> {
        if apps.is_empty() {
            apps.push(log_app());
        }
        let (mut keys, mut accounts) = (Vec::new(), Vec::new());
        let mut served: Vec<Arc<Served>> = Vec::with_capacity(apps.len());
        for app in apps {
            if served.iter().any(|s| s.app.name == app.name) {
                return Err(SetupError::app(&app, "there are two apps of this name"));
            }
            let pusher = match (&app.credentials, &app.provider) {
                (Credentials::Log, provider) => {
                    let checked = app.payload.check(provider);
                    checked.map_err(|e| SetupError::app(&app, &e.to_string()))?;
                    Pusher::Log
                }
                (_, Provider::Apns | Provider::ApnsSandbox) => {
                    Pusher::Apns(Box::new(Apns::new(&app, &mut keys, clock.clone())?))
                }
                (_, Provider::Fcm) => Pusher::Fcm(Box::new(Fcm::new(&app, &mut accounts, clock.clone())?)),
                (_, other) => {
                    let problem = format!("provider {} is not one of apns, apns.dev, fcm", Printable(other.name()));
                    return Err(SetupError::app(&app, &problem));
                }
            };
            served.push(Arc::new(Served { app, pusher }));
        }
        Ok(Self(Arc::new(Inner {
            apps: served,
            kept_warm: AtomicBool::new(false),
        })))
    }

    /// The names of all apps, in the order of the configuration: labels of logs and metrics.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.apps.iter().map(|s| s.app.name.as_str())
    }

    /// The name of the app that serves a device whose owner is in `domain`: the first one configured.
    pub fn serves(&self, to: &PushParams, domain: &str) -> Option<&str> {
        self.find(to, domain).map(|s| s.app.name.as_str())
    }

    /// Sends one push and waits for its outcome, at most `req.ttl` long.
    pub async fn push(&self, req: &PushRequest) -> PushOutcome {
        let Some(served) = self.find(&req.to, &req.domain) else {
            return Err(PushError::Misconfigured {
                reason: format!(
                    "no app serves provider {} and app id {}",
                    Printable(req.to.provider.name()),
                    Printable(&req.to.app)
                ),
            });
        };
        match &served.pusher {
            Pusher::Apns(apns) => apns.push(req).await,
            Pusher::Fcm(fcm) => fcm.push(req).await,
            Pusher::Log => Ok(log::push(&served.app.name, req)),
        }
    }

    /// Opens every app's connection and gets its tokens before the first call needs them, and keeps them so from then
    /// on. Returns when all were tried; what fails is logged and tried again by the pushes themselves.
    pub async fn warm(&self) {
        self.0.warm().await;
        if !self.0.kept_warm.swap(true, Ordering::Relaxed) {
            tokio::spawn(keep_warm(Arc::downgrade(&self.0)));
        }
    }

    fn find(&self, to: &PushParams, domain: &str) -> Option<&Served> {
        let serves = |s: &&Arc<Served>| s.app.serves(&to.provider, &to.app, domain);
        self.0.apps.iter().find(serves).map(Arc::as_ref)
    }
}

impl std::fmt::Debug for Pushers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

impl Inner {
    async fn warm(&self) {
        let mut opening = JoinSet::new();
        for served in &self.apps {
            let served = Arc::clone(served);
            opening.spawn(async move {
                let warmed = match &served.pusher {
                    Pusher::Apns(apns) => apns.warm().await,
                    Pusher::Fcm(fcm) => fcm.warm().await,
                    Pusher::Log => Ok(()),
                };
                if let Err(reason) = warmed {
                    tracing::warn!(app = served.app.name, reason, "cannot reach the push provider");
                }
            });
        }
        while opening.join_next().await.is_some() {}
    }
}

/// Ends with the last clone of its [`Pushers`].
async fn keep_warm(pushers: Weak<Inner>) {
    loop {
        tokio::time::sleep(REWARM_EVERY).await;
        let Some(pushers) = pushers.upgrade() else { return };
        pushers.warm().await;
    }
}

fn log_app() -> App {
    App {
        name: "log".into(),
        provider: Provider::Other("log".into()),
        app_ids: Vec::new(),
        domains: Vec::new(),
        tenant: None,
        credentials: Credentials::Log,
        base_url: None,
        ca_file: None,
        proxy: None,
        topic: None,
        payload: PayloadStyle::Default,
    }
}
