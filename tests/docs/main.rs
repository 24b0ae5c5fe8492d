//! Checks the documents against this repository: links, commands, keys and files in README.md and docs/ must exist.

mod commands;
mod migrating;
mod names;
mod page;
mod texts;

#[path = "../live/fidelity/departures/mod.rs"]
#[allow(dead_code, reason = "the live tests use the rest")]
mod departures;
