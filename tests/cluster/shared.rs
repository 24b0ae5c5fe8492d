//! Two fswakes with a file each, and a PostgreSQL: both know every token, and its death changes no call.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fswake_test_support::daemon::Daemon;
use fswake_test_support::realfs::{DOMAIN, RealFs};
use fswake_test_support::sip::{Account, Phone, Reaction, Transport};
use fswake_test_support::site::{Joined, Settings, Site, Wakes};

use crate::database::Database;
use crate::steps::{
    Stage, answers, call, hang_up, is_connected, learns_of, moved, over, pushes_to, sleeper_of, start_anew, still_up,
};
use crate::{Pair, for_each, site_at, two_daemons};

crate::trials![
    phone_that_only_one_fswake_has_heard_of_is_woken_by_the_other,
    phone_is_woken_from_every_freeswitch_by_fswakes_that_know_it_from_postgresql,
    postgresql_dies_at_any_stage_of_a_wake_and_nothing_happens,
    wakes_while_postgresql_is_away_reach_it_later,
];

/// A push or an INVITE that waits for PostgreSQL comes later. A busy machine needs some of it.
const SOON: Duration = Duration::from_secs(3);
/// How long PostgreSQL is away.
const AWAY: Duration = Duration::from_secs(12);

/// The fswake that holds this FreeSWITCH's calls.
fn serving<'a>(held: &RealFs, site: &'a Site, joined: &'a Joined) -> &'a Daemon {
    if held.pid() == site.fs.pid() {
        site.daemon()
    } else {
        joined.daemon()
    }
}

/// Each fswake logs in to one FreeSWITCH, and the phone comes back at the other.
async fn phone_that_only_one_fswake_has_heard_of_is_woken_by_the_other(pair: Pair) {
    let database = Database::new(&pair).await;
    let site = site_at(&pair.a, &database.settings("fswake-1")).await;
    let joined = site.join_at(&pair.b, &database.settings("fswake-2")).await;
    for (registered, held) in pair.both_ways() {
        for transport in [Transport::Udp, Transport::Tcp] {
            let user = site.fs.new_user();
            let phone = Phone::new(registered.account(&user, DOMAIN), over(transport)).await;
            let token = site.give_token(&phone, Wakes::Never);
            assert_eq!(phone.register().await, 200);
            learns_of(serving(held, &site, &joined), &user).await;
            phone.sleep();
            let back = moved(&phone, held.account(&user, DOMAIN), over(transport)).await;
            site.wake_by(&token, &back, Wakes::Elsewhere);
            let call = call(&site, held, &user).await;
            is_connected(&call, &back).await;
            assert_eq!((back.invites(), pushes_to(&site, [&token])), (1, 1), "{transport:?}");
            hang_up(&call, &back).await;
        }
    }
}

/// Their files are empty, and the FreeSWITCHes have forgotten the registrations.
async fn phone_is_woken_from_every_freeswitch_by_fswakes_that_know_it_from_postgresql(pair: Pair) {
    let database = Database::new(&pair).await;
    let settings = for_each(&pair, database.settings("fswake-1"));
    let mut site = site_at(&pair.a, &settings[0]).await;
    let (mut calls, mut tokens) = (Vec::new(), Vec::new());
    for transport in [Transport::Udp, Transport::Tcp] {
        for (slept, _) in pair.both_ways() {
            for (held, _) in pair.both_ways() {
                for (back, _) in pair.both_ways() {
                    let user = site.fs.new_user();
                    let account = slept.account(&user, DOMAIN);
                    let (phone, token) = sleeper_of(&site, account, Wakes::Never, over(transport)).await;
                    let back = moved(&phone, back.account(&user, DOMAIN), over(transport)).await;
                    site.wake_by(&token, &back, Wakes::Elsewhere);
                    calls.push((held, user.clone(), back));
                    tokens.push((user, token));
                }
            }
        }
    }
    database.has_tokens(&tokens).await;
    let _both = start_anew(&mut site, &pair, &settings).await;
    for (held, user, phone) in &calls {
        let call = call(&site, held, user).await;
        is_connected(&call, phone).await;
        assert_eq!(phone.invites(), 1);
        hang_up(&call, phone).await;
    }
    assert_eq!(pushes_to(&site, tokens.iter().map(|(_, token)| token)), calls.len());
}

async fn postgresql_dies_at_any_stage_of_a_wake_and_nothing_happens(pair: Pair) {
    survives_the_death_of_postgresql(&pair, &Settings::default(), |account| account).await;
}

/// A phone is called at this FreeSWITCH, whose calls this fswake holds, and answers.
async fn is_woken(site: &Site, held: &Arc<RealFs>, daemon: &Daemon, phone: &Phone) {
    let user = &phone.account().user;
    let call = call(site, held, user).await;
    is_connected(&call, phone).await;
    let aor = format!("aor={user}@");
    daemon.log.wait(&["call over", &aor, "outcome=\"connected\""]).await;
    hang_up(&call, phone).await;
}

/// PostgreSQL is killed at each stage of a wake, and is back when the call is over. Accounts are changed by `before`.
pub async fn survives_the_death_of_postgresql(pair: &Pair, settings: &Settings, before: impl Fn(Account) -> Account) {
    let database = Database::new(pair).await;
    let settings = Settings {
        shared: database.settings("fswake-1").shared,
        ..settings.clone()
    };
    let (site, joined) = two_daemons(pair, settings).await;
    let account = |fs: &RealFs| before(fs.account(&pair.a.new_user(), DOMAIN));
    let mut tokens = Vec::new();
    for stage in Stage::ALL {
        let reached = |now: Stage| {
            if now == stage {
                database.server.kill();
            }
        };
        let (phone, token) = sleeper_of(&site, account(&pair.b), Wakes::Late(500), Reaction::Ring).await;
        let user = phone.account().user.clone();
        reached(Stage::Asleep);
        let began = Instant::now();
        let call_ = call(&site, &pair.a, &user).await;
        assert!(site.pushed_to(&token).await, "{stage}");
        assert!(began.elapsed() < SOON, "{stage}: {:?}", began.elapsed());
        reached(Stage::Pushed);
        phone.rang().await;
        assert!(phone.invited_after() < SOON, "{stage}: {}", phone.story());
        reached(Stage::Ringing);
        phone.pick_up().await;
        is_connected(&call_, &phone).await;
        reached(Stage::Connected);
        // One that registers for the first time, and is called at the other FreeSWITCH.
        let (new, new_token) = sleeper_of(&site, account(&pair.a), Wakes::Elsewhere, answers(50)).await;
        let new_user = new.account().user.clone();
        joined.daemon().heard_of(&new_user).await;
        is_woken(&site, &pair.b, joined.daemon(), &new).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        still_up(&call_, &phone, stage);
        hang_up(&call_, &phone).await;
        assert_eq!((phone.invites(), new.invites()), (1, 1), "{stage}");
        assert!(!database.server.runs(), "{stage}: it was killed, and stayed so");
        database.server.resume();
        tokens.extend([(user.clone(), token), (new_user.clone(), new_token)]);
        database.has_tokens(&tokens).await;
        for user in [&user, &new_user] {
            database.has_the_wake(user, &site, &joined).await;
        }
    }
    let pushes = pushes_to(&site, tokens.iter().map(|(_, token)| token));
    assert_eq!(pushes, tokens.len(), "a push for each call");
}

/// Then an fswake is killed that has not sent what it knows.
async fn wakes_while_postgresql_is_away_reach_it_later(pair: Pair) {
    let database = Database::new(&pair).await;
    let (mut site, joined) = two_daemons(&pair, database.settings("fswake-1")).await;
    let (old, old_token) = sleeper_of(
        &site,
        pair.a.account(&site.fs.new_user(), DOMAIN),
        Wakes::Elsewhere,
        answers(50),
    )
    .await;
    let old_user = old.account().user.clone();
    database.has_tokens(&[(old_user.clone(), old_token.clone())]).await;
    database.server.stop();
    let stopped = Instant::now();
    for daemon in [site.daemon(), joined.daemon()] {
        daemon.log.wait(&[" ERROR ", "the shared store cannot be used"]).await;
    }
    let mut tokens = Vec::new();
    // Another user signs in on the old phone.
    let heir = site.fs.new_user();
    let moved = moved(&old, pair.b.account(&heir, DOMAIN), answers(50)).await;
    site.wake_by(&old_token, &moved, Wakes::Elsewhere);
    assert_eq!(moved.register().await, 200);
    site.heard_of(&heir).await;
    joined.daemon().heard_of(&heir).await;
    moved.sleep();
    tokens.push((heir, old_token));
    let mut wakes = vec![(&pair.a, moved)];
    for (held, _) in pair.both_ways() {
        for (registered, _) in pair.both_ways() {
            let account = registered.account(&site.fs.new_user(), DOMAIN);
            let (phone, token) = sleeper_of(&site, account, Wakes::Elsewhere, answers(50)).await;
            let user = phone.account().user.clone();
            joined.daemon().heard_of(&user).await;
            tokens.push((user, token));
            wakes.push((held, phone));
        }
    }
    for (held, phone) in &wakes {
        is_woken(&site, held, serving(held, &site, &joined), phone).await;
    }
    tokio::time::sleep(AWAY.saturating_sub(stopped.elapsed())).await;
    site.kill_daemon().await;
    database.server.resume();
    site.start_daemon().await;
    database.has_tokens(&tokens).await;
    for (user, _) in &tokens {
        database.has_the_wake(user, &site, &joined).await;
    }
}
