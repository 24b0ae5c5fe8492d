//! FreeSWITCHes behind an edge proxy (Kamailio), two fswakes, and the PostgreSQL that these share.

use fswake_test_support::realfs::DOMAIN;
use fswake_test_support::sip::{Phone, Transport};
use fswake_test_support::site::Wakes;

use crate::database::Database;
use crate::shared::survives_the_death_of_postgresql;
use crate::steps::{call, edge_before, hang_up, is_connected, over, pushes_to, register_at, start_anew};
use crate::{Pair, for_each, site_at};

crate::trials![
    phone_behind_the_edge_is_woken_from_every_freeswitch_by_fswakes_that_know_it_from_postgresql,
    postgresql_dies_at_any_stage_of_a_wake_behind_the_edge_and_nothing_happens,
];

/// Their files are empty, and the FreeSWITCHes have forgotten the registrations.
async fn phone_behind_the_edge_is_woken_from_every_freeswitch_by_fswakes_that_know_it_from_postgresql(pair: Pair) {
    let database = Database::new(&pair).await;
    let (edge, mut settings) = edge_before(&pair).await;
    settings.shared = database.settings("fswake-1").shared;
    let settings = for_each(&pair, settings);
    let mut site = site_at(&pair.a, &settings[0]).await;
    let (mut calls, mut tokens) = (Vec::new(), Vec::new());
    for transport in [Transport::Udp, Transport::Tcp] {
        for (slept, held, back) in (0..8).map(|n| (n & 1, n >> 1 & 1, n >> 2)) {
            let user = site.fs.new_user();
            let account = edge.before(pair.a.account(&user, DOMAIN));
            let phone = Phone::new(account, over(transport)).await;
            let token = site.give_token(&phone, Wakes::Never);
            register_at(&phone, slept).await;
            site.heard_of(&user).await;
            let there = pair.both_ways()[slept].0;
            let contact = there.api(&format!("sofia_contact internal/{user}@{DOMAIN}")).await;
            assert!(contact.contains("sofia/"), "the edge has sent it elsewhere: {contact}");
            phone.sleep();
            calls.push((phone, token.clone(), held, back));
            tokens.push((user, token));
        }
    }
    database.has_tokens(&tokens).await;
    let _both = start_anew(&mut site, &pair, &settings).await;
    for (phone, token, held, back) in &calls {
        let user = &phone.account().user;
        let call = call(&site, pair.both_ways()[*held].0, user).await;
        assert!(site.pushed_to(token).await);
        phone.wake_elsewhere().await;
        register_at(phone, *back).await;
        is_connected(&call, phone).await;
        assert_eq!(phone.invites(), 1);
        hang_up(&call, phone).await;
    }
    assert_eq!(pushes_to(&site, tokens.iter().map(|(_, token)| token)), calls.len());
}

async fn postgresql_dies_at_any_stage_of_a_wake_behind_the_edge_and_nothing_happens(pair: Pair) {
    let (edge, settings) = edge_before(&pair).await;
    survives_the_death_of_postgresql(&pair, &settings, |account| edge.before(account)).await;
}
