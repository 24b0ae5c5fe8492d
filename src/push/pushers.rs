//! All configured apps: picks the one that serves a device and keeps each ready.
//!
//! Every app has its own connection, tokens and limit of pushes under way, so that no app's provider slows another's.
//!
//! The list of apps is a value that is replaced as a whole: a push that is under way goes on with what it began with,
//! the next one finds what is new (`renewal`). Race: the provider refuses a push with the old key after the new one has
//! come into use (`push_refused_with_the_old_key_goes_out_with_the_new_one` in tests/push).

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::{Instant, SystemTime};

use futures_util::StreamExt;
use reqwest::Url;

use super::apns::Apns;
use super::app::{App, Credentials, PayloadStyle};
use super::auth::{Clock, ProviderToken};
use super::fcm::{Account, Fcm};
use super::health::{AppState, Health, Standing};
use super::http::Http;
use super::probe::{Probe, Proof};
use super::prober;
use super::renewal::{self, Renewal};
use super::token_file::TokenFile;
use super::watch::Files;
use super::{PushError, PushOutcome, PushRequest, log};
use crate::files::FileError;
use crate::types::{Printable, Provider, PushParams};

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

    /// Reads a file of the app by one of the ways of [`crate::files`].
    pub(super) fn read<T>(app: &App, file: &Path, read: fn(&Path) -> Result<T, FileError>) -> Result<T, Self> {
        read(file).map_err(|e| Self::file(app, file, &e.to_string()))
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

/// Sends pushes for every configured app. Cheap to clone; all clones see the same apps.
#[derive(Clone)]
pub struct Pushers(pub(super) Arc<Shared>);

pub(super) struct Shared {
    apps: RwLock<Apps>,
    pub clock: Clock,
    /// Held by whoever reads files and changes the apps by them: a look and a reload at once could bring old credentials back.
    pub changing: Mutex<()>,
    pub token_file: OnceLock<TokenFile>,
}

/// All apps, in the order of the configuration.
pub(super) type Apps = Arc<[Arc<Served>]>;

/// An app with its credentials as they were read.
pub(super) struct Served {
    pub app: App,
    pub name: Arc<str>,
    pub pusher: Pusher,
    pub health: Arc<Health>,
    /// Of its credentials, for its health.
    generation: u64,
    pub renewal: Mutex<Renewal>,
    /// Held while its provider is asked for no push's sake: of two that connect at once, the one that fails first ends the other
    /// without a reason.
    asking: tokio::sync::Mutex<()>,
}

pub(super) enum Pusher {
    Apns(Box<Apns>),
    Fcm(Box<Fcm>),
    Http(Box<Http>),
    Log,
}

impl Pushers {
    /// Reads every credential file and checks every payload template. Without apps, everything goes to the log.
    pub fn new(apps: Vec<App>) -> Result<Self, SetupError> {
        Self::with_clock(apps, &Clock::default())
    }

    /// The same with another clock, for what depends on the age of tokens and certificates.
    pub fn with_clock(apps: Vec<App>, clock: &Clock) -> Result<Self, SetupError> {
        let apps = renewal::build(apps, &[], clock)?;
        for served in apps.iter() {
            served.is_in_use(clock.now().wall);
        }
        Ok(Self(Arc::new(Shared {
            apps: RwLock::new(apps),
            clock: clock.clone(),
            changing: Mutex::default(),
            token_file: OnceLock::new(),
        })))
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

    /// The name of the app that serves a device whose owner is in `domain`: the first one configured.
    pub fn serves(&self, to: &PushParams, domain: &str) -> Option<Arc<str>> {
        self.find(to, domain).map(|s| Arc::clone(&s.name))
    }

    /// The name of the app that serves a device, and its provider as the configuration has it.
    pub fn app_of(&self, provider: &Provider, app: &str, domain: &str) -> Option<(Arc<str>, Provider)> {
        let apps = self.0.apps();
        let served = App::find(&apps, |s| &s.app, provider, app, domain)?;
        Some((Arc::clone(&served.name), served.app.provider.clone()))
    }

    /// Sends one push and waits for its outcome, at most `req.ttl` long.
    pub async fn push(&self, req: &PushRequest) -> PushOutcome {
        let Some(mut served) = self.find(&req.to, &req.domain) else {
            return Err(PushError::Misconfigured {
                reason: format!(
                    "no app serves provider {} and app id {}",
                    Printable(req.to.provider.name()),
                    Printable(&req.to.app)
                ),
            });
        };
        let began = Instant::now();
        let mut outcome = served.push(req).await;
        if matches!(outcome, Err(PushError::Misconfigured { .. }))
            && let Some(newer) = self
                .find(&req.to, &req.domain)
                .filter(|newer| !Arc::ptr_eq(newer, &served))
        {
            served = newer;
            let left = PushRequest {
                ttl: req.ttl.saturating_sub(began.elapsed()),
                ..req.clone()
            };
            outcome = served.push(&left).await;
        }
        let at = self.0.clock.now();
        served.health.pushed(served.generation, req, &outcome, at);
        outcome
    }

    /// Tries every app's way to its provider without reaching a phone: its name and what was found, in the order of the
    /// configuration. `None`: there is nothing to try.
    pub async fn probe(&self) -> Vec<(Arc<str>, Option<Probe>)> {
        let apps = self.0.apps();
        // Many tenants whose provider is away are one provider's patience, not many.
        let probing = futures_util::stream::iter(apps.iter().cloned()).map(|served| async move {
            let probe = served.probe().await;
            (Arc::clone(&served.name), probe)
        });
        probing.buffered(prober::AT_ONCE).collect().await
    }

    /// Opens every app's connection and gets its tokens before the first call needs them. Returns when all were tried; what fails
    /// is logged and tried again by the pushes themselves.
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

    fn find(&self, to: &PushParams, domain: &str) -> Option<Arc<Served>> {
        let apps = self.0.apps();
        App::find(&apps, |s| &s.app, &to.provider, &to.app, domain).map(Arc::clone)
    }
}

impl std::fmt::Debug for Pushers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

impl Shared {
    /// The apps as they are now.
    pub(super) fn apps(&self) -> Apps {
        Arc::clone(&self.apps.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts others in their place, all at once.
    pub(super) fn set_apps(&self, apps: Apps) {
        for served in apps.iter() {
            self.keep_tokens_of(served);
        }
        *self.apps.write().unwrap_or_else(PoisonError::into_inner) = apps;
    }

    /// Puts one app in the place of what it was, unless that has gone meanwhile.
    pub(super) fn put(&self, old: &Arc<Served>, new: &Arc<Served>) -> bool {
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

impl Served {
    /// Reads an app's credentials. What `known` apps have of equal keys is shared: Apple counts provider tokens by key.
    pub(super) fn new(app: App, known: &[Arc<Self>], health: Arc<Health>, clock: &Clock) -> Result<Self, SetupError> {
        // Before they are used: a change in between is seen at the next look.
        let files = Files::of(&app);
        let pusher = Pusher::new(&app, known, clock)?;
        Ok(Self {
            name: app.name.as_str().into(),
            app,
            pusher,
            generation: health.next_generation(),
            health,
            renewal: Mutex::new(Renewal::new(files)),
            asking: tokio::sync::Mutex::default(),
        })
    }

    /// Tells its health that these are the credentials in use.
    pub(super) fn is_in_use(&self, wall: SystemTime) {
        let expires = match &self.pusher {
            Pusher::Apns(apns) => apns.expires,
            _ => None,
        };
        self.health.renewed(self.generation, expires);
        self.health.look_at_expiry(wall);
    }

    async fn push(&self, req: &PushRequest) -> PushOutcome {
        match &self.pusher {
            Pusher::Apns(apns) => apns.push(req).await,
            Pusher::Fcm(fcm) => fcm.push(req).await,
            Pusher::Http(http) => http.push(req).await,
            Pusher::Log => Ok(log::push(&self.name, req)),
        }
    }

    async fn probe(&self) -> Option<Probe> {
        let began = Instant::now();
        let (outcome, date) = match &self.pusher {
            Pusher::Apns(apns) => apns.probe().await,
            Pusher::Fcm(fcm) => fcm.probe().await,
            Pusher::Http(http) => (http.warm().await.map(|()| Proof::Connected), None),
            Pusher::Log => return None,
        };
        Some(Probe {
            outcome,
            date,
            took: began.elapsed(),
        })
    }

    /// Whether its provider is to be asked now.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.health.is_due(self.generation, now)
    }

    /// Probes, and tells the app's health.
    pub(super) async fn ask(&self, clock: &Clock) {
        let _asking = self.asking.lock().await;
        let probe = self.probe().await;
        let now = clock.now();
        match probe {
            Some(probe) => self.health.probed(self.generation, &probe.outcome, now),
            None => self.health.has_nobody_to_ask(self.generation, now.monotonic),
        }
    }

    pub(super) async fn warm(&self, clock: &Clock) {
        let _asking = self.asking.lock().await;
        let warmed = match &self.pusher {
            Pusher::Apns(apns) => apns.warm().await,
            Pusher::Fcm(fcm) => fcm.warm().await,
            Pusher::Http(http) => http.warm().await,
            Pusher::Log => Ok(()),
        };
        self.health.warmed(self.generation, &warmed, clock.now());
    }

    fn state(&self, wall: SystemTime) -> AppState {
        let blank = AppState {
            name: Arc::clone(&self.name),
            provider: self.app.provider.clone(),
            tenant: self.app.tenant.clone(),
            domains: self.app.domains.clone(),
            credentials: self.app.credentials.kind(),
            expires: None,
            days_left: None,
            problems: Vec::new(),
            standing: match &self.pusher {
                Pusher::Log => Standing::OnlyLogs,
                _ => Standing::Untried,
            },
            why: None,
            checked: None,
            last_success: None,
            last_failure: None,
        };
        self.health.fill(blank, wall)
    }
}

impl Pusher {
    fn new(app: &App, known: &[Arc<Served>], clock: &Clock) -> Result<Self, SetupError> {
        match (&app.credentials, &app.provider) {
            (Credentials::Log, provider) => {
                let checked = app.payload.check(provider);
                checked.map_err(|e| SetupError::app(app, &e.to_string()))?;
                Ok(Self::Log)
            }
            (Credentials::Http(_), _) => Ok(Self::Http(Box::new(Http::new(app, clock.clone())?))),
            (_, Provider::Apns | Provider::ApnsSandbox) => {
                let keys: Vec<Arc<ProviderToken>> = known.iter().filter_map(|s| s.pusher.provider_token()).collect();
                Ok(Self::Apns(Box::new(Apns::new(app, &keys, clock.clone())?)))
            }
            (_, Provider::Fcm) => {
                let accounts: Vec<Account> = known.iter().filter_map(|s| s.pusher.account()).collect();
                Ok(Self::Fcm(Box::new(Fcm::new(app, &accounts, clock.clone())?)))
            }
            (_, other) => {
                let problem = format!(
                    "provider {} is not one of apns, apns.dev, fcm, http, log",
                    Printable(other.name())
                );
                Err(SetupError::app(app, &problem))
            }
        }
    }

    pub(super) fn provider_token(&self) -> Option<Arc<ProviderToken>> {
        match self {
            Self::Apns(apns) => apns.token.clone(),
            _ => None,
        }
    }

    fn account(&self) -> Option<Account> {
        match self {
            Self::Fcm(fcm) => Some(fcm.account.clone()),
            _ => None,
        }
    }
}

/// What stands for no app at all: everything goes to the log.
pub(super) fn log_app() -> App {
    App {
        name: "log".into(),
        provider: Provider::Other("log".into()),
        providers: Vec::new(),
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
