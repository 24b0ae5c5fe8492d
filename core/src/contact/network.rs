//! Where a REGISTER came from, according to its event.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// A SIP transport, as in a URI's `transport` parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
    /// WebSocket (RFC 7118).
    Ws,
    /// WebSocket over TLS (RFC 7118).
    Wss,
}

impl Transport {
    /// Reads the transport out of an event's `status`: `Registered(TLS)`, `Registered(WSS-NAT)`.
    ///
    /// `None` for those that name none (`Registered(AUTO-NAT)`). FreeSWITCH 1.10.12 looks at the Contact's own
    /// parameters for TCP and TLS, so a URI's `transport` is worth more than this.
    pub fn from_status(status: &str) -> Option<Self> {
        let inside = status.split_once('(')?.1.split_once(')')?.0;
        match inside.strip_suffix("-NAT").unwrap_or(inside) {
            "UDP" => Some(Self::Udp),
            "TCP" => Some(Self::Tcp),
            "TLS" | "TLSHACK" => Some(Self::Tls),
            "WS" => Some(Self::Ws),
            "WSS" => Some(Self::Wss),
            _ => None,
        }
    }

    /// The name in a URI's `transport` parameter.
    pub fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The address that a REGISTER came from, and whether FreeSWITCH saw a NAT before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkHint {
    /// `network-ip` and `network-port`.
    pub address: SocketAddr,
    /// The transport, where `status` (or `network_proto` of `show registrations`) names one.
    pub transport: Option<Transport>,
    /// Whether `status` mentions a NAT.
    pub nat: bool,
}

impl NetworkHint {
    /// Reads the headers `network-ip`, `network-port` and `status` of a registration event.
    ///
    /// `None` without a usable address; a `status` that is missing (un-REGISTER) or unknown only leaves the transport
    /// open.
    ///
    /// # Examples
    /// ```
    /// use fswake_core::contact::{NetworkHint, Transport};
    ///
    /// let hint = NetworkHint::from_event("192.0.2.7", "49152", "Registered(TLS-NAT)").expect("an address");
    /// assert_eq!(hint.address.to_string(), "192.0.2.7:49152");
    /// assert_eq!((hint.transport, hint.nat), (Some(Transport::Tls), true));
    /// assert!(NetworkHint::from_event("192.0.2.7", "0", "").is_none());
    /// ```
    pub fn from_event(network_ip: &str, network_port: &str, status: &str) -> Option<Self> {
        let ip = network_ip.trim_start_matches('[').trim_end_matches(']');
        let ip: IpAddr = ip.parse().ok()?;
        let port = network_port.parse().ok().filter(|port| *port != 0)?;
        Some(Self {
            address: SocketAddr::new(ip, port),
            transport: Transport::from_status(status),
            nat: status.contains("NAT"),
        })
    }
}
