//! The configuration: one TOML file, checked once at start. Nothing else reads files or the environment for settings.
//!
//! ```text
//! file --toml--> raw::Raw (names and types) --check--> Config (values that can be used as they are)
//! ```
//!
//! Every mistake is one [`ConfigError`]: `file: key: value: what is allowed`. What can be left out, and what it is then,
//! is in `fswake.example.toml`.

mod app;
mod check;
mod contact;
mod error;
mod http;
mod profile;
mod raw;
mod text;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use self::check::Missing;
pub use self::error::ConfigError;
pub use self::text::Network;
pub(crate) use self::text::duration_arg;
use crate::contact::ContactRules;
use crate::engine::policy::Policy;
use crate::files::{self, FileError};
use crate::push::app::App;
use crate::types::Secret;
use crate::words;

/// The commented configuration that ships with fswake; its commented-out lines are the defaults.
pub const EXAMPLE: &str = include_str!("../fswake.example.toml");

/// All settings, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The file it was read from; `None` when there is none and everything is as built in.
    pub file: Option<PathBuf>,
    /// What an operator should know though it is not wrong, one line each.
    pub notes: Vec<String>,
    /// Files that cannot be read, each with its key: only where somebody asks who need not have them
    /// ([`Config::load_to_ask`]).
    pub unread: Vec<Unread>,
    /// How to reach FreeSWITCH's event socket.
    pub freeswitch: FreeSwitch,
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
pub struct Unread {
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

/// How to reach FreeSWITCH's event socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreeSwitch {
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Password, of one line.
    pub password: Secret,
    /// `user@domain` for `userauth`; `None` logs in with the password alone.
    pub user: Option<String>,
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

impl Config {
    /// Reads and checks the configuration: `file` if one is named, else `FSWAKE_CONFIG`, else
    /// `/etc/fswake/fswake.toml` if it exists, else what is built in.
    pub fn load(file: Option<&Path>, env: &Environment) -> Result<Self, ConfigError> {
        Self::read(file, env, Missing::IsWrong)
    }

    /// The same for somebody who only asks, perhaps not as the daemon's user: a secret or another file that cannot be read is
    /// no error, and is named in [`Config::unread`].
    pub fn load_to_ask(file: Option<&Path>, env: &Environment) -> Result<Self, ConfigError> {
        Self::read(file, env, Missing::IsNoted)
    }

    /// Why the file of this key could not be read, if it could not.
    pub fn unread(&self, key: &str) -> Option<&Unread> {
        self.unread.iter().find(|unread| unread.error.key == key)
    }

    fn read(file: Option<&Path>, env: &Environment, missing: Missing) -> Result<Self, ConfigError> {
        let named = file.or(env.config.as_deref());
        let file = named.or_else(|| Some(env.default_file.as_path()).filter(|f| f.exists()));
        let Some(file) = file else {
            return check::config(raw::Raw::default(), None, env, missing);
        };
        let name = file.display().to_string();
        let text = files::text(file).map_err(|e| ConfigError {
            file: name.clone(),
            key: String::new(),
            value: String::new(),
            allowed: match e {
                FileError::Unread(e) => format!("cannot be read: {}", words::of_io(&e)),
                other => other.to_string(),
            },
        })?;
        Self::of_text(&text, file, env, missing)
    }

    /// The same of a text that is no file's: the files that it names need not be there.
    pub(crate) fn parse(text: &str, file: &Path, env: &Environment) -> Result<Self, ConfigError> {
        Self::of_text(text, file, env, Missing::IsNoted)
    }

    fn of_text(text: &str, file: &Path, env: &Environment, missing: Missing) -> Result<Self, ConfigError> {
        let name = file.display().to_string();
        let raw = toml::from_str(text).map_err(|e| error::In { file: &name }.toml(text, &e))?;
        check::config(raw, Some(file), env, missing)
    }
}
