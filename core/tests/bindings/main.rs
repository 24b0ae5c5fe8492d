//! A binding is an AOR and a Contact: how registrations end, and what FreeSWITCH is asked.

mod answers;
mod desks;
mod lists;

#[path = "../common/mod.rs"]
mod common;

use std::time::Duration;

use common::{Bench, T0, apns, leg, reg, target, unreg};
use fswake_core::engine::policy::Policy;
use fswake_core::engine::{CallOrder, Event, Listing, Registration, Source, UnregisterWhy, Unregistration};
use fswake_core::types::push::PushError;
use fswake_core::types::{Aor, NodeId, PushParams};

fn bench() -> Bench {
    Bench::new(Policy::default())
}

/// The end of the registration of `user` at `at`. All have Call-ID "id".
fn end(user: &str, at: &str, why: UnregisterWhy, push: Option<PushParams>) -> Event {
    Event::Unregistered(Unregistration {
        node: NodeId::FIRST,
        aor: Aor::new(user, "fs.test"),
        call_id: "id".into(),
        target: Some(target(at)),
        push,
        user_agent: "test".into(),
        at: T0,
        stamp: T0 * 1_000_000,
        why,
    })
}

/// Expects that the next call rings at these contacts, and pushes this many phones at once.
fn rings(b: &mut Bench, places: &[&str], pushes: usize) {
    b.out.clear();
    b.hold(1, "1001");
    let mut rung: Vec<String> = Vec::new();
    let mut pushed = 0;
    for command in std::mem::take(&mut b.out) {
        match command {
            fswake_core::engine::Command::Call(_, CallOrder::Ring(ring)) => rung.push(ring.target.as_str().to_owned()),
            fswake_core::engine::Command::Push(_) => pushed += 1,
            _ => {}
        }
    }
    rung.sort();
    let wanted: Vec<_> = places.iter().map(|at| target(at).as_str().to_owned()).collect();
    assert_eq!((rung, pushed), (wanted, pushes));
}

#[test]
fn end_of_an_old_registration_leaves_the_one_of_the_same_call_id_alone() {
    for why in [UnregisterWhy::Expired, UnregisterWhy::Explicit] {
        let mut b = bench();
        b.register(reg("1001", "id", "1001@old:1", Some(apns("tok"))));
        b.register(reg("1001", "id", "1001@new:1", Some(apns("tok"))));
        b.out.clear();
        b.feed(end("1001", "1001@old:1", why, Some(apns("tok"))));
        b.expect_nothing_more();
        assert_eq!(b.engine.known(), (1, 1), "{why:?}");
        rings(&mut b, &["1001@new:1"], 0);
    }
}

#[test]
fn closed_connection_ends_bindings_that_freeswitch_no_longer_has() {
    for (left, known) in [(vec!["1001@new:1"], 1), (vec![], 0)] {
        let mut b = bench();
        b.register(reg("1001", "id", "1001@old:1", Some(apns("tok"))));
        b.register(reg("1001", "id", "1001@new:1", Some(apns("tok"))));
        b.freeswitch_has = left
            .into_iter()
            .map(|at| reg("1001", "id", at, Some(apns("tok"))))
            .collect();
        b.tell(unreg("1001", "id", UnregisterWhy::ConnectionClosed));
        assert_eq!(b.engine.known(), (1, known));
        b.set_rest_aside();
    }
}

#[test]
fn closed_connection_restores_the_contact_that_freeswitch_still_has() {
    let mut b = bench();
    b.register(reg("1001", "id", "1001@lan:1;transport=tcp", Some(apns("tok"))));
    b.register(reg("1001", "id", "1001@mobile:1;transport=tcp", Some(apns("tok"))));
    b.freeswitch_has = vec![reg("1001", "id", "1001@lan:1;transport=tcp", Some(apns("tok")))];
    b.tell(unreg("1001", "id", UnregisterWhy::ConnectionClosed));
    assert_eq!(b.engine.known(), (1, 1));
    // It is only known from FreeSWITCH's answer, which does not prove that the phone is awake.
    rings(&mut b, &["1001@lan:1;transport=tcp"], 1);
}

#[test]
fn log_out_over_another_path_ends_the_binding_and_drops_its_token() {
    let mut b = bench();
    let at = |way: u32| format!("1001@10.0.0.2:5060;transport=tcp;fs_nat=yes;fs_path=sip%3A192.0.2.1%3A{way}");
    b.register(reg("1001", "id", &at(1), Some(apns("tok"))));
    b.out.clear();
    b.feed(end("1001", &at(2), UnregisterWhy::Explicit, Some(apns("tok"))));
    b.expect_forgotten("1001", "tok");
    b.expect_nothing_more();
    assert_eq!(b.engine.known(), (0, 0));
}

#[test]
fn log_out_of_one_phone_asks_freeswitch_about_the_users_others() {
    for multiple in [true, false] {
        let mut b = bench();
        b.register(reg("1001", "id", "1001@desk:1", None));
        b.register(reg("1001", "other", "1001@home:1", None));
        if !multiple {
            b.freeswitch_has.clear();
        }
        b.feed(end("1001", "1001@desk:1", UnregisterWhy::Explicit, None));
        assert_eq!(b.engine.known(), (0, usize::from(multiple)));
    }
}

#[test]
fn phone_that_freeswitch_has_replaced_without_an_event_is_not_rung() {
    let mut b = bench();
    b.register(reg("1001", "a", "1001@desk:1", None));
    // `multiple-registrations=false`: the desk phone's row is gone.
    b.freeswitch_has.clear();
    b.register(reg("1001", "b", "1001@home:1", None));
    assert_eq!(b.questions.len(), 1);
    assert_eq!(b.engine.known(), (0, 1));
    rings(&mut b, &["1001@home:1"], 0);
    // A refresh raises no question.
    b.register(reg("1001", "b", "1001@home:1", None));
    assert_eq!(b.questions.len(), 1);
}

#[test]
fn desk_phone_that_moved_stays_known_when_its_old_contact_expires() {
    let mut b = bench();
    b.sleeping("1001", "tok");
    b.register(reg("1001", "id", "1001@desk:1", None));
    b.register(reg("1001", "id", "1001@desk:2", None));
    b.feed(end("1001", "1001@desk:1", UnregisterWhy::Expired, None));
    rings(&mut b, &["1001@desk:2"], 1);
}

#[test]
fn phone_that_another_user_logs_in_on_no_longer_rings_for_the_first() {
    let mut b = bench();
    b.register(reg("1001", "id", "1001@desk:1", Some(apns("tok"))));
    b.register(reg("1002", "id", "1002@desk:1", Some(apns("tok"))));
    b.out.clear();
    b.hold(1, "1001");
    b.expect_no_device(1);
    b.hold(2, "1002");
    b.expect_ring(leg(2, 0), "1002@desk:1");
}

fn listing(number: u64, registrations: Vec<Registration>) -> Event {
    Event::Listed(Listing {
        node: NodeId::FIRST,
        aor: Aor::new("1001", "fs.test"),
        number,
        profiles: vec!["internal".into()],
        registrations,
    })
}

/// Raises a question about a user, and returns its number.
fn asked(b: &mut Bench) -> u64 {
    b.engine
        .handle(b.now, Event::Registered(reg("1001", "id", "1001@a:1", None)));
    b.engine
        .handle(b.now, unreg("1001", "id", UnregisterWhy::ConnectionClosed));
    let mut number = None;
    while let Some(command) = b.engine.poll_command() {
        if let fswake_core::engine::Command::AskRegistrations { number: n, .. } = command {
            number = Some(n);
        }
    }
    number.expect("a question")
}

#[test]
fn failed_ping_of_an_old_contact_does_not_affect_the_new_one() {
    let mut b = bench();
    b.register(reg("1001", "id", "1001@old:1", Some(apns("tok"))));
    b.register(reg("1001", "id", "1001@new:1", Some(apns("tok"))));
    b.feed(Event::Pinged {
        node: NodeId::FIRST,
        aor: Aor::new("1001", "fs.test"),
        call_id: "id".into(),
        target: Some(target("1001@old:1")),
        reachable: false,
    });
    rings(&mut b, &["1001@new:1"], 0);
}

#[test]
fn expired_registration_adds_a_device_that_was_unknown() {
    let mut b = bench();
    b.feed(end("1001", "1001@a:1", UnregisterWhy::Expired, Some(apns("tok"))));
    b.expect_stored("tok");
    assert_eq!(b.engine.known(), (1, 0));
    rings(&mut b, &[], 1);
}

#[test]
fn expired_registration_takes_over_no_token_and_restores_no_dropped_one() {
    let mut b = bench();
    b.sleeping("1002", "tok");
    b.feed(end("1001", "1001@a:1", UnregisterWhy::Expired, Some(apns("tok"))));
    b.expect_nothing_more();
    b.feed(Event::ForgetAsked(common::key("1002", "tok")));
    b.expect_forgotten("1002", "tok");
    b.feed(end("1002", "1002@a:1", UnregisterWhy::Expired, Some(apns("tok"))));
    b.expect_nothing_more();
    assert_eq!(b.engine.known(), (0, 0));
}

#[test]
fn forgotten_device_comes_back_with_its_next_register_not_with_a_resync() {
    let mut b = bench();
    b.register(reg("1001", "id", "1001@a:1", Some(apns("tok"))));
    b.feed(Event::ForgetAsked(common::key("1001", "tok")));
    b.out.clear();
    let mut read = reg("1001", "id", "1001@a:1", Some(apns("tok")));
    read.source = Source::Resync(2);
    b.feed(Event::ResyncBegan(NodeId::FIRST, 2));
    b.register(read.clone());
    b.feed(Event::ResyncEnded(NodeId::FIRST, 2, vec!["internal".into()]));
    b.expect_nothing_more();
    // It is still registered, so calls ring it, but do not push it.
    assert_eq!(b.engine.known(), (0, 1));
    b.register(reg("1001", "id", "1001@a:1", Some(apns("tok"))));
    b.expect_stored("tok");
}

/// The phone cannot be woken, because its token was refused or it was pushed too often. But it may register without a
/// push.
#[test]
fn call_waits_for_a_first_register_where_no_phone_can_be_woken() {
    for limited in [false, true] {
        let mut b = Bench::new(Policy {
            device_pushes_per_minute: u32::from(limited),
            ..Policy::default()
        });
        b.register(reg("1001", "tok", "1001@there:1", Some(apns("tok"))));
        b.feed(unreg("1001", "tok", UnregisterWhy::ConnectionClosed));
        b.pass(Duration::from_secs(3600));
        b.out.clear();
        b.hold(1, "1001");
        let push = b.expect_push("tok");
        if !limited {
            let reason = "BadDeviceToken".into();
            b.refuses(&push, PushError::TokenBad { reason });
        }
        b.gone(1, "ORIGINATOR_CANCEL");
        b.pass(Duration::from_secs(10));
        b.out.clear();
        b.hold(2, "1001");
        b.expect_nothing_more();
        b.pass(Duration::from_millis(20));
        b.expect_nothing_more();
        b.register(reg("1001", "tok", "1001@here:1", Some(apns("tok"))));
        b.expect_stored("tok");
        b.expect_ring(leg(2, 0), "1001@here:1");
    }
}

#[test]
fn call_waits_for_a_first_register_where_a_phone_is_known_only_from_a_list() {
    let mut b = bench();
    let mut ghost = reg("1001", "g", "1001@ghost:1", None);
    ghost.source = Source::Resync(1);
    b.register(ghost);
    b.hold(1, "1001");
    b.expect_ring(leg(1, 0), "1001@ghost:1");
    b.ends(leg(1, 0), "NORMAL_TEMPORARY_FAILURE", 503);
    b.pass(Duration::from_millis(20));
    b.register(reg("1001", "id", "1001@here:1", None));
    b.expect_ring(leg(1, 1), "1001@here:1");
}

/// A resync with these registrations. Each has the seconds until it expires; they are in the order of the list.
fn read(b: &mut Bench, number: u64, listed: &[(&str, u64)], push: Option<&PushParams>) {
    b.tell(Event::ResyncBegan(NodeId::FIRST, number));
    for (at, seconds) in listed {
        let mut row = reg("1001", "id", at, push.cloned());
        row.expires = Duration::from_secs(*seconds);
        row.source = Source::Resync(number);
        b.tell(Event::Registered(row));
    }
    b.tell(Event::ResyncEnded(NodeId::FIRST, number, vec!["internal".into()]));
}

/// One row from resync `number`.
fn row(number: u64, id: &str, at: &str, push: Option<&PushParams>) -> Event {
    let mut row = reg("1001", id, at, push.cloned());
    row.source = Source::Resync(number);
    Event::Registered(row)
}
