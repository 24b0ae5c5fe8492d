//! Invariants of the engine, checked on random sequences of events.

mod common;
#[path = "common/ledger.rs"]
mod ledger;

use std::collections::HashSet;
use std::time::Duration;

use common::{Bench, apns, call, end, leg, reg, target, unreg};
use fswake_core::engine::policy::{Alert, AppPolicy, Decline, Policy};
use fswake_core::engine::{
    CallOptions, CallOrder, Command, DirectoryQuery, EarlyMedia, Event, HeldCall, LegEnd, Mode, OtherLegState, Ringing,
    Routing, Takeover, UnregisterWhy,
};
use fswake_core::types::push::{PushError, PushReceipt};
use fswake_core::types::{LegId, Moment, PushId};
use ledger::Ledger;
use proptest::prelude::*;

/// One event or pause. Calls are 1 to 4, users 0 to 2, legs 0 to 5: with so few values, steps often concern the same
/// call.
#[derive(Clone, Debug)]
enum Step {
    Hold(u128, u8, CallOptions),
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
    UserFound(u128, Option<u8>),
    WhoRings(u128, Option<bool>),
    OtherLeg(u128, u8, u8, OtherLegState),
    PushEnded(u64, u8),
    Pass(u64),
    Repeat,
}

/// The call that is a requested wake.
const ASKED: u128 = 4;

/// Why a held channel may end.
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
        3 => (call.clone(), user.clone(), options()).prop_map(|(c, u, w)| Step::Hold(c, u, w)),
        2 => (call.clone(), user.clone(), 0..3_u8, prop::sample::select(vec![OtherLegState::None, OtherLegState::Dialed, OtherLegState::Rings])).prop_map(|(c, u, at, l)| Step::OtherLeg(c, u, at, l)),
        4 => (user.clone(), 0..3_u8, 0..3_u8, any::<bool>()).prop_map(|(u, id, at, push)| Step::Register(u, id, at, push)),
        1 => (user.clone(), 0..3_u8, any::<bool>()).prop_map(|(u, id, x)| Step::Unregister(u, id, x)),
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
        1 => call.clone().prop_map(Step::Lost),
        1 => (call.clone(), prop::option::of(user)).prop_map(|(c, u)| Step::UserFound(c, u)),
        1 => (call, prop::option::of(any::<bool>())).prop_map(|(c, beside)| Step::WhoRings(c, beside)),
        2 => (1..20_u64, 0..5_u8).prop_map(|(p, o)| Step::PushEnded(p, o)),
        3 => prop_oneof![0..800_u64, 0..30_000_u64].prop_map(Step::Pass),
        1 => Just(Step::Repeat),
    ]
}

fn options() -> impl Strategy<Value = CallOptions> {
    let mode = prop::sample::select(vec![
        None,
        None,
        Some(Mode::Connect),
        Some(Mode::WakeFirst),
        Some(Mode::WakeAll),
    ]);
    // Half of the calls set no options, so that the cases that options rule out occur often enough.
    let some = (any::<[bool; 5]>(), 0..10_u8, mode).prop_map(
        |([no_push, wait_any, beside, no_early_media, leg_timeout], rare, mode)| CallOptions {
            push_awake: false,
            no_push,
            wait_any,
            ringing: if beside { Ringing::FreeSwitch } else { Ringing::Ours },
            hands_off: rare == 0,
            mode,
            leg_timeout,
            early_media: match (no_early_media, leg_timeout) {
                (false, _) => EarlyMedia::PassedOn,
                (true, false) => EarlyMedia::Ignored,
                (true, true) => EarlyMedia::Rings,
            },
        },
    );
    prop_oneof![Just(CallOptions::default()), some]
}

/// Where a phone is reachable: on a connection, over UDP, behind a proxy.
fn contact(user: u8, id: u8, at: u8) -> String {
    let how = match at {
        0 => "",
        1 => ";transport=tcp",
        _ => ";fs_path=%3Csip%3Aproxy%3Blr%3E",
    };
    format!("{user}.{id}@h:{at}{how}")
}

/// A call arrives, or a wake is requested.
fn held_call(c: u128, u: u8, options: CallOptions) -> HeldCall {
    let routing = if c == ASKED {
        Routing::Request
    } else {
        Routing::Dialplan
    };
    let options = match routing {
        Routing::Request => CallOptions {
            push_awake: options.wait_any,
            mode: options.mode,
            ..CallOptions::default()
        },
        Routing::Dialplan | Routing::DialString => options,
    };
    HeldCall {
        routing,
        ..Bench::held_call(c, &u.to_string(), "caller", options, None)
    }
}

fn event(step: &Step, bench: &mut Bench) -> Option<Event> {
    Some(match *step {
        Step::Hold(c, u, options) => {
            // Some calls may be for an alias of a user, and some come from a dial-string that also rings others.
            let held = held_call(c, u, options);
            let query = [Some(DirectoryQuery::WhoseNumber), Some(DirectoryQuery::WhoRings), None]
                [usize::try_from(c % 3).unwrap_or(2)];
            let query = query.filter(|_| held.routing != Routing::Request);
            bench.feed(Event::CallHeld(HeldCall { query, ..held }));
            return None;
        }
        Step::Register(u, id, at, push) => {
            let push = push.then(|| apns(&format!("tok{id}")));
            Event::Registered(reg(&u.to_string(), &id.to_string(), &contact(u, id, at), push))
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
        Step::Taken(ASKED, _) => Event::AskerGone(call(ASKED)),
        Step::Taken(c, picked_up) => Event::CallTaken {
            call: call(c),
            how: if picked_up {
                Takeover::PickedUp { by: "9".into() }
            } else {
                Takeover::Transferred { to: "9".into() }
            },
        },
        Step::OtherLeg(c, u, at, leg) => Event::OtherLegSeen {
            call: call(c),
            target: target(&contact(u, at, at)),
            leg,
        },
        Step::Lost(c) => Event::ConnectionLost(call(c)),
        Step::UserFound(c, user) => Event::UserFound {
            call: call(c),
            user: user.map(|user| user.to_string().into()),
        },
        Step::WhoRings(c, beside) => Event::WhoRings {
            call: call(c),
            ringing: beside.map(|beside| if beside { Ringing::FreeSwitch } else { Ringing::Ours }),
        },
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
                3 => Err(PushError::Exhausted {
                    kept_by: fswake_core::types::push::KeptBy::Busy { status: 503 },
                    reason: String::new(),
                }),
                _ => Err(PushError::credentials(String::new())),
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
            missed_call_push: news,
            cancel_push: news,
            ..AppPolicy::default()
        }],
        ..Policy::default()
    })
}

/// A call's connection reports the result of a bridge at the latest this long after the order.
const PATIENCE: Duration = Duration::from_secs(15);

/// An ordered bridge whose result is still outstanding.
struct Order {
    leg: LegId,
    /// At this time the connection reports a failed bridge. If the leg has ended, it reports that before any time
    /// passes.
    due: Moment,
    end: Option<LegEnd>,
}

/// One sequence of events.
struct History {
    bench: Bench,
    ledger: Ledger,
    orders: Vec<Order>,
    all: Vec<Command>,
}

impl History {
    fn hear(&mut self, mut event: Event) {
        let call = event.call();
        if let Event::BridgeFailed { leg, end } = &mut event
            && let Some(order) = self
                .orders
                .iter()
                .find(|order| order.leg == *leg && order.end.is_some())
        {
            // The end of this leg was reported earlier.
            end.clone_from(&order.end);
        }
        match &event {
            Event::Bridged(leg) | Event::EarlyBridged(leg) | Event::BridgeFailed { leg, .. } => {
                self.orders.retain(|order| order.leg != *leg);
            }
            Event::LegEnded { leg, end } => {
                for order in self.orders.iter_mut().filter(|order| order.leg == *leg) {
                    order.due = self.bench.now;
                    order.end.get_or_insert_with(|| end.clone());
                }
            }
            Event::ConnectionLost(_) => self.orders.retain(|order| Some(order.leg.call) != call),
            _ => {}
        }
        self.ledger.hear(&event);
        self.bench.feed(event);
    }

    /// Advances the clock. Meanwhile every connection reports the results that are due.
    fn pass(&mut self, time: Duration) {
        let end = self.bench.now.plus(time);
        while let Some(first) = self
            .orders
            .iter()
            .min_by_key(|order| order.due)
            .filter(|order| order.due <= end)
        {
            let (leg, due, end) = (first.leg, first.due, first.end.clone());
            self.bench.pass(due.since(self.bench.now));
            self.book();
            if self.orders.iter().any(|order| order.leg == leg) {
                self.hear(Event::BridgeFailed { leg, end });
                self.book();
            }
        }
        self.bench.pass(end.since(self.bench.now));
        self.book();
    }

    fn book(&mut self) {
        // The driver fires due timers at once; so does this test.
        self.bench.pass(Duration::ZERO);
        for command in self.bench.all.drain(..) {
            if let Err(broken) = self.ledger.book(&command) {
                panic!("{broken}");
            }
            match &command {
                Command::Call(_, CallOrder::Connect(connect)) => self.orders.push(Order {
                    leg: connect.leg,
                    due: self.bench.now.plus(PATIENCE),
                    end: None,
                }),
                Command::Call(call, order) if order.is_last() => {
                    self.orders.retain(|order| order.leg.call != *call);
                }
                _ => {}
            }
            self.all.push(command);
        }
        self.bench.out.clear();
        if let Err(broken) = self.ledger.settled(self.bench.now) {
            panic!("{broken}");
        }
    }
}

fn run(policy: &Policy, steps: &[Step]) -> Vec<Command> {
    let mut history = History {
        bench: Bench::new(policy.clone()),
        ledger: Ledger::default(),
        orders: Vec::new(),
        all: Vec::new(),
    };
    let mut last = None;
    let mut used = HashSet::new();
    for step in steps {
        if let Step::Hold(c, u, options) = step {
            // FreeSWITCH never reuses a channel's UUID.
            if !used.insert(*c) {
                continue;
            }
            history
                .ledger
                .hold(history.bench.now, &held_call(*c, *u, *options), policy.max_wait);
        }
        if let Step::Pass(time) = step {
            history.pass(Duration::from_millis(*time));
        } else if let Some(event) = if matches!(step, Step::Repeat) {
            last.clone()
        } else {
            event(step, &mut history.bench)
        } {
            if !history.ledger.is_possible(&event) {
                continue;
            }
            last = Some(event.clone());
            history.hear(event);
        }
        history.book();
    }
    // No phone rings longer than a minute.
    history.pass(Duration::from_secs(61));
    // A leg whose early media the caller hears ends with its connection.
    for c in 1..5 {
        history.hear(Event::ConnectionLost(call(c)));
    }
    history.book();
    let History { bench, ledger, all, .. } = history;
    assert_eq!(bench.engine.held_calls(), 0, "a hold outlived its deadline");
    assert!(ledger.is_over(), "a hold has not ended: {ledger:?}");
    assert_eq!(bench.engine.next_timer(), None, "a timer is left over");
    all
}

#[test]
fn connection_reports_the_result_of_a_bridge_in_time() {
    let began = [
        Step::Register(0, 0, 0, false),
        Step::Hold(2, 0, CallOptions::default()),
        Step::EarlyMedia(2, 0),
    ];
    // The leg ends before the caller hears it, or the connection reports nothing.
    for then in [
        vec![Step::Ended(2, 0, 503), Step::Pass(30_000)],
        vec![Step::Pass(14_999), Step::EarlyBridged(2, 0)],
        vec![Step::Pass(15_000), Step::EarlyBridged(2, 0)],
    ] {
        let is_late = then.iter().any(|step| matches!(step, Step::Pass(15_000..)));
        let steps: Vec<_> = began.iter().chain(&then).cloned().collect();
        let released = run(&Policy::default(), &steps);
        let released = released
            .iter()
            .any(|c| matches!(c, Command::Call(_, CallOrder::Release { .. })));
        assert_eq!(released, is_late, "{then:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn every_call_ends_once_and_leaves_nothing_behind(policy in policy(), steps in prop::collection::vec(step(), 0..60)) {
        run(&policy, &steps);
    }

    #[test]
    fn same_events_in_same_commands_out(policy in policy(), steps in prop::collection::vec(step(), 0..40)) {
        prop_assert_eq!(run(&policy, &steps), run(&policy, &steps));
    }
}
