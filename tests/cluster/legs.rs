//! The call is held at one FreeSWITCH, and the phone is registered at the other.

use std::sync::Arc;
use std::time::Duration;

use fswake_test_support::realfs::{DOMAIN, RealFs, WAKE_DOMAIN};
use fswake_test_support::sip::{Phone, Reaction, Script, Transport};
use fswake_test_support::site::{Settings, Site, Wakes};

use crate::steps::{
    ELSEWHERE, answers, awake, call, caller, connected, hang_up, is_connected, is_connected_when, moved, sleeper,
};
use crate::{Pair, site};

crate::trials![
    phone_at_the_other_freeswitch_is_woken_and_connected_on_every_transport,
    phone_at_the_other_freeswitch_is_woken_through_the_dial_string,
    phone_that_moves_to_the_other_freeswitch_while_it_is_called_is_rung_there,
    phone_that_is_awake_at_the_other_freeswitch_is_rung_without_a_push,
    refusals_reach_the_caller_as_from_the_same_freeswitch,
    caller_who_gives_up_cancels_the_phone_at_the_other_freeswitch,
    first_of_two_phones_at_two_freeswitches_has_the_call_and_the_other_sees_that,
    phone_at_the_other_freeswitch_sees_the_caller_and_its_pushs_call_id,
    early_media_of_a_phone_at_the_other_freeswitch_reaches_the_caller,
    voice_and_digits_pass_between_the_freeswitches,
    phone_at_the_other_freeswitch_hangs_up_and_holds,
    phone_that_was_reached_through_the_other_freeswitch_is_transferred_to_one_that_sleeps,
];

async fn phone_at_the_other_freeswitch_is_woken_and_connected_on_every_transport(pair: Pair) {
    let site = site(&pair, Settings::default()).await;
    for (held, registered) in pair.both_ways() {
        for transport in Transport::ALL {
            let user = site.fs.new_user();
            let script = Script {
                transport,
                ..Script::from(answers(100))
            };
            let before = site.pushes().len();
            let phone = sleeper(&site, registered, &user, script).await;
            let call = call(&site, held, &user).await;
            is_connected_when(&call, &phone, format!("{transport:?}")).await;
            eprintln!("{transport:?}: INVITE {:?} after the REGISTER", phone.invited_after());
            assert_eq!((phone.invites(), site.pushes().len() - before), (1, 1), "{transport:?}");
            hang_up(&call, &phone).await;
        }
    }
}

async fn phone_at_the_other_freeswitch_is_woken_through_the_dial_string(pair: Pair) {
    let site = site(&pair, Settings::default()).await;
    for (held, registered) in pair.both_ways() {
        let user = site.fs.new_user();
        let account = registered.account(&user, WAKE_DOMAIN);
        let phone = site.sleeper_of(account, Wakes::Elsewhere, answers(100)).await;
        let call = caller(&site, held).await.call(&format!("5{user}"));
        is_connected(&call, &phone).await;
        assert_eq!(phone.invites(), 1);
        phone.hang_up().await;
        call.ended().await;
    }
}

/// It was registered at the call's FreeSWITCH, and comes back at the other: DNS SRV has sent it there.
async fn phone_that_moves_to_the_other_freeswitch_while_it_is_called_is_rung_there(pair: Pair) {
    let site = site(&pair, Settings::default()).await;
    for (held, registered) in pair.both_ways() {
        let user = site.fs.new_user();
        let phone = site
            .sleeper_of(held.account(&user, DOMAIN), Wakes::Never, Script::default())
            .await;
        let call = call(&site, held, &user).await;
        call.ringing().await;
        let moved = moved(&phone, registered.account(&user, DOMAIN), answers(50)).await;
        assert_eq!(moved.register().await, 200);
        is_connected(&call, &moved).await;
        hang_up(&call, &moved).await;
    }
}

async fn phone_that_is_awake_at_the_other_freeswitch_is_rung_without_a_push(pair: Pair) {
    let site = site(
        &pair,
        Settings::default().wake("fresh-for", "30s").wake("push-delay", "3s"),
    )
    .await;
    for (held, registered) in pair.both_ways() {
        let phone = awake(&site, registered, answers(100)).await;
        let call = call(&site, held, &phone.account().user).await;
        is_connected(&call, &phone).await;
        assert_eq!((phone.invites(), site.pushes().len()), (1, 0));
        hang_up(&call, &phone).await;
    }
}

/// The caller's answer to a call whose phone is at this FreeSWITCH and declines with this status.
async fn refused(site: &Site, held: &Arc<RealFs>, registered: &Arc<RealFs>, status: u16) -> u16 {
    let user = site.fs.new_user();
    let phone = sleeper(site, registered, &user, Reaction::Decline(status)).await;
    let call = call(site, held, &user).await;
    let outcome = call.outcome().await;
    assert_eq!(phone.invites(), 1, "{status}: {}", phone.story());
    outcome
}

async fn refusals_reach_the_caller_as_from_the_same_freeswitch(pair: Pair) {
    let site = site(&pair, Settings::default()).await;
    for status in [486, 603, 600, 404, 403, 410, 484, 501] {
        let (same, other) = tokio::join!(
            refused(&site, &pair.a, &pair.a, status),
            refused(&site, &pair.a, &pair.b, status)
        );
        assert_eq!(other, same, "a phone that answers {status}");
    }
}

async fn caller_who_gives_up_cancels_the_phone_at_the_other_freeswitch(pair: Pair) {
    let site = site(&pair, Settings::default()).await;
    let user = site.fs.new_user();
    let phone = sleeper(&site, &pair.b, &user, Reaction::Ring).await;
    let call = call(&site, &pair.a, &user).await;
    phone.rang().await;
    call.ringing().await;
    call.cancel().await;
    let (_, reason) = phone.cancelled().await;
    assert!(!reason.contains("elsewhere"), "{reason}");
}

async fn first_of_two_phones_at_two_freeswitches_has_the_call_and_the_other_sees_that(pair: Pair) {
    let site = site(&pair, Settings::default()).await;
    for (first, second) in pair.both_ways() {
        let user = site.fs.new_user();
        let quick = sleeper(&site, first, &user, answers(1500)).await;
        let slow = sleeper(&site, second, &user, Reaction::Ring).await;
        let call = call(&site, &pair.a, &user).await;
        slow.rang().await;
        is_connected(&call, &quick).await;
        let (_, reason) = slow.cancelled().await;
        assert_eq!(reason, ELSEWHERE);
        hang_up(&call, &quick).await;
    }
}

async fn phone_at_the_other_freeswitch_sees_the_caller_and_its_pushs_call_id(pair: Pair) {
    let site = site(&pair, Settings::default()).await;
    let mut seen = Vec::new();
    for registered in [&pair.a, &pair.b] {
        let user = site.fs.new_user();
        let phone = sleeper(&site, registered, &user, answers(50)).await;
        let caller = caller(&site, &pair.a).await;
        caller.display_name("\"Ann Lee\" ");
        let call = caller.call(&format!("7{user}"));
        is_connected(&call, &phone).await;
        let invite = phone.invited().await;
        let number = &caller.account().user;
        let from = invite.header("From").replace(number, "NUMBER");
        let from = from.split(";tag=").next().unwrap_or_default().to_owned();
        // The push had the INVITE's Call-ID, so that the app recognises the call.
        let push = site.pushes().last().expect("a push").push.clone();
        assert!(
            push.body.to_string().contains(invite.header("Call-ID")),
            "{}",
            push.body
        );
        assert_eq!(
            invite.header("X-Fswake-Leg"),
            "",
            "the phone does not get the signed header"
        );
        assert_ne!(invite.header("X-Fswake-Call"), "");
        let identity = invite.header("Remote-Party-ID").replace(number, "NUMBER");
        seen.push((
            from.split('@').next().unwrap_or_default().to_owned(),
            identity.split('@').next().unwrap_or_default().to_owned(),
        ));
        hang_up(&call, &phone).await;
    }
    assert_eq!(
        seen[0], seen[1],
        "what a phone sees at the call's FreeSWITCH, and at the other"
    );
}

async fn early_media_of_a_phone_at_the_other_freeswitch_reaches_the_caller(pair: Pair) {
    let site = site(&pair, Settings::default()).await;
    let user = site.fs.new_user();
    let script = Script {
        early_media: true,
        ..Script::from(answers(2500))
    };
    let phone = sleeper(&site, &pair.b, &user, script).await;
    let call = call(&site, &pair.a, &user).await;
    let early = call
        .response_within(Duration::from_secs(10), |status| status == 183)
        .await;
    assert!(early.is_some(), "{:?}", call.responses());
    is_connected(&call, &phone).await;
    hang_up(&call, &phone).await;
}

async fn voice_and_digits_pass_between_the_freeswitches(pair: Pair) {
    let site = site(&pair, Settings::default()).await;
    let user = site.fs.new_user();
    let voiced = |voice| Script {
        voice: Some(voice),
        ..Script::from(answers(100))
    };
    let phone = sleeper(&site, &pair.b, &user, voiced(1)).await;
    let caller = Phone::new(pair.a.account(&site.fs.new_user(), DOMAIN), voiced(2)).await;
    let call = caller.call(&format!("7{user}"));
    is_connected(&call, &phone).await;
    let (ours, theirs) = (call.leg(), phone.legs().remove(0));
    tokio::time::sleep(Duration::from_millis(500)).await;
    ours.press(b"12");
    let heard = theirs.listen(Duration::from_millis(1500)).await;
    eprintln!("the phone heard {heard:?}");
    assert!(heard.len() > 1, "voice and digits: {heard:?}");
    assert!(!ours.listen(Duration::from_millis(500)).await.is_empty());
    hang_up(&call, &phone).await;
}

async fn phone_at_the_other_freeswitch_hangs_up_and_holds(pair: Pair) {
    let site = site(&pair, Settings::default()).await;
    let (call, phone) = connected(&site, &pair, answers(100)).await;
    let leg = phone.legs().remove(0);
    assert_eq!(
        leg.reinvite(&[0, 8], fswake_test_support::sip::Direction::SendOnly)
            .await,
        200
    );
    assert_eq!(
        leg.reinvite(&[0, 8], fswake_test_support::sip::Direction::Both).await,
        200
    );
    assert!(!call.is_ended());
    phone.hang_up().await;
    call.ended().await;
}

/// The caller sends the phone on: its leg's channel goes through the dialplan, and is no leg from elsewhere there.
async fn phone_that_was_reached_through_the_other_freeswitch_is_transferred_to_one_that_sleeps(pair: Pair) {
    let site = site(&pair, Settings::default()).await;
    for (held, registered) in pair.both_ways() {
        let user = site.fs.new_user();
        let phone = sleeper(&site, registered, &user, answers(50)).await;
        let call = call(&site, held, &user).await;
        is_connected(&call, &phone).await;
        site.daemon().log.wait(&["call over", "connected", &user]).await;
        let third = site.fs.new_user();
        let other = sleeper(&site, registered, &third, answers(50)).await;
        assert_eq!(call.leg().refer(&format!("7{third}")).await, 202);
        other.on_the_line().await;
        assert_eq!(other.invites(), 1);
        assert_eq!(other.invited().await.header("X-Fswake-Leg"), "");
        other.hang_up().await;
        phone.ended().await;
    }
}
