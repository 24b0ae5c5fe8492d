//! Lists of all registrations, read after a reconnect.

use super::*;

#[test]
fn old_contact_that_is_still_listed_does_not_replace_the_current_one() {
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
fn waiting_call_does_not_take_an_old_contact_in_a_list_for_a_register() {
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
fn phone_that_moved_while_disconnected_is_at_the_contact_that_expires_last() {
    // It moved in the same second as its first REGISTER. Expiry in whole seconds does not show which is later, but the
    // order of the list does.
    for listed in [
        [("1001@new:1", 3590), ("1001@old:1", 3540)],
        [("1001@old:1", 3600), ("1001@new:1", 3600)],
    ] {
        let mut b = bench();
        b.tell(Event::ResyncBegan(NodeId::FIRST, 1));
        b.register(reg("1001", "id", "1001@old:1", None));
        b.tell(Event::ResyncEnded(NodeId::FIRST, 1, vec!["internal".into()]));
        b.pass(Duration::from_secs(60));
        read(&mut b, 2, &listed, None);
        rings(&mut b, &["1001@new:1"], 0);
    }
}

#[test]
fn list_does_not_bring_back_a_phone_that_now_belongs_to_another_user() {
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
fn later_expiry_within_freeswitchs_own_margin_is_not_a_register() {
    let mut b = bench();
    let push = Some(apns("tok"));
    b.register(reg("1001", "id", "1001@a:1", push.clone()));
    b.pass(Duration::from_secs(600));
    b.hold(1, "1001");
    b.out.clear();
    read(&mut b, 2, &[("1001@a:1", 3060)], push.as_ref());
    b.expect_nothing_more();
    // Now the list shows that it registered 10 s ago, which counts as a REGISTER.
    read(&mut b, 3, &[("1001@a:1", 3650)], push.as_ref());
    b.expect_ring(leg(1, 0), "1001@a:1");
}

#[test]
fn register_during_a_resync_is_newer_than_its_list() {
    let (old, new) = ("1001@old:1;transport=tcp", "1001@new:1;transport=tcp");
    for push in [None, Some(apns("tok"))] {
        let mut b = bench();
        b.tell(Event::ResyncBegan(NodeId::FIRST, 1));
        let mut short = reg("1001", "id", new, push.clone());
        short.expires = Duration::from_secs(60);
        b.register(short);
        b.tell(row(1, "id", old, push.as_ref()));
        b.tell(row(1, "id", new, push.as_ref()));
        b.tell(Event::ResyncEnded(NodeId::FIRST, 1, vec!["internal".into()]));
        assert_eq!(b.engine.known().1, 1);
        rings(&mut b, &[new], 0);
        // The list does not change when it expires.
        b.gone(1, "ORIGINATOR_CANCEL");
        b.pass(Duration::from_secs(61));
        rings(&mut b, &[], usize::from(push.is_some()));
    }
}

#[test]
fn phone_that_unregisters_during_a_resync_is_not_brought_back_by_its_list() {
    for why in [
        UnregisterWhy::Explicit,
        UnregisterWhy::Expired,
        UnregisterWhy::ConnectionClosed,
    ] {
        let mut b = bench();
        // Whether or not fswake knew the phone before.
        for is_known in [true, false] {
            b.tell(Event::ResyncBegan(NodeId::FIRST, 1));
            if is_known {
                b.register(reg("1001", "id", "1001@a:1", None));
            }
            b.feed(match why {
                UnregisterWhy::ConnectionClosed => unreg("1001", "id", why),
                _ => end("1001", "1001@a:1", why, None),
            });
            // Its other phone has been registered for a long time, and is in the list too.
            b.freeswitch_has = vec![reg("1001", "desk", "1001@desk:1", None)];
            b.tell(row(1, "id", "1001@a:1", None));
            b.tell(row(1, "desk", "1001@desk:1", None));
            b.tell(Event::ResyncEnded(NodeId::FIRST, 1, vec!["internal".into()]));
            assert_eq!(b.engine.known(), (0, 1), "{why:?}");
            rings(&mut b, &["1001@desk:1"], 0);
            b = bench();
        }
    }
}

#[test]
fn resync_of_one_profile_does_not_affect_phones_of_another() {
    let mut b = bench();
    b.register(reg("1001", "a", "1001@a:1", None));
    let mut elsewhere = reg("1001", "b", "", None);
    elsewhere.target = Some(fswake_core::types::Target::new("sofia/external/sip:1001@b:1"));
    b.register(elsewhere);
    for (profiles, left) in [(vec![], 2), (vec!["external".into()], 1), (vec!["internal".into()], 0)] {
        b.tell(Event::ResyncBegan(NodeId::FIRST, 2));
        b.tell(Event::ResyncEnded(NodeId::FIRST, 2, profiles));
        assert_eq!(b.engine.known(), (0, left));
    }
}
