//! Set-ups and steps that many tests share.

use std::time::Duration;

use fswake_test_support::sip::{OutgoingCall, Phone, Reaction, Script};
use fswake_test_support::site::{Site, Wakes};

/// What a CANCEL says to a phone when another phone of its user has answered.
pub const ELSEWHERE: &str = "SIP;cause=200;text=\"Call completed elsewhere\"";

/// A phone that rings for so many milliseconds, then answers.
pub const fn answers(ms: u64) -> Reaction {
    Reaction::Answer(Duration::from_millis(ms))
}

/// A sleeping phone of a new user, with that user's name.
pub async fn new_sleeper(site: &Site, domain: &str, wakes: Wakes, script: impl Into<Script>) -> (String, Phone) {
    let user = site.fs.new_user();
    let phone = site.sleeper(&user, domain, wakes, script).await;
    (user, phone)
}

/// Calls this number, and is answered.
pub async fn answered_call(site: &Site, number: &str) -> OutgoingCall {
    let call = site.caller().await.call(number);
    assert_eq!(call.outcome().await, 200, "{number}");
    call
}

/// The caller hangs up, and the phone gets its BYE.
pub async fn hang_up(call: &OutgoingCall, phone: &Phone) {
    call.hang_up().await;
    phone.ended().await;
}
