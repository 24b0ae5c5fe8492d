//! Pushes: one [`PushRequest`] in, one [`PushOutcome`] out, whichever provider delivers it.
//!
//! [`Pushers`] picks the app and hands the request to its provider:
//!
//! ```text
//! PushRequest -> apps --+-- apns    --+-- payload (pure: what is sent) -- template
//!                       +-- fcm     --+-- transport (one connection, when to try again)
//!                       +-- hms     --+-- oauth (access tokens, for fcm too)
//!                       +-- webpush --+
//!                       +-- gateway --/
//!                       \-- log
//! ```
//!
//! `app` is one checked `[[app]]` of the configuration; `endpoint` has the rules for push services that phones choose (web push);
//! `setup` has the reasons why an app cannot be used; `certificate` reads client certificates, `pkcs12` those that Keychain
//! Access has exported. No two files depend on each other (tests/house/circles.rs).

mod apns;
pub mod app;
pub mod apps;
mod certificate;
mod clock;
pub mod endpoint;
mod fcm;
pub(crate) mod gateway;
mod hms;
mod log;
mod oauth;
pub(crate) mod payload;
mod pkcs12;
pub mod refused_when;
mod setup;
pub mod template;
pub mod transport;
mod webpush;

pub use app::HttpAuth;
pub use apps::pushers::{AppHandle, Pushers};
pub use apps::renewal::AppChanges;
pub use certificate::{Certificate, certificate_chain, other_bundle, unfit};
pub use clock::{Clock, Now};
pub(crate) use pkcs12::is_pkcs12;
pub use setup::SetupError;
pub use transport::probe::{Probe, Proof};
pub(crate) use webpush::public_key as vapid_public_key;

pub use crate::types::push::{
    About, CallPush, CancelReason, Fault, KeptBy, NotificationPurpose, NotificationPush, OwnRefusal, Payload,
    PushError, PushErrorKind, PushKind, PushOutcome, PushReceipt, PushRequest,
};
