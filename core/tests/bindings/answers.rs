//! FreeSWITCH's answers about one user's registrations.

use super::*;

#[test]
fn events_between_a_question_and_its_answer_are_newer_than_the_answer() {
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
fn answer_older_than_the_end_of_the_last_registration_restores_no_phone() {
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
    // FreeSWITCH takes a moment to delete an ended registration.
    b.answer(question, vec![reg("1001", "other", "1001@b:1", None)]);
    assert_eq!(b.engine.known(), (0, 0));
    // A later answer is used.
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
fn row_of_a_list_made_before_a_question_is_older_than_the_answer() {
    // `multiple-registrations=false`: a new registration replaces the others, without an event.
    for is_known in [true, false] {
        let mut b = bench();
        if is_known {
            b.register(reg("1001", "x", "1001@x:1", None));
        }
        b.tell(Event::ResyncBegan(NodeId::FIRST, 1));
        // FreeSWITCH makes this list now; its rows are reported below.
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
        b.tell(Event::ResyncEnded(NodeId::FIRST, 1, vec!["internal".into()]));
        assert_eq!(b.engine.known(), (0, 1), "{is_known}");
        rings(&mut b, &["1001@y:1"], 0);
    }
}

#[test]
fn phone_that_an_answer_named_is_removed_by_a_later_answer() {
    let mut b = bench();
    let (x, y) = (reg("1001", "x", "1001@x:1", None), reg("1001", "y", "1001@y:1", None));
    b.register(reg("1001", "id", "1001@a:1", None));
    let first = b.asks(unreg("1001", "id", UnregisterWhy::ConnectionClosed));
    let second = b.asks(Event::Registered(y.clone()));
    b.answer(first, vec![x]);
    b.answer(second, vec![y]);
    rings(&mut b, &["1001@y:1"], 0);
}

/// One of two phones ends its registration during a resync; the other moved before the resync. Returns the index of the
/// question that this raises.
fn one_ends_and_one_has_moved(b: &mut Bench) -> usize {
    b.register(reg("1001", "id", "1001@a:1", None));
    b.tell(Event::ResyncBegan(NodeId::FIRST, 1));
    b.feed(end("1001", "1001@a:1", UnregisterWhy::Explicit, None));
    let question = b.asks(row(1, "desk", "1001@desk:2", None));
    b.tell(Event::ResyncEnded(NodeId::FIRST, 1, vec!["internal".into()]));
    question
}

#[test]
fn phone_from_a_possibly_outdated_list_is_known_until_freeswitch_denies_it() {
    // The question may never be answered: fswake does not ask about a name like o'brien.
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
fn waiting_call_takes_a_possibly_outdated_row_as_a_register_only_once_freeswitch_confirms_it() {
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
