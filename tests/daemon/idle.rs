//! An idle daemon does next to nothing. Polling would keep a machine's processor awake.

use std::time::Duration;

use crate::harness::*;

/// How often the daemon's threads have waited so far. Each wake-up ends in another wait.
fn waits(daemon: &Daemon) -> Vec<(String, u64)> {
    let tasks = format!("/proc/{}/task", daemon.child.id().unwrap());
    let mut waits: Vec<_> = std::fs::read_dir(tasks)
        .unwrap()
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("status")).ok())
        .map(|status| {
            let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
            let count = field("voluntary_ctxt_switches:").parse().unwrap();
            (format!("{} {}", field("Pid:"), field("Name:")), count)
        })
        .collect();
    waits.sort();
    waits
}

#[tokio::test]
async fn daemon_without_calls_hardly_wakes_up() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    daemon.asleep(&phone).await;
    stage.stored(1).await;
    // The work after a start is over.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = waits(&daemon);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let after = waits(&daemon);
    let sum = |waits: &[(String, u64)]| waits.iter().map(|(_, n)| n).sum::<u64>();
    let woken = sum(&after).saturating_sub(sum(&before));
    // A thread that polls every 5 ms would wake up a thousand times.
    assert!(woken < 300, "{woken} times in 5 s: {before:?} {after:?}");
}
