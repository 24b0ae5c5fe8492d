//! Phones behind a Kamailio that FreeSWITCH knows by their Path (RFC 3327).

use std::sync::Arc;
use std::time::Instant;

use fswake_test_support::kamailio::{Finds, Kamailio};
use fswake_test_support::realfs::{DOMAIN, RealFs};
use fswake_test_support::sip::{Phone, Reaction, Script, Transport};
use fswake_test_support::site::{Settings, Site, Wakes};
use futures_util::future::join_all;

use crate::contacts::compare;
use crate::one_dialog::{
    assert_soon, call, is_pushed_again_once_it_is_silent, is_rung_by_the_invite_that_is_under_way, is_rung_once, ms,
    registers_elsewhere, rings_soon, script,
};
use crate::site;
use crate::steps::{answers, hang_up};

crate::trials![
    phone_behind_a_proxy_is_woken,
    phone_behind_a_proxy_that_has_just_gone_is_woken,
    phone_behind_a_proxy_sees_one_invite_whenever_it_wakes,
    phone_behind_a_proxy_that_has_just_fallen_asleep_is_rung_by_the_invite_that_is_under_way,
    phone_behind_a_proxy_that_comes_back_elsewhere_is_rung_at_once,
    phone_behind_a_proxy_that_stays_silent_is_pushed_again_and_rung_at_its_next_register,
    phone_behind_a_proxy_that_declined_and_fell_asleep_is_pushed_at_once_when_it_is_redialled,
    phone_behind_a_proxy_that_logs_out_is_not_pushed,
    contact_reaches_the_proxy_as_freeswitch_itself_sends_it,
];

const ANSWERS: Reaction = answers(100);

/// A phone with a token, registered through the proxy.
async fn phone(site: &Site, proxy: &Kamailio, script: Script, wakes: Wakes) -> (Phone, String) {
    let account = site.fs.account(&site.fs.new_user(), DOMAIN);
    let phone = Phone::new(proxy.before(account), script).await;
    let token = site.give_token(&phone, wakes);
    assert_eq!(phone.register().await, 200);
    site.heard_of(&phone.account().user).await;
    (phone, token)
}

async fn phone_behind_a_proxy_is_woken(fs: Arc<RealFs>) {
    for finds in [Finds::Path, Finds::Alias] {
        let proxy = Kamailio::start(fs.ports.sip, finds).await;
        let site = site(fs.clone(), &Settings::default()).await;
        for transport in Transport::ALL {
            let (phone, _) = phone(&site, &proxy, script(transport, ANSWERS), Wakes::Elsewhere).await;
            phone.sleep();
            let call = call(&site, &phone).await;
            assert_eq!(call.outcome().await, 200, "{finds:?}, {transport:?}: {}", phone.story());
            phone.on_the_line().await;
            let after = phone.invited_after();
            eprintln!("{finds:?}, {transport:?}: INVITE {after:?} after the REGISTER");
            hang_up(&call, &phone).await;
        }
    }
}

/// It registered a moment ago, but the proxy no longer has its connection.
async fn phone_behind_a_proxy_that_has_just_gone_is_woken(fs: Arc<RealFs>) {
    let proxy = Kamailio::start(fs.ports.sip, Finds::Path).await;
    let site = site(fs.clone(), &Settings::default().wake("fresh-for", "30s")).await;
    for transport in Transport::ALL {
        let (phone, _) = phone(&site, &proxy, script(transport, ANSWERS), Wakes::Elsewhere).await;
        phone.sleep();
        let call = call(&site, &phone).await;
        assert_eq!(call.outcome().await, 200, "{transport:?}: {}", phone.story());
        phone.on_the_line().await;
        hang_up(&call, &phone).await;
    }
}

/// After its push, in milliseconds.
const WAKES: [u64; 6] = [0, 300, 900, 2200, 4000, 8000];

async fn phone_behind_a_proxy_sees_one_invite_whenever_it_wakes(fs: Arc<RealFs>) {
    let proxy = Kamailio::start(fs.ports.sip, Finds::Path).await;
    let site = site(fs, &Settings::default()).await;
    let all = Transport::ALL.into_iter().flat_map(|of| WAKES.map(|wake| (of, wake)));
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
        rings_soon(&phone, woken, &format!("{transport:?}, woken after {wake} ms")).await;
        is_rung_once(&phone, call, &format!("{transport:?}, {wake} ms")).await;
    }))
    .await;
}

/// Over UDP the proxy retransmits the INVITE after 0.5, 1.5 and 3.5 s. The push is sent 0.5 s after the INVITE.
async fn phone_behind_a_proxy_that_has_just_fallen_asleep_is_rung_by_the_invite_that_is_under_way(fs: Arc<RealFs>) {
    let proxy = Kamailio::start(fs.ports.sip, Finds::Path).await;
    let site = site(fs, &Settings::default().wake("fresh-for", "30s")).await;
    let lost = [700, 2750].map(|wake| (true, wake));
    let kept = [0, 300, 900, 2200, 4000].map(|wake| (false, wake));
    join_all(lost.into_iter().chain(kept).map(async |(is_lost, wake)| {
        let answers = Reaction::Answer(ms(300));
        let (phone, token) = phone(&site, &proxy, script(Transport::Udp, answers), Wakes::Never).await;
        phone.freeze();
        let call = call(&site, &phone).await;
        site.pushed_to_times(&token, 1).await;
        is_rung_by_the_invite_that_is_under_way(&phone, call, is_lost, wake).await;
    }))
    .await;
}

/// Alternates between a restarted app and one that reconnects with the same Call-ID. The old connection to the proxy
/// stays open.
async fn phone_behind_a_proxy_that_comes_back_elsewhere_is_rung_at_once(fs: Arc<RealFs>) {
    for (finds, turn) in [(Finds::Path, 0), (Finds::Alias, 1)] {
        let proxy = Kamailio::start(fs.ports.sip, finds).await;
        let site = site(fs.clone(), &Settings::default()).await;
        let lanes = Transport::ALL.into_iter().zip(0..);
        let all = join_all(lanes.map(async |(transport, lane)| {
            // Staggered, because they share a machine.
            tokio::time::sleep(ms(lane * 70)).await;
            let (phone, token) = phone(&site, &proxy, script(transport, ANSWERS), Wakes::Never).await;
            phone.doze();
            let call = call(&site, &phone).await;
            site.pushed_to_times(&token, 1).await;
            tokio::time::sleep(ms(900)).await;
            registers_elsewhere(&phone, (lane + turn) % 2 == 0).await;
            phone.invited().await;
            let after = phone.invited_after();
            eprintln!("{finds:?}, {transport:?}: INVITE {after:?} after the REGISTER");
            is_rung_once(&phone, call, &format!("{finds:?}, {transport:?}")).await;
            after
        }));
        assert_soon(all.await, &format!("{finds:?}"));
    }
}

async fn phone_behind_a_proxy_that_stays_silent_is_pushed_again_and_rung_at_its_next_register(fs: Arc<RealFs>) {
    let proxy = Kamailio::start(fs.ports.sip, Finds::Path).await;
    let site = site(fs, &Settings::default().wake("push-retry", "1s")).await;
    join_all(Transport::ALL.map(async |transport| {
        let (phone, token) = phone(&site, &proxy, script(transport, Reaction::Silent), Wakes::Never).await;
        is_pushed_again_once_it_is_silent(&site, &phone, &token, transport).await;
    }))
    .await;
}

/// FreeSWITCH sees only the proxy's connection, so the phone stays registered all the time.
async fn phone_behind_a_proxy_that_declined_and_fell_asleep_is_pushed_at_once_when_it_is_redialled(fs: Arc<RealFs>) {
    let proxy = Kamailio::start(fs.ports.sip, Finds::Path).await;
    let mut settings = Settings::default().wake("push-gap", "30s");
    settings.wake.insert("device-pushes-per-minute", "0".into());
    let site = site(fs, &settings).await;
    for transport in Transport::ALL {
        let declines = script(transport, Reaction::Decline(486));
        let (phone, token) = phone(&site, &proxy, declines, Wakes::Elsewhere).await;
        phone.sleep();
        let first = call(&site, &phone).await;
        assert_eq!(first.outcome().await, 486, "{transport:?}: {}", phone.story());
        site.pushed_to_times(&token, 1).await;
        phone.sleep();
        phone.behave(script(transport, ANSWERS));
        let second = call(&site, &phone).await;
        site.pushed_to_times(&token, 2).await;
        assert_eq!(second.outcome().await, 200, "{transport:?}: {}", phone.story());
        let waited = second.started.elapsed();
        assert!(waited < ms(2000), "{transport:?}: {waited:?}");
        second.hang_up().await;
        phone.ended().await;
    }
}

async fn phone_behind_a_proxy_that_logs_out_is_not_pushed(fs: Arc<RealFs>) {
    for finds in [Finds::Path, Finds::Alias] {
        let proxy = Kamailio::start(fs.ports.sip, finds).await;
        let site = site(fs.clone(), &Settings::default()).await;
        for transport in Transport::ALL {
            let (phone, _) = phone(&site, &proxy, script(transport, ANSWERS), Wakes::Elsewhere).await;
            let user = phone.account().user.clone();
            assert_eq!(phone.unregister().await, 200);
            site.daemon().log.wait(&["device forgotten", &user]).await;
            let call = site.caller().await.call(&format!("6{user}"));
            assert_eq!(call.outcome().await, 410, "{transport:?}");
            assert_eq!((site.pushes().len(), phone.invites()), (0, 0), "{transport:?}");
        }
    }
}

/// Contacts that name an address of their own where the proxy and FreeSWITCH look for one.
async fn contact_reaches_the_proxy_as_freeswitch_itself_sends_it(fs: Arc<RealFs>) {
    let settings = Settings::default().wake("max-wait", "8s").wake("fresh-for", "30s");
    for finds in [Finds::Path, Finds::Alias] {
        let proxy = Kamailio::start(fs.ports.sip, finds).await;
        let site = site(fs.clone(), &settings).await;
        let mut differ = Vec::new();
        for (transport, params) in [
            (Transport::Udp, ";alias=[::1]~5060~1"),
            (Transport::Udp, ";x=a=b;y=[2001:db8::7];received=127.0.0.1:9"),
            (Transport::Udp, ";fs_nat=yes;x=1"),
            (Transport::Tcp, ";x=[::1]=a;lr;ob"),
            (Transport::Tls, ";received=127.0.0.1~9~1"),
            (Transport::Wss, ";alias=127.0.0.1~9~1;x=[::1]"),
        ] {
            let account = site.fs.account(&site.fs.new_user(), DOMAIN);
            let declines = script(transport, Reaction::Decline(486));
            let phone = Phone::new(proxy.before(account), declines).await;
            phone.contact_params(params);
            differ.extend(
                compare(&site, &phone, &format!("{finds:?}, {params}"), None)
                    .await
                    .err(),
            );
        }
        assert!(differ.is_empty(), "{differ:#?}");
    }
}
