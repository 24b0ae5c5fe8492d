//! The CPU cost of holding calls: commands that make FreeSWITCH send its events, and, for ringing legs, leases.

use std::time::Duration;

use fswake_test_support::freeswitch::PhoneSpec;

use crate::machine::Watch;
use crate::phones::{DOMAIN, PHONES, pace};
use crate::stage::Stage;

pub async fn run(short: bool) {
    let calls = 1_000;
    println!("CPU of the daemon");
    let stage = Stage::start().await;
    stage.sleepers(calls).await;
    measure(&stage, "idle", short).await;
    let _held = stage.call_all(calls, 500, false).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    measure(&stage, "1,000 held calls, phones asleep", short).await;
    // The phones register, and then stay silent.
    let phone = stage.fs.phone(PhoneSpec::new("phone", DOMAIN).at(PHONES));
    phone.sleep();
    pace(calls, 500, |user| {
        stage.register(user, 0);
    })
    .await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    measure(&stage, "1,000 held calls, each with a silent leg", short).await;
    println!();
}

async fn measure(stage: &Stage, what: &str, short: bool) {
    let daemon = stage.process();
    let (watch, before) = (Watch::start(daemon), daemon.cpu());
    tokio::time::sleep(Duration::from_secs(if short { 3 } else { 10 })).await;
    let cores = daemon.cpu().saturating_sub(before).as_secs_f64() / watch.elapsed().as_secs_f64();
    println!(
        "{what:<44} {cores:.3} core, {} connections, {} KiB resident",
        stage.fs.connections().1,
        daemon.resident()
    );
    println!("{}", watch.report());
}
