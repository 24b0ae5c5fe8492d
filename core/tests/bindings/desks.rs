//! Desks: two users with one Call-ID.

use super::*;

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
    // After leaving, it asks for nobody.
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
