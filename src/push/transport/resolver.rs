//! The system's name lookup, with its own error type, so that a wrong name is not confused with a network error.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::push::endpoint::EndpointRules;

/// A name has no address, or could not be looked up.
#[derive(Debug, thiserror::Error)]
#[error("no address")]
pub(crate) struct NoAddress(#[source] io::Error);

/// The operator's rules forbid all addresses of a name.
#[derive(Debug, thiserror::Error)]
#[error("the rules forbid every address of {0}")]
pub(crate) struct NotAllowed(pub String);

/// Asks the system, and keeps the addresses that the operator's rules allow. The HTTP library connects to these and to
/// no others: it does not look the name up again.
pub(crate) struct CheckedResolver(pub Arc<EndpointRules>);

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let rules = Arc::clone(&self.0);
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await.map_err(NoAddress)?;
            let (allowed, other): (Vec<_>, Vec<_>) = found.partition(|found| rules.allow_address(found.ip()));
            if allowed.is_empty() && !other.is_empty() {
                return Err(NotAllowed(name.as_str().to_owned()).into());
            }
            let addresses: Addrs = Box::new(allowed.into_iter());
            Ok(addresses)
        })
    }
}

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

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[tokio::test]
    async fn only_the_addresses_that_the_rules_allow_are_connected_to() {
        let of = async |networks: &[&str]| {
            let rules = EndpointRules {
                allow_networks: networks.iter().map(|net| net.parse().unwrap()).collect(),
                ..EndpointRules::default()
            };
            let resolver = CheckedResolver(Arc::new(rules));
            let found = resolver.resolve("localhost".parse().unwrap()).await;
            found.map(|found| found.map(|found| found.ip()).collect::<Vec<_>>())
        };
        let four: IpAddr = [127, 0, 0, 1].into();
        // Most machines have `::1` for this name as well.
        assert!(of(&["127.0.0.0/8"]).await.unwrap().iter().all(|found| *found == four));
        assert!(of(&["127.0.0.0/8", "::1/128"]).await.unwrap().contains(&four));
        let refused = of(&["10.0.0.0/8"]).await.unwrap_err();
        assert_eq!(refused.downcast_ref::<NotAllowed>().unwrap().0, "localhost");
    }
}
