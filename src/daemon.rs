//! The composition root: configuration in, running daemon out. The only file that knows every part.

mod ending;

use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::Context;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::aging;
use crate::clock::unix_now;
use crate::config::Config;
use crate::control::Control;
use crate::driver::Driver;
use crate::engine::Engine;
use crate::esl::answers::Answerer;
use crate::esl::bond_watch;
use crate::esl::inbound::Inbound;
use crate::esl::leg_token::ClusterKey;
use crate::esl::nodes::Nodes;
use crate::esl::outbound::Outbound;
use crate::esl::peers::Peers;
use crate::esl::queues::queues;
use crate::esl::users::Users;
use crate::handover::sockets::Use;
use crate::handover::{Duty, Handover, Phase, Sockets};
use crate::http::{self, Site};
use crate::input::Input;
use crate::lifecycle::{self, Signals};
use crate::logging::SetFilter;
use crate::metrics::Metrics;
use crate::push::Pushers;
use crate::reload::{self, AllowedNetworks, Reload};
use crate::store::catch_up::CatchUp;
use crate::store::shared::{self, JournalLimits, SharedStore};
use crate::store::sqlite::{Options, Sqlite};
use crate::store::{Origin, StoreOp, StoreWriter, remove_left_over};
use crate::supervise::Parts;
use crate::types::{Device, DeviceKey, UnixMicros, UnixSeconds};
use crate::words;

/// Inputs that may wait for the loop. If the queue is full, senders wait, and FreeSWITCH queues for them.
const INPUTS: usize = 16_384;
/// Questions to the directory that may wait for FreeSWITCH, some 200 bytes each.
const QUESTIONS: usize = 16_384;
/// Wakes that may be asked for at once, each with its connection.
const MOST_WAKES: usize = 10_000;
/// How long a start waits for other daemons' changes. After that fswake starts with what its file has.
const FIRST_CHANGES: Duration = Duration::from_secs(20);

/// Runs until a signal ends it.
///
/// # Errors
/// When it cannot start, or a part that must not end has ended.
pub async fn run(config: Config, set_filter: SetFilter, handover: Handover) -> anyhow::Result<()> {
    let mut signals = Signals::catch().context("signals")?;
    let Handover {
        program,
        sockets,
        predecessor,
        tie,
    } = handover;
    let phase = predecessor.as_ref().map_or(Phase::OnDuty, |_| Phase::Waiting);
    let mut daemon = Daemon::start(config, set_filter, Duty::new(phase), sockets)?;
    if let Some(predecessor) = predecessor {
        daemon.take_over(predecessor, &mut signals).await?;
    }
    daemon.sockets.turn_away_unknown();
    lifecycle::ready();
    daemon.wait(&mut signals, &program, tie).await
}

/// The running parts.
struct Daemon {
    inputs: mpsc::Sender<Input>,
    parts: Parts,
    stop: CancellationToken,
    calls: TaskTracker,
    pushes: TaskTracker,
    store: StoreWriter,
    shared: Option<SharedStore>,
    /// Wakes that may be asked for at once, and those that nobody has asked for.
    wakes: (usize, Arc<Semaphore>),
    /// Notified when the configuration must be read again.
    reload: Arc<Notify>,
    reloading: AbortHandle,
    drain_timeout: watch::Receiver<Duration>,
    /// Whether this process takes calls, or another one.
    duty: Duty,
    sockets: Sockets,
    store_path: PathBuf,
    /// What the process that took calls before has written since this one has read the file.
    catch_up: Option<CatchUp>,
    nodes: Nodes,
}

impl Daemon {
    fn start(config: Config, set_filter: SetFilter, duty: Duty, sockets: Sockets) -> anyhow::Result<Self> {
        let open_files = rlimit::increase_nofile_limit(u64::MAX).or_else(|error| {
            warn!(
                error = words::of_io(&error),
                "cannot raise the limit of open files: each held call needs one"
            );
            rlimit::Resource::NOFILE.get_soft()
        });
        let pushers = Pushers::new(config.apps.clone())?;
        let (inputs, inputs_rx) = mpsc::channel(INPUTS);
        let token_ttl = Arc::new(AtomicU64::new(config.policy.token_ttl.as_secs()));
        let mut parts = Parts::default();
        let mut known = Known::new(&config);
        let (shared, is_read) = share(&config, &duty, &inputs, &token_ttl, &mut parts, &mut known)?;
        let options = Options {
            journal_keep: config.store.journal_keep,
            journal_max_lines: config.store.journal_max_lines,
            // FreeSWITCH lists its registrations after a power failure; others do not repeat theirs.
            sync: !config.has_freeswitch,
            waits: duty.phase() == Phase::Waiting,
            shared: shared.as_ref().map(SharedStore::file_access),
            ..Options::default()
        };
        let mut catch_up = (duty.phase() == Phase::Waiting).then(|| CatchUp::new(&config.store.path));
        let store = Sqlite::open_and_read(&config.store.path, &options, &mut |device, origin| {
            if let Some(catch_up) = &mut catch_up {
                catch_up.had(&device);
            }
            if !is_read {
                known.restore(&device, origin);
            }
        })?;
        if let Some(shared) = &shared {
            shared.file_is_open();
        }
        remove_left_over(&config.store.path);
        let store_path = config.store.path.clone();
        let engine = known.finish(&store);
        info!(devices = engine.devices(), store = %config.store.path.display(), "devices loaded");

        let (users, users_rx) = mpsc::channel(QUESTIONS);
        let (waiting, now_waiting) = watch::channel(0);
        let stop = CancellationToken::new();
        let (calls, pushes) = (TaskTracker::new(), TaskTracker::new());

        let allowed = AllowedNetworks::new(config.listen.allow.clone().into());
        let is_allowed = {
            let allowed = Arc::clone(&allowed);
            move |ip| {
                let networks = allowed.read().unwrap_or_else(PoisonError::into_inner);
                networks.iter().any(|network| network.contains(ip))
            }
        };
        let (most_calls, most_wakes) = open_files.map_or((usize::MAX, MOST_WAKES), most_calls);
        let all_settings = reload::inbound_settings(&config).into_iter().map(watch::channel);
        let (inbound_settings, settings): (Vec<_>, Vec<_>) = all_settings.unzip();
        let names = config.freeswitch.iter().map(|node| node.name.as_str().into());
        let key = config.cluster.key.as_ref().map(ClusterKey::new);
        let nodes = Nodes::new(
            names.zip(settings).collect(),
            key,
            Peers::new(Arc::clone(&config.cluster.name)),
        );
        let outbound = Outbound::new(
            inputs.clone(),
            is_allowed,
            most_calls,
            stop.clone(),
            calls.clone(),
            nodes.clone(),
        );
        let listening = config.has_freeswitch.then_some(&config.listen.addresses);
        for &address in listening.into_iter().flatten() {
            let listener = sockets.listen(Use::Calls, address);
            let listener = listener.with_context(|| format!("listen on {address}"))?;
            // With port 0 the system has chosen one.
            let address = listener.local_addr().unwrap_or(address);
            info!(%address, "waiting for calls");
            let (duty, outbound) = (duty.clone(), outbound.clone());
            parts.spawn("the listener for calls", async move {
                duty.begun().await;
                tokio::select! {
                    () = outbound.listen(listener) => {}
                    () = duty.over() => {}
                }
            });
        }

        let wakes = Arc::new(Semaphore::new(most_wakes));
        let metrics = Metrics::new();
        for app in pushers.states() {
            metrics.app(&app.name, app.provider.name());
        }
        let site = Arc::new(Site {
            nodes: nodes.clone(),
            summaries: http::SummaryCache::default(),
            census: http::CensusCache::default(),
            metrics: metrics.clone(),
            waiting: now_waiting.clone(),
            control: Control::new(inputs.clone()),
            pushers: pushers.clone(),
            store: store.clone(),
            shared: shared.clone(),
            store_path: config.store.path.clone(),
            has_freeswitch: config.has_freeswitch,
            wakes: wakes.clone(),
            token: config.http.token.clone(),
        });
        for &address in &config.http.addresses {
            sockets.claim(Use::Http, address);
        }
        let turn = http::serve::Turn {
            duty: duty.clone(),
            sockets: sockets.clone(),
        };
        let http = http::serve::run(config.http.addresses.clone(), turn, http::router(site), stop.clone());
        parts
            .on_a_thread("fswake-http", http)
            .context("start the HTTP thread")?;

        let (connections, of_connections): (Vec<_>, Vec<_>) = nodes.iter().map(|_| queues()).unzip();
        let driver = Driver {
            engine,
            pushers: pushers.clone(),
            store: store.clone(),
            waiting,
            connections,
            nodes: nodes.clone(),
            users,
            tasks: pushes.clone(),
            inputs: inputs.clone(),
            metrics: metrics.clone(),
            duty: duty.clone(),
            heartbeat: heartbeat(&duty),
        };
        parts.spawn("the driver's loop", driver.run(inputs_rx));
        if config.has_freeswitch {
            let users = Users {
                nodes: nodes.clone(),
                questions: users_rx,
                inputs: inputs.clone(),
                stop: stop.clone(),
            };
            parts.spawn("what asks the directory", users.run());
            if nodes.count() > 1 {
                parts.spawn(
                    "what watches legs between FreeSWITCHes",
                    bond_watch::run(nodes.clone(), stop.clone()),
                );
            }
            let resyncs = Arc::default();
            for (node, queues) in nodes.iter().zip(of_connections) {
                let (answers, answers_rx) = mpsc::channel(1024);
                let answerer = Answerer {
                    settings: node.settings.clone(),
                    answers: answers_rx,
                    stop: stop.clone(),
                };
                parts.spawn("what answers notifications", answerer.run());
                let inbound = Inbound {
                    settings: node.settings.clone(),
                    inputs: inputs.clone(),
                    waiting: now_waiting.clone(),
                    nodes: nodes.clone(),
                    node: node.id,
                    queues,
                    resyncs: Arc::clone(&resyncs),
                    answers,
                    duty: duty.clone(),
                    stop: stop.clone(),
                };
                parts
                    .on_a_thread("fswake-inbound", inbound.run())
                    .context("start the inbound connection's thread")?;
            }
        } else {
            info!("no FreeSWITCH (freeswitch.enabled): registrations and wakes come by HTTP");
        }
        // Makes connections and tokens ready before the first call needs them. A provider that is down does not delay
        // the start.
        let warming = pushers.clone();
        parts.spawn("what looks after the apps", async move { warming.keep().await });
        let aging = aging::run(
            config.store.path.clone(),
            token_ttl.clone(),
            inputs.clone(),
            stop.clone(),
            aging::EVERY,
        );
        parts.spawn("what looks for old devices", aging);
        let (drain_timeout, drain_timeout_now) = watch::channel(config.drain_timeout);
        let reload = Reload {
            drain_timeout,
            token_ttl,
            config,
            pushers,
            metrics,
            inputs: inputs.clone(),
            inbound: inbound_settings,
            allowed,
            set_filter,
        };
        let reload_asked = Arc::new(Notify::new());
        let reloading = parts.spawn("what reloads", reload.run(reload_asked.clone()));
        Ok(Self {
            inputs,
            parts,
            stop,
            calls,
            pushes,
            store,
            shared,
            wakes: (most_wakes, wakes),
            reload: reload_asked,
            reloading,
            drain_timeout: drain_timeout_now,
            duty,
            sockets,
            store_path,
            catch_up,
            nodes,
        })
    }
}

/// Connects to the store that several daemons share, if the configuration names one. Also returns whether all devices
/// have been read from there, because the file has none yet.
fn share(
    config: &Config,
    duty: &Duty,
    inputs: &mpsc::Sender<Input>,
    token_ttl: &Arc<AtomicU64>,
    parts: &mut Parts,
    known: &mut Known,
) -> anyhow::Result<(Option<SharedStore>, bool)> {
    let Some(dsn) = config.store.shared.clone() else {
        return Ok((None, false));
    };
    let start = shared::Start {
        dsn,
        daemon: Arc::clone(&config.cluster.name),
        journal: JournalLimits {
            keep: config.store.journal_keep,
            max_lines: config.store.journal_max_lines,
        },
        path: &config.store.path,
        inputs: inputs.clone(),
        token_ttl: Arc::clone(token_ttl),
        duty: duty.clone(),
        wait: FIRST_CHANGES,
    };
    let mut is_read = false;
    let mut read = |device: &Device| {
        is_read = true;
        known.restore(device, Origin::Elsewhere);
    };
    let (shared, ended) = SharedStore::start(start, Some(&mut read))?;
    // Changes from now on go to the engine. Earlier ones are in the file, which is read next.
    shared.feed_engine();
    parts.spawn("what synchronizes with the shared store", async {
        let _ = ended.await;
    });
    Ok((Some(shared), is_read))
}

/// How many calls may be held at once, and how many wakes may be under way on request. Each needs a descriptor. Pushes,
/// the store, FreeSWITCH and HTTP need some too: a call for which no push can be sent is better not held.
fn most_calls(open_files: u64) -> (usize, usize) {
    let others = (open_files / 2).min(256);
    let left = usize::try_from(open_files - others).unwrap_or(usize::MAX);
    let wakes = (left / 4).min(MOST_WAKES);
    (left - wakes, wakes)
}

/// Feeds systemd's watchdog, which watches over the main process.
fn heartbeat(duty: &Duty) -> Box<dyn FnMut() + Send> {
    let (duty, mut beat) = (duty.clone(), lifecycle::heartbeat());
    Box::new(move || {
        if duty.is_on_duty() {
            beat();
        }
    })
}

/// The engine, while devices are read.
struct Known {
    engine: Engine,
    /// Devices that have not registered since then are left out.
    since: UnixSeconds,
    /// Those, with the time at which they are dropped.
    old: Vec<(DeviceKey, UnixMicros)>,
}

impl Known {
    fn new(config: &Config) -> Self {
        let ttl = i64::try_from(config.policy.token_ttl.as_secs()).unwrap_or(i64::MAX);
        Self {
            engine: Engine::new(config.policy.clone(), Vec::new()),
            since: unix_now().saturating_sub(ttl),
            old: Vec::new(),
        }
    }

    fn restore(&mut self, device: &Device, origin: Origin) {
        if device.last_sign() < self.since {
            self.old.push((device.key(), device.changed.saturating_add(1)));
        } else {
            self.engine.restore(device, origin == Origin::Elsewhere);
        }
    }

    /// Drops those that are too old from the store.
    fn finish(self, store: &StoreWriter) -> Engine {
        for (key, changed) in self.old {
            store.submit(StoreOp::Delete(key, changed));
        }
        self.engine
    }
}
