//! mod_apn's dial-strings: FreeSWITCH rings the plain contacts, fswake wakes the others, and no phone rings twice.
//!
//! Each test runs with the shipped dial-string, with mod_apn's variable, and without a variable.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fswake_test_support::realfs::{BESIDE_DOMAINS, RealFs, WAKE_DOMAIN};
use fswake_test_support::sip::Reaction;
use fswake_test_support::site::{Settings, Wakes};

use crate::site;
use crate::steps::{ELSEWHERE, answered_call, answers, hang_up, new_sleeper};

crate::trials![
    registered_phone_rings_once_by_freeswitch_and_is_not_pushed,
    sleeping_phone_next_to_plain_contacts_is_woken_and_rung_once,
    phone_without_a_registration_is_woken_at_once,
    phone_that_wakes_where_freeswitch_still_rings_it_rings_once,
    desk_phone_that_answers_leaves_the_woken_phone_with_completed_elsewhere,
    woken_phone_that_answers_leaves_the_desk_phone_with_completed_elsewhere,
    originate_with_plain_contacts_rings_each_phone_once,
    registered_phone_rings_once_while_fswake_is_dead,
    exported_wish_costs_no_call_while_fswake_is_dead,
    busy_desk_phone_does_not_end_the_wait_for_the_sleeping_one,
    slow_directory_delays_neither_push_nor_end_of_a_call,
];

async fn registered_phone_rings_once_by_freeswitch_and_is_not_pushed(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    for (n, domain) in BESIDE_DOMAINS.iter().enumerate() {
        let (user, phone) = new_sleeper(&site, domain, Wakes::InPlace, answers(1200)).await;
        phone.wake_in_place();
        let call = answered_call(&site, &format!("1{n}{user}")).await;
        phone.on_the_line().await;
        assert_eq!(
            (phone.invites(), site.pushes().len()),
            (1, 0),
            "{domain}: {}",
            phone.story()
        );
        hang_up(&call, &phone).await;
    }
}

async fn sleeping_phone_next_to_plain_contacts_is_woken_and_rung_once(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    for (n, domain) in BESIDE_DOMAINS.iter().enumerate() {
        let (user, phone) = new_sleeper(&site, domain, Wakes::Elsewhere, answers(500)).await;
        let call = answered_call(&site, &format!("1{n}{user}")).await;
        phone.on_the_line().await;
        assert_eq!(
            (phone.invites(), site.pushes().len()),
            (1, n + 1),
            "{domain}: {}",
            phone.story()
        );
        let invite = phone.invited().await;
        assert!(!invite.header("X-Fswake-Call").is_empty(), "rung by fswake");
        hang_up(&call, &phone).await;
    }
}

async fn phone_without_a_registration_is_woken_at_once(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    for (n, domain) in BESIDE_DOMAINS.iter().enumerate() {
        let (user, phone) = new_sleeper(&site, domain, Wakes::Elsewhere, answers(500)).await;
        site.forget_place(&phone).await;
        let call = site.caller().await.call(&format!("1{n}{user}"));
        assert_eq!(call.outcome().await, 200, "{domain}");
        phone.on_the_line().await;
        assert_eq!(
            (phone.invites(), site.pushes().len()),
            (1, n + 1),
            "{domain}: {}",
            phone.story()
        );
        hang_up(&call, &phone).await;
    }
}

async fn phone_that_wakes_where_freeswitch_still_rings_it_rings_once(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    let (user, domain) = (site.fs.new_user(), BESIDE_DOMAINS[0]);
    let phone = site.sleeper(&user, domain, Wakes::InPlace, answers(700)).await;
    let call = answered_call(&site, &format!("10{user}")).await;
    phone.on_the_line().await;
    assert_eq!((phone.invites(), site.pushes().len()), (1, 1), "{}", phone.story());
    site.daemon().log.wait(&["rung-beside"]).await;
    hang_up(&call, &phone).await;
}

async fn desk_phone_that_answers_leaves_the_woken_phone_with_completed_elsewhere(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    for (n, domain) in BESIDE_DOMAINS.iter().enumerate() {
        let user = site.fs.new_user();
        let desk = site.desk_phone(&user, domain, answers(2500)).await;
        let phone = site.sleeper(&user, domain, Wakes::Elsewhere, Reaction::Ring).await;
        let call = answered_call(&site, &format!("1{n}{user}")).await;
        desk.on_the_line().await;
        let (_, reason) = phone.cancelled().await;
        assert_eq!(reason, ELSEWHERE, "{domain}");
        assert_eq!((desk.invites(), phone.invites()), (1, 1), "{domain}");
        hang_up(&call, &desk).await;
    }
}

async fn woken_phone_that_answers_leaves_the_desk_phone_with_completed_elsewhere(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    for (n, domain) in BESIDE_DOMAINS.iter().enumerate() {
        let user = site.fs.new_user();
        let desk = site.desk_phone(&user, domain, Reaction::Ring).await;
        let phone = site.sleeper(&user, domain, Wakes::Elsewhere, answers(300)).await;
        let call = answered_call(&site, &format!("1{n}{user}")).await;
        phone.on_the_line().await;
        let (_, reason) = desk.cancelled().await;
        assert_eq!(reason, ELSEWHERE, "{domain}");
        assert_eq!((desk.invites(), phone.invites()), (1, 1), "{domain}");
        hang_up(&call, &phone).await;
    }
}

async fn originate_with_plain_contacts_rings_each_phone_once(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    for domain in BESIDE_DOMAINS {
        let user = site.fs.new_user();
        let desk = site.desk_phone(&user, domain, Reaction::Ring).await;
        let phone = site.sleeper(&user, domain, Wakes::Elsewhere, answers(500)).await;
        let originated = site
            .fs
            .api(&format!("bgapi originate user/{user}@{domain} &echo"))
            .await;
        assert!(originated.starts_with("+OK"), "{originated}");
        phone.on_the_line().await;
        let (_, reason) = desk.cancelled().await;
        assert_eq!(reason, ELSEWHERE, "{domain}");
        assert_eq!((desk.invites(), phone.invites()), (1, 1), "{domain}");
        phone.hang_up().await;
        site.fs.becomes_silent(Duration::from_secs(2)).await;
    }
}

async fn registered_phone_rings_once_while_fswake_is_dead(fs: Arc<RealFs>) {
    let mut site = site(fs, &Settings::default()).await;
    let mut desks = Vec::new();
    // Without a variable the dialplan cannot tell: mod_apn's README form is not for sites without fswake.
    for (n, domain) in BESIDE_DOMAINS.iter().take(2).enumerate() {
        let user = site.fs.new_user();
        let desk = site.desk_phone(&user, domain, answers(1000)).await;
        desks.push((n, user, desk));
    }
    site.kill_daemon().await;
    for (n, user, desk) in desks {
        let call = answered_call(&site, &format!("1{n}{user}")).await;
        desk.on_the_line().await;
        assert_eq!(desk.invites(), 1, "{}", desk.story());
        hang_up(&call, &desk).await;
    }
}

async fn exported_wish_costs_no_call_while_fswake_is_dead(fs: Arc<RealFs>) {
    let mut site = site(fs, &Settings::default()).await;
    let user = site.fs.new_user();
    let desk = site.desk_phone(&user, WAKE_DOMAIN, Reaction::Ring).await;
    site.kill_daemon().await;
    let variables = "ignore_early_media=true,apn_wait_any_register=true,originate_timeout=2";
    let command = format!("bgapi originate {{{variables}}}user/{user}@{WAKE_DOMAIN} &echo");
    let answer = site.fs.api(&command).await;
    assert!(answer.starts_with("+OK"), "{answer}");
    desk.invited().await;
    site.fs.becomes_silent(Duration::from_secs(8)).await;
    assert_eq!(desk.invites(), 1, "{}", desk.story());
}

async fn busy_desk_phone_does_not_end_the_wait_for_the_sleeping_one(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    for (n, domain) in BESIDE_DOMAINS.iter().enumerate() {
        let user = site.fs.new_user();
        let desk = site.desk_phone(&user, domain, Reaction::Decline(486)).await;
        let phone = site.sleeper(&user, domain, Wakes::Elsewhere, answers(300)).await;
        let call = site.caller().await.call(&format!("1{n}{user}"));
        assert_eq!(call.outcome().await, 200, "{domain}");
        phone.on_the_line().await;
        assert_eq!((desk.invites(), phone.invites()), (1, 1), "{domain}");
        hang_up(&call, &phone).await;
    }
}

/// mod_lua serves the directory: FreeSWITCH asks it once before it connects to fswake, and fswake asks once more.
async fn slow_directory_delays_neither_push_nor_end_of_a_call(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    let loaded = site.fs.api("load mod_lua").await;
    if !loaded.contains("+OK") && site.fs.api("module_exists mod_lua").await != "true" {
        fswake_test_support::skipped::note("this FreeSWITCH has no mod_lua");
        return;
    }
    let (user, domain) = (site.fs.new_user(), BESIDE_DOMAINS[1]);
    let phone = site.sleeper(&user, domain, Wakes::Never, Reaction::Ring).await;
    site.forget_place(&phone).await;
    site.fs.api(&format!("global_setvar slow_directory={user}:2500")).await;
    let call = site.caller().await.call(&format!("11{user}"));
    site.pushed(1).await;
    let took = call.started.elapsed();
    assert!(
        took > Duration::from_millis(2500) && took < Duration::from_secs(4),
        "{took:?}"
    );
    let gone = Instant::now();
    call.cancel().await;
    site.daemon()
        .log
        .wait(&["call over", &format!("aor={user}@"), "abandoned"])
        .await;
    assert!(gone.elapsed() < Duration::from_secs(1), "{:?}", gone.elapsed());
    assert_eq!(
        site.daemon().log.count(&["who-rings"]),
        0,
        "the directory has answered before"
    );
    site.fs.api("global_setvar slow_directory=").await;
}
