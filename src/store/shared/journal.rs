//! Exchanges the journal's lines with the shared store: sends this daemon's, and reads those of others into its file.
//! So every file has the wakes of all daemons, and whoever reads the journal needs only the file.
//!
//! It has a connection of its own: a long journal does not delay devices.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use tokio::time::{Instant, sleep, sleep_until};

use super::SharedError;
use super::backoff::Backoff;
use super::journal_server::{Snapshot, Wanted};
use super::rights::Part;
use super::schema::Tables;
use super::server::{REWIND, Server, put_rows};
use super::thread::SyncThread;
use crate::clock::now_ms;
use crate::jitter;
use crate::postgres::Dsn;
use crate::store::lines::{self, Exchange, SharedLine};
use crate::store::outbox;

/// How often other daemons' lines are read.
const POLL: Duration = Duration::from_secs(2);
/// How long the first line waits for others.
const GATHER: Duration = Duration::from_millis(100);
/// Lines in one statement at most.
const BATCH: usize = 1_000;
/// How often old lines are deleted, and the pause between two statements.
const PRUNE: (Duration, Duration) = (Duration::from_secs(600), Duration::from_millis(50));
/// How often the file gets the time of the last reading.
const NOTE_READING: Duration = Duration::from_secs(10);
/// After so many lines of others, their ids are skipped for good.
const SKIP: i64 = 1_000;

/// How much of the shared journal is kept.
#[derive(Clone, Copy, Debug)]
pub struct JournalLimits {
    /// Lines older than this are deleted.
    pub keep: Duration,
    /// The oldest lines are deleted when there are more than so many.
    pub max_lines: u64,
}

impl JournalLimits {
    fn oldest_ms(&self) -> i64 {
        let keep = i64::try_from(self.keep.as_millis()).unwrap_or(i64::MAX);
        now_ms().saturating_sub(keep)
    }
}

pub(super) struct JournalExchange {
    dsn: Dsn,
    local: Connection,
    thread: Arc<SyncThread>,
    limits: JournalLimits,
    backoff: Backoff,
    state: Exchange,
    noted: Option<Instant>,
}

/// What to do next.
enum Due {
    Send,
    Read,
    Prune,
    End,
}

impl JournalExchange {
    pub(super) fn new(dsn: Dsn, local: Connection, thread: Arc<SyncThread>, limits: JournalLimits) -> Self {
        Self {
            dsn,
            local,
            thread,
            limits,
            backoff: Backoff::new(),
            state: Exchange::default(),
            noted: None,
        }
    }

    /// Runs until it is stopped. It then sends what still waits, if it is connected.
    pub(super) async fn run(mut self) {
        // A start needs the devices first.
        tokio::select! {
            () = self.thread.stop.cancelled() => return,
            () = self.thread.tried.cancelled() => {}
        }
        loop {
            let Err(error) = self.session().await else { return };
            let waiting = lines::waiting(&self.local).ok();
            self.thread.journal_failed(&error, waiting);
            if !self.backoff.wait(&self.thread.stop).await {
                return;
            }
        }
    }

    async fn session(&mut self) -> Result<(), SharedError> {
        let (mut server, _notifications) = Server::open(&self.dsn, Tables::Ensure).await?;
        match self.exchange(&mut server).await {
            Ok(()) => Ok(()),
            Err(error) => Err(server.explain(Part::Journal, error).await),
        }
    }

    /// One connection, until it fails; `Ok` when it was stopped.
    async fn exchange(&mut self, server: &mut Server) -> Result<(), SharedError> {
        self.state = lines::exchange(&self.local)?.unwrap_or_default();
        let identity = server.journal_identity().await?;
        if !outbox::is_of(&self.state.server, &identity) {
            // This server may not have all lines that another one took. It has them in order.
            let last = server.last_line(self.state.file).await?;
            self.set_sent(last.min(self.state.sent_to)).await?;
        }
        self.send(server).await?;
        self.read(server, &identity).await?;
        self.thread.journal_succeeded();
        self.backoff.reset();
        let (mut poll_at, mut prune_at) = (Instant::now() + POLL, Instant::now());
        let mut prune_before = None;
        loop {
            match self.next(poll_at, prune_at).await {
                Due::Send => self.send(server).await?,
                Due::Read => {
                    self.send(server).await?;
                    self.read(server, &identity).await?;
                    poll_at = Instant::now() + POLL;
                }
                Due::Prune => {
                    let before = if let Some(before) = prune_before {
                        before
                    } else {
                        let JournalLimits { keep, max_lines } = self.limits;
                        server.superfluous_before(keep, max_lines).await?
                    };
                    let has_more = server.prune_lines(before).await?;
                    prune_before = has_more.then_some(before);
                    prune_at = Instant::now()
                        + if has_more {
                            PRUNE.1
                        } else {
                            jitter::upper_quarter(PRUNE.0)
                        };
                }
                Due::End => return self.send(server).await,
            }
        }
    }

    async fn next(&self, poll_at: Instant, prune_at: Instant) -> Due {
        tokio::select! {
            () = self.thread.stop.cancelled() => Due::End,
            () = self.thread.file.lines_written() => {
                tokio::select! {
                    () = self.thread.stop.cancelled() => {}
                    () = sleep(GATHER) => {}
                }
                Due::Send
            }
            () = sleep_until(poll_at) => Due::Read,
            () = sleep_until(prune_at) => Due::Prune,
        }
    }

    /// Sends all lines that wait, oldest first.
    async fn send(&mut self, server: &Server) -> Result<(), SharedError> {
        loop {
            let (unsent, last) = lines::unsent(&self.local, &self.state, self.limits.oldest_ms(), BATCH)?;
            if unsent.is_empty() {
                if last - self.state.sent_to > SKIP {
                    self.set_sent(last).await?;
                }
                self.thread.update(|health| health.journal.waiting = 0);
                return Ok(());
            }
            let put = async |some: &[SharedLine]| server.put_lines(some).await;
            put_rows(&unsent, put, |error| self.thread.journal_refused(error)).await?;
            self.set_sent(last).await?;
            let sent = u64::try_from(unsent.len()).unwrap_or(u64::MAX);
            self.thread.update(|health| health.journal.sent += sent);
        }
    }

    async fn set_sent(&mut self, line: i64) -> Result<(), SharedError> {
        let _turn = self.thread.file.turn().await;
        lines::set_sent(&self.local, line)?;
        self.state.sent_to = line;
        Ok(())
    }

    /// Reads other daemons' lines into the file.
    async fn read(&mut self, server: &mut Server, identity: &str) -> Result<(), SharedError> {
        let place = server.place_of(identity);
        let mut after = Snapshot::read(&self.state.snapshot).filter(|_| outbox::is_of(&self.state.server, identity));
        // A server that was killed uses transaction numbers again that it had not flushed.
        if let Some(after) = after.as_mut().filter(|_| self.state.server != place) {
            after.end = after.end.saturating_sub(REWIND).max(0);
        }
        let wanted = Wanted {
            not_of: after.is_some().then_some((self.state.file, self.state.daemon.as_str())),
            after,
            since_ms: self.limits.oldest_ms(),
        };
        let mut received = 0;
        let (local, thread, file) = (&self.local, &self.thread, self.state.file);
        let apply = async |page: Vec<SharedLine>| {
            let _turn = thread.file.turn().await;
            received += lines::apply(local, &page, file)?;
            Ok(())
        };
        let snapshot = server.read_lines(&wanted, apply).await?;
        let now = now_ms();
        let is_due = self.noted.is_none_or(|noted| noted.elapsed() >= NOTE_READING);
        if received > 0 || is_due || self.state.server != place {
            let _turn = self.thread.file.turn().await;
            lines::set_read(&self.local, &place, &snapshot, now)?;
            self.noted = Some(Instant::now());
        }
        self.state.server = place;
        self.state.snapshot = snapshot;
        let received = u64::try_from(received).unwrap_or(u64::MAX);
        self.thread.update(|health| health.journal.received += received);
        Ok(())
    }
}
