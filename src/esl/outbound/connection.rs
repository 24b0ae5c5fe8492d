//! One held call's connection: does what the engine orders, in order, and tells what FreeSWITCH says.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use freeswitch_esl_tokio::{EslCommand, EslError, EslEvent, EslEventType, ExecuteOptions};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::{Order, Outbound, Ring, kind};
use crate::driver::Input;
use crate::engine::{Event, LegEnd, Record, Ringing};
use crate::esl::decode::{self, Held};
use crate::esl::encode;
use crate::esl::link::Link;
use crate::types::{CallId, LegId};

/// FreeSWITCH is nudged this often while legs ring, shared by all calls: ten ringing calls or more are not nudged at all,
/// because FreeSWITCH's own 20 ms tick is as good then.
const NUDGE: Duration = Duration::from_millis(2);
const MOST_NUDGED: usize = 10;
/// How long FreeSWITCH may take from `uuid_bridge` to the bridge.
const BRIDGE_PATIENCE: Duration = Duration::from_secs(2);
/// How long FreeSWITCH keeps the connection after the channel's hangup, for the last events.
const LINGER: Duration = Duration::from_secs(5);

/// One held call's connection.
pub(super) struct Connection {
    pub(super) shared: Outbound,
    pub(super) link: Link,
    pub(super) held: Held,
    pub(super) call: CallId,
    /// Legs by channel UUID.
    legs: HashMap<String, LegId>,
    /// Legs with a filter set, counted: leg numbers below this are heard.
    armed: u32,
    /// Legs that were dialed and are not over or bridged.
    ringing: Vec<LegId>,
    counted: bool,
    /// What the held channel's variables are to say of the wake.
    record: Record,
}

/// What the task does after an order.
enum Next {
    Go,
    Close,
}

impl Connection {
    pub(super) fn new(shared: Outbound, link: Link, held: Held) -> Self {
        let call = held.call.call;
        Self {
            shared,
            link,
            held,
            call,
            legs: HashMap::new(),
            armed: 0,
            ringing: Vec::new(),
            counted: false,
            record: Record::default(),
        }
    }

    /// Until either side closes.
    pub(super) async fn run(mut self) {
        let (orders, mut queue) = mpsc::unbounded_channel();
        self.complain().await;
        if let Err(error) = self.find_out_who_rings().await {
            debug!(reason = kind(&error), "connection lost");
            return;
        }
        // The engine hears of the call before its connection is fully set up: the push leaves meanwhile.
        if self
            .shared
            .inputs
            .send(Input::Held(self.held.call.clone(), orders))
            .await
            .is_err()
        {
            return;
        }
        let outcome = match self.set_up().await {
            Ok(()) => self.attend(&mut queue).await,
            Err(error) => Err(error),
        };
        self.count_ringing(false);
        if let Err(error) = outcome {
            debug!(reason = kind(&error), "connection lost");
            self.tell(Event::ConnectionLost(self.call)).await;
        }
        // Whatever was still ordered: only kills matter without a connection, and the driver sends those elsewhere.
        queue.close();
        while let Some(order) = queue.recv().await {
            if let Order::Kill(leg, cause) = order {
                let _ = self.shared.inputs.send(Input::KillElsewhere(leg, cause)).await;
            }
        }
    }

    async fn set_up(&mut self) -> Result<(), EslError> {
        self.command(EslCommand::Linger { timeout: Some(LINGER) }).await?;
        let channel = self.held.channel.clone();
        self.filter("Unique-ID", &channel).await?;
        self.filter("Job-Owner-UUID", &channel).await?;
        let events = "CHANNEL_PROGRESS CHANNEL_PROGRESS_MEDIA CHANNEL_ANSWER CHANNEL_BRIDGE CHANNEL_HANGUP \
                      BACKGROUND_JOB";
        self.command(EslCommand::Events {
            format: "plain".into(),
            events: events.into(),
        })
        .await?;
        self.arm(0).await?;
        // A caller who hung up before we listened is not heard of again: phones would ring until the linger is over.
        let command = format!("uuid_exists {channel}");
        let reply = self.link.send(EslCommand::Api { command }).await?;
        if reply.body().is_some_and(|body| body.trim() == "false") {
            let (call, cause) = (self.call, "ORIGINATOR_CANCEL".into());
            self.tell(Event::CallerGone { call, cause }).await;
        }
        Ok(())
    }

    /// Does what is ordered and tells what is heard, until either side closes.
    async fn attend(&mut self, queue: &mut mpsc::UnboundedReceiver<Order>) -> Result<(), EslError> {
        let mut renew_at = Instant::now();
        loop {
            let rings = !self.ringing.is_empty();
            let nudges = rings && self.shared.ringing.load(Ordering::Relaxed) <= MOST_NUDGED;
            tokio::select! {
                biased;
                event = self.link.event() => match event {
                    Some(event) => self.heard(&event).await,
                    None => return Err(EslError::ConnectionClosed),
                },
                order = queue.recv() => {
                    let Some(order) = order else { return Ok(()) };
                    let first = self.ringing.is_empty();
                    if let Next::Close = self.obey(order).await? {
                        let _ = self.link.send(EslCommand::Exit).await;
                        return Ok(());
                    }
                    if first {
                        renew_at = Instant::now() + encode::LEASE_RENEWAL;
                    }
                }
                () = tokio::time::sleep(NUDGE), if nudges => {
                    self.link.nudge();
                    if Instant::now() < renew_at {
                        continue;
                    }
                    self.renew_leases().await?;
                    renew_at = Instant::now() + encode::LEASE_RENEWAL;
                }
                () = tokio::time::sleep_until(renew_at), if rings && !nudges => {
                    self.renew_leases().await?;
                    renew_at = Instant::now() + encode::LEASE_RENEWAL;
                }
            }
            self.count_ringing(!self.ringing.is_empty());
        }
    }

    async fn heard(&mut self, event: &EslEvent) {
        let name = match event.event_type() {
            Some(EslEventType::ChannelProgress) => "CHANNEL_PROGRESS",
            Some(EslEventType::ChannelProgressMedia) => "CHANNEL_PROGRESS_MEDIA",
            Some(EslEventType::ChannelAnswer) => "CHANNEL_ANSWER",
            Some(EslEventType::ChannelHangup) => "CHANNEL_HANGUP",
            Some(EslEventType::BackgroundJob) => "BACKGROUND_JOB",
            _ => return,
        };
        let legs = &self.legs;
        let leg = |channel: &str| legs.get(channel).copied();
        let told = decode::call_event(
            name,
            |h| event.header_str(h),
            event.body(),
            &self.held.channel,
            leg,
            self.call,
        );
        let Some(told) = told else { return };
        if let Event::LegEnded { leg, .. } = &told {
            self.ringing.retain(|l| l != leg);
        }
        self.tell(told).await;
    }

    async fn obey(&mut self, order: Order) -> Result<Next, EslError> {
        match order {
            Order::Alert => {
                self.command(EslCommand::Execute {
                    app: "ring_ready".into(),
                    args: None,
                    uuid: None,
                    options: ExecuteOptions::new(),
                })
                .await?;
            }
            Order::Ring(ring) => self.ring(*ring).await?,
            Order::Kill(leg, cause) => {
                self.ringing.retain(|l| *l != leg);
                self.command(EslCommand::BgApi {
                    command: encode::kill(leg.channel(), cause.as_str()),
                })
                .await?;
            }
            Order::AskOtherLeg(target) => self.ask_other_leg(target).await?,
            Order::Connect(leg, codec) => {
                let bridged = self.connect(leg, codec.as_deref()).await?;
                self.tell(if bridged {
                    Event::Bridged(leg)
                } else {
                    Event::BridgeFailed(leg)
                })
                .await;
            }
            Order::Record(record, at_once) => {
                self.record = *record;
                if at_once {
                    self.report("held").await?;
                }
            }
            Order::Release(result) => {
                self.report(result).await?;
                self.command(EslCommand::Resume).await?;
                return Ok(Next::Close);
            }
            Order::Reject(cause) => {
                self.report("declined").await?;
                self.api(format!("uuid_kill {} {cause}", self.held.channel)).await?;
                return Ok(Next::Close);
            }
            Order::Close => return Ok(Next::Close),
        }
        Ok(Next::Go)
    }

    async fn ring(&mut self, ring: Ring) -> Result<(), EslError> {
        let leg = ring.leg;
        self.arm(leg.n).await?;
        let offer = encode::Offer {
            caller_number: self.held.call.caller_number.clone(),
            caller_name: self.held.call.caller_name.clone(),
            codecs: self.held.codecs.clone().filter(|_| !ring.any_codec),
            private: self.held.private,
        };
        self.ringing.push(leg);
        let command = encode::originate(
            leg,
            ring.target.as_str(),
            &ring.sip_call_id,
            ring.timeout,
            ring.park_timeout,
            &offer,
        );
        self.tell(Event::LegDialed(leg)).await;
        let reply = self.link.send(EslCommand::BgApi { command }).await?;
        if !reply.is_success() {
            self.ringing.retain(|l| *l != leg);
            let cause = "COMMAND_REFUSED".into();
            self.tell(Event::LegEnded {
                leg,
                end: LegEnd {
                    cause,
                    sip_status: None,
                },
            })
            .await;
        }
        // The next leg's filter is set while nobody waits for it.
        self.arm(leg.n + 1).await
    }

    /// Answers the caller with the leg's codec, bridges, and lets the call live without us. False: no bridge.
    async fn connect(&mut self, leg: LegId, codec: Option<&str>) -> Result<bool, EslError> {
        let channel = self.held.channel.clone();
        self.ringing.retain(|l| *l != leg);
        // First of all: a lease that runs out later would cut the call.
        self.api(encode::lease_end(leg.channel())).await?;
        self.api(encode::prepare_answer(&channel, self.call, codec)).await?;
        let answered = self.api(format!("uuid_answer {channel}")).await?;
        if !answered {
            return Ok(false);
        }
        if !self.api(format!("uuid_bridge {} {channel}", leg.channel())).await? {
            return Ok(false);
        }
        // With socket_resume the end of this connection would end the call (measured, both ways in). Only now is it
        // connected: a dialplan that goes on before must not take it for that.
        self.api(encode::bridged(&channel, &self.record)).await?;
        self.see_bridged(leg).await?;
        Ok(true)
    }

    /// Waits until the bridge stands. `uuid_bridge` only announces it: when the phone hangs up before FreeSWITCH has got
    /// there, the held channel would hang in between for ever, answered and alone (measured).
    async fn see_bridged(&mut self, leg: LegId) -> Result<(), EslError> {
        let deadline = Instant::now() + BRIDGE_PATIENCE;
        let channel = leg.channel().to_string();
        loop {
            let event = tokio::select! {
                event = self.link.event() => event.ok_or(EslError::ConnectionClosed)?,
                () = tokio::time::sleep(NUDGE) => {
                    self.link.nudge();
                    if Instant::now() < deadline {
                        continue;
                    }
                    warn!("FreeSWITCH has not said that the bridge stands");
                    return self.end_if_alone(leg).await;
                }
            };
            let of = |id: &str| event.header_str("Unique-ID") == Some(id);
            match event.event_type() {
                Some(EslEventType::ChannelBridge) => return Ok(()),
                Some(EslEventType::ChannelHangup) if of(&channel) => {
                    let cause = event.header_str("Hangup-Cause").unwrap_or_default();
                    self.api(encode::kill(&self.held.channel, cause)).await?;
                    return Ok(());
                }
                Some(EslEventType::ChannelHangup) if of(&self.held.channel) => return Ok(()),
                _ => self.heard(&event).await,
            }
        }
    }

    /// Ends the held channel when its leg is gone: nobody else would.
    async fn end_if_alone(&mut self, leg: LegId) -> Result<(), EslError> {
        let command = format!("uuid_exists {}", leg.channel());
        let reply = self.link.send(EslCommand::Api { command }).await?;
        if reply.body().is_some_and(|body| body.trim() == "false") {
            self.api(encode::kill(&self.held.channel, "NORMAL_CLEARING")).await?;
        }
        Ok(())
    }

    async fn renew_leases(&mut self) -> Result<(), EslError> {
        for leg in self.ringing.clone() {
            self.api(encode::lease_end(leg.channel())).await?;
            self.api(encode::lease_renew(leg.channel())).await?;
        }
        Ok(())
    }

    /// Hears the events of leg `n`, and of all before it.
    async fn arm(&mut self, n: u32) -> Result<(), EslError> {
        while self.armed <= n {
            let leg = LegId {
                call: self.call,
                n: self.armed,
            };
            let channel = leg.channel().to_string();
            self.filter("Unique-ID", &channel).await?;
            self.legs.insert(channel, leg);
            self.armed += 1;
        }
        Ok(())
    }

    async fn filter(&mut self, header: &str, value: &str) -> Result<(), EslError> {
        self.command(EslCommand::Filter {
            header: header.into(),
            value: value.into(),
        })
        .await
    }

    /// A command whose reply only tells whether the connection lives.
    async fn command(&mut self, command: EslCommand) -> Result<(), EslError> {
        let reply = self.link.send(command).await?;
        if !reply.is_success() {
            debug!(reply = reply.reply_text().unwrap_or_default(), "command refused");
        }
        Ok(())
    }

    /// The held channel's variables, for its dialplan and its CDR.
    async fn report(&mut self, result: &str) -> Result<bool, EslError> {
        let mut command = encode::report(&self.held.channel, self.call, result, &self.record);
        if self.held.call.wishes.ringing == Ringing::Beside {
            command.push_str(encode::RUNG_BESIDE);
        }
        self.api(command).await
    }

    /// An API command; whether it succeeded.
    async fn api(&mut self, command: String) -> Result<bool, EslError> {
        let verb = command.split(' ').next().unwrap_or_default().to_owned();
        let reply = self.link.send(EslCommand::Api { command }).await?;
        let ok = reply.api_result().is_ok();
        debug!(verb, ok, "api");
        Ok(ok)
    }

    fn count_ringing(&mut self, rings: bool) {
        if rings != self.counted {
            self.counted = rings;
            if rings {
                self.shared.ringing.fetch_add(1, Ordering::Relaxed);
            } else {
                self.shared.ringing.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    pub(super) async fn tell(&self, event: Event) {
        let _ = self.shared.inputs.send(Input::Event(event)).await;
    }
}
