//! The engine's cost of an event, with no call and with 10,000 held calls: `cargo bench --bench engine`.
//!
//! Claims: less than 2 µs for an event with 10,000 held calls. A REGISTER that concerns no held call costs the same
//! with 0 and with 10,000.

use std::time::{Duration, Instant, SystemTime};

use fswake::engine::policy::Policy;
use fswake::engine::{Engine, Event, HeldCall, LegEnd, Registration, Source};
use fswake::push::PushReceipt;
use fswake::types::{Aor, CallId, LegId, Moment, NodeId, Provider, PushId, PushParams, PushToken, Target, Tokens};
use uuid::Uuid;

const CALLS: u32 = 10_000;
const BATCH: usize = 50;

fn aor(n: u32) -> Aor {
    Aor::new(n.to_string(), "bench.example")
}

fn registration(n: u32, port: u32) -> Event {
    Event::Registered(Registration {
        aor: aor(n),
        call_id: format!("register-{n}").into(),
        target: Some(Target::new(format!(
            "sofia/internal/sip:{n}@192.0.2.1:{port};transport=tls"
        ))),
        push: Some(PushParams {
            provider: Provider::Apns,
            app: "com.example.app".into(),
            team: None,
            tokens: Tokens::Call(PushToken::new(format!("{n:064x}"))),
        }),
        wants_no_push: false,
        user_agent: "bench".into(),
        expires: Duration::from_secs(3600),
        at: 1_800_000_000,
        stamp: 1_800_000_000_000_000,
        source: Source::Event,
    })
}

fn call(n: u32) -> CallId {
    CallId(Uuid::from_u128(n.into()))
}

fn leg(n: u32) -> LegId {
    LegId { call: call(n), n: 0 }
}

fn hold(n: u32) -> Event {
    Event::CallHeld(HeldCall {
        node: NodeId::FIRST,
        call: call(n),
        aor: aor(n),
        caller_number: format!("+49{n}").into(),
        caller_name: "Alice".into(),
        at: SystemTime::UNIX_EPOCH,
        max_wait: None,
        routing: fswake::engine::Routing::Dialplan,
        options: fswake::engine::CallOptions::default(),
        query: None,
        sip_call_id: None,
    })
}

struct Bench {
    engine: Engine,
    now: Moment,
}

impl Bench {
    /// Sleeping devices of 20,000 users. The first `calls` users are being called.
    fn new(calls: u32) -> Self {
        let policy = Policy {
            caller_pushes_per_minute: 0,
            device_pushes_per_minute: 0,
            ..Policy::default()
        };
        let mut bench = Self {
            engine: Engine::new(policy, Vec::new()),
            now: Moment::default(),
        };
        for n in 0..2 * CALLS {
            bench.feed(registration(n, 1));
        }
        bench.now = Moment(Duration::from_secs(600));
        for n in 0..calls {
            bench.feed(hold(n));
        }
        bench
    }

    fn feed(&mut self, event: Event) {
        self.engine.handle(self.now, event);
        while let Some(command) = self.engine.poll_command() {
            std::hint::black_box(command);
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of thousands")]
    /// Microseconds for an event of this kind, one event for each of `range`. Batches are too short to be interrupted
    /// often.
    fn time(&mut self, range: std::ops::Range<u32>, event: impl Fn(u32) -> Event) -> Vec<f64> {
        let events: Vec<_> = range.map(event).collect();
        let mut events = events.into_iter();
        let mut times = Vec::new();
        loop {
            let batch: Vec<_> = events.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                return times;
            }
            let count = batch.len();
            let start = Instant::now();
            for event in batch {
                self.feed(event);
            }
            times.push(start.elapsed().as_secs_f64() * 1e6 / count as f64);
        }
    }
}

fn percentile(mut all: Vec<f64>, p: usize) -> f64 {
    all.sort_by(f64::total_cmp);
    all[(all.len() - 1) * p / 100]
}

fn main() {
    let mut rows: Vec<(&str, Vec<f64>)> = [
        "REGISTER, nobody waits, 0 calls held",
        "REGISTER, nobody waits, 10,000 calls held",
        "push accepted",
        "REGISTER that wakes",
        "180",
        "REGISTER again, ringing",
        "200",
        "bridged, call over",
        "leg failed with 503",
        "caller gone",
        "timer: second push",
    ]
    .map(|name| (name, Vec::new()))
    .into();
    // Fewer rounds, for a profiler.
    let rounds = std::env::var("FSWAKE_BENCH_ROUNDS").ok().and_then(|n| n.parse().ok());
    for round in 0..rounds.unwrap_or(15) {
        let port = 2 + round;
        let mut empty = Bench::new(0);
        rows[0]
            .1
            .extend(empty.time(CALLS..2 * CALLS, |n| registration(n, port)));
        let mut b = Bench::new(CALLS);
        rows[1].1.extend(b.time(CALLS..2 * CALLS, |n| registration(n, port)));
        let receipt = || PushReceipt {
            provider_id: None,
            status: 200,
            attempts: 1,
        };
        rows[2].1.extend(b.time(0..CALLS, |n| Event::PushEnded {
            push: PushId(u64::from(n) + 1),
            outcome: Ok(receipt()),
            at: 0,
        }));
        let first = CALLS / 2;
        // Each call had a leg to a stale binding, which the REGISTER replaces by a new one.
        rows[3].1.extend(b.time(0..first, |n| registration(n, port)));
        rows[4]
            .1
            .extend(b.time(0..first, |n| Event::LegRinging(LegId { call: call(n), n: 1 })));
        rows[5].1.extend(b.time(0..first, |n| registration(n, port + 1000)));
        rows[6].1.extend(b.time(0..first, |n| Event::LegAnswered {
            leg: LegId { call: call(n), n: 1 },
            codec: None,
        }));
        rows[7]
            .1
            .extend(b.time(0..first, |n| Event::Bridged(LegId { call: call(n), n: 1 })));
        let failed = || LegEnd {
            cause: "NORMAL_TEMPORARY_FAILURE".into(),
            sip_status: Some(503),
        };
        rows[8].1.extend(b.time(first..CALLS, |n| Event::LegEnded {
            leg: leg(n),
            end: failed(),
        }));
        let third = first + CALLS / 4;
        let gone = |n| Event::CallerGone {
            call: call(n),
            cause: "ORIGINATOR_CANCEL".into(),
        };
        rows[9].1.extend(b.time(first..third, gone));
        let held = b.engine.held_calls();
        b.now = Moment(b.now.0 + Duration::from_secs(6));
        let start = Instant::now();
        // The driver does the same.
        while b.engine.fire(b.now) {
            while let Some(command) = b.engine.poll_command() {
                std::hint::black_box(command);
            }
        }
        rows[10]
            .1
            .push(start.elapsed().as_secs_f64() * 1e6 / f64::from(u32::try_from(held).unwrap_or(1)));
        assert!(held > 0);
    }
    println!("engine, 20,000 devices, 10,000 held calls: median, 10th percentile and fastest of batches of {BATCH}");
    for (name, times) in &rows {
        println!(
            "{name:<45} {:>6.2} us {:>6.2} us {:>6.2} us",
            percentile(times.clone(), 50),
            percentile(times.clone(), 10),
            percentile(times.clone(), 0)
        );
    }
    let ratio = percentile(rows[1].1.clone(), 50) / percentile(rows[0].1.clone(), 50);
    println!("REGISTER with 10,000 held calls / with none: {ratio:.2}");
}
