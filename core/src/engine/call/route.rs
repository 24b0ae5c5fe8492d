//! How an INVITE gets to a contact, as far as the contact shows.

use std::time::Duration;

use crate::types::{Moment, Target};

/// When sofia-sip repeats an INVITE over UDP for the first time; each pause is twice the one before (measured: 1, 3, 7,
/// 15, 31 s).
const FIRST_REPEAT: Duration = Duration::from_secs(1);
/// When proxies do, and their longest pause: RFC 3261's T1 and T2 (Kamailio measured: 0.5, 1.5, 3.5, 7.5, 11.5 s).
const PROXYS_FIRST_REPEAT: Duration = Duration::from_millis(500);
const PROXYS_LONGEST_PAUSE: Duration = Duration::from_secs(4);

/// The last hop before the phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hop {
    /// Datagrams: an INVITE without an answer is repeated, and a CANCEL may not stop that.
    Udp,
    /// The phone's own connection (TCP, TLS, WebSocket): in order, and its end is noticed.
    Connection,
}

/// The route of an INVITE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route {
    /// It passes a proxy (`Path`), which talks to the phone.
    pub by_proxy: bool,
    pub hop: Hop,
}

impl Route {
    /// What FreeSWITCH, or the proxy behind it, does with this dial-string.
    pub(super) fn to(target: &Target) -> Self {
        let text = plain(target.as_str());
        let (uri, path) = text.split_once(";fs_path=").unwrap_or((&text, ""));
        // FreeSWITCH writes a Path with its brackets, and the address behind a NAT without.
        let is_loose = path.split([';', '>']).any(|param| param == "lr");
        let by_proxy = path.starts_with('<') || is_loose && !uri.contains(";fs_nat=yes");
        let of_uri = || transport(uri).or(uri.contains("/sips:").then_some(Hop::Connection));
        let of_path = if by_proxy {
            noted(path, ";received=").or_else(|| noted(uri, ";alias="))
        } else {
            transport(path)
        };
        let hop = of_path.or_else(of_uri).unwrap_or(Hop::Udp);
        Self { by_proxy, hop }
    }

    /// When an INVITE of `since` that has no answer yet is repeated next.
    pub(super) fn next_repeat(self, since: Moment, now: Moment) -> Moment {
        let (mut pause, longest) = if self.by_proxy {
            (PROXYS_FIRST_REPEAT, PROXYS_LONGEST_PAUSE)
        } else {
            (FIRST_REPEAT, Duration::MAX)
        };
        let mut next = since.plus(pause);
        while next <= now {
            pause = (pause * 2).min(longest);
            next = next.plus(pause);
        }
        next
    }
}

/// In lower case, with those characters as themselves that tell a URI's parts from one another. `contact`'s writer
/// escapes them in `fs_path`, and a proxy those of a URI in its Path.
fn plain(text: &str) -> String {
    let mut text = text.to_ascii_lowercase();
    for (escaped, character) in [
        ("%25", "%"),
        ("%3b", ";"),
        ("%3d", "="),
        ("%3c", "<"),
        ("%3e", ">"),
        ("%7e", "~"),
    ] {
        text = text.replace(escaped, character);
    }
    text
}

/// The hop by the URI's own parameter.
fn transport(uri: &str) -> Option<Hop> {
    let mut params = uri.split([';', '>']).skip(1);
    let name = params.find_map(|param| param.strip_prefix("transport="))?;
    Some(if name == "udp" { Hop::Udp } else { Hop::Connection })
}

/// The hop by the REGISTER's source as a proxy has recorded it: `IP~PORT~PROTOCOL` with Kamailio's number of the
/// protocol (1 is UDP), or a URI.
fn noted(text: &str, name: &str) -> Option<Hop> {
    let (_, value) = text.split_once(name)?;
    let by_number = value.split([';', '>']).next()?.split('~').nth(2);
    Some(match by_number {
        Some("1") => Hop::Udp,
        Some(_) => Hop::Connection,
        None if value.starts_with("sip") => transport(value).unwrap_or(Hop::Udp),
        None => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const UDP: Route = Route {
        by_proxy: false,
        hop: Hop::Udp,
    };
    const CONNECTION: Route = Route {
        by_proxy: false,
        hop: Hop::Connection,
    };

    fn by_proxy(hop: Hop) -> Route {
        Route { by_proxy: true, hop }
    }

    fn road(contact: &str) -> Route {
        Route::to(&Target::new(format!("sofia/internal/{contact}")))
    }

    #[test]
    fn roads_without_a_proxy_are_read_as_freeswitch_takes_them() {
        for (contact, expected) in [
            ("sip:1001@192.0.2.1:5060", UDP),
            ("sip:1001@192.0.2.1:5060;transport=udp;ob", UDP),
            ("sip:1001@192.0.2.1:5060;transport=TCP", CONNECTION),
            ("sip:1001@192.0.2.1:5060;ob;transport=tls", CONNECTION),
            ("sip:1001@[2001:db8::7]:5060;transport=tls", CONNECTION),
            ("sips:1001@192.0.2.1:5060", CONNECTION),
            (
                "sip:x@abc.invalid;transport=ws;fs_nat=yes;fs_path=sip%3Ax%40192.0.2.7%3A49152%3Btransport%3Dws",
                CONNECTION,
            ),
            (
                "sip:1001@10.0.0.1:5060;fs_nat=yes;fs_path=sip%3A1001%40192.0.2.7%3A49152",
                UDP,
            ),
            (
                "sip:1001@10.0.0.1:5060;transport=udp;fs_nat=yes;fs_path=sip%3A1001%40192.0.2.7%3A49152%3Btransport%3Dudp",
                UDP,
            ),
            (
                "sip:1001@10.0.0.1:5060;transport=tcp;fs_nat=yes;fs_path=sip%3A1001%40192.0.2.7%3A49152%3Blr",
                CONNECTION,
            ),
            ("sip:1001@10.0.0.1:5060;fs_path=sip%3Alr%40192.0.2.9", UDP),
            // Another proxy's note about another hop.
            ("sip:1001@192.0.2.1:5060;alias=192.0.2.7~5060~2", UDP),
        ] {
            assert_eq!(road(contact), expected, "{contact}");
        }
    }

    #[test]
    fn last_hop_behind_a_proxy_is_where_its_note_or_else_the_contact_says() {
        for (contact, hop) in [
            ("sip:1001@10.0.0.1:5060;fs_path=%3Csip%3A192.0.2.9%3Blr%3E", Hop::Udp),
            (
                "sip:1001@10.0.0.1:5060;fs_nat=yes;fs_path=%3Csip%3A192.0.2.9%3Blr%3E",
                Hop::Udp,
            ),
            (
                "sip:1001@10.0.0.1:5060;transport=tcp;fs_path=%3Csip%3A192.0.2.9%3Blr%3E",
                Hop::Connection,
            ),
            // The proxy's own transport does not show the phone's.
            (
                "sip:1001@10.0.0.1:5060;fs_path=%3Csip%3A192.0.2.9%3Btransport%3Dtls%3Blr%3E",
                Hop::Udp,
            ),
            // Kamailio's `add_path_received`, with `received_format=1` and without.
            (
                "sip:1001@10.0.0.1:5060;transport=tcp;fs_path=%3Csip%3A192.0.2.9%3Blr%3Breceived%3D192.0.2.7~5060~1%3E",
                Hop::Udp,
            ),
            (
                "sip:1001@10.0.0.1:5060;fs_path=%3Csip%3A192.0.2.9%3Blr%3Breceived%3D192.0.2.7%7E5060%7E3%3E",
                Hop::Connection,
            ),
            (
                "sip:1001@10.0.0.1:5060;fs_path=sip%3A192.0.2.9%3Blr%3Breceived%3Dsip%253A198.51.100.7",
                Hop::Udp,
            ),
            (
                "sip:1001@10.0.0.1:5060;fs_path=%3Csip%3A192.0.2.9%3Blr%3Breceived%3Dsip%3A192.0.2.7%3A5060%253Btransport%253Dws%3E",
                Hop::Connection,
            ),
            // Its `set_contact_alias`.
            (
                "sip:1001@10.0.0.1:5060;alias=[2001:db8::7]~5060~6;fs_path=%3Csip%3A192.0.2.9%3Blr%3E",
                Hop::Connection,
            ),
            (
                "sip:x@abc.invalid;transport=ws;fs_path=%3Csip%3Atoken%40192.0.2.9%3Blr%3Bob%3E",
                Hop::Connection,
            ),
        ] {
            assert_eq!(road(contact), by_proxy(hop), "{contact}");
        }
    }

    #[test]
    fn invites_are_repeated_as_sofia_does_and_as_proxies_do() {
        let at = |ms| Moment(Duration::from_millis(ms));
        for (now, next) in [(0, 1000), (999, 1000), (1000, 3000), (3001, 7000), (8000, 15_000)] {
            assert_eq!(UDP.next_repeat(at(0), at(now)), at(next), "{now}");
        }
        let proxy = by_proxy(Hop::Udp);
        for (now, next) in [
            (0, 500),
            (500, 1500),
            (1600, 3500),
            (3500, 7500),
            (7600, 11_500),
            (11_600, 15_500),
        ] {
            assert_eq!(proxy.next_repeat(at(0), at(now)), at(next), "{now}");
        }
    }
}
