//! Questions to the driver's loop from outside: the HTTP interface asks, the loop answers between two inputs.
//!
//! Calls come first. So at most one question is in the loop's queue, each is answered in bounded time (calls in
//! slices), and a question is refused, not queued, if the loop is behind.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::engine::view::{AorView, CallView};
use crate::engine::{Delivery, Event, HeldCall, Notification, WakeReport};
use crate::input::{Ask, Input, OtherWake, Query};
use crate::types::{Aor, CallId, DeviceKey};

/// Calls in one answer: some 50 µs of the loop's time.
const SLICE: usize = 64;
/// The loop answers in microseconds; if it takes longer, something is wrong.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long the pushes of a notification may take: a little longer than the time in which each is tried.
const PUSH_PATIENCE: Duration = Duration::from_secs(33);

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// The loop is overloaded; ask again later.
    #[error("the daemon is too busy to answer")]
    Busy,
    /// The work goes on, but takes longer than an answer may.
    #[error("the pushes are still under way; the journal will have the outcome")]
    UnderWay,
    /// The loop has ended.
    #[error("the daemon is stopping")]
    Stopping,
}

/// Asks the loop. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Control {
    inputs: mpsc::Sender<Input>,
    turn: Arc<Semaphore>,
    patience: Duration,
    push_patience: Duration,
}

impl Control {
    /// Asks the loop that reads these inputs.
    pub fn new(inputs: mpsc::Sender<Input>) -> Self {
        Self {
            inputs,
            turn: Arc::new(Semaphore::new(1)),
            patience: PATIENCE,
            push_patience: PUSH_PATIENCE,
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

    /// Pushes to a user's devices, and waits until all of these pushes have ended.
    pub async fn notify(&self, asked: Notification) -> Result<Delivery, NoAnswer> {
        let (to, answer) = oneshot::channel();
        self.inputs
            .try_send(Input::Notify(asked, to))
            .map_err(|e| refused(&e))?;
        let answered = tokio::time::timeout(self.push_patience, answer).await;
        answered
            .map_err(|_| NoAnswer::UnderWay)?
            .map_err(|_| NoAnswer::Stopping)
    }

    /// Wakes a user's phones; answers when one is awake, or why not. Whoever drops the answer gives the wake up, unless
    /// others wait for it.
    pub async fn wake(&self, asked: HeldCall) -> Result<Result<WakeReport, OtherWake>, NoAnswer> {
        let (to, answer) = oneshot::channel();
        let mut waiting = Waiting {
            call: Some(asked.call),
            answer,
            inputs: self.inputs.clone(),
        };
        self.inputs
            .try_send(Input::Wake(Box::new(asked), to))
            .map_err(|e| refused(&e))?;
        let answered = (&mut waiting.answer).await;
        waiting.call = None;
        answered.map_err(|_| NoAnswer::Stopping)
    }

    /// Passes on an event from outside. Returns when the loop has carried out the engine's commands.
    pub async fn report(&self, event: Event) -> Result<(), NoAnswer> {
        let (to, answer) = oneshot::channel();
        self.inputs
            .try_send(Input::Reported(event, to))
            .map_err(|e| refused(&e))?;
        let answered = tokio::time::timeout(self.patience, answer).await;
        answered.map_err(|_| NoAnswer::Busy)?.map_err(|_| NoAnswer::Stopping)
    }

    async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Result<T, NoAnswer> {
        let asked = async {
            let turn = Arc::clone(&self.turn).acquire_owned().await;
            let (to, answer) = oneshot::channel();
            let query = Query {
                ask: question(to),
                turn: Some(turn.map_err(|_| NoAnswer::Stopping)?),
            };
            self.inputs.try_send(Input::Ask(query)).map_err(|e| refused(&e))?;
            answer.await.map_err(|_| NoAnswer::Stopping)
        };
        tokio::time::timeout(self.patience, asked)
            .await
            .unwrap_or(Err(NoAnswer::Busy))
    }
}

/// Somebody who waits for a wake. Tells the loop when he has gone before the answer.
struct Waiting {
    call: Option<CallId>,
    answer: oneshot::Receiver<Result<WakeReport, OtherWake>>,
    inputs: mpsc::Sender<Input>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let Some(call) = self.call.take() else { return };
        // First: the loop looks at who still waits.
        self.answer.close();
        if let Err(mpsc::error::TrySendError::Full(left)) = self.inputs.try_send(Input::WakeLeft(call)) {
            let inputs = self.inputs.clone();
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                runtime.spawn(async move { inputs.send(left).await });
            }
        }
    }
}

fn refused(error: &mpsc::error::TrySendError<Input>) -> NoAnswer {
    match error {
        mpsc::error::TrySendError::Full(_) => NoAnswer::Busy,
        mpsc::error::TrySendError::Closed(_) => NoAnswer::Stopping,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Audience;
    use crate::types::{TokenType, push::Payload};

    /// With a short time limit.
    fn control() -> (Control, mpsc::Receiver<Input>) {
        let (inputs, queue) = mpsc::channel(16);
        let control = Control {
            patience: Duration::from_millis(50),
            push_patience: Duration::from_millis(50),
            ..Control::new(inputs)
        };
        (control, queue)
    }

    #[tokio::test]
    async fn question_that_is_given_up_keeps_its_turn_until_the_loop_takes_it() {
        let (control, mut queue) = control();
        for _ in 0..3 {
            assert_eq!(control.calls().await.unwrap_err(), NoAnswer::Busy);
            assert_eq!(control.waiting(), 1);
        }
        drop(queue.recv().await);
        assert_eq!(control.calls().await.unwrap_err(), NoAnswer::Busy);
        assert_eq!(control.waiting(), 1, "its turn has come");
    }

    #[tokio::test]
    async fn pushes_that_take_long_are_under_way_and_the_loop_is_not_called_busy() {
        let (control, mut queue) = control();
        let asked = || Notification {
            aor: Aor::new("1001", "fs.test"),
            token_type: TokenType::Im,
            app: None,
            payload: Arc::new(Payload::parse("{}").unwrap()),
            audience: Audience::All,
            by: "http",
            at: 0,
        };
        let takes = async { queue.recv().await };
        let (answer, _taken) = tokio::join!(control.notify(asked()), takes);
        assert_eq!(answer.unwrap_err(), NoAnswer::UnderWay);
        drop(queue);
        assert_eq!(control.notify(asked()).await.unwrap_err(), NoAnswer::Stopping);
    }
}
