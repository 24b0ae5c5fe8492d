//! A desk phone that rings immediately, and a woken phone that rings later.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fswake_test_support::realfs::{DOMAIN, RealFs};
use fswake_test_support::sip::{Leg, Noise, OutgoingCall, Phone, Reaction, Script, What};
use fswake_test_support::site::{Settings, Site, Wakes};

use crate::site;
use crate::steps::{ELSEWHERE, answered_call, answers, hang_up};

crate::trials![
    desk_phone_answers_and_the_woken_one_hears_completed_elsewhere,
    woken_phone_answers_and_the_desk_phone_hears_completed_elsewhere,
    desk_phone_alone_is_rung_without_a_push,
    desk_phone_answers_before_the_sleeper_wakes,
    two_phones_that_answer_at_once_are_one_call,
    caller_who_gives_up_in_any_moment_leaves_no_phone_ringing_or_connected,
];

struct Ringing {
    site: Site,
    desk: Phone,
    mobile: Phone,
    call: OutgoingCall,
}

/// Both ring: the desk phone immediately, the woken one half a second later.
async fn both_ring(fs: Arc<RealFs>) -> Ringing {
    let site = site(fs, &Settings::default()).await;
    let user = site.fs.new_user();
    let desk = site.desk_phone(&user, DOMAIN, Reaction::Ring).await;
    let mobile = site.sleeper(&user, DOMAIN, Wakes::Late(500), Reaction::Ring).await;
    let call = site.caller().await.call(&format!("7{user}"));
    let (first, second) = (desk.rang().await, mobile.rang().await);
    let invited = desk.invited().await.at - call.started;
    assert!(
        invited < Duration::from_millis(250),
        "the desk phone rings after {invited:?}"
    );
    assert!(second - first > Duration::from_millis(300));
    Ringing {
        site,
        desk,
        mobile,
        call,
    }
}

async fn desk_phone_answers_and_the_woken_one_hears_completed_elsewhere(fs: Arc<RealFs>) {
    let Ringing {
        desk,
        mobile,
        call,
        site: _site,
    } = both_ring(fs).await;
    desk.pick_up_soon();
    assert_eq!(call.outcome().await, 200);
    assert_eq!(mobile.cancelled().await.1, ELSEWHERE);
    assert_eq!((desk.invites(), mobile.invites()), (1, 1));
    hang_up(&call, &desk).await;
}

async fn woken_phone_answers_and_the_desk_phone_hears_completed_elsewhere(fs: Arc<RealFs>) {
    let Ringing {
        desk,
        mobile,
        call,
        site: _site,
    } = both_ring(fs).await;
    mobile.pick_up_soon();
    assert_eq!(call.outcome().await, 200);
    assert_eq!(desk.cancelled().await.1, ELSEWHERE);
    assert_eq!((desk.invites(), mobile.invites()), (1, 1));
    mobile.hang_up().await;
    call.ended().await;
}

async fn desk_phone_alone_is_rung_without_a_push(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    let user = site.fs.new_user();
    let desk = site.desk_phone(&user, DOMAIN, answers(50)).await;
    let call = answered_call(&site, &format!("7{user}")).await;
    assert_eq!((desk.invites(), site.pushes().len()), (1, 0));
    hang_up(&call, &desk).await;
}

async fn desk_phone_answers_before_the_sleeper_wakes(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    let user = site.fs.new_user();
    let desk = site.desk_phone(&user, DOMAIN, answers(100)).await;
    let mobile = site.sleeper(&user, DOMAIN, Wakes::Never, Reaction::Ring).await;
    let call = answered_call(&site, &format!("7{user}")).await;
    mobile.wake_elsewhere().await;
    assert_eq!(mobile.register().await, 200);
    site.heard(&mobile).await;
    hang_up(&call, &desk).await;
    assert_eq!(mobile.invites(), 0, "{}", mobile.story());
}

/// How often a race is repeated: a few times, or as often as `FSWAKE_LIVE_RACES` says.
fn races() -> u64 {
    let asked = std::env::var("FSWAKE_LIVE_RACES").ok();
    asked.and_then(|n| n.parse().ok()).unwrap_or(6)
}

/// The end of a phone's only call.
async fn end_of(phone: &Phone) -> What {
    let is_end = |what: &What| matches!(what, What::Cancelled(_) | What::Ended(_));
    phone.expect("an end", |h| is_end(&h.what)).await.what
}

fn speaks(voice: u8) -> Script {
    Script {
        voice: Some(voice),
        ..Script::from(Reaction::Ring)
    }
}

/// What a phone receives in its current call.
async fn hears(leg: &Leg) -> Option<Noise> {
    for _ in 0..10 {
        if let Some(voice) = leg.listen(Duration::from_millis(100)).await.pop() {
            return Some(voice);
        }
    }
    None
}

/// 0 to 5 ms between the two answers, in either order.
async fn two_phones_that_answer_at_once_are_one_call(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    let mut ends = [0, 0];
    for n in 0..races() {
        let user = site.fs.new_user();
        let phones = [
            site.desk_phone(&user, DOMAIN, speaks(1)).await,
            site.desk_phone(&user, DOMAIN, speaks(2)).await,
        ];
        let caller = site.caller().await;
        caller.behave(speaks(3));
        let call = caller.call(&format!("7{user}"));
        for phone in &phones {
            phone.rang().await;
        }
        // Caller and legs have reached their final state.
        tokio::time::sleep(Duration::from_millis(20 + n % 40)).await;
        let [first, second] = if n % 2 == 0 { [0, 1] } else { [1, 0] };
        assert!(phones[first].answer_soon());
        tokio::time::sleep(Duration::from_micros(n * 700 % 5000)).await;
        phones[second].answer_soon();
        assert_eq!(call.outcome().await, 200);
        let story = || format!("race {n}: {} | {}", phones[0].story(), phones[1].story());
        let is_up = |phone: &Phone| phone.legs().iter().any(Leg::is_up);
        let answered = Instant::now();
        while is_up(&phones[0]) == is_up(&phones[1]) {
            assert!(answered.elapsed() < Duration::from_secs(5), "{}", story());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        let up: Vec<usize> = (0..2).filter(|p| is_up(&phones[*p])).collect();
        assert_eq!(up.len(), 1, "{}", story());
        let (winner, loser) = (&phones[up[0]], &phones[1 - up[0]]);
        match end_of(loser).await {
            What::Cancelled(reason) => {
                ends[0] += 1;
                assert_eq!(reason.as_deref(), Some(ELSEWHERE), "{}", story());
            }
            What::Ended(reason) => {
                ends[1] += 1;
                assert!(reason.is_some_and(|r| r.contains("completed elsewhere")), "{}", story());
            }
            other => panic!("{other:?}: {}", story()),
        }
        let voice = u8::try_from(up[0]).unwrap_or_default() + 1;
        assert_eq!(hears(&call.leg()).await, Some(Noise::Voice(voice)), "{}", story());
        assert_eq!(hears(&winner.legs()[0]).await, Some(Noise::Voice(3)), "{}", story());
        hang_up(&call, winner).await;
    }
    eprintln!("losers: {} by CANCEL, {} by BYE", ends[0], ends[1]);
}

/// 0 to 60 ms after the INVITE, or around the answer.
async fn caller_who_gives_up_in_any_moment_leaves_no_phone_ringing_or_connected(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    for n in 0..races() {
        let user = site.fs.new_user();
        let after = Duration::from_micros(60_000 * n / races());
        let does_answer = n % 2 == 0;
        let reaction = if does_answer { answers(20) } else { Reaction::Ring };
        let phone = site.desk_phone(&user, DOMAIN, reaction).await;
        let call = site.caller().await.call(&format!("7{user}"));
        // The INVITE comes about 10 ms after the call.
        tokio::time::sleep(after).await;
        if does_answer {
            phone.invited().await;
            tokio::time::sleep(after / 2).await;
        }
        if call
            .response_within(Duration::ZERO, |status| status >= 200)
            .await
            .is_some()
        {
            call.hang_up().await;
        } else {
            call.cancel().await;
        }
        let started = Instant::now();
        let is_over = |phone: &Phone| {
            let leg = |l: &Leg| l.is_up();
            let ended = phone.count(|w| matches!(w, What::Cancelled(_) | What::Ended(_)));
            phone.legs().iter().all(|l| !leg(l)) && ended == phone.invites()
        };
        while !is_over(&phone) {
            assert!(
                started.elapsed() < Duration::from_millis(2500),
                "{n}: {}",
                phone.story()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    site.fs.becomes_silent(Duration::from_secs(3)).await;
}
