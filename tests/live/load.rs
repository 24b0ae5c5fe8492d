//! Many calls at once.

use std::sync::Arc;

use fswake_test_support::realfs::{DOMAIN, RealFs};
use fswake_test_support::site::{Settings, Wakes};

use crate::site;
use crate::steps::{answers, hang_up};

crate::trials![fifty_calls_at_once_are_all_woken_and_connected];

async fn fifty_calls_at_once_are_all_woken_and_connected(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    let mut pairs = Vec::new();
    for _ in 0..50 {
        let user = site.fs.new_user();
        let answer = answers(100);
        let phone = site.sleeper(&user, DOMAIN, Wakes::Elsewhere, answer).await;
        pairs.push((phone, site.caller().await, user));
    }
    let calls: Vec<_> = pairs
        .iter()
        .map(|(_, caller, user)| caller.call(&format!("7{user}")))
        .collect();
    for (call, (phone, ..)) in calls.iter().zip(&pairs) {
        assert_eq!(call.outcome().await, 200);
        phone.on_the_line().await;
        assert_eq!(phone.invites(), 1, "{}", phone.story());
    }
    assert_eq!(site.fs.channels().await.len(), 100);
    for (call, (phone, ..)) in calls.iter().zip(&pairs) {
        hang_up(call, phone).await;
    }
}
