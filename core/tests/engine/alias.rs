//! Calls to a number that may be a user's alias.

use fswake_core::engine::policy::Policy;
use fswake_core::engine::{
    CallOptions, CallOrder, Command, DIRECTORY, DirectoryQuery, Event, HeldCall, HoldResult, Step,
};
use fswake_core::types::Aor;
use fswake_core::types::push::PushError;

use crate::bench;
use crate::common::{Bench, apns, call, leg, ms, reg};

/// A call to 2001, which nobody has registered as.
fn asked() -> Bench {
    let mut b = bench();
    b.sleeping("alice", "tok");
    let held = Bench::held_call(1, "2001", "caller", CallOptions::default(), None);
    b.feed(Event::CallHeld(HeldCall {
        query: Some(DirectoryQuery::WhoseNumber),
        ..held
    }));
    let aor = Aor::new("2001", "fs.test");
    let (call, query) = (call(1), DirectoryQuery::WhoseNumber);
    assert_eq!(b.out.remove(0), Command::AskDirectory { call, aor, query });
    b.expect_nothing_more();
    b
}

fn found(b: &mut Bench, user: Option<&str>) {
    b.feed(Event::UserFound {
        call: call(1),
        user: user.map(Into::into),
    });
}

/// For each call in the journal: whose call it is, and the number dialled.
fn noted(b: &Bench) -> Vec<(String, Option<String>)> {
    let held = b.notes.iter().filter_map(|note| match &note.step {
        Step::CallHeld { dialled, .. } => Some((note.aor.user.to_string(), dialled.as_deref().map(str::to_owned))),
        _ => None,
    });
    held.collect()
}

#[test]
fn phones_of_the_aliased_user_are_woken_and_rung() {
    let mut b = asked();
    b.pass(ms(1500));
    found(&mut b, Some("alice"));
    let aor = Aor::new("alice", "fs.test");
    assert_eq!(b.out.remove(0), Command::Call(call(1), CallOrder::CallUser(aor)));
    b.expect_push("tok");
    // The record must have the push even if the caller hangs up now.
    assert!(matches!(b.records.last(), Some((record, true)) if record.pushes == 1));
    assert_eq!(noted(&b), [("alice".into(), Some("2001".into()))]);
    b.out.clear();
    // The call now waits for the user's phone, and no longer for a phone of the number itself.
    b.register(reg("2001", "other", "2001@b:1", None));
    b.expect_nothing_more();
    b.register(reg("alice", "new", "alice@a:2", Some(apns("tok"))));
    b.expect_stored("tok");
    b.expect_ring(leg(1, 0), "alice@a:2");
}

#[test]
fn call_waits_for_a_silent_directory_until_its_time_limit() {
    let mut b = asked();
    b.pass(DIRECTORY.saturating_sub(ms(1)));
    b.expect_nothing_more();
    assert_eq!(noted(&b), []);
    b.pass(ms(1));
    b.expect_release(1, HoldResult::NoDevice);
    assert_eq!(noted(&b), [("2001".into(), Some("2001".into()))]);
    // This answer is too late.
    found(&mut b, Some("alice"));
    b.expect_nothing_more();
}

#[test]
fn call_to_a_number_without_a_user_goes_back_at_once() {
    for user in [None, Some("2001")] {
        let mut b = asked();
        b.pass(ms(100));
        found(&mut b, user);
        b.expect_release(1, HoldResult::NoDevice);
        b.expect_nothing_more();
    }
}

#[test]
fn call_that_ends_before_the_answer_is_in_the_journal() {
    let mut b = asked();
    b.gone(1, "ORIGINATOR_CANCEL");
    b.expect_close(1);
    assert_eq!(noted(&b), [("2001".into(), Some("2001".into()))]);
    found(&mut b, Some("alice"));
    b.expect_nothing_more();
}

#[test]
fn phone_of_the_number_itself_is_rung_meanwhile_and_the_users_phone_joins() {
    let mut b = asked();
    b.register(reg("2001", "desk", "2001@b:1", None));
    b.expect_ring(leg(1, 0), "2001@b:1");
    found(&mut b, Some("alice"));
    assert!(matches!(b.out.remove(0), Command::Call(_, CallOrder::CallUser(_))));
    b.expect_push("tok");
    assert_eq!(noted(&b).len(), 1);
}

/// The number's own phone has a token. It has registered and is being rung on leg 0.
fn phone_of_the_number() -> Bench {
    let mut b = asked();
    b.register(reg("2001", "own", "2001@b:1;transport=tcp", Some(apns("own"))));
    b.expect_stored("own");
    b.expect_ring(leg(1, 0), "2001@b:1;transport=tcp");
    b.expect_nothing_more();
    b
}

#[test]
fn phone_of_the_number_itself_stays_in_the_call_when_the_user_is_found() {
    // It does not ring, so it is pushed, and its next REGISTER counts.
    let mut b = phone_of_the_number();
    found(&mut b, Some("alice"));
    assert!(matches!(b.out.remove(0), Command::Call(_, CallOrder::CallUser(_))));
    b.expect_push("tok");
    b.out.clear();
    b.pass(ms(4999));
    b.out.clear();
    b.pass(ms(1));
    let push = b.expect_push("own");
    b.out.clear();
    b.register(reg("2001", "own", "2001@c:1;transport=tcp", Some(apns("own"))));
    b.expect_stored("own");
    b.expect_ring(leg(1, 1), "2001@c:1;transport=tcp");
    b.expect_kill(leg(1, 0), "LOSE_RACE");
    b.expect_nothing_more();
    // It rings. The next call finds no wake in progress and a phone that is awake.
    b.rings(leg(1, 1));
    b.pass(ms(200));
    b.out.clear();
    b.hold(2, "2001");
    b.expect_ring(leg(2, 0), "2001@c:1;transport=tcp");
    b.expect_nothing_more();
    // A refusal of its token by the provider is applied.
    let (since, reason) = (None, "Unregistered".into());
    b.refuses(&push, PushError::TokenGone { since, reason });
    b.expect_forgotten("2001", "own");
    // After the call no timer is left.
    b.gone(1, "ORIGINATOR_CANCEL");
    b.gone(2, "ORIGINATOR_CANCEL");
    b.out.clear();
    b.register(reg("2001", "own", "2001@d:1", None));
    b.register(reg("alice", "new", "alice@a:2", None));
    b.expect_nothing_more();
}

#[test]
fn phone_of_the_number_itself_stays_in_the_call_over_a_reload() {
    let mut b = phone_of_the_number();
    found(&mut b, Some("alice"));
    b.tell(Event::PolicyChanged(Box::new(Policy {
        ignore_domain: true,
        ..Policy::default()
    })));
    b.out.clear();
    b.pass(ms(1000));
    b.register(reg("2001", "own", "2001@c:1;transport=tcp", Some(apns("own"))));
    b.expect_stored("own");
    b.expect_ring(leg(1, 1), "2001@c:1;transport=tcp");
    b.expect_kill(leg(1, 0), "LOSE_RACE");
    b.expect_nothing_more();
}

#[test]
fn user_found_while_a_phone_of_the_number_is_connected_is_woken_if_that_fails() {
    for connects in [true, false] {
        let mut b = phone_of_the_number();
        b.answers(leg(1, 0));
        b.expect_connect(leg(1, 0));
        // This happens once, even if the answer is repeated.
        for user in ["alice", "bob", "alice"] {
            found(&mut b, Some(user));
        }
        assert!(matches!(b.out.remove(0), Command::Call(_, CallOrder::CallUser(aor)) if &*aor.user == "alice"));
        b.expect_nothing_more();
        if connects {
            b.feed(Event::Bridged(leg(1, 0)));
            b.expect_close(1);
        } else {
            b.bridge_fails(leg(1, 0), None);
            b.expect_kill(leg(1, 0), "NORMAL_TEMPORARY_FAILURE");
            b.pass(ms(0));
            b.expect_push("tok");
        }
        b.expect_nothing_more();
    }
}
