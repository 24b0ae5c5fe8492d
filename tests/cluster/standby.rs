//! Active and standby on one address, each with an fswake of its own, and the PostgreSQL that these share.
//!
//! How the address moves on loopback: tests/support/src/realfs/standby.rs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fswake_test_support::realfs::{DOMAIN, RealFs};
use fswake_test_support::sip::{OutgoingCall, Phone, Reaction, Script, Transport, What};
use fswake_test_support::site::{Joined, Site, Wakes};
use serde_json::Value;

use crate::database::Database;
use crate::steps::{
    ORPHANED, Stage, answers, call, hang_up, is_confirmed, is_connected, learns_of, over, pushes_to, sleeper_of,
    still_up, token_of,
};
use crate::{Pair, USERS, site_at};

crate::trials![
    active_host_dies_before_the_push_and_phones_are_woken_at_the_standby,
    active_host_dies_before_the_register_and_the_next_call_is_connected_at_the_standby,
    active_host_dies_while_the_phone_rings_and_the_next_call_is_connected_at_the_standby,
    active_host_dies_while_the_call_is_up_and_the_next_call_is_connected_at_the_standby,
    standby_whose_freeswitch_starts_only_then_takes_over,
    address_moves_back_and_phones_that_registered_at_the_standby_are_woken,
    standby_dies_at_any_stage_of_a_wake_and_nothing_happens,
    postgresql_is_dead_when_the_active_host_dies_and_the_standby_wakes_the_phones_it_has_read_of,
];

/// Two hosts of which one has the address, and the phones' one server.
struct Hosts {
    pair: Pair,
    /// The active host's fswake.
    site: Site,
    /// The standby's.
    joined: Joined,
    standby: Arc<RealFs>,
    database: Database,
}

impl Hosts {
    async fn start(pair: &Pair) -> Self {
        let database = Database::new(pair).await;
        let standby = Arc::new(pair.a.standby(USERS).await);
        let site = site_at(&pair.a, &database.settings("fswake-1")).await;
        let joined = site.join_at(&standby, &database.settings("fswake-2")).await;
        Self {
            pair: pair.clone(),
            site,
            joined,
            standby,
            database,
        }
    }

    /// A phone that sleeps, and whose token the standby has read.
    async fn sleeper(&self, wakes: Wakes, script: impl Into<Script>) -> Phone {
        let account = self.pair.a.account(&self.pair.a.new_user(), DOMAIN);
        let (phone, _) = sleeper_of(&self.site, account, wakes, script).await;
        learns_of(self.joined.daemon(), &phone.account().user).await;
        phone
    }

    async fn call(&self, fs: &Arc<RealFs>, phone: &Phone) -> OutgoingCall {
        call(&self.site, fs, &phone.account().user).await
    }

    /// The active host dies, and its address moves.
    async fn active_dies(&mut self) {
        self.pair.a.kill();
        self.site.kill_daemon().await;
        self.standby.takes_over().await;
    }

    /// The caller calls again, for the phone's `nth` answered call.
    async fn is_called_again(&self, phone: &Phone, nth: usize) {
        phone.behave(answers(50));
        let call = self.call(&self.standby, phone).await;
        assert_eq!(call.outcome().await, 200, "{}", phone.story());
        is_confirmed(phone, nth, ORPHANED).await;
        call.hang_up().await;
        self.nothing_is_left().await;
    }

    /// At the standby no channel is left, and no call is held.
    async fn nothing_is_left(&self) {
        self.standby.becomes_silent(ORPHANED).await;
        let began = Instant::now();
        loop {
            let (_, calls, stderr) = self.joined.tool(&["calls", "--json"]).await;
            let calls: Value = serde_json::from_str(&calls).unwrap_or_else(|e| panic!("{e}: {calls}{stderr}"));
            if calls["calls"].as_array().is_some_and(Vec::is_empty) {
                return;
            }
            assert!(began.elapsed() < ORPHANED, "{calls}");
        }
    }
}

/// On every transport that phones have, many of them.
async fn active_host_dies_before_the_push_and_phones_are_woken_at_the_standby(pair: Pair) {
    let mut hosts = Hosts::start(&pair).await;
    let mut phones = Vec::new();
    for transport in Transport::ALL.into_iter().cycle().take(10) {
        phones.push(hosts.sleeper(Wakes::Elsewhere, over(transport)).await);
    }
    hosts.active_dies().await;
    for phone in &phones {
        let call = hosts.call(&hosts.standby, phone).await;
        is_connected(&call, phone).await;
        assert_eq!(phone.invites(), 1);
        hang_up(&call, phone).await;
    }
    let tokens: Vec<_> = phones.iter().map(token_of).collect();
    assert_eq!(pushes_to(&hosts.site, &tokens), phones.len());
    hosts.nothing_is_left().await;
}

/// The call is lost with its FreeSWITCH, which tells nobody. The push is not: the phone registers at the standby.
async fn active_host_dies_before_the_register_and_the_next_call_is_connected_at_the_standby(pair: Pair) {
    let mut hosts = Hosts::start(&pair).await;
    let phone = hosts.sleeper(Wakes::Never, answers(50)).await;
    let lost = hosts.call(&pair.a, &phone).await;
    let token = token_of(&phone);
    assert!(hosts.site.pushed_to(&token).await);
    hosts.active_dies().await;
    phone.wake_elsewhere().await;
    assert_eq!(phone.register().await, 200);
    hosts.joined.daemon().heard_of(&phone.account().user).await;
    hosts.nothing_is_left().await;
    assert_eq!(phone.invites(), 0, "{}", phone.story());
    lost.cancel().await;
    hosts.nothing_is_left().await;
    hosts.site.wake_by(&token, &phone, Wakes::Elsewhere);
    hosts.is_called_again(&phone, 1).await;
}

/// The phone rings on, because the FreeSWITCH that could end it is gone; who answers it hears nobody.
async fn active_host_dies_while_the_phone_rings_and_the_next_call_is_connected_at_the_standby(pair: Pair) {
    let mut hosts = Hosts::start(&pair).await;
    let phone = hosts.sleeper(Wakes::Elsewhere, Reaction::Ring).await;
    let lost = hosts.call(&pair.a, &phone).await;
    phone.rang().await;
    hosts.active_dies().await;
    lost.cancel().await;
    phone.pick_up_soon();
    hosts.nothing_is_left().await;
    let told = phone.count(|what| matches!(what, What::Cancelled(_) | What::Ended(_)));
    assert_eq!(told, 0, "{}", phone.story());
    hosts.is_called_again(&phone, 1).await;
}

/// Both ends learn it when they hang up.
async fn active_host_dies_while_the_call_is_up_and_the_next_call_is_connected_at_the_standby(pair: Pair) {
    let mut hosts = Hosts::start(&pair).await;
    let phone = hosts.sleeper(Wakes::Elsewhere, answers(50)).await;
    let lost = hosts.call(&pair.a, &phone).await;
    is_connected(&lost, &phone).await;
    hosts.active_dies().await;
    hosts.nothing_is_left().await;
    for leg in [lost.leg(), phone.legs().remove(0)] {
        let answer = leg.ask("BYE", "", "").await;
        assert_eq!(answer.and_then(|answer| answer.status()), Some(481));
    }
    hosts.is_called_again(&phone, 2).await;
}

/// As where Pacemaker starts FreeSWITCH with the address.
async fn standby_whose_freeswitch_starts_only_then_takes_over(pair: Pair) {
    let mut hosts = Hosts::start(&pair).await;
    let phone = hosts.sleeper(Wakes::Elsewhere, answers(50)).await;
    hosts.standby.kill();
    let log = hosts.joined.daemon().log.clone();
    log.wait(&["no connection to FreeSWITCH"]).await;
    pair.a.kill();
    hosts.site.kill_daemon().await;
    hosts.standby.start_again().await;
    log.wait_times(2, &["connected to FreeSWITCH"]).await;
    hosts.standby.takes_over().await;
    hosts.is_called_again(&phone, 1).await;
}

async fn address_moves_back_and_phones_that_registered_at_the_standby_are_woken(pair: Pair) {
    let mut hosts = Hosts::start(&pair).await;
    let old = hosts.sleeper(Wakes::Elsewhere, answers(50)).await;
    let old_token = token_of(&old);
    hosts.active_dies().await;
    let new = Phone::new(pair.a.account(&pair.a.new_user(), DOMAIN), answers(50)).await;
    let token = hosts.site.give_token(&new, Wakes::Elsewhere);
    assert_eq!(new.register().await, 200);
    let user = new.account().user.clone();
    hosts.joined.daemon().heard_of(&user).await;
    new.sleep();
    let both = [(old.account().user.clone(), old_token), (user, token)];
    hosts.database.has_tokens(&both).await;
    hosts.standby.kill();
    hosts.joined.kill().await;
    pair.a.start_again().await;
    hosts.site.start_daemon().await;
    for phone in [&old, &new] {
        let call = hosts.call(&pair.a, phone).await;
        is_connected(&call, phone).await;
        hang_up(&call, phone).await;
    }
}

async fn standby_dies_at_any_stage_of_a_wake_and_nothing_happens(pair: Pair) {
    let mut hosts = Hosts::start(&pair).await;
    let mut phones = Vec::new();
    for stage in Stage::ALL {
        let phone = hosts.sleeper(Wakes::Late(1000), Reaction::Ring).await;
        let reached = async |now: Stage, hosts: &mut Hosts| {
            if now == stage {
                hosts.standby.kill();
                hosts.joined.kill().await;
            }
        };
        reached(Stage::Asleep, &mut hosts).await;
        let call = hosts.call(&pair.a, &phone).await;
        assert!(hosts.site.pushed_to(&token_of(&phone)).await, "{stage}");
        reached(Stage::Pushed, &mut hosts).await;
        phone.rang().await;
        reached(Stage::Ringing, &mut hosts).await;
        phone.pick_up().await;
        is_connected(&call, &phone).await;
        reached(Stage::Connected, &mut hosts).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        still_up(&call, &phone, stage);
        hang_up(&call, &phone).await;
        hosts.standby.start_again().await;
        hosts.joined.start().await;
        phones.push(phone);
    }
    // It stands by again, and knows them all.
    hosts.active_dies().await;
    for phone in &phones {
        hosts.is_called_again(phone, 2).await;
    }
}

/// What the standby has not read is in the dead host's file, and is not lost.
async fn postgresql_is_dead_when_the_active_host_dies_and_the_standby_wakes_the_phones_it_has_read_of(pair: Pair) {
    let mut hosts = Hosts::start(&pair).await;
    let known = hosts.sleeper(Wakes::Elsewhere, answers(50)).await;
    hosts.database.server.kill();
    let account = pair.a.account(&pair.a.new_user(), DOMAIN);
    let (unknown, token) = sleeper_of(&hosts.site, account, Wakes::Elsewhere, answers(50)).await;
    let user = unknown.account().user.clone();
    // Its file has it some 20 ms later.
    tokio::time::sleep(Duration::from_millis(500)).await;
    hosts.active_dies().await;
    hosts.is_called_again(&known, 1).await;
    let missed = hosts.call(&hosts.standby, &unknown).await;
    assert_ne!(missed.outcome().await, 200);
    assert_eq!(pushes_to(&hosts.site, [&token]), 0);
    hosts.database.server.resume();
    hosts.standby.kill();
    pair.a.start_again().await;
    hosts.site.start_daemon().await;
    learns_of(hosts.joined.daemon(), &user).await;
    let call = hosts.call(&pair.a, &unknown).await;
    is_connected(&call, &unknown).await;
    hang_up(&call, &unknown).await;
}
