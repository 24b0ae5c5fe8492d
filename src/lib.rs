//! fswake wakes sleeping phones for FreeSWITCH.
//!
//! ```text
//! FreeSWITCH --ESL--> esl::decode --Event--> engine (decides) --Command--> push::{apns,fcm,log}
//!      ^                                        ^      |                          |
//!      |                    Event::Registered --+      +--Command--> esl::encode  |
//!      +------------------ originate, answer, bridge, kill, resume -----+        |
//!                           Event::PushAccepted / PushRefused <------------------+
//! ```

pub mod cli;
pub mod config;
pub mod contact;
pub mod engine;
pub mod logging;
pub mod push;
pub mod store;
pub mod types;
