//! A sleeping phone is woken and answers, with either routing.

use std::sync::Arc;
use std::time::Duration;

use fswake_test_support::realfs::{DOMAIN, RealFs, WAKE_DOMAIN};
use fswake_test_support::sip::{Reaction, Script, Transport, What};
use fswake_test_support::site::{Settings, Wakes};

use crate::site;
use crate::steps::{ELSEWHERE, answered_call, answers, hang_up, new_sleeper};

crate::trials![
    sleeping_phone_is_woken_through_the_dialplan,
    sleeping_phone_is_woken_through_the_dial_string,
    contexts_that_fusionpbx_leaves_to_freeswitch_wake_as_the_others_do,
    originate_without_a_caller_wakes_both_phones_and_connects_the_first,
    leg_without_a_caller_has_a_record_of_its_own_only_once_it_is_answered,
    ring_group_rings_each_phone_once_and_the_loser_hears_completed_elsewhere,
    refresh_counts_as_a_wake_up,
    phone_that_wakes_where_it_slept_is_rung_once,
    three_registers_of_one_wake_up_bring_one_invite,
    pcma_phone_is_connected_without_transcoding,
    held_channel_says_how_it_went,
    push_carries_the_call_id_of_the_invite,
    number_that_is_an_alias_wakes_its_user_by_both_ways_in,
    directory_that_is_slow_costs_a_call_to_an_alias_its_own_time,
];

async fn sleeping_phone_is_woken_through_the_dialplan(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    let (user, phone) = new_sleeper(&site, DOMAIN, Wakes::Elsewhere, Script::default()).await;
    let call = answered_call(&site, &format!("7{user}")).await;
    phone.on_the_line().await;
    assert_eq!((phone.invites(), site.pushes().len()), (1, 1));
    assert!(call.responses().contains(&180), "{:?}", call.responses());
    hang_up(&call, &phone).await;
}

async fn sleeping_phone_is_woken_through_the_dial_string(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    let (user, phone) = new_sleeper(&site, WAKE_DOMAIN, Wakes::Elsewhere, Script::default()).await;
    let call = answered_call(&site, &format!("5{user}")).await;
    phone.on_the_line().await;
    assert_eq!((phone.invites(), site.pushes().len()), (1, 1));
    phone.hang_up().await;
    call.ended().await;
}

async fn contexts_that_fusionpbx_leaves_to_freeswitch_wake_as_the_others_do(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    let (user, phone) = new_sleeper(&site, WAKE_DOMAIN, Wakes::Elsewhere, Script::default()).await;
    let call = answered_call(&site, &format!("3{user}")).await;
    phone.on_the_line().await;
    assert_eq!((phone.invites(), site.pushes().len()), (1, 1));
    phone.hang_up().await;
    call.ended().await;
}

async fn originate_without_a_caller_wakes_both_phones_and_connects_the_first(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    let (quick, slow) = (site.fs.new_user(), site.fs.new_user());
    let first = site.sleeper(&quick, WAKE_DOMAIN, Wakes::Elsewhere, answers(500)).await;
    let second = site.sleeper(&slow, WAKE_DOMAIN, Wakes::Elsewhere, Reaction::Ring).await;
    let to = format!("user/{quick}@{WAKE_DOMAIN},user/{slow}@{WAKE_DOMAIN}");
    let originated = site.fs.api(&format!("bgapi originate {to} &echo")).await;
    assert!(originated.starts_with("+OK"), "{originated}");
    first.on_the_line().await;
    let (_, reason) = second.cancelled().await;
    assert_eq!(reason, ELSEWHERE);
    assert_eq!((first.invites(), second.invites()), (1, 1));
    first.hang_up().await;
    site.fs.becomes_silent(Duration::from_secs(2)).await;
}

/// A call center that tries an agent: the call's record is the loopback's, and the leg has no parent.
async fn leg_without_a_caller_has_a_record_of_its_own_only_once_it_is_answered(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    let (user, phone) = new_sleeper(&site, WAKE_DOMAIN, Wakes::Elsewhere, answers(2500)).await;
    let originated = site
        .fs
        .api(&format!("bgapi originate user/{user}@{WAKE_DOMAIN} &echo"))
        .await;
    assert!(originated.starts_with("+OK"), "{originated}");
    phone.rang().await;
    // FreeSWITCH updates its list of channels with a delay.
    let leg = loop {
        let channels = site.fs.channels().await;
        let is_leg = |name: &str| name.starts_with("sofia/") && name.contains(&user);
        let leg = channels.iter().find(|c| c["name"].as_str().is_some_and(is_leg));
        if let Some(uuid) = leg.and_then(|leg| leg["uuid"].as_str()) {
            break uuid.to_owned();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let question = format!("uuid_getvar {leg} process_cdr");
    assert_eq!(site.fs.api(&question).await.trim(), "false");
    phone.on_the_line().await;
    // FreeSWITCH acknowledges the answer before it runs `execute_on_answer`.
    let mut tries = 0;
    while site.fs.api(&question).await.trim() != "true" {
        tries += 1;
        assert!(tries < 40, "the answered leg has no record");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    phone.hang_up().await;
    site.fs.becomes_silent(Duration::from_secs(2)).await;
}

async fn ring_group_rings_each_phone_once_and_the_loser_hears_completed_elsewhere(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    let (quick, slow) = (site.fs.new_user(), site.fs.new_user());
    let winner = site.sleeper(&quick, WAKE_DOMAIN, Wakes::Late(300), answers(500)).await;
    let loser = site.sleeper(&slow, WAKE_DOMAIN, Wakes::Elsewhere, Reaction::Ring).await;
    let call = answered_call(&site, &format!("4{quick}{slow}")).await;
    winner.on_the_line().await;
    let (_, reason) = loser.cancelled().await;
    assert_eq!(reason, ELSEWHERE);
    assert_eq!((winner.invites(), loser.invites()), (1, 1));
    hang_up(&call, &winner).await;
}

async fn refresh_counts_as_a_wake_up(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    let (user, phone) = new_sleeper(&site, DOMAIN, Wakes::ByRefresh, Script::default()).await;
    let call = answered_call(&site, &format!("7{user}")).await;
    phone.on_the_line().await;
    hang_up(&call, &phone).await;
}

async fn phone_that_wakes_where_it_slept_is_rung_once(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    let (user, phone) = new_sleeper(&site, DOMAIN, Wakes::InPlace, answers(700)).await;
    let call = answered_call(&site, &format!("7{user}")).await;
    phone.on_the_line().await;
    // It may also get the INVITE to the Contact that it had while asleep, and that INVITE's CANCEL.
    let cancelled = phone.count(|w| matches!(w, What::Cancelled(_)));
    assert!(cancelled <= 1 && phone.invites() == cancelled + 1, "{}", phone.story());
    hang_up(&call, &phone).await;
}

async fn three_registers_of_one_wake_up_bring_one_invite(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    let (user, phone) = new_sleeper(&site, DOMAIN, Wakes::InBurst, answers(600)).await;
    // Removes the old registration, so that every INVITE answers one of the three REGISTERs.
    site.fs
        .api(&format!("sofia profile internal flush_inbound_reg {user}@{DOMAIN}"))
        .await;
    site.daemon().log.wait(&["event=Unregistered ", &user]).await;
    let call = answered_call(&site, &format!("7{user}")).await;
    let registers = phone.count(|w| matches!(w, What::Registered(200)));
    assert_eq!((registers, phone.invites()), (4, 1), "{}", phone.story());
    hang_up(&call, &phone).await;
}

async fn pcma_phone_is_connected_without_transcoding(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    let user = site.fs.new_user();
    let script = Script {
        codecs: vec![8],
        ..Script::default()
    };
    let phone = site.sleeper(&user, DOMAIN, Wakes::Elsewhere, script).await;
    let call = answered_call(&site, &format!("7{user}")).await;
    phone.on_the_line().await;
    let channels = site.fs.active_channels(2).await;
    for channel in channels {
        let codecs = (channel["read_codec"].as_str(), channel["write_codec"].as_str());
        assert_eq!(codecs, (Some("PCMA"), Some("PCMA")), "{channel}");
    }
    hang_up(&call, &phone).await;
}

async fn held_channel_says_how_it_went(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    let (user, phone) = new_sleeper(&site, DOMAIN, Wakes::Elsewhere, Script::default()).await;
    let number = format!("7{user}");
    let call = answered_call(&site, &number).await;
    phone.on_the_line().await;
    site.fs.active_channels(2).await;
    let channel = site.fs.caller_channel(&number).await.unwrap();
    // The last update comes when the connection ends; nothing waits for it.
    let mut result = String::new();
    for _ in 0..100 {
        result = site.fs.api(&format!("uuid_getvar {channel} fswake_result")).await;
        if result == "connected" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(result, "connected");
    let id = site.fs.api(&format!("uuid_getvar {channel} fswake_call")).await;
    assert_eq!(phone.invited().await.header("X-Fswake-Call"), id);
    hang_up(&call, &phone).await;
}

async fn push_carries_the_call_id_of_the_invite(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    let (user, phone) = new_sleeper(&site, DOMAIN, Wakes::Elsewhere, Script::default()).await;
    let call = answered_call(&site, &format!("7{user}")).await;
    let invite = phone.invited().await;
    let body = site.pushes()[0].push.body.to_string();
    let call_id = invite.header("Call-ID");
    assert!(body.contains(call_id), "{call_id} is not in {body}");
    hang_up(&call, &phone).await;
}

async fn number_that_is_an_alias_wakes_its_user_by_both_ways_in(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    for transport in Transport::ALL {
        let script = Script {
            transport,
            ..Script::default()
        };
        let (user, phone) = new_sleeper(&site, DOMAIN, Wakes::Elsewhere, script.clone()).await;
        let call = site.caller().await.call(&format!("9{user}"));
        assert_eq!(call.outcome().await, 200, "{}", site.daemon().log.end());
        phone.on_the_line().await;
        hang_up(&call, &phone).await;

        let (user, phone) = new_sleeper(&site, WAKE_DOMAIN, Wakes::Elsewhere, script).await;
        let dialled = format!("originate user/9{user}@{WAKE_DOMAIN} &park()");
        let answer = site.fs.api(&dialled).await;
        assert!(answer.starts_with("+OK"), "{answer}: {}", site.daemon().log.end());
        phone.on_the_line().await;
        site.fs.api("hupall").await;
        phone.ended().await;
    }
}

/// mod_lua serves the directory, as mod_xml_curl would: FreeSWITCH blocks whoever asks.
async fn directory_that_is_slow_costs_a_call_to_an_alias_its_own_time(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    let loaded = site.fs.api("load mod_lua").await;
    if !loaded.contains("+OK") && site.fs.api("module_exists mod_lua").await != "true" {
        fswake_test_support::skipped::note("this FreeSWITCH has no mod_lua");
        return;
    }
    let (user, phone) = new_sleeper(&site, DOMAIN, Wakes::Elsewhere, Script::default()).await;
    let slow = |ms: u32| {
        let (fs, user) = (site.fs.clone(), user.clone());
        async move { fs.api(&format!("global_setvar slow_directory=9{user}:{ms}")).await }
    };
    slow(1500).await;
    let call = site.caller().await.call(&format!("9{user}"));
    assert_eq!(call.outcome().await, 200, "{}", site.daemon().log.end());
    let took = call.started.elapsed();
    assert!(
        took > Duration::from_millis(1500),
        "the directory was not slow: {took:?}"
    );
    phone.on_the_line().await;
    hang_up(&call, &phone).await;

    // Callers who hang up meanwhile are noticed immediately, and recorded.
    slow(8000).await;
    let call = site.caller().await.call(&format!("9{user}"));
    site.daemon().log.wait(&["command=AskWhoseNumber ", &user]).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    call.cancel().await;
    site.daemon()
        .log
        .wait(&["call over", &format!("aor=9{user}@"), "abandoned"])
        .await;
    assert!(
        call.started.elapsed() < Duration::from_secs(2),
        "{:?}",
        call.started.elapsed()
    );
    slow(0).await;
}
