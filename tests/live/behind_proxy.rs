//! Phones behind a Kamailio that FreeSWITCH knows by their Path (RFC 3327).

use std::sync::Arc;
use std::time::{Duration, Instant};

use fswake_test_support::kamailio::{Finds, Kamailio};
use fswake_test_support::realfs::{DOMAIN, RealFs};
use fswake_test_support::sip::{OutgoingCall, Phone, Reaction, Script, Transport};
use fswake_test_support::site::{Settings, Site, Wakes};
use futures_util::future::join_all;

use crate::one_dialog::is_rung_once;
use crate::site;

crate::trials![
    phone_behind_a_proxy_is_woken,
    phone_behind_a_proxy_that_has_just_gone_is_woken,
    phone_behind_a_proxy_sees_one_invite_whenever_it_wakes,
];

const ALL: [Transport; 5] = [
    Transport::Udp,
    Transport::Tcp,
    Transport::Tls,
    Transport::Ws,
    Transport::Wss,
];

const ANSWERS: Reaction = Reaction::Answer(Duration::from_millis(100));

fn script(transport: Transport, on_invite: Reaction) -> Script {
    Script {
        on_invite,
        transport,
        ..Script::default()
    }
}

/// A phone with a token, registered through the proxy.
async fn phone(site: &Site, proxy: &Kamailio, script: Script, wakes: Wakes) -> (Phone, String) {
    let account = site.fs.account(&site.fs.new_user(), DOMAIN);
    let phone = Phone::new(proxy.before(account), script).await;
    let token = site.give_token(&phone, wakes);
    assert_eq!(phone.register().await, 200);
    site.heard_of(&phone.account().user).await;
    (phone, token)
}

async fn call(site: &Site, phone: &Phone) -> OutgoingCall {
    site.caller().await.call(&format!("7{}", phone.account().user))
}

async fn phone_behind_a_proxy_is_woken(fs: Arc<RealFs>) {
    for finds in [Finds::Path, Finds::Alias] {
        let proxy = Kamailio::start(fs.ports.sip, finds).await;
        let site = site(fs.clone(), &Settings::default()).await;
        for transport in ALL {
            let (phone, _) = phone(&site, &proxy, script(transport, ANSWERS), Wakes::Elsewhere).await;
            phone.sleep();
            let call = call(&site, &phone).await;
            assert_eq!(call.outcome().await, 200, "{finds:?}, {transport:?}: {}", phone.story());
            phone.on_the_line().await;
            let after = phone.invited_after();
            eprintln!("{finds:?}, {transport:?}: INVITE {after:?} after the REGISTER");
            call.hang_up().await;
            phone.ended().await;
        }
    }
}

/// Its last sign of life is a moment old, and the proxy finds no connection any more.
async fn phone_behind_a_proxy_that_has_just_gone_is_woken(fs: Arc<RealFs>) {
    let proxy = Kamailio::start(fs.ports.sip, Finds::Path).await;
    let site = site(fs.clone(), &Settings::default().wake("fresh-for", "30s")).await;
    for transport in ALL {
        let (phone, _) = phone(&site, &proxy, script(transport, ANSWERS), Wakes::Elsewhere).await;
        phone.sleep();
        let call = call(&site, &phone).await;
        assert_eq!(call.outcome().await, 200, "{transport:?}: {}", phone.story());
        phone.on_the_line().await;
        call.hang_up().await;
        phone.ended().await;
    }
}

/// After its push, in milliseconds.
const WAKES: [u64; 6] = [0, 300, 900, 2200, 4000, 8000];

async fn phone_behind_a_proxy_sees_one_invite_whenever_it_wakes(fs: Arc<RealFs>) {
    let proxy = Kamailio::start(fs.ports.sip, Finds::Path).await;
    let site = site(fs, &Settings::default()).await;
    let all = ALL.into_iter().flat_map(|of| WAKES.map(|wake| (of, wake)));
    join_all(all.map(async |(transport, wake)| {
        let answers = Reaction::Answer(ms(300));
        let (phone, token) = phone(&site, &proxy, script(transport, answers), Wakes::Never).await;
        if transport == Transport::Udp {
            phone.doze();
        } else {
            phone.freeze();
        }
        let call = call(&site, &phone).await;
        site.pushed_to_times(&token, 1).await;
        tokio::time::sleep(ms(wake)).await;
        let woken = Instant::now();
        phone.wake_in_place();
        phone.thaw();
        phone.register().await;
        let rung = phone.rang().await.saturating_duration_since(woken);
        eprintln!("{transport:?}, woken after {wake} ms: rings {rung:?} later");
        assert!(rung < ms(700), "{transport:?}, {wake}: {rung:?}");
        is_rung_once(&phone, call, &format!("{transport:?}, {wake} ms")).await;
    }))
    .await;
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}
