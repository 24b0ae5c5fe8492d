//! The writer: takes changes without waiting, and writes them on a thread of its own.
//!
//! While the file cannot be written (disk full, read-only, locked, damaged) changes wait in memory and are tried
//! again, at first soon, then every few seconds. That is logged when it begins and when it ends, not in between.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tracing::{error, info};

use super::StoreOp;
use super::database::{Database, Options};
use super::queue::{Batch, Queue};
use crate::clock::unix_now;
use crate::types::UnixSeconds;

/// Changes in one transaction at most.
const BATCH: usize = 2_000;
/// How long the first change of a batch waits for others.
const GATHER: Duration = Duration::from_millis(20);
/// Waits between tries while the file cannot be written: doubled from the first to the last.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// How often old journal lines are deleted, how many in one transaction, and the pause between two transactions.
const PRUNE_EVERY: Duration = Duration::from_secs(60);
const PRUNE_PAUSE: Duration = Duration::from_millis(50);
const PRUNE_STEP: usize = 1_000;
/// How often fswake looks whether the file has been replaced.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// How the store is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Set while changes cannot be written.
    pub failing: Option<WriteFailure>,
    /// Changes that wait in memory, the batch under way included.
    pub queued: usize,
    /// Journal lines lost since the start: the file could not be written for too long.
    pub dropped_journal: u64,
    /// Changes of devices lost since the start; should be 0.
    pub dropped_devices: u64,
    /// Whether another file, or none, has taken the place of the file that is in use.
    pub is_replaced: bool,
}

/// Since when and why changes cannot be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteFailure {
    /// When the first try failed.
    pub since: UnixSeconds,
    /// SQLite's last error.
    pub reason: String,
}

/// What a flush could not write in time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{queued} changes are not in the store yet")]
pub struct FlushError {
    /// How many changes still wait in memory.
    pub queued: usize,
}

/// Takes changes for the store. Clones share one writer, which stops with the last of them after a try to write
/// what still waits.
#[derive(Clone, Debug)]
pub struct StoreWriter(Arc<Owner>);

impl StoreWriter {
    pub(super) fn start(db: Database, options: &Options) -> std::io::Result<Self> {
        let shared = Arc::new(WriterShared::new(options));
        let thread = thread::Builder::new().name("store".into()).spawn({
            let shared = Arc::clone(&shared);
            move || run(&shared, db)
        })?;
        Ok(Self(Arc::new(Owner {
            shared,
            thread: Some(thread),
        })))
    }

    /// Takes one change. Never waits for the disk and never fails; see [`StoreWriter::health`].
    pub fn submit(&self, op: StoreOp) {
        let mut state = self.0.shared.lock();
        if state.only_journal && !matches!(op, StoreOp::Journal(_)) {
            return;
        }
        let before = state.queue.len();
        state.submitted += u64::from(!matches!(op, StoreOp::Journal(_)));
        state.queue.push(op);
        let after = state.queue.len();
        drop(state);
        if before == 0 || (before < BATCH && after >= BATCH) {
            self.0.shared.wake.notify_all();
        }
    }

    /// Begins to write: the process that has written the file until now does so no more ([`Options::waits`]).
    pub fn begin(&self) {
        self.0.shared.lock().is_held = false;
        self.0.shared.wake.notify_all();
    }

    /// From now on another process changes devices in the file. This one still adds to the journal.
    pub fn leave_devices_to_another(&self) {
        self.0.shared.lock().only_journal = true;
    }

    /// How the store is doing now.
    pub fn health(&self) -> Health {
        let state = self.0.shared.lock();
        Health {
            failing: state.failing.clone(),
            queued: state.pending(),
            dropped_journal: state.queue.dropped_journal,
            dropped_devices: state.queue.dropped_devices + state.refused,
            is_replaced: state.is_replaced,
        }
    }

    /// Waits until every change of a device that was submitted before is in the file, at most `within`. Returns whether
    /// it is, or is lost ([`Health::dropped_devices`]). Does not wait if writing has failed for that long already.
    pub async fn is_written(&self, within: Duration) -> bool {
        let mut written = self.0.shared.written.subscribe();
        let (submitted, gives_up) = {
            let state = self.0.shared.lock();
            let has_failed = state.failing.as_ref().is_some_and(|failing| {
                let seconds = unix_now().saturating_sub(failing.since);
                u64::try_from(seconds).is_ok_and(|seconds| seconds > within.as_secs())
            });
            (state.submitted, state.ended || has_failed)
        };
        let within = if gives_up { Duration::ZERO } else { within };
        let is_written = written.wait_for(|&written| written >= submitted);
        matches!(tokio::time::timeout(within, is_written).await, Ok(Ok(_)))
    }

    /// Waits until no change waits in memory, at most `within`. Blocks the thread: in async code call it through
    /// `spawn_blocking`.
    pub fn flush(&self, within: Duration) -> Result<(), FlushError> {
        let shared = &self.0.shared;
        let mut state = shared.lock();
        state.flushing += 1;
        shared.wake.notify_all();
        let (mut state, _) = shared
            .settled
            .wait_timeout_while(state, within, |s| s.pending() > 0 && !s.ended)
            .unwrap_or_else(PoisonError::into_inner);
        state.flushing -= 1;
        match state.pending() {
            0 => Ok(()),
            queued => Err(FlushError { queued }),
        }
    }
}

/// Stops the thread when the last [`StoreWriter`] goes.
#[derive(Debug)]
struct Owner {
    shared: Arc<WriterShared>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.wake.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic has been reported by the thread itself, through its state and the panic hook.
            let _ = thread.join();
        }
    }
}

#[derive(Debug)]
struct WriterShared {
    state: Mutex<QueueState>,
    /// Notifies the writer that there is something to do.
    wake: Condvar,
    /// Notifies flushes that a batch was written, or that the thread has ended.
    settled: Condvar,
    /// Of all changes of devices submitted since the start, so many are in the file.
    written: watch::Sender<u64>,
}

#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is known of the writer by itself; together they are no state"
)]
struct QueueState {
    queue: Queue,
    in_flight: usize,
    /// How many changes of devices were submitted since the start.
    submitted: u64,
    /// With the batch under way, so many of them are in the file; `None` if devices wait that are not in it.
    in_file_then: Option<u64>,
    refused: u64,
    failing: Option<WriteFailure>,
    is_replaced: bool,
    flushing: u32,
    stop: bool,
    /// Changes wait in memory: another process writes the file.
    is_held: bool,
    /// Another process changes devices.
    only_journal: bool,
    /// The thread is gone: nothing is written any more.
    ended: bool,
}

impl QueueState {
    fn pending(&self) -> usize {
        self.queue.len() + self.in_flight
    }

    /// Whether the thread has nothing to write now.
    fn is_idle(&self) -> bool {
        self.is_held || self.queue.len() == 0
    }

    fn hurried(&self) -> bool {
        self.stop || self.flushing > 0
    }
}

impl WriterShared {
    fn new(options: &Options) -> Self {
        Self {
            state: Mutex::new(QueueState {
                queue: Queue::new(options.max_queued_journal, options.max_queued_devices),
                in_flight: 0,
                submitted: 0,
                in_file_then: None,
                refused: 0,
                failing: None,
                is_replaced: false,
                flushing: 0,
                stop: false,
                is_held: options.waits,
                only_journal: false,
                ended: false,
            }),
            wake: Condvar::new(),
            settled: Condvar::new(),
            written: watch::Sender::new(0),
        }
    }

    /// The state; it is consistent between any two statements, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while `idle` holds, at most `at_most`.
    fn wait<'a>(
        &self,
        state: MutexGuard<'a, QueueState>,
        at_most: Duration,
        idle: impl FnMut(&mut QueueState) -> bool,
    ) -> MutexGuard<'a, QueueState> {
        let waited = self.wake.wait_timeout_while(state, at_most, idle);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Waits for what to do next.
    fn next(&self, idle_until: Instant) -> Next {
        let idle = idle_until.saturating_duration_since(Instant::now());
        let was_held = self.lock().is_held;
        let state = self.wait(self.lock(), idle, |s| {
            !s.stop && s.is_idle() && (s.is_held || !was_held)
        });
        if was_held && !state.is_held {
            return Next::Begin;
        }
        if state.is_idle() {
            return match state.stop {
                true => Next::End,
                false if state.only_journal => Next::Rest,
                false => Next::Idle,
            };
        }
        let mut state = self.wait(state, GATHER, |s| !s.hurried() && s.queue.len() < BATCH);
        let batch = state.queue.take(BATCH);
        state.in_flight = batch.len();
        // A newer change of a device may wait in the place of an older one. So only a batch that leaves none behind
        // proves that all are in the file.
        state.in_file_then = (!state.queue.has_changes()).then_some(state.submitted);
        Next::Write(batch)
    }

    fn written(&self, refused: u64, path: &Path) {
        let mut state = self.lock();
        state.in_flight = 0;
        state.refused += refused;
        if let Some(written) = state.in_file_then.take() {
            self.written.send_replace(written);
        }
        let failed = state.failing.take();
        let dropped = state.queue.dropped_journal;
        drop(state);
        self.settled.notify_all();
        if refused > 0 {
            error!(path = %path.display(), refused, "the store refused changes: they are lost");
        }
        if let Some(failing) = failed {
            let seconds = unix_now().saturating_sub(failing.since);
            info!(path = %path.display(), seconds, dropped_journal_lines = dropped, "store writes succeed again");
        }
    }

    /// Takes a batch back; returns whether to give up.
    fn failed(&self, batch: Batch, reason: String, path: &Path) -> bool {
        let mut state = self.lock();
        state.in_flight = 0;
        state.queue.restore(batch);
        let begins = state.failing.is_none();
        let since = state.failing.as_ref().map_or_else(unix_now, |f| f.since);
        if begins {
            error!(path = %path.display(), %reason, "the store cannot be written: changes wait in memory");
        }
        state.failing = Some(WriteFailure { since, reason });
        if state.stop {
            error!(path = %path.display(), lost = state.queue.len(), "stopped before the store could be written");
        }
        state.stop
    }

    /// Notes whether the file has been replaced, and logs a change.
    fn set_replaced(&self, is_replaced: bool, path: &Path) {
        let before = std::mem::replace(&mut self.lock().is_replaced, is_replaced);
        if is_replaced && !before {
            error!(
                path = %path.display(),
                "the store's file was moved, deleted or replaced: fswake writes to the old one until it is restarted"
            );
        }
    }

    /// Waits before another try; a flush shortens it, and a stop ends it.
    fn rest(&self, backoff: Duration) {
        let state = self.wait(self.lock(), BACKOFF.0, |s| !s.stop);
        drop(self.wait(state, backoff.saturating_sub(BACKOFF.0), |s| !s.hurried()));
    }
}

enum Next {
    Begin,
    Write(Batch),
    /// Nothing to write until this time.
    Idle,
    Rest,
    End,
}

/// The thread. It ends when it is asked to and nothing waits, or when nothing more can be written.
fn run(shared: &WriterShared, mut db: Database) {
    let _end = EndNotice(shared);
    let mut backoff = BACKOFF.0;
    let mut prune_at = Instant::now();
    let mut look_at = Instant::now() + LOOK_EVERY;
    loop {
        if look_at <= Instant::now() {
            shared.set_replaced(db.is_replaced(), &db.path);
            look_at = Instant::now() + LOOK_EVERY;
        }
        match shared.next(prune_at.min(look_at)) {
            // A failure shows at the first write, which tries again.
            Next::Begin => drop(db.open()),
            Next::Rest => prune_at = Instant::now() + PRUNE_EVERY,
            Next::Write(batch) => match db.write(&batch) {
                Ok(refused) => {
                    shared.written(refused, &db.path);
                    backoff = BACKOFF.0;
                }
                Err(error) => {
                    if shared.failed(batch, error.reason(), &db.path) {
                        return;
                    }
                    shared.rest(backoff);
                    backoff = (backoff * 2).min(BACKOFF.1);
                }
            },
            Next::Idle if Instant::now() < prune_at => {}
            // A failure shows at the next write; old lines can wait.
            Next::Idle => {
                let more = db.prune(PRUNE_STEP).is_ok_and(|deleted| deleted == PRUNE_STEP);
                prune_at = Instant::now() + if more { PRUNE_PAUSE } else { PRUNE_EVERY };
            }
            Next::End => return,
        }
    }
}

/// Marks the thread as ended, and logs an error if it panicked. Calls go on without the store; an operator has to
/// restart the daemon.
struct EndNotice<'a>(&'a WriterShared);

impl Drop for EndNotice<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.ended = true;
        if thread::panicking() {
            state.failing = Some(WriteFailure {
                since: unix_now(),
                reason: "a bug in fswake ended its writer: restart fswake".into(),
            });
        }
        let lost = thread::panicking().then(|| state.pending());
        drop(state);
        self.0.settled.notify_all();
        if let Some(waiting) = lost {
            error!(
                waiting,
                "a bug in fswake ended the store's writer: nothing is stored until a restart; calls go on"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::AssertUnwindSafe;

    use super::*;
    use crate::logging::tests::capture;
    use crate::store::JournalEntry;
    use crate::types::Aor;

    fn line() -> StoreOp {
        StoreOp::Journal(JournalEntry {
            call: None,
            aor: Aor::new("u", "d"),
            at_ms: 0,
            node: "".into(),
            step: crate::engine::Step::ConnectionLost {},
        })
    }

    #[test]
    fn writer_that_panicked_is_said_aloud_and_nobody_waits_for_it() {
        let shared = Arc::new(WriterShared::new(&Options::default()));
        let thread = thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                capture(|| {
                    let defect = std::panic::catch_unwind(AssertUnwindSafe(|| {
                        let _end = EndNotice(&shared);
                        // The thread ends with a batch under way.
                        drop(shared.next(Instant::now() + Duration::from_secs(60)));
                        panic!("a defect")
                    }));
                    assert!(defect.is_err());
                })
            }
        });
        let writer = StoreWriter(Arc::new(Owner { shared, thread: None }));
        writer.submit(line());
        let logged = thread.join().unwrap();
        assert!(
            logged.contains("ERROR") && logged.contains("nothing is stored until a restart"),
            "{logged}"
        );
        let health = writer.health();
        assert!(health.failing.unwrap().reason.contains("restart"), "/readyz says it");
        assert_eq!(health.queued, 1);
        // A stop does not wait for a failing store.
        let began = Instant::now();
        writer.submit(line());
        assert_eq!(writer.flush(Duration::from_secs(60)), Err(FlushError { queued: 2 }));
        assert!(began.elapsed() < Duration::from_secs(30));
    }
}
