//! What must hold whatever happens, in whatever order: one place for each invariant of the engine.
//!
//! A ledger is told every event before the engine hears it and every command after, and says which invariant broke.
//! Random histories (`tests/invariants.rs`) and the exhaustive check (`tests/exhaustive`) keep one each.
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

/// What must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Invariant {
    /// The caller is decided by the deadline: released, connected or gone.
    DecidedInTime,
    /// A hold ends once, and from then on nothing is done for it: no leg, no push.
    EndsOnce,
    /// At most one leg is, or is being, bridged with the caller.
    OneBridge,
    /// When a call is over each of its legs is bridged, killed or over; only legs that were rung are killed.
    EveryLegEnds,
    /// Nobody has two legs of one call at one address.
    OneLegAnAddress,
    /// No phone has two legs of one call.
    OneLegAPhone,
    /// Nobody is pushed for a call that rings there, or that was answered there.
    NoPushWhileRinging,
    /// A phone that has refused or declined is neither pushed nor rung again in this call.
    RefusedIsLeftAlone,
    /// Nobody rides on a wake that is over: its phone has rung, answered, declined or refused since that push.
    OverIsNotShared,
    /// A leg that is bridged is not killed.
    BridgedIsLeftAlone,
    /// A call that somebody else took is not touched.
    TakenIsLeftAlone,
    /// The caller gets ringing once.
    AlertedOnce,
    /// A held caller gets ringing when a phone rings.
    RingingIsHeard,
    /// Nothing rings, and no push is kept, for more than a minute.
    AMinuteAtMost,
    /// One summary a call, when it is over.
    OneSummary,
    /// A wake that was asked for orders nothing, and ends in one answer.
    OneAnswer,
    /// When nothing is held, no timer is left.
    NoTimerLeft,
    /// Late and duplicate events change nothing.
    LateChangesNothing,
    /// The same events give the same commands and the same state; states with one digest behave alike.
    Deterministic,
    /// The engine does not panic.
    NoPanic,
}

/// An invariant that does not hold, and where it broke.
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

/// `invariant` holds if `is`.
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

/// The events of a leg so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LegSound {
    Nothing,
    /// 183 with media: it is reached, but not reported as ringing.
    Media,
    Ringing,
    Answered,
}

/// How a leg stands to the caller, as FreeSWITCH has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bridge {
    /// Not bridged.
    No,
    /// FreeSWITCH was ordered to bridge it; `true`: its early media is for the caller.
    Connecting(bool),
    /// The caller hears its early media.
    Early,
    /// Caller and leg talk.
    Stands,
}

/// A leg that was rung, and that is neither killed nor over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leg {
    pub n: u32,
    /// Its address.
    pub target: Target,
    /// The Call-ID of its INVITE: one for each phone, and what the phone's pushes carry.
    pub phone: Arc<str>,
    /// Whose it is, as the journal names the phone.
    pub device: Arc<str>,
    /// It rings alone: its early media is for the caller.
    pub alone: bool,
    /// It went where its phone may not be any more: another phone may refuse there.
    pub may_be_old: bool,
    pub heard: LegSound,
    pub bridge: Bridge,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallAccount {
    pub id: CallId,
    /// When the wait for a phone to ring is over.
    wait: Moment,
    /// When it is decided at the latest.
    limit: Moment,
    pub over: bool,
    /// A wake that was asked for.
    is_request: bool,
    taken: bool,
    alerted: bool,
    summed_up: bool,
    /// FreeSWITCH's own leg rings.
    rings_beside: bool,
    /// A phone rang when the wait was over.
    rings_on: bool,
    /// How many legs were rung.
    pub rung: u32,
    /// By address.
    pub legs: Vec<Leg>,
    /// The phones that have refused or declined.
    refused: BTreeSet<Arc<str>>,
}

/// Without its number, which is a name.
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

/// Of a call that is over nothing matters any more; how many legs were rung gives the next its name.
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
            rings_beside,
            rings_on,
            rung: _,
            legs,
            refused,
        } = self;
        (id, over).hash(state);
        if !over {
            is_request.hash(state);
            (wait, limit, taken, alerted, summed_up, rings_beside, rings_on, legs).hash(state);
            refused.hash(state);
        }
    }
}

/// What events and commands so far add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ledger {
    /// In the order in which they came.
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

    /// A leg ends by itself. The phone that has refused the call, if it has.
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

    /// FreeSWITCH keeps the leg that it connects, or whose early media the caller hears.
    fn stands(&mut self, is: impl Fn(Bridge) -> bool) {
        for leg in self.legs.iter_mut().filter(|leg| is(leg.bridge)) {
            leg.bridge = Bridge::Stands;
        }
    }

    /// What an order does.
    fn book(&mut self, order: &CallOrder) -> Holds {
        use Invariant as I;
        let said = || format!("{order:?}");
        match order {
            CallOrder::Release { .. } | CallOrder::Close => {
                self.over = true;
                if *order == CallOrder::Close {
                    // FreeSWITCH ends or connects the leg that the caller hears.
                    self.stands(|bridge| bridge == Bridge::Early);
                } else {
                    holds(I::TakenIsLeftAlone, !self.taken, said)?;
                }
                holds(I::OneSummary, self.summed_up, said)?;
                let left = self.legs.iter().find(|leg| leg.bridge != Bridge::Stands);
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
                    format!("{order:?} beside {another:?}")
                })?;
                if let Some(leg) = self.leg_mut(leg.n) {
                    leg.bridge = Bridge::Connecting(*early);
                }
            }
            CallOrder::Kill { leg, .. } => {
                holds(I::EveryLegEnds, leg.n < self.rung, || format!("never rung: {order:?}"))?;
                let bridged = self.leg(leg.n).is_some_and(|leg| leg.bridge == Bridge::Stands);
                holds(I::BridgedIsLeftAlone, !bridged, said)?;
                self.legs.retain(|other| other.n != leg.n);
            }
            CallOrder::CallUser(_) | CallOrder::AskOtherLeg(_) => {}
        }
        Ok(())
    }
}

impl Ledger {
    /// A call comes.
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
            rings_beside: false,
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

    /// Whether FreeSWITCH could report this: it bridges only what it was ordered to.
    pub fn is_possible(&self, event: &Event) -> bool {
        let stands = |leg, as_told| self.leg(leg).is_some_and(|leg| leg.bridge == as_told);
        match event {
            Event::Bridged(leg) => stands(*leg, Bridge::Connecting(false)),
            Event::EarlyBridged(leg) => stands(*leg, Bridge::Connecting(true)),
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
            // Only a bridge that was ordered fails.
            Event::BridgeFailed { leg, end: Some(end) } => {
                let connects = call.leg(leg.n).map(|leg| leg.bridge);
                if matches!(connects, Some(Bridge::Connecting(_))) {
                    woken = call.ends(leg.n, end);
                }
            }
            Event::Bridged(leg) => {
                if let Some(leg) = call.leg_mut(leg.n) {
                    leg.bridge = Bridge::Stands;
                }
            }
            Event::EarlyBridged(leg) => {
                if let Some(leg) = call.leg_mut(leg.n) {
                    leg.bridge = Bridge::Early;
                }
            }
            // Who intercepts a leg has it.
            Event::CallerGone { cause, .. } if &**cause == "PICKED_OFF" => {
                call.stands(|bridge| matches!(bridge, Bridge::Connecting(_) | Bridge::Early));
            }
            Event::CallTaken { .. } if !call.over => call.taken = true,
            // FreeSWITCH keeps the leg that the caller hears, and may have made an ordered bridge.
            Event::ConnectionLost(_) => call.stands(|bridge| bridge != Bridge::No),
            Event::OtherLegSeen {
                leg: OtherLegState::Rings,
                ..
            } => call.rings_beside = true,
            _ => {}
        }
        self.woken.extend(woken);
    }

    /// What a command does.
    pub fn book(&mut self, command: &Command) -> Holds {
        use Invariant as I;
        let Some(id) = command.call() else { return Ok(()) };
        let said = || format!("{command:?}");
        if let Command::Note(note) = command {
            match &note.step {
                Step::LegStarted { device, leg, why } => {
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
                holds(I::AMinuteAtMost, push.ttl <= Duration::from_secs(60), said)?;
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

    /// What has to be so when an event's commands are drained and every timer that is due has fired.
    pub fn settled(&mut self, now: Moment) -> Holds {
        use Invariant as I;
        for call in self.calls.iter_mut().filter(|call| !call.over) {
            let past = now >= call.wait;
            let connects = call.legs.iter().any(|leg| leg.bridge != Bridge::No);
            let rings = call.rings_beside || call.legs.iter().any(|leg| leg.heard > LegSound::Nothing);
            // Once a phone rings on, others that ring at the same time may ring as long.
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

    /// Whether every call is over.
    pub fn is_over(&self) -> bool {
        self.calls.iter().all(|call| call.over)
    }
}
