//! The settings as they can be used: checked, with defaults filled in.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::error::ConfigError;
use super::text::Network;
use crate::contact::ContactRules;
use crate::engine::policy::Policy;
use crate::esl::inbound::Endpoint;
use crate::postgres::Dsn;
use crate::push::app::App;
use crate::types::Secret;

/// All settings, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The file; `None` for the built-in defaults.
    pub file: Option<PathBuf>,
    /// Warnings for the operator, one line each.
    pub notes: Vec<String>,
    /// Unreadable files with their keys, for commands that can do without them ([`Config::load_to_ask`]).
    pub unread: Vec<UnreadFile>,
    /// Whether there is a FreeSWITCH. Without one, another SIP server tells registrations and asks for wakes.
    pub has_freeswitch: bool,
    /// The FreeSWITCHes, by their [`crate::types::NodeId`]; never empty.
    pub freeswitch: Vec<FreeSwitch>,
    /// Where held calls come in.
    pub listen: Listen,
    /// When to ring, push and give up; the apps' exceptions included.
    pub policy: Policy,
    /// How Contacts are read and written.
    pub contact: ContactRules,
    /// Whether FreeSWITCH's events may ask for notifications; the policy has their limits.
    pub notification_events: bool,
    /// This daemon among several.
    pub cluster: ClusterConfig,
    /// Where devices and the journal are kept.
    pub store: StoreConfig,
    /// Where operators and programs ask.
    pub http: Http,
    /// Log settings.
    pub log: LogConfig,
    /// At shutdown, how long calls under way may take.
    pub drain_timeout: Duration,
    /// The apps; the first that serves a device is used. Never empty.
    pub apps: Vec<App>,
}

/// One FreeSWITCH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreeSwitch {
    /// Its name; empty for the only one of a `[freeswitch]` without a name.
    pub name: String,
    /// How to reach its event socket.
    pub endpoint: Endpoint,
    /// Where the others send INVITEs for its phones: a SIP URI without a user. `None`: nowhere.
    pub sip: Option<String>,
    /// The SIP profile by which it sends INVITEs to the others; `None`: the one that the phone is registered at.
    pub profile: Option<String>,
    /// Edge proxies that it may send to directly: hosts, in lower case and without brackets.
    pub edges: Vec<String>,
}

impl Config {
    /// The first FreeSWITCH, or the only one.
    pub fn first(&self) -> &FreeSwitch {
        &self.freeswitch[0]
    }
}

/// A file that this user cannot read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadFile {
    /// Which, and why.
    pub error: ConfigError,
    /// Who can read it.
    pub to: For,
}

/// Who can read what this user cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// Another user; this one may not.
    AnotherUser,
    /// The daemon, if systemd gives it the file (`LoadCredential=`); here no file has that name.
    Systemd,
    /// Nobody: the daemon does not start with it.
    Nobody,
}

/// Where held calls come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Addresses to listen on; never empty.
    pub addresses: Vec<SocketAddr>,
    /// From where connections are taken; never empty.
    pub allow: Vec<Network>,
}

/// This daemon among several that share a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterConfig {
    /// Its name, on its lines of the journal.
    pub name: Arc<str>,
    /// The key that all daemons of a cluster have: it signs legs from one FreeSWITCH to another, and what they tell
    /// each other.
    pub key: Option<Secret>,
}

/// Where devices and the journal are kept. Their age limit is [`Policy::token_ttl`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreConfig {
    /// The SQLite file.
    pub path: PathBuf,
    /// The store that several daemons share, of which the file is a copy.
    pub shared: Option<Dsn>,
    /// Journal lines older than this are deleted.
    pub journal_keep: Duration,
    /// The journal's oldest lines are deleted when there are more than so many.
    pub journal_max_lines: u64,
}

/// Where operators and programs ask: metrics, the JSON interface, the status page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Addresses to listen on; none switches it off.
    pub addresses: Vec<SocketAddr>,
    /// The token that requests must carry; always set if an address is not loopback.
    pub token: Option<Secret>,
    /// The source of the token.
    pub token_file: Option<PathBuf>,
}

/// Log settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// The form of a line.
    pub format: LogFormat,
    /// A `tracing-subscriber` filter, known to parse.
    pub filter: String,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people: time, level, text.
    #[default]
    Pretty,
    /// One JSON object a line.
    Json,
    /// For systemd's journal: the priority in front (`<6>`, sd-daemon(3)), no time.
    Journald,
}

/// What fswake takes from its environment.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `FSWAKE_CONFIG`: the configuration file, unless the command line names one.
    pub config: Option<PathBuf>,
    /// `FSWAKE_LOG`: a filter instead of `log.filter`.
    pub log: Option<String>,
    /// `STATE_DIRECTORY` (systemd): the base of a relative `store.path`.
    pub state_directory: Option<PathBuf>,
    /// `CREDENTIALS_DIRECTORY` (systemd): where relative names of secrets are looked for first.
    pub credentials_directory: Option<PathBuf>,
    /// The host's name.
    pub host: String,
    /// The file that is read if none is named, provided that it exists.
    pub default_file: PathBuf,
}

impl Environment {
    /// This process's environment; empty variables count as unset.
    pub fn of_process() -> Self {
        let var = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        Self {
            config: var("FSWAKE_CONFIG").map(PathBuf::from),
            log: var("FSWAKE_LOG").map(|value| value.to_string_lossy().into_owned()),
            // With several StateDirectory= entries systemd separates them by colons.
            state_directory: var("STATE_DIRECTORY").and_then(|all| std::env::split_paths(&all).next()),
            credentials_directory: var("CREDENTIALS_DIRECTORY").map(PathBuf::from),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            default_file: PathBuf::from("/etc/fswake/fswake.toml"),
        }
    }

    /// The default of `store.path`.
    pub const STORE: &str = "fswake.db";

    /// The path of one of the daemon's files; an absolute name is used as it is.
    pub fn state_file(&self, name: &str) -> PathBuf {
        let directory = self.state_directory.as_deref().unwrap_or(Path::new("/var/lib/fswake"));
        directory.join(name)
    }
}
