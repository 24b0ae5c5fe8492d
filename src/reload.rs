//! SIGHUP: the configuration file is read again.
//!
//! Everything that can fail comes first, before any change. The apps change at once, and so do the engine's settings,
//! for held calls too. Settings of the connection to FreeSWITCH change by connecting again. Each reload logs which
//! settings need a restart.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::Context;
use tokio::sync::{Notify, mpsc, watch};
use tracing::{error, info, warn};

use crate::config::{Config, Environment, FreeSwitch, Listen, LogConfig, Network, StoreConfig};
use crate::engine::Event;
use crate::engine::policy::Policy;
use crate::esl::inbound::Settings;
use crate::input::Input;
use crate::lifecycle;
use crate::logging::SetFilter;
use crate::metrics::Metrics;
use crate::push::{AppChanges, Pushers};
use crate::words;

/// Networks from which held calls are taken.
pub type AllowedNetworks = Arc<RwLock<Vec<Network>>>;

/// The parts that a new configuration reaches.
pub struct Reload {
    /// The current configuration.
    pub config: Config,
    /// The apps.
    pub pushers: Pushers,
    /// Creates the series of new apps.
    pub metrics: Metrics,
    /// To the engine.
    pub inputs: mpsc::Sender<Input>,
    /// The inbound connections', by FreeSWITCH.
    pub inbound: Vec<watch::Sender<Settings>>,
    /// Who may hand over calls.
    pub allowed: AllowedNetworks,
    /// How long a device may go unseen, in seconds, for the search for old ones.
    pub token_ttl: Arc<AtomicU64>,
    /// How long a drain may take.
    pub drain_timeout: watch::Sender<Duration>,
    /// The log's filter.
    pub set_filter: SetFilter,
}

/// How the inbound connections are made and understood with this configuration, by FreeSWITCH.
pub fn inbound_settings(config: &Config) -> Vec<Settings> {
    let settings = |node: &FreeSwitch| Settings {
        sip: node.sip.clone(),
        profile: node.profile.clone(),
        endpoint: node.endpoint.clone(),
        rules: config.contact.clone(),
        notifications: config.notification_events,
        voicemail: config.policy.apps.iter().any(|app| app.voicemail_push),
    };
    config.freeswitch.iter().map(settings).collect()
}

/// The FreeSWITCHes' names: which there are.
fn names(all: &[FreeSwitch]) -> Vec<&str> {
    all.iter().map(|node| node.name.as_str()).collect()
}

impl Reload {
    /// Reloads on request. It is not in the task for signals, because signals must not wait for a disk.
    pub async fn run(mut self, asked: Arc<Notify>) {
        loop {
            asked.notified().await;
            self.once().await;
        }
    }

    /// Reads the configuration again and uses it; a bad one changes nothing and is logged.
    async fn once(&mut self) {
        lifecycle::reloading();
        let (file, pushers) = (self.config.file.clone(), self.pushers.clone());
        let reading = tokio::task::spawn_blocking(move || read(file.as_deref(), &pushers));
        match reading.await.context("reading it failed").flatten() {
            Ok((config, apps)) => self.put_in_force(config, &apps).await,
            Err(error) => {
                let error = words::of(error.as_ref());
                error!(error, "configuration not reloaded: keeping the previous one");
            }
        }
        lifecycle::ready();
    }

    async fn put_in_force(&mut self, new: Config, apps: &AppChanges) {
        // Every section is named here, so that the compiler reports a new one.
        let Config {
            file: _,
            notes,
            unread: _,
            has_freeswitch,
            freeswitch,
            listen: Listen { addresses, allow },
            policy,
            contact,
            notification_events,
            cluster,
            store,
            http,
            log: LogConfig { format, filter },
            drain_timeout,
            apps: new_apps,
        } = new;
        for note in &notes {
            warn!("{note}");
        }
        let old = &mut self.config;
        let mut changed = Vec::new();
        let mut restart = Vec::new();
        let StoreConfig { .. } = store;
        restart.extend((addresses != old.listen.addresses).then_some("listen.addresses"));
        restart.extend((has_freeswitch != old.has_freeswitch).then_some("freeswitch.enabled"));
        restart.extend((cluster != old.cluster).then_some("cluster"));
        // Each has its tasks: a list of others takes effect after a restart, new settings of the same ones at once.
        let same_nodes = names(&freeswitch) == names(&old.freeswitch);
        restart.extend((!same_nodes).then_some("freeswitch"));
        let (freeswitch, nodes) = if same_nodes {
            (freeswitch, policy.nodes.clone())
        } else {
            (old.freeswitch.clone(), old.policy.nodes.clone())
        };
        let policy = Policy { nodes, ..policy };
        restart.extend((store != old.store).then_some("store"));
        restart.extend((http != old.http).then_some("http"));
        restart.extend((format != old.log.format).then_some("log.format"));

        old.apps = new_apps;
        for app in self.pushers.states() {
            self.metrics.app(&app.name, app.provider.name());
        }
        let renamed = !policy.names_alike(&old.policy);
        if policy != old.policy {
            changed.push("wake, aor and notifications");
            self.token_ttl.store(policy.token_ttl.as_secs(), Ordering::Relaxed);
            old.policy = policy.clone();
            let _ = self
                .inputs
                .send(Input::Event(Event::PolicyChanged(Box::new(policy))))
                .await;
        }
        if allow != old.listen.allow {
            changed.push("listen.allow");
            self.allowed
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .clone_from(&allow);
            old.listen.allow = allow;
        }
        if filter != old.log.filter {
            changed.push("log.filter");
            if let Err(error) = (self.set_filter)(&filter) {
                warn!(%error, "keeping the previous log filter");
            }
            old.log.filter = filter;
        }
        if drain_timeout != old.drain_timeout {
            changed.push("run.drain-timeout");
            self.drain_timeout.send_replace(drain_timeout);
            old.drain_timeout = drain_timeout;
        }
        for (name, is_new) in [
            ("freeswitch", freeswitch != old.freeswitch),
            ("contact", contact != old.contact),
            ("notifications.events", notification_events != old.notification_events),
        ] {
            changed.extend(is_new.then_some(name));
        }
        (old.freeswitch, old.contact) = (freeswitch, contact);
        old.notification_events = notification_events;
        let settings = inbound_settings(old);
        // With other names of domains, the bindings of phones without a token have to be read again.
        for (inbound, settings) in self.inbound.iter().zip(settings) {
            inbound.send_if_modified(|now| {
                let is_new = renamed || *now != settings;
                *now = settings;
                is_new
            });
        }
        if !restart.is_empty() {
            let keys = restart.join(", ");
            warn!(
                keys,
                "changed in the configuration, but takes effect only after a restart"
            );
        }
        let AppChanges {
            added,
            removed,
            changed: apps,
        } = apps;
        let changed = changed.join(", ");
        info!(changed, apps_added = ?added, apps_removed = ?removed, apps_changed = ?apps, "configuration reloaded");
    }
}

fn read(file: Option<&Path>, pushers: &Pushers) -> anyhow::Result<(Config, AppChanges)> {
    let config = Config::load(file, &Environment::of_process())?;
    let apps = pushers.reload(config.apps.clone())?;
    Ok((config, apps))
}
