//! How long a push takes when its connection fails, and how a dead connection is found before a push needs it.
//!
//! Every row has its own connection, which is open and idle when the fault comes. "Forgotten" is what a NAT or a firewall
//! does: nothing passes any more, and nobody is told.

use std::time::{Duration, Instant};

use fswake::push::Pushers;
use fswake_test_support::apns::Apns;
use fswake_test_support::http2::Fault;
use fswake_test_support::proxy::Forwarder;

use super::{Endpoint, TOKEN, app, request};

const TIMES: usize = 20;
/// A row that takes seconds is repeated less.
const SLOW_TIMES: usize = 3;
/// Longer than a ping's interval and its limit together.
const FOUND_BY_A_PING: Duration = Duration::from_secs(37);

/// When a fault comes.
enum When {
    /// Before the push, on the idle connection; then so long a pause.
    Before(fn(&Apns, &Forwarder), Duration),
    /// In answer to the push.
    During(Fault),
}

/// Prints a row for each fault.
pub async fn measure() {
    let moment = Duration::from_millis(20);
    let rows = [
        ("none", When::Before(|_, _| {}, Duration::ZERO), TIMES),
        (
            "the idle connection was closed",
            When::Before(|apns, _| apns.server().close_all(), moment),
            TIMES,
        ),
        (
            "GOAWAY on the idle connection",
            When::Before(|apns, _| apns.server().go_away(), moment),
            TIMES,
        ),
        ("the connection is closed", When::During(Fault::Close), TIMES),
        ("GOAWAY without an answer", When::During(Fault::GoAway), TIMES),
        ("RST_STREAM", When::During(Fault::RefuseStream), TIMES),
        ("503", When::During(Fault::apns(503, "ServiceUnavailable")), TIMES),
        ("no answer", When::During(Fault::Hang), SLOW_TIMES),
        (
            "forgotten just before the push",
            When::Before(|_, way| way.forget(), Duration::ZERO),
            SLOW_TIMES,
        ),
        (
            "forgotten 37 s before the push",
            When::Before(|_, way| way.forget(), FOUND_BY_A_PING),
            1,
        ),
    ];
    println!("a push, by what happens to its connection: median and longest");
    for (name, when, times) in rows {
        let apns = Apns::start().await;
        let way = Forwarder::start(apns.server().addr).await;
        let mut at = Endpoint::of(&apns);
        at.base_url = format!("https://localhost:{}", way.address().port());
        let pushers = Pushers::new(vec![app("bench", &at)]).expect("own credentials");
        let mut took = Vec::new();
        for n in 0..times {
            pushers.warm().await;
            pushers.push(&request(0, TOKEN)).await.expect("the stand-in accepts it");
            match &when {
                When::Before(fault, pause) => {
                    fault(&apns, &way);
                    tokio::time::sleep(*pause).await;
                }
                When::During(fault) => apns.faults.next(fault.clone()),
            }
            let started = Instant::now();
            let outcome = pushers.push(&request(n as u64 + 1, TOKEN)).await;
            took.push(started.elapsed());
            assert!(outcome.is_ok(), "{name}: {outcome:?}");
        }
        took.sort_unstable();
        let ms = |took: Duration| took.as_secs_f64() * 1e3;
        println!(
            "{name:<32} {:>9.1} ms {:>9.1} ms",
            ms(took[took.len() / 2]),
            ms(took[took.len() - 1])
        );
    }
}
