//! 10,000 pushes in flight to a provider that takes a second for each, and pushes to another provider meanwhile.
//!
//! The stand-ins run in a process of their own, so that this process's memory is only fswake's.

use std::time::{Duration, Instant};

use fswake::push::Pushers;
use fswake::types::Aor;
use fswake_test_support::process::Process;
use tokio::task::JoinSet;

use super::stand_ins::{SLOW, StandIns, TAKES};
use super::{Endpoint, TOKEN, app, request};

const IN_FLIGHT: u64 = 10_000;
/// Pushes to the other provider, one every [`EVERY`].
const OTHERS: u64 = 400;
const EVERY: Duration = Duration::from_millis(5);
const ROUNDS: usize = 3;

/// Prints the memory and time of 10,000 pushes in flight, and how long pushes to the other provider take without and
/// with them.
pub async fn measure() {
    let stand_ins = StandIns::start();
    let of = |name: &str, at: &Endpoint| {
        let mut app = app(name, at);
        app.domains = vec![name.to_owned()];
        app
    };
    let pushers =
        Pushers::new(vec![of("slow", &stand_ins.slow), of("quick", &stand_ins.quick)]).expect("own credentials");
    pushers.warm().await;
    others(&pushers).await;
    let this = Process::own();
    for round in 1..=ROUNDS {
        let alone = others(&pushers).await;
        let before = this.resident();
        let started = Instant::now();
        let mut under_way = JoinSet::new();
        for n in 0..IN_FLIGHT {
            let (pushers, request) = (pushers.clone(), to("slow", n, SLOW));
            under_way.spawn(async move { pushers.push(&request).await.is_ok() });
        }
        // Long enough for all pushes to start, and too short for any to finish.
        tokio::time::sleep(TAKES / 2).await;
        let each = this.resident().saturating_sub(before) * 1024 / IN_FLIGHT;
        let meanwhile = others(&pushers).await;
        let taken = under_way.join_all().await.into_iter().filter(|taken| *taken).count();
        println!(
            "round {round}: {taken} of {IN_FLIGHT} taken in {:.1} s, {each} bytes each",
            started.elapsed().as_secs_f64()
        );
        println!("  another provider alone:     {}", shown(alone));
        println!("  another provider meanwhile: {}", shown(meanwhile));
    }
}

fn to(domain: &str, n: u64, token: &str) -> fswake::push::PushRequest {
    let mut request = request(n, token);
    request.callee = Aor::new("1000", domain);
    request.domain = domain.into();
    request
}

/// How long pushes to the fast provider take.
async fn others(pushers: &Pushers) -> Vec<Duration> {
    let mut under_way = JoinSet::new();
    let mut tick = tokio::time::interval(EVERY);
    for n in 0..OTHERS {
        tick.tick().await;
        let (pushers, request) = (pushers.clone(), to("quick", n, TOKEN));
        under_way.spawn(async move {
            let started = Instant::now();
            pushers.push(&request).await.expect("the stand-in takes it");
            started.elapsed()
        });
    }
    under_way.join_all().await
}

fn shown(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |hundredths: usize| times[(times.len() - 1) * hundredths / 100].as_secs_f64() * 1000.0;
    format!("p50 {:.2}, p90 {:.2}, p99 {:.2} ms", at(50), at(90), at(99))
}
