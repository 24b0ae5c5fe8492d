//! Only current registrations are rung: phones that move, and old registrations that end after the new one began.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fswake_test_support::realfs::{CAPITALS, DOMAIN, RealFs};
use fswake_test_support::sip::{Phone, Reaction, Script, Transport};
use fswake_test_support::site::{Settings, Site, Wakes, new_token, push_params};

use crate::site;
use crate::steps::new_sleeper;

crate::trials![
    phone_that_reconnected_stays_known_when_its_old_connection_closes,
    phone_whose_only_connection_closes_is_pushed,
    phone_that_logs_its_old_place_out_is_rung_at_its_new_one,
    desk_phone_that_moved_beside_a_sleeping_mobile_is_rung_when_its_old_place_expires,
    phone_that_another_one_of_its_user_replaced_is_not_rung,
    phone_that_its_user_left_for_another_desk_logs_out_and_nobody_is_left_to_ring,
    phones_that_move_on_a_profile_by_call_id_are_rung_where_they_are,
    log_out_of_all_contacts_drops_the_token,
    phones_that_register_around_a_restart_are_all_known,
    first_call_after_freeswitchs_start_is_heard_to_ring_at_once,
    desk_that_another_user_logs_in_on_is_not_rung_for_the_first,
    user_with_capital_letters_is_read_and_asked_for,
    profile_that_starts_later_is_read,
];

/// A phone that keeps its Call-ID, with a token.
async fn phone(site: &Site, transport: Transport) -> Phone {
    let script = Script {
        transport,
        ..Reaction::Ring.into()
    };
    let phone = Phone::new(site.fs.account(&site.fs.new_user(), DOMAIN), script).await;
    site.give_token(&phone, Wakes::Never);
    phone
}

/// Waits until fswake has compared its bindings of this user with FreeSWITCH's registrations.
async fn compared(site: &Site, user: &str, times: usize) {
    let user = format!("aor={user}@");
    site.daemon().log.wait_times(times, &["event=Listed ", &user]).await;
}

/// A call rings the phone at its current Contact, immediately and without a push.
async fn is_rung_awake(site: &Site, phone: &Phone) {
    let before = (phone.invites(), site.pushes().len());
    let call = site.caller().await.call(&format!("7{}", phone.account().user));
    call.ringing().await;
    let rung = (phone.invites(), site.pushes().len());
    call.cancel().await;
    assert_eq!(call.outcome().await, 487);
    assert_eq!(rung, (before.0 + 1, before.1), "{}", phone.story());
}

/// A phone that has just registered is awake.
fn awake() -> Settings {
    Settings::default().wake("fresh-for", "30s").wake("push-delay", "2s")
}

/// On a WebSocket the Contact is the same in both connections, as with JsSIP.
async fn phone_that_reconnected_stays_known_when_its_old_connection_closes(fs: Arc<RealFs>) {
    let site = site(fs, &awake()).await;
    for transport in Transport::CONNECTIONS {
        let phone = phone(&site, transport).await;
        let user = phone.account().user.clone();
        assert_eq!(phone.register().await, 200);
        let old = phone.move_elsewhere().await;
        assert_eq!(phone.register().await, 200);
        site.heard(&phone).await;
        is_rung_awake(&site, &phone).await;
        old.close().await;
        let closed = ["event=Unregistered ", &user, "why=ConnectionClosed "];
        site.daemon().log.wait(&closed).await;
        compared(&site, &user, 1).await;
        is_rung_awake(&site, &phone).await;
    }
}

async fn phone_whose_only_connection_closes_is_pushed(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    for transport in Transport::CONNECTIONS {
        let phone = phone(&site, transport).await;
        let user = phone.account().user.clone();
        assert_eq!(phone.register().await, 200);
        site.heard(&phone).await;
        let before = site.pushes().len();
        phone.sleep();
        compared(&site, &user, 1).await;
        let call = site.caller().await.call(&format!("7{user}"));
        let pushes = site.pushed(before + 1).await;
        let took = pushes[before].at - call.started;
        assert!(
            took < Duration::from_millis(300),
            "{transport:?}: pushed after {took:?}"
        );
        call.cancel().await;
    }
}

/// It removes its previous Contact, as clients do when their address changes.
async fn phone_that_logs_its_old_place_out_is_rung_at_its_new_one(fs: Arc<RealFs>) {
    let site = site(fs, &awake()).await;
    // On a WebSocket the Contact is the same in every connection.
    for transport in [Transport::Udp, Transport::Tcp, Transport::Tls] {
        let phone = phone(&site, transport).await;
        let user = phone.account().user.clone();
        assert_eq!(phone.register().await, 200);
        let old = phone.place();
        let _old = phone.move_elsewhere().await;
        assert_eq!(phone.register().await, 200);
        site.heard(&phone).await;
        let now = phone.own_contact();
        phone.contact_text(&now.replace("PLACE", &old));
        assert_eq!(phone.unregister().await, 200);
        phone.contact_text(&now);
        site.daemon()
            .log
            .wait(&["event=Unregistered ", &user, "why=Explicit "])
            .await;
        is_rung_awake(&site, &phone).await;
        assert_eq!(site.daemon().log.count(&["device forgotten", &user]), 0);
        phone.sleep();
    }
}

async fn desk_phone_that_moved_beside_a_sleeping_mobile_is_rung_when_its_old_place_expires(fs: Arc<RealFs>) {
    let site = site(fs, &awake()).await;
    let (user, mobile) = new_sleeper(&site, DOMAIN, Wakes::Never, Reaction::Ring).await;
    site.forget_place(&mobile).await;
    let desk = Phone::new(site.fs.account(&user, DOMAIN), Reaction::Ring).await;
    assert_eq!(desk.register_for(10).await, 200);
    let old = desk.move_elsewhere().await;
    assert_eq!(desk.register().await, 200);
    site.heard(&desk).await;
    // The same for a phone with a token.
    let moved = phone(&site, Transport::Udp).await;
    assert_eq!(moved.register_for(10).await, 200);
    let _before = moved.move_elsewhere().await;
    assert_eq!(moved.register().await, 200);
    site.heard(&moved).await;
    let old = format!("127.0.0.1:{}", old.address().port());
    let expired = ["event=Unregistered ", "why=Expired ", &old];
    for _ in 0..300 {
        if site.daemon().log.count(&expired) > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert_eq!(site.daemon().log.count(&expired), 1, "{}", site.daemon().log.end());
    let call = site.caller().await.call(&format!("7{user}"));
    desk.rang().await;
    assert_eq!(desk.invites(), 1);
    site.pushed(1).await;
    call.cancel().await;
    let ended = ["event=Unregistered ", "why=Expired ", &moved.account().user];
    for _ in 0..100 {
        if site.daemon().log.count(&ended) > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert_eq!(site.daemon().log.count(&ended), 1, "{}", site.daemon().log.end());
    // A REGISTER, so that it is awake.
    assert_eq!(moved.register().await, 200);
    site.heard(&moved).await;
    is_rung_awake(&site, &moved).await;
}

/// Two desk phones of one user register at this server, one after the other.
async fn two_desks(site: &Site, server: std::net::SocketAddr) -> (Phone, Phone) {
    let mut account = site.fs.account(&site.fs.new_user(), DOMAIN);
    account.server = server;
    let first = Phone::new(account.clone(), Reaction::Ring).await;
    assert_eq!(first.register().await, 200);
    site.heard(&first).await;
    let second = Phone::new(account, Reaction::Ring).await;
    assert_eq!(second.register().await, 200);
    site.heard(&second).await;
    compared(site, &second.account().user, 1).await;
    (first, second)
}

async fn phone_that_another_one_of_its_user_replaced_is_not_rung(fs: Arc<RealFs>) {
    let site = site(fs, &awake()).await;
    let ports = site.fs.ports;
    for (server, both) in [(ports.single, false), (ports.sip, true), (ports.by_call_id, true)] {
        let (first, second) = two_desks(&site, server).await;
        is_rung_awake(&site, &second).await;
        assert_eq!(first.invites(), usize::from(both), "{server}: {}", first.story());
    }
}

async fn phone_that_its_user_left_for_another_desk_logs_out_and_nobody_is_left_to_ring(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    let (first, second) = two_desks(&site, site.fs.ports.single).await;
    // With `multiple-registrations=false` FreeSWITCH removes all other registrations of the user.
    assert_eq!(first.unregister().await, 200);
    let user = second.account().user.clone();
    compared(&site, &user, 2).await;
    let contact = site.fs.api(&format!("sofia_contact single/{user}@{DOMAIN}")).await;
    assert_eq!(contact, "error/user_not_registered");
    let call = site.caller().await.call(&format!("6{user}"));
    assert_eq!(call.outcome().await, 410);
    assert_eq!(second.invites(), 0, "{}", second.story());
}

async fn phones_that_move_on_a_profile_by_call_id_are_rung_where_they_are(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    let mut account = site.fs.account(&site.fs.new_user(), DOMAIN);
    account.server = site.fs.ports.by_call_id;
    let phone = Phone::new(account, Reaction::Ring).await;
    for invites in 1..=2 {
        assert_eq!(phone.register().await, 200);
        site.heard(&phone).await;
        let call = site.caller().await.call(&format!("7{}", phone.account().user));
        while phone.invites() < invites && call.started.elapsed() < Duration::from_secs(3) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        call.cancel().await;
        assert_eq!(call.outcome().await, 487);
        site.fs.becomes_silent(Duration::from_secs(5)).await;
        assert_eq!(phone.invites(), invites, "{}", phone.story());
        phone.move_elsewhere().await;
    }
}

async fn log_out_of_all_contacts_drops_the_token(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    let phone = phone(&site, Transport::Udp).await;
    let user = phone.account().user.clone();
    assert_eq!(phone.register().await, 200);
    site.heard(&phone).await;
    phone.contact_text("*");
    assert_eq!(phone.unregister().await, 200);
    site.daemon().log.wait(&["event=Unregistered ", &user]).await;
    site.daemon().log.wait(&["device forgotten", &user]).await;
}

/// 100 phones register at random moments during the two seconds in which fswake is restarted.
async fn phones_that_register_around_a_restart_are_all_known(fs: Arc<RealFs>) {
    const PHONES: u64 = 100;
    let mut site = site(fs, &Settings::default()).await;
    let begun = Instant::now();
    let mut registering = Vec::new();
    let mut users = Vec::new();
    for (n, transport) in (0..PHONES).zip(Transport::ALL.into_iter().cycle()) {
        let user = site.fs.new_user();
        let script = Script {
            transport,
            ..Reaction::Ring.into()
        };
        let phone = Phone::new(site.fs.account(&user, DOMAIN), script).await;
        phone.contact_params(&push_params(&new_token()));
        users.push(user);
        // Spread evenly, and the same in every run.
        let pause = Duration::from_micros(n.wrapping_mul(2_654_435_761) % 2_000_000);
        registering.push(tokio::spawn(async move {
            tokio::time::sleep_until((begun + pause + Duration::from_millis(500)).into()).await;
            (phone.register().await, phone)
        }));
    }
    tokio::time::sleep_until((begun + Duration::from_millis(1_300)).into()).await;
    site.kill_daemon().await;
    site.start_daemon().await;
    let started = Instant::now();
    let mut phones = Vec::new();
    for registered in registering {
        let (status, phone) = registered.await.expect("a phone");
        assert_eq!(status, 200);
        phones.push(phone);
    }
    tokio::time::sleep_until((started + Duration::from_secs(5)).into()).await;
    let knows = |user: &&String| site.daemon().log.count(&["event=Registered ", &format!("aor={user}@")]) > 0;
    let unknown: Vec<_> = users.iter().filter(|user| !knows(user)).collect();
    assert!(unknown.is_empty(), "{} of {PHONES}: {unknown:?}", unknown.len());
}

/// FreeSWITCH's first presence event delays all events by 500 ms. A call by a phone does not cause one.
async fn first_call_after_freeswitchs_start_is_heard_to_ring_at_once(fs: Arc<RealFs>) {
    let settings = Settings::default().wake("fresh-for", "30s").wake("push-delay", "400ms");
    let site = site(fs, &settings).await;
    // Events of that time arrive when it is over (docs/ARCHITECTURE.md, "Limits").
    for (restarts, after) in (1..).zip([550, 700, 1_500]) {
        site.fs.restart().await;
        site.daemon()
            .log
            .wait_times(1 + restarts, &["connected to FreeSWITCH"])
            .await;
        tokio::time::sleep(Duration::from_millis(after)).await;
        let phone = phone(&site, Transport::Udp).await;
        assert_eq!(phone.register().await, 200);
        site.heard(&phone).await;
        let call = site.caller().await.call(&format!("7{}", phone.account().user));
        phone.rang().await;
        call.ringing().await;
        let took = call.started.elapsed();
        eprintln!("after {after} ms: the caller hears it ring after {took:?}");
        assert!(took < Duration::from_millis(300), "after {after} ms: {took:?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(site.pushes().len(), 0);
        call.cancel().await;
    }
}

async fn desk_that_another_user_logs_in_on_is_not_rung_for_the_first(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    for (server, both) in [(site.fs.ports.by_call_id, false), (site.fs.ports.sip, true)] {
        let call_id = new_token();
        let mut desks = Vec::new();
        for _ in 0..2 {
            let mut account = site.fs.account(&site.fs.new_user(), DOMAIN);
            account.server = server;
            let desk = Phone::new(account, Reaction::Ring).await;
            assert_eq!(desk.register_as(&call_id).await, 200);
            site.heard(&desk).await;
            desks.push(desk);
            // Within one second FreeSWITCH keeps both: it deletes what does not end in the same second.
            tokio::time::sleep(Duration::from_millis(1_100)).await;
        }
        let first = desks[0].account().user.clone();
        compared(&site, &first, 1).await;
        let call = site.caller().await.call(&format!("6{first}"));
        if both {
            desks[0].rang().await;
            call.cancel().await;
        } else {
            assert_eq!(call.outcome().await, 410);
            assert_eq!(desks[0].invites(), 0, "{}", desks[0].story());
        }
    }
}

async fn user_with_capital_letters_is_read_and_asked_for(fs: Arc<RealFs>) {
    let mut site = site(fs, &Settings::default()).await;
    let domain = DOMAIN.to_uppercase();
    let mut phones = Vec::new();
    for _ in 0..2 {
        let phone = Phone::new(site.fs.account(CAPITALS, &domain), Reaction::Ring).await;
        phone.contact_params(&push_params(&new_token()));
        assert_eq!(phone.register().await, 200);
        phones.push(phone);
    }
    site.kill_daemon().await;
    site.start_daemon().await;
    let read = ["event=Registered ", &format!("aor={CAPITALS}@")];
    site.daemon().log.wait_times(2, &read).await;
    phones[0].move_elsewhere().await;
    assert_eq!(phones[0].register().await, 200);
    compared(&site, CAPITALS, 1).await;
    let answers = site.daemon().log.with(&["event=Listed "]);
    assert!(answers[0].contains("registrations=3 "), "{answers:?}");
    for phone in phones {
        phone.contact_text("*");
        assert_eq!(phone.unregister().await, 200);
    }
}

async fn profile_that_starts_later_is_read(fs: Arc<RealFs>) {
    let mut site = site(fs, &Settings::default()).await;
    let mut account = site.fs.account(&site.fs.new_user(), DOMAIN);
    account.server = site.fs.ports.single;
    let desk = Phone::new(account, Reaction::Ring).await;
    assert_eq!(desk.register().await, 200);
    let user = format!("aor={}@", desk.account().user);
    // FreeSWITCH does not stop a profile during its first ten seconds.
    while !site.fs.api("sofia profile single stop").await.contains("stopping") {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    while site.fs.api("sofia xmlstatus").await.contains("<name>single</name>") {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    site.kill_daemon().await;
    site.start_daemon().await;
    assert_eq!(site.daemon().log.count(&["event=Registered ", &user]), 0);
    // A profile that is still stopping does not start, although FreeSWITCH answers that it does.
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(3)).await;
        if !site.fs.api("sofia xmlstatus").await.contains("<name>single</name>") {
            site.fs.api("sofia profile single start").await;
        }
    }
    site.daemon().log.wait(&["SIP profiles have started", "single"]).await;
    let call = site.caller().await.call(&format!("7{}", desk.account().user));
    desk.rang().await;
    call.cancel().await;
    // FreeSWITCH was stopped for some seconds here, so its list of channels is out of date.
    tokio::time::sleep(Duration::from_secs(2)).await;
    site.fs.becomes_silent(Duration::from_secs(10)).await;
}
