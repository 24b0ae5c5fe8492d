//! Who owns a token, and when it is dropped.

mod common;

use std::time::Duration;

use common::{Bench, T0, apns, leg, reg, unreg};
use fswake_core::engine::policy::{AppPolicy, OnUnregister, Policy};
use fswake_core::engine::{CallOrder, Command, Engine, Event, HoldResult, Source, UnregisterWhy};
use fswake_core::types::push::PushError;
use fswake_core::types::{Aor, Device, NodeId, Provider, PushParams, PushToken, Tokens};

fn bench() -> Bench {
    Bench::new(Policy::default())
}

/// A device in the store.
fn stored(user: &str, token: &str) -> Device {
    Device {
        aor: Aor::new(user, "fs.test"),
        push: apns(token),
        user_agent: "acme".into(),
        register_call_id: "id".into(),
        first_seen: T0,
        last_seen: T0,
        set_aside: None,
        changed: 0,
    }
}

#[test]
fn last_authenticated_register_owns_the_token() {
    let mut b = bench();
    b.sleeping("alice", "tok");
    b.register(reg("bob", "other", "bob@b:1", Some(apns("tok"))));
    b.expect_forgotten("alice", "tok");
    b.expect_stored("tok");
    b.hold(1, "alice");
    b.expect_no_device(1);
    b.expect_nothing_more();
}

#[test]
fn phone_whose_app_id_is_parsed_differently_stays_one_device() {
    for source in [Source::Event, Source::Resync(2)] {
        let mut b = bench();
        let older = PushParams {
            app: "ABCD1234.com.example.app".into(),
            ..apns("tok")
        };
        b.register(reg("alice", "a", "alice@a:1", Some(older)));
        b.out.clear();
        let mut now = reg("alice", "b", "alice@a:2", Some(apns("tok")));
        now.source = source;
        b.register(now);
        let forgotten = b.out.iter().find_map(|c| match c {
            fswake_core::engine::Command::ForgetDevice { key, why, .. } => Some((key.app.to_string(), *why)),
            _ => None,
        });
        assert_eq!(forgotten, Some(("ABCD1234.com.example.app".to_owned(), "app-renamed")));
        assert_eq!(b.engine.devices(), 1, "{source:?}");
        b.set_rest_aside();
    }
}

#[test]
fn device_that_nobody_calls_is_forgotten_by_the_age_check() {
    let mut b = bench();
    b.sleeping("1001", "tok");
    let ttl = i64::try_from(Policy::default().token_ttl.as_secs()).unwrap();
    for (at, forgotten) in [(T0 + ttl, false), (T0 + ttl + 1, true)] {
        b.feed(Event::AgeCheckDue {
            aor: Aor::new("1001", "fs.test"),
            at,
        });
        assert_eq!(b.engine.devices(), usize::from(!forgotten), "{at}");
    }
    b.expect_forgotten("1001", "tok");
    assert_eq!(b.engine.known(), (0, 0));
}

#[test]
fn resync_does_not_take_a_token_from_a_registered_phone() {
    let mut b = bench();
    b.register(reg("alice", "a", "alice@a:1", Some(apns("tok"))));
    b.out.clear();
    b.feed(Event::ResyncBegan(NodeId::FIRST, 2));
    let mut stale = reg("bob", "b", "bob@b:1", Some(apns("tok")));
    stale.source = Source::Resync(2);
    b.register(stale);
    b.expect_nothing_more();
}

/// FreeSWITCH still has the registration of the phone's earlier user, and its list names that one first.
#[test]
fn token_of_two_registered_users_stays_the_later_users_after_a_restart() {
    for is_there in [true, false] {
        let mut b = bench();
        b.engine = Engine::new(Policy::default(), vec![stored("bob", "tok")]);
        b.feed(Event::ResyncBegan(NodeId::FIRST, 1));
        let listed = |user: &str| {
            let mut listed = reg(user, user, &format!("{user}@a:1"), Some(apns("tok")));
            listed.source = Source::Resync(1);
            listed
        };
        let question = b.asks(Event::Registered(listed("alice")));
        if is_there {
            b.register(listed("bob"));
        }
        b.feed(Event::ResyncEnded(NodeId::FIRST, 1, vec!["internal".into()]));
        b.expect_nothing_more();
        b.answer(question, vec![reg("alice", "alice", "alice@a:1", Some(apns("tok")))]);
        if !is_there {
            // The phone's user changed while fswake did not run.
            b.expect_forgotten("bob", "tok");
            b.expect_stored("tok");
        }
        b.expect_nothing_more();
        assert_eq!(b.engine.devices(), 1);
    }
}

#[test]
fn token_is_dropped_when_gone_unless_the_phone_registered_since() {
    for (since, dropped) in [
        (None, true),
        (Some(T0 + 1), true),
        (Some(T0), true),
        (Some(T0 - 1), false),
    ] {
        let mut b = bench();
        b.sleeping("1001", "tok");
        b.hold(1, "1001");
        let push = b.expect_push("tok");
        b.out.clear();
        b.refuses(
            &push,
            PushError::TokenGone {
                since,
                reason: "Unregistered".into(),
            },
        );
        let forgotten = b
            .out
            .iter()
            .any(|c| matches!(c, fswake_core::engine::Command::ForgetDevice { .. }));
        assert_eq!(forgotten, dropped, "{since:?}");
        b.set_rest_aside();
    }
}

#[test]
fn bad_token_is_set_aside_until_its_next_register_not_dropped() {
    let mut b = bench();
    b.sleeping("1001", "tok");
    b.hold(1, "1001");
    let push = b.expect_push("tok");
    b.out.clear();
    b.refuses(
        &push,
        PushError::TokenBad {
            reason: "BadDeviceToken".into(),
        },
    );
    assert!(
        b.expect_stored("tok")
            .set_aside
            .is_some_and(|why| why.starts_with("BadDeviceToken"))
    );
    b.expect_release(1, HoldResult::Unreachable);
    b.hold(2, "1001");
    // The phone may be coming online without a push.
    b.expect_nothing_more();
    b.pass(Duration::from_millis(30));
    b.expect_release(2, HoldResult::Unreachable);
    b.expect_nothing_more();
    b.register(reg("1001", "tok", "1001@new:1", Some(apns("tok"))));
    assert_eq!(b.expect_stored("tok").set_aside, None);
    b.feed(unreg("1001", "tok", UnregisterWhy::ConnectionClosed));
    b.hold(3, "1001");
    b.expect_push("tok");
}

#[test]
fn explicit_unregister_drops_the_token_where_the_app_does_not_keep_it() {
    for (wish, kept) in [(OnUnregister::Forget, false), (OnUnregister::Keep, true)] {
        let mut policy = Policy::default();
        policy.apps.push(AppPolicy {
            provider: Some(Provider::Apns),
            app: Some("com.example.app".into()),
            on_unregister: wish,
            cancel_push: false,
            ..AppPolicy::default()
        });
        let mut b = Bench::new(policy);
        b.register(reg("1001", "id", "1001@a:1", Some(apns("tok"))));
        b.out.clear();
        b.feed(unreg("1001", "id", UnregisterWhy::Explicit));
        if !kept {
            b.expect_forgotten("1001", "tok");
        }
        b.expect_nothing_more();
        assert_eq!(b.engine.known(), (usize::from(kept), 0));
    }
}

#[test]
fn closed_connection_and_expiry_end_the_binding_only() {
    for why in [UnregisterWhy::ConnectionClosed, UnregisterWhy::Expired] {
        let mut b = bench();
        b.register(reg("1001", "id", "1001@a:1", Some(apns("tok"))));
        b.out.clear();
        b.feed(unreg("1001", "id", why));
        b.expect_nothing_more();
        assert_eq!(b.engine.known(), (1, 0));
    }
}

#[test]
fn register_without_push_parameters_by_the_same_phone_drops_its_token() {
    let mut b = bench();
    b.register(reg("1001", "id", "1001@a:1", Some(apns("tok"))));
    b.out.clear();
    b.register(reg("1001", "another-phone", "1001@b:1", None));
    b.expect_nothing_more();
    b.register(reg("1001", "id", "1001@a:1", None));
    b.expect_forgotten("1001", "tok");
    b.expect_nothing_more();
}

#[test]
fn new_token_of_the_same_call_id_and_app_replaces_the_old_one() {
    let mut b = bench();
    b.register(reg("1001", "id", "1001@a:1", Some(apns("old"))));
    b.out.clear();
    b.register(reg("1001", "id", "1001@a:1", Some(apns("new"))));
    b.expect_forgotten("1001", "old");
    b.expect_stored("new");
    b.expect_nothing_more();
    b.register(reg("1001", "other", "1001@b:1", Some(apns("third"))));
    b.expect_stored("third");
    b.expect_nothing_more();
}

#[test]
fn token_unseen_for_its_ttl_is_forgotten() {
    let mut b = Bench::new(Policy {
        token_ttl: Duration::from_secs(60),
        ..Policy::default()
    });
    let mut old = reg("1001", "id", "1001@a:1", Some(apns("tok")));
    old.at = T0 - 61;
    b.register(old);
    b.feed(unreg("1001", "id", UnregisterWhy::Expired));
    b.out.clear();
    b.hold(1, "1001");
    b.expect_forgotten("1001", "tok");
    b.expect_no_device(1);
    b.expect_nothing_more();
}

#[test]
fn two_phones_of_one_user_keep_both_their_bindings() {
    let mut b = bench();
    b.register(reg("1001", "a", "1001@a:1", Some(apns("one"))));
    b.register(reg("1001", "b", "1001@b:1", Some(apns("two"))));
    assert_eq!(b.engine.known(), (2, 2));
    b.set_rest_aside();
}

#[test]
fn one_phone_keeps_one_binding_however_often_it_registers() {
    let mut b = bench();
    for n in 0..50 {
        b.register(reg(
            "1001",
            &format!("id{n}"),
            &format!("1001@a:{n}"),
            Some(apns("one")),
        ));
    }
    assert_eq!(b.engine.known(), (1, 1));
    b.set_rest_aside();
}

#[test]
fn hostile_number_of_devices_is_bounded() {
    let mut b = bench();
    for n in 0..100 {
        b.register(reg(
            "1001",
            &format!("id{n}"),
            &format!("1001@a:{n}"),
            Some(apns(&format!("tok{n}"))),
        ));
    }
    let (devices, bindings) = b.engine.known();
    assert!(devices <= 20 && bindings <= 20, "{devices} {bindings}");
    b.set_rest_aside();
}

#[test]
fn refused_contact_keeps_the_token_and_rings_nothing() {
    let mut b = bench();
    let mut odd = reg("1001", "id", "x", Some(apns("tok")));
    odd.target = None;
    b.register(odd);
    b.expect_stored("tok");
    assert_eq!(b.engine.known(), (1, 0));
}

#[test]
fn bindings_that_neither_a_resync_nor_an_event_names_are_removed() {
    let mut b = bench();
    b.feed(Event::ResyncBegan(NodeId::FIRST, 1));
    b.register(reg("gone", "g", "gone@a:1", None));
    b.register(reg("stays", "s", "stays@a:1", None));
    b.feed(Event::ResyncEnded(NodeId::FIRST, 1, vec!["internal".into()]));
    b.feed(Event::ResyncBegan(NodeId::FIRST, 2));
    b.register(reg("live", "l", "live@a:1", None));
    let mut read = reg("stays", "s", "stays@a:1", None);
    read.source = Source::Resync(2);
    b.register(read);
    b.feed(Event::ResyncEnded(NodeId::FIRST, 2, vec!["internal".into()]));
    assert_eq!(b.engine.known(), (0, 2));
}

#[test]
fn failed_ping_ends_the_proof_of_life() {
    let mut b = bench();
    b.register(reg("1001", "id", "1001@a:1", Some(apns("tok"))));
    let aor = Aor::new("1001", "fs.test");
    b.feed(Event::Pinged {
        node: NodeId::FIRST,
        aor: aor.clone(),
        call_id: "id".into(),
        target: None,
        reachable: false,
    });
    b.out.clear();
    b.hold(1, "1001");
    b.expect_push("tok");
    b.expect_nothing_more();
    b.feed(Event::CallerGone {
        call: common::call(1),
        cause: "X".into(),
    });
    b.pass(Duration::from_secs(600));
    b.feed(Event::Pinged {
        node: NodeId::FIRST,
        aor,
        call_id: "id".into(),
        target: None,
        reachable: true,
    });
    b.out.clear();
    b.hold(2, "1001");
    b.expect_ring(leg(2, 0), "1001@a:1");
    b.expect_nothing_more();
}

#[test]
fn domains_are_compared_without_case_after_their_aliases() {
    let domain_aliases = vec![("192.0.2.7".into(), "fs.test".into())];
    let mut b = Bench::new(Policy {
        domain_aliases,
        ..Policy::default()
    });
    b.sleeping("1001", "tok");
    for (n, domain) in ["FS.Test", "192.0.2.7"].iter().enumerate() {
        let mut hold = reg("1001", "", "", None);
        hold.aor.domain = (*domain).into();
        b.feed(Event::CallHeld(fswake_core::engine::HeldCall {
            node: NodeId::FIRST,
            call: common::call(n as u128 + 1),
            aor: hold.aor,
            caller_number: "".into(),
            caller_name: "".into(),
            at: std::time::SystemTime::UNIX_EPOCH,
            max_wait: None,
            routing: fswake_core::engine::Routing::Dialplan,
            options: fswake_core::engine::CallOptions::default(),
            query: None,
            sip_call_id: None,
        }));
        assert!(
            !b.out
                .iter()
                .any(|c| matches!(c, Command::Call(_, CallOrder::Release { .. }))),
            "{domain}"
        );
    }
    b.out.clear();
    b.hold(9, "1001X");
    b.expect_no_device(9);
}

#[test]
fn single_domain_site_may_ignore_the_domain() {
    let mut b = Bench::new(Policy {
        ignore_domain: true,
        ..Policy::default()
    });
    b.sleeping("1001", "tok");
    b.feed(Event::CallHeld(fswake_core::engine::HeldCall {
        node: NodeId::FIRST,
        call: common::call(1),
        aor: Aor::new("1001", "anything"),
        caller_number: "".into(),
        caller_name: "".into(),
        at: std::time::SystemTime::UNIX_EPOCH,
        max_wait: None,
        routing: fswake_core::engine::Routing::Dialplan,
        options: fswake_core::engine::CallOptions::default(),
        query: None,
        sip_call_id: None,
    }));
    b.expect_push("tok");
}

#[test]
fn unparsable_contact_does_not_drop_the_token() {
    let mut b = bench();
    b.register(reg("1001", "id", "1001@a:1", Some(apns("tok"))));
    b.out.clear();
    let mut cut = reg("1001", "id", "1001@a:1", None);
    cut.wants_no_push = false;
    b.register(cut);
    b.expect_nothing_more();
    assert_eq!(b.engine.known().0, 1);
}

#[test]
fn token_restored_by_a_resync_is_dropped_when_it_is_gone() {
    let mut b = bench();
    b.feed(Event::ResyncBegan(NodeId::FIRST, 1));
    let mut read = reg("1001", "id", "1001@a:1", Some(apns("tok")));
    read.source = Source::Resync(1);
    b.register(read);
    b.expect_stored("tok");
    b.hold(1, "1001");
    let push = b.expect_push("tok");
    b.out.clear();
    b.refuses(
        &push,
        PushError::TokenGone {
            since: Some(T0 - 1),
            reason: "Unregistered".into(),
        },
    );
    b.expect_forgotten("1001", "tok");
    b.expect_ring(leg(1, 0), "1001@a:1");
}

#[test]
fn exceptions_of_an_app_hold_for_its_domains_only() {
    let mut policy = Policy::default();
    policy.apps.push(AppPolicy {
        provider: Some(Provider::Apns),
        domains: vec!["elsewhere.example".into()],
        on_unregister: OnUnregister::Keep,
        cancel_push: false,
        ..AppPolicy::default()
    });
    let mut b = Bench::new(policy);
    b.register(reg("1001", "id", "1001@a:1", Some(apns("tok"))));
    b.out.clear();
    b.feed(unreg("1001", "id", UnregisterWhy::Explicit));
    b.expect_forgotten("1001", "tok");
}

#[test]
fn phone_known_by_its_message_token_is_recognised_when_it_registers() {
    let mut b = bench();
    let message = PushToken::new("message");
    let push = PushParams {
        tokens: Tokens::Remote(message.clone()),
        ..apns("call")
    };
    b.register(reg("1001", "a", "1001@a:1", Some(push)));
    b.out.clear();
    let push = PushParams {
        tokens: Tokens::Both {
            call: PushToken::new("call"),
            remote: message,
        },
        ..apns("call")
    };
    b.register(reg("1001", "b", "1001@b:1", Some(push)));
    b.expect_forgotten("1001", "message");
    b.expect_stored("call");
    b.expect_nothing_more();
}

#[test]
fn imported_device_is_kept_for_its_ttl_from_the_import() {
    let ttl = i64::try_from(Policy::default().token_ttl.as_secs()).unwrap();
    for (imported, wakes) in [(T0 - ttl, true), (T0 - ttl - 1, false)] {
        let old = Device {
            aor: Aor::new("1001", "fs.test"),
            push: apns("tok"),
            user_agent: "".into(),
            register_call_id: "".into(),
            first_seen: imported,
            last_seen: 0,
            set_aside: None,
            changed: 0,
        };
        let mut b = bench();
        b.engine = Engine::new(Policy::default(), vec![old]);
        b.hold(1, "1001");
        if wakes {
            b.expect_push("tok");
        } else {
            b.expect_forgotten("1001", "tok");
        }
    }
}

#[test]
fn phone_whose_token_a_resync_omits_is_one_phone_after_a_restart() {
    let mut b = bench();
    b.engine = Engine::new(Policy::default(), vec![stored("1001", "tok")]);
    b.feed(Event::ResyncBegan(NodeId::FIRST, 1));
    let mut read = reg("1001", "id", "1001@a:1;transport=tcp", None);
    read.source = Source::Resync(1);
    b.register(read);
    b.feed(Event::ResyncEnded(NodeId::FIRST, 1, vec!["internal".into()]));
    b.out.clear();
    b.hold(1, "1001");
    b.expect_push("tok");
    b.expect_ring(leg(1, 0), "1001@a:1;transport=tcp");
    b.register(reg("1001", "new", "1001@b:2", Some(apns("tok"))));
    b.expect_stored("tok");
    b.expect_ring(leg(1, 1), "1001@b:2");
    b.expect_kill(leg(1, 0), "LOSE_RACE");
    b.expect_nothing_more();
}
