//! A Contact goes back out as it came: fswake's INVITE beside the one that FreeSWITCH itself sends.

use std::sync::Arc;
use std::time::Duration;

use fswake_test_support::realfs::{DOMAIN, RealFs};
use fswake_test_support::sip::{Message, Phone, Reaction, What};
use fswake_test_support::site::{Settings, new_token};

use crate::site;

crate::trials![contact_goes_out_as_freeswitch_itself_sends_it];

/// Contacts as phones send them, by what is special; `PORT` is the phone's port, `TOKEN` a token, `ROUTE` a way to the phone for
/// Contacts that name another host.
const SHAPES: &[&str] = &[
    // Parameters that a proxy before FreeSWITCH finds its phone by.
    "<sip:USER@127.0.0.1:PORT;alias=192.0.2.7~5060~1>",
    "<sip:USER@127.0.0.1:PORT;alias=[::1]~5060~1>",
    "<sip:USER@127.0.0.1:PORT;alias=[2001:db8::7]~5060~2;ob>",
    "<sip:USER@[::1]:5062;alias=[::1]~5062~1;ROUTE>",
    "<sip:USER@[2001:db8::7]:5060;ROUTE>",
    "<sip:USER@127.0.0.1:PORT;x=a=b>",
    "<sip:USER@127.0.0.1:PORT;x==;y=a=b=c>",
    "<sip:USER@127.0.0.1:PORT;received=192.0.2.1:5060>",
    "<sip:USER@127.0.0.1:PORT;fs-conn-id=8a7b6c5d-1>",
    "<sip:USER@127.0.0.1:PORT;transport=udp;ob>",
    "<sip:USER@127.0.0.1:PORT;rinstance=5f3a0b1c2d3e4f50;line=sr-abc_def.ghi~jkl>",
    "<sip:USER@127.0.0.1:PORT;x=!~*+&:$>",
    "<sip:USER@127.0.0.1:PORT;x=[abc]=[d]>",
    "<sip:USER@127.0.0.1:PORT;x=a%20b;y=%5B%5D>",
    "<sip:USER@127.0.0.1:PORT;device=app;flag>",
    "<sip:USER@127.0.0.1:PORT;ws_address=127.0.0.1;ws_port=9568>",
    // User parts.
    "<sip:u-PORT.x_y~z@127.0.0.1:PORT>",
    "<sip:+4930123456@127.0.0.1:PORT;user=phone>",
    "<sip:oopgbpt6@4h99rplc4g16.invalid;ROUTE>",
    "<sip:a%20b%2Fc@127.0.0.1:PORT>",
    "<sip:1000*1=x@127.0.0.1:PORT>",
    // Push parameters of every generation are left out; what stands between them stays.
    "<sip:USER@127.0.0.1:PORT;alias=[::1]~5060~1;pn-provider=apns;pn-param=TEAM123456.com.example.phone.voip;pn-prid=TOKEN;ob>",
    "<sip:USER@127.0.0.1:PORT;app-id=com.example.phone;pn-voip-tok=TOKEN;pn-platform=iOS;ob>;reg-id=1;+sip.instance=\"<urn:uuid:0>\"",
    "<sip:USER@127.0.0.1:PORT;app-id=com.example.phone;pn-voip-tok=%3Cnull%3E;pn-im-tok=TOKEN;pn-platform=iOS;ob>",
    "<sip:USER@127.0.0.1:PORT;app-id=org.linphone.xy.voip.dev;pn-type=apple;pn-tok=TOKEN;pn-timeout=0;pn-silent=1;transport=udp>",
];

/// Where FreeSWITCH itself makes something else of a Contact, and what fswake sends: `/` in a value is where FreeSWITCH cuts it, and
/// `(null)` is what it prints for no user.
const MENDED: &[(&str, &str)] = &[
    (
        "<sip:USER@127.0.0.1:PORT;x=a/b;y=1>",
        "sip:USER@127.0.0.1:PORT;x=a/b;y=1",
    ),
    ("<sip:127.0.0.1:PORT>", "sip:127.0.0.1:PORT"),
    (
        "<sip:USER@127.0.0.1:PORT;pn-prid=device%3Dtoken+with/reserved;pn-provider=acme;x=1>",
        "sip:USER@127.0.0.1:PORT;x=1",
    ),
];

/// The INVITE with this number, from 0.
async fn nth_invite(phone: &Phone, n: usize) -> Option<Arc<Message>> {
    for _ in 0..150 {
        let mut invites = phone.happenings().into_iter().filter_map(|h| match h.what {
            What::Invited(invite) => Some(invite),
            _ => None,
        });
        if let Some(invite) = invites.nth(n) {
            return Some(invite);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    None
}

/// A request URI without push parameters.
fn stripped(uri: &str) -> String {
    let is_push = |param: &&str| !param.starts_with("pn-") && !param.starts_with("app-id=");
    uri.split(';').filter(is_push).collect::<Vec<_>>().join(";")
}

async fn contact_goes_out_as_freeswitch_itself_sends_it(fs: Arc<RealFs>) {
    // It has just registered, and is rung without a push.
    let site = site(fs, &Settings::default().wake("max-wait", "8s").wake("fresh-for", "30s")).await;
    let mut differ = Vec::new();
    let shapes = SHAPES.iter().map(|shape| (*shape, None));
    for (shape, mended) in shapes.chain(MENDED.iter().map(|(shape, uri)| (*shape, Some(*uri)))) {
        let user = site.fs.new_user();
        let phone = Phone::new(site.fs.account(&user, DOMAIN), Reaction::Decline(486)).await;
        let route = format!("fs_path=sip%3A127.0.0.1%3A{}", phone.address().port());
        let contact = shape
            .replace("USER", &user)
            .replace("TOKEN", &new_token())
            .replace("ROUTE", &route);
        phone.contact_text(&contact);
        assert_eq!(phone.register().await, 200, "{shape}");
        site.heard_of(&user).await;
        site.fs.api(&format!("originate user/{user}@{DOMAIN} &park()")).await;
        let own = nth_invite(&phone, 0).await;
        let call = site.caller().await.call(&format!("6{user}"));
        let ours = nth_invite(&phone, usize::from(own.is_some())).await;
        call.outcome().await;
        call.hang_up().await;
        let (own, ours) = (
            own.map(|i| stripped(i.request_uri())),
            ours.map(|i| i.request_uri().to_owned()),
        );
        eprintln!("{shape}\n    FreeSWITCH {own:?}\n    fswake     {ours:?}");
        let port = phone.address().port().to_string();
        let mended = mended.map(|uri| uri.replace("USER", &user).replace("PORT", &port));
        if mended.or(own.clone()) != ours || ours.is_none() {
            differ.push(format!("{shape}: FreeSWITCH {own:?}, fswake {ours:?}"));
        }
        site.fs.becomes_silent(Duration::from_secs(5)).await;
    }
    assert!(differ.is_empty(), "{differ:#?}");
}
