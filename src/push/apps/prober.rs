//! Probes every app's provider ahead of calls: at the start, after each change of an app or its credentials, while
//! something is wrong, and from time to time.
//!
//! A probe (`probe`) has a task of its own and a limit of its own. It takes no slot of the pushes, is counted nowhere,
//! and nothing waits for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::push::apps::list::AppList;

/// How often due probes are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Apps probed at once: those of a large site take turns.
pub(crate) const AT_ONCE: usize = 16;

/// Never returns.
pub(crate) async fn keep_probing(list: &AppList) {
    let mut asking = JoinSet::new();
    let mut first = 0;
    loop {
        let now = list.clock.now().monotonic;
        let apps = list.apps();
        // Starts where the last look ended, so that every app gets its turn.
        for at in (0..apps.len()).map(|n| (first + n) % apps.len()) {
            if asking.len() >= AT_ONCE {
                first = at;
                break;
            }
            let app = &apps[at];
            if app.is_due(now) {
                let (app, clock) = (Arc::clone(app), list.clock.clone());
                asking.spawn(async move { app.ask(&clock).await });
            }
        }
        drop(apps);
        tokio::time::sleep(LOOK_EVERY).await;
        while asking.try_join_next().is_some() {}
    }
}
