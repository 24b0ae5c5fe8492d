//! REGISTERs during a hold: one leg for each wake, to the newest contact.

use std::time::Duration;

use fswake_core::engine::{Event, HoldResult, Source, UnregisterWhy};

use crate::common::{apns, key, leg, ms, reg, unreg};
use crate::{bench, held, with};

#[test]
fn three_registers_of_one_wake_up_bring_one_invite() {
    let mut b = bench();
    held(&mut b);
    for (n, id) in ["a", "b", "c"].iter().enumerate() {
        b.register(reg("1001", id, &format!("1001@new:{n}"), Some(apns("tok"))));
        b.expect_stored("tok");
        if n == 0 {
            b.expect_ring(leg(1, 0), "1001@new:0");
        }
        b.pass(ms(70));
    }
    b.rings(leg(1, 0));
    b.expect_alert(1);
    b.pass(ms(3000));
    b.expect_nothing_more();
}

#[test]
fn leg_without_answer_follows_the_phone_to_its_newest_contact_after_the_debounce() {
    let mut b = bench();
    held(&mut b);
    b.register(reg("1001", "a", "1001@new:1", Some(apns("tok"))));
    b.expect_stored("tok");
    b.expect_ring(leg(1, 0), "1001@new:1");
    b.pass(ms(200));
    b.register(reg("1001", "b", "1001@new:2", Some(apns("tok"))));
    b.expect_stored("tok");
    b.pass(ms(799));
    b.expect_nothing_more();
    b.pass(ms(1));
    b.expect_ring(leg(1, 1), "1001@new:2");
    b.expect_kill(leg(1, 0), "LOSE_RACE");
    b.expect_nothing_more();
}

#[test]
fn failed_leg_is_replaced_at_a_newer_contact_at_once() {
    let mut b = bench();
    held(&mut b);
    b.register(reg("1001", "a", "1001@new:1", Some(apns("tok"))));
    b.register(reg("1001", "b", "1001@new:2", Some(apns("tok"))));
    b.out.clear();
    b.ends(leg(1, 0), "NORMAL_TEMPORARY_FAILURE", 503);
    b.expect_ring(leg(1, 1), "1001@new:2");
    b.expect_nothing_more();
}

#[test]
fn refresh_of_the_same_contact_counts_as_a_wake() {
    let mut b = bench();
    b.register(reg("1001", "tok", "1001@same:1", Some(apns("tok"))));
    b.pass(Duration::from_secs(60));
    b.out.clear();
    b.hold(1, "1001");
    b.expect_push("tok");
    b.expect_nothing_more();
    b.pass(ms(900));
    b.register(reg("1001", "tok", "1001@same:1", Some(apns("tok"))));
    b.expect_stored("tok");
    b.expect_ring(leg(1, 0), "1001@same:1");
    b.expect_nothing_more();
}

#[test]
fn settle_delay_lies_between_register_and_invite() {
    let mut b = with(|p| p.settle_delay = ms(300));
    held(&mut b);
    b.register(reg("1001", "new", "1001@new:2", Some(apns("tok"))));
    b.expect_stored("tok");
    b.pass(ms(299));
    b.expect_nothing_more();
    b.pass(ms(1));
    b.expect_ring(leg(1, 0), "1001@new:2");
}

#[test]
fn registrations_listed_after_a_reconnect_continue_waiting_calls() {
    let mut b = bench();
    held(&mut b);
    b.feed(Event::ResyncBegan(fswake_core::types::NodeId::FIRST, 2));
    let mut read = reg("1001", "new", "1001@new:2", Some(apns("tok")));
    read.source = Source::Resync(2);
    b.register(read.clone());
    b.expect_ring(leg(1, 0), "1001@new:2");
    b.feed(Event::ResyncEnded(
        fswake_core::types::NodeId::FIRST,
        2,
        vec!["internal".into()],
    ));
    b.register(read);
    b.expect_nothing_more();
}

#[test]
fn new_token_of_a_phone_that_reinstalled_its_app_takes_over_in_the_call() {
    let mut b = bench();
    held(&mut b);
    let mut again = reg("1001", "tok", "1001@new:2", Some(apns("tok2")));
    again.call_id = "tok".into();
    b.register(again);
    b.expect_forgotten("1001", "tok");
    b.expect_stored("tok2");
    b.expect_ring(leg(1, 0), "1001@new:2");
    b.expect_nothing_more();
    assert_eq!(key("1001", "tok2").label().split(':').count(), 3);
}

#[test]
fn phone_that_unregisters_during_the_hold_is_not_pushed_again() {
    let mut b = bench();
    held(&mut b);
    b.feed(unreg("1001", "tok", UnregisterWhy::Explicit));
    b.expect_forgotten("1001", "tok");
    b.pass(ms(5000));
    b.expect_release(1, HoldResult::Unreachable);
    b.expect_nothing_more();
}
