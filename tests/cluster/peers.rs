//! Two fswakes: each takes the calls of one FreeSWITCH, and listens to both.

use std::time::Duration;

use fswake_test_support::realfs::DOMAIN;
use fswake_test_support::sip::Reaction;
use fswake_test_support::site::{Settings, Wakes};

use crate::steps::{answers, call, caller, hang_up, is_connected, sleeper};
use crate::{Pair, two_daemons};

crate::trials![
    every_fswake_wakes_a_phone_wherever_it_is_called_and_registers,
    wake_under_way_is_known_to_the_other_fswake,
    event_is_answered_once,
    limit_for_a_phone_holds_across_fswakes,
];

async fn every_fswake_wakes_a_phone_wherever_it_is_called_and_registers(pair: Pair) {
    let (site, joined) = two_daemons(&pair, Settings::default()).await;
    for held in [&pair.a, &pair.b] {
        for registered in [&pair.a, &pair.b] {
            let user = site.fs.new_user();
            let phone = sleeper(&site, registered, &user, answers(100)).await;
            joined.daemon().heard(&phone).await;
            let call = call(&site, held, &user).await;
            is_connected(&call, &phone).await;
            assert_eq!(phone.invites(), 1);
            hang_up(&call, &phone).await;
        }
    }
}

/// One push, and one REGISTER rings both calls.
async fn wake_under_way_is_known_to_the_other_fswake(pair: Pair) {
    let (site, joined) = two_daemons(&pair, Settings::default().wake("push-gap", "5s")).await;
    let user = site.fs.new_user();
    let account = pair.a.account(&user, DOMAIN);
    let phone = site.sleeper_of(account, Wakes::Late(1500), Reaction::Ring).await;
    joined.daemon().heard(&phone).await;
    let first = call(&site, &pair.a, &user).await;
    site.pushed(1).await;
    joined.daemon().log.wait(&["event=PushedElsewhere "]).await;
    let second = call(&site, &pair.b, &user).await;
    first.ringing().await;
    second.ringing().await;
    phone.rang().await;
    joined.daemon().log.wait(&["push-shared"]).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!((site.pushes().len(), phone.invites()), (1, 2), "{}", phone.story());
    first.cancel().await;
    second.cancel().await;
}

async fn event_is_answered_once(pair: Pair) {
    let (site, joined) = two_daemons(&pair, Settings::default()).await;
    let user = site.fs.new_user();
    let phone = sleeper(&site, &pair.a, &user, Reaction::Ring).await;
    joined.daemon().heard(&phone).await;
    // Also before they have heard of each other.
    for n in 1..=20 {
        let body = format!(r#"{{"number":"{n}"}}"#);
        let headers = [("type", "voip"), ("user", user.as_str()), ("realm", DOMAIN)];
        let mut console = pair.a.console().await;
        let sent = console.send_custom("mobile::push::notification", &headers, &body).await;
        sent.expect("FreeSWITCH takes the event");
    }
    site.pushed(20).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(site.pushes().len(), 20);
}

async fn limit_for_a_phone_holds_across_fswakes(pair: Pair) {
    let mut settings = Settings::default().wake("max-wait", "1s");
    settings.wake.insert("device-pushes-per-minute", "4".to_owned());
    let (site, joined) = two_daemons(&pair, settings).await;
    let user = site.fs.new_user();
    let account = pair.a.account(&user, DOMAIN);
    let phone = site.sleeper_of(account, Wakes::Never, Reaction::Ring).await;
    joined.daemon().heard(&phone).await;
    for n in 0..8 {
        let fs = if n % 2 == 0 { &pair.a } else { &pair.b };
        let call = caller(&site, fs).await.call(&format!("6{user}"));
        call.outcome().await;
    }
    // Exactly the limit if each hears of the other's in time; a factor of two is promised.
    let pushes = site.pushes().iter().filter(|push| push.push.status == 200).count();
    eprintln!("{pushes} pushes with a limit of 4");
    assert!((4..=8).contains(&pushes), "{pushes}");
}
