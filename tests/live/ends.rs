//! Calls that are not answered: cancelled, declined, timed out.

use std::sync::Arc;
use std::time::Duration;

use fswake_test_support::realfs::{DOMAIN, RealFs, WAKE_DOMAIN};
use fswake_test_support::sip::{Phone, Reaction, Script, Transport};
use fswake_test_support::site::{Settings, Wakes};

use crate::site;
use crate::steps::{answered_call, answers, hang_up, new_sleeper};

crate::trials![
    caller_who_cancels_before_the_register_leaves_nothing_behind,
    caller_who_cancels_while_a_leg_rings_cancels_it,
    caller_who_cancels_through_the_dial_string_cancels_the_leg,
    decline_by_one_device_lets_the_other_ring_on,
    busy_device_lets_the_other_ring_on,
    decline_by_the_only_device_ends_the_wait,
    decline_by_one_device_ends_the_wait_where_it_means_all,
    busy_device_ends_the_wait_where_it_means_all,
    ringing_phone_that_nobody_answers_rings_on_for_the_calls_own_time,
    phone_that_never_wakes_is_given_up_at_max_wait,
    shipped_dialplan_ends_an_unanswered_call,
    user_without_a_phone_costs_no_wait,
    sleeper_whose_old_place_refuses_is_woken_all_the_same,
    caller_who_goes_as_his_phone_is_dialled_leaves_no_leg_behind,
];

/// What the dialplan of numbers `6<user>` does next.
const NEXT_ACTION: u16 = 410;

async fn caller_who_cancels_before_the_register_leaves_nothing_behind(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    let (user, phone) = new_sleeper(&site, DOMAIN, Wakes::Late(800), Reaction::Ring).await;
    let call = site.caller().await.call(&format!("7{user}"));
    site.pushed(1).await;
    call.ringing().await;
    call.cancel().await;
    assert_eq!(call.outcome().await, 487);
    phone.registered(2).await;
    site.heard(&phone).await;
    site.fs.becomes_silent(Duration::from_secs(1)).await;
    assert_eq!(phone.invites(), 0, "{}", phone.story());
    site.daemon().log.wait(&["call over", "abandoned"]).await;
}

async fn caller_who_cancels_while_a_leg_rings_cancels_it(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    let (user, phone) = new_sleeper(&site, DOMAIN, Wakes::Elsewhere, Reaction::Ring).await;
    let call = site.caller().await.call(&format!("7{user}"));
    phone.rang().await;
    call.cancel().await;
    assert_eq!(call.outcome().await, 487);
    let (_, reason) = phone.cancelled().await;
    assert!(reason.starts_with("SIP;cause=487"), "{reason}");
    site.fs.becomes_silent(Duration::from_secs(1)).await;
}

async fn caller_who_cancels_through_the_dial_string_cancels_the_leg(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    let (user, phone) = new_sleeper(&site, WAKE_DOMAIN, Wakes::Elsewhere, Reaction::Ring).await;
    let call = site.caller().await.call(&format!("5{user}"));
    phone.rang().await;
    call.cancel().await;
    assert_eq!(call.outcome().await, 487);
    let (_, reason) = phone.cancelled().await;
    assert!(reason.starts_with("SIP;cause=487"), "{reason}");
    site.fs.becomes_silent(Duration::from_secs(1)).await;
}

async fn one_declines_the_other_answers(fs: Arc<RealFs>, status: u16) {
    let site = site(fs, &Settings::default()).await;
    let (user, no) = new_sleeper(&site, DOMAIN, Wakes::Elsewhere, Reaction::Decline(status)).await;
    let yes = site.sleeper(&user, DOMAIN, Wakes::Late(200), answers(500)).await;
    let call = answered_call(&site, &format!("7{user}")).await;
    yes.on_the_line().await;
    assert_eq!((no.invites(), yes.invites()), (1, 1), "{}", no.story());
    hang_up(&call, &yes).await;
}

async fn decline_by_one_device_lets_the_other_ring_on(fs: Arc<RealFs>) {
    one_declines_the_other_answers(fs, 603).await;
}

async fn busy_device_lets_the_other_ring_on(fs: Arc<RealFs>) {
    one_declines_the_other_answers(fs, 486).await;
}

async fn decline_by_the_only_device_ends_the_wait(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    for (way, status, heard) in [("6", 603, NEXT_ACTION), ("7", 603, 603), ("6", 486, NEXT_ACTION)] {
        let (user, phone) = new_sleeper(&site, DOMAIN, Wakes::Elsewhere, Reaction::Decline(status)).await;
        let call = site.caller().await.call(&format!("{way}{user}"));
        let (at, outcome) = call.outcome_at().await;
        assert_eq!((outcome, phone.invites()), (heard, 1));
        assert!(at - call.started < Duration::from_secs(3));
    }
}

async fn one_declines_for_all(fs: Arc<RealFs>, status: u16) {
    let site = site(fs, &Settings::default().wake("decline", "all")).await;
    for (way, heard) in [("6", NEXT_ACTION), ("7", status)] {
        let (user, rings) = new_sleeper(&site, DOMAIN, Wakes::Elsewhere, Reaction::Ring).await;
        let no = site
            .sleeper(&user, DOMAIN, Wakes::Late(400), Reaction::Decline(status))
            .await;
        let call = site.caller().await.call(&format!("{way}{user}"));
        assert_eq!(call.outcome().await, heard, "{way}");
        rings.cancelled().await;
        assert_eq!((rings.invites(), no.invites()), (1, 1));
    }
}

async fn decline_by_one_device_ends_the_wait_where_it_means_all(fs: Arc<RealFs>) {
    one_declines_for_all(fs, 603).await;
}

async fn busy_device_ends_the_wait_where_it_means_all(fs: Arc<RealFs>) {
    one_declines_for_all(fs, 486).await;
}

async fn ringing_phone_that_nobody_answers_rings_on_for_the_calls_own_time(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default().wake("max-wait", "3s")).await;
    let (user, phone) = new_sleeper(&site, DOMAIN, Wakes::Elsewhere, Reaction::Ring).await;
    let call = site.caller().await.call(&format!("6{user}-call_timeout=9"));
    let (at, outcome) = call.outcome_at().await;
    assert_eq!(outcome, NEXT_ACTION);
    let waited = (at - call.started).as_secs_f64();
    // Longer than the leg's lease of 4 s, which must have been renewed.
    assert!((8.9..9.8).contains(&waited), "went on after {waited} s");
    let (cancelled, _) = phone.cancelled().await;
    assert!(cancelled < at + Duration::from_millis(500));
    assert_eq!(phone.invites(), 1, "{}", phone.story());
}

async fn phone_that_never_wakes_is_given_up_at_max_wait(fs: Arc<RealFs>) {
    let settings = Settings::default().wake("max-wait", "2s").wake("push-retry", "600ms");
    let site = site(fs, &settings).await;
    let user = site.fs.new_user();
    site.sleeper(&user, DOMAIN, Wakes::Never, Script::default()).await;
    let call = site.caller().await.call(&format!("6{user}"));
    let (at, outcome) = call.outcome_at().await;
    assert_eq!(outcome, NEXT_ACTION);
    let waited = (at - call.started).as_secs_f64();
    assert!((1.95..2.7).contains(&waited), "went on after {waited} s");
    assert_eq!(site.pushes().len(), 3, "one push and two more");
}

async fn shipped_dialplan_ends_an_unanswered_call(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    let (user, phone) = new_sleeper(&site, DOMAIN, Wakes::Elsewhere, Reaction::Ring).await;
    let call = site.caller().await.call(&format!("7{user}"));
    // The snippet's call_timeout is 30 s.
    let outcome = call.response_within(Duration::from_secs(34), |s| s >= 200).await;
    let (at, status) = outcome.expect("an end");
    assert_eq!(status, 480);
    let waited = (at - call.started).as_secs_f64();
    assert!((29.0..31.5).contains(&waited), "ended after {waited} s");
    assert_eq!(phone.invites(), 1, "the same phone does not ring again");
}

async fn user_without_a_phone_costs_no_wait(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    let call = site.caller().await.call(&format!("6{}", site.fs.new_user()));
    let (at, outcome) = call.outcome_at().await;
    assert_eq!(outcome, NEXT_ACTION);
    assert!(at - call.started < Duration::from_secs(1));
}

async fn sleeper_whose_old_place_refuses_is_woken_all_the_same(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    let user = site.fs.new_user();
    let on_tcp = |on_invite| Script {
        on_invite,
        transport: Transport::Tcp,
        ..Script::default()
    };
    // The phone's old address answers 404.
    let phone = Phone::new(site.fs.account(&user, DOMAIN), on_tcp(Reaction::Decline(480))).await;
    site.give_token(&phone, Wakes::Late(700));
    assert_eq!(phone.register().await, 200);
    site.heard(&phone).await;
    let call = site.caller().await.call(&format!("7{user}"));
    phone.declined().await;
    phone.behave(on_tcp(answers(50)));
    assert_eq!(call.outcome().await, 200);
    phone.on_the_line().await;
    assert_eq!((phone.invites(), site.pushes().len()), (2, 1), "{}", phone.story());
    hang_up(&call, &phone).await;
}

/// FreeSWITCH expands the variables of a channel that is gone to nothing: what remains of the originate must not ring.
async fn caller_who_goes_as_his_phone_is_dialled_leaves_no_leg_behind(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    let (user, phone) = new_sleeper(&site, DOMAIN, Wakes::Never, Script::default()).await;
    let number = format!("7{user}");
    let call = site.caller().await.call(&number);
    site.pushed(1).await;
    // FreeSWITCH lists a new channel a moment later.
    let channel = loop {
        if let Some(caller) = site.fs.caller_channel(&number).await {
            break caller;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let prepared = format!("uuid_getvar {channel} fswake_leg_0");
    while site.fs.api(&prepared).await.trim() == "_undef_" {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // As if it were gone already, at the moment when an event would come too late.
    site.fs.api(&format!("uuid_setvar {channel} fswake_leg_0")).await;
    phone.wake_elsewhere().await;
    assert_eq!(phone.register().await, 200);
    site.daemon().log.wait(&["event=LegEnded "]).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(phone.invites(), 0, "{}", phone.story());
    call.cancel().await;
}
