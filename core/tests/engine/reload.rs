//! Settings that change while calls are held.

use std::time::Duration;

use fswake_core::engine::policy::Policy;
use fswake_core::engine::{Event, HoldResult};
use fswake_core::types::Aor;

use crate::common::*;

fn changed(change: impl FnOnce(&mut Policy)) -> Event {
    let mut policy = Policy::default();
    change(&mut policy);
    Event::PolicyChanged(Box::new(policy))
}

fn alias(policy: &mut Policy) {
    policy.domain_aliases = vec![("192.0.2.10".into(), "fs.test".into())];
}

#[test]
fn longer_wait_and_fewer_pushes_apply_to_the_next_call() {
    let mut b = Bench::new(Policy::default());
    b.sleeping("1001", "tok");
    b.hold(1, "1001");
    b.expect_push("tok");
    b.out.clear();
    b.feed(changed(|policy| {
        policy.max_wait = Duration::from_secs(60);
        policy.push_retries = 0;
        policy.push_gap = Duration::ZERO;
    }));
    b.pass(Duration::from_secs(26));
    // This call keeps the retry from the old settings.
    b.expect_push("tok");
    b.expect_release(1, HoldResult::Unreachable);
    b.hold(2, "1001");
    b.expect_push("tok");
    b.out.clear();
    b.pass(Duration::from_secs(59));
    b.expect_nothing_more();
}

#[test]
fn alias_added_by_a_reload_finds_the_phones_of_both_names() {
    let mut b = Bench::new(Policy::default());
    b.sleeping("1001", "tok");
    let mut other = reg("1001", "ip", "1001@ip:1", Some(apns("by-address")));
    other.aor = Aor::new("1001", "192.0.2.10");
    b.register(other);
    b.feed(changed(alias));
    b.out.clear();
    b.hold(1, "1001");
    b.expect_push("tok");
    b.expect_ring(leg(1, 0), "1001@ip:1");
}

#[test]
fn call_held_before_the_alias_was_added_rings_the_phone_that_registers_by_it() {
    let mut b = Bench::new(Policy::default());
    b.sleeping("1001", "tok");
    b.hold(1, "1001");
    b.expect_push("tok");
    b.feed(changed(alias));
    b.out.clear();
    let mut woken = reg("1001", "tok", "1001@new:1", Some(apns("tok")));
    woken.aor = Aor::new("1001", "192.0.2.10");
    b.register(woken);
    b.expect_stored("tok");
    b.expect_ring(leg(1, 0), "1001@new:1");
}

#[test]
fn removed_alias_separates_the_devices_again() {
    let mut policy = Policy::default();
    alias(&mut policy);
    let mut b = Bench::new(policy);
    b.sleeping("1001", "tok");
    let mut other = reg("1001", "ip", "1001@ip:1", Some(apns("by-address")));
    other.aor = Aor::new("1001", "192.0.2.10");
    b.register(other);
    b.feed(changed(|_| {}));
    b.out.clear();
    b.hold(1, "1001");
    b.expect_push("tok");
    b.expect_nothing_more();
}

#[test]
fn token_still_has_one_owner_after_aliases_change() {
    let mut b = Bench::new(Policy::default());
    b.sleeping("1001", "tok");
    b.feed(changed(|policy| policy.ignore_domain = true));
    b.out.clear();
    b.register(reg("1002", "other", "1002@x:1", Some(apns("tok"))));
    b.expect_forgotten("1001", "tok");
    b.expect_stored("tok");
}
