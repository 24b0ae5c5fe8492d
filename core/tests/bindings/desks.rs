//! Shared desks: two users register with one Call-ID.

use super::*;

#[test]
fn desk_that_another_user_logs_in_on_stays_with_the_first_user_only_if_freeswitch_says_so() {
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
    // The desk is known from a resync; in one case it has refreshed since.
    for refreshes in [false, true] {
        let mut b = bench();
        let mut row = reg("1001", "desk", "1001@desk:1", None);
        row.source = Source::Resync(1);
        b.tell(Event::ResyncBegan(NodeId::FIRST, 1));
        b.register(row);
        b.tell(Event::ResyncEnded(NodeId::FIRST, 1, vec!["internal".into()]));
        if refreshes {
            b.register(reg("1001", "desk", "1001@desk:1", None));
        }
        b.freeswitch_has.clear();
        b.register(reg("1002", "desk", "1002@desk:1", None));
        assert_eq!(b.questions, [Aor::new("1001", "fs.test")]);
        assert_eq!(b.engine.known(), (0, 1));
    }
    // A user who has left the desk is not asked about.
    let mut b = bench();
    b.register(reg("1001", "desk", "1001@desk:1", None));
    b.feed(end("1001", "1001@desk:1", UnregisterWhy::Expired, None));
    b.register(reg("1002", "desk", "1002@desk:1", None));
    assert_eq!(b.questions.len(), 0);
}

/// Reloads the settings, so that `192.0.2.7` and `fs.test` become one domain (`one`) or two.
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
        // During a resync.
        let mut b = bench();
        are_one(&mut b, !one);
        b.tell(Event::ResyncBegan(NodeId::FIRST, 1));
        b.register(reg("1001", "id", "1001@a:1", None));
        b.feed(end("1001", "1001@a:1", UnregisterWhy::Explicit, None));
        are_one(&mut b, one);
        b.tell(row(1, "id", "1001@a:1", None));
        b.tell(Event::ResyncEnded(NodeId::FIRST, 1, vec!["internal".into()]));
        assert_eq!(b.engine.known(), (0, 0));
        // During a question.
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
