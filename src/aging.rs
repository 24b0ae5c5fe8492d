//! Devices that nobody calls and that register no more: who has some is looked for in the store, because only there it costs the
//! daemon's loop nothing. Whether they are too old is the engine's to decide.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::driver::Input;
use crate::engine::Event;
use crate::store::devices::owners_unseen;
use crate::types::unix_now;

/// How often the store is looked through; `store.token-ttl` is at least as long.
const EVERY: Duration = Duration::from_secs(3600);

/// Looks for them every hour until told to stop. `ttl` is the time to live in seconds, as it is in force.
pub async fn run(store: PathBuf, ttl: Arc<AtomicU64>, inputs: mpsc::Sender<Input>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        let at = unix_now();
        let before = at.saturating_sub(i64::try_from(ttl.load(Ordering::Relaxed)).unwrap_or(i64::MAX));
        let mut after = Some(0);
        while let Some(row) = after {
            let store = store.clone();
            let look = move || {
                let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                owners_unseen(&Connection::open_with_flags(store, flags)?, before, row)
            };
            let found = match tokio::task::spawn_blocking(look).await {
                Ok(Ok((found, next))) => {
                    after = next;
                    found
                }
                // The writer says what is wrong with the store; in an hour it is looked at again.
                other => {
                    debug!(?other, "the store could not be looked through for old devices");
                    break;
                }
            };
            for aor in found {
                if inputs.send(Input::Event(Event::AgeLookedAt { aor, at })).await.is_err() {
                    return;
                }
            }
        }
    }
}
