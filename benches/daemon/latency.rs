//! The times from REGISTER to `originate` and from call to push, with 1,000 held calls.

use std::collections::HashMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use fswake_test_support::freeswitch::{Behaviour, Held, PhoneSpec};

use crate::machine::{Watch, row};
use crate::phones::{DOMAIN, PHONES, token};
use crate::stage::Stage;

/// The time between two samples.
const STEP: Duration = Duration::from_millis(10);
/// After a wake, the phone rings for this many samples before its caller hangs up.
const RINGS: usize = 5;

pub async fn run(short: bool) {
    let (calls, samples) = if short { (200, 200) } else { (1_000, 3_000) };
    println!("latency at {calls} held calls");
    let stage = Stage::start().await;
    let phone = stage.fs.phone(PhoneSpec::new("phone", DOMAIN).at(PHONES));
    phone.wake();
    phone.set_behaviour(Behaviour::Rings(Duration::ZERO, None));
    stage.sleepers(calls + samples).await;
    let mut held = stage.call_all(calls, 500, true).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    stage.apns.pushes_so_far().await;

    round(&stage, &mut held, 0..samples).await;
    println!();
}

/// For each number, one REGISTER and one call. The number of held calls stays constant. Prints the times.
///
/// `held` has the calls by the user's number. The waiting ones come first.
pub async fn round(stage: &Stage, held: &mut Vec<Held>, numbers: Range<usize>) {
    let calls = held.len() - numbers.start;
    let samples = numbers.len();
    let watch = Watch::start(stage.process());
    let mut registers = Vec::with_capacity(samples);
    let mut tick = tokio::time::interval(STEP);
    for n in numbers.clone() {
        tick.tick().await;
        // Not in phase with the daemon's commands to FreeSWITCH, nor the call with the REGISTER.
        tokio::time::sleep(Duration::from_micros((n as u64 * 377) % 2_000)).await;
        registers.push(stage.register(n, 0));
        tokio::time::sleep(STEP / 2).await;
        held.push(stage.call(calls + n, true));
        if let Some(over) = n.checked_sub(RINGS).filter(|over| *over >= numbers.start) {
            held[over].caller_hangs_up();
        }
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let machine = watch.report();

    let mut to_originate = Vec::new();
    let mut waited = Vec::new();
    for (call, event) in held[numbers.clone()].iter().zip(&registers) {
        let Some(written) = event.written_at() else { continue };
        waited.push(written - event.fired_at);
        let commands = call.commands();
        let originate = commands.iter().find(|(_, line)| line.starts_with("bgapi originate"));
        to_originate.extend(originate.map(|(at, _)| at.saturating_duration_since(written)));
    }
    let mut pushed: HashMap<String, Instant> = HashMap::new();
    for push in stage.apns.pushes_so_far().await {
        pushed.entry(push.token).or_insert(push.request.at);
    }
    let to_push: Vec<_> = (calls + numbers.start..calls + numbers.end)
        .filter_map(|user| Some(pushed.get(&token(user, 0))?.duration_since(held[user].started)))
        .collect();
    let (woken, told) = (to_originate.len(), to_push.len());
    row("REGISTER event written -> originate read", to_originate);
    row("call reaches socket -> push read", to_push);
    row("(stand-in: event made -> event written)", waited);
    println!("not woken {}, not pushed {}", samples - woken, samples - told);
    println!("{machine}");
}
