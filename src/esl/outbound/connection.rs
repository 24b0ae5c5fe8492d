//! One held call's connection: carries out what the engine orders, in order, and reports what FreeSWITCH says.

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
use super::transfer_source::CallerEnd;
use crate::engine::{CallOrder, Cause, Event, LegEnd, Next, Record, Ringing};
use crate::esl::decode::HeldChannel;
use crate::esl::encode;
use crate::esl::link::Link;
use crate::input::Input;
use crate::types::{CallId, LegId};

/// FreeSWITCH is nudged this often while legs ring, shared by all calls: ten ringing calls or more are not nudged at all,
/// because FreeSWITCH's own 20 ms tick is as good then.
pub(super) const NUDGE: Duration = Duration::from_millis(2);
const MOST_NUDGED: usize = 10;
/// How long the held channel may take to say that it was picked up, after a leg was picked off.
pub(super) const PICK_UP: Duration = Duration::from_millis(200);
/// How often FreeSWITCH is told again to let go of a channel.
const AGAIN: Duration = Duration::from_secs(1);
/// How long FreeSWITCH keeps the connection after the channel's hangup, for the last events.
const LINGER: Duration = Duration::from_secs(5);

/// Failed `originate`s whose legs have not hung up, with the end of the wait, in order.
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
    /// Legs with a filter set, counted: leg numbers below this are heard.
    pub(super) armed: u32,
    /// What FreeSWITCH keeps of the next leg's originate.
    pub(super) prepared: Option<PreparedOriginate>,
    /// Legs that were dialed, in order.
    pub(super) dialed: Vec<LegId>,
    /// Legs that were dialled and are not over or bridged.
    pub(super) ringing: Vec<LegId>,
    /// How often the lease of each was renewed.
    pub(super) renewals: HashMap<LegId, u32>,
    /// Legs that have left their originate: only those can be bridged.
    pub(super) parked: Vec<LegId>,
    /// Whom a leg reaches that was answered or has early media, until it is told ([`encode::name_callee`]).
    pub(super) reaches: HashMap<LegId, [String; 4]>,
    /// Legs that know whom they reach.
    pub(super) named: Vec<LegId>,
    /// Who is called.
    pub(super) callee: Callee,
    /// Legs that were given his variables, or wait for them.
    pub(super) with_variables: Vec<LegId>,
    /// Those that wait.
    pub(super) awaiting_variables: Vec<LegId>,
    /// Legs that are over, and how.
    pub(super) ended: Vec<(LegId, LegEnd)>,
    /// Legs whose originate has failed, and that may hang up yet.
    pub(super) jobs: Jobs,
    /// Ends of legs that somebody picked off, from when on: most likely the held channel was picked up, and says so in a moment.
    pub(super) picked_off: Option<(Instant, Vec<Event>)>,
    /// Where the held channel is.
    pub(super) place: Place,
    /// The leg whose early media the caller hears, or is about to.
    pub(super) early: Option<LegId>,
    /// That leg has answered, and the engine has not heard of it: the caller has yet to take the loopback's place.
    pub(super) early_answer: Option<Event>,
    /// The end of the loopback that we are behind is inside its bridge with the caller.
    pub(super) is_loopback_bridged: bool,
    /// The caller behind the loopback is answered.
    pub(super) is_caller_answered: bool,
    /// How the caller behind the loopback has ended.
    pub(super) caller_end: Option<CallerEnd>,
    /// The caller was told that it rings.
    pub(super) alerted: bool,
    /// Somebody else has the channel, and FreeSWITCH did not take it that the end of this connection is no matter for it.
    pub(super) holds_on: bool,
    pub(super) counted: bool,
    /// The leg that is being ended or bridged by the order which is carried out: how it ends if that never comes to its end.
    pub(super) in_hand: Option<(LegId, Cause)>,
    /// What the held channel's variables are to say of the wake.
    pub(super) record: Record,
    /// Where commands go once the channel has to be left.
    pub(super) second_link: SecondLink,
    /// Tells when somebody else may have the channel; nothing where FreeSWITCH's events do.
    pub(super) watch: Option<Watch>,
}

/// Where the held channel is, as far as we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// With us.
    Held,
    /// Being bridged by us: it leaves its park because we want it to.
    Bridging,
    /// A loopback whose caller is being bridged by us in its place: it ends because we want it to.
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
            dialed: Vec::new(),
            ringing: Vec::new(),
            renewals: HashMap::new(),
            parked: Vec::new(),
            reaches: HashMap::new(),
            named: Vec::new(),
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
            alerted: false,
            holds_on: false,
            counted: false,
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
        // The engine hears of the call before its connection is fully set up: the push leaves meanwhile.
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
        self.keep_asleep().await?;
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
            self.alert().await?;
        }
        // A caller who hung up or was taken before we listened is not heard of again: phones would ring for nobody.
        self.is_being_taken().await?;
        Ok(())
    }

    /// Does what is ordered and tells what is heard, until either side closes.
    async fn attend(&mut self, queue: &mut mpsc::UnboundedReceiver<CallOrder>) -> Result<(), EslError> {
        let mut renew_at = Instant::now();
        loop {
            let rings = !self.ringing.is_empty();
            let nudges = rings && self.shared.ringing.load(Ordering::Relaxed) <= MOST_NUDGED;
            let no_channel_at = self.jobs.first().map_or(renew_at, |(at, ..)| *at);
            let told_at = self.picked_off.as_ref().map_or(renew_at, |(at, _)| *at + PICK_UP);
            // What has its time comes first: steady traffic would keep it waiting for ever.
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(renew_at), if rings => {
                    self.renew_leases().await?;
                    renew_at = Instant::now() + self.shared.lease_time.renewal();
                }
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
                    let first = self.ringing.is_empty();
                    self.in_hand = order.leg_to_end();
                    let after = self.obey(order).await?;
                    self.in_hand = None;
                    if let After::Close = after {
                        return self.close().await;
                    }
                    if first {
                        renew_at = Instant::now() + self.shared.lease_time.renewal();
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

    /// Closes the connection; once that ends nobody's call.
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

    /// Tells FreeSWITCH that the channel's call goes on when this connection ends.
    pub(super) async fn let_go(&mut self, channel: &str) -> Result<(), EslError> {
        if self.held.sleep.is_some() {
            self.api(encode::forget_holder(channel)).await?;
            return Ok(());
        }
        let before = self.holds_on;
        let is_refused = !self.api(encode::resumes(channel, false)).await?;
        self.holds_on = is_refused && self.ask(format!("uuid_exists {channel}")).await?.trim() == "true";
        if self.holds_on && !before {
            warn!("FreeSWITCH has not taken socket_resume=false: the connection stays as long as the call");
        }
        Ok(())
    }

    async fn obey(&mut self, order: CallOrder) -> Result<After, EslError> {
        match order {
            CallOrder::CallUser(aor) => {
                self.held.call.aor = aor;
                self.callee = Callee::Unasked;
                // What was prepared names another.
                if let Some(prepared) = &mut self.prepared {
                    prepared.lease = 0;
                }
            }
            CallOrder::Alert => self.alert().await?,
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

    /// A command whose reply only tells whether the connection lives.
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

    /// An API command; whether it succeeded.
    pub(super) async fn api(&mut self, command: String) -> Result<bool, EslError> {
        let replies = self.all(vec![api(command)]).await?;
        Ok(replies.iter().all(|reply| reply.api_result().is_ok()))
    }

    /// Commands that need not wait for one another's replies.
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
