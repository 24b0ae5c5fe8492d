//! The system's name lookup, with its own error type, so that a wrong name is not confused with a network error.

use std::io;
use std::net::SocketAddr;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// A name has no address, or could not be looked up.
#[derive(Debug, thiserror::Error)]
#[error("no address")]
pub(crate) struct NoAddress(#[source] io::Error);

/// Asks the system, on a thread of its own.
pub(crate) struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await.map_err(NoAddress)?;
            let addresses: Addrs = Box::new(found.collect::<Vec<SocketAddr>>().into_iter());
            Ok(addresses)
        })
    }
}
