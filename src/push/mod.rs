//! Pushes: one [`PushRequest`] in, one [`PushOutcome`] out, whichever provider delivers it.
//!
//! [`Pushers`] picks the app and hands the request to its provider:
//!
//! ```text
//! PushRequest -> pushers -> apns --+-- payload (pure: what is sent)     <- preset, template
//!                       \-> fcm  --+-- auth / oauth (tokens, shared)
//!                       \-> http --+-- line (one connection, replaced when it hangs)
//!                       \-> log    +-- retry (pure: whether and when to try again)
//! ```
//!
//! `renewal` puts other apps and newer credentials in the place of those in use (`watch` sees that files changed);
//! [`health`] is what an operator should know of each app, and `prober` asks the providers before calls do.

mod apns;
pub mod app;
mod auth;
mod callees;
mod expiry;
mod fcm;
pub mod health;
pub mod http;
mod line;
mod log;
mod notification;
mod oauth;
pub mod payload;
mod preset;
mod probe;
mod prober;
mod pushers;
mod renewal;
mod reply;
pub mod retry;
mod standing;
pub mod template;
mod token_file;
mod validity;
mod watch;

pub use auth::{Clock, Now};
pub use probe::{Probe, Proof};
pub use pushers::{Pushers, SetupError};
pub use renewal::Reloaded;
pub use validity::{Certificate, certificates, other_bundle, unfit};

pub use crate::types::push::{
    About, CallPush, CancelReason, KeptBy, NotificationPush, Payload, PushError, PushKind, PushOutcome, PushReceipt,
    PushRequest,
};
