//! How the daemon ends, or hands over to another process ([`crate::handover`]).

use std::time::Duration;

use anyhow::{Context, bail};
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::Daemon;
use crate::engine::Event;
use crate::esl::nodes::Nodes;
use crate::handover::channel::Ready;
use crate::handover::duty::EventNumbers;
use crate::handover::finishing::Finishing;
use crate::handover::leave::StandIn;
use crate::handover::successor::Successor;
use crate::handover::{Predecessor, Program, Succession, Tie};
use crate::input::Input;
use crate::lifecycle::{self, Signal, Signals};
use crate::words;

/// At shutdown: how long writing the last releases and hangups may take.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// How long an answer by HTTP may take to be written.
const LAST_ANSWER: Duration = Duration::from_millis(500);
/// After a handover: how long answers to events may take to be sent.
const LAST_EVENTS: Duration = Duration::from_secs(1);
/// At shutdown: how long the store may take for its last writes.
const LAST_WRITES: Duration = Duration::from_secs(5);
/// How long systemd may take to read what it is told.
const UNTIL_READ: Duration = Duration::from_secs(5);
/// At a handover: the same. Calls wait meanwhile.
const WRITES_BEFORE_HANDOVER: Duration = Duration::from_secs(2);

impl Daemon {
    /// Takes over from the process that has started this one.
    pub(super) async fn take_over(&mut self, predecessor: Predecessor, signals: &mut Signals) -> anyhow::Result<()> {
        tokio::select! {
            taken_over = predecessor.take_over(|| connected(&self.nodes), self.nodes.count(), &self.duty) => taken_over?,
            () = signals.stop() => bail!("stopped before it took over"),
            ended = self.parts.ended() => bail!("{ended}"),
        }
        self.store.begin();
        if let Some(catch_up) = self.catch_up.take() {
            let changes = tokio::task::spawn_blocking(|| catch_up.changes())
                .await
                .context("read the store again")??;
            for change in changes {
                let _ = self
                    .inputs
                    .send(Input::Event(Event::DeviceChangedElsewhere(change)))
                    .await;
            }
        }
        Ok(())
    }

    /// Runs until a signal ends it, or until another process has taken over and the last held call is finished.
    pub(super) async fn wait(mut self, signals: &mut Signals, program: &Program, mut tie: Tie) -> anyhow::Result<()> {
        let mut succession = Succession::default();
        loop {
            tokio::select! {
                () = tie.lost() => {
                    warn!("the service's main process is gone: stopping");
                    break;
                }
                signal = signals.next() => match signal {
                    Signal::Stop => break,
                    // Several signals before it begins cause one reload.
                    Signal::Reload => self.reload.notify_one(),
                    Signal::HandOver => {
                        // The successor reads the file.
                        self.flush(WRITES_BEFORE_HANDOVER).await;
                        succession.start(program, &self.sockets, connected(&self.nodes));
                    }
                    Signal::Leave => {
                        succession.give_up().await;
                        tie.loosen();
                        return self.leave(signals).await;
                    }
                },
                (successor, ready) = succession.ready() => {
                    tie.loosen();
                    return self.hand_over(successor, ready, signals).await;
                }
                ended = self.parts.ended() => bail!("{ended}"),
            }
        }
        succession.give_up().await;
        signals.ending();
        self.drain(signals).await;
        Ok(())
    }

    /// Hands over to a successor that is ready.
    async fn hand_over(self, mut successor: Successor, ready: Ready, signals: &mut Signals) -> anyhow::Result<()> {
        let pid = successor.pid();
        let answered = self.retire(ready.mark).await;
        if lifecycle::is_watched()
            && let Err(error) = lifecycle::main_process(pid)
        {
            warn!(error = words::of_io(&error), "systemd does not know of the new process");
        }
        let handed_over = successor.hand_over(answered).await;
        match &handed_over {
            Ok(()) => info!(
                pid,
                "the new process takes calls: this one finishes those that it holds"
            ),
            Err(cause) => error!(
                pid,
                error = words::of_io(cause),
                "the new process ended when it was to take over: new calls go on without fswake"
            ),
        }
        self.finish(signals).await;
        handed_over.context("the new process has ended")
    }

    /// Leaves the service to the next process, which systemd starts. Without systemd it is a stop.
    async fn leave(self, signals: &mut Signals) -> anyhow::Result<()> {
        let open = self.sockets.in_use();
        let stand_in = tokio::task::spawn_blocking(StandIn::start)
            .await
            .context("start a process")?;
        let (open, stand_in) = match (open, stand_in) {
            (Ok(open), Ok(stand_in)) if lifecycle::is_watched() => (open, stand_in),
            (open, stand_in) => {
                if let Some(error) = open.err().or(stand_in.err()) {
                    warn!(
                        error = words::of_io(&error),
                        "cannot leave the service before the last call is finished"
                    );
                }
                self.drain(signals).await;
                return Ok(());
            }
        };
        let _ = self.retire(EventNumbers::new()).await;
        let left = tokio::task::spawn_blocking(move || stand_in.leave(&open));
        match tokio::time::timeout(UNTIL_READ, left).await {
            Ok(Ok(Ok(()))) => info!("left the service to the next process: finishing the calls that this one holds"),
            failed => warn!(?failed, "systemd does not know that this process has left the service"),
        }
        self.finish(signals).await;
        Ok(())
    }

    /// Leaves to another process what only one may do, and writes what it must know.
    async fn retire(&self, marks: EventNumbers) -> EventNumbers {
        // Does not wait for reads from a slow disk.
        self.reloading.abort();
        let (to, retired) = oneshot::channel();
        let _ = self.inputs.send(Input::Retire(marks, to)).await;
        let answered = retired.await.unwrap_or_default();
        self.flush(WRITES_BEFORE_HANDOVER).await;
        if let Some(shared) = &self.shared {
            // What it could not send is in the file.
            shared.stop(WRITES_BEFORE_HANDOVER).await;
        }
        self.sockets.close();
        answered
    }

    /// Finishes the calls that it holds, for `drain-timeout` or until a signal. New ones go to another process.
    async fn finish(self, signals: &mut Signals) {
        // For `fswake doctor`, until this process ends.
        let _finishing = Finishing::begin(&self.store_path);
        self.calls.close();
        let finished = async {
            // First those whose connection was accepted just before the handover.
            self.calls.wait().await;
            self.drained().await;
            self.pushes.close();
            self.pushes.wait().await;
            // The answers to events that asked for a push are sent when the push has ended, by tasks of their own.
            tokio::time::sleep(LAST_EVENTS).await;
        };
        let drain_timeout = *self.drain_timeout.borrow();
        let is_over = tokio::select! {
            () = finished => true,
            () = tokio::time::sleep(drain_timeout) => false,
            () = signals.stop() => false,
        };
        self.end(is_over).await;
    }

    /// Hands new calls back at once. Held calls may go on for `drain-timeout`, or until a second signal.
    async fn drain(self, signals: &mut Signals) {
        // Does not wait for reads from a slow disk.
        self.reloading.abort();
        lifecycle::stopping();
        let drain_timeout = *self.drain_timeout.borrow();
        info!(timeout = ?drain_timeout, "stopping: new calls go on without fswake");
        let is_over = tokio::select! {
            () = self.drained() => true,
            () = tokio::time::sleep(drain_timeout) => false,
            () = signals.stop() => false,
        };
        self.end(is_over).await;
    }

    /// Holds no more calls, and waits until none is held.
    async fn drained(&self) {
        let (told, drained) = oneshot::channel();
        let _ = self.inputs.send(Input::Drain(told)).await;
        let _ = drained.await;
    }

    /// Ends all parts. `is_over`: no call is held.
    async fn end(self, is_over: bool) {
        if !is_over {
            warn!("drain-timeout is over: held calls go back to the dialplan");
            let _ = self.inputs.send(Input::Event(Event::DrainTimeUp)).await;
        }
        self.calls.close();
        self.pushes.close();
        let last_words = async {
            self.calls.wait().await;
            self.pushes.wait().await;
            let (most, free) = &self.wakes;
            if free.available_permits() < *most {
                // Each has its answer then; this is for the last of them to be written.
                let _ = free.acquire_many(u32::try_from(*most).unwrap_or(u32::MAX)).await;
                tokio::time::sleep(LAST_ANSWER).await;
            }
        };
        if tokio::time::timeout(LAST_WORDS, last_words).await.is_err() {
            warn!("some connections did not end in time");
        }
        self.stop.cancel();
        self.flush(LAST_WRITES).await;
        if let Some(shared) = &self.shared {
            shared.stop(LAST_WRITES).await;
        }
        info!("stopped");
    }

    /// Writes what the store's writer has, at most so long.
    async fn flush(&self, within: Duration) {
        let store = self.store.clone();
        if let Ok(Err(left)) = tokio::task::spawn_blocking(move || store.flush(within)).await {
            warn!(
                changes = left.queued,
                "the last changes could not be written to the store"
            );
        }
    }
}

/// How many FreeSWITCHes are connected, with all their registrations read.
fn connected(nodes: &Nodes) -> usize {
    nodes.iter().filter(|node| node.is_up()).count()
}
