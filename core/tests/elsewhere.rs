//! Changes by other daemons that share a store: the later change of a token counts, in whatever order they arrive.

mod common;

use std::sync::Arc;

use common::{Bench, T0, apns, reg, unreg};
use fswake_core::engine::policy::Policy;
use fswake_core::engine::{DeviceChange, Event, Source, UnregisterWhy};
use fswake_core::types::push::PushError;
use fswake_core::types::{Aor, Device, NodeId};

/// Microseconds after the moment at which everything here registers.
fn at(later: i64) -> i64 {
    T0 * 1_000_000 + later
}

fn device(user: &str, token: &str, later: i64) -> Device {
    Device {
        aor: Aor::new(user, "fs.test"),
        push: apns(token),
        user_agent: "elsewhere".into(),
        register_call_id: "elsewhere".into(),
        first_seen: T0,
        last_seen: T0 + later,
        set_aside: None,
        changed: at(later),
    }
}

fn kept(user: &str, token: &str, later: i64) -> Event {
    Event::DeviceChangedElsewhere(DeviceChange::Kept(Arc::new(device(user, token, later))))
}

fn dropped(user: &str, token: &str, later: i64) -> Event {
    let key = device(user, token, later).key();
    let changed = at(later);
    Event::DeviceChangedElsewhere(DeviceChange::Dropped { key, changed })
}

/// Who is pushed when each of these users is called.
fn owners(b: &mut Bench, users: &[&'static str]) -> Vec<&'static str> {
    let devices = |b: &mut Bench, user: &str| b.engine.aor(&Aor::new(user, "fs.test"), b.now).devices.len();
    users.iter().copied().filter(|user| devices(b, user) > 0).collect()
}

fn bench() -> Bench {
    Bench::new(Policy::default())
}

#[test]
fn device_that_another_daemon_learnt_is_pushed_here_and_not_stored_again() {
    let mut b = bench();
    b.feed(kept("alice", "tok", 1));
    b.expect_nothing_more();
    assert_eq!(b.engine.devices(), 1);
    b.hold(1, "alice");
    b.expect_push("tok");
    b.set_rest_aside();
}

#[test]
fn later_of_two_registers_owns_the_token_in_whatever_order_the_changes_arrive() {
    let changes = [
        kept("alice", "tok", 1),
        kept("bob", "tok", 3),
        dropped("alice", "tok", 2),
        kept("carol", "tok", 3),
        dropped("bob", "tok", 3),
    ];
    let mut orders = vec![Vec::new()];
    for _ in &changes {
        let longer = |order: &Vec<usize>| -> Vec<Vec<usize>> {
            let left = (0..changes.len()).filter(|n| !order.contains(n));
            left.map(|n| [&order[..], &[n]].concat()).collect()
        };
        orders = orders.iter().flat_map(longer).collect();
    }
    assert_eq!(orders.len(), 120);
    for order in orders {
        let mut b = bench();
        for n in &order {
            b.feed(changes[*n].clone());
        }
        assert_eq!(owners(&mut b, &["alice", "bob", "carol"]), ["carol"], "{order:?}");
        assert_eq!(b.engine.devices(), 1, "{order:?}");
        b.expect_nothing_more();
    }
}

#[test]
fn register_received_here_counts_only_if_it_is_later_than_one_received_elsewhere() {
    for (elsewhere, owner) in [(-1, "bob"), (1, "alice")] {
        for here_first in [true, false] {
            let mut b = bench();
            let registration = reg("bob", "b", "bob@b:1", Some(apns("tok")));
            if here_first {
                b.register(registration.clone());
            }
            b.feed(kept("alice", "tok", elsewhere));
            if !here_first {
                b.register(registration);
            }
            assert_eq!(owners(&mut b, &["alice", "bob"]), [owner], "{elsewhere} {here_first}");
            b.set_rest_aside();
        }
    }
}

#[test]
fn list_of_registrations_does_not_take_a_token_that_registered_elsewhere() {
    let mut b = bench();
    b.feed(kept("alice", "tok", -1));
    b.feed(Event::ResyncBegan(NodeId::FIRST, 2));
    let mut stale = reg("bob", "b", "bob@b:1", Some(apns("tok")));
    stale.source = Source::Resync(2);
    b.register(stale);
    assert_eq!(owners(&mut b, &["alice", "bob"]), ["alice"]);
    b.expect_nothing_more();
}

#[test]
fn what_follows_from_a_push_does_not_outlast_a_register_that_another_daemon_received() {
    for reason in [
        PushError::TokenGone {
            since: None,
            reason: "Unregistered".into(),
        },
        PushError::TokenBad {
            reason: "BadDeviceToken".into(),
        },
    ] {
        let mut b = bench();
        b.sleeping("alice", "tok");
        b.hold(1, "alice");
        let push = b.expect_push("tok");
        b.refuses(&push, reason);
        b.feed(kept("alice", "tok", 10));
        b.set_rest_aside();
        b.hold(2, "alice");
        b.expect_push("tok");
        b.set_rest_aside();
    }
}

#[test]
fn older_change_does_not_bring_back_what_was_dropped_here() {
    let mut b = bench();
    b.register(reg("alice", "id", "alice@a:1", Some(apns("tok"))));
    let Event::Unregistered(mut end) = unreg("alice", "id", UnregisterWhy::Explicit) else {
        unreachable!()
    };
    end.stamp = at(5);
    b.expect_stored("tok");
    b.feed(Event::Unregistered(end));
    b.expect_forgotten("alice", "tok");
    b.feed(kept("alice", "tok", 4));
    assert_eq!(b.engine.devices(), 0);
    b.feed(kept("alice", "tok", 6));
    assert_eq!(b.engine.devices(), 1);
    b.set_rest_aside();
}

#[test]
fn end_of_an_old_registration_here_drops_nothing_that_registered_elsewhere_since() {
    let mut b = bench();
    b.register(reg("alice", "id", "alice@a:1", Some(apns("tok"))));
    let mut moved = device("alice", "tok", 10);
    moved.register_call_id = "id".into();
    b.feed(Event::DeviceChangedElsewhere(DeviceChange::Kept(Arc::new(moved))));
    b.set_rest_aside();
    b.feed(unreg("alice", "id", UnregisterWhy::Explicit));
    b.expect_nothing_more();
    assert_eq!(b.engine.devices(), 1);
}

#[test]
fn device_that_moved_elsewhere_is_not_rung_at_its_old_place_for_its_old_user() {
    let mut b = bench();
    b.register(reg("alice", "id", "alice@a:1", Some(apns("tok"))));
    b.feed(kept("bob", "tok", 1));
    b.set_rest_aside();
    b.hold(1, "alice");
    b.expect_no_device(1);
    b.expect_nothing_more();
}

#[test]
fn order_counts_and_not_the_clock_where_all_registers_here() {
    let mut b = bench();
    b.register(reg("alice", "a", "alice@a:1", Some(apns("tok"))));
    let first = b.expect_stored("tok").changed;
    let mut set_back = reg("bob", "b", "bob@b:1", Some(apns("tok")));
    set_back.stamp = at(-3_600_000_000);
    b.register(set_back);
    b.expect_forgotten("alice", "tok");
    assert!(b.expect_stored("tok").changed > first);
    b.expect_nothing_more();
}
