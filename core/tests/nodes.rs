//! Several FreeSWITCHes: where bindings are, how their phones are reached, and what happens when one is gone. And several
//! daemons: what another has pushed.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Bench, apns, key, leg, reg, unreg};
use fswake_core::engine::node::{NodePolicy, Via};
use fswake_core::engine::policy::Policy;
use fswake_core::engine::{Event, Registration, Ring, Source, UnregisterWhy};
use fswake_core::types::{Aor, NodeId};

const A: NodeId = NodeId(0);
const B: NodeId = NodeId(1);

fn policy(edges: &[&str], b_takes_legs: bool) -> Policy {
    let node = |name: &str, takes_legs| NodePolicy {
        name: name.into(),
        takes_legs,
        edges: edges.iter().map(|edge| Arc::from(*edge)).collect(),
    };
    Policy {
        nodes: vec![node("a", true), node("b", b_takes_legs)],
        ..Policy::default()
    }
}

/// Both FreeSWITCHes are connected and read.
fn bench(policy: Policy) -> Bench {
    let mut b = Bench::new(policy);
    for (node, number) in [(A, 1), (B, 2)] {
        b.tell(Event::ResyncBegan(node, number));
        b.tell(Event::ResyncEnded(node, number, vec!["internal".into()]));
    }
    b
}

/// A phone registers at this FreeSWITCH.
fn registers(b: &mut Bench, node: NodeId, registration: Registration) {
    b.feed(Event::Registered(registration).at(node));
}

fn alice(id: &str, at: &str) -> Registration {
    reg("alice", id, at, Some(apns("tok")))
}

/// The order to ring this leg, at this address.
fn ring(b: &mut Bench, n: u128, l: u32, at: &str) -> Ring {
    let is_its = |ring: &&Ring| ring.leg == leg(n, l);
    let ring = b.out.iter().filter_map(common::ring_of).find(is_its).cloned();
    let ring = ring.unwrap_or_else(|| panic!("leg {l} is not rung: {:#?}", b.out));
    assert_eq!(ring.target.as_str(), common::target(at).as_str());
    b.out.clear();
    ring
}

#[test]
fn phone_at_another_freeswitch_is_rung_through_it() {
    let mut b = bench(policy(&[], true));
    registers(&mut b, B, alice("id", "alice@phone:1"));
    b.out.clear();
    b.hold(1, "alice");
    let ring = ring(&mut b, 1, 0, "alice@phone:1");
    assert_eq!(
        (ring.via, ring.target.node(), &*ring.aor.user),
        (Via::Node(B), B, "alice")
    );
    let address = |node| {
        let digest = ring.target.digest();
        b.engine.address(&Aor::new("alice", "fs.test"), node, &digest, b.now)
    };
    assert_eq!(
        address(B),
        Some(ring.target.clone()),
        "the other FreeSWITCH's fswake finds it by its digest"
    );
    assert_eq!(address(A), None);
}

#[test]
fn phone_behind_an_edge_that_the_calls_freeswitch_may_use_is_rung_directly() {
    let place = "alice@10.0.0.9:5060;fs_path=%3Csip%3AEdge.example.org%3A5060%3Blr%3E";
    for (edges, via) in [
        (&["edge.example.org"][..], Via::Direct),
        (&["other.example.org"], Via::Node(B)),
    ] {
        let mut b = bench(policy(edges, true));
        registers(&mut b, B, alice("id", place));
        b.out.clear();
        b.hold(1, "alice");
        assert_eq!(ring(&mut b, 1, 0, place).via, via, "{edges:?}");
    }
}

#[test]
fn phone_at_a_freeswitch_that_takes_no_legs_is_pushed_and_rung_where_it_registers() {
    let mut b = bench(policy(&[], false));
    registers(&mut b, B, alice("id", "alice@phone:1"));
    b.out.clear();
    b.hold(1, "alice");
    b.expect_push("tok");
    assert!(b.noted("node-out-of-reach").is_some());
    registers(&mut b, A, alice("id", "alice@phone:2"));
    b.set_rest_aside();
    let rung: Vec<_> = b.all.iter().filter_map(common::ring_of).collect();
    assert_eq!(rung.len(), 1);
    assert_eq!((rung[0].via, rung[0].target.node()), (Via::Direct, A));
}

#[test]
fn legs_end_with_their_freeswitch_and_its_phone_is_pushed() {
    let mut b = bench(policy(&[], true));
    registers(&mut b, B, alice("id", "alice@phone:1"));
    b.out.clear();
    b.hold(1, "alice");
    ring(&mut b, 1, 0, "alice@phone:1");
    b.tell(Event::NodeLost(B));
    b.expect_kill(leg(1, 0), "NORMAL_TEMPORARY_FAILURE");
    b.expect_push("tok");
    b.set_rest_aside();
    // A late event of the leg changes nothing.
    b.ends(leg(1, 0), "NORMAL_TEMPORARY_FAILURE", 503);
    b.expect_nothing_more();
    // Its own bindings are still rung.
    registers(&mut b, A, alice("id2", "alice@phone:2"));
    assert_eq!(ring(&mut b, 1, 1, "alice@phone:2").via, Via::Direct);
}

#[test]
fn registration_of_a_lost_freeswitch_is_kept_and_rung_when_it_is_back() {
    let mut b = bench(policy(&[], true));
    registers(&mut b, B, alice("id", "alice@phone:1"));
    b.out.clear();
    b.tell(Event::NodeLost(B));
    b.hold(1, "alice");
    b.expect_push("tok");
    assert!(b.noted("node-out-of-reach").is_some());
    b.set_rest_aside();
    assert!(b.all.iter().all(|command| common::ring_of(command).is_none()));
    // It is in the list that is read again.
    b.tell(Event::ResyncBegan(B, 3));
    let mut listed = alice("id", "alice@phone:1");
    listed.source = Source::Resync(3);
    b.tell(Event::Registered(listed).at(B));
    b.tell(Event::ResyncEnded(B, 3, vec!["internal".into()]));
    let rung: Vec<_> = b.all.iter().filter_map(common::ring_of).collect();
    assert_eq!(rung.len(), 1, "{rung:?}");
    assert_eq!(rung[0].via, Via::Node(B));
    b.set_rest_aside();
}

#[test]
fn list_of_one_freeswitch_ends_no_registration_of_another() {
    let mut b = bench(policy(&[], true));
    registers(&mut b, A, reg("alice", "a", "alice@phone:1", None));
    registers(&mut b, B, reg("bob", "b", "bob@phone:2", None));
    // Both are read at once; B's list has lost its phone, A's still has it.
    b.tell(Event::ResyncBegan(A, 3));
    b.tell(Event::ResyncBegan(B, 4));
    let mut listed = reg("alice", "a", "alice@phone:1", None);
    listed.source = Source::Resync(3);
    b.tell(Event::Registered(listed).at(A));
    b.tell(Event::ResyncEnded(B, 4, vec!["internal".into()]));
    b.tell(Event::ResyncEnded(A, 3, vec!["internal".into()]));
    let bindings = |user: &str| b.engine.aor(&Aor::new(user, "fs.test"), b.now).bindings.len();
    assert_eq!((bindings("alice"), bindings("bob")), (1, 0));
}

#[test]
fn registration_that_ended_while_its_freeswitch_was_read_stays_over_although_another_is_read_meanwhile() {
    let mut b = bench(policy(&[], true));
    registers(&mut b, A, reg("alice", "a", "alice@phone:1", None));
    b.tell(Event::ResyncBegan(A, 3));
    b.feed(unreg("alice", "a", UnregisterWhy::Explicit));
    // Another FreeSWITCH's resync begins and ends before A's list arrives, which is older than the end.
    b.tell(Event::ResyncBegan(B, 4));
    b.tell(Event::ResyncEnded(B, 4, vec!["internal".into()]));
    let mut listed = reg("alice", "a", "alice@phone:1", None);
    listed.source = Source::Resync(3);
    let question = b.asks(Event::Registered(listed).at(A));
    b.answer(question, Vec::new());
    b.tell(Event::ResyncEnded(A, 3, vec!["internal".into()]));
    assert!(b.engine.aor(&Aor::new("alice", "fs.test"), b.now).bindings.is_empty());
}

#[test]
fn phone_that_moved_is_at_its_new_freeswitch_only_and_the_end_of_its_old_registration_is_not_its_end() {
    let mut b = bench(policy(&[], true));
    registers(&mut b, A, alice("id", "alice@phone:1"));
    registers(&mut b, B, alice("id", "alice@phone:1"));
    let Event::Unregistered(mut over) = unreg("alice", "id", UnregisterWhy::Expired) else {
        unreachable!()
    };
    over.target = Some(common::target("alice@phone:1"));
    b.tell(Event::Unregistered(over).at(A));
    b.set_rest_aside();
    b.hold(1, "alice");
    assert_eq!(ring(&mut b, 1, 0, "alice@phone:1").via, Via::Node(B));
}

#[test]
fn push_of_another_daemon_is_shared_and_counts_for_the_phones_limit() {
    let mut b = Bench::new(Policy {
        device_pushes_per_minute: 2,
        ..Policy::default()
    });
    b.sleeping("alice", "tok");
    let elsewhere = |b: &mut Bench| {
        let device = key("alice", "tok").public_id();
        let aor = Aor::new("alice", "fs.test");
        let caller = Some("caller".into());
        b.tell(Event::PushedElsewhere { aor, device, caller });
    };
    elsewhere(&mut b);
    b.hold(1, "alice");
    assert!(b.noted("push-shared").is_some());
    // The wake was in vain: this call's own push is due after the gap.
    b.pass(Duration::from_secs(5));
    b.expect_push("tok");
    b.set_rest_aside();
    // With the other daemon's, that is the limit.
    b.pass(Duration::from_secs(6));
    assert!(b.noted("push-limited").is_some());
    // Its phone registers, and rings for this call too.
    b.register(alice("new", "alice@phone:1"));
    b.set_rest_aside();
    assert!(b.all.iter().any(|command| common::ring_of(command).is_some()));
}

#[test]
fn push_of_another_daemon_for_a_phone_that_is_not_known_changes_nothing() {
    let mut b = bench(policy(&[], true));
    let device = key("alice", "tok").public_id();
    let aor = Aor::new("alice", "fs.test");
    b.tell(Event::PushedElsewhere {
        aor,
        device,
        caller: None,
    });
    b.expect_nothing_more();
    assert_eq!(b.engine.known(), (0, 0));
}
