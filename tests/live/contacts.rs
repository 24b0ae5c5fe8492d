//! The INVITE goes to the Contact as it was registered: compares fswake's INVITE with FreeSWITCH's own.

use std::sync::Arc;
use std::time::Duration;

use fswake_test_support::realfs::{DOMAIN, RealFs};
use fswake_test_support::sip::{Message, Phone, Reaction, Script, Transport, What};
use fswake_test_support::site::{Settings, Site, new_token};

use crate::site;

crate::trials![contact_goes_out_as_freeswitch_itself_sends_it];

/// Contacts as phones send them, each named by its peculiarity. `PORT` is the phone's port, `TOKEN` a token, `ROUTE` a
/// route to the phone for Contacts that name another host.
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
    // Push parameters of every generation are removed; what is between them stays.
    "<sip:USER@127.0.0.1:PORT;alias=[::1]~5060~1;pn-provider=apns;pn-param=TEAM123456.com.example.phone.voip;pn-prid=TOKEN;ob>",
    "<sip:USER@127.0.0.1:PORT;app-id=com.example.phone;pn-voip-tok=TOKEN;pn-platform=iOS;ob>;reg-id=1;+sip.instance=\"<urn:uuid:0>\"",
    "<sip:USER@127.0.0.1:PORT;app-id=com.example.phone;pn-voip-tok=%3Cnull%3E;pn-im-tok=TOKEN;pn-platform=iOS;ob>",
    "<sip:USER@127.0.0.1:PORT;app-id=org.linphone.xy.voip.dev;pn-type=apple;pn-tok=TOKEN;pn-timeout=0;pn-silent=1;transport=udp>",
    "<sip:USER@127.0.0.1:PORT;pn-provider;x=1>",
    "<sip:USER@127.0.0.1:PORT;pn-provider=acme;pn-param=acme-param;pn-prid=ZTY4ZDJlMzODE1NmUgKi0K%3D>;+sip.instance=\"<urn:uuid:0>\";+sip.pnsreg",
    "<sip:USER@127.0.0.1:PORT;pn-provider=apns;pn-param=TEAM123456.com.example.phone.voip;pn-prid=TOKEN;pn-purr=00fjmgcda2k;x=1>",
    "<sip:USER@127.0.0.1:PORT;app-id=com.example.phone;pn-voip-tok=TOKEN;pn-im-tok=TOKEN;x=1>",
    "<sip:USER@127.0.0.1:PORT;pn-provider=apns;pn-prid=TOKEN:remote&TOKEN:voip;pn-param=ABCD1234.org.linphone.phone.remote&voip;pn-msg-str=IM_MSG;\
     pn-call-str=IC_MSG;pn-groupchat-str=GC_MSG;pn-call-snd=notes_of_the_optimistic.caf;pn-msg-snd=msg.caf;pn-timeout=0;pn-silent=1;\
     transport=udp>;+sip.instance=\"<urn:uuid:0>\";+org.linphone.specs=\"lime\"",
    "<sip:USER@127.0.0.1:PORT;pn-provider=apns.dev;pn-param=ABCD1234.org.linphone.phone.voip;pn-prid=TOKEN:voip;CtRt5f3a=1;x=1>",
    "<sip:USER@127.0.0.1:PORT;pn-provider=apns;pn-param=ABCD1234.com.example.phone.remote&voip;pn-prid=TOKEN:voip&;x=1>",
    "<sip:USER@127.0.0.1:PORT;pn-provider=apns;pn-param=aProjectID_aBundleID_remote&voip;pn-prid=:remote&:voip;x=1>",
    "<sip:USER@127.0.0.1:PORT;pn-call-remote-push-interval=0;pn-param=ABCDE12345.com.example.dialer.voip;pn-prid=TOKEN;pn-provider=apns;\
     pn-tok=TOKEN;fs-conn-id=8a7b6c5d-1>",
    "<sip:USER@127.0.0.1:PORT;pn-prid=dXjHIC0DQrKhophK83aLKv:APA91bFTOKEN;pn-provider=fcm;pn-param=139700000000;pn-silent=1;pn-timeout=0;transport=udp>",
    "sip:USER@127.0.0.1:PORT;app-id=929724111839;pn-type=firebase;pn-tok=ef_mSCGdp-0:APA91bFTOKEN;pn-silent=1;transport=udp",
    "<sip:USER@127.0.0.1:PORT;ob;pn-provider=apns>;reg-id=1;+sip.instance=\"<urn:uuid:0>\";pn-prid=TOKEN",
    "<sip:USER@127.0.0.1:PORT>;reg-id=1;app-id=*org.example.app*;pn-tok=*TOKEN*;pn-type=*apple*",
    "<sip:USER@127.0.0.1:PORT;PN-PROVIDER=APNS;Pn-Param=TEAM123456.com.example.phone.voip;Pn-Prid=TOKEN;Alias=x>",
    "<sip:USER@127.0.0.1:PORT;pn-provider=apns;pn-param=TEAM123456.com.example.phone.voip;pn-prid=;x=1>",
    "<sip:USER@127.0.0.1:PORT;pn-provider=apns;pn-param=TEAM123456.com.example.phone.voip;pn-prid=TOKENTOKENTOKENTOKENTOKEN;x=1>",
    "\"x;pn-tok=evil\" <sip:USER@127.0.0.1:PORT;x=1>",
    "\"Doe, J.\" <sip:USER@127.0.0.1:PORT;x=1>",
    "<sip:USER@127.0.0.1:PORT;maddr=127.0.0.1;x=1>",
    "<sip:u[1]@127.0.0.1:PORT>",
];

/// On the phone's own connection.
const CONNECTED: &[(Transport, &str)] = &[
    (
        Transport::Tcp,
        "<sip:USER@127.0.0.1:PORT;transport=TCP;app-id=com.example.phone;pn-voip-tok=TOKEN;pn-platform=iOS;ob>;reg-id=1",
    ),
    (
        Transport::Tls,
        "<sip:USER@127.0.0.1:PORT;transport=TLS;ob;pn-provider=fcm;pn-param=theapp-e6725;pn-prid=f7SUB30:APA91bTOKEN>",
    ),
    (
        Transport::Tls,
        "<sip:USER@127.0.0.1:PORT;transport=tls;alias=[::1]~5060~3;x=a=b>",
    ),
    // As JsSIP and SIP.js send it.
    (
        Transport::Ws,
        "<sip:u8c2k1vq@hq3r0o5t7s1p.invalid;transport=ws>;+sip.ice;reg-id=1;+sip.instance=\"<urn:uuid:0>\";expires=600",
    ),
    (
        Transport::Wss,
        "<sip:u8c2k1vq@hq3r0o5t7s1p.invalid;transport=ws>;+sip.ice;reg-id=1;+sip.instance=\"<urn:uuid:0>\";expires=600",
    ),
    (
        Transport::Wss,
        "<sip:USER@192.0.2.75;transport=ws;pn-provider=webpush;pn-prid=https%3A%2F%2Fpush.example.org%2Fs%2F1;x=a=[b]>;expires=600",
    ),
];

/// Contacts that FreeSWITCH itself changes, and what fswake sends: `/` in a value is where FreeSWITCH cuts it, and
/// `(null)` is what it prints for a missing user.
const MENDED: &[(Transport, &str, &str)] = &[
    (
        Transport::Udp,
        "<sip:USER@127.0.0.1:PORT;x=a/b;y=1>",
        "sip:USER@127.0.0.1:PORT;x=a/b;y=1",
    ),
    (Transport::Udp, "<sip:127.0.0.1:PORT>", "sip:127.0.0.1:PORT"),
    (
        Transport::Udp,
        "<sip:USER@127.0.0.1:PORT;pn-prid=device%3Dtoken+with/reserved;pn-provider=acme;x=1>",
        "sip:USER@127.0.0.1:PORT;x=1",
    ),
    (
        Transport::Udp,
        "<sip:USER@127.0.0.1:PORT;pn-uri=\"https://pn.acme.example.com/ZTY4\";x=1>",
        "sip:USER@127.0.0.1:PORT;x=1",
    ),
    // FreeSWITCH would call a number through its own gateway.
    (
        Transport::Udp,
        "<sip:a,sofia%2Fgateway%2Fgw%2F123@127.0.0.1:PORT>",
        "sip:a,sofia/gateway/gw/123@127.0.0.1:PORT",
    ),
    // A SIP URI must not have it unescaped.
    (
        Transport::Udp,
        "<sip:USER@127.0.0.1:PORT;x=é;y=1>",
        "sip:USER@127.0.0.1:PORT;x=%C3%A9;y=1",
    ),
    (
        Transport::Tls,
        "<sips:USER@127.0.0.1:PORT;x=1>",
        "sip:USER@127.0.0.1:PORT;transport=tls;x=1",
    ),
    // Behind NAT FreeSWITCH copies the parameters into its route, where it cannot parse them.
    (
        Transport::Wss,
        "<sip:USER@192.0.2.75;transport=ws;x=a=b;alias=[::1]~5060~6>",
        "sip:USER@192.0.2.75;transport=ws;x=a=b;alias=[::1]~5060~6",
    ),
];

/// Contacts that FreeSWITCH rejects.
const REFUSED: &[&str] = &[
    "<sip:USER@127.0.0.1:PORT;x=%zz;y=1>",
    "<sip:USER@[2001:db8::7%25eth0]:5060;ROUTE>",
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
    let stays = |param: &&str| {
        let param = param.to_ascii_lowercase();
        !param.starts_with("pn-") && !param.starts_with("app-id=")
    };
    uri.split(';').filter(stays).collect::<Vec<_>>().join(";")
}

/// One of the Contacts above, filled in for this phone.
fn filled(shape: &str, phone: &Phone) -> String {
    let route = format!("fs_path=sip%3A127.0.0.1%3A{}", phone.address().port());
    shape
        .replace("USER", &phone.account().user)
        .replace("TOKEN", &new_token())
        .replace("ROUTE", &route)
}

/// The request URIs of FreeSWITCH's own INVITE, without push parameters, and of fswake's to a phone that has registered
/// and declines.
pub async fn both_uris(site: &Site, phone: &Phone) -> (Option<String>, Option<String>) {
    let user = &phone.account().user;
    site.heard_of(user).await;
    site.fs.api(&format!("originate user/{user}@{DOMAIN} &park()")).await;
    let own = nth_invite(phone, 0).await;
    let call = site.caller().await.call(&format!("6{user}"));
    let ours = nth_invite(phone, usize::from(own.is_some())).await;
    call.outcome().await;
    call.hang_up().await;
    site.fs.becomes_silent(Duration::from_secs(5)).await;
    (
        own.map(|i| stripped(i.request_uri())),
        ours.map(|i| i.request_uri().to_owned()),
    )
}

/// Fails if the two differ, or if fswake's is not `mended`.
pub async fn compare(site: &Site, phone: &Phone, shape: &str, mended: Option<&str>) -> Result<(), String> {
    assert_eq!(phone.register().await, 200, "{shape}");
    let (own, ours) = both_uris(site, phone).await;
    eprintln!("{shape}\n    FreeSWITCH {own:?}\n    fswake     {ours:?}");
    let port = phone.address().port().to_string();
    let mended = mended.map(|uri| uri.replace("USER", &phone.account().user).replace("PORT", &port));
    if mended.or(own.clone()) == ours && ours.is_some() {
        Ok(())
    } else {
        Err(format!("{shape}: FreeSWITCH {own:?}, fswake {ours:?}"))
    }
}

async fn contact_goes_out_as_freeswitch_itself_sends_it(fs: Arc<RealFs>) {
    // It has just registered, and is rung without a push.
    let site = site(fs, &Settings::default().wake("max-wait", "8s").wake("fresh-for", "30s")).await;
    let plain = SHAPES.iter().map(|shape| (Transport::Udp, *shape, None));
    let connected = CONNECTED.iter().map(|(transport, shape)| (*transport, *shape, None));
    let mended = MENDED
        .iter()
        .map(|(transport, shape, uri)| (*transport, *shape, Some(*uri)));
    let mut differ = Vec::new();
    for (transport, shape, mended) in plain.chain(connected).chain(mended) {
        let script = Script {
            on_invite: Reaction::Decline(486),
            transport,
            ..Script::default()
        };
        let phone = Phone::new(site.fs.account(&site.fs.new_user(), DOMAIN), script).await;
        phone.contact_text(&filled(shape, &phone));
        differ.extend(compare(&site, &phone, shape, mended).await.err());
    }
    for shape in REFUSED {
        let phone = Phone::new(site.fs.account(&site.fs.new_user(), DOMAIN), Reaction::Ring).await;
        phone.contact_text(&filled(shape, &phone));
        assert_eq!(phone.register().await, 400, "{shape}");
    }
    assert!(differ.is_empty(), "{differ:#?}");
}
