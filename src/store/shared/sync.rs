//! Keeps this daemon's file and the shared store the same: what changed here is sent, what others changed is read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_postgres::Notification;

use super::server::{Page, Server};
use super::state::State;
use super::{NewsBy, SharedError};
use crate::engine::Event;
use crate::input::Input;
use crate::jitter;
use crate::postgres::Dsn;
use crate::store::outbox;

/// How often others' changes are asked for, whether or not they are notified of.
const POLL: Duration = Duration::from_secs(2);
/// How long the first notification waits for others.
const GATHER: Duration = Duration::from_millis(20);
/// Changes in one statement at most.
const BATCH: usize = 1_000;
/// Waits between tries while it cannot be used: doubled from the first to the last.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// How often rows of dropped tokens are swept out.
const SWEEP: Duration = Duration::from_secs(3600);

/// Tells once how the first try went.
type First = SyncSender<Result<(), SharedError>>;

pub(super) struct Sync {
    dsn: Dsn,
    local: Connection,
    state: Arc<State>,
    inputs: mpsc::Sender<Input>,
    token_ttl: Arc<AtomicU64>,
    first: Option<First>,
    /// Names this process in the rows that it writes.
    daemon: String,
    backoff: Duration,
}

/// What there is to do.
enum Due {
    Send,
    /// Others' changes are to be read: they were notified of, or it is time.
    Read(NewsBy),
    Nothing,
    End,
}

impl Sync {
    pub(super) fn new(
        dsn: Dsn,
        local: Connection,
        state: Arc<State>,
        inputs: mpsc::Sender<Input>,
        token_ttl: Arc<AtomicU64>,
        first: First,
    ) -> Self {
        Self {
            dsn,
            local,
            state,
            inputs,
            token_ttl,
            first: Some(first),
            daemon: uuid::Uuid::new_v4().to_string(),
            backoff: BACKOFF.0,
        }
    }

    /// Runs until it is told to end. What still waits then is sent if it can be.
    pub(super) async fn run(mut self) {
        loop {
            let Err(error) = self.session().await else { return };
            self.state.failed(&error);
            self.count_waiting();
            if let Some(first) = self.first.take() {
                let _ = first.try_send(Err(error));
            }
            let rest = jitter::upper_quarter(self.backoff);
            tokio::select! {
                () = self.state.stop.cancelled() => return,
                () = sleep(rest) => {}
            }
            self.backoff = (self.backoff * 2).min(BACKOFF.1);
        }
    }

    /// One connection, from its beginning to its failure; `Ok` when it was told to end.
    async fn session(&mut self) -> Result<(), SharedError> {
        let (mut server, mut notices) = Server::open(&self.dsn).await?;
        if outbox::cursor(&self.local)?.server != server.which {
            // It knows nothing of this daemon, or has lost what it knew.
            outbox::add_all(&self.local)?;
        }
        self.send(&server).await?;
        self.read(&mut server).await?;
        self.state.works();
        self.backoff = BACKOFF.0;
        if let Some(first) = self.first.take() {
            let _ = first.try_send(Ok(()));
        }
        let is_notified = server.listen(&self.dsn, &mut notices).await;
        self.set_news_by(if is_notified { NewsBy::Notify } else { NewsBy::Poll })?;
        let mut poll_at = Instant::now();
        let mut sweep_at = Instant::now() + jitter::upper_quarter(SWEEP);
        loop {
            match self.next(&mut notices, poll_at).await? {
                Due::Send => self.send(&server).await?,
                Due::Read(how) => {
                    poll_at = Instant::now() + POLL;
                    if how == NewsBy::Poll {
                        // An import beside the daemon tells nobody what it has put into the file.
                        self.send(&server).await?;
                    }
                    let is_late = self.read(&mut server).await?;
                    match how {
                        NewsBy::Notify => self.set_news_by(NewsBy::Notify)?,
                        // It was there for a second, and nobody had said so.
                        _ if is_late => self.set_news_by(NewsBy::Poll)?,
                        _ => {}
                    }
                }
                Due::Nothing => {}
                Due::End => return self.send(&server).await,
            }
            if sweep_at <= Instant::now() {
                self.sweep(&server).await?;
                sweep_at = Instant::now() + jitter::upper_quarter(SWEEP);
            }
        }
    }

    async fn next(
        &self,
        notices: &mut mpsc::UnboundedReceiver<Notification>,
        poll_at: Instant,
    ) -> Result<Due, SharedError> {
        let is_news = |notice: &Notification| {
            let from = notice.payload();
            from != self.daemon && !from.starts_with("probe-")
        };
        tokio::select! {
            () = self.state.stop.cancelled() => Ok(Due::End),
            () = self.state.written.notified() => Ok(Due::Send),
            notice = notices.recv() => {
                let Some(first) = notice else { return Err(SharedError::Closed) };
                let mut is_due = is_news(&first);
                if is_due {
                    sleep(GATHER).await;
                }
                while let Ok(more) = notices.try_recv() {
                    is_due |= is_news(&more);
                }
                Ok(if is_due { Due::Read(NewsBy::Notify) } else { Due::Nothing })
            }
            () = sleep_until(poll_at) => Ok(Due::Read(NewsBy::Poll)),
        }
    }

    /// Sends all that waits, oldest first.
    async fn send(&self, server: &Server) -> Result<(), SharedError> {
        loop {
            let changes = outbox::first(&self.local, BATCH)?;
            if changes.is_empty() {
                self.state.set(|health| health.waiting = 0);
                return Ok(());
            }
            match server.put(changes.iter().map(|(_, change)| change), &self.daemon).await {
                Err(error) if error.is_about_a_row() => {
                    for (_, change) in &changes {
                        match server.put(std::iter::once(change), &self.daemon).await {
                            Err(error) if error.is_about_a_row() => self.state.refused(&error),
                            done => done?,
                        }
                    }
                }
                done => done?,
            }
            outbox::take_out(&self.local, &changes)?;
            let sent = u64::try_from(changes.len()).unwrap_or(u64::MAX);
            self.state.set(|health| health.sent += sent);
        }
    }

    /// Reads what others changed into the file, and tells the loop; whether some of it had been there for a while.
    async fn read(&mut self, server: &mut Server) -> Result<bool, SharedError> {
        let cursor = outbox::cursor(&self.local)?;
        let mut is_late = false;
        let (local, state, inputs) = (&self.local, &self.state, &self.inputs);
        let take = async |page: Page| {
            is_late |= page.is_late;
            let news = outbox::take_in(local, page.news)?;
            let taken = u64::try_from(news.len()).unwrap_or(u64::MAX);
            state.set(|health| health.taken += taken);
            if state.is_loud.load(Ordering::SeqCst) {
                for one in news {
                    if inputs.send(Input::Event(Event::DeviceNews(one))).await.is_err() {
                        return Err(SharedError::Closed);
                    }
                }
            }
            Ok(())
        };
        let next = server.read(&cursor, &self.daemon, take).await?;
        outbox::set_cursor(&self.local, &next)?;
        Ok(is_late)
    }

    async fn sweep(&self, server: &Server) -> Result<(), SharedError> {
        // A day more than any daemon keeps a device that does not register.
        #[allow(clippy::cast_precision_loss)] // Ten years are 3 * 10^8 s.
        let seconds = self.token_ttl.load(Ordering::Relaxed).saturating_add(86_400) as f64;
        while server.sweep(seconds).await? {}
        Ok(())
    }

    fn set_news_by(&self, news_by: NewsBy) -> Result<(), SharedError> {
        if self.state.health().news_by != news_by {
            self.state.set(|health| health.news_by = news_by);
            outbox::set_news_by(&self.local, news_by.as_str())?;
        }
        Ok(())
    }

    fn count_waiting(&self) {
        if let Ok(waiting) = outbox::waiting(&self.local) {
            self.state.set(|health| health.waiting = waiting);
        }
    }
}
