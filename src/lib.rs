//! fswake wakes sleeping phones for FreeSWITCH.
//!
//! ```text
//! FreeSWITCH --ESL--> esl::decode --Event--> engine (decides) --Command--> push::{apns,fcm,webpush,..}
//!      ^                                        ^      |                          |
//!      |                    Event::Registered --+      +--Command--> esl::encode  |
//!      +------------------ originate, answer, bridge, kill, resume -----+        |
//!                           Event::PushEnded <------------------------------------+
//! ```
//!
//! | module | what it is |
//! |---|---|
//! | [`types`] | the field's own words: call, AOR, device, binding, token (crate `fswake-core`) |
//! | [`engine`] | decides; pure (crate `fswake-core`) |
//! | [`driver`] | the one loop around the engine |
//! | [`input`] | the inputs of the loop |
//! | [`control`] | questions to the loop from outside |
//! | [`esl`] | FreeSWITCH's event socket |
//! | [`contact`] | the Contact of a REGISTER: parser and writer (crate `fswake-core`) |
//! | [`push`] | APNs, FCM, Huawei, web push, gateways, and the payloads for them |
//! | [`store`] | devices and the journal in SQLite |
//! | [`doctor`] | checks everything that a wake needs, and gives advice |
//! | [`journal`] | the journal read back: timelines and diagnoses |
//! | [`metrics`] | numbers for Prometheus |
//! | [`http`] | what operators and programs ask the running daemon |
//! | [`config`], [`cli`], [`logging`], [`lifecycle`] | what an operator and systemd see |
//! | [`clock`] | the wall clock, and times as operators read them |
//! | [`files`] | the one reader of files that operators write |
//! | `xml` | FreeSWITCH's own XML, and the global variables of its configuration |
//! | `new_files` | files that are made whole or not at all |
//! | `jitter` | random delays, so that what began at the same time does not go on at the same time |
//! | [`words`] | errors of the system and of libraries in words |
//! | [`import`] | `fswake-import-mod-apn`, a program of its own: mod_apn's configuration and tokens |
//! | [`postgres`] | connections to PostgreSQL |
//! | [`aging`] | forgets devices that get no calls and no longer register |
//! | [`daemon`] | puts all of it together |
//! | [`handover`] | restarts without a gap: one process takes over from another |
//! | [`supervise`] | parts that must not end while it runs |
//! | [`reload`] | a new configuration in a running daemon |
//! | `fuzzing` | what tests/fuzz needs of private parsers |

#![warn(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::todo,
    clippy::dbg_macro,
    clippy::print_stdout
)]

pub use fswake_core::{contact, engine, types};

pub mod aging;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod daemon;
pub mod doctor;
pub mod driver;
pub mod esl;
pub mod files;
#[doc(hidden)]
pub mod fuzzing;
pub mod handover;
pub mod http;
pub mod import;
pub mod input;
mod jitter;
pub mod journal;
pub mod lifecycle;
pub mod logging;
pub mod metrics;
mod new_files;
pub mod postgres;
pub mod push;
pub mod reload;
pub mod store;
pub mod supervise;
pub mod words;
pub mod xml;
