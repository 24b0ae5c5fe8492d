//! Numbers for Prometheus.
//!
//! Events are counted where they happen, by atomic additions: in the driver's loop, and for outcomes of pushes in their
//! own tasks. Gauges (held calls, the store's health, certificates) are sampled at scrape time. Every series exists
//! from the start. Label values are words of fixed sets and names of configured apps: nothing comes from the network.

mod app;
mod names;
mod nodes;
mod registry;
mod shared;

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use prometheus_client::encoding::prometheus_text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use self::app::AppFamilies;
pub use self::app::AppMetrics;
pub use self::names::Name;
use self::nodes::NodeMetrics;
pub use self::nodes::NodeSample;
use self::registry::{Counters, Gauges, Histograms, RegistryBuilder};
use self::shared::SharedMetrics;
use crate::clock::unix_now;
use crate::engine::{HoldResult, Summary};
use crate::push::apps::status::{AppState, ProblemKind};
use crate::store::Health;
use crate::store::shared::SharedHealth;

/// The media type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// The kind of callee, for waking.
const CALLEES: [&str; 3] = ["mobile", "desk", "nobody"];

/// Why devices are forgotten: the engine's reason in `ForgetDevice`.
const FORGOTTEN: [&str; 9] = [
    "another-user",
    "app-renamed",
    "asked",
    "gone",
    "new-token",
    "registered-without-push",
    "too-many-devices",
    "unregistered",
    "unseen-too-long",
];

/// How wakes that were asked for end.
const WAKE_RESULTS: [&str; 5] = ["woken", "no-device", "unreachable", "draining", "abandoned"];

/// All metrics. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    apps: RwLock<HashMap<Arc<str>, Arc<AppMetrics>>>,
    families: AppFamilies,
    calls: Counters<2>,
    hold: Histograms<1>,
    wake_requests: Counters<1>,
    wake_request_time: Histograms<1>,
    call_to_push: Histogram,
    register_to_invite: Histogram,
    registered_with_token: Counter,
    registered_without: Counter,
    unknown_app: Counter,
    unserved: Counter,
    limited: Counter,
    shared: Counter,
    devices: Gauge,
    forgotten: Counters<1>,
    held: Gauge,
    problems: Gauges<3>,
    certificates: Gauges<2>,
    esl_up: Gauge,
    nodes: NodeMetrics,
    store_failing: Gauge,
    store_queued: Gauge,
    dropped_devices: Counter,
    dropped_journal: Counter,
    shared_store: SharedMetrics,
    inputs: Gauge,
}

/// Gauges sampled at scrape time.
#[derive(Debug)]
pub struct GaugeSample {
    /// Calls held now.
    pub held: usize,
    /// Whether the event socket's connection is up.
    pub esl_up: bool,
    /// The FreeSWITCHes.
    pub nodes: Vec<NodeSample>,
    /// How the store is doing.
    pub store: Health,
    /// How the shared store is doing; the default if there is none.
    pub shared: SharedHealth,
    /// How the apps are doing.
    pub apps: Vec<AppState>,
    /// Inputs that wait for the loop.
    pub inputs: usize,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All metrics at zero; apps are added by [`Metrics::app`].
    pub fn new() -> Self {
        let mut r = RegistryBuilder(Registry::default());
        let registrations: Counters<1> = r.add(Name::Registrations, Family::default());
        let dropped: Counters<1> = r.add(Name::StoreDropped, Family::default());
        let inner = Inner {
            calls: r.add(Name::Calls, Family::default()),
            held: r.add(Name::HeldCalls, Gauge::default()),
            hold: r.add(Name::HoldSeconds, Family::new_with_constructor(waits)),
            wake_requests: r.add(Name::WakeRequests, Family::default()),
            wake_request_time: r.add(Name::WakeRequestSeconds, Family::new_with_constructor(waits)),
            call_to_push: r.add(
                Name::CallToPush,
                Histogram::new([0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0]),
            ),
            register_to_invite: r.add(
                Name::RegisterToInvite,
                Histogram::new([0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0]),
            ),
            families: AppFamilies::register(&mut r),
            unserved: r.add(Name::PushesUnserved, Counter::default()),
            limited: r.add(Name::PushesLimited, Counter::default()),
            shared: r.add(Name::PushesShared, Counter::default()),
            registered_with_token: registrations.get_or_create_owned(&[("push", "yes".into())]),
            registered_without: registrations.get_or_create_owned(&[("push", "no".into())]),
            unknown_app: r.add(Name::UnknownApp, Counter::default()),
            devices: r.add(Name::Devices, Gauge::default()),
            forgotten: r.add(Name::DevicesForgotten, Family::default()),
            problems: r.add(Name::AppProblem, Family::default()),
            certificates: r.add(Name::CertificateExpiry, Family::default()),
            esl_up: r.add(Name::EslUp, Gauge::default()),
            nodes: NodeMetrics::register(&mut r),
            store_failing: r.add(Name::StoreFailing, Gauge::default()),
            store_queued: r.add(Name::StoreQueued, Gauge::default()),
            dropped_devices: dropped.get_or_create_owned(&[("what", "device".into())]),
            dropped_journal: dropped.get_or_create_owned(&[("what", "journal".into())]),
            shared_store: SharedMetrics::register(&mut r),
            inputs: r.add(Name::InputsWaiting, Gauge::default()),
            apps: RwLock::default(),
            registry: started(r),
        };
        inner.fill();
        Self(Arc::new(inner))
    }

    /// The numbers of one app; new ones begin at zero.
    pub fn app(&self, name: &str, provider: &str) -> Arc<AppMetrics> {
        let known = self.0.apps.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(app) = known.get(name).filter(|app| app.provider == *provider) {
            return Arc::clone(app);
        }
        drop(known);
        let app = Arc::new(self.0.families.app(name, provider));
        let mut apps = self.0.apps.write().unwrap_or_else(PoisonError::into_inner);
        apps.insert(name.into(), Arc::clone(&app));
        app
    }

    /// A REGISTER arrived.
    pub fn registered(&self, has_token: bool) {
        let counter = if has_token {
            &self.0.registered_with_token
        } else {
            &self.0.registered_without
        };
        counter.inc();
    }

    /// A device registered whose app is not configured.
    pub fn unknown_app(&self) {
        self.0.unknown_app.inc();
    }

    /// A push found no app that serves its device.
    pub fn unserved(&self) {
        self.0.unserved.inc();
    }

    /// A call push was not sent because of a limit.
    pub fn limited(&self) {
        self.0.limited.inc();
    }

    /// A call push was not sent because another call's wake is under way.
    pub fn shared(&self) {
        self.0.shared.inc();
    }

    /// A device was forgotten.
    pub fn forgotten(&self, why: &'static str) {
        self.0.forgotten.get_or_create(&[("reason", why.into())]).inc();
    }

    /// How many devices are known.
    pub fn devices(&self, known: usize) {
        self.0.devices.set(i64::try_from(known).unwrap_or(i64::MAX));
    }

    /// The last value of [`Metrics::devices`].
    pub fn known_devices(&self) -> i64 {
        self.0.devices.get()
    }

    /// A call's first push is on its way.
    pub fn first_push(&self, since_call: Duration) {
        self.0.call_to_push.observe(since_call.as_secs_f64());
    }

    /// A call is over.
    pub fn call_over(&self, call: &Summary) {
        let callee = match (call.mobiles, call.devices) {
            (1.., _) => "mobile",
            (0, 1..) => "desk",
            (0, 0) => "nobody",
        };
        let result = call.result.as_str();
        let labels = [("callee", callee.into()), ("result", result.into())];
        self.0.calls.get_or_create(&labels).inc();
        let hold = self.0.hold.get_or_create(&[("result", result.into())]);
        hold.observe(call.held.as_secs_f64());
        if let Some(time) = call.register_to_invite {
            self.0.register_to_invite.observe(time.as_secs_f64());
        }
    }

    /// A wake that was asked for is over.
    pub fn wake_over(&self, wake: &Summary) {
        let labels = [("result", wake.result.as_str().into())];
        self.0.wake_requests.get_or_create(&labels).inc();
        let time = self.0.wake_request_time.get_or_create(&labels);
        time.observe(wake.held.as_secs_f64());
    }

    /// Everything as Prometheus reads it.
    pub fn text(&self, state: &GaugeSample) -> String {
        self.set(state);
        let mut text = String::with_capacity(32 * 1024);
        // Writing to a String does not fail.
        let _ = prometheus_text::encode(&mut text, &self.0.registry);
        text
    }

    fn set(&self, state: &GaugeSample) {
        let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let m = &*self.0;
        m.held.set(number(state.held));
        m.esl_up.set(state.esl_up.into());
        m.nodes.set(&state.nodes);
        m.store_failing.set(state.store.failing.is_some().into());
        m.store_queued.set(number(state.store.queued));
        m.dropped_devices
            .inner()
            .store(state.store.dropped_devices, Ordering::Relaxed);
        m.dropped_journal
            .inner()
            .store(state.store.dropped_journal, Ordering::Relaxed);
        m.shared_store.set(&state.shared);
        m.inputs.set(number(state.inputs));
        // An app that was removed has no state any more.
        m.problems.clear();
        m.certificates.clear();
        for app in &state.apps {
            let (name, provider) = (app.name.to_string(), app.provider.name().to_owned());
            // After a reload, nothing else reports an app before its first push.
            self.app(&name, &provider);
            for kind in ProblemKind::ALL {
                let has = app.problems.iter().any(|p| p.kind == kind);
                let labels = [
                    ("app", name.clone().into()),
                    ("provider", provider.clone().into()),
                    ("problem", kind.as_str().into()),
                ];
                m.problems.get_or_create(&labels).set(has.into());
            }
            if let Some(end) = app.expires {
                let labels = [("app", name.into()), ("provider", provider.into())];
                m.certificates.get_or_create(&labels).set(end);
            }
        }
    }
}

impl Inner {
    /// Makes the series whose labels are known, so that all exist from the start.
    fn fill(&self) {
        for result in HoldResult::ALL {
            let result = result.as_str();
            drop(self.hold.get_or_create(&[("result", result.into())]));
            if WAKE_RESULTS.contains(&result) {
                drop(self.wake_requests.get_or_create(&[("result", result.into())]));
                drop(self.wake_request_time.get_or_create(&[("result", result.into())]));
            }
            for callee in CALLEES {
                drop(
                    self.calls
                        .get_or_create(&[("callee", callee.into()), ("result", result.into())]),
                );
            }
        }
        for why in FORGOTTEN {
            drop(self.forgotten.get_or_create(&[("reason", why.into())]));
        }
    }
}

/// For how long a caller, or whoever asks for a wake, may wait, in seconds.
fn waits() -> Histogram {
    Histogram::new([
        0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 45.0, 60.0, 120.0,
    ])
}

/// The registry, with the values that never change.
fn started(mut r: RegistryBuilder) -> Registry {
    let since: Gauge = r.add(Name::StartTime, Gauge::default());
    since.set(unix_now());
    let build: Gauges<1> = r.add(Name::BuildInfo, Family::default());
    build
        .get_or_create(&[("version", env!("CARGO_PKG_VERSION").into())])
        .set(1);
    r.0
}
