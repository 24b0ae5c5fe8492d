//! The resync: reads all registrations that FreeSWITCH lists, or one user's.
//!
//! They are read from the profiles' own lists (`sofia xmlstatus profile P reg`). A profile writes a REGISTER there
//! before it fires the event, so subscribing first and reading then misses none. `show registrations` is up to a second
//! late, and keeps rows that no profile has.
//!
//! When they are read: all profiles that run after a (re)connect, and each profile that starts later. On a connection
//! of its own, because FreeSWITCH answers one command after the other: neither events nor commands for calls wait for a
//! long list.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};

use super::dead_host;
use super::encode::{self, Argument, Word};
use super::inbound::Settings;
use super::listing::{List, lasts, listed, registration, running};
use super::nodes::Nodes;
use super::query::QueryConnection;
use super::registrations::RegistrationEvent;
use crate::clock::unix_now;
use crate::contact::ContactRules;
use crate::engine::Event;
use crate::input::Input;
use crate::types::{Aor, NodeId, UnixSeconds};
use crate::words;

/// A profile's start is announced a moment before it runs: how often and how long to wait for it.
const SOON: Duration = Duration::from_millis(100);
const STARTS: Duration = Duration::from_secs(10);

/// How often to look for profiles that started without an event: in the first minute, when FreeSWITCH may be starting
/// them one after another, and later, if the login's `esl-allowed-events` lacks `sofia::profile_start`.
const EARLY: Duration = Duration::from_secs(3);

const LATER: Duration = Duration::from_secs(30);

const FIRST_MINUTE: Duration = Duration::from_secs(60);

/// Reads registrations while one connection of [`super::inbound`] is up.
pub(super) struct Reader {
    pub(super) settings: Settings,
    pub(super) inputs: mpsc::Sender<Input>,
    /// How many resyncs there were.
    pub(super) resyncs: Arc<AtomicU64>,
    /// All FreeSWITCHes, and which one is read.
    pub(super) nodes: Nodes,
    /// Which.
    pub(super) node: NodeId,
    /// Profiles that start.
    pub(super) started: mpsc::Receiver<String>,
}

impl Reader {
    /// Reads all profiles, and then each that starts; ends only with an error.
    pub(super) async fn run(mut self) -> io::Error {
        match self.read().await {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    async fn read(&mut self) -> io::Result<std::convert::Infallible> {
        let since = Instant::now();
        let mut line = self.line().await?;
        let running = profiles(&mut line).await?;
        let (mut read, count) = self.read_all(&mut line, &running).await?;
        let node = self.nodes.get(self.node);
        node.set_up();
        let (host, port) = (&self.settings.endpoint.host, self.settings.endpoint.port);
        let name = node.own_name();
        info!(name, %host, port, registrations = count, "connected to FreeSWITCH");
        if read.is_empty() {
            // Keep what is known: they may be starting.
            warn!("cannot read registrations: `sofia xmlstatus` names no running profile");
        }
        let mut starting = None;
        loop {
            let pause = match starting {
                Some(until) if Instant::now() < until => SOON,
                _ if since.elapsed() < FIRST_MINUTE => EARLY,
                _ => LATER,
            };
            tokio::select! {
                () = sleep(pause) => {}
                gone = line.host_is_gone() => return Err(gone),
                Some(profile) = self.started.recv() => {
                    read.remove(&profile);
                    starting = Some(Instant::now() + STARTS);
                }
            }
            let running = match profiles(&mut line).await {
                Ok(running) => running,
                Err(error) => {
                    if let Some(gone) = dead_host::gone(&error) {
                        return Err(gone);
                    }
                    debug!(error = words::of_io(&error), "asking again which profiles run");
                    line = self.line().await?;
                    profiles(&mut line).await?
                }
            };
            // A stopped profile's registrations stay in FreeSWITCH's table, and are back when it starts.
            read.retain(|profile| running.contains(profile));
            let new: BTreeSet<_> = running.difference(&read).cloned().collect();
            if !new.is_empty() {
                let (new, count) = self.read_all(&mut line, &new).await?;
                if !new.is_empty() {
                    info!(profiles = ?new, registrations = count, "SIP profiles have started");
                    read.extend(new);
                    starting = None;
                }
            }
        }
    }

    async fn line(&self) -> io::Result<QueryConnection> {
        QueryConnection::open(self.settings.endpoint.clone()).await
    }

    /// Reads all registrations of these profiles, and reports the longest-lasting first. Events go on meanwhile.
    /// Returns which profiles were read, and how many registrations they have. FreeSWITCH has no list for a profile
    /// that has just stopped, and what is known of it stays.
    async fn read_all(
        &self,
        line: &mut QueryConnection,
        profiles: &BTreeSet<String>,
    ) -> io::Result<(BTreeSet<String>, usize)> {
        let number = self.resyncs.fetch_add(1, Ordering::Relaxed) + 1;
        self.tell(Event::ResyncBegan(self.node, number)).await?;
        let (mut all, mut read) = (Vec::new(), BTreeSet::new());
        for profile in profiles {
            let mut list = List::default();
            line.api_lines(&encode::ask_registrations(profile), |text| {
                if let Some(block) = list.take(text) {
                    all.extend(registration(&block, profile, number, &self.settings.rules, unix_now()));
                }
            })
            .await?;
            if list.is_whole {
                read.insert(profile.clone());
            }
        }
        all.sort_by_key(|heard| Reverse(lasts(heard)));
        let count = all.len();
        debug!(number, profiles = ?read, count, "registrations read");
        for RegistrationEvent { event, warnings } in all {
            if !warnings.is_empty()
                && let Event::Registered(reg) = &event
            {
                self.send(Input::Warnings(reg.aor.clone(), warnings)).await?;
            }
            self.tell(event).await?;
        }
        let ended = read.iter().map(|profile| profile.as_str().into()).collect();
        self.tell(Event::ResyncEnded(self.node, number, ended)).await?;
        Ok((read, count))
    }

    async fn tell(&self, event: Event) -> io::Result<()> {
        self.send(Input::Event(event.at(self.node))).await
    }

    async fn send(&self, input: Input) -> io::Result<()> {
        let sent = self.inputs.send(input).await;
        sent.map_err(|_| io::Error::other("the process stops"))
    }
}

/// Reads one user's registrations in one profile. `None`: FreeSWITCH cannot be asked for that name.
///
/// # Errors
/// If FreeSWITCH does not answer.
pub(super) async fn read_user(
    line: &mut QueryConnection,
    aor: &Aor,
    profile: &str,
    rules: &ContactRules,
    at: UnixSeconds,
) -> io::Result<Option<Vec<RegistrationEvent>>> {
    let name = |name| Argument::new(name).filter(|name| !name.as_str().contains('@'));
    let (Some(user), Some(domain), Some(word)) = (name(&aor.user), name(&aor.domain), Word::new(profile)) else {
        return Ok(None);
    };
    let command = encode::ask_registrations_of(word, user, domain);
    let answer = line.api(&command).await?;
    Ok(answer
        .contains("<registrations>")
        .then(|| listed(&answer, profile, 0, rules, at)))
}

/// The running profiles in `sofia xmlstatus`, which has one entry for each of their transports.
async fn profiles(line: &mut QueryConnection) -> io::Result<BTreeSet<String>> {
    Ok(running(&line.api(encode::ASK_PROFILES).await?).collect())
}
