//! A desk phone that rings at once, and a woken one that rings late.

use std::sync::Arc;
use std::time::Duration;

use fswake_test_support::realfs::{DOMAIN, RealFs};
use fswake_test_support::sip::{OutgoingCall, Phone, Reaction};
use fswake_test_support::site::{Settings, Site, Wakes};

use crate::site;

crate::trials![
    desk_phone_answers_and_the_woken_one_hears_completed_elsewhere,
    woken_phone_answers_and_the_desk_phone_hears_completed_elsewhere,
    desk_phone_alone_is_rung_without_a_push,
    desk_phone_answers_before_the_sleeper_wakes,
];

const ELSEWHERE: &str = "SIP;cause=200;text=\"Call completed elsewhere\"";

struct Ringing {
    site: Site,
    desk: Phone,
    mobile: Phone,
    call: OutgoingCall,
}

/// Both ring: the desk phone at once, the woken one half a second later.
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
    call.hang_up().await;
    desk.ended().await;
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
    let desk = site
        .desk_phone(&user, DOMAIN, Reaction::Answer(Duration::from_millis(50)))
        .await;
    let call = site.caller().await.call(&format!("7{user}"));
    assert_eq!(call.outcome().await, 200);
    assert_eq!((desk.invites(), site.pushes().len()), (1, 0));
    call.hang_up().await;
    desk.ended().await;
}

async fn desk_phone_answers_before_the_sleeper_wakes(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    let user = site.fs.new_user();
    let desk = site
        .desk_phone(&user, DOMAIN, Reaction::Answer(Duration::from_millis(100)))
        .await;
    let mobile = site.sleeper(&user, DOMAIN, Wakes::Never, Reaction::Ring).await;
    let call = site.caller().await.call(&format!("7{user}"));
    assert_eq!(call.outcome().await, 200);
    mobile.wake_elsewhere().await;
    assert_eq!(mobile.register().await, 200);
    site.heard(&mobile).await;
    call.hang_up().await;
    desk.ended().await;
    assert_eq!(mobile.invites(), 0, "{}", mobile.story());
}
