//! The configuration: one TOML file, checked once at start. Nothing else reads files or the environment for settings.
//!
//! ```text
//! file --toml--> raw::Raw (names and types) --check--> Config (values that can be used as they are)
//! ```
//!
//! Every mistake is one [`ConfigError`]: `file: key: value: what is allowed`. `fswake.example.toml` has the defaults.

mod apns;
mod app;
mod check;
mod contact;
mod credentials;
mod document;
mod error;
mod http;
mod nodes;
mod profile;
mod raw;
mod refresh;
mod secrets;
mod settings;
mod text;
mod values;
mod web_push;

use std::path::Path;

pub use self::error::ConfigError;
use self::secrets::MissingFile;
pub use self::settings::{
    ClusterConfig, Config, Environment, For, FreeSwitch, Http, Listen, LogConfig, LogFormat, StoreConfig, UnreadFile,
};
pub use self::text::Network;
pub(crate) use self::text::duration_arg;
use crate::files::{self, FileError};
use crate::words;

/// The commented configuration that ships with fswake; its commented-out lines are the defaults.
pub const EXAMPLE: &str = include_str!("../fswake.example.toml");

impl Config {
    /// Reads and checks the configuration: `file` if one is named, else `FSWAKE_CONFIG`, else `/etc/fswake/fswake.toml`
    /// if it exists, else the built-in defaults.
    pub fn load(file: Option<&Path>, env: &Environment) -> Result<Self, ConfigError> {
        Self::read(file, env, MissingFile::IsWrong)
    }

    /// The same for a command that only asks, perhaps not as the daemon's user: an unreadable secret or other file is
    /// no error, and is listed in [`Config::unread`].
    pub fn load_to_ask(file: Option<&Path>, env: &Environment) -> Result<Self, ConfigError> {
        Self::read(file, env, MissingFile::IsNoted)
    }

    /// Why the file of this key could not be read, if it could not.
    pub fn unread(&self, key: &str) -> Option<&UnreadFile> {
        self.unread.iter().find(|unread| unread.error.key == key)
    }

    fn read(file: Option<&Path>, env: &Environment, missing: MissingFile) -> Result<Self, ConfigError> {
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

    /// The same for a text that is not a file's: the files that it names need not exist.
    pub(crate) fn parse(text: &str, file: &Path, env: &Environment) -> Result<Self, ConfigError> {
        Self::of_text(text, file, env, MissingFile::IsNoted)
    }

    fn of_text(text: &str, file: &Path, env: &Environment, missing: MissingFile) -> Result<Self, ConfigError> {
        let name = file.display().to_string();
        let raw = document::read(text).map_err(|why| error::In { file: &name }.document(text, &why))?;
        check::config(raw, Some(file), env, missing)
    }
}
