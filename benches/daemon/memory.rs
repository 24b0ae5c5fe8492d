//! Resident memory and file descriptors for held calls.

use std::time::Duration;

use fswake_test_support::process::Process;

use crate::machine::Watch;
use crate::stage::Stage;

pub async fn run(short: bool) {
    let calls = std::env::var("FSWAKE_BENCH_CALLS").map_or_else(
        |_| if short { 1_000 } else { 10_000 },
        |text| text.parse().expect("FSWAKE_BENCH_CALLS: a number"),
    );
    println!("memory of {calls} held calls");
    let mut stage = Stage::start().await;
    stage.apns.keep_pushes(false);
    stage.sleepers(calls).await;
    stage.restart().await;
    let daemon = stage.process();
    let (idle, idle_files) = (settled(daemon).await, daemon.descriptors());
    let watch = Watch::start(daemon);
    let held = stage.call_all(calls, 1_000, false).await;
    let took = watch.elapsed();
    let (full, most, files) = (settled(daemon).await, daemon.most_resident(), daemon.descriptors());
    let connections = stage.fs.connections().1;
    println!("called in {:.1} s; {connections} connections open", took.as_secs_f64());
    println!("idle daemon that knows {calls} devices: {idle} KiB, {idle_files} descriptors");
    println!("holding: {full} KiB, at most {most} KiB, {files} descriptors");
    #[allow(clippy::cast_precision_loss)]
    let each = |all: u64| all as f64 / calls as f64;
    println!(
        "per call: {:.2} KiB ({:.2} KiB at most), {:.2} descriptors",
        each(full.saturating_sub(idle)),
        each(most.saturating_sub(idle)),
        each((files - idle_files) as u64)
    );
    for call in &held {
        call.caller_hangs_up();
    }
    // FreeSWITCH lingers after the hang-up.
    tokio::time::sleep(Duration::from_secs(8)).await;
    println!(
        "after all calls: {} KiB, {} descriptors",
        settled(daemon).await,
        daemon.descriptors()
    );
    println!("{}\n", watch.report());
}

/// Resident memory, once it has not changed by 1 % for three seconds.
async fn settled(daemon: Process) -> u64 {
    let mut last = daemon.resident();
    let mut calm = 0;
    for _ in 0..120 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = daemon.resident();
        calm = if now.abs_diff(last) * 100 < last { calm + 1 } else { 0 };
        if calm == 0 {
            last = now;
        }
        if calm == 6 {
            return now;
        }
    }
    println!("memory did not settle");
    daemon.resident()
}
