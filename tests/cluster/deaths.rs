//! Each part dies (SIGKILL) at each stage of a wake: no caller is stuck, no phone rings on, no connected call is cut
//! that has both its ends.

use std::time::{Duration, Instant};

use fswake_test_support::realfs::DOMAIN;
use fswake_test_support::sip::{OutgoingCall, Phone, Reaction, Script};
use fswake_test_support::site::{Settings, Site, Wakes};

use crate::steps::{
    self, ORPHANED, Stage, answers, awake, call, caller, hang_up, in_time, is_back, is_connected, is_connected_when,
    moved, sleeper, still_up, token_of,
};
use crate::{Pair, site, two_daemons};

crate::trials![
    calls_freeswitch_dies_while_the_phone_rings_at_the_other,
    calls_freeswitch_dies_and_starts_again_while_the_call_is_up,
    phones_freeswitch_dies_before_the_push_and_the_phone_comes_back_at_the_other,
    phones_freeswitch_dies_before_the_register_and_the_phone_comes_back_at_the_other,
    phones_freeswitch_dies_while_the_phone_rings_and_it_comes_back_at_the_other,
    phones_freeswitch_dies_and_starts_again_while_the_call_is_up,
    fswake_dies_before_the_register_and_the_caller_goes_on,
    fswake_dies_while_the_phone_rings_at_the_other_freeswitch,
    fswake_dies_while_the_call_is_up_and_nothing_happens,
    other_fswake_dies_at_any_stage_and_nothing_happens,
    event_socket_of_the_phones_freeswitch_is_lost_while_the_call_is_up_and_nothing_happens,
];

async fn connected(site: &Site, pair: &Pair) -> (OutgoingCall, Phone) {
    let (call, phone) = steps::connected(site, pair, answers(50)).await;
    site.daemon().log.wait(&["call over", "connected"]).await;
    (call, phone)
}

async fn calls_freeswitch_dies_while_the_phone_rings_at_the_other(pair: Pair) {
    let site = site(&pair, Settings::default()).await;
    let user = site.fs.new_user();
    let phone = sleeper(&site, &pair.b, &user, Reaction::Ring).await;
    let _call = call(&site, &pair.a, &user).await;
    phone.rang().await;
    let killed = Instant::now();
    pair.a.kill();
    let (at, _) = phone.cancelled().await;
    in_time("the phone stopped ringing", killed, at, ORPHANED);
    pair.a.start_again().await;
    is_back(site.daemon(), "fs1", 2).await;
}

async fn calls_freeswitch_dies_and_starts_again_while_the_call_is_up(pair: Pair) {
    let site = site(&pair, Settings::default()).await;
    let (_call, phone) = connected(&site, &pair).await;
    pair.a.kill();
    tokio::time::sleep(Duration::from_secs(3)).await;
    // Perhaps only its event socket is gone.
    assert!(phone.legs()[0].is_up(), "{}", phone.story());
    pair.a.start_again().await;
    is_back(site.daemon(), "fs1", 2).await;
    let back = Instant::now();
    let at = phone.ended().await;
    in_time(
        "with its caller's FreeSWITCH back, the phone's leg ended",
        back,
        at,
        ORPHANED,
    );
}

/// The phone comes back at the other FreeSWITCH and has its call there. Its own FreeSWITCH is back afterwards.
async fn answers_at_the_other(site: &Site, pair: &Pair, phone: &Phone, call: &OutgoingCall) {
    let other = moved(phone, pair.a.account(&phone.account().user, DOMAIN), answers(50)).await;
    assert_eq!(other.register().await, 200);
    site.heard(&other).await;
    is_connected(call, &other).await;
    hang_up(call, &other).await;
    pair.b.start_again().await;
    is_back(site.daemon(), "fs2", 2).await;
}

async fn phones_freeswitch_dies_before_the_push_and_the_phone_comes_back_at_the_other(pair: Pair) {
    let site = site(&pair, Settings::default().wake("fresh-for", "30s")).await;
    // It would be rung there without a push.
    let phone = awake(&site, &pair.b, Script::default()).await;
    pair.b.kill();
    // A second later, because it might only have lost its event socket's connection.
    site.daemon().log.wait(&["event=NodeLost "]).await;
    let call = call(&site, &pair.a, &phone.account().user).await;
    assert!(site.pushed_to(&token_of(&phone)).await);
    site.daemon().log.wait(&["node-out-of-reach", "fs2"]).await;
    answers_at_the_other(&site, &pair, &phone, &call).await;
}

async fn phones_freeswitch_dies_before_the_register_and_the_phone_comes_back_at_the_other(pair: Pair) {
    let site = site(&pair, Settings::default()).await;
    let user = site.fs.new_user();
    let phone = site
        .sleeper_of(pair.b.account(&user, DOMAIN), Wakes::Never, Script::default())
        .await;
    let call = call(&site, &pair.a, &user).await;
    site.pushed(1).await;
    pair.b.kill();
    answers_at_the_other(&site, &pair, &phone, &call).await;
}

async fn phones_freeswitch_dies_while_the_phone_rings_and_it_comes_back_at_the_other(pair: Pair) {
    let site = site(&pair, Settings::default().wake("push-retry", "1s")).await;
    let user = site.fs.new_user();
    let phone = sleeper(&site, &pair.b, &user, Reaction::Ring).await;
    let call = call(&site, &pair.a, &user).await;
    phone.rang().await;
    let token = site.pushes()[0].push.token.clone();
    site.wake_by(&token, &phone, Wakes::Never);
    let killed = Instant::now();
    pair.b.kill();
    // It is pushed again: its app notices that nobody is there any more, and registers at the other.
    site.pushed(2).await;
    in_time("the phone was pushed again", killed, Instant::now(), ORPHANED);
    answers_at_the_other(&site, &pair, &phone, &call).await;
}

async fn phones_freeswitch_dies_and_starts_again_while_the_call_is_up(pair: Pair) {
    let site = site(&pair, Settings::default()).await;
    let (call, _phone) = connected(&site, &pair).await;
    pair.b.kill();
    pair.b.start_again().await;
    is_back(site.daemon(), "fs2", 2).await;
    let back = Instant::now();
    let at = call.ended().await;
    in_time(
        "with the phone's FreeSWITCH back, the caller's leg ended",
        back,
        at,
        ORPHANED,
    );
}

async fn fswake_dies_before_the_register_and_the_caller_goes_on(pair: Pair) {
    let mut site = site(&pair, Settings::default()).await;
    let user = site.fs.new_user();
    let _phone = site
        .sleeper_of(pair.b.account(&user, DOMAIN), Wakes::Never, Script::default())
        .await;
    let call = caller(&site, &pair.a).await.call(&format!("6{user}"));
    site.pushed(1).await;
    let killed = Instant::now();
    site.kill_daemon().await;
    let (at, outcome) = call.outcome_at().await;
    assert_eq!(outcome, 410);
    in_time("the caller went on", killed, at, Duration::from_millis(800));
}

async fn fswake_dies_while_the_phone_rings_at_the_other_freeswitch(pair: Pair) {
    let mut site = site(&pair, Settings::default()).await;
    let user = site.fs.new_user();
    let phone = sleeper(&site, &pair.b, &user, Reaction::Ring).await;
    let call = caller(&site, &pair.a).await.call(&format!("6{user}"));
    phone.rang().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let killed = Instant::now();
    site.kill_daemon().await;
    assert_eq!(call.outcome().await, 410);
    let (at, _) = phone.cancelled().await;
    in_time("the phone stopped ringing", killed, at, ORPHANED);
}

async fn fswake_dies_while_the_call_is_up_and_nothing_happens(pair: Pair) {
    let mut site = site(&pair, Settings::default()).await;
    let (call, phone) = connected(&site, &pair).await;
    site.kill_daemon().await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    still_up(&call, &phone, Stage::Connected);
    hang_up(&call, &phone).await;
}

/// The one that serves the phone's FreeSWITCH.
async fn other_fswake_dies_at_any_stage_and_nothing_happens(pair: Pair) {
    for stage in Stage::AFTER_THE_PUSH {
        let (mut site, mut joined) = two_daemons(&pair, Settings::default()).await;
        let user = site.fs.new_user();
        let phone = site
            .sleeper_of(pair.b.account(&user, DOMAIN), Wakes::Late(1000), Reaction::Ring)
            .await;
        let call = call(&site, &pair.a, &user).await;
        site.pushed(1).await;
        if stage == Stage::Pushed {
            joined.kill().await;
            // The phone's FreeSWITCH has no fswake that could check the header; another start gives it one.
            joined.start().await;
        }
        phone.rang().await;
        if stage == Stage::Ringing {
            joined.kill().await;
        }
        phone.pick_up().await;
        is_connected_when(&call, &phone, stage).await;
        if stage == Stage::Connected {
            site.daemon().log.wait(&["call over", "connected"]).await;
            joined.kill().await;
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
        still_up(&call, &phone, stage);
        hang_up(&call, &phone).await;
        // The next ones listen at the same addresses, so these have to be gone by then.
        site.kill_daemon().await;
        joined.kill().await;
    }
}

async fn event_socket_of_the_phones_freeswitch_is_lost_while_the_call_is_up_and_nothing_happens(pair: Pair) {
    let site = site(&pair, Settings::default()).await;
    let (call, phone) = connected(&site, &pair).await;
    pair.b.api("bgapi reload mod_event_socket").await;
    site.daemon().log.wait(&["no connection to FreeSWITCH"]).await;
    is_back(site.daemon(), "fs2", 2).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    still_up(&call, &phone, Stage::Connected);
    hang_up(&call, &phone).await;
}
