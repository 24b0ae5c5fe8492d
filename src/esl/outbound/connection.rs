//! One held call's connection: carries out the engine's orders in order, and turns FreeSWITCH's messages into events.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use freeswitch_esl_tokio::{EslCommand, EslError, EslResponse};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tracing::{debug, warn};

use super::Outbound;
use super::callee::Callee;
use super::channel_commands::Watch;
use super::command::{all_events, api, execute, filter};
use super::prepared_originate::PreparedOriginate;
use super::second_link::SecondLink;
use super::shared::Counted;
use super::transfer_source::CallerEnd;
use crate::engine::{CallOrder, Cause, Event, LegEnd, Next, Record, Ringing};
use crate::esl::decode::HeldChannel;
use crate::esl::encode;
use crate::esl::link::Link;
use crate::input::Input;
use crate::types::{CallId, LegId, NodeId};

/// How often FreeSWITCH is nudged while legs ring.
pub(super) const NUDGE: Duration = Duration::from_millis(2);
/// With more calls than this, none is nudged. Each nudge wakes one of FreeSWITCH's threads, so for many calls
/// FreeSWITCH's own 20 ms tick is better.
pub(super) const MOST_NUDGED: usize = 10;
/// After a leg was picked off, how long the event that the held channel was picked up may take.
pub(super) const PICK_UP: Duration = Duration::from_millis(200);
/// How often FreeSWITCH is asked again to release a channel.
const AGAIN: Duration = Duration::from_secs(1);
/// How long FreeSWITCH keeps the connection after the channel's hangup, for the last events.
const LINGER: Duration = Duration::from_secs(5);

/// Failed `originate`s whose legs have not hung up, with the time when the wait ends, in order.
pub(super) type Jobs = Vec<(Instant, LegId, LegEnd)>;

/// One held call's connection.
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is known of the call by itself; together they are no state"
)]
pub(super) struct Connection {
    pub(super) shared: Outbound,
    pub(super) link: Link,
    pub(super) held: HeldChannel,
    pub(super) call: CallId,
    /// Legs by channel UUID.
    pub(super) legs: HashMap<String, LegId>,
    /// How many legs have a filter: those with lower numbers.
    pub(super) armed: u32,
    /// What FreeSWITCH keeps of the next leg's originate.
    pub(super) prepared: Option<PreparedOriginate>,
    /// Legs through another FreeSWITCH whose phone neither rings nor answers, and since when they are dialled.
    pub(super) untaken: Vec<(LegId, NodeId, Instant)>,
    /// Legs that were dialed, in order.
    pub(super) dialed: Vec<LegId>,
    /// Legs that were dialled, and are neither over nor bridged.
    pub(super) ringing: Vec<LegId>,
    /// How often the lease of each was renewed.
    pub(super) renewals: HashMap<LegId, u32>,
    /// When the leases are to be renewed, if legs ring.
    pub(super) renew_at: Instant,
    /// Legs that have left their originate. Only those can be bridged.
    pub(super) parked: Vec<LegId>,
    /// The callee's name for legs that were answered or have early media, until it is sent ([`encode::name_callee`]).
    pub(super) reaches: HashMap<LegId, [String; 4]>,
    /// Legs that have the callee's name when they are parked.
    pub(super) named: Vec<LegId>,
    /// Legs that were dialled while only the callee's alias was known.
    pub(super) dialled_by_alias: Vec<LegId>,
    /// Who is called.
    pub(super) callee: Callee,
    /// Legs that have the callee's variables, or wait for them.
    pub(super) with_variables: Vec<LegId>,
    /// Those that wait.
    pub(super) awaiting_variables: Vec<LegId>,
    /// Legs that are over, and how they ended.
    pub(super) ended: Vec<(LegId, LegEnd)>,
    /// Legs whose originate has failed, and whose hangup may still come.
    pub(super) jobs: Jobs,
    /// Ends of legs that somebody picked off, and since when. Most likely the held channel was picked up, too; its
    /// event comes in a moment.
    pub(super) picked_off: Option<(Instant, Vec<Event>)>,
    /// Where the held channel is.
    pub(super) place: Place,
    /// The leg whose early media the caller hears or is about to hear.
    pub(super) early: Option<LegId>,
    /// That leg's answer, held back until the caller has taken the loopback's place.
    pub(super) early_answer: Option<Event>,
    /// The loopback's end that faces us is inside its bridge with the caller.
    pub(super) is_loopback_bridged: bool,
    /// The caller behind the loopback is answered.
    pub(super) is_caller_answered: bool,
    /// How the caller behind the loopback ended.
    pub(super) caller_end: Option<CallerEnd>,
    /// The caller was sent ringing.
    pub(super) caller_rings: bool,
    /// Somebody else has the channel, and FreeSWITCH has not accepted that the call outlives this connection.
    pub(super) holds_on: bool,
    /// While legs ring.
    pub(super) counted: Option<Counted>,
    /// The leg that the current order ends or bridges, and its cause if the order fails.
    pub(super) in_hand: Option<(LegId, Cause)>,
    /// What the held channel's variables will report of the wake.
    pub(super) record: Record,
    /// Where commands go once the channel has to be released.
    pub(super) second_link: SecondLink,
    /// Reports that somebody may have taken the channel; `None` if FreeSWITCH sends events for that.
    pub(super) watch: Option<Watch>,
}

/// Where the held channel is, as far as fswake knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// With us.
    Held,
    /// fswake is bridging it: it leaves its park on purpose.
    Bridging,
    /// A loopback whose caller fswake is bridging in its place: it ends on purpose.
    Replaced,
    /// Hung up.
    Gone,
    /// With somebody else.
    Taken,
}

/// What the task does after an order.
enum After {
    Go,
    Close,
}

impl Connection {
    pub(super) fn new(shared: Outbound, link: Link, held: HeldChannel) -> Self {
        let call = held.call.call;
        let watch = held
            .socket
            .is_static
            .then(|| shared.channel_commands.watch(&held.channel));
        let rung_by_freeswitch = held.call.options.ringing == Ringing::FreeSwitch;
        Self {
            shared,
            link,
            held,
            call,
            legs: HashMap::new(),
            armed: 0,
            prepared: None,
            untaken: Vec::new(),
            dialed: Vec::new(),
            ringing: Vec::new(),
            renewals: HashMap::new(),
            renew_at: Instant::now(),
            parked: Vec::new(),
            reaches: HashMap::new(),
            named: Vec::new(),
            dialled_by_alias: Vec::new(),
            callee: Callee::default(),
            with_variables: Vec::new(),
            awaiting_variables: Vec::new(),
            ended: Vec::new(),
            jobs: Jobs::new(),
            picked_off: None,
            place: Place::Held,
            early: None,
            early_answer: None,
            is_loopback_bridged: false,
            is_caller_answered: false,
            caller_end: None,
            caller_rings: false,
            holds_on: false,
            counted: None,
            in_hand: None,
            record: Record {
                rung_by_freeswitch,
                ..Record::default()
            },
            second_link: SecondLink::None,
            watch,
        }
    }

    /// Until either side closes.
    pub(super) async fn run(mut self) {
        let (orders, queue) = mpsc::unbounded_channel();
        self.complain().await;
        // The engine learns of the call before its connection is fully set up, so that the push leaves early.
        let held = Input::Held(self.held.call.clone(), orders);
        if self.shared.inputs.send(held).await.is_err() {
            return;
        }
        self.attend_to_its_end(queue, Self::work).await;
    }

    async fn work(&mut self, queue: &mut mpsc::UnboundedReceiver<CallOrder>) -> Result<(), EslError> {
        self.set_up().await?;
        self.attend(queue).await
    }

    async fn set_up(&mut self) -> Result<(), EslError> {
        let mut commands = vec![
            EslCommand::Linger { timeout: Some(LINGER) },
            filter("Unique-ID", &self.held.channel),
            filter("Job-Owner-UUID", &self.held.channel),
            all_events(),
        ];
        commands.extend(self.without_async());
        commands.extend(self.arming(0));
        self.all(commands).await?;
        self.find_caller().await?;
        self.subscribe_to_loopback().await?;
        self.name_what_is_left_out().await;
        if self.held.ringback.at_once {
            self.start_caller_ringing().await?;
        }
        // No event will come for a caller who hung up or was taken before the subscription: phones would ring in vain.
        self.is_being_taken().await?;
        Ok(())
    }

    /// Carries out orders and reports events, until either side closes.
    async fn attend(&mut self, queue: &mut mpsc::UnboundedReceiver<CallOrder>) -> Result<(), EslError> {
        loop {
            let renew_at = self.renew_at;
            let rings = !self.ringing.is_empty();
            let nudges = rings && self.shared.ringing.load(Ordering::Relaxed) <= MOST_NUDGED;
            let no_channel_at = self.jobs.first().map_or(renew_at, |(at, ..)| *at);
            let told_at = self.picked_off.as_ref().map_or(renew_at, |(at, _)| *at + PICK_UP);
            // What is due comes first: steady traffic would delay it for ever.
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(renew_at), if rings => self.renew_leases().await?,
                () = tokio::time::sleep_until(no_channel_at), if !self.jobs.is_empty() => self.never_had_a_channel().await,
                () = tokio::time::sleep_until(told_at), if self.picked_off.is_some() => self.was_not_picked_up().await,
                named = Watch::due(&mut self.watch), if self.place == Place::Held => self.look(named).await?,
                () = std::future::ready(()), if self.is_early_bridge_answered() => self.connect_early().await?,
                user = self.callee.answer() => self.callee_is(user).await?,
                event = self.link.event() => match event {
                    Some(event) => self.on_event(&event).await,
                    None => return Err(EslError::ConnectionClosed),
                },
                order = queue.recv() => {
                    let Some(order) = order else { return Ok(()) };
                    self.in_hand = order.leg_to_end();
                    let after = self.obey(order).await?;
                    self.in_hand = None;
                    if let After::Close = after {
                        return self.close().await;
                    }
                }
                () = std::future::ready(()), if !self.is_prepared() => self.prepare_leg().await?,
                () = tokio::time::sleep(NUDGE), if nudges => {
                    self.link.nudge();
                    continue;
                }
            }
            self.count_ringing(!self.ringing.is_empty());
        }
    }

    /// Closes the connection, as soon as that no longer ends a call.
    async fn close(&mut self) -> Result<(), EslError> {
        let channel = self.held.channel.clone();
        while self.holds_on {
            self.let_go(&channel).await?;
            let until = Instant::now() + AGAIN;
            while self.holds_on {
                match timeout_at(until, self.link.event()).await {
                    Ok(Some(_)) => {}
                    Ok(None) => return Ok(()),
                    Err(_) => break,
                }
            }
        }
        if !matches!(self.second_link, SecondLink::Left) {
            let _ = self.link.send(EslCommand::Exit).await;
        }
        Ok(())
    }

    /// Sets the channel's call to go on after this connection ends.
    pub(super) async fn let_go(&mut self, channel: &str) -> Result<(), EslError> {
        let before = self.holds_on;
        let is_refused = !self.api(encode::resumes(channel, false)).await?;
        self.holds_on = is_refused && self.ask(format!("uuid_exists {channel}")).await?.trim() == "true";
        if self.holds_on && !before {
            warn!("FreeSWITCH refused socket_resume=false: the connection stays open as long as the call");
        }
        Ok(())
    }

    async fn obey(&mut self, order: CallOrder) -> Result<After, EslError> {
        match order {
            CallOrder::CallUser(aor) => {
                self.held.call.aor = aor;
                self.dialled_by_alias.clone_from(&self.dialed);
                self.callee = Callee::Unasked;
                // What was prepared names another.
                if let Some(prepared) = &mut self.prepared {
                    prepared.lease = 0;
                }
            }
            CallOrder::Alert => self.start_caller_ringing().await?,
            CallOrder::Ring(ring) => self.ring(*ring).await?,
            CallOrder::Kill { leg, cause } => {
                self.ringing.retain(|l| *l != leg);
                if let Err(error) = self.kill(leg, &cause).await {
                    self.kill_elsewhere(leg, cause).await;
                    return Err(error);
                }
            }
            CallOrder::AskOtherLeg(target) => self.ask_other_leg(target).await?,
            CallOrder::Connect(connect) => {
                let told = self.connect(&connect).await?;
                self.emit(told).await;
            }
            CallOrder::Record { record, at_once } => {
                self.record = *record;
                if at_once && self.is_still_held().await {
                    self.report("held", encode::IF_CANCELLED).await?;
                }
            }
            CallOrder::Release { result, next } => {
                self.release(result.as_str(), &next).await?;
                return Ok(After::Close);
            }
            CallOrder::Close => return Ok(After::Close),
        }
        Ok(After::Go)
    }

    /// Hands the channel back to the dialplan.
    async fn release(&mut self, result: &str, next: &Next) -> Result<(), EslError> {
        if !self.is_still_held().await {
            return Ok(());
        }
        let more = match next {
            Next::Ring(left) => left.map(encode::time_left).unwrap_or_default(),
            Next::Fail { cause, sip_status } => {
                let caller = self.held.parent.channel.clone();
                let caller = caller.unwrap_or_else(|| self.held.channel.clone());
                self.api(encode::status(&caller, *sip_status)).await?;
                encode::fails(cause)
            }
        };
        self.report(result, &(more + &self.forget_prepared())).await?;
        if !self.held.socket.is_static {
            self.command(EslCommand::Resume).await?;
        }
        Ok(())
    }

    /// A command whose reply shows only whether the connection still works.
    pub(super) async fn command(&mut self, command: EslCommand) -> Result<(), EslError> {
        self.all(vec![command]).await?;
        Ok(())
    }

    /// Runs an application on a leg, or on the held channel.
    pub(super) async fn execute(&mut self, on: Option<LegId>, app: &str, argument: String) -> Result<(), EslError> {
        self.command(execute(on, app, argument)).await
    }

    /// The held channel's variables, for its dialplan and its CDR.
    pub(super) async fn report(&mut self, result: &str, more: &str) -> Result<bool, EslError> {
        let mut command = encode::report(&self.held.channel, self.call, result, &self.record);
        command.push_str(more);
        self.api(command).await
    }

    /// Runs an API command; returns whether it succeeded.
    pub(super) async fn api(&mut self, command: String) -> Result<bool, EslError> {
        let replies = self.all(vec![api(command)]).await?;
        Ok(replies.iter().all(|reply| reply.api_result().is_ok()))
    }

    /// Commands that do not wait for one another's replies.
    pub(super) async fn all(&mut self, commands: Vec<EslCommand>) -> Result<Vec<EslResponse>, EslError> {
        let asked = Instant::now();
        let replies = self.link.send_all(&commands).await;
        let now = Instant::now();
        let each = now.duration_since(asked) / u32::try_from(commands.len().max(1)).unwrap_or(u32::MAX);
        self.shared.lease_time.took(each, now);
        let replies = replies?;
        for (command, reply) in commands.iter().zip(&replies) {
            if let EslCommand::Api { command } = command {
                let verb = command
                    .trim_start_matches("expand ")
                    .split(' ')
                    .next()
                    .unwrap_or_default();
                debug!(verb, ok = reply.api_result().is_ok(), "api");
            } else if !reply.is_success() {
                debug!(reply = reply.reply_text().unwrap_or_default(), "command refused");
            }
        }
        Ok(replies)
    }

    pub(super) async fn emit(&self, event: Event) {
        let _ = self.shared.inputs.send(Input::Event(event)).await;
    }
}
