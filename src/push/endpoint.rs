//! Which push services phones may choose.
//!
//! The endpoint of a web push subscription is a URL that a phone chose. Without limits, anyone who can
//! register could make fswake connect to any machine that it can reach. So the host is checked before its name is
//! resolved, and each of its addresses before fswake connects to it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::str::FromStr;

use ipnet::IpNet;

/// The operator's limits. By default any public address may be pushed to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointRules {
    /// Hosts that endpoints may have; without any, all hosts.
    pub allow_hosts: Vec<HostPattern>,
    /// Hosts that they may not have.
    pub deny_hosts: Vec<HostPattern>,
    /// Networks that they may be in although these are not public.
    pub allow_networks: Vec<IpNet>,
    /// Networks that they may not be in.
    pub deny_networks: Vec<IpNet>,
}

/// A host's name in lower case, or `*.` and the end of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPattern(String);

impl HostPattern {
    /// The name, if it stands for a single host.
    pub fn host(&self) -> Option<&str> {
        (!self.0.starts_with("*.")).then_some(&self.0)
    }

    fn is(&self, host: &str) -> bool {
        match self.0.strip_prefix('*') {
            Some(end) => host.len() > end.len() && host.ends_with(end),
            None => self.0 == host,
        }
    }
}

impl FromStr for HostPattern {
    type Err = ();

    /// Takes names, addresses (IPv6 in brackets) and `*.name`, without a scheme and a port.
    fn from_str(text: &str) -> Result<Self, ()> {
        let name = text.strip_prefix("*.").unwrap_or(text);
        let url = reqwest::Url::parse(&format!("https://{name}/")).map_err(drop)?;
        let is_same = url.host_str().is_some_and(|host| host.eq_ignore_ascii_case(name));
        let is_text = !name.contains('*') && url.port().is_none() && url.username().is_empty();
        if is_same && is_text {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(())
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl EndpointRules {
    /// Whether an endpoint may have this host, as a URL has it. A host that is an address is checked as one, too.
    pub(crate) fn allow_host(&self, host: &str) -> bool {
        // The dot of a full name does not make another host.
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let is_in = |list: &[HostPattern]| list.iter().any(|one| one.is(&host));
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>().ok();
        !host.is_empty()
            && !is_in(&self.deny_hosts)
            && (self.allow_hosts.is_empty() || is_in(&self.allow_hosts))
            && address.is_none_or(|address| self.allow_address(address))
    }

    /// Whether an endpoint may be at this address.
    pub(crate) fn allow_address(&self, address: IpAddr) -> bool {
        self.allow_unless_own(address, is_own)
    }

    fn allow_unless_own(&self, address: IpAddr, is_own: impl FnOnce(IpAddr) -> bool) -> bool {
        let meant = meant(address);
        let is_in = |list: &[IpNet]| list.iter().any(|net| net.contains(&address) || net.contains(&meant));
        !is_in(&self.deny_networks) && (is_in(&self.allow_networks) || (is_public(meant) && !is_own(meant)))
    }
}

/// The IPv4 address in an IPv6 address that only carries one: a translator or a tunnel would pass packets on to it.
fn meant(address: IpAddr) -> IpAddr {
    let IpAddr::V6(six) = address else { return address };
    if let Some(four) = six.to_ipv4_mapped() {
        return four.into();
    }
    let parts = six.segments();
    let four = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::from(Ipv4Addr::new(a, b, c, d))
    };
    match parts {
        // RFC 6052 section 2.1; 6to4, RFC 3056.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => four(high, low),
        _ => address,
    }
}

/// Whether an address is one of the Internet (IANA's registries of special-purpose addresses).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => is_public_four(four),
        IpAddr::V6(six) => is_public_six(six),
    }
}

fn is_public_four(four: Ipv4Addr) -> bool {
    let [a, b, c, _] = four.octets();
    let is_special = four.is_private()
        || four.is_loopback()
        || four.is_link_local()
        || four.is_multicast()
        || four.is_documentation()
        // "This network", and what is reserved, broadcast included.
        || a == 0
        || a >= 240
        // Between a provider's customers (RFC 6598).
        || (a == 100 && (64..128).contains(&b))
        // IETF's protocols (RFC 6890), and relays of 6to4 (RFC 7526).
        || (a, b, c) == (192, 0, 0)
        || (a, b, c) == (192, 88, 99)
        // Benchmarks (RFC 2544).
        || (a == 198 && (b == 18 || b == 19));
    !is_special
}

fn is_public_six(six: Ipv6Addr) -> bool {
    let parts = six.segments();
    // Only this block is global unicast so far. In it, 2001::/23 is for protocols (Teredo, ORCHID), and two blocks are
    // for documents.
    let is_global = parts[0] & 0xe000 == 0x2000;
    let is_special = match parts {
        [0x2001, next, ..] => next < 0x200 || next == 0xdb8,
        [0x3fff, next, ..] => next < 0x1000,
        _ => false,
    };
    is_global && !is_special
}

/// Whether an address is this machine's: then the kernel sends from the very address that is sent to. Nothing is sent.
/// If the kernel cannot be asked (too many open files), the address may be this machine's.
fn is_own(address: IpAddr) -> bool {
    let any: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let Ok(socket) = UdpSocket::bind((any, 0)) else {
        return true;
    };
    // An address without a route is not this machine's.
    let from = socket.connect((address, 443)).and_then(|()| socket.local_addr());
    from.is_ok_and(|from| from.ip() == address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(list: &[&str]) -> Vec<HostPattern> {
        list.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn networks(list: &[&str]) -> Vec<IpNet> {
        list.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn only_public_addresses_may_be_pushed_to_unless_the_operator_allows_others() {
        let rules = EndpointRules::default();
        for public in [
            "93.184.216.34",
            "1.1.1.1",
            "2606:4700::1111",
            "2a00:1450:4001:82a::200a",
        ] {
            assert!(rules.allow_address(public.parse().unwrap()), "{public}");
        }
        let special = [
            "127.0.0.1",
            "127.9.9.9",
            "10.1.2.3",
            "172.31.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "100.127.255.255",
            "0.0.0.0",
            "0.1.2.3",
            "192.0.0.8",
            "192.0.2.1",
            "198.18.0.1",
            "198.19.255.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fd00::1",
            "fc00::1",
            "ff02::1",
            "2001::1",
            "2001:db8::1",
            "3fff::1",
            "100::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a00:1",
            "2002:7f00:1::1",
            "2002:a00:1::",
        ];
        for address in special {
            let address: IpAddr = address.parse().unwrap();
            assert!(!rules.allow_address(address), "{address}");
            let allowed = EndpointRules {
                allow_networks: vec![IpNet::from(meant(address))],
                ..EndpointRules::default()
            };
            assert!(allowed.allow_address(address), "{address}");
            assert!(!allowed.allow_address("192.168.77.1".parse().unwrap()));
        }
    }

    #[test]
    fn denied_network_is_denied_however_its_address_is_written_and_whatever_is_allowed() {
        let rules = EndpointRules {
            allow_networks: networks(&["10.0.0.0/8"]),
            deny_networks: networks(&["10.9.0.0/16", "1.1.1.0/24"]),
            ..EndpointRules::default()
        };
        for (address, allowed) in [
            ("10.1.0.1", true),
            ("10.9.0.1", false),
            ("::ffff:10.9.0.1", false),
            ("1.1.1.1", false),
            ("64:ff9b::101:101", false),
            ("1.1.2.1", true),
        ] {
            assert_eq!(rules.allow_address(address.parse().unwrap()), allowed, "{address}");
        }
    }

    #[test]
    fn this_machines_own_addresses_are_refused_even_if_they_are_public() {
        let public = IpAddr::from([93, 184, 216, 34]);
        assert!(!is_own(public));
        assert!(is_own(Ipv4Addr::LOCALHOST.into()));
        // The address by which this machine reaches others, if it reaches any.
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        if socket.connect((public, 443)).is_ok() {
            assert!(is_own(socket.local_addr().unwrap().ip()));
        }
        let rules = EndpointRules::default();
        for written in ["93.184.216.34", "::ffff:93.184.216.34", "64:ff9b::5db8:d822"] {
            let address: IpAddr = written.parse().unwrap();
            assert!(rules.allow_unless_own(address, |_| false), "{written}");
            assert!(!rules.allow_unless_own(address, |asked| asked == public), "{written}");
        }
        let allowed = EndpointRules {
            allow_networks: networks(&["93.184.216.0/24"]),
            ..EndpointRules::default()
        };
        assert!(allowed.allow_unless_own(public, |_| true));
    }

    #[test]
    fn hosts_are_compared_whole_or_by_their_end() {
        let rules = EndpointRules {
            allow_hosts: hosts(&["push.example.org", "*.notify.example", "93.184.216.34"]),
            deny_hosts: hosts(&["bad.notify.example"]),
            ..EndpointRules::default()
        };
        for (host, allowed) in [
            ("push.example.org", true),
            ("PUSH.example.org.", true),
            ("a.b.notify.example", true),
            ("notify.example", false),
            ("xnotify.example", false),
            ("bad.notify.example", false),
            ("bad.notify.example.", false),
            ("push.example.org.evil.example", false),
            ("93.184.216.34", true),
            ("127.0.0.1", false),
            ("", false),
        ] {
            assert_eq!(rules.allow_host(host), allowed, "{host}");
        }
        let any = EndpointRules::default();
        assert!(any.allow_host("push.example.org") && !any.allow_host("[::1]") && !any.allow_host("127.0.0.1"));
        for wrong in ["", "*", "*.", "a b", "https://a", "a/b", "a:443", "u@a", "*.*.a", "A*"] {
            assert!(wrong.parse::<HostPattern>().is_err(), "{wrong}");
        }
    }
}
