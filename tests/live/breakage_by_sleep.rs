//! What breaks while FreeSWITCH's application `sleep` holds calls, whatever `$FSWAKE_SOCKET` is: each caller goes on within
//! the lease, and no phone rings on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fswake_test_support::proxy::Forwarder;
use fswake_test_support::realfs::{DOMAIN, RealFs};
use fswake_test_support::sip::{OutgoingCall, PATIENCE, Phone, Reaction, Script};
use fswake_test_support::site::{Settings, Site, Wakes};
use tokio::time::timeout;

use crate::site;
use crate::steps::{hang_up, new_sleeper};

crate::trials![
    killed_every_held_call_goes_on_within_the_lease,
    stopped_and_continued_held_calls_go_on_within_the_lease_and_new_ones_are_held,
    announced_while_stopped_the_dialplan_goes_on_and_no_phone_rings,
    lost_event_socket_the_call_goes_on_and_new_ones_reach_socket,
    other_holder_has_the_lease_the_call_goes_on_and_its_leg_ends,
    restarted_freeswitch_holds_new_calls,
];

const NEXT_ACTION: u16 = 410;
/// The lease, the scheduler's tick, and what a busy machine adds.
const LEASE: Duration = Duration::from_secs(6);
/// Longer than the first lease.
const PAST_FIRST_LEASE: Duration = Duration::from_secs(4);
const READY: &[&str] = &["calls may be held by FreeSWITCH's application sleep"];

fn settings() -> Settings {
    Settings {
        holds_by_sleep: true,
        ..Settings::default()
    }
}

/// A call that `sleep` holds, to a phone that never wakes.
async fn held_call(site: &Site) -> OutgoingCall {
    let (user, phone) = new_sleeper(site, DOMAIN, Wakes::Never, Script::default()).await;
    site.forget_place(&phone).await;
    let call = site.caller().await.call(&format!("6{user}"));
    site.daemon().log.wait(&["event=CallHeld", &user]).await;
    is_asleep(site).await;
    call
}

/// Waits until some channel runs `sleep`.
async fn is_asleep(site: &Site) {
    let sleeps = || async {
        site.fs
            .channels()
            .await
            .iter()
            .any(|channel| channel["application"] == "sleep")
    };
    let falls_asleep = async {
        while !sleeps().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, falls_asleep).await.expect("sleep holds the call");
}

/// A call that `sleep` holds, and whose phone rings.
async fn ringing_call(site: &Site) -> (OutgoingCall, Phone) {
    let (user, phone) = new_sleeper(site, DOMAIN, Wakes::Elsewhere, Reaction::Ring).await;
    let call = site.caller().await.call(&format!("6{user}"));
    phone.rang().await;
    is_asleep(site).await;
    (call, phone)
}

/// Asserts that the call goes on in the dialplan within the lease; returns how long its caller waited.
async fn goes_on(call: &OutgoingCall, since: Instant) -> Duration {
    let (at, outcome) = call.outcome_at().await;
    assert_eq!(outcome, NEXT_ACTION);
    let waited = at.checked_duration_since(since).expect("held until then");
    assert!(waited < LEASE, "{waited:?}");
    waited
}

/// Asserts that a new call is held by `sleep`, woken and connected.
async fn new_call_is_connected(site: &Site) {
    let (user, phone) = new_sleeper(site, DOMAIN, Wakes::Late(500), Script::default()).await;
    let call = site.caller().await.call(&format!("7{user}"));
    is_asleep(site).await;
    assert_eq!(call.outcome().await, 200, "{}", phone.story());
    phone.on_the_line().await;
    hang_up(&call, &phone).await;
}

/// Stops fswake in order, so that no later call is announced to it.
async fn end(mut site: Site) {
    site.daemon().signal("TERM");
    site.daemon.as_mut().unwrap().exit_code().await;
}

async fn killed_every_held_call_goes_on_within_the_lease(fs: Arc<RealFs>) {
    const CALLS: usize = 10;
    let mut site = site(fs, &settings()).await;
    let mut calls = Vec::new();
    for _ in 0..CALLS {
        calls.push(held_call(&site).await);
    }
    tokio::time::sleep(PAST_FIRST_LEASE).await;
    let killed = Instant::now();
    site.kill_daemon().await;
    let mut waits = Vec::new();
    for call in &calls {
        waits.push(goes_on(call, killed).await);
    }
    waits.sort();
    eprintln!(
        "callers waited {:?} to {:?} after the daemon",
        waits[0],
        waits[CALLS - 1]
    );
}

async fn stopped_and_continued_held_calls_go_on_within_the_lease_and_new_ones_are_held(fs: Arc<RealFs>) {
    let site = site(fs, &settings()).await;
    let (call, phone) = ringing_call(&site).await;
    tokio::time::sleep(PAST_FIRST_LEASE).await;
    let stopped = Instant::now();
    site.daemon().signal("STOP");
    goes_on(&call, stopped).await;
    site.daemon().signal("CONT");
    phone.cancelled().await;
    new_call_is_connected(&site).await;
    end(site).await;
}

async fn announced_while_stopped_the_dialplan_goes_on_and_no_phone_rings(fs: Arc<RealFs>) {
    let site = site(fs, &settings()).await;
    let (user, phone) = new_sleeper(&site, DOMAIN, Wakes::Elsewhere, Reaction::Ring).await;
    let from = site.daemon().log.len();
    site.daemon().signal("STOP");
    let call = site.caller().await.call(&format!("6{user}"));
    goes_on(&call, call.started).await;
    site.daemon().signal("CONT");
    site.daemon().log.wait_from(from, &["call over"]).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(phone.invites(), 0, "{}", phone.story());
    end(site).await;
}

async fn lost_event_socket_the_call_goes_on_and_new_ones_reach_socket(fs: Arc<RealFs>) {
    let forwarder = Forwarder::start(fs.ports.esl).await;
    let settings = Settings {
        esl_port: Some(forwarder.address().port()),
        ..settings()
    };
    let site = site(fs, &settings).await;
    let (user, phone) = new_sleeper(&site, DOMAIN, Wakes::Never, Script::default()).await;
    site.forget_place(&phone).await;
    let call = held_call(&site).await;
    tokio::time::sleep(PAST_FIRST_LEASE).await;
    let cut = Instant::now();
    forwarder.cut();
    goes_on(&call, cut).await;
    site.daemon().log.wait(&["connection-lost"]).await;
    let by_socket = site.caller().await.call(&format!("6{user}"));
    site.fs.active_channels(1).await;
    let channels = site.fs.channels().await;
    assert_ne!(channels[0]["application"], "sleep", "{channels:?}");
    by_socket.cancel().await;
    let from = site.daemon().log.len();
    forwarder.mend();
    site.daemon().log.wait_from(from, READY).await;
    new_call_is_connected(&site).await;
    end(site).await;
}

/// Two fswakes with `hold = "sleep"` at one FreeSWITCH, or somebody who changes the variable.
async fn other_holder_has_the_lease_the_call_goes_on_and_its_leg_ends(fs: Arc<RealFs>) {
    let site = site(fs, &settings()).await;
    let (call, phone) = ringing_call(&site).await;
    tokio::time::sleep(PAST_FIRST_LEASE).await;
    let taken = Instant::now();
    site.fs.api("global_setvar fswake_lease=other").await;
    goes_on(&call, taken).await;
    phone.cancelled().await;
    site.daemon().log.wait(&["connection-lost"]).await;
    site.fs.api("global_setvar fswake_lease=").await;
    new_call_is_connected(&site).await;
    end(site).await;
}

async fn restarted_freeswitch_holds_new_calls(fs: Arc<RealFs>) {
    let site = site(fs, &settings()).await;
    let from = site.daemon().log.len();
    site.fs.restart().await;
    site.daemon().log.wait_from(from, &["calls reach `socket`"]).await;
    site.daemon().log.wait_from(from, READY).await;
    site.daemon().log.wait_times(2, &["connected to FreeSWITCH"]).await;
    new_call_is_connected(&site).await;
    end(site).await;
}
