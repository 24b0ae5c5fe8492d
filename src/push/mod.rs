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
pub mod apps;
mod clock;
mod fcm;
pub mod gateway;
mod log;
mod payload;
mod setup;
pub mod transport;

pub use apps::pushers::Pushers;
pub use apps::renewal::Reloaded;
pub use apps::validity::{Certificate, certificates, other_bundle, unfit};
pub use clock::{Clock, Now};
pub use setup::SetupError;
pub use transport::probe::{Probe, Proof};

pub use crate::types::push::{
    About, CallPush, CancelReason, KeptBy, NotificationPush, Payload, PushError, PushKind, PushOutcome, PushReceipt,
    PushRequest,
};
