//! fswake wakes sleeping phones for FreeSWITCH.
//!
//! ```text
//! FreeSWITCH --ESL--> esl::decode --Event--> engine (decides) --Command--> push::{apns,fcm,log}
//!      ^                                        ^      |                          |
//!      |                    Event::Registered --+      +--Command--> esl::encode  |
//!      +------------------ originate, answer, bridge, kill, resume -----+        |
//!                           Event::PushAccepted / PushRefused <------------------+
//! ```

#![warn(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::todo,
    clippy::dbg_macro,
    clippy::print_stdout
)]

pub mod app;
pub mod cli;
pub mod config;
pub mod contact;
pub mod driver;
pub mod engine;
pub mod esl;
pub mod lifecycle;
pub mod logging;
pub mod push;
pub mod store;
pub mod types;
