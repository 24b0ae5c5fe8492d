//! A binding is an AOR and a Contact: how registrations end, and what FreeSWITCH is asked.

mod common;

use std::time::Duration;

use common::{Bench, T0, apns, leg, reg, target, unreg};
use fswake_core::engine::policy::Policy;
use fswake_core::engine::{CallOrder, Event, Listing, Registration, Source, UnregisterWhy, Unregistration};
use fswake_core::types::push::PushError;
use fswake_core::types::{Aor, PushParams};

fn bench() -> Bench {
    Bench::new(Policy::default())
}

/// The end of the registration of `user` at `at`, with the phone's one Call-ID.
fn end(user: &str, at: &str, why: UnregisterWhy, push: Option<PushParams>) -> Event {
    Event::Unregistered(Unregistration {
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

/// The next call rings these places, and this many phones are pushed at once.
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
fn closed_connection_ends_what_freeswitch_does_not_have_any_more() {
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
fn closed_connection_brings_back_the_place_that_freeswitch_still_has() {
    let mut b = bench();
    b.register(reg("1001", "id", "1001@lan:1;transport=tcp", Some(apns("tok"))));
    b.register(reg("1001", "id", "1001@mobile:1;transport=tcp", Some(apns("tok"))));
    b.freeswitch_has = vec![reg("1001", "id", "1001@lan:1;transport=tcp", Some(apns("tok")))];
    b.tell(unreg("1001", "id", UnregisterWhy::ConnectionClosed));
    assert_eq!(b.engine.known(), (1, 1));
    // Nothing says that it is awake.
    rings(&mut b, &["1001@lan:1;transport=tcp"], 1);
}

#[test]
fn log_out_over_another_way_ends_the_contact_and_drops_its_token() {
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
fn log_out_of_one_phone_asks_for_the_others_of_its_user() {
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
    // A refresh asks nothing.
    b.register(reg("1001", "b", "1001@home:1", None));
    assert_eq!(b.questions.len(), 1);
}

#[test]
fn desk_phone_that_moved_beside_a_sleeping_mobile_stays_known_when_its_old_place_expires() {
    let mut b = bench();
    b.sleeping("1001", "tok");
    b.register(reg("1001", "id", "1001@desk:1", None));
    b.register(reg("1001", "id", "1001@desk:2", None));
    b.feed(end("1001", "1001@desk:1", UnregisterWhy::Expired, None));
    rings(&mut b, &["1001@desk:2"], 1);
}

#[test]
fn phone_that_another_user_logs_in_on_is_not_rung_for_the_first() {
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
        aor: Aor::new("1001", "fs.test"),
        number,
        profiles: vec!["internal".into()],
        registrations,
    })
}

/// A user with a question under way: its number.
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
fn what_is_heard_between_a_question_and_its_answer_is_newer_than_the_answer() {
    let mut b = bench();
    let number = asked(&mut b);
    b.engine
        .handle(b.now, Event::Registered(reg("1001", "id", "1001@b:1", None)));
    b.engine
        .handle(b.now, listing(number, vec![reg("1001", "id", "1001@a:1", None)]));
    assert_eq!(b.engine.known(), (0, 1));
    rings(&mut b, &["1001@b:1"], 0);

    let mut b = bench();
    let number = asked(&mut b);
    b.engine
        .handle(b.now, Event::Registered(reg("1001", "other", "1001@b:1", None)));
    b.engine
        .handle(b.now, end("1001", "1001@a:1", UnregisterWhy::Expired, None));
    let stale = vec![reg("1001", "id", "1001@a:1", None)];
    b.engine.handle(b.now, listing(number, stale));
    assert_eq!(b.engine.known(), (0, 1));
}

#[test]
fn answer_that_is_older_than_the_end_of_the_last_registration_brings_nobody_back() {
    let mut b = bench();
    b.register(reg("1001", "id", "1001@a:1", None));
    b.register(reg("1001", "other", "1001@b:1", None));
    let question = b.asks(end("1001", "1001@a:1", UnregisterWhy::Explicit, None));
    let mut over = end("1001", "1001@b:1", UnregisterWhy::Explicit, None);
    if let Event::Unregistered(over) = &mut over {
        over.call_id = "other".into();
    }
    b.tell(over);
    assert_eq!(b.engine.known(), (0, 0));
    // FreeSWITCH takes a moment to delete what has ended.
    b.answer(question, vec![reg("1001", "other", "1001@b:1", None)]);
    assert_eq!(b.engine.known(), (0, 0));
    // A later answer counts.
    b.register(reg("1001", "id", "1001@a:2", None));
    let question = b.asks(unreg("1001", "id", UnregisterWhy::ConnectionClosed));
    b.answer(question, vec![reg("1001", "other", "1001@b:1", None)]);
    assert_eq!(b.engine.known(), (0, 1));
    rings(&mut b, &["1001@b:1"], 0);
}

#[test]
fn only_the_profiles_and_the_domain_that_were_asked_for_are_compared() {
    let mut b = Bench::new(Policy {
        domain_aliases: vec![("192.0.2.7".into(), "fs.test".into())],
        ..Policy::default()
    });
    let number = asked(&mut b);
    let mut elsewhere = reg("1001", "x", "", None);
    elsewhere.target = Some(fswake_core::types::Target::new("sofia/external/sip:1001@x:1"));
    let mut other_name = reg("1001", "y", "1001@y:1", None);
    other_name.aor = Aor::new("1001", "192.0.2.7");
    for more in [elsewhere, other_name] {
        b.engine.handle(b.now, Event::Registered(more));
    }
    b.engine.handle(b.now, listing(number + 9, Vec::new()));
    assert_eq!(b.engine.known(), (0, 2));
}

#[test]
fn ping_of_an_old_contact_says_nothing_about_the_new_one() {
    let mut b = bench();
    b.register(reg("1001", "id", "1001@old:1", Some(apns("tok"))));
    b.register(reg("1001", "id", "1001@new:1", Some(apns("tok"))));
    b.feed(Event::Pinged {
        aor: Aor::new("1001", "fs.test"),
        call_id: "id".into(),
        target: Some(target("1001@old:1")),
        reachable: false,
    });
    rings(&mut b, &["1001@new:1"], 0);
}

#[test]
fn registration_that_runs_out_teaches_the_device_that_nobody_knew() {
    let mut b = bench();
    b.feed(end("1001", "1001@a:1", UnregisterWhy::Expired, Some(apns("tok"))));
    b.expect_stored("tok");
    assert_eq!(b.engine.known(), (1, 0));
    rings(&mut b, &[], 1);
}

#[test]
fn registration_that_runs_out_takes_a_token_from_nobody_and_brings_no_dropped_one_back() {
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
fn device_that_was_forgotten_comes_back_with_its_next_register_not_with_a_reading() {
    let mut b = bench();
    b.register(reg("1001", "id", "1001@a:1", Some(apns("tok"))));
    b.feed(Event::ForgetAsked(common::key("1001", "tok")));
    b.out.clear();
    let mut read = reg("1001", "id", "1001@a:1", Some(apns("tok")));
    read.source = Source::Resync(2);
    b.feed(Event::ResyncBegan(2));
    b.register(read.clone());
    b.feed(Event::ResyncEnded(2, vec!["internal".into()]));
    b.expect_nothing_more();
    // Still registered, so it is rung; and never pushed.
    assert_eq!(b.engine.known(), (0, 1));
    b.register(reg("1001", "id", "1001@a:1", Some(apns("tok"))));
    b.expect_stored("tok");
}

/// Its token was refused, or it has been pushed too often: nobody wakes it, and it may come by itself.
#[test]
fn first_register_is_waited_for_where_no_phone_can_be_woken() {
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
fn first_register_is_waited_for_where_only_a_list_names_a_phone() {
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

/// The list of a reading, each registration with the seconds that it still lasts; the longest first, as they are told.
fn read(b: &mut Bench, number: u64, listed: &[(&str, u64)], push: Option<&PushParams>) {
    b.tell(Event::ResyncBegan(number));
    for (at, seconds) in listed {
        let mut row = reg("1001", "id", at, push.cloned());
        row.expires = Duration::from_secs(*seconds);
        row.source = Source::Resync(number);
        b.tell(Event::Registered(row));
    }
    b.tell(Event::ResyncEnded(number, vec!["internal".into()]));
}

#[test]
fn old_place_of_a_phone_that_is_still_listed_does_not_take_its_live_one_away() {
    let (old, new) = ("1001@old:1;transport=tcp", "1001@new:1;transport=tcp");
    for push in [None, Some(apns("tok"))] {
        let mut b = bench();
        b.register(reg("1001", "id", old, push.clone()));
        b.register(reg("1001", "id", new, push.clone()));
        read(&mut b, 2, &[(new, 3600), (old, 3590)], push.as_ref());
        assert_eq!(b.engine.known().1, 1);
        rings(&mut b, &[new], 0);
    }
}

#[test]
fn waiting_call_does_not_take_the_list_of_an_old_place_for_a_register() {
    let mut b = bench();
    let push = Some(apns("tok"));
    b.register(reg("1001", "id", "1001@old:1", push.clone()));
    b.register(reg("1001", "id", "1001@new:1", push.clone()));
    b.pass(Duration::from_secs(600));
    b.out.clear();
    b.hold(1, "1001");
    b.expect_push("tok");
    b.out.clear();
    read(&mut b, 2, &[("1001@new:1", 3000), ("1001@old:1", 2990)], push.as_ref());
    b.expect_nothing_more();
    b.pass(Duration::from_secs(5));
    b.expect_push("tok");
}

#[test]
fn phone_that_moved_while_nobody_listened_is_where_it_lasts_longer() {
    // Moved in the very second of the first REGISTER: whole seconds do not tell which is the later one, the list's order does.
    for listed in [
        [("1001@new:1", 3590), ("1001@old:1", 3540)],
        [("1001@old:1", 3600), ("1001@new:1", 3600)],
    ] {
        let mut b = bench();
        b.tell(Event::ResyncBegan(1));
        b.register(reg("1001", "id", "1001@old:1", None));
        b.tell(Event::ResyncEnded(1, vec!["internal".into()]));
        b.pass(Duration::from_secs(60));
        read(&mut b, 2, &listed, None);
        rings(&mut b, &["1001@new:1"], 0);
    }
}

#[test]
fn list_does_not_bring_back_a_phone_that_is_another_users() {
    let mut b = bench();
    let push = Some(apns("tok"));
    b.register(reg("1001", "id", "1001@desk:1;transport=tcp", push.clone()));
    b.register(reg("1002", "id", "1002@desk:1;transport=tcp", push.clone()));
    read(&mut b, 2, &[("1001@desk:1;transport=tcp", 3000)], push.as_ref());
    b.out.clear();
    b.hold(1, "1001");
    b.expect_no_device(1);
}

#[test]
fn list_does_not_bring_back_a_phone_that_logged_out() {
    let mut b = bench();
    let push = Some(apns("tok"));
    b.register(reg("1001", "desk", "1001@desk:1", None));
    b.register(reg("1001", "id", "1001@old:1;transport=tcp", push.clone()));
    b.register(reg("1001", "id", "1001@new:1;transport=tcp", push.clone()));
    b.freeswitch_has = vec![
        reg("1001", "desk", "1001@desk:1", None),
        reg("1001", "id", "1001@old:1;transport=tcp", push.clone()),
    ];
    b.tell(end("1001", "1001@new:1;transport=tcp", UnregisterWhy::Explicit, push));
    rings(&mut b, &["1001@desk:1"], 0);
}

#[test]
fn list_that_ends_later_by_freeswitchs_own_margin_is_no_register() {
    let mut b = bench();
    let push = Some(apns("tok"));
    b.register(reg("1001", "id", "1001@a:1", push.clone()));
    b.pass(Duration::from_secs(600));
    b.hold(1, "1001");
    b.out.clear();
    read(&mut b, 2, &[("1001@a:1", 3060)], push.as_ref());
    b.expect_nothing_more();
    // It registered 10 s ago: then it is one.
    read(&mut b, 3, &[("1001@a:1", 3650)], push.as_ref());
    b.expect_ring(leg(1, 0), "1001@a:1");
}

/// A row of the list of reading `number`.
fn row(number: u64, id: &str, at: &str, push: Option<&PushParams>) -> Event {
    let mut row = reg("1001", id, at, push.cloned());
    row.source = Source::Resync(number);
    Event::Registered(row)
}

#[test]
fn register_that_is_heard_during_a_reading_is_newer_than_its_list() {
    let (old, new) = ("1001@old:1;transport=tcp", "1001@new:1;transport=tcp");
    for push in [None, Some(apns("tok"))] {
        let mut b = bench();
        b.tell(Event::ResyncBegan(1));
        let mut short = reg("1001", "id", new, push.clone());
        short.expires = Duration::from_secs(60);
        b.register(short);
        b.tell(row(1, "id", old, push.as_ref()));
        b.tell(row(1, "id", new, push.as_ref()));
        b.tell(Event::ResyncEnded(1, vec!["internal".into()]));
        assert_eq!(b.engine.known().1, 1);
        rings(&mut b, &[new], 0);
        // Nor is its time the list's.
        b.gone(1, "ORIGINATOR_CANCEL");
        b.pass(Duration::from_secs(61));
        rings(&mut b, &[], usize::from(push.is_some()));
    }
}

#[test]
fn phone_that_ends_its_registration_during_a_reading_is_not_brought_back_by_its_list() {
    for why in [
        UnregisterWhy::Explicit,
        UnregisterWhy::Expired,
        UnregisterWhy::ConnectionClosed,
    ] {
        let mut b = bench();
        // Known before, or not.
        for is_known in [true, false] {
            b.tell(Event::ResyncBegan(1));
            if is_known {
                b.register(reg("1001", "id", "1001@a:1", None));
            }
            b.feed(match why {
                UnregisterWhy::ConnectionClosed => unreg("1001", "id", why),
                _ => end("1001", "1001@a:1", why, None),
            });
            // Its other phone has been there for long, and is in the list as well.
            b.freeswitch_has = vec![reg("1001", "desk", "1001@desk:1", None)];
            b.tell(row(1, "id", "1001@a:1", None));
            b.tell(row(1, "desk", "1001@desk:1", None));
            b.tell(Event::ResyncEnded(1, vec!["internal".into()]));
            assert_eq!(b.engine.known(), (0, 1), "{why:?}");
            rings(&mut b, &["1001@desk:1"], 0);
            b = bench();
        }
    }
}

#[test]
fn reading_of_one_profile_says_nothing_about_the_phones_of_another() {
    let mut b = bench();
    b.register(reg("1001", "a", "1001@a:1", None));
    let mut elsewhere = reg("1001", "b", "", None);
    elsewhere.target = Some(fswake_core::types::Target::new("sofia/external/sip:1001@b:1"));
    b.register(elsewhere);
    for (profiles, left) in [(vec![], 2), (vec!["external".into()], 1), (vec!["internal".into()], 0)] {
        b.tell(Event::ResyncBegan(2));
        b.tell(Event::ResyncEnded(2, profiles));
        assert_eq!(b.engine.known(), (0, left));
    }
}

#[test]
fn desk_that_another_user_logs_in_on_by_the_same_call_id_is_the_first_users_only_if_freeswitch_says_so() {
    for by_call_id in [true, false] {
        let mut b = bench();
        b.register(reg("1001", "desk", "1001@desk:1", None));
        if by_call_id {
            b.freeswitch_has.clear();
        }
        b.register(reg("1002", "desk", "1002@desk:1", None));
        assert_eq!(b.questions, [Aor::new("1001", "fs.test")]);
        b.register(reg("1002", "desk", "1002@desk:1", None));
        assert_eq!(b.questions.len(), 1, "a refresh asks nothing");
        assert_eq!(b.engine.known(), (0, if by_call_id { 1 } else { 2 }));
    }
    // A desk that is known by a reading, and has refreshed since.
    for refreshes in [false, true] {
        let mut b = bench();
        let mut row = reg("1001", "desk", "1001@desk:1", None);
        row.source = Source::Resync(1);
        b.tell(Event::ResyncBegan(1));
        b.register(row);
        b.tell(Event::ResyncEnded(1, vec!["internal".into()]));
        if refreshes {
            b.register(reg("1001", "desk", "1001@desk:1", None));
        }
        b.freeswitch_has.clear();
        b.register(reg("1002", "desk", "1002@desk:1", None));
        assert_eq!(b.questions, [Aor::new("1001", "fs.test")]);
        assert_eq!(b.engine.known(), (0, 1));
    }
    // Whoever has left asks for nobody.
    let mut b = bench();
    b.register(reg("1001", "desk", "1001@desk:1", None));
    b.feed(end("1001", "1001@desk:1", UnregisterWhy::Expired, None));
    b.register(reg("1002", "desk", "1002@desk:1", None));
    assert_eq!(b.questions.len(), 0);
}

/// From now on `192.0.2.7` and `fs.test` are one domain, as they were not before, or the other way round.
fn are_one(b: &mut Bench, one: bool) {
    b.tell(Event::PolicyChanged(Box::new(Policy {
        ignore_domain: one,
        ..Policy::default()
    })));
}

#[test]
fn desk_that_another_user_logs_in_on_is_still_asked_for_after_a_reload() {
    for one in [true, false] {
        let mut b = bench();
        are_one(&mut b, !one);
        b.register(reg("1001", "desk", "1001@desk:1", None));
        are_one(&mut b, one);
        b.freeswitch_has.clear();
        b.register(reg("1002", "desk", "1002@desk:1", None));
        assert_eq!(b.questions, [Aor::new("1001", "fs.test")]);
        assert_eq!(b.engine.known(), (0, 1));
    }
}

#[test]
fn end_that_is_newer_than_a_list_or_an_answer_is_still_newer_after_a_reload() {
    for one in [true, false] {
        // A reading is under way.
        let mut b = bench();
        are_one(&mut b, !one);
        b.tell(Event::ResyncBegan(1));
        b.register(reg("1001", "id", "1001@a:1", None));
        b.feed(end("1001", "1001@a:1", UnregisterWhy::Explicit, None));
        are_one(&mut b, one);
        b.tell(row(1, "id", "1001@a:1", None));
        b.tell(Event::ResyncEnded(1, vec!["internal".into()]));
        assert_eq!(b.engine.known(), (0, 0));
        // A question is.
        let mut b = bench();
        are_one(&mut b, !one);
        b.register(reg("1001", "id", "1001@a:1", None));
        let question = b.asks(unreg("1001", "id", UnregisterWhy::ConnectionClosed));
        b.feed(end("1001", "1001@a:1", UnregisterWhy::Explicit, None));
        are_one(&mut b, one);
        b.answer(question, vec![reg("1001", "id", "1001@a:1", None)]);
        assert_eq!(b.engine.known(), (0, 0));
    }
}

#[test]
fn row_of_a_list_that_was_read_before_a_question_is_older_than_its_answer() {
    // `multiple-registrations=false`: whoever registers replaces the others, without an event.
    for is_known in [true, false] {
        let mut b = bench();
        if is_known {
            b.register(reg("1001", "x", "1001@x:1", None));
        }
        b.tell(Event::ResyncBegan(1));
        // Its list is read here, and told below.
        let y = reg("1001", "y", "1001@y:1", None);
        b.freeswitch_has = vec![y.clone()];
        if is_known {
            let question = b.asks(Event::Registered(y.clone()));
            b.tell(row(1, "x", "1001@x:1", None));
            b.answer(question, vec![y]);
        } else {
            b.tell(Event::Registered(y));
            b.tell(row(1, "x", "1001@x:1", None));
        }
        b.tell(Event::ResyncEnded(1, vec!["internal".into()]));
        assert_eq!(b.engine.known(), (0, 1), "{is_known}");
        rings(&mut b, &["1001@y:1"], 0);
    }
}

#[test]
fn phone_that_an_answer_has_named_ends_with_a_later_answer() {
    let mut b = bench();
    let (x, y) = (reg("1001", "x", "1001@x:1", None), reg("1001", "y", "1001@y:1", None));
    b.register(reg("1001", "id", "1001@a:1", None));
    let first = b.asks(unreg("1001", "id", UnregisterWhy::ConnectionClosed));
    let second = b.asks(Event::Registered(y.clone()));
    b.answer(first, vec![x]);
    b.answer(second, vec![y]);
    rings(&mut b, &["1001@y:1"], 0);
}

/// One of two phones ends its registration during a reading; the other has moved before it. The place of the question about that.
fn one_ends_and_one_has_moved(b: &mut Bench) -> usize {
    b.register(reg("1001", "id", "1001@a:1", None));
    b.tell(Event::ResyncBegan(1));
    b.feed(end("1001", "1001@a:1", UnregisterWhy::Explicit, None));
    let question = b.asks(row(1, "desk", "1001@desk:2", None));
    b.tell(Event::ResyncEnded(1, vec!["internal".into()]));
    question
}

#[test]
fn phone_is_known_by_a_list_that_may_be_too_old_until_freeswitch_says_otherwise() {
    // Perhaps it never does: nobody asks for a name like o'brien.
    let mut b = bench();
    one_ends_and_one_has_moved(&mut b);
    rings(&mut b, &["1001@desk:2"], 0);
    for is_there in [true, false] {
        let mut b = bench();
        let question = one_ends_and_one_has_moved(&mut b);
        let left = is_there.then(|| reg("1001", "desk", "1001@desk:2", None));
        b.answer(question, left.into_iter().collect());
        rings(&mut b, if is_there { &["1001@desk:2"] } else { &[] }, 0);
    }
}

#[test]
fn call_that_waits_takes_no_row_that_may_be_too_old_for_a_register_before_freeswitch_says_so() {
    for is_there in [true, false] {
        let mut b = bench();
        b.sleeping("1001", "tok");
        b.hold(1, "1001");
        b.expect_push("tok");
        b.out.clear();
        let question = one_ends_and_one_has_moved(&mut b);
        b.ends(leg(1, 0), "NORMAL_TEMPORARY_FAILURE", 503);
        b.out.clear();
        let left = is_there.then(|| reg("1001", "desk", "1001@desk:2", None));
        b.answer(question, left.into_iter().collect());
        if is_there {
            b.expect_ring(leg(1, 1), "1001@desk:2");
        }
        b.expect_nothing_more();
    }
}
