//! Refresh pushes, in virtual time: when they are sent, to which phones, and whether the phone registered again.

mod common;

use std::time::Duration;

use common::{Bench, apns, reg, unreg};
use fswake_core::engine::policy::{AppPolicy, Policy, Refresh};
use fswake_core::engine::{Command, Count, Event, Source, UnregisterWhy};
use fswake_core::types::push::{About, KeptBy, NotificationPurpose, PushError, PushRequest};
use fswake_core::types::{NodeId, Provider, PushParams, PushToken, TokenType, Tokens, with_keys};

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);
const REFRESH: Refresh = Refresh {
    before: Duration::from_secs(120),
    gap: Duration::from_secs(1800),
};

fn bench_with(refresh: Refresh) -> Bench {
    let all = AppPolicy {
        refresh: Some(refresh),
        ..AppPolicy::default()
    };
    Bench::new(Policy {
        apps: vec![all],
        ..Policy::default()
    })
}

fn bench() -> Bench {
    bench_with(REFRESH)
}

fn android(token: &str) -> PushParams {
    PushParams {
        provider: Provider::Fcm,
        ..apns(token)
    }
}

/// Registers a phone for an hour.
fn registers(b: &mut Bench, token: &str, push: PushParams) {
    b.register(reg("1001", token, &format!("1001@{token}:1"), Some(push)));
    b.out.clear();
}

/// The refresh push within this time, and when it was sent.
#[track_caller]
fn pushed_within(b: &mut Bench, token: &str, time: Duration) -> (Duration, PushRequest) {
    let began = b.now;
    while b.now.since(began) < time {
        b.pass(Duration::from_secs(1));
        if !b.out.is_empty() {
            let push = b.expect_notification(token);
            b.expect_nothing_more();
            return (b.now.since(began), push);
        }
    }
    panic!("no push within {time:?}");
}

/// The counts: seconds from each push to the REGISTER after it.
fn counted(b: &Bench) -> Vec<Option<u64>> {
    let refreshes = b.counts.iter().filter_map(|count| match count {
        Count::Refresh { came, .. } => Some(came.map(|after| after.as_secs())),
        _ => None,
    });
    refreshes.collect()
}

#[test]
fn phone_is_pushed_quietly_shortly_before_its_registration_ends_and_counted_when_it_is_back() {
    let mut b = bench();
    registers(&mut b, "a", android("a"));
    b.pass(Duration::from_secs(3600 - 240 - 1));
    b.expect_nothing_more();
    let (_, push) = pushed_within(&mut b, "a", 2 * MINUTE + Duration::from_secs(1));
    let About::Notification(what) = &push.about else {
        panic!("{push:?}")
    };
    assert_eq!(what.purpose, NotificationPurpose::Refresh);
    assert_eq!(what.token_type, TokenType::Im);
    assert_eq!(what.payload.to_json(), r#"{"custom":{"kind":"refresh"}}"#);
    assert!((2 * MINUTE..=4 * MINUTE).contains(&push.ttl), "{:?}", push.ttl);
    b.accepts(&push);
    b.pass(Duration::from_secs(3));
    registers(&mut b, "a", android("a"));
    assert_eq!(counted(&b), [Some(3)]);
    // The next push is due after the same time.
    b.pass(Duration::from_secs(3600 - 240 - 1));
    b.expect_nothing_more();
    pushed_within(&mut b, "a", 2 * MINUTE + Duration::from_secs(1));
}

#[test]
fn web_push_subscription_is_pushed_only_with_keys_because_without_it_would_look_like_a_call() {
    let with = |token: &str| PushParams {
        provider: Provider::WebPush,
        tokens: Tokens::Call(PushToken::new(token)),
        ..apns(token)
    };
    let endpoint = "https://push.example/1";
    let keys = with_keys(endpoint, &format!("B{}", "A".repeat(86)), &"A".repeat(22));
    for (token, is_pushed) in [(endpoint, false), (keys.as_str(), true)] {
        let mut b = bench();
        b.register(reg("1001", token, "1001@a:1", Some(with(token))));
        b.out.clear();
        b.pass(55 * MINUTE);
        for _ in 0..29 {
            b.pass(Duration::from_secs(10));
        }
        let pushes = std::mem::take(&mut b.out).len();
        assert_eq!(pushes, usize::from(is_pushed), "{token}");
    }
}

#[test]
fn phones_that_registered_together_are_spread_over_the_time_ahead() {
    let mut b = bench();
    for n in 0..200 {
        let token = format!("t{n}");
        b.register(reg(
            &format!("u{n}"),
            &token,
            &format!("u{n}@h:{n}"),
            Some(android(&token)),
        ));
    }
    b.out.clear();
    b.pass(Duration::from_secs(3600 - 240));
    let mut most = 0;
    let mut all = 0;
    for _ in 0..12 {
        b.pass(Duration::from_secs(10));
        most = most.max(b.out.len());
        all += b.out.len();
        b.out.clear();
    }
    assert_eq!(all, 200);
    // 200 in 12 equal parts are 17 in each.
    assert!(most < 34, "{most} in ten seconds");
}

#[test]
fn phone_that_registers_without_a_push_is_not_pushed() {
    let mut b = bench();
    for _ in 0..20 {
        registers(&mut b, "a", android("a"));
        b.pass(HOUR / 2);
        b.expect_nothing_more();
    }
    assert_eq!(counted(&b), []);
}

#[test]
fn phone_that_does_not_register_again_is_counted_once_and_not_pushed_again() {
    let mut b = bench();
    registers(&mut b, "a", android("a"));
    let (_, push) = pushed_within(&mut b, "a", HOUR);
    b.accepts(&push);
    b.feed(unreg("1001", "a", UnregisterWhy::Expired));
    b.pass(24 * HOUR);
    b.expect_nothing_more();
    assert_eq!(counted(&b), [None]);
    assert_eq!(b.engine.next_timer(), None);
}

#[test]
fn pushes_to_a_phone_are_never_closer_than_the_gap() {
    let mut b = bench_with(Refresh {
        gap: 2 * HOUR,
        ..REFRESH
    });
    let mut times = Vec::new();
    for second in 0..8 * 3600_u64 {
        // It registers for an hour again whenever its registration ends.
        if second % 3600 == 0 {
            registers(&mut b, "a", android("a"));
        }
        b.pass(Duration::from_secs(1));
        if !b.out.is_empty() {
            let push = b.expect_notification("a");
            b.accepts(&push);
            times.push(b.now);
        }
    }
    assert!(times.len() >= 3, "{times:?}");
    for pair in times.windows(2) {
        assert!(pair[1].since(pair[0]) >= 2 * HOUR, "{times:?}");
    }
}

#[test]
fn iphone_is_pushed_by_its_remote_token_and_never_by_the_one_for_calls() {
    let mut b = bench();
    registers(&mut b, "voip", apns("voip"));
    b.pass(2 * HOUR);
    b.expect_nothing_more();
    let both = PushParams {
        tokens: Tokens::Both {
            call: PushToken::new("c"),
            remote: PushToken::new("r"),
        },
        ..apns("c")
    };
    registers(&mut b, "c", both);
    let (_, push) = pushed_within(&mut b, "c", HOUR);
    assert_eq!(push.to.token_for(TokenType::Im).map(PushToken::expose), Some("r"));
}

#[test]
fn phone_that_logged_out_or_lost_its_connection_is_not_pushed() {
    for why in [UnregisterWhy::Explicit, UnregisterWhy::ConnectionClosed] {
        let mut b = bench();
        registers(&mut b, "a", android("a"));
        b.pass(HOUR / 2);
        b.feed(unreg("1001", "a", why));
        b.out.clear();
        b.pass(2 * HOUR);
        b.expect_nothing_more();
    }
}

#[test]
fn short_registrations_and_apps_without_the_setting_are_left_alone() {
    let mut b = bench();
    let short = |b: &mut Bench, seconds| {
        let mut short = reg("1001", "a", "1001@a:1", Some(android("a")));
        short.expires = Duration::from_secs(seconds);
        b.register(short);
        b.out.clear();
    };
    short(&mut b, 359);
    b.pass(HOUR);
    b.expect_nothing_more();
    short(&mut b, 360);
    pushed_within(&mut b, "a", Duration::from_secs(240));

    let mut off = Bench::new(Policy::default());
    registers(&mut off, "a", android("a"));
    assert_eq!(off.engine.next_timer(), None);
}

#[test]
fn registration_in_a_resync_changes_nothing_and_counts_nothing() {
    let mut b = bench();
    registers(&mut b, "a", android("a"));
    let (_, push) = pushed_within(&mut b, "a", HOUR);
    b.accepts(&push);
    let mut listed = reg("1001", "a", "1001@a:1", Some(android("a")));
    listed.source = Source::Resync(1);
    listed.expires = 2 * MINUTE;
    b.feed(Event::ResyncBegan(NodeId::FIRST, 1));
    b.feed(Event::Registered(listed));
    assert_eq!(counted(&b), []);
    registers(&mut b, "a", android("a"));
    assert_eq!(counted(&b), [Some(0)]);
}

#[test]
fn token_that_is_gone_is_dropped_by_its_refresh_push() {
    let mut b = bench();
    registers(&mut b, "a", android("a"));
    let (_, push) = pushed_within(&mut b, "a", HOUR);
    b.refuses(
        &push,
        PushError::TokenGone {
            since: None,
            reason: "UNREGISTERED".into(),
        },
    );
    assert!(b.noted("refresh-refused").is_some());
    b.out.clear();
    b.hold(1, "1001");
    let is_call_push = |command: &Command| matches!(command, Command::Push(push) if push.call().is_some());
    assert!(!b.all.iter().any(is_call_push));
    b.set_rest_aside();
}

/// A registration that a list has, with so much left of it.
fn listed(b: &mut Bench, resync: u64, left: Duration) {
    let mut listed = reg("1001", "a", "1001@a:1", Some(android("a")));
    listed.source = Source::Resync(resync);
    listed.expires = left;
    b.feed(Event::ResyncBegan(NodeId::FIRST, resync));
    b.feed(Event::Registered(listed));
    b.out.clear();
}

#[test]
fn register_that_was_missed_moves_the_push_and_counts_nothing() {
    let mut b = bench();
    registers(&mut b, "a", android("a"));
    b.pass(50 * MINUTE);
    // It registered two minutes ago, while the connection to FreeSWITCH was down.
    listed(&mut b, 1, 58 * MINUTE);
    b.pass(53 * MINUTE);
    b.expect_nothing_more();
    pushed_within(&mut b, "a", 4 * MINUTE);

    listed(&mut b, 2, HOUR);
    assert_eq!(counted(&b), []);
}

#[test]
fn registration_that_a_restarted_daemon_finds_is_refreshed_whatever_is_left_of_it() {
    let mut b = bench();
    listed(&mut b, 1, 5 * MINUTE);
    pushed_within(&mut b, "a", 3 * MINUTE);
}

#[test]
fn push_is_never_sent_later_than_its_time_because_of_the_gap() {
    let mut b = bench_with(Refresh {
        gap: Duration::from_secs(1800),
        ..REFRESH
    });
    let half_an_hour = |b: &mut Bench| {
        let mut short = reg("1001", "a", "1001@a:1", Some(android("a")));
        short.expires = 30 * MINUTE;
        b.register(short);
        b.out.clear();
    };
    half_an_hour(&mut b);
    let (_, push) = pushed_within(&mut b, "a", 30 * MINUTE);
    b.accepts(&push);
    half_an_hour(&mut b);
    b.pass(30 * MINUTE);
    b.expect_nothing_more();
    half_an_hour(&mut b);
    let (_, push) = pushed_within(&mut b, "a", 30 * MINUTE);
    assert!(push.ttl >= 2 * MINUTE, "{:?}", push.ttl);
}

#[test]
fn phone_whose_push_was_not_delivered_is_not_counted() {
    let mut b = bench();
    registers(&mut b, "a", android("a"));
    let (_, push) = pushed_within(&mut b, "a", HOUR);
    b.refuses(
        &push,
        PushError::Exhausted {
            kept_by: KeptBy::NoConnection,
            reason: "away".into(),
        },
    );
    assert!(b.noted("refresh-refused").is_none(), "one for each phone");
    registers(&mut b, "a", android("a"));
    assert_eq!(counted(&b), []);
}
