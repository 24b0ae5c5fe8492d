//! Questions to the driver's loop from outside: the HTTP interface asks, the loop answers between two inputs.
//!
//! The loop has calls to serve. So one question at a time is in its queue, each is answered in bounded time (calls in
//! slices), and when the loop is behind a question is refused instead of queued.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::driver::Input;
use crate::engine::view::{AorView, CallView};
use crate::engine::{Delivery, Engine, Event, Notification};
use crate::types::{Aor, CallId, DeviceKey, Moment};

/// Calls in one answer: some 50 µs of the loop's time.
const SLICE: usize = 64;
/// The loop answers in microseconds; one that does not is not well.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long the pushes of a notification may take: a little longer than each of them is tried.
const PUSH_PATIENCE: Duration = Duration::from_secs(33);

/// One question, and where its answer goes.
#[derive(Debug)]
pub enum Ask {
    /// Which calls are held.
    CallIds(oneshot::Sender<Vec<CallId>>),
    /// Some of them.
    Calls(Vec<CallId>, oneshot::Sender<Vec<CallView>>),
    /// The devices and bindings of an AOR.
    Aor(Aor, oneshot::Sender<AorView>),
    /// Forget a device. Answers whether it was known.
    Forget(DeviceKey, oneshot::Sender<bool>),
}

impl Ask {
    /// Answers; an asker that has gone is no matter. Drain the engine's commands after.
    pub fn answer(self, engine: &mut Engine, now: Moment) {
        match self {
            Self::CallIds(to) => {
                let _ = to.send(engine.call_ids());
            }
            Self::Calls(ids, to) => {
                let calls = ids.into_iter().filter_map(|id| engine.call(id, now)).collect();
                let _ = to.send(calls);
            }
            Self::Aor(aor, to) => {
                let _ = to.send(engine.aor(&aor, now));
            }
            Self::Forget(device, to) => {
                let known = engine.knows(&device);
                engine.handle(now, Event::ForgetAsked(device));
                let _ = to.send(known);
            }
        }
    }
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// The loop has more to do than it can; ask again later.
    #[error("the daemon is too busy to answer")]
    Busy,
    /// The loop has ended.
    #[error("the daemon is stopping")]
    Stopping,
}

/// Asks the loop. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Control {
    inputs: mpsc::Sender<Input>,
    turn: Arc<Semaphore>,
}

impl Control {
    /// Asks the loop that reads these inputs.
    pub fn new(inputs: mpsc::Sender<Input>) -> Self {
        Self {
            inputs,
            turn: Arc::new(Semaphore::new(1)),
        }
    }

    /// How many inputs wait for the loop.
    pub fn waiting(&self) -> usize {
        self.inputs.max_capacity() - self.inputs.capacity()
    }

    /// All held calls, longest held first. Calls that end meanwhile are left out.
    pub async fn calls(&self) -> Result<Vec<CallView>, NoAnswer> {
        let ids = self.ask(Ask::CallIds).await?;
        let mut calls = Vec::with_capacity(ids.len());
        for slice in ids.chunks(SLICE) {
            let slice = slice.to_vec();
            calls.extend(self.ask(|to| Ask::Calls(slice, to)).await?);
        }
        calls.sort_by_key(|call| (call.at, call.call));
        Ok(calls)
    }

    /// What an AOR has.
    pub async fn aor(&self, aor: Aor) -> Result<AorView, NoAnswer> {
        self.ask(|to| Ask::Aor(aor, to)).await
    }

    /// Forgets a device; whether it was known.
    pub async fn forget(&self, device: DeviceKey) -> Result<bool, NoAnswer> {
        self.ask(|to| Ask::Forget(device, to)).await
    }

    /// Pushes to a user's devices; answers when all of these pushes have ended.
    pub async fn notify(&self, asked: Notification) -> Result<Delivery, NoAnswer> {
        let (to, answer) = oneshot::channel();
        self.inputs
            .try_send(Input::Notify(asked, to))
            .map_err(|e| refused(&e))?;
        let answered = tokio::time::timeout(PUSH_PATIENCE, answer).await;
        answered.map_err(|_| NoAnswer::Busy)?.map_err(|_| NoAnswer::Stopping)
    }

    async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Result<T, NoAnswer> {
        let asked = async {
            let _turn = self.turn.acquire().await.map_err(|_| NoAnswer::Stopping)?;
            let (to, answer) = oneshot::channel();
            self.inputs
                .try_send(Input::Ask(question(to)))
                .map_err(|e| refused(&e))?;
            answer.await.map_err(|_| NoAnswer::Stopping)
        };
        tokio::time::timeout(PATIENCE, asked)
            .await
            .unwrap_or(Err(NoAnswer::Busy))
    }
}

fn refused(error: &mpsc::error::TrySendError<Input>) -> NoAnswer {
    match error {
        mpsc::error::TrySendError::Full(_) => NoAnswer::Busy,
        mpsc::error::TrySendError::Closed(_) => NoAnswer::Stopping,
    }
}
