//! What the documents promise of this repository: links, commands, keys and files that README.md and docs/ name are
//! there.

mod commands;
mod migrating;
mod names;
mod page;
mod texts;

#[path = "../live/fidelity/departures.rs"]
#[allow(dead_code, reason = "the live tests use the rest")]
mod departures;
