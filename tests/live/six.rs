//! IPv6: phones and FreeSWITCH on `::1`, and `socket` to fswake there.

use std::net::SocketAddr;
use std::sync::Arc;

use fswake_test_support::kamailio::{Finds, Kamailio};
use fswake_test_support::realfs::{DOMAIN, RealFs, WAKE_DOMAIN};
use fswake_test_support::sip::{Account, Phone, Reaction, Script, Transport};
use fswake_test_support::site::{Settings, Site, Wakes};

use crate::contacts::compare;
use crate::site;
use crate::steps::{answers, hang_up};

crate::trials![
    phone_on_ipv6_is_woken_in_every_way,
    contact_on_ipv6_goes_out_as_freeswitch_itself_sends_it,
];

/// The tests that need a Kamailio too.
pub mod behind_proxy {
    use super::phone_on_ipv6_behind_a_proxy_is_woken;

    crate::trials![phone_on_ipv6_behind_a_proxy_is_woken];
}

fn account(site: &Site, user: &str, domain: &str) -> Account {
    let server = six(&site.fs);
    Account {
        server,
        ..site.fs.account(user, domain)
    }
}

fn six(fs: &RealFs) -> SocketAddr {
    fs.ports.six.expect("::1")
}

fn script(transport: Transport, on_invite: Reaction) -> Script {
    Script {
        on_invite,
        transport,
        ..Script::default()
    }
}

const ANSWERS: Reaction = answers(100);

/// A call to this number wakes the sleeping phone.
async fn is_woken(site: &Site, account: Account, transport: Transport, way: &str) {
    let phone = Phone::new(account, script(transport, ANSWERS)).await;
    site.give_token(&phone, Wakes::Elsewhere);
    assert_eq!(phone.register().await, 200);
    let user = phone.account().user.clone();
    site.heard_of(&user).await;
    phone.sleep();
    let caller = Phone::new(self::account(site, &site.fs.new_user(), DOMAIN), Script::default()).await;
    let call = caller.call(&format!("{way}{user}"));
    assert_eq!(call.outcome().await, 200, "{way}, {transport:?}: {}", phone.story());
    phone.on_the_line().await;
    assert_eq!(phone.invites(), 1, "{}", phone.story());
    hang_up(&call, &phone).await;
}

/// By the shipped dialplan, by `socket` to `::1`, and by the dial-string.
async fn phone_on_ipv6_is_woken_in_every_way(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    for transport in [Transport::Udp, Transport::Tcp] {
        for (way, domain) in [("7", DOMAIN), ("8", DOMAIN), ("5", WAKE_DOMAIN)] {
            let account = account(&site, &site.fs.new_user(), domain);
            is_woken(&site, account, transport, way).await;
        }
    }
}

async fn contact_on_ipv6_goes_out_as_freeswitch_itself_sends_it(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default().wake("max-wait", "8s").wake("fresh-for", "30s")).await;
    let mut differ = Vec::new();
    for (transport, shape) in [
        (Transport::Udp, "<sip:USER@[::1]:PORT>"),
        (Transport::Udp, "<sip:USER@[::1]:PORT;alias=[::1]~5062~1>"),
        (Transport::Udp, "<sip:USER@[::1]:PORT;x=a=b;ob>"),
        (
            Transport::Udp,
            "<sip:USER@[2001:db8::7]:5060;fs_path=sip%3A%5B%3A%3A1%5D%3APORT>",
        ),
        (
            Transport::Udp,
            "<sip:USER@[0:0:0:0:0:0:0:1]:PORT;pn-provider=apns;pn-param=TEAM123456.com.example.phone.voip;pn-prid=abc;x=[::1]>",
        ),
        (
            Transport::Tcp,
            "<sip:USER@[::1]:PORT;transport=tcp;alias=[::1]~5062~2;ob>",
        ),
    ] {
        let declines = script(transport, Reaction::Decline(486));
        let phone = Phone::new(account(&site, &site.fs.new_user(), DOMAIN), declines).await;
        phone.contact_text(&shape.replace("USER", &phone.account().user));
        differ.extend(compare(&site, &phone, shape, None).await.err());
    }
    assert!(differ.is_empty(), "{differ:#?}");
}

async fn phone_on_ipv6_behind_a_proxy_is_woken(fs: Arc<RealFs>) {
    for finds in [Finds::Path, Finds::Alias] {
        let proxy = Kamailio::start(six(&fs), finds).await;
        let site = site(fs.clone(), &Settings::default()).await;
        for transport in [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Wss] {
            let account = proxy.before(account(&site, &site.fs.new_user(), DOMAIN));
            is_woken(&site, account, transport, "8").await;
        }
    }
}
