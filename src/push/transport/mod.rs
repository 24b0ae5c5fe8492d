//! The way to a provider: one connection for each app, when to try again, and what came back.

pub(crate) mod line;
pub(crate) mod probe;
pub(crate) mod reply;
pub mod retry;
