//! Every invariant of the engine, defined once.
//!
//! The ledger receives every event before the engine does, and every command after. It reports which invariant broke.
//! The random tests (`tests/invariants.rs`) and the exhaustive check (`tests/exhaustive`) both use it.
#![allow(dead_code, missing_docs, reason = "each test uses its part")]
#![allow(clippy::struct_excessive_bools, reason = "independent facts about one call")]

use std::collections::BTreeSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use fswake_core::engine::party::Origin;
use fswake_core::engine::{CallOrder, Command, Connect, Event, HeldCall, LegEnd, OtherLegState, Ring, Routing, Step};
use fswake_core::types::push::PushKind;
use fswake_core::types::{CallId, LegId, Moment, Target};

/// The invariants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Invariant {
    /// By its deadline, every held call is released, connected or hung up.
    DecidedInTime,
    /// A hold ends once. After that the engine orders no leg and no push for it.
    EndsOnce,
    /// At most one leg is bridged, or being bridged, with the caller.
    OneBridge,
    /// When a call is over, each of its legs is bridged, killed or ended. Only legs that were dialled are killed.
    EveryLegEnds,
    /// A call has at most one leg to each address.
    OneLegAnAddress,
    /// A call has at most one leg to each phone.
    OneLegAPhone,
    /// A phone is not pushed for a call that it rings for or has answered.
    NoPushWhileRinging,
    /// A phone that has refused or declined a call is neither pushed nor rung for it again.
    RefusedIsLeftAlone,
    /// A call does not share a wake that is over, that is, whose phone has rung, answered, declined or refused since
    /// the push.
    OverIsNotShared,
    /// A bridged leg is not killed.
    BridgedIsLeftAlone,
    /// A call that another phone has taken is left alone.
    TakenIsLeftAlone,
    /// The caller gets ringing at most once.
    AlertedOnce,
    /// When a phone rings, the held caller gets ringing.
    RingingIsHeard,
    /// No phone rings, and no push is valid, for more than a minute.
    AMinuteAtMost,
    /// A call has one summary, at its end.
    OneSummary,
    /// A requested wake orders nothing for a channel, and ends with one answer.
    OneAnswer,
    /// When no call is held, no timer is running.
    NoTimerLeft,
    /// Late and duplicate events change nothing.
    LateChangesNothing,
    /// The same events give the same commands and the same state. States with the same digest behave alike.
    Deterministic,
    /// The engine does not panic.
    NoPanic,
}

/// A broken invariant, with details.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    pub invariant: Invariant,
    pub what: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.invariant, self.what)
    }
}

/// Nothing, or the invariant that broke.
pub type Holds = Result<(), Broken>;

/// Fails with `invariant` unless `is`.
pub fn holds(invariant: Invariant, is: bool, what: impl FnOnce() -> String) -> Holds {
    if is {
        Ok(())
    } else {
        Err(Broken {
            invariant,
            what: what(),
        })
    }
}

/// What is known of a leg so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LegSound {
    Nothing,
    /// 183 with media: the phone was reached, but has not reported that it rings.
    Media,
    Ringing,
    Answered,
}

/// The bridge between a leg and the caller, as FreeSWITCH has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bridge {
    /// Not bridged.
    No,
    /// FreeSWITCH was ordered to bridge it. `true`: to pass on its early media.
    Connecting(bool),
    /// The caller hears its early media.
    Early,
    /// The caller and the leg are connected.
    Connected,
}

/// A leg that was dialled, and is neither killed nor ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leg {
    pub n: u32,
    /// Its address.
    pub target: Target,
    /// The Call-ID of its INVITE. Each phone has one, and its pushes carry the same.
    pub phone: Arc<str>,
    /// Its phone, by the name in the journal.
    pub device: Arc<str>,
    /// It is the only leg, so its early media is passed on to the caller.
    pub alone: bool,
    /// The phone may have left this address, so a refusal from here may come from another phone.
    pub may_be_old: bool,
    pub heard: LegSound,
    pub bridge: Bridge,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallAccount {
    pub id: CallId,
    /// When a phone must ring at the latest.
    wait: Moment,
    /// When the hold must end at the latest.
    limit: Moment,
    pub over: bool,
    /// It is a requested wake.
    is_request: bool,
    taken: bool,
    alerted: bool,
    summed_up: bool,
    /// A leg of FreeSWITCH's own rings.
    freeswitch_rings: bool,
    /// A phone was ringing when the wait ended.
    rings_on: bool,
    /// How many legs were dialled.
    pub rung: u32,
    /// Sorted by address.
    pub legs: Vec<Leg>,
    /// Phones that have refused or declined.
    refused: BTreeSet<Arc<str>>,
}

/// Leaves out the number and the journal's name: they do not affect behaviour.
impl Hash for Leg {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self {
            n: _,
            target,
            phone,
            device: _,
            alone,
            may_be_old,
            heard,
            bridge,
        } = self;
        (target, phone, alone, may_be_old, heard, bridge).hash(state);
    }
}

/// Once a call is over, its state no longer matters. `rung` only numbers the next leg.
impl Hash for CallAccount {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self {
            id,
            wait,
            limit,
            over,
            is_request,
            taken,
            alerted,
            summed_up,
            freeswitch_rings,
            rings_on,
            rung: _,
            legs,
            refused,
        } = self;
        (id, over).hash(state);
        if !over {
            is_request.hash(state);
            (wait, limit, taken, alerted, summed_up, freeswitch_rings, rings_on, legs).hash(state);
            refused.hash(state);
        }
    }
}

/// The state of all calls, from the events and commands so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ledger {
    /// In order of arrival.
    pub calls: Vec<CallAccount>,
    /// Phones whose last wake is over, by their names in the journal.
    woken: BTreeSet<Arc<str>>,
}

impl CallAccount {
    pub fn leg(&self, n: u32) -> Option<&Leg> {
        self.legs.iter().find(|leg| leg.n == n)
    }

    fn leg_mut(&mut self, n: u32) -> Option<&mut Leg> {
        self.legs.iter_mut().find(|leg| leg.n == n)
    }

    /// A leg ends without an order from us. Returns the journal's name of the phone if it refused the call.
    fn ends(&mut self, n: u32, end: &LegEnd) -> Option<Arc<str>> {
        let leg = self.legs.iter().position(|leg| leg.n == n)?;
        let leg = self.legs.remove(leg);
        let refuses = match (end.sip_status, &*end.cause) {
            (Some(486 | 600 | 603 | 607), _) | (None, "USER_BUSY" | "CALL_REJECTED") => true,
            (Some(403), _) => !leg.may_be_old,
            _ => false,
        };
        if refuses {
            self.refused.insert(leg.phone);
        }
        refuses.then_some(leg.device)
    }

    /// FreeSWITCH keeps a leg that it is connecting, or whose early media the caller hears.
    fn keeps(&mut self, is: impl Fn(Bridge) -> bool) {
        for leg in self.legs.iter_mut().filter(|leg| is(leg.bridge)) {
            leg.bridge = Bridge::Connected;
        }
    }

    /// Applies an order.
    fn book(&mut self, order: &CallOrder) -> Holds {
        use Invariant as I;
        let said = || format!("{order:?}");
        match order {
            CallOrder::Release { .. } | CallOrder::Close => {
                self.over = true;
                if *order == CallOrder::Close {
                    // FreeSWITCH itself ends or connects the leg that the caller hears.
                    self.keeps(|bridge| bridge == Bridge::Early);
                } else {
                    holds(I::TakenIsLeftAlone, !self.taken, said)?;
                }
                holds(I::OneSummary, self.summed_up, said)?;
                let left = self.legs.iter().find(|leg| leg.bridge != Bridge::Connected);
                holds(I::EveryLegEnds, left.is_none(), || format!("{order:?} leaves {left:?}"))?;
                self.legs.clear();
            }
            CallOrder::Record { .. } => holds(I::TakenIsLeftAlone, !self.taken, said)?,
            CallOrder::Alert => {
                holds(I::AlertedOnce, !std::mem::replace(&mut self.alerted, true), said)?;
                holds(I::TakenIsLeftAlone, !self.taken, said)?;
            }
            CallOrder::Ring(ring) => {
                let Ring {
                    leg,
                    target,
                    sip_call_id,
                    timeout,
                    early_media,
                    ..
                } = &**ring;
                holds(I::AMinuteAtMost, *timeout <= Duration::from_secs(60), said)?;
                holds(I::EveryLegEnds, leg.n >= self.rung, || format!("rung twice: {order:?}"))?;
                holds(I::TakenIsLeftAlone, !self.taken, said)?;
                holds(I::RefusedIsLeftAlone, !self.refused.contains(sip_call_id), said)?;
                self.rung = leg.n + 1;
                let leg = Leg {
                    n: leg.n,
                    target: target.clone(),
                    phone: sip_call_id.clone(),
                    device: "".into(),
                    alone: *early_media,
                    may_be_old: false,
                    heard: LegSound::Nothing,
                    bridge: Bridge::No,
                };
                let place = self.legs.partition_point(|l| l.target.as_str() <= leg.target.as_str());
                self.legs.insert(place, leg);
            }
            CallOrder::Connect(Connect { leg, early, .. }) => {
                holds(I::TakenIsLeftAlone, !self.taken, said)?;
                let another = self.legs.iter().find(|l| l.bridge != Bridge::No);
                holds(I::OneBridge, another.is_none(), || {
                    format!("{order:?} in addition to {another:?}")
                })?;
                if let Some(leg) = self.leg_mut(leg.n) {
                    leg.bridge = Bridge::Connecting(*early);
                }
            }
            CallOrder::Kill { leg, .. } => {
                holds(I::EveryLegEnds, leg.n < self.rung, || format!("never rung: {order:?}"))?;
                let bridged = self.leg(leg.n).is_some_and(|leg| leg.bridge == Bridge::Connected);
                holds(I::BridgedIsLeftAlone, !bridged, said)?;
                self.legs.retain(|other| other.n != leg.n);
            }
            CallOrder::CallUser(_) | CallOrder::AskOtherLeg(_) => {}
        }
        Ok(())
    }
}

impl Ledger {
    /// Adds a call.
    pub fn hold(&mut self, now: Moment, held: &HeldCall, max_wait: Duration) {
        let minute = Duration::from_secs(60);
        let wait = held.max_wait.map_or(max_wait, |own| own.min(max_wait));
        self.calls.push(CallAccount {
            id: held.call,
            wait: now.plus(wait),
            limit: now.plus(held.max_wait.unwrap_or(minute).max(wait)),
            over: false,
            is_request: held.routing == Routing::Request,
            taken: false,
            alerted: false,
            summed_up: false,
            freeswitch_rings: false,
            rings_on: false,
            rung: 0,
            legs: Vec::new(),
            refused: BTreeSet::new(),
        });
    }

    pub fn call(&self, id: CallId) -> Option<&CallAccount> {
        self.calls.iter().find(|call| call.id == id)
    }

    fn call_mut(&mut self, id: CallId) -> Option<&mut CallAccount> {
        self.calls.iter_mut().find(|call| call.id == id)
    }

    fn leg(&self, leg: LegId) -> Option<&Leg> {
        self.call(leg.call)?.leg(leg.n)
    }

    /// Whether FreeSWITCH could send this event: it bridges only legs that it was ordered to bridge.
    pub fn is_possible(&self, event: &Event) -> bool {
        let is_at = |leg, bridge| self.leg(leg).is_some_and(|leg| leg.bridge == bridge);
        match event {
            Event::Bridged(leg) => is_at(*leg, Bridge::Connecting(false)),
            Event::EarlyBridged(leg) => is_at(*leg, Bridge::Connecting(true)),
            _ => true,
        }
    }

    /// Applies an event.
    pub fn hear(&mut self, event: &Event) {
        let Some(call) = event.call().and_then(|id| self.call_mut(id)) else {
            return;
        };
        let mut woken = None;
        match event {
            Event::LegRinging(leg) => {
                if let Some(leg) = call.leg_mut(leg.n) {
                    leg.heard = leg.heard.max(LegSound::Ringing);
                    woken = Some(leg.device.clone());
                }
            }
            Event::LegEarlyMedia { leg, .. } => {
                if let Some(leg) = call.leg_mut(leg.n) {
                    leg.heard = leg.heard.max(LegSound::Media);
                }
            }
            Event::LegAnswered { leg, .. } => {
                if let Some(leg) = call.leg_mut(leg.n) {
                    leg.heard = LegSound::Answered;
                    woken = Some(leg.device.clone());
                }
            }
            Event::LegEnded { leg, end } => woken = call.ends(leg.n, end),
            // Only an ordered bridge can fail.
            Event::BridgeFailed { leg, end: Some(end) } => {
                let connects = call.leg(leg.n).map(|leg| leg.bridge);
                if matches!(connects, Some(Bridge::Connecting(_))) {
                    woken = call.ends(leg.n, end);
                }
            }
            Event::Bridged(leg) => {
                if let Some(leg) = call.leg_mut(leg.n) {
                    leg.bridge = Bridge::Connected;
                }
            }
            Event::EarlyBridged(leg) => {
                if let Some(leg) = call.leg_mut(leg.n) {
                    leg.bridge = Bridge::Early;
                }
            }
            // The leg now belongs to the phone that intercepted it.
            Event::CallerGone { cause, .. } if &**cause == "PICKED_OFF" => {
                call.keeps(|bridge| matches!(bridge, Bridge::Connecting(_) | Bridge::Early));
            }
            Event::CallTaken { .. } if !call.over => call.taken = true,
            // FreeSWITCH keeps the leg that the caller hears, and may have carried out an ordered bridge.
            Event::ConnectionLost(_) => call.keeps(|bridge| bridge != Bridge::No),
            Event::OtherLegSeen {
                leg: OtherLegState::Rings,
                ..
            } => call.freeswitch_rings = true,
            _ => {}
        }
        self.woken.extend(woken);
    }

    /// Applies a command.
    pub fn book(&mut self, command: &Command) -> Holds {
        use Invariant as I;
        let Some(id) = command.call() else { return Ok(()) };
        let said = || format!("{command:?}");
        if let Command::Note(note) = command {
            match &note.step {
                Step::LegStarted { device, leg, why, .. } => {
                    if let Some(leg) = self.call_mut(id).and_then(|call| call.leg_mut(*leg)) {
                        leg.may_be_old = *why == Origin::Known;
                        leg.device = device.clone();
                    }
                }
                Step::PushSent { device, .. } => {
                    self.woken.remove(device);
                }
                Step::PushShared { device } => {
                    holds(I::OverIsNotShared, !self.woken.contains(device), said)?;
                }
                _ => {}
            }
            return Ok(());
        }
        let Some(call) = self.call_mut(id) else {
            return holds(I::EndsOnce, false, || format!("no such call: {command:?}"));
        };
        holds(I::EndsOnce, !call.over, || format!("the call is over: {command:?}"))?;
        match command {
            Command::Call(_, order) => {
                holds(I::OneAnswer, !call.is_request, said)?;
                call.book(order)?;
            }
            Command::WakeEnded(_) => {
                holds(I::OneAnswer, call.is_request, said)?;
                holds(I::OneSummary, call.summed_up, said)?;
                call.over = true;
            }
            Command::Summarize(_) => holds(I::OneSummary, !std::mem::replace(&mut call.summed_up, true), said)?,
            Command::Push(push) => {
                // A missed call is kept for a phone that is off.
                let is_kept = push.kept_for().is_some();
                holds(I::AMinuteAtMost, is_kept || push.ttl <= Duration::from_secs(60), said)?;
                if let Some(about) = push.call().filter(|about| about.kind == PushKind::Call) {
                    let reached = |leg: &&Leg| leg.phone == about.sip_call_id && leg.heard > LegSound::Nothing;
                    holds(I::RefusedIsLeftAlone, !call.refused.contains(&about.sip_call_id), said)?;
                    let rings = call.legs.iter().find(reached);
                    holds(I::NoPushWhileRinging, rings.is_none(), || {
                        format!("pushed, has {rings:?}")
                    })?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Checks what must hold once an event's commands are drained and every due timer has fired.
    pub fn settled(&mut self, now: Moment) -> Holds {
        use Invariant as I;
        for call in self.calls.iter_mut().filter(|call| !call.over) {
            let past = now >= call.wait;
            let connects = call.legs.iter().any(|leg| leg.bridge != Bridge::No);
            let rings = call.freeswitch_rings || call.legs.iter().any(|leg| leg.heard > LegSound::Nothing);
            // While one phone rings after the wait, others that ring at the same time may ring as long.
            call.rings_on |= past && rings;
            let rings_on = call.rings_on && (rings || !call.legs.is_empty());
            let may_wait = !past || connects || (rings_on && now < call.limit);
            holds(I::DecidedInTime, may_wait, || format!("at {now:?}: {call:?}"))?;
            holds(I::TakenIsLeftAlone, !call.taken, || {
                format!("taken, and held: {call:?}")
            })?;
            let rings = call.legs.iter().any(|leg| leg.heard == LegSound::Ringing);
            let hears = connects || call.alerted || !rings;
            holds(I::RingingIsHeard, hears, || format!("{call:?}"))?;
            for (i, leg) in call.legs.iter().enumerate() {
                let rest = &call.legs[..i];
                let there = rest.iter().find(|other| other.target == leg.target);
                holds(I::OneLegAnAddress, there.is_none(), || format!("{leg:?} and {there:?}"))?;
                let has = rest.iter().find(|other| other.phone == leg.phone);
                holds(I::OneLegAPhone, has.is_none(), || format!("{leg:?} and {has:?}"))?;
            }
        }
        Ok(())
    }

    /// Whether all calls are over.
    pub fn is_over(&self) -> bool {
        self.calls.iter().all(|call| call.over)
    }
}
