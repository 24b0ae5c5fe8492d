//! The settings as they can be used: checked, with defaults filled in.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::ConfigError;
use super::text::Network;
use crate::contact::ContactRules;
use crate::engine::policy::Policy;
use crate::esl::inbound::Endpoint;
use crate::push::app::App;
use crate::types::Secret;

/// All settings, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The file it was read from; `None` when there is none and everything is as built in.
    pub file: Option<PathBuf>,
    /// What an operator should know though it is not wrong, one line each.
    pub notes: Vec<String>,
    /// Files that cannot be read, each with its key: only where somebody asks who need not have them
    /// ([`Config::load_to_ask`]).
    pub unread: Vec<UnreadFile>,
    /// How to reach FreeSWITCH's event socket.
    pub freeswitch: Endpoint,
    /// Whether calls may be held by FreeSWITCH's application `sleep`, besides by `socket`.
    pub holds_by_sleep: bool,
    /// Where held calls come in.
    pub listen: Listen,
    /// When to ring, push and give up; the apps' exceptions included.
    pub policy: Policy,
    /// How Contacts are read and written.
    pub contact: ContactRules,
    /// Whether FreeSWITCH's events may ask for notifications; how many and how long is the policy's.
    pub notification_events: bool,
    /// Where devices and the journal are kept.
    pub store: StoreConfig,
    /// Where operators and programs ask.
    pub http: Http,
    /// What is logged, and how.
    pub log: LogConfig,
    /// At shutdown, how long calls under way may take.
    pub drain_timeout: Duration,
    /// The user can be pushed; the first that serves a device counts. Never empty.
    pub apps: Vec<App>,
}

/// A file that cannot be read by whoever asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadFile {
    /// Which, and why.
    pub error: ConfigError,
    /// Whether the daemon may have it all the same.
    pub to: For,
}

/// Who can read what another cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// Another user: this one is not allowed.
    AnotherUser,
    /// The daemon, if systemd gives it the file (`LoadCredential=`): there is none of that name here.
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

/// Where devices and the journal are kept. Their age limit is [`Policy::token_ttl`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreConfig {
    /// The SQLite file.
    pub path: PathBuf,
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
    /// What every request has to carry; always there when an address is not loopback.
    pub token: Option<Secret>,
    /// Where the token is from.
    pub token_file: Option<PathBuf>,
}

/// What is logged, and how.
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
    /// `STATE_DIRECTORY` (systemd): where a relative `store.path` is.
    pub state_directory: Option<PathBuf>,
    /// `CREDENTIALS_DIRECTORY` (systemd): where relative names of secrets are looked for first.
    pub credentials_directory: Option<PathBuf>,
    /// The file that is read when none is named and it exists.
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
            default_file: PathBuf::from("/etc/fswake/fswake.toml"),
        }
    }

    /// `store.path` where nothing is written.
    pub const STORE: &str = "fswake.db";

    /// Where a file of the daemon's own is, unless its name is absolute.
    pub fn state_file(&self, name: &str) -> PathBuf {
        let directory = self.state_directory.as_deref().unwrap_or(Path::new("/var/lib/fswake"));
        directory.join(name)
    }
}
