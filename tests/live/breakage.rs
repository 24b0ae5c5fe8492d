//! fswake dies, FreeSWITCH restarts, connections break: no call does worse than without fswake.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fswake_test_support::proxy::Forwarder;
use fswake_test_support::realfs::{DOMAIN, RealFs, WAKE_DOMAIN};
use fswake_test_support::sip::{Reaction, Script};
use fswake_test_support::site::{Settings, Wakes};

use crate::site;
use crate::steps::{answered_call, answers, hang_up, new_sleeper};

crate::trials![
    killed_during_a_hold_the_dialplan_goes_on_at_once,
    killed_while_the_caller_is_played_to_the_dialplan_goes_on_at_once,
    killed_while_legs_ring_the_caller_goes_on_and_the_legs_end_within_five_seconds,
    killed_while_a_dial_string_leg_rings_the_plain_bridge_follows,
    killed_during_a_call_the_call_goes_on,
    killed_during_a_dial_string_call_the_call_goes_on,
    without_the_daemon_the_dialplan_goes_on_at_once,
    without_the_daemon_an_awake_phone_is_rung_plainly_both_ways,
    without_the_daemon_a_phone_is_reached_through_two_loopbacks,
    told_to_stop_held_calls_are_finished_and_new_ones_go_on_at_once,
    told_to_stop_held_calls_go_back_when_the_time_is_up,
    restarted_daemon_wakes_a_phone_that_it_knows_from_its_store,
    lost_event_socket_during_a_hold_is_caught_up,
    restarted_freeswitch_is_connected_to_again,
];

const NEXT_ACTION: u16 = 410;
const AT_ONCE: Duration = Duration::from_millis(800);

async fn killed_during_a_hold_the_dialplan_goes_on_at_once(fs: Arc<RealFs>) {
    let mut site = site(fs, &Settings::default()).await;
    let (user, phone) = new_sleeper(&site, DOMAIN, Wakes::Never, Script::default()).await;
    site.forget_place(&phone).await;
    let call = site.caller().await.call(&format!("6{user}"));
    call.ringing().await;
    let killed = Instant::now();
    site.kill_daemon().await;
    let (at, outcome) = call.outcome_at().await;
    assert_eq!(outcome, NEXT_ACTION);
    assert!(at - killed < AT_ONCE, "{:?}", at - killed);
}

/// Nothing that is played ends by itself.
async fn killed_while_the_caller_is_played_to_the_dialplan_goes_on_at_once(fs: Arc<RealFs>) {
    let mut site = site(fs, &Settings::default()).await;
    let (user, phone) = new_sleeper(&site, DOMAIN, Wakes::Never, Script::default()).await;
    site.forget_place(&phone).await;
    let call = site.caller().await.call(&format!("6{user}-ringback=silence"));
    let early = call
        .response_within(Duration::from_secs(10), |status| status == 183)
        .await;
    assert!(early.is_some(), "no early media");
    let killed = Instant::now();
    site.kill_daemon().await;
    let (at, outcome) = call.outcome_at().await;
    assert_eq!(outcome, NEXT_ACTION);
    assert!(at - killed < AT_ONCE, "{:?}", at - killed);
}

async fn killed_while_legs_ring_the_caller_goes_on_and_the_legs_end_within_five_seconds(fs: Arc<RealFs>) {
    let mut site = site(fs, &Settings::default()).await;
    let (user, mobile) = new_sleeper(&site, DOMAIN, Wakes::Elsewhere, Reaction::Ring).await;
    let desk = site.desk_phone(&user, DOMAIN, Reaction::Ring).await;
    let call = site.caller().await.call(&format!("6{user}"));
    mobile.rang().await;
    desk.rang().await;
    // Long enough that the lease has been renewed.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let killed = Instant::now();
    site.kill_daemon().await;
    let (at, outcome) = call.outcome_at().await;
    assert_eq!(outcome, NEXT_ACTION);
    // FreeSWITCH resumes the dialplan when that connection's originates end: when the legs' leases expire.
    eprintln!("the caller went on {:?} after the daemon", at - killed);
    assert!(at - killed < Duration::from_secs(5), "{:?}", at - killed);
    for phone in [mobile, desk] {
        let (cancelled, _) = phone.cancelled().await;
        let after = cancelled.saturating_duration_since(killed);
        eprintln!("leg ended {after:?} after the daemon");
        assert!(after < Duration::from_secs(5), "leg ended {after:?} after the daemon");
    }
    site.fs.becomes_silent(Duration::from_secs(1)).await;
}

async fn killed_while_a_dial_string_leg_rings_the_plain_bridge_follows(fs: Arc<RealFs>) {
    let mut site = site(fs, &Settings::default()).await;
    let user = site.fs.new_user();
    let phone = site.desk_phone(&user, WAKE_DOMAIN, Reaction::Ring).await;
    let call = site.caller().await.call(&format!("5{user}"));
    phone.rang().await;
    phone.behave(answers(300));
    site.kill_daemon().await;
    assert_eq!(call.outcome().await, 200);
    phone.cancelled().await;
    assert_eq!(phone.invites(), 2, "{}", phone.story());
    hang_up(&call, &phone).await;
}

/// A connected call outlives a killed daemon: nothing ends for longer than any lease or timer of fswake's.
async fn call_outlives_the_daemon(fs: Arc<RealFs>, way: &str, domain: &str) {
    let mut site = site(fs, &Settings::default()).await;
    let (user, phone) = new_sleeper(&site, domain, Wakes::Elsewhere, Script::default()).await;
    let caller = site.caller().await;
    let call = caller.call(&format!("{way}{user}"));
    assert_eq!(call.outcome().await, 200);
    phone.on_the_line().await;
    site.daemon().log.wait(&["call over", "connected"]).await;
    site.kill_daemon().await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(!call.is_ended(), "{}", caller.story());
    site.fs.active_channels(2).await;
    phone.hang_up().await;
    call.ended().await;
}

async fn killed_during_a_call_the_call_goes_on(fs: Arc<RealFs>) {
    call_outlives_the_daemon(fs, "7", DOMAIN).await;
}

async fn killed_during_a_dial_string_call_the_call_goes_on(fs: Arc<RealFs>) {
    // The loopback left the call at the answer.
    call_outlives_the_daemon(fs, "5", WAKE_DOMAIN).await;
}

async fn without_the_daemon_the_dialplan_goes_on_at_once(fs: Arc<RealFs>) {
    let mut site = site(fs, &Settings::default()).await;
    site.kill_daemon().await;
    let call = site.caller().await.call(&format!("6{}", site.fs.new_user()));
    let (at, outcome) = call.outcome_at().await;
    assert_eq!(outcome, NEXT_ACTION);
    assert!(at - call.started < AT_ONCE);
}

async fn without_the_daemon_an_awake_phone_is_rung_plainly_both_ways(fs: Arc<RealFs>) {
    let mut site = site(fs, &Settings::default()).await;
    site.kill_daemon().await;
    for (way, domain) in [("7", DOMAIN), ("5", WAKE_DOMAIN)] {
        let user = site.fs.new_user();
        let phone = site.desk_phone(&user, domain, Script::default()).await;
        let call = answered_call(&site, &format!("{way}{user}")).await;
        phone.on_the_line().await;
        hang_up(&call, &phone).await;
    }
}

/// For example, a follow-me to a ring group: the dial-string's loopback is called by another loopback, whose SDP is
/// unknown.
async fn without_the_daemon_a_phone_is_reached_through_two_loopbacks(fs: Arc<RealFs>) {
    let mut site = site(fs, &Settings::default()).await;
    site.kill_daemon().await;
    let user = site.fs.new_user();
    let phone = site.desk_phone(&user, WAKE_DOMAIN, Script::default()).await;
    let call = site.caller().await.call(&format!("0{user}"));
    assert_eq!(call.outcome().await, 200, "{}", phone.story());
    phone.on_the_line().await;
    hang_up(&call, &phone).await;
}

async fn told_to_stop_held_calls_are_finished_and_new_ones_go_on_at_once(fs: Arc<RealFs>) {
    let mut site = site(fs, &Settings::default()).await;
    let (user, other) = (site.fs.new_user(), site.fs.new_user());
    let phone = site.sleeper(&user, DOMAIN, Wakes::Late(1500), Script::default()).await;
    site.sleeper(&other, DOMAIN, Wakes::Never, Script::default()).await;
    let held = site.caller().await.call(&format!("6{user}"));
    site.pushed(1).await;
    site.daemon().signal("TERM");
    site.daemon().log.wait(&["stopping"]).await;
    let new = site.caller().await.call(&format!("6{other}"));
    let (at, outcome) = new.outcome_at().await;
    assert_eq!(outcome, NEXT_ACTION);
    assert!(at - new.started < AT_ONCE);
    assert_eq!(held.outcome().await, 200);
    phone.on_the_line().await;
    assert_eq!(site.daemon.as_mut().unwrap().exit_code().await, Some(0));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!held.is_ended(), "the call outlives the daemon that connected it");
    held.hang_up().await;
    phone.ended().await;
}

async fn told_to_stop_held_calls_go_back_when_the_time_is_up(fs: Arc<RealFs>) {
    let settings = Settings {
        drain: "1s".to_owned(),
        ..Settings::default()
    };
    let mut site = site(fs, &settings).await;
    let user = site.fs.new_user();
    site.sleeper(&user, DOMAIN, Wakes::Never, Script::default()).await;
    let call = site.caller().await.call(&format!("6{user}"));
    site.pushed(1).await;
    let told = Instant::now();
    site.daemon().signal("TERM");
    let (at, outcome) = call.outcome_at().await;
    assert_eq!(outcome, NEXT_ACTION);
    let took = (at - told).as_secs_f64();
    assert!((0.9..3.0).contains(&took), "{took} s");
    assert_eq!(site.daemon.as_mut().unwrap().exit_code().await, Some(0));
}

async fn restarted_daemon_wakes_a_phone_that_it_knows_from_its_store(fs: Arc<RealFs>) {
    let mut site = site(fs, &Settings::default()).await;
    let (user, phone) = new_sleeper(&site, DOMAIN, Wakes::Elsewhere, Script::default()).await;
    site.forget_place(&phone).await;
    site.daemon().signal("TERM");
    site.daemon.as_mut().unwrap().exit_code().await;
    site.start_daemon().await;
    let call = answered_call(&site, &format!("7{user}")).await;
    phone.on_the_line().await;
    hang_up(&call, &phone).await;
}

async fn lost_event_socket_during_a_hold_is_caught_up(fs: Arc<RealFs>) {
    let forwarder = Forwarder::start(fs.ports.esl).await;
    let settings = Settings {
        esl_port: Some(forwarder.address().port()),
        ..Settings::default()
    };
    let site = site(fs, &settings).await;
    let (user, phone) = new_sleeper(&site, DOMAIN, Wakes::Late(300), Script::default()).await;
    let call = site.caller().await.call(&format!("7{user}"));
    site.pushed(1).await;
    forwarder.cut();
    phone.registered(2).await;
    assert_eq!(phone.invites(), 0, "nobody can have heard that REGISTER");
    forwarder.mend();
    assert_eq!(call.outcome().await, 200);
    phone.on_the_line().await;
    hang_up(&call, &phone).await;
}

async fn restarted_freeswitch_is_connected_to_again(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    let (known, new) = (site.fs.new_user(), site.fs.new_user());
    let first = site.sleeper(&known, DOMAIN, Wakes::Elsewhere, Script::default()).await;
    site.fs.restart().await;
    site.daemon().log.wait(&["no connection to FreeSWITCH"]).await;
    site.daemon().log.wait_times(2, &["connected to FreeSWITCH"]).await;
    let second = site.sleeper(&new, DOMAIN, Wakes::Elsewhere, Script::default()).await;
    for (user, phone) in [(known, first), (new, second)] {
        let call = answered_call(&site, &format!("7{user}")).await;
        phone.on_the_line().await;
        hang_up(&call, &phone).await;
    }
}
