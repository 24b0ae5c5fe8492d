//! Keeps this daemon's file and the shared store the same: sends changes of this daemon, reads those of others.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_postgres::Notification;

use super::backoff::Backoff;
use super::rights::Part;
use super::schema::Tables;
use super::server::{Page, REWIND, Server, put_rows};
use super::thread::SyncThread;
use super::{Arrival, SharedError};
use crate::engine::{DeviceChange, Event};
use crate::input::Input;
use crate::jitter;
use crate::postgres::Dsn;
use crate::store::outbox;

/// How often other daemons' changes are read, with or without notifications.
const POLL: Duration = Duration::from_secs(2);
/// How long the first notification waits for others.
const GATHER: Duration = Duration::from_millis(20);
/// Changes in one statement at most.
const BATCH: usize = 1_000;
/// How often rows of dropped tokens are deleted.
const SWEEP: Duration = Duration::from_secs(3600);

/// What a daemon that starts waits for.
pub(super) enum First {
    /// Some of all devices. Its file has none.
    Devices(Vec<DeviceChange>),
    /// The result of the first try.
    Tried(Result<(), SharedError>),
}

/// Gets it, and whether it wants the devices.
type FirstResult = (SyncSender<First>, bool);

pub(super) struct Synchronizer {
    dsn: Dsn,
    local: Connection,
    thread: Arc<SyncThread>,
    inputs: mpsc::Sender<Input>,
    token_ttl: Arc<AtomicU64>,
    first: Option<FirstResult>,
    /// Names this process in the rows that it writes.
    daemon: String,
    backoff: Backoff,
}

/// What to do next.
enum Due {
    Send,
    /// Reading: because of a notification, or because it is time.
    Read(Arrival),
    Nothing,
    End,
}

impl Synchronizer {
    pub(super) fn new(
        dsn: Dsn,
        local: Connection,
        thread: Arc<SyncThread>,
        inputs: mpsc::Sender<Input>,
        token_ttl: Arc<AtomicU64>,
        first: FirstResult,
    ) -> Self {
        Self {
            dsn,
            local,
            thread,
            inputs,
            token_ttl,
            first: Some(first),
            daemon: uuid::Uuid::new_v4().to_string(),
            backoff: Backoff::new(),
        }
    }

    /// Runs until it is stopped. It then sends what still waits, if it is connected.
    pub(super) async fn run(mut self) {
        loop {
            let Err(error) = self.session().await else { return };
            self.thread.failed(&error);
            self.count_waiting();
            self.tell_first(Err(error));
            if !self.backoff.wait(&self.thread.stop).await {
                return;
            }
        }
    }

    async fn session(&mut self) -> Result<(), SharedError> {
        let (mut server, mut notifications) = Server::open(&self.dsn, Tables::Ensure).await?;
        match self.exchange(&mut server, &mut notifications).await {
            Ok(()) => Ok(()),
            Err(error) => Err(server.explain(Part::Devices, error).await),
        }
    }

    /// One connection, until it fails; `Ok` when it was stopped.
    async fn exchange(
        &mut self,
        server: &mut Server,
        notifications: &mut mpsc::UnboundedReceiver<Notification>,
    ) -> Result<(), SharedError> {
        if let Some((first, true)) = self.first.clone()
            && outbox::is_empty(&self.local)?
        {
            if !self.read_all(server, first).await? {
                return Ok(());
            }
        } else if !outbox::cursor(&self.local)?.is_of(&server.identity) {
            // This server has never had this daemon's changes, or has lost some.
            let _turn = self.thread.file.turn().await;
            outbox::add_all(&self.local)?;
        }
        self.send(server).await?;
        self.read(server).await?;
        self.thread.succeeded();
        self.backoff.reset();
        self.tell_first(Ok(()));
        let is_notified = server.listen(&self.dsn, notifications).await;
        let arrival = if is_notified { Arrival::Notify } else { Arrival::Poll };
        self.set_arrival(arrival).await?;
        let mut poll_at = Instant::now();
        let mut sweep_at = Instant::now() + jitter::upper_quarter(SWEEP);
        loop {
            match self.next(notifications, poll_at).await? {
                Due::Send => self.send(server).await?,
                Due::Read(cause) => {
                    poll_at = Instant::now() + POLL;
                    if cause == Arrival::Poll {
                        // `fswake import` writes to the file and cannot wake this thread.
                        self.send(server).await?;
                    }
                    let is_late = self.read(server).await?;
                    match cause {
                        Arrival::Notify => self.set_arrival(Arrival::Notify).await?,
                        // A change was there for a second without a notification.
                        _ if is_late => self.set_arrival(Arrival::Poll).await?,
                        _ => {}
                    }
                }
                Due::Nothing => {}
                Due::End => return self.send(server).await,
            }
            if sweep_at <= Instant::now() {
                self.sweep(server).await?;
                sweep_at = Instant::now() + jitter::upper_quarter(SWEEP);
            }
        }
    }

    /// Gives all devices to the daemon, and then fills its file. `false`: the daemon stops.
    async fn read_all(&mut self, server: &mut Server, first: SyncSender<First>) -> Result<bool, SharedError> {
        // If the daemon waits no more, it has started with what it got. The rest comes as changes, from the file.
        let give = async |page: Page| {
            first
                .send(First::Devices(page.changes))
                .map_err(|_| SharedError::Closed)
        };
        let cursor = server.read_all(give).await?;
        self.thread.succeeded();
        self.tell_first(Ok(()));
        let (stop, file_is_open) = (&self.thread.stop, &self.thread.file_is_open);
        if stop.run_until_cancelled(file_is_open.cancelled()).await.is_none() {
            return Ok(false);
        }
        // Nobody else writes the file meanwhile: its changes wait in memory.
        let turn = self.thread.file.turn().await;
        let filling = outbox::Filling::begin(&self.local)?;
        let mut received = 0;
        let add = async |page: Page| {
            received += filling.add(page.changes)?;
            Ok(())
        };
        let filled = server.read_in_order(&cursor, add);
        let Some(filled) = stop.run_until_cancelled(filled).await else {
            return Ok(false);
        };
        filled?;
        filling.end(&cursor)?;
        drop(turn);
        self.thread.update(|health| health.devices.received += received);
        Ok(true)
    }

    /// Tells the daemon that starts how the first try has ended.
    fn tell_first(&mut self, result: Result<(), SharedError>) {
        if let Some((first, _)) = self.first.take() {
            let _ = first.send(First::Tried(result));
        }
        self.thread.tried.cancel();
    }

    async fn next(
        &self,
        notifications: &mut mpsc::UnboundedReceiver<Notification>,
        poll_at: Instant,
    ) -> Result<Due, SharedError> {
        let is_from_another = |notification: &Notification| {
            let from = notification.payload();
            from != self.daemon && !from.starts_with("probe-")
        };
        tokio::select! {
            () = self.thread.stop.cancelled() => Ok(Due::End),
            () = self.thread.file.changes_written() => Ok(Due::Send),
            notification = notifications.recv() => {
                let Some(first) = notification else { return Err(SharedError::Closed) };
                let mut is_due = is_from_another(&first);
                if is_due {
                    sleep(GATHER).await;
                }
                while let Ok(more) = notifications.try_recv() {
                    is_due |= is_from_another(&more);
                }
                Ok(if is_due { Due::Read(Arrival::Notify) } else { Due::Nothing })
            }
            () = sleep_until(poll_at) => Ok(Due::Read(Arrival::Poll)),
        }
    }

    /// Sends everything that waits, oldest first.
    async fn send(&self, server: &Server) -> Result<(), SharedError> {
        loop {
            let changes = outbox::first(&self.local, BATCH)?;
            if changes.is_empty() {
                self.thread.update(|health| health.devices.waiting = 0);
                return Ok(());
            }
            let put = async |some: &[(_, DeviceChange)]| {
                server.put(some.iter().map(|(_, change)| change), &self.daemon).await
            };
            put_rows(&changes, put, |error| self.thread.refused(error)).await?;
            let turn = self.thread.file.turn().await;
            outbox::remove(&self.local, &changes)?;
            drop(turn);
            let sent = u64::try_from(changes.len()).unwrap_or(u64::MAX);
            self.thread.update(|health| health.devices.sent += sent);
        }
    }

    /// Reads other daemons' changes into the file, and passes them to the engine. Returns whether one of them had been
    /// there for a while.
    async fn read(&mut self, server: &mut Server) -> Result<bool, SharedError> {
        let mut cursor = outbox::cursor(&self.local)?;
        // A server that was killed uses transaction numbers again that it had not flushed: a change may have a number
        // that this daemon has read past.
        if cursor.server != server.place() {
            cursor.read_to = cursor.read_to.saturating_sub(REWIND).max(0);
        }
        let mut is_late = false;
        let (local, thread, inputs) = (&self.local, &self.thread, &self.inputs);
        let apply = async |page: Page| {
            let turn = thread.file.turn().await;
            let applied = outbox::apply(local, page.changes)?;
            drop(turn);
            // While another transaction is open, the same changes are read again.
            is_late |= page.is_late && !applied.is_empty();
            let received = u64::try_from(applied.len()).unwrap_or(u64::MAX);
            thread.update(|health| health.devices.received += received);
            if thread.feeds_engine.load(Ordering::SeqCst) {
                for change in applied {
                    // During shutdown the loop ends first. The file has the change.
                    let _ = inputs.send(Input::Event(Event::DeviceChangedElsewhere(change))).await;
                }
            }
            Ok(())
        };
        let next = server.read(&cursor, &self.daemon, apply).await?;
        let _turn = self.thread.file.turn().await;
        outbox::set_cursor(&self.local, &next)?;
        Ok(is_late)
    }

    async fn sweep(&self, server: &Server) -> Result<(), SharedError> {
        // A day longer than any daemon keeps a device that does not register.
        #[allow(clippy::cast_precision_loss)] // Ten years are 3 * 10^8 s.
        let seconds = self.token_ttl.load(Ordering::Relaxed).saturating_add(86_400) as f64;
        while server.sweep(seconds).await? {}
        Ok(())
    }

    async fn set_arrival(&self, arrival: Arrival) -> Result<(), SharedError> {
        if self.thread.health().arrival != arrival {
            self.thread.update(|health| health.arrival = arrival);
            let _turn = self.thread.file.turn().await;
            outbox::set_arrival(&self.local, arrival.as_str())?;
        }
        Ok(())
    }

    fn count_waiting(&self) {
        if let Ok(waiting) = outbox::waiting(&self.local) {
            self.thread.update(|health| health.devices.waiting = waiting);
        }
    }
}
