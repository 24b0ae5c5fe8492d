//! fswake's connection to FreeSWITCH's event socket: registrations, and notifications that events ask for.
//!
//! It reconnects for ever, with growing pauses and jitter. FreeSWITCH replays nothing after a reconnect, so all
//! registrations are read again. Only quick commands run on it: events and commands for calls share a queue with its
//! replies.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use freeswitch_esl_tokio::{
    EslClient, EslCommand, EslConnectOptions, EslError, EslEvent, EslEventStream, EventFormat, EventOverflow,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::answers::Answer;
use super::early_events::{EarlyEvents, number_of};
use super::encode;
pub use super::endpoint::{Endpoint, Settings};
use super::nodes::{LOST, Nodes};
use super::notifications;
use super::nudge::nudge;
use super::peers::{self, News};
use super::prepare::{STARTED, loosen, prepare};
use super::queues::FromLoop;
use super::registrations::{self, RegistrationEvent};
use super::resync::Reader;
use super::user_registrations::Asker;
use super::voicemail;
use crate::clock::{unix_micros, unix_now};
use crate::contact::ContactRules;
use crate::engine::Event;
use crate::handover::{Duty, Phase};
use crate::input::Input;
use crate::jitter;
use crate::types::NodeId;
use crate::words;

/// The events that it subscribes to.
const EVENTS: &str = "CUSTOM sofia::register sofia::unregister sofia::expire sofia::sip_user_state";
/// More events, if events may ask for notifications. Subclasses have to follow CUSTOM.
const QUESTIONS: (&str, &str) = ("MESSAGE", notifications::QUESTION);
/// How long an answer may take: it comes after all waiting events.
const REPLY: Duration = Duration::from_secs(30);
/// The pauses between attempts to connect: doubled from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LAST_PAUSE: Duration = Duration::from_secs(10);
/// Events that wait in fswake, some 10 KiB each. When it is full, the socket's buffers and FreeSWITCH's own queue of
/// 100,000 fill.
const QUEUE: usize = 512;

/// The inbound connection.
pub struct Inbound {
    /// Where to, and how.
    pub settings: watch::Receiver<Settings>,
    /// To the driver.
    pub inputs: mpsc::Sender<Input>,
    /// How many calls wait for a REGISTER: nudge while there is one.
    pub waiting: watch::Receiver<usize>,
    /// All FreeSWITCHes, and which one this connection is for.
    pub nodes: Nodes,
    /// Which.
    pub node: NodeId,
    /// What the driver's loop has for it.
    pub queues: FromLoop,
    /// How often registrations were read.
    pub resyncs: Arc<AtomicU64>,
    /// Where the answers to notifications go.
    pub answers: mpsc::Sender<Answer>,
    /// Whether this process answers events that ask for a push.
    pub duty: Duty,
    /// The end.
    pub stop: CancellationToken,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum EndReason {
    #[error("{}", words::of_esl(.0))]
    Esl(#[from] EslError),
    #[error("registrations cannot be read: {}", words::of_io(.0))]
    Reading(std::io::Error),
    #[error("FreeSWITCH closed the connection")]
    Closed,
    #[error("it is the same FreeSWITCH as {0}: take one of the two [[freeswitch]] out")]
    Twin(Arc<str>),
    #[error("it does not tell its core_uuid: add global_getvar to the user's esl-allowed-api")]
    NoCore,
    #[error("its settings have changed")]
    Changed,
    #[error("stopping")]
    Stopping,
}

impl EndReason {
    /// FreeSWITCH is up, but refuses the login.
    fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Esl(EslError::AuthenticationFailed { .. } | EslError::AccessDenied { .. })
        )
    }
}

impl Inbound {
    /// Connects, listens and reconnects until stopped.
    pub async fn run(mut self) {
        let (stop, mut changes) = (self.stop.clone(), self.settings.clone());
        let mut pause = FIRST_PAUSE;
        let mut complained: Option<String> = None;
        loop {
            let settings = changes.borrow_and_update().clone();
            let ended = tokio::select! {
                () = stop.cancelled() => return,
                ended = self.session(&settings) => ended,
                Ok(()) = changes.changed() => EndReason::Changed,
            };
            let (was_connected, was_up) = self.nodes.get(self.node).set_down();
            if matches!(ended, EndReason::Stopping) {
                return;
            }
            if was_connected {
                tokio::spawn(tell_if_lost(self.inputs.clone(), self.nodes.clone(), self.node));
            }
            if was_up {
                pause = FIRST_PAUSE;
            }
            let (host, port) = (&settings.endpoint.host, settings.endpoint.port);
            let name = self.name();
            if matches!(ended, EndReason::Changed) {
                (pause, complained) = (FIRST_PAUSE, None);
                info!(name, %host, port, "closing the connection to FreeSWITCH: its settings have changed");
                continue;
            }
            let reason = ended.to_string();
            // Password and ACL need an operator. A connection that is refused after one that was closed is the same
            // FreeSWITCH, which is down.
            let is_news = ended.is_refusal() && complained.as_ref() != Some(&reason);
            if was_up || complained.is_none() || is_news {
                warn!(name, %host, port, reason, "no connection to FreeSWITCH: no registrations until it is back");
                complained = Some(reason);
            } else {
                debug!(name, %host, port, reason = %ended, "still no connection to FreeSWITCH");
            }
            // An operator has to take it out.
            let is_twin = matches!(ended, EndReason::Twin(_));
            if is_twin {
                pause = LAST_PAUSE;
            }
            let mut waiting = self.waiting.clone();
            let called = async {
                if is_twin {
                    std::future::pending::<()>().await;
                }
                tokio::time::sleep(FIRST_PAUSE).await;
                let _ = waiting.wait_for(|calls| *calls > 0).await;
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(jitter::upper_half(pause)) => {}
                // A held call needs these events, and shows that FreeSWITCH is up.
                () = called => {}
                Ok(()) = changes.changed() => {}
            }
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    async fn session(&mut self, settings: &Settings) -> EndReason {
        match Box::pin(self.attend(settings)).await {
            Ok(()) => EndReason::Stopping,
            Err(ended) => ended,
        }
    }

    async fn attend(&mut self, settings: &Settings) -> Result<(), EndReason> {
        let Endpoint { host, port, .. } = &settings.endpoint;
        let options = EslConnectOptions::new()
            .with_event_queue_size(QUEUE)
            // Rather let FreeSWITCH queue events than lose a REGISTER.
            .with_event_overflow(EventOverflow::BlockFor(Duration::from_secs(3600)));
        let (client, mut events) = Box::pin(EslClient::connect_with_auth(
            host,
            *port,
            settings.endpoint.login(),
            options,
        ))
        .await?;
        client.set_command_timeout(REPLY);
        self.identify(&client, settings).await?;
        let mut events_wanted = if settings.notifications {
            format!("{} {EVENTS} {}", QUESTIONS.0, QUESTIONS.1)
        } else {
            EVENTS.to_owned()
        };
        if settings.voicemail {
            // Subclasses have to follow CUSTOM.
            events_wanted = format!("{} {events_wanted}", voicemail::EVENT);
        }
        client.subscribe_events_raw(EventFormat::Plain, &events_wanted).await?;
        let is_waiting = self.duty.phase() == Phase::Waiting;
        // Not awaited: the replies come after events, and those are handled below.
        tokio::spawn(prepare(client.clone(), is_waiting, self.nodes.clone(), self.node));
        let (starts, started) = mpsc::channel(16);
        let reader = Reader {
            settings: settings.clone(),
            inputs: self.inputs.clone(),
            resyncs: self.resyncs.clone(),
            nodes: self.nodes.clone(),
            node: self.node,
            started,
        };
        let asker = Asker {
            node: self.node,
            settings: settings.clone(),
            questions: self.queues.questions.clone(),
            inputs: self.inputs.clone(),
        };
        let waiting = self.waiting.clone();
        tokio::select! {
            heard = self.hear(&client, &mut events, &settings.rules, &starts) => heard,
            error = reader.run() => Err(EndReason::Reading(error)),
            () = asker.run() => Err(EndReason::Stopping),
            never = nudge(&client, waiting) => match never {},
        }
    }

    /// Learns what tells this FreeSWITCH from others, before any of its events is believed.
    async fn identify(&self, client: &EslClient, settings: &Settings) -> Result<(), EndReason> {
        let core = if self.nodes.count() == 1 {
            String::new()
        } else {
            let core = client.api(encode::ASK_CORE).await?;
            core.body().unwrap_or_default().trim().to_owned()
        };
        if core.is_empty() && self.nodes.count() > 1 {
            return Err(EndReason::NoCore);
        }
        let (host, port) = (settings.endpoint.host.as_str(), settings.endpoint.port);
        let addresses: Vec<_> = match tokio::net::lookup_host((host, port)).await {
            Ok(all) => all.map(|address| address.ip()).collect(),
            Err(_) => Vec::new(),
        };
        match self.nodes.identify(self.node, &core, &addresses) {
            Ok(()) => Ok(()),
            Err(twin) => Err(EndReason::Twin(twin)),
        }
    }

    async fn hear(
        &mut self,
        client: &EslClient,
        events: &mut EslEventStream,
        rules: &ContactRules,
        starts: &mpsc::Sender<String>,
    ) -> Result<(), EndReason> {
        let mut early = EarlyEvents::default();
        if self.nodes.key().is_some() {
            self.nodes.peers.listen_at(self.node);
        }
        let mut hello = interval(peers::EVERY);
        hello.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.duty.begun(), if !early.is_empty() => {
                    for event in early.admitted(&self.duty) {
                        self.handle(&event, rules).await?;
                    }
                }
                Some(told) = self.queues.news.recv() => if told.is_new() { self.tell_peers(client, told.news) },
                _ = hello.tick(), if self.nodes.key().is_some() => self.tell_peers(client, News::Hello),
                event = events.recv() => match event {
                    Some(Ok(event)) if event.header_str("Event-Subclass") == Some(STARTED) => {
                        let profile = event.header_str("profile_name").unwrap_or_default().to_owned();
                        // If the queue is full, the reader checks anyway.
                        let _ = starts.try_send(profile);
                        let client = client.clone();
                        tokio::spawn(async move { loosen(&client).await });
                    }
                    Some(Ok(event)) => if let Some(event) = early.admit(event, &self.duty) {
                        self.handle(&event, rules).await?;
                    },
                    Some(Err(error)) => debug!(error = words::of_esl(&error), "event skipped"),
                    None => return Err(EndReason::Closed),
                },
                kill = self.queues.kills.recv() => {
                    let Some((leg, cause)) = kill else { return Ok(()) };
                    let client = client.clone();
                    // Not awaited: its reply comes after the events, and this loop handles those.
                    tokio::spawn(async move {
                        let (channel, cause) = (leg.channel(), cause.as_str());
                        let killed = client.api(&encode::kill(channel, cause)).await;
                        // A refusal means that the leg is over already, or not made yet. A lost connection shows when
                        // the events end.
                        if killed.is_ok_and(|reply| reply.api_result().is_err()) {
                            let _ = client.api(&encode::kill_later(channel, cause)).await;
                        }
                    });
                }
            }
        }
    }

    /// Tells the other fswakes, through this FreeSWITCH. Not awaited: the reply comes after the events.
    fn tell_peers(&self, client: &EslClient, news: News) {
        let Some(key) = self.nodes.key() else { return };
        let event = self.nodes.peers.event(news, key, unix_micros());
        let client = client.clone();
        tokio::spawn(async move {
            if let Err(error) = client.send_command(EslCommand::SendEvent { event }).await {
                debug!(error = words::of_esl(&error), "other fswakes are not told");
            }
        });
    }

    async fn handle(&self, event: &EslEvent, rules: &ContactRules) -> Result<(), EndReason> {
        if let Some(key) = self.nodes.key()
            && let Some(wake) = self
                .nodes
                .peers
                .hear(self.node, |h| event.header_str(h), key, unix_micros())
        {
            let (aor, device) = (wake.aor(), wake.device());
            let caller = Some(wake.caller.into()).filter(|caller: &Arc<str>| !caller.is_empty());
            return self.tell(Event::PushedElsewhere { aor, device, caller }).await;
        }
        if let Some(request) = notifications::read(event, unix_now()) {
            let (inputs, answers) = (self.inputs.clone(), self.answers.clone());
            return self.once(event, notify(inputs, answers, request)).await;
        }
        if let Some(waiting) = voicemail::read(event, unix_now()) {
            let inputs = self.inputs.clone();
            return self.once(event, send(inputs, Input::MessagesWaiting(waiting))).await;
        }
        let subclass = event.header_str("Event-Subclass").unwrap_or_default();
        match registrations::from_event(subclass, |h| event.header_str(h), rules, unix_now()) {
            Some(registration) => self.pass_on(registration).await,
            None => Ok(()),
        }
    }

    /// Does what an event asks for. Of several fswakes at this FreeSWITCH only the first does it.
    async fn once(
        &self,
        event: &EslEvent,
        work: impl Future<Output = Result<(), EndReason>> + Send + 'static,
    ) -> Result<(), EndReason> {
        let Some(number) = number_of(event).filter(|_| !self.nodes.peers.is_alone_at(self.node)) else {
            return work.await;
        };
        let (nodes, node) = (self.nodes.clone(), self.node);
        // Registrations do not wait for the answer.
        tokio::spawn(async move {
            if nodes.get(node).claim(&format!("event-{number}")).await {
                let _ = work.await;
            } else {
                debug!(number, "another fswake does what this event asks for");
            }
        });
        Ok(())
    }

    async fn pass_on(&self, registration: RegistrationEvent) -> Result<(), EndReason> {
        let RegistrationEvent { event, warnings } = registration;
        if !warnings.is_empty()
            && let Event::Registered(reg) = &event
        {
            self.send(Input::Warnings(reg.aor.clone(), warnings)).await?;
        }
        self.tell(event).await
    }

    /// What the log calls this FreeSWITCH, where there are several.
    fn name(&self) -> Option<String> {
        self.nodes.get(self.node).own_name().map(str::to_owned)
    }

    async fn tell(&self, event: Event) -> Result<(), EndReason> {
        self.send(Input::Event(event.at(self.node))).await
    }

    async fn send(&self, input: Input) -> Result<(), EndReason> {
        send(self.inputs.clone(), input).await
    }
}

/// Tells the engine that a FreeSWITCH is gone, unless it is connected again in a moment: what rings through it then
/// goes on.
async fn tell_if_lost(inputs: mpsc::Sender<Input>, nodes: Nodes, node: NodeId) {
    tokio::time::sleep(LOST).await;
    if nodes.get(node).down_for().is_some_and(|down| down >= LOST) {
        let _ = send(inputs, Input::Event(Event::NodeLost(node))).await;
    }
}

async fn send(inputs: mpsc::Sender<Input>, input: Input) -> Result<(), EndReason> {
    inputs.send(input).await.map_err(|_| EndReason::Stopping)
}

/// Passes a notification on. A separate task sends its answer, which takes as long as the provider takes.
async fn notify(
    inputs: mpsc::Sender<Input>,
    answers: mpsc::Sender<Answer>,
    request: notifications::NotificationRequest,
) -> Result<(), EndReason> {
    let notifications::NotificationRequest { asked, aor, answer_to } = request;
    let delivery = match asked {
        Ok(asked) => {
            let (answer, delivery) = oneshot::channel();
            send(inputs, Input::Notify(asked, answer)).await?;
            Some(delivery)
        }
        Err(refusal) => {
            warn!(%refusal, aor = aor.map(tracing::field::display), "notification refused");
            None
        }
    };
    let Some(uuid) = answer_to else { return Ok(()) };
    tokio::spawn(async move {
        let sent = match delivery {
            Some(delivery) => delivery.await.is_ok_and(|delivery| delivery.sent() > 0),
            None => false,
        };
        let _ = answers.send(Answer { to: uuid, sent }).await;
    });
    Ok(())
}
