//! FreeSWITCHes and fswakes behind an edge proxy die (SIGKILL) at each stage of a wake.

use std::time::{Duration, Instant};

use fswake_test_support::kamailio::Kamailio;
use fswake_test_support::realfs::{DOMAIN, RealFs};
use fswake_test_support::sip::{OutgoingCall, Phone, Reaction, What};
use fswake_test_support::site::{Joined, Settings, Site, Wakes};

use crate::database::Database;
use crate::steps::{
    ORPHANED, Stage, answers, call, caller, edge_before, hang_up, in_time, is_back, is_confirmed, is_connected,
    register_at, still_up,
};
use crate::{Pair, two_daemons};

crate::trials![
    phones_freeswitch_dies_at_any_stage_behind_the_edge_and_the_call_is_connected,
    calls_freeswitch_dies_behind_the_edge_and_the_next_call_is_connected_at_the_other,
    fswake_that_holds_the_call_dies_at_any_stage_behind_the_edge_and_the_caller_goes_on,
];

/// FreeSWITCHes behind an edge proxy, an fswake for each, and PostgreSQL.
struct Behind {
    pair: Pair,
    edge: Kamailio,
    site: Site,
    joined: Joined,
}

impl Behind {
    async fn start(pair: &Pair) -> Self {
        let database = Database::new(pair).await;
        let (edge, settings) = edge_before(pair).await;
        let settings = Settings {
            shared: database.settings("fswake-1").shared,
            ..settings
        };
        let (site, joined) = two_daemons(pair, settings).await;
        Self {
            pair: pair.clone(),
            edge,
            site,
            joined,
        }
    }

    /// A phone that was registered at B, and sleeps.
    async fn sleeper(&self, reaction: Reaction) -> (Phone, String) {
        let account = self.edge.before(self.pair.a.account(&self.pair.a.new_user(), DOMAIN));
        let phone = Phone::new(account, reaction).await;
        let token = self.site.give_token(&phone, Wakes::Never);
        register_at(&phone, 1).await;
        for daemon in [self.site.daemon(), self.joined.daemon()] {
            daemon.heard_of(&phone.account().user).await;
        }
        phone.sleep();
        (phone, token)
    }

    /// A phone and its call at A.
    async fn called(&self, reaction: Reaction) -> (Phone, OutgoingCall, String) {
        let (phone, token) = self.sleeper(reaction).await;
        let call = call(&self.site, &self.pair.a, &phone.account().user).await;
        assert!(self.site.pushed_to(&token).await);
        (phone, call, token)
    }
}

/// The push wakes it.
async fn comes_back_at(phone: &Phone, which: usize) {
    phone.wake_elsewhere().await;
    register_at(phone, which).await;
}

/// Its leg comes from the call's FreeSWITCH, over the edge.
async fn phones_freeswitch_dies_at_any_stage_behind_the_edge_and_the_call_is_connected(pair: Pair) {
    let edge = Behind::start(&pair).await;
    for (starts, stage) in (2..).zip(Stage::ALL) {
        let reached = |now: Stage| {
            if now == stage {
                pair.b.kill();
            }
        };
        let (phone, token) = edge.sleeper(Reaction::Ring).await;
        reached(Stage::Asleep);
        let call = call(&edge.site, &pair.a, &phone.account().user).await;
        assert!(edge.site.pushed_to(&token).await, "{stage}");
        reached(Stage::Pushed);
        // Where the other is alive, it may as well come back there.
        comes_back_at(&phone, usize::from(stage > Stage::Pushed)).await;
        phone.rang().await;
        reached(Stage::Ringing);
        tokio::time::sleep(Duration::from_secs(2)).await;
        phone.pick_up().await;
        is_connected(&call, &phone).await;
        reached(Stage::Connected);
        tokio::time::sleep(Duration::from_secs(2)).await;
        still_up(&call, &phone, stage);
        assert_eq!(phone.invites(), 1, "{stage}: {}", phone.story());
        hang_up(&call, &phone).await;
        pair.b.start_again().await;
        for daemon in [edge.site.daemon(), edge.joined.daemon()] {
            is_back(daemon, "fs2", starts).await;
        }
    }
}

async fn calls_freeswitch_dies_behind_the_edge_and_the_next_call_is_connected_at_the_other(pair: Pair) {
    let edge = Behind::start(&pair).await;
    for (starts, stage) in (2..).zip(Stage::AFTER_THE_PUSH) {
        let (phone, lost, token) = edge
            .called(answers(if stage == Stage::Connected { 50 } else { 60_000 }))
            .await;
        if stage != Stage::Pushed {
            comes_back_at(&phone, 1).await;
            phone.rang().await;
        }
        if stage == Stage::Connected {
            is_connected(&lost, &phone).await;
        }
        pair.a.kill();
        if stage == Stage::Pushed {
            comes_back_at(&phone, 1).await;
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        pair.b.becomes_silent(Duration::from_secs(5)).await;
        // Nobody is left who could end its leg.
        let told = phone.count(|what| matches!(what, What::Cancelled(_) | What::Ended(_)));
        assert_eq!(told, 0, "{stage}: {}", phone.story());
        let answered = phone.count(|what| matches!(what, What::Confirmed));
        phone.behave(answers(50));
        let again = call(&edge.site, &pair.b, &phone.account().user).await;
        edge.site.pushed_to_times(&token, 2).await;
        comes_back_at(&phone, 1).await;
        assert_eq!(again.outcome().await, 200, "{stage}: {}", phone.story());
        is_confirmed(&phone, answered + 1, ORPHANED).await;
        again.hang_up().await;
        pair.a.start_again().await;
        for daemon in [edge.site.daemon(), edge.joined.daemon()] {
            is_back(daemon, "fs1", starts).await;
        }
    }
}

async fn fswake_that_holds_the_call_dies_at_any_stage_behind_the_edge_and_the_caller_goes_on(pair: Pair) {
    let mut edge = Behind::start(&pair).await;
    for stage in Stage::AFTER_THE_PUSH {
        let (phone, token) = edge.sleeper(Reaction::Ring).await;
        // Its next action in the dialplan is 410.
        let call = next(&edge, &pair.a, &phone).await;
        assert!(edge.site.pushed_to(&token).await);
        if stage != Stage::Pushed {
            comes_back_at(&phone, 0).await;
            phone.rang().await;
        }
        if stage == Stage::Connected {
            phone.pick_up().await;
            is_connected(&call, &phone).await;
            edge.site.daemon().log.wait(&["call over", "connected"]).await;
        }
        let killed = Instant::now();
        edge.site.kill_daemon().await;
        if stage == Stage::Connected {
            tokio::time::sleep(ORPHANED).await;
            still_up(&call, &phone, stage);
            hang_up(&call, &phone).await;
        } else {
            assert_eq!(call.outcome().await, 410, "{stage}");
        }
        if stage == Stage::Ringing {
            let (at, _) = phone.cancelled().await;
            in_time("the phone stopped ringing", killed, at, ORPHANED);
        }
        edge.site.start_daemon().await;
    }
}

async fn next(edge: &Behind, fs: &RealFs, phone: &Phone) -> OutgoingCall {
    caller(&edge.site, fs).await.call(&format!("6{}", phone.account().user))
}
