//! The variables of docs/VARIABLES.md, each by the dialplan and by the dial-string.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fswake_test_support::realfs::{DOMAIN, RealFs, WAKE_DOMAIN};
use fswake_test_support::sip::{Phone, Reaction, Script};
use fswake_test_support::site::{Settings, Site, Wakes};

use crate::site;
use crate::steps::{answered_call, hang_up};

crate::trials![
    originate_timeout_shortens_the_hold,
    call_without_pushes_waits_for_the_phone_that_comes_by_itself,
    call_that_waits_for_any_register_waits_for_a_user_without_a_phone,
    call_that_is_somebody_elses_is_handed_back_at_once,
    phones_see_the_caller_that_the_variables_name,
    values_that_mean_nothing_are_named_once,
];

/// Makes FreeSWITCH call `user` through the dial-string, with these variables.
async fn originate(site: &Site, variables: &str, user: &str) {
    let command = format!("bgapi originate {{{variables}}}user/{user}@{WAKE_DOMAIN} &echo");
    let answer = site.fs.api(&command).await;
    assert!(answer.starts_with("+OK"), "{answer}");
}

async fn sleeper(site: &Site, user: &str, domain: &str, wakes: Wakes) -> Phone {
    let phone = site.sleeper(user, domain, wakes, Script::default()).await;
    site.forget_place(&phone).await;
    phone
}

async fn originate_timeout_shortens_the_hold(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    let user = site.fs.new_user();
    sleeper(&site, &user, DOMAIN, Wakes::Never).await;
    let started = Instant::now();
    let call = site.caller().await.call(&format!("6{user}-call_timeout=2"));
    assert_eq!(call.outcome().await, 410, "the next action");
    assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());

    // Exported to the legs: `bridge` reads it there.
    let user = site.fs.new_user();
    sleeper(&site, &user, WAKE_DOMAIN, Wakes::Never).await;
    let call = site.caller().await.call(&format!("5{user}-originate_timeout=2"));
    site.daemon()
        .log
        .wait(&["event=CallHeld ", &user, "max_wait: Some(2s)"])
        .await;
    assert!(call.outcome().await >= 400);

    let user = site.fs.new_user();
    sleeper(&site, &user, WAKE_DOMAIN, Wakes::Never).await;
    originate(&site, "leg_timeout=2", &user).await;
    site.daemon()
        .log
        .wait(&["event=CallHeld ", &user, "max_wait: Some(2s)"])
        .await;
    site.fs.becomes_silent(Duration::from_secs(8)).await;
}

async fn call_without_pushes_waits_for_the_phone_that_comes_by_itself(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    for (domain, number) in [(DOMAIN, "7"), (WAKE_DOMAIN, "5")] {
        let user = site.fs.new_user();
        let phone = sleeper(&site, &user, domain, Wakes::Elsewhere).await;
        let number = format!("{number}{user}-enable_send_apn=false");
        let call = site.caller().await.call(&number);
        site.daemon().log.wait(&["event=\"call-held\"", &user, "no push"]).await;
        phone.wake_elsewhere().await;
        assert_eq!(phone.register().await, 200);
        assert_eq!(call.outcome().await, 200);
        phone.on_the_line().await;
        assert_eq!((phone.invites(), site.pushes().len()), (1, 0));
        hang_up(&call, &phone).await;
    }
}

async fn call_that_waits_for_any_register_waits_for_a_user_without_a_phone(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    for (domain, number, name) in [
        (DOMAIN, "7", "apn_wait_any_register"),
        (WAKE_DOMAIN, "5", "apn_originate_wait_any_register"),
    ] {
        let user = site.fs.new_user();
        let call = site.caller().await.call(&format!("{number}{user}-{name}=true"));
        site.daemon()
            .log
            .wait(&["event=\"call-held\"", &user, "wait for any register"])
            .await;
        let phone = Phone::new(site.fs.account(&user, domain), Reaction::Answer(Duration::ZERO)).await;
        assert_eq!(phone.register().await, 200);
        assert_eq!(call.outcome().await, 200);
        assert_eq!(phone.invites(), 1);
        hang_up(&call, &phone).await;
    }
}

async fn call_that_is_somebody_elses_is_handed_back_at_once(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    let user = site.fs.new_user();
    let phone = sleeper(&site, &user, DOMAIN, Wakes::Elsewhere).await;
    let call = site.caller().await.call(&format!("6{user}-originate_reg_token=abc"));
    assert_eq!(call.outcome().await, 410, "the next action");
    let asleep = site.fs.new_user();
    let other = sleeper(&site, &asleep, WAKE_DOMAIN, Wakes::Elsewhere).await;
    originate(&site, "originate_reg_token=abc", &asleep).await;
    site.daemon().log.wait_times(2, &["outcome=\"hands-off\""]).await;
    site.fs.becomes_silent(Duration::from_secs(5)).await;
    assert_eq!((phone.invites(), other.invites(), site.pushes().len()), (0, 0, 0));
}

async fn phones_see_the_caller_that_the_variables_name(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    // Numbers that begin with 5 export the variable: `origination_..` is about a leg only.
    for (number, domain, name, from) in [
        ("5", WAKE_DOMAIN, "origination_caller_id_number", "<sip:4711@"),
        ("7", DOMAIN, "effective_caller_id_number", "<sip:4711@"),
        ("5", WAKE_DOMAIN, "origination_caller_id_name", "\"4711\" <sip:"),
    ] {
        let user = site.fs.new_user();
        let phone = sleeper(&site, &user, domain, Wakes::Elsewhere).await;
        let call = answered_call(&site, &format!("{number}{user}-{name}=4711")).await;
        let invite = phone.invited().await;
        assert!(
            invite.header("From").contains(from),
            "{name}: {}",
            invite.header("From")
        );
        let push = site.pushes().last().expect("a push").push.body.to_string();
        assert!(push.contains("4711"), "{name}: {push}");
        hang_up(&call, &phone).await;
    }
    let user = site.fs.new_user();
    let phone = sleeper(&site, &user, WAKE_DOMAIN, Wakes::Elsewhere).await;
    let caller = "origination_caller_id_number=0815,origination_caller_id_name=Fred";
    originate(&site, caller, &user).await;
    phone.on_the_line().await;
    let invite = phone.invited().await;
    assert!(
        invite.header("From").starts_with("\"Fred\" <sip:0815@"),
        "{}",
        invite.header("From")
    );
    site.daemon().log.wait(&["call over", &user, "connected"]).await;
    phone.hang_up().await;
}

async fn values_that_mean_nothing_are_named_once(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    let user = site.fs.new_user();
    for _ in 0..2 {
        let call = site.caller().await.call(&format!("6{user}-enable_send_apn=perhaps"));
        assert_eq!(call.outcome().await, 410, "the next action");
    }
    site.daemon().log.wait_times(2, &["call over", &user]).await;
    assert_eq!(
        site.daemon().log.count(&["WARN", "enable_send_apn=perhaps is ignored"]),
        1
    );
}
