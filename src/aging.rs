//! Finds devices that nobody calls and that no longer register. It searches the store, which costs the daemon's loop
//! nothing. The engine decides whether they are too old.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::clock::unix_now;
use crate::engine::Event;
use crate::input::Input;
use crate::store::devices::owners_unseen;

/// How often the store is searched; `store.token-ttl` is at least as long.
pub const EVERY: Duration = Duration::from_secs(3600);

/// Checks this often until stopped. `ttl` is the current time to live in seconds.
pub async fn run(
    store: PathBuf,
    ttl: Arc<AtomicU64>,
    inputs: mpsc::Sender<Input>,
    stop: CancellationToken,
    every: Duration,
) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(every) => {}
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
                // The writer reports the store's problem; try again in an hour.
                other => {
                    debug!(?other, "cannot look for old devices in the store");
                    break;
                }
            };
            for aor in found {
                if inputs.send(Input::Event(Event::AgeCheckDue { aor, at })).await.is_err() {
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Options, Sqlite, StoreOp};
    use crate::types::{Aor, Device, Provider, PushParams, PushToken, Tokens};

    fn device(user: &str, last_seen: i64) -> Device {
        Device {
            aor: Aor::new(user, "fs.test"),
            push: PushParams {
                provider: Provider::Fcm,
                app: "app".into(),
                team: None,
                tokens: Tokens::Call(PushToken::new(user)),
            },
            user_agent: "".into(),
            register_call_id: "".into(),
            first_seen: last_seen,
            last_seen,
            set_aside: None,
            changed: 0,
        }
    }

    #[tokio::test]
    async fn device_that_nobody_calls_is_asked_about_once_it_is_old_by_the_time_in_force() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fswake.db");
        let (_, store) = Sqlite::open(&path, &Options::default()).unwrap();
        store.submit(StoreOp::Put(device("old", unix_now() - 100).into()));
        store.submit(StoreOp::Put(device("young", unix_now()).into()));
        store.flush(Duration::from_secs(30)).unwrap();
        let ttl = Arc::new(AtomicU64::new(1_000));
        let (inputs, mut asked) = mpsc::channel(16);
        let stop = CancellationToken::new();
        let looking = run(path, ttl.clone(), inputs, stop.clone(), Duration::from_millis(10));
        let looking = tokio::spawn(looking);
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(asked.try_recv().is_err(), "none is so old");
        ttl.store(50, Ordering::Relaxed);
        for _ in 0..2 {
            match asked.recv().await {
                Some(Input::Event(Event::AgeCheckDue { aor, .. })) => assert_eq!(&*aor.user, "old"),
                other => panic!("{other:?}"),
            }
        }
        stop.cancel();
        looking.await.unwrap();
    }
}
