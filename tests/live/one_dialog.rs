//! A phone sees one ringing call, whatever it slept through, and is rung at once when it comes back.
//!
//! The expectations are those of docs/ARCHITECTURE.md, "One dialog".

use std::sync::Arc;
use std::time::{Duration, Instant};

use fswake_test_support::realfs::{DOMAIN, RealFs};
use fswake_test_support::sip::{OutgoingCall, Phone, Reaction, Script, Transport, What};
use fswake_test_support::site::{Settings, Site, Wakes};
use futures_util::future::join_all;

use crate::site;
use crate::steps::{hang_up, new_sleeper};

crate::trials![
    udp_phone_that_wakes_where_it_slept_sees_one_invite_whenever_it_wakes,
    udp_phone_that_has_just_fallen_asleep_is_rung_by_the_invite_that_is_under_way,
    udp_phone_that_misses_the_repeated_invite_keeps_its_call,
    phone_that_thaws_with_its_connection_sees_one_invite_whenever_it_thaws,
    phone_that_comes_back_from_a_dead_connection_is_rung_as_fast_as_over_udp,
    phone_that_was_awake_and_comes_back_from_a_dead_connection_is_rung_at_once,
    phone_that_registers_and_stays_silent_is_pushed_again_and_rung_at_its_next_register,
    redial_after_a_decline_and_a_closed_connection_pushes_at_once,
    redial_after_a_decline_and_an_unregister_pushes_at_once,
];

/// After its push, in milliseconds.
const WAKES: [u64; 8] = [0, 300, 900, 1500, 2200, 3300, 5000, 8000];

pub fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub fn script(transport: Transport, on_invite: Reaction) -> Script {
    Script {
        on_invite,
        transport,
        ..Script::default()
    }
}

/// A registered phone with a token. Only the test wakes it.
async fn phone(site: &Site, script: Script) -> (Phone, String) {
    let user = site.fs.new_user();
    let phone = Phone::new(site.fs.account(&user, DOMAIN), script).await;
    let token = site.give_token(&phone, Wakes::Never);
    assert_eq!(phone.register().await, 200);
    site.heard(&phone).await;
    (phone, token)
}

pub async fn call(site: &Site, phone: &Phone) -> OutgoingCall {
    site.caller().await.call(&format!("7{}", phone.account().user))
}

/// After FreeSWITCH starts, the events of its first call are half a second late.
async fn warm_up(site: &Site) {
    let (phone, _) = phone(site, Script::default()).await;
    phone.contact_params("");
    assert_eq!(phone.register().await, 200);
    for _ in 0..2 {
        let call = call(site, &phone).await;
        assert_eq!(call.outcome().await, 200);
        phone.on_the_line().await;
        hang_up(&call, &phone).await;
    }
}

/// About 5 ms on an idle machine. On a busy machine a few are late.
pub fn assert_soon(mut all: Vec<Duration>, what: &str) {
    all.sort();
    let median = all[all.len() / 2];
    assert!(median < ms(60), "{what}: INVITE {all:?} after the REGISTER");
}

fn cancels(phone: &Phone) -> usize {
    phone.count(|w| matches!(w, What::Cancelled(_)))
}

/// The phone rings within 700 ms after it is back.
pub async fn rings_soon(phone: &Phone, since: Instant, what: &str) {
    let rung = phone.rang().await.saturating_duration_since(since);
    eprintln!("{what}: rings {rung:?} later");
    assert!(rung < ms(700), "{what}: {rung:?}");
}

/// Registers from a new port while the old connection stays open: as a restarted app, or as one that reconnects with
/// the same Call-ID.
pub async fn registers_elsewhere(phone: &Phone, is_anew: bool) {
    if is_anew {
        phone.wake_elsewhere().await;
    } else {
        phone.wake_in_place();
        phone.move_elsewhere().await;
    }
    assert_eq!(phone.register().await, 200);
}

/// The phone was rung once and connected, and gets no other INVITE during the call.
pub async fn is_rung_once(phone: &Phone, call: OutgoingCall, what: &str) {
    assert_eq!(call.outcome().await, 200, "{what}: {}", phone.story());
    phone.on_the_line().await;
    // Longer than until the next retransmission of an INVITE that the phone missed.
    tokio::time::sleep(ms(4500)).await;
    assert_eq!((phone.invites(), cancels(phone)), (1, 0), "{what}: {}", phone.story());
    hang_up(&call, phone).await;
}

async fn udp_phone_that_wakes_where_it_slept_sees_one_invite_whenever_it_wakes(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    warm_up(&site).await;
    let all = join_all(WAKES.map(async |wake| {
        let (phone, token) = phone(&site, script(Transport::Udp, Reaction::Answer(ms(300)))).await;
        phone.doze();
        let call = call(&site, &phone).await;
        assert!(site.pushed_to(&token).await);
        tokio::time::sleep(ms(wake)).await;
        phone.wake_in_place();
        phone.register_anew().await;
        phone.invited().await;
        let after = phone.invited_after();
        eprintln!("udp, woken after {wake} ms: INVITE {after:?} after the REGISTER");
        is_rung_once(&phone, call, &format!("{wake} ms")).await;
        after
    }));
    assert_soon(all.await, "udp");
}

/// A phone that registered a moment ago and receives nothing when it is called. Its push is sent 500 ms after its
/// INVITE.
async fn just_asleep(site: &Site) -> (Phone, OutgoingCall) {
    let (phone, token) = phone(site, script(Transport::Udp, Reaction::Answer(ms(300)))).await;
    phone.freeze();
    let call = call(site, &phone).await;
    assert!(site.pushed_to(&token).await);
    (phone, call)
}

/// A frozen phone was called. It wakes after so many milliseconds; what reached it meanwhile is still in its socket, or
/// `is_lost`.
pub async fn is_rung_by_the_invite_that_is_under_way(phone: &Phone, call: OutgoingCall, is_lost: bool, wake: u64) {
    if is_lost {
        phone.doze();
        phone.thaw();
    }
    tokio::time::sleep(ms(wake)).await;
    let woken = Instant::now();
    phone.wake_in_place();
    phone.thaw();
    phone.register_anew().await;
    let what = format!("just asleep, INVITE lost: {is_lost}, woken after {wake} ms");
    rings_soon(phone, woken, &what).await;
    is_rung_once(phone, call, &what).await;
}

async fn udp_phone_that_has_just_fallen_asleep_is_rung_by_the_invite_that_is_under_way(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default().wake("fresh-for", "30s")).await;
    warm_up(&site).await;
    // FreeSWITCH retransmits the INVITE 1 s and 3 s after it was first sent.
    let lost = [(true, 150), (true, 250), (true, 2200)];
    let kept = WAKES.map(|wake| (false, wake));
    let all = lost.into_iter().chain(kept);
    join_all(all.map(async |(is_lost, wake)| {
        let (phone, call) = just_asleep(&site).await;
        is_rung_by_the_invite_that_is_under_way(&phone, call, is_lost, wake).await;
    }))
    .await;
}

async fn udp_phone_that_misses_the_repeated_invite_keeps_its_call(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default().wake("fresh-for", "30s")).await;
    warm_up(&site).await;
    join_all([700, 1500].map(async |wake| {
        let (phone, call) = just_asleep(&site).await;
        phone.doze();
        phone.thaw();
        tokio::time::sleep(ms(wake)).await;
        let woken = Instant::now();
        phone.wake_in_place();
        phone.register_anew().await;
        rings_soon(&phone, woken, &format!("INVITE missed, woken after {wake} ms")).await;
        assert_eq!(call.outcome().await, 200, "{}", phone.story());
        phone.on_the_line().await;
        // The missed INVITE is retransmitted once more and then cancelled: FreeSWITCH offers no way to stop it.
        tokio::time::sleep(ms(3500)).await;
        assert_eq!((phone.invites(), cancels(&phone)), (2, 1), "{}", phone.story());
        assert!(
            !phone.happenings().iter().any(|h| matches!(h.what, What::Ended(_))),
            "{}",
            phone.story()
        );
        hang_up(&call, &phone).await;
    }))
    .await;
}

async fn phone_that_thaws_with_its_connection_sees_one_invite_whenever_it_thaws(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    warm_up(&site).await;
    let all = Transport::CONNECTIONS
        .into_iter()
        .flat_map(|of| WAKES.map(|wake| (of, wake)));
    join_all(all.map(async |(transport, wake)| {
        let (phone, token) = phone(&site, script(transport, Reaction::Answer(ms(300)))).await;
        phone.freeze();
        let call = call(&site, &phone).await;
        assert!(site.pushed_to(&token).await);
        tokio::time::sleep(ms(wake)).await;
        let thawed = Instant::now();
        phone.thaw();
        phone.register().await;
        rings_soon(&phone, thawed, &format!("{transport:?}, thawed after {wake} ms")).await;
        is_rung_once(&phone, call, &format!("{transport:?}, {wake} ms")).await;
    }))
    .await;
}

async fn phone_that_comes_back_from_a_dead_connection_is_rung_as_fast_as_over_udp(fs: Arc<RealFs>) {
    comes_back(fs, &Settings::default(), &[300, 1500, 3300]).await;
}

async fn phone_that_was_awake_and_comes_back_from_a_dead_connection_is_rung_at_once(fs: Arc<RealFs>) {
    let settings = Settings::default().wake("fresh-for", "30s");
    comes_back(fs, &settings, &[50, 200, 300, 700]).await;
}

/// Nobody reads from the old connection, which stays open. The phone alternates: it registers as a restarted app, or as
/// one that reconnects with the same Call-ID (and, on a WebSocket, with the same Contact).
async fn comes_back(fs: Arc<RealFs>, settings: &Settings, wakes: &[u64]) {
    let site = site(fs, settings).await;
    warm_up(&site).await;
    let lanes = Transport::ALL.into_iter().zip(0..);
    join_all(lanes.map(async |(transport, lane)| {
        // Staggered, because they share a machine.
        tokio::time::sleep(ms(lane * 70)).await;
        let mut all = Vec::new();
        for (wake, turn) in wakes.iter().zip(lane..) {
            let is_anew = turn % 2 == 0;
            let (phone, token) = phone(&site, script(transport, Reaction::Answer(ms(300)))).await;
            phone.doze();
            let call = call(&site, &phone).await;
            assert!(site.pushed_to(&token).await);
            tokio::time::sleep(ms(*wake)).await;
            registers_elsewhere(&phone, is_anew).await;
            phone.invited().await;
            let after = phone.invited_after();
            eprintln!("{transport:?}, elsewhere after {wake} ms, anew: {is_anew}: INVITE {after:?} after the REGISTER");
            all.push(after);
            assert_eq!(call.outcome().await, 200, "{}", phone.story());
            phone.on_the_line().await;
            assert_eq!((phone.invites(), cancels(&phone)), (1, 0), "{}", phone.story());
            hang_up(&call, &phone).await;
        }
        assert_soon(all, &format!("{transport:?}"));
    }))
    .await;
}

async fn phone_that_registers_and_stays_silent_is_pushed_again_and_rung_at_its_next_register(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default().wake("push-retry", "1s")).await;
    join_all(Transport::ALL.map(async |transport| {
        let (phone, token) = phone(&site, script(transport, Reaction::Silent)).await;
        is_pushed_again_once_it_is_silent(&site, &phone, &token, transport).await;
    }))
    .await;
}

/// A phone that registers and does not ring is pushed again, and then answers.
pub async fn is_pushed_again_once_it_is_silent(site: &Site, phone: &Phone, token: &str, transport: Transport) {
    phone.doze();
    let call = call(site, phone).await;
    site.pushed_to_times(token, 1).await;
    phone.wake_elsewhere().await;
    assert_eq!(phone.register().await, 200);
    site.pushed_to_times(token, 2).await;
    phone.behave(script(transport, Reaction::Answer(ms(300))));
    phone.wake_elsewhere().await;
    assert_eq!(phone.register().await, 200);
    phone.invited().await;
    let after = phone.invited_after();
    assert!(after < ms(700), "{transport:?}: {after:?}");
    is_rung_once(phone, call, &format!("{transport:?}")).await;
}

async fn redial_after_a_decline_and_a_closed_connection_pushes_at_once(fs: Arc<RealFs>) {
    let site = site(fs, &redials()).await;
    redial(&site, &Transport::CONNECTIONS, async |phone| phone.sleep()).await;
}

async fn redial_after_a_decline_and_an_unregister_pushes_at_once(fs: Arc<RealFs>) {
    let site = site(fs, &redials().wake("on-unregister", "keep")).await;
    redial(&site, &Transport::ALL, async |phone| {
        assert_eq!(phone.unregister().await, 200);
    })
    .await;
}

fn redials() -> Settings {
    let mut settings = Settings::default().wake("push-gap", "30s");
    settings.wake.insert("device-pushes-per-minute", "0".into());
    settings
}

/// A woken phone declines, its app is suspended (`sleep`), and the caller redials.
async fn redial(site: &Site, transports: &[Transport], falls_asleep: impl AsyncFn(&Phone)) {
    for &transport in transports {
        let (user, phone) = new_sleeper(
            site,
            DOMAIN,
            Wakes::Elsewhere,
            script(transport, Reaction::Decline(486)),
        )
        .await;
        let before = site.pushes().len();
        let first = call(site, &phone).await;
        assert_eq!(first.outcome().await, 486, "{}", phone.story());
        let ends = site.daemon().log.count(&["event=Unregistered ", &user]);
        falls_asleep(&phone).await;
        site.daemon()
            .log
            .wait_times(ends + 1, &["event=Unregistered ", &user])
            .await;
        phone.behave(script(transport, Reaction::Answer(ms(100))));
        let second = call(site, &phone).await;
        site.pushed(before + 2).await;
        assert_eq!(second.outcome().await, 200, "{}", phone.story());
        let waited = second.started.elapsed();
        assert!(waited < ms(2000), "{waited:?}");
        second.hang_up().await;
        phone.ended().await;
    }
}
