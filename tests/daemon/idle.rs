//! An idle daemon does next to nothing. Polling would keep a machine's processor awake.

use std::time::Duration;

use crate::harness::*;

#[tokio::test]
async fn daemon_without_calls_hardly_wakes_up() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    daemon.asleep(&phone).await;
    stage.stored(1).await;
    // The work after a start is over.
    tokio::time::sleep(Duration::from_secs(2)).await;
    // Each wake-up ends in another wait.
    let before = daemon.process().waits();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let after = daemon.process().waits();
    let sum = |waits: &[(String, u64)]| waits.iter().map(|(_, n)| n).sum::<u64>();
    let woken = sum(&after).saturating_sub(sum(&before));
    // A thread that polls every 5 ms would wake up a thousand times.
    assert!(woken < 300, "{woken} times in 5 s: {before:?} {after:?}");
}
