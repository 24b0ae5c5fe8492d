//! Properties that hold for every input of fswake's parsers.
//!
//! | module | input | property |
//! |---|---|---|
//! | [`contact`] | a Contact | dial-strings have only known characters; written text parses the same; no truncated
//! token |
//! | [`esl`] | bytes from FreeSWITCH | splitting changes nothing; no header adds a variable or a line to a command |
//! | [`template`] | a gateway's template and a value | the value changes nothing but itself |
//! | [`apn_conf`] | mod_apn's `apn.conf.xml` | the result is a valid configuration without secrets |
//! | [`dsn`] | a connection string | quoted text parses the same; no password is shown |
//! | [`digest`] | an HTTP Digest challenge | the answer quotes it unchanged |
//! | [`config`] | `fswake.toml` | errors are one clean line; accepted values are within their limits |
//! | [`http`] | a body of `POST /v1/push` | providers get JSON within their limits |
//! | [`journal`] | rows of the journal | a timeline without control characters |
//!
//! `tests/fuzz.rs` runs them in a loop with the stable compiler; `fuzz/` in the repository's root runs them with
//! cargo-fuzz.

#![allow(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "a target panics if a property does not hold"
)]

pub mod apn_conf;
pub mod config;
pub mod contact;
pub mod digest;
pub mod dsn;
pub mod esl;
pub mod http;
pub mod journal;
pub mod mutate;
pub mod template;

/// A parser and its properties.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and that of its directory in `fuzz/corpus`.
    pub name: &'static str,
    /// Panics if a property does not hold for this input.
    pub check: fn(&[u8]),
    /// Fragments to build inputs from.
    pub words: &'static [&'static str],
}

/// All targets.
pub const ALL: [Target; 9] = [
    apn_conf::TARGET,
    config::TARGET,
    contact::TARGET,
    digest::TARGET,
    dsn::TARGET,
    esl::TARGET,
    http::TARGET,
    journal::TARGET,
    template::TARGET,
];

/// Whether a text is safe for a terminal or a log line.
fn is_clean(text: &str) -> bool {
    !text.chars().any(char::is_control)
}
