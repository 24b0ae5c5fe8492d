//! The one loop: inputs into the engine, commands out of it.
//!
//! It owns the engine and never waits for anything but its next input or timer. What takes time is done elsewhere: by
//! the calls' connections, by a task per push, by the store's thread.

mod pushing;
mod records;
mod summary;
mod wakes;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::engine::{CallOrder, Cause, Command, Delivery, Engine, Event, Note, Routing};
use crate::esl::nodes::{HeldAt, Nodes};
use crate::esl::queues::ToConnection;
use crate::esl::{user_registrations, users};
use crate::handover::{Duty, Phase};
use crate::input::{Ask, Input, Query, Waker};
use crate::logging::once::Once;
use crate::logging::rate_limit::RateLimit;
use crate::metrics::Metrics;
use crate::push::Pushers;
use crate::store::{StoreOp, StoreWriter};
use crate::types::{Aor, CallId, LegId, Moment, NodeId, NotificationId, Target};

/// The loop's surroundings.
pub struct Driver {
    /// The engine.
    pub engine: Engine,
    /// Delivers pushes.
    pub pushers: Pushers,
    /// Writes to the store.
    pub store: StoreWriter,
    /// How many calls wait. While some do, the inbound connection makes FreeSWITCH look at its events sooner.
    pub waiting: watch::Sender<usize>,
    /// What goes to the inbound connections, by FreeSWITCH.
    pub connections: Vec<ToConnection>,
    /// The FreeSWITCHes.
    pub nodes: Nodes,
    /// Questions for FreeSWITCH's directory.
    pub users: mpsc::Sender<users::UserQuestion>,
    /// Tasks that may outlive the loop a little: pushes.
    pub tasks: TaskTracker,
    /// Back to the loop: outcomes of pushes.
    pub inputs: mpsc::Sender<Input>,
    /// What is counted.
    pub metrics: Metrics,
    /// Whether this process is on duty, or another one.
    pub duty: Duty,
    /// Notified on every turn: proof that the loop runs.
    pub heartbeat: Box<dyn FnMut() + Send>,
}

/// Most warnings that are remembered, so that a phone that registers every minute causes one warning.
const REMEMBERED_WARNINGS: usize = 4096;

struct DriverLoop {
    d: Driver,
    calls: HashMap<CallId, CallLine>,
    /// Who waits for the answer to a notification.
    askers: HashMap<NotificationId, Asker>,
    /// Who waits for the answer to a wake.
    wakers: HashMap<CallId, Vec<Waker>>,
    /// The number of the last notification.
    asked: u64,
    started: Instant,
    drained: Option<oneshot::Sender<()>>,
    warned: Once,
    /// Pushes that providers refused and an operator must act on.
    push_warned: Arc<RateLimit>,
}

/// Who waits for the answer to a notification, and what is logged with it.
struct Asker {
    aor: Aor,
    by: &'static str,
    answer: oneshot::Sender<Delivery>,
}

/// A held call in the loop: where its orders go, and its callee.
struct CallLine {
    /// `None` for a wake that somebody asked for.
    orders: Option<mpsc::UnboundedSender<CallOrder>>,
    /// The FreeSWITCH that it is held at.
    node: NodeId,
    /// Counts it there.
    held_at: Option<HeldAt>,
    aor: Aor,
    /// Ends the pushes under way for it.
    over: CancellationToken,
    /// Whether its first push was counted.
    pushed: bool,
}

impl CallLine {
    fn new(orders: Option<mpsc::UnboundedSender<CallOrder>>, node: NodeId, aor: Aor) -> Self {
        Self {
            orders,
            node,
            held_at: None,
            aor,
            over: CancellationToken::new(),
            pushed: false,
        }
    }
}

impl Drop for CallLine {
    fn drop(&mut self) {
        self.over.cancel();
    }
}

impl Asker {
    /// Logs one line and answers; a dropped receiver is ignored.
    fn tell(self, delivery: Delivery) {
        let Self { aor, by, answer } = self;
        let sent = delivery.sent();
        let not_sent = delivery.devices.len() - sent;
        let refused = delivery.devices.iter().find_map(|d| d.outcome.as_ref().err());
        let reason = delivery.nobody.map(|why| why.as_str().to_owned());
        let reason = reason.or_else(|| refused.map(ToString::to_string));
        if sent > 0 {
            info!(%aor, by, sent, not_sent, reason, "notification sent");
        } else if matches!(by, "message" | "voicemail") && delivery.nobody.is_some() {
            debug!(%aor, by, reason, "{by} needs no push");
        } else {
            warn!(%aor, by, not_sent, reason, "notification not sent");
        }
        let _ = answer.send(delivery);
    }
}

impl Driver {
    /// Turns until all senders of inputs are gone.
    pub async fn run(self, inputs: mpsc::Receiver<Input>) {
        let turning = DriverLoop {
            d: self,
            calls: HashMap::new(),
            askers: HashMap::new(),
            wakers: HashMap::new(),
            asked: 0,
            started: Instant::now(),
            drained: None,
            warned: Once::default(),
            push_warned: Arc::new(RateLimit::new(Duration::from_secs(60), REMEMBERED_WARNINGS)),
        };
        turning.run(inputs).await;
    }
}

impl DriverLoop {
    async fn run(mut self, mut inputs: mpsc::Receiver<Input>) {
        let mut beat = interval(std::time::Duration::from_secs(1));
        let far = std::time::Duration::from_secs(3600);
        loop {
            let due = self.d.engine.next_timer().and_then(|at| self.started.checked_add(at.0));
            let due = due.unwrap_or_else(|| Instant::now() + far);
            tokio::select! {
                input = inputs.recv() => match input {
                    Some(input) => self.take(input),
                    None => return,
                },
                () = tokio::time::sleep_until(due) => {
                    let now = self.now();
                    while self.d.engine.fire(now) {
                        self.carry_out();
                    }
                }
                _ = beat.tick() => (self.d.heartbeat)(),
            }
            self.d.metrics.devices(self.d.engine.devices());
            let held = self.d.engine.held_calls();
            self.d
                .waiting
                .send_if_modified(|waiting| std::mem::replace(waiting, held) != held);
            if held == 0
                && let Some(drained) = self.drained.take()
            {
                let _ = drained.send(());
            }
        }
    }

    fn now(&self) -> Moment {
        Moment(self.started.elapsed())
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Event(event) => self.feed(event),
            // Whoever reports this, or asks for it, is to say it to the process on duty: dropped, it is not answered.
            Input::Reported(..)
            | Input::Ask(Query {
                ask: Ask::Forget(..), ..
            }) if self.d.duty.phase() == Phase::Retired => {}
            Input::Reported(event, done) => {
                self.feed(event);
                let _ = done.send(());
            }
            Input::Held(call, orders) => {
                let mut line = CallLine::new(Some(orders), call.node, call.aor.clone());
                line.held_at = Some(self.d.nodes.get(call.node).hold());
                self.calls.insert(call.call, line);
                self.feed(Event::CallHeld(call));
            }
            Input::KillElsewhere(node, leg, cause) => self.kill_elsewhere(Some(node), leg, &cause),
            Input::Warnings(aor, warnings) => self.warned.warn(&aor, warnings),
            Input::Notify(asked, answer) => {
                let id = self.asked_by(asked.aor.clone(), asked.by, answer);
                self.feed(Event::NotificationAsked(id, asked));
            }
            Input::MessagesWaiting(told) => {
                // Nobody waits for the answer; it is logged.
                let (answer, _) = oneshot::channel();
                let id = self.asked_by(told.aor.clone(), "voicemail", answer);
                self.feed(Event::MessagesWaiting(id, told));
            }
            Input::Wake(asked, answer) => self.wake(*asked, answer),
            Input::WakeLeft(call) => self.wake_left(call),
            Input::Ask(query) => {
                let now = self.now();
                query.answer(&mut self.d.engine, now);
                self.carry_out();
            }
            Input::Retire(marks, retired) => {
                self.d.store.leave_devices_to_another();
                let _ = retired.send(self.d.duty.retire(marks));
            }
            Input::Drain(drained) => {
                self.feed(Event::Draining);
                self.drained = Some(drained);
            }
        }
    }

    /// Numbers a notification and remembers who waits for its answer.
    fn asked_by(&mut self, aor: Aor, by: &'static str, answer: oneshot::Sender<Delivery>) -> NotificationId {
        self.asked += 1;
        let id = NotificationId(self.asked);
        self.askers.insert(id, Asker { aor, by, answer });
        id
    }

    fn feed(&mut self, event: Event) {
        if tracing::enabled!(tracing::Level::DEBUG) {
            self.log_event(&event);
        }
        if let Event::Registered(reg) = &event {
            self.d.metrics.registered(reg.push.is_some());
            let node = reg.target.as_ref().map_or(NodeId::FIRST, Target::node);
            self.d.nodes.get(node).count_register();
        }
        let now = self.now();
        self.d.engine.handle(now, event);
        self.carry_out();
    }

    fn log_event(&self, event: &Event) {
        let line = event.call().and_then(|id| Some((id, self.calls.get(&id)?)));
        let id = line.map(|(id, _)| tracing::field::display(id));
        let aor = line
            .map(|(_, line)| &line.aor)
            .or(event.aor())
            .map(tracing::field::display);
        let (mut target, mut why, mut registrations) = (None, None, None);
        match event {
            Event::Registered(registration) => target = registration.target.as_ref().map(Target::without_params),
            Event::Unregistered(end) => why = Some(tracing::field::display(end.why.name())),
            Event::Listed(listing) => registrations = Some(listing.registrations.len()),
            _ => {}
        }
        debug!(call.id = id, aor, event = %event.name(), target, why, registrations, detail = ?event, "event");
    }

    /// Logs a command at debug level; costs nothing if that level is off.
    fn log(&self, command: &Command) {
        if let Command::Note(Note { call, aor, step }) = command {
            let call = call.map(tracing::field::display);
            debug!(call.id = call, %aor, event = step.name(), detail = crate::store::detail(step), "note");
        } else if tracing::enabled!(tracing::Level::DEBUG) {
            let line = command.call().and_then(|id| Some((id, self.calls.get(&id)?)));
            let id = line.map(|(id, _)| tracing::field::display(id));
            let aor = line
                .map(|(_, line)| &line.aor)
                .or(command.aor())
                .map(tracing::field::display);
            debug!(call.id = id, aor, command = %command.name(), detail = ?command, "command");
        }
    }

    fn carry_out(&mut self) {
        while let Some(command) = self.d.engine.poll_command() {
            self.log(&command);
            match command {
                Command::Call(call, order) => self.order(call, order),
                Command::AskDirectory { call, aor, query } => {
                    let node = self.calls.get(&call).map_or(NodeId::FIRST, |line| line.node);
                    let question = users::UserQuestion { node, call, aor, query };
                    if self.d.users.try_send(question).is_err() {
                        // Nothing to do: the call itself stops waiting for the answer in time.
                        debug!(call.id = %call, "too many questions to the directory: one was dropped");
                    }
                }
                Command::AskRegistrations {
                    node,
                    aor,
                    number,
                    profiles,
                } => self.ask(node, aor, number, profiles),
                Command::Push(request) => self.push(*request),
                Command::StoreDevice(device) => self.store_device(device),
                Command::ForgetDevice { key, changed, why } => {
                    self.d.metrics.forgotten(why);
                    info!(aor = %key.aor, device = %key.label(), why, "device forgotten");
                    self.d.store.submit(StoreOp::Delete(Arc::unwrap_or_clone(key), changed));
                }
                Command::Answer(id, delivery) => {
                    if let Some(asker) = self.askers.remove(&id) {
                        asker.tell(delivery);
                    }
                }
                Command::WakeEnded(report) => self.wake_ended(&report),
                Command::Note(note) => self.note(note),
                Command::Count(count) => self.count(&count),
                Command::Summarize(summary) => {
                    // The doctor's own probe is not counted.
                    if !summary.aor.is_nobody() {
                        match summary.routing {
                            Routing::Request => self.d.metrics.wake_over(&summary),
                            Routing::Dialplan | Routing::DialString => self.d.metrics.call_over(&summary),
                        }
                    }
                    summary::summarize(&summary);
                }
            }
        }
    }

    /// Passes an order on. A call whose connection is gone can only have its legs killed, over another connection.
    fn order(&mut self, call: CallId, order: CallOrder) {
        let is_last = order.is_last();
        let node = self.calls.get(&call).map(|line| line.node);
        let unsent = match self.calls.get_mut(&call) {
            Some(line) => {
                if let CallOrder::CallUser(aor) = &order {
                    line.aor = aor.clone();
                }
                line.orders
                    .as_ref()
                    .and_then(|orders| orders.send(order).err())
                    .map(|e| e.0)
            }
            None => Some(order),
        };
        if let Some((leg, cause)) = unsent.as_ref().and_then(CallOrder::leg_to_end) {
            self.kill_elsewhere(node, leg, &cause);
        }
        if is_last {
            self.calls.remove(&call);
        }
    }

    /// Kills a leg of this FreeSWITCH; if it is not known which, of whichever has it.
    fn kill_elsewhere(&self, node: Option<NodeId>, leg: LegId, cause: &Cause) {
        let all = self.d.connections.iter().enumerate();
        for (_, to) in all.filter(|(n, _)| node.is_none_or(|node| node.index() == *n)) {
            if to.kills.try_send((leg, cause.clone())).is_err() {
                // Its lease ends it within seconds.
                debug!(leg = %leg.channel(), "the leg ends with its lease");
            }
        }
    }

    fn ask(&self, node: NodeId, aor: Aor, number: u64, profiles: Vec<Arc<str>>) {
        let question = user_registrations::RegistrationsQuery {
            aor,
            number,
            profiles,
            since: Instant::now(),
        };
        let to = self.d.connections.get(node.index());
        if to.is_none_or(|to| to.questions.try_send(question).is_err()) {
            // Consequence: bindings that have ended are rung in vain until they expire.
            debug!("too many questions about registrations: one was dropped");
        }
    }
}
