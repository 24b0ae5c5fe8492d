//! Phones behind an edge proxy (Kamailio) that sends each REGISTER to either FreeSWITCH, with a Path.

use fswake_test_support::kamailio::Kamailio;
use fswake_test_support::realfs::DOMAIN;
use fswake_test_support::sip::{Phone, Transport};
use fswake_test_support::site::{Settings, Site, Wakes};

use crate::steps::{answers, call, edge_before, hang_up, is_connected, is_connected_when, over};
use crate::{Pair, site};

crate::trials![
    phone_behind_the_edge_is_woken_from_every_freeswitch_directly,
    phone_behind_the_edge_is_woken_through_its_own_freeswitch_where_the_others_may_not_use_the_edge,
    edge_dies_during_a_wake_and_the_phone_is_rung_when_it_is_back,
];

/// Calls from both FreeSWITCHes, on every transport of the edge. Returns how many legs went through another FreeSWITCH.
async fn legs_through_another(pair: &Pair, site: &Site, edge: &Kamailio) -> usize {
    let (mut same, mut other) = (0, 0);
    for transport in Transport::ALL {
        // Which FreeSWITCH a REGISTER reaches is chance.
        for n in 0..6 {
            let held = if n % 2 == 0 { &pair.a } else { &pair.b };
            let account = edge.before(pair.a.account(&site.fs.new_user(), DOMAIN));
            let phone = Phone::new(account, over(transport)).await;
            site.give_token(&phone, Wakes::Elsewhere);
            assert_eq!(phone.register().await, 200);
            site.heard_of(&phone.account().user).await;
            let user = phone.account().user.clone();
            let here = held.api(&format!("sofia_contact internal/{user}@{DOMAIN}")).await;
            if here.contains("sofia/") {
                same += 1;
            } else {
                other += 1;
            }
            phone.sleep();
            let call = call(site, held, &user).await;
            is_connected_when(&call, &phone, format!("{transport:?}, {n}")).await;
            assert_eq!(phone.invites(), 1);
            hang_up(&call, &phone).await;
        }
    }
    eprintln!("slept where the call is held: {same}, at the other FreeSWITCH: {other}");
    assert!(same > 0 && other > 0);
    site.daemon().log.count(&["leg-started", "\\\"node\\\":\\\"fs"])
}

async fn phone_behind_the_edge_is_woken_from_every_freeswitch_directly(pair: Pair) {
    let (edge, settings) = edge_before(&pair).await;
    let site = site(&pair, settings).await;
    assert_eq!(legs_through_another(&pair, &site, &edge).await, 0);
}

async fn phone_behind_the_edge_is_woken_through_its_own_freeswitch_where_the_others_may_not_use_the_edge(pair: Pair) {
    let (edge, _) = edge_before(&pair).await;
    let site = site(&pair, Settings::default()).await;
    assert!(legs_through_another(&pair, &site, &edge).await > 0);
}

async fn edge_dies_during_a_wake_and_the_phone_is_rung_when_it_is_back(pair: Pair) {
    let (mut edge, settings) = edge_before(&pair).await;
    let site = site(&pair, settings).await;
    let account = edge.before(pair.a.account(&site.fs.new_user(), DOMAIN));
    let phone = Phone::new(account, answers(50)).await;
    site.give_token(&phone, Wakes::Late(3000));
    assert_eq!(phone.register().await, 200);
    site.heard_of(&phone.account().user).await;
    phone.sleep();
    let call = call(&site, &pair.a, &phone.account().user).await;
    site.pushed(1).await;
    edge.kill().await;
    edge.start_again().await;
    is_connected(&call, &phone).await;
    hang_up(&call, &phone).await;
}
