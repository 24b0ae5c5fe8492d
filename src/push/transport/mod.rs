//! How a provider is reached: one connection for each app, retries, and replies.
//!
//! ```text
//! connection --+-- tls -- resolver
//!              +-- retry
//!              +-- failure (in words)
//!              \-- reply
//! ```

pub(crate) mod connection;
mod failure;
pub(crate) mod probe;
pub(crate) mod reply;
mod resolver;
pub mod retry;
pub(crate) mod tls;
