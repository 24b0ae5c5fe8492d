//! What holds for every input of fswake's parsers.
//!
//! | module | input | what holds |
//! |---|---|---|
//! | [`contact`] | a Contact | only known characters are dialled; what is written reads the same; no cut token |
//! | [`esl`] | bytes of FreeSWITCH's | chunks change nothing; no header adds a variable or a line to a command |
//! | [`template`] | a gateway's template and a value | the value changes nothing but itself |
//! | [`apn_conf`] | mod_apn's `apn.conf.xml` | what it becomes is a good configuration, without secrets |
//! | [`dsn`] | a connection string | what is quoted reads the same; no password is shown |
//! | [`digest`] | a challenge of HTTP Digest | the answer quotes it as it was |
//! | [`config`] | `fswake.toml` | errors are one clean line; what is accepted is within its limits |
//! | [`http`] | a body of `POST /v1/push` | what providers get is JSON in their limits |
//! | [`journal`] | rows of the journal | a timeline, in lines without control characters |
//!
//! `tests/fuzz.rs` is a loop for the stable compiler; `fuzz/` at the top has the same functions for cargo-fuzz.

#![allow(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "a panic is how it says that something is wrong"
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

/// One parser and what holds for it.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Also the name of its folder in `fuzz/corpus`.
    pub name: &'static str,
    /// Panics where something does not hold for this input.
    pub check: fn(&[u8]),
    /// What its inputs are made of.
    pub words: &'static [&'static str],
}

/// All of them.
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

/// Text as a terminal or a log line may have it.
fn is_clean(text: &str) -> bool {
    !text.chars().any(char::is_control)
}
