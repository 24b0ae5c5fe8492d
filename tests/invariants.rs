//! What must hold whatever happens, in whatever order: random events against the engine.

mod common;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use common::{Bench, apns, call, end, leg, reg, target, unreg};
use fswake::engine::policy::{Alert, AppPolicy, Decline, OnUnregister, Policy};
use fswake::engine::{Command, Event, Mode, OtherLeg, Ringing, Taken, UnregisterWhy, Wishes};
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
    EarlyMedia(u128, u32),
    EarlyBridged(u128, u32),
    Bridged(u128, u32),
    BridgeFailed(u128, u32, Option<u16>),
    CallerGone(u128, &'static str),
    Taken(u128, bool),
    Lost(u128),
    OtherLeg(u128, u8, u8, OtherLeg),
    PushEnded(u64, u8),
    Pass(u64),
    Repeat,
}

/// Why a held channel may be gone.
const CAUSES: [&str; 5] = [
    "ORIGINATOR_CANCEL",
    "LOSE_RACE",
    "PICKED_OFF",
    "NO_ANSWER",
    "ALLOTTED_TIMEOUT",
];

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
        2 => (call.clone(), leg.clone()).prop_map(|(c, l)| Step::EarlyMedia(c, l)),
        2 => (call.clone(), leg.clone()).prop_map(|(c, l)| Step::EarlyBridged(c, l)),
        2 => (call.clone(), leg.clone()).prop_map(|(c, l)| Step::Bridged(c, l)),
        1 => (call.clone(), leg, prop::sample::select(vec![None, Some(0), Some(486)])).prop_map(|(c, l, end)| Step::BridgeFailed(c, l, end)),
        1 => (call.clone(), prop::sample::select(CAUSES.to_vec())).prop_map(|(c, cause)| Step::CallerGone(c, cause)),
        1 => (call.clone(), any::<bool>()).prop_map(|(c, picked_up)| Step::Taken(c, picked_up)),
        1 => call.prop_map(Step::Lost),
        2 => (1..20_u64, 0..5_u8).prop_map(|(p, o)| Step::PushEnded(p, o)),
        3 => prop_oneof![0..800_u64, 0..30_000_u64].prop_map(Step::Pass),
        1 => Just(Step::Repeat),
    ]
}

fn wishes() -> impl Strategy<Value = Wishes> {
    let mode = prop::sample::select(vec![
        None,
        None,
        Some(Mode::Connect),
        Some(Mode::WakeFirst),
        Some(Mode::WakeAll),
    ]);
    // Half of the calls wish nothing: what is rare otherwise happens in them.
    let some = (any::<[bool; 5]>(), 0..10_u8, mode).prop_map(
        |([no_push, wait_any, beside, no_early_media, leg_timeout], rare, mode)| Wishes {
            no_push,
            wait_any,
            ringing: if beside { Ringing::Beside } else { Ringing::Ours },
            hands_off: rare == 0,
            mode,
            leg_timeout,
            no_early_media,
        },
    );
    prop_oneof![Just(Wishes::default()), some]
}

/// Where a phone is: on a connection, over UDP, behind a proxy.
fn contact(user: u8, at: u8) -> String {
    let how = match at {
        0 => "",
        1 => ";transport=tcp",
        _ => ";fs_path=%3Csip%3Aproxy%3Blr%3E",
    };
    format!("{user}@h:{at}{how}")
}

fn event(step: &Step, bench: &mut Bench) -> Option<Event> {
    Some(match *step {
        Step::Hold(c, u, wishes) => {
            bench.hold_wishing(c, &u.to_string(), wishes);
            return None;
        }
        Step::Register(u, id, at, push) => {
            let push = push.then(|| apns(&format!("tok{id}")));
            Event::Registered(reg(&u.to_string(), &id.to_string(), &contact(u, at), push))
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
        Step::Ended(c, n, sip) => Event::LegEnded {
            leg: leg(c, n),
            end: end("X", sip),
        },
        Step::EarlyMedia(c, n) => Event::LegEarlyMedia {
            leg: leg(c, n),
            codec: None,
        },
        Step::EarlyBridged(c, n) => Event::EarlyBridged(leg(c, n)),
        Step::Bridged(c, n) => Event::Bridged(leg(c, n)),
        Step::BridgeFailed(c, n, sip) => Event::BridgeFailed {
            leg: leg(c, n),
            end: sip.map(|sip| end("X", sip)),
        },
        Step::CallerGone(c, cause) => Event::CallerGone {
            call: call(c),
            cause: cause.into(),
        },
        Step::Taken(c, picked_up) => Event::CallTaken {
            call: call(c),
            how: if picked_up {
                Taken::PickedUp { by: "9".into() }
            } else {
                Taken::Transferred { to: "9".into() }
            },
        },
        Step::OtherLeg(c, u, at, leg) => Event::OtherLegSeen {
            call: call(c),
            target: target(&contact(u, at)),
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

/// Where a leg is, as FreeSWITCH has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leg {
    /// Made, and neither bridged nor over.
    Out,
    /// FreeSWITCH was told to bridge it; `true`: its early media is for the caller.
    Connecting(bool),
    /// The caller hears it, and it is not answered.
    Early,
    /// Caller and leg talk.
    Bridged,
    /// Over.
    Over,
}

/// What events and commands so far add up to.
#[derive(Default)]
struct Ledger {
    held: HashSet<CallId>,
    over: HashSet<CallId>,
    taken: HashSet<CallId>,
    legs: HashMap<LegId, Leg>,
    alerted: HashSet<CallId>,
}

impl Ledger {
    fn hold(&mut self, id: CallId) {
        self.held.insert(id);
        self.over.remove(&id);
        self.alerted.remove(&id);
    }

    /// What an event says of a leg, where FreeSWITCH could have said it.
    fn hear(&mut self, event: &Event) {
        match event {
            Event::LegEnded { leg, .. } | Event::BridgeFailed { leg, end: Some(_) } => {
                self.legs.entry(*leg).and_modify(|state| *state = Leg::Over);
            }
            Event::Bridged(leg) => self.becomes(*leg, Leg::Connecting(false), Leg::Bridged),
            Event::EarlyBridged(leg) => self.becomes(*leg, Leg::Connecting(true), Leg::Early),
            // Who intercepts a leg has it.
            Event::CallerGone { call, cause } if &**cause == "PICKED_OFF" => {
                for (_, state) in self.legs.iter_mut().filter(|(leg, _)| leg.call == *call) {
                    if matches!(state, Leg::Connecting(_) | Leg::Early) {
                        *state = Leg::Bridged;
                    }
                }
            }
            Event::CallTaken { call, .. } if self.held.contains(call) && !self.over.contains(call) => {
                self.taken.insert(*call);
            }
            // FreeSWITCH goes on with what the caller hears.
            Event::ConnectionLost(call) => {
                for (_, state) in self.legs.iter_mut().filter(|(leg, _)| leg.call == *call) {
                    if *state == Leg::Early {
                        *state = Leg::Bridged;
                    }
                }
            }
            _ => {}
        }
    }

    /// Whether FreeSWITCH could say this: it bridges what it was told to bridge, and says nothing of a call that is over.
    fn is_possible(&self, event: &Event) -> bool {
        match event {
            Event::Bridged(leg) => self.legs.get(leg) == Some(&Leg::Connecting(false)),
            Event::EarlyBridged(leg) => self.legs.get(leg) == Some(&Leg::Connecting(true)),
            _ => true,
        }
    }

    fn becomes(&mut self, leg: LegId, from: Leg, to: Leg) {
        if let Some(state) = self.legs.get_mut(&leg)
            && *state == from
        {
            *state = to;
        }
    }

    fn book(&mut self, command: &Command) {
        if let Some(id) = command.call()
            && !matches!(command, Command::Note(_) | Command::Count(_))
        {
            assert!(!self.over.contains(&id), "the call is over: {command:?}");
        }
        match command {
            Command::Release { call, .. } | Command::Close(call) => {
                assert!(self.held.contains(call), "verdict without a hold: {command:?}");
                assert!(self.over.insert(*call), "two verdicts: {command:?}");
                let closes = matches!(command, Command::Close(_));
                assert!(closes || !self.taken.contains(call), "taken, and touched: {command:?}");
                if closes {
                    // FreeSWITCH ends or connects what the caller hears.
                    for (_, state) in self.legs.iter_mut().filter(|(leg, _)| leg.call == *call) {
                        if *state == Leg::Early {
                            *state = Leg::Bridged;
                        }
                    }
                }
            }
            Command::Alert(call) => {
                assert!(self.alerted.insert(*call), "alerted twice");
                assert!(!self.taken.contains(call), "taken, and touched: {command:?}");
            }
            Command::Ring { leg, timeout, .. } => {
                assert!(*timeout <= Duration::from_secs(60));
                assert!(self.legs.insert(*leg, Leg::Out).is_none(), "leg rung twice");
                assert!(!self.taken.contains(&leg.call), "taken, and rung");
            }
            Command::Connect { leg, early, .. } => {
                assert!(!self.taken.contains(&leg.call), "taken, and touched: {command:?}");
                let connects = |state: &Leg| matches!(state, Leg::Connecting(_) | Leg::Early | Leg::Bridged);
                let another = self
                    .legs
                    .iter()
                    .find(|(l, state)| l.call == leg.call && connects(state));
                assert_eq!(another, None, "two legs for one caller: {leg:?}");
                self.legs.insert(*leg, Leg::Connecting(*early));
            }
            Command::Kill { leg, .. } => {
                let state = self.legs.insert(*leg, Leg::Over);
                assert!(state.is_some(), "a leg that was never rung is killed: {leg:?}");
                assert_ne!(state, Some(Leg::Bridged), "a bridged leg is killed: {leg:?}");
            }
            Command::Push(push) => assert!(push.ttl <= Duration::from_secs(60)),
            _ => {}
        }
    }
}

fn policy() -> impl Strategy<Value = Policy> {
    let settle = prop::sample::select(vec![0, 300, 5_000]);
    (any::<[bool; 5]>(), settle).prop_map(|([all, phone, wake, news, few], settle)| Policy {
        push_gap: Duration::from_secs(1),
        push_retries: if few { 0 } else { 2 },
        settle_delay: Duration::from_millis(settle),
        decline: if all { Decline::All } else { Decline::ThisDevice },
        alert: if phone { Alert::Phone } else { Alert::Push },
        mode: if wake && few { Mode::WakeFirst } else { Mode::Connect },
        apps: vec![AppPolicy {
            provider: None,
            app: None,
            domains: Vec::new(),
            on_unregister: OnUnregister::Forget,
            missed_call_push: news,
            cancel_push: news,
        }],
        ..Policy::default()
    })
}

fn run(policy: &Policy, steps: &[Step]) -> Vec<Command> {
    let mut bench = Bench::new(policy.clone());
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
            if !ledger.is_possible(&event) {
                continue;
            }
            ledger.hear(&event);
            last = Some(event.clone());
            let (is_taken, records) = (matches!(event, Event::CallTaken { .. }), bench.records.len());
            bench.feed(event);
            assert!(!is_taken || bench.records.len() == records, "taken, and written to");
        }
        for command in bench.out.drain(..) {
            ledger.book(&command);
            all.push(command);
        }
    }
    // Nothing rings longer than a minute.
    bench.pass(Duration::from_secs(61));
    // A bridge that FreeSWITCH never finishes ends with its connection.
    for c in 1..5 {
        let lost = Event::ConnectionLost(call(c));
        ledger.hear(&lost);
        bench.feed(lost);
    }
    for command in bench.out.drain(..) {
        ledger.book(&command);
        all.push(command);
    }
    assert_eq!(bench.engine.held_calls(), 0, "nothing outlives its deadline");
    assert_eq!(ledger.held, ledger.over, "every hold gets its verdict");
    assert_eq!(bench.engine.next_timer(), None, "no timer is left over");
    for (leg, state) in &ledger.legs {
        let is_done = matches!(state, Leg::Bridged | Leg::Over);
        assert!(is_done, "{leg:?} is neither killed nor bridged nor over: {state:?}");
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
    fn whatever_happens_every_call_ends_once_and_leaves_nothing_behind(policy in policy(), steps in prop::collection::vec(step(), 0..60)) {
        run(&policy, &steps);
    }

    #[test]
    fn same_events_in_same_commands_out(policy in policy(), steps in prop::collection::vec(step(), 0..40)) {
        prop_assert_eq!(run(&policy, &steps), run(&policy, &steps));
    }
}
