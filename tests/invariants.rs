//! What must hold whatever happens, in whatever order: random events against the engine.

mod common;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use common::{Bench, apns, call, leg, reg, target, unreg};
use fswake::engine::policy::Policy;
use fswake::engine::{Command, Event, LegEnd, OtherLeg, Ringing, UnregisterWhy, Wishes};
use fswake::push::{PushError, PushReceipt};
use fswake::types::{CallId, LegId, PushId};
use proptest::prelude::*;

/// One thing that may happen. Calls are 1 to 4, users 0 to 2, legs 0 to 5: small numbers meet often.
#[derive(Clone, Debug)]
enum Step {
    Hold(u128, u8, Wishes),
    Register(u8, u8, u8, bool),
    Unregister(u8, u8, bool),
    Dialed(u128, u32),
    Ringing(u128, u32),
    Answered(u128, u32),
    Ended(u128, u32, u16),
    Bridged(u128, u32, bool),
    CallerGone(u128),
    Lost(u128),
    OtherLeg(u128, u8, u8, OtherLeg),
    PushEnded(u64, u8),
    Pass(u64),
    Repeat,
}

fn step() -> impl Strategy<Value = Step> {
    let call = 1..5_u128;
    let user = 0..3_u8;
    let leg = 0..6_u32;
    prop_oneof![
        3 => (call.clone(), user.clone(), wishes()).prop_map(|(c, u, w)| Step::Hold(c, u, w)),
        2 => (call.clone(), user.clone(), 0..3_u8, prop::sample::select(vec![OtherLeg::None, OtherLeg::Dialed, OtherLeg::Rings])).prop_map(|(c, u, at, l)| Step::OtherLeg(c, u, at, l)),
        4 => (user.clone(), 0..3_u8, 0..3_u8, any::<bool>()).prop_map(|(u, id, at, push)| Step::Register(u, id, at, push)),
        1 => (user, 0..3_u8, any::<bool>()).prop_map(|(u, id, x)| Step::Unregister(u, id, x)),
        1 => (call.clone(), leg.clone()).prop_map(|(c, l)| Step::Dialed(c, l)),
        2 => (call.clone(), leg.clone()).prop_map(|(c, l)| Step::Ringing(c, l)),
        2 => (call.clone(), leg.clone()).prop_map(|(c, l)| Step::Answered(c, l)),
        2 => (call.clone(), leg.clone(), prop::sample::select(vec![0, 403, 408, 480, 486, 503, 603])).prop_map(|(c, l, s)| Step::Ended(c, l, s)),
        2 => (call.clone(), leg, any::<bool>()).prop_map(|(c, l, ok)| Step::Bridged(c, l, ok)),
        1 => call.clone().prop_map(Step::CallerGone),
        1 => call.prop_map(Step::Lost),
        2 => (1..20_u64, 0..5_u8).prop_map(|(p, o)| Step::PushEnded(p, o)),
        3 => prop_oneof![0..800_u64, 0..30_000_u64].prop_map(Step::Pass),
        1 => Just(Step::Repeat),
    ]
}

fn wishes() -> impl Strategy<Value = Wishes> {
    (any::<[bool; 3]>(), 0..10_u8).prop_map(|([no_push, wait_any, beside], rare)| Wishes {
        no_push,
        wait_any,
        ringing: if beside { Ringing::Beside } else { Ringing::Ours },
        hands_off: rare == 0,
    })
}

fn event(step: &Step, bench: &mut Bench) -> Option<Event> {
    Some(match *step {
        Step::Hold(c, u, wishes) => {
            bench.hold_wishing(c, &u.to_string(), wishes);
            return None;
        }
        Step::Register(u, id, at, push) => {
            let push = push.then(|| apns(&format!("tok{id}")));
            Event::Registered(reg(&u.to_string(), &id.to_string(), &format!("{u}@h:{at}"), push))
        }
        Step::Unregister(u, id, explicit) => {
            let why = if explicit {
                UnregisterWhy::Explicit
            } else {
                UnregisterWhy::ConnectionClosed
            };
            unreg(&u.to_string(), &id.to_string(), why)
        }
        Step::Dialed(c, n) => Event::LegDialed(leg(c, n)),
        Step::Ringing(c, n) => Event::LegRinging(leg(c, n)),
        Step::Answered(c, n) => Event::LegAnswered {
            leg: leg(c, n),
            codec: None,
        },
        Step::Ended(c, n, sip) => {
            let end = LegEnd {
                cause: "X".into(),
                sip_status: (sip > 0).then_some(sip),
            };
            Event::LegEnded { leg: leg(c, n), end }
        }
        Step::Bridged(c, n, true) => Event::Bridged(leg(c, n)),
        Step::Bridged(c, n, false) => Event::BridgeFailed(leg(c, n)),
        Step::CallerGone(c) => Event::CallerGone {
            call: call(c),
            cause: "ORIGINATOR_CANCEL".into(),
        },
        Step::OtherLeg(c, u, at, leg) => Event::OtherLegSeen {
            call: call(c),
            target: target(&format!("{u}@h:{at}")),
            leg,
        },
        Step::Lost(c) => Event::ConnectionLost(call(c)),
        Step::PushEnded(p, how) => {
            let outcome = match how {
                0 => Ok(PushReceipt {
                    provider_id: None,
                    status: 200,
                    attempts: 1,
                }),
                1 => Err(PushError::TokenGone {
                    since: None,
                    reason: String::new(),
                }),
                2 => Err(PushError::TokenBad { reason: String::new() }),
                3 => Err(PushError::Exhausted { reason: String::new() }),
                _ => Err(PushError::Misconfigured { reason: String::new() }),
            };
            Event::PushEnded {
                push: PushId(p),
                outcome,
                at: 0,
            }
        }
        Step::Pass(_) | Step::Repeat => return None,
    })
}

/// What the commands so far add up to.
#[derive(Default)]
struct Ledger {
    held: HashSet<CallId>,
    over: HashSet<CallId>,
    alive: HashMap<LegId, bool>,
    alerted: HashSet<CallId>,
}

impl Ledger {
    fn hold(&mut self, id: CallId) {
        self.held.insert(id);
        self.over.remove(&id);
        self.alerted.remove(&id);
    }

    fn book(&mut self, command: &Command) {
        match command {
            Command::Release { call, .. } | Command::Reject { call, .. } | Command::Close(call) => {
                assert!(self.held.contains(call), "verdict without a hold: {command:?}");
                assert!(self.over.insert(*call), "two verdicts: {command:?}");
            }
            Command::Ring { leg, timeout, .. } => {
                assert!(!self.over.contains(&leg.call), "leg of a call that is over");
                assert!(*timeout <= Duration::from_secs(25));
                assert!(self.alive.insert(*leg, true).is_none(), "leg rung twice");
            }
            Command::Kill { leg, .. } => {
                if let Some(alive) = self.alive.get_mut(leg) {
                    *alive = false;
                }
            }
            Command::Alert(call) => assert!(self.alerted.insert(*call) && !self.over.contains(call)),
            Command::Push(push) => assert!(push.ttl <= Duration::from_secs(30)),
            _ => {}
        }
    }
}

fn run(steps: &[Step]) -> Vec<Command> {
    let mut bench = Bench::new(Policy {
        push_gap: Duration::from_secs(1),
        ..Policy::default()
    });
    let mut ledger = Ledger::default();
    let mut all = Vec::new();
    let mut last = None;
    let mut used = HashSet::new();
    for step in steps {
        if let Step::Hold(c, ..) = step {
            // FreeSWITCH never reuses a call.
            if !used.insert(*c) {
                continue;
            }
            ledger.hold(call(*c));
        }
        if let Step::Pass(time) = step {
            bench.pass(Duration::from_millis(*time));
        } else if let Some(event) = if matches!(step, Step::Repeat) {
            last.clone()
        } else {
            event(step, &mut bench)
        } {
            match &event {
                Event::LegEnded { leg, .. } | Event::Bridged(leg) if ledger.alive.contains_key(leg) => {
                    ledger.alive.insert(*leg, false);
                }
                _ => {}
            }
            last = Some(event.clone());
            bench.feed(event);
        }
        for command in bench.out.drain(..) {
            ledger.book(&command);
            all.push(command);
        }
    }
    bench.pass(Duration::from_secs(26));
    // A bridge that FreeSWITCH never finishes ends with its connection.
    for c in 1..5 {
        bench.feed(Event::ConnectionLost(call(c)));
    }
    for command in bench.out.drain(..) {
        ledger.book(&command);
        all.push(command);
    }
    assert_eq!(bench.engine.held_calls(), 0, "nothing outlives its deadline");
    assert_eq!(ledger.held, ledger.over, "every hold gets its verdict");
    assert_eq!(bench.engine.next_timer(), None, "no timer is left over");
    for (leg, alive) in &ledger.alive {
        assert!(!alive, "{leg:?} is neither killed nor bridged nor over");
    }
    assert_eq!(
        bench.summaries.iter().map(|s| s.call).collect::<HashSet<_>>().len(),
        bench.summaries.len(),
        "one summary a call"
    );
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_every_call_ends_once_and_leaves_nothing_behind(steps in prop::collection::vec(step(), 0..60)) {
        run(&steps);
    }

    #[test]
    fn same_events_in_same_commands_out(steps in prop::collection::vec(step(), 0..40)) {
        prop_assert_eq!(run(&steps), run(&steps));
    }
}
