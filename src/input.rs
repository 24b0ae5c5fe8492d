//! The inputs of the driver's loop. Senders need only this file, not the loop.

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use crate::engine::view::{AorView, CallView};
use crate::engine::{CallOrder, Cause, Delivery, Engine, Event, HeldCall, MessagesWaiting, Notification, WakeReport};
use crate::handover::duty::EventNumbers;
use crate::types::{Aor, CallId, DeviceKey, LegId, Moment, NodeId, Target, TargetDigest};

/// One input of the loop.
#[derive(Debug)]
pub enum Input {
    /// For the engine.
    Event(Event),
    /// For the engine, and who is notified when the engine's commands have been carried out.
    Reported(Event, oneshot::Sender<()>),
    /// A channel to hold, and where its orders go.
    Held(HeldCall, mpsc::UnboundedSender<CallOrder>),
    /// A leg to kill whose call's own connection is gone, and the FreeSWITCH that the call was held at.
    KillElsewhere(NodeId, LegId, Cause),
    /// Oddities of a Contact or of a call's variables, for the log.
    Warnings(Aor, Vec<String>),
    /// A notification to send, and where the answer goes. The loop numbers it.
    Notify(Notification, oneshot::Sender<Delivery>),
    /// What FreeSWITCH says of a mailbox. The loop numbers it.
    MessagesWaiting(MessagesWaiting),
    /// A wake to try, and where the answer goes. Who asks for one that is under way gets the same answer.
    Wake(Box<HeldCall>, Waker),
    /// One of those who wait for this wake has gone.
    WakeLeft(CallId),
    /// A question about what the engine knows.
    Ask(Query),
    /// Another process takes over, which gets all events after these: leave to it what only one may do. Answers with
    /// the last events that this process answers.
    Retire(EventNumbers, oneshot::Sender<EventNumbers>),
    /// Start draining, and answer when the last held call is gone.
    Drain(oneshot::Sender<()>),
}

/// Who waits for the answer to a wake.
pub type Waker = oneshot::Sender<Result<WakeReport, OtherWake>>;

/// There is a wake, or a held call, of this name, and it is for another user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtherWake;

/// A question with its turn in the loop's queue. It keeps the turn until it is answered, even if nobody waits for the
/// answer any more. Otherwise each abandoned question would let another into the queue of a loop that is behind.
#[derive(Debug)]
pub struct Query {
    /// The question.
    pub ask: Ask,
    /// The turn; given back when this is dropped. Questions for a call have none: they do not wait for others.
    pub turn: Option<OwnedSemaphorePermit>,
}

impl Query {
    /// A question for a call.
    pub fn at_once(ask: Ask) -> Self {
        Self { ask, turn: None }
    }

    /// Answers the question. The engine's commands must be drained afterwards.
    pub fn answer(self, engine: &mut Engine, now: Moment) {
        self.ask.answer(engine, now);
    }
}

/// The question, and where the answer goes.
#[derive(Debug)]
pub enum Ask {
    /// Which calls are held.
    CallIds(oneshot::Sender<Vec<CallId>>),
    /// Some of them.
    Calls(Vec<CallId>, oneshot::Sender<Vec<CallView>>),
    /// The devices and bindings of an AOR.
    Aor(Aor, oneshot::Sender<AorView>),
    /// The address with this digest at which a phone of this AOR is registered at this FreeSWITCH.
    Address(Aor, NodeId, TargetDigest, oneshot::Sender<Option<Target>>),
    /// Forget a device. Answers whether it was known.
    Forget(DeviceKey, oneshot::Sender<bool>),
}

impl Ask {
    /// A dropped receiver is ignored.
    fn answer(self, engine: &mut Engine, now: Moment) {
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
            Self::Address(aor, node, digest, to) => {
                let _ = to.send(engine.address(&aor, node, &digest, now));
            }
            Self::Forget(device, to) => {
                let known = engine.knows(&device);
                engine.handle(now, Event::ForgetAsked(device));
                let _ = to.send(known);
            }
        }
    }
}
