//! One held call: who could answer it, what was tried, and what is tried next.
//!
//! Races, each with its test in `tests/engine/`:
//! - two phones answer within the time that a bridge takes: the first is bridged, the second hears "completed elsewhere";
//! - three REGISTERs of one wake-up: one INVITE;
//! - the caller hangs up in the moment of the REGISTER: no leg, or a leg that is killed;
//! - a push is refused after its phone has registered by itself: the leg goes on;
//! - the deadline passes while a bridge is under way: the bridge decides;
//! - the call comes while the callee's first REGISTER is on its way to us: it is waited for a moment;
//! - a phone registers where its INVITE is still under way: one dialog (`dialog`);
//! - a phone registers while another is being connected: it is rung if that fails;
//! - a phone registers where another of the call was: the place is the later one's (`dialog`);
//! - somebody picks the call up while a phone answers: the pick-up has it, and the phone hears "completed elsewhere".

mod alias;
mod beside;
mod dialog;
mod digest;
mod early;
mod ending;
mod legs;
mod record;
mod road;
mod steps;
mod view;
mod wake;

pub use self::alias::DIRECTORY;

use std::sync::Arc;
use std::time::Duration;

use super::command::HoldResult;
use super::directory::{AorKey, Seen};
use super::event::{Ask, HeldCall};
use super::order::{CallOrder, Cause};
use super::party::{LegState, Origin, Party, Wake};
use super::step::Step;
use super::wishes::Mode;
use super::world::World;
use crate::types::{DeviceKey, LegId, Moment};

/// A REGISTER that FreeSWITCH has accepted may take this long to be heard: its event waits for FreeSWITCH's 20 ms tick until
/// the call itself makes us nudge it.
const FIRST_REGISTER: Duration = Duration::from_millis(30);

/// How long FreeSWITCH's `bridge` lets a phone ring where nothing says otherwise (`SWITCH_DEFAULT_TIMEOUT`).
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// Where a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Ringing and waiting.
    Holding,
    /// A leg answered, or has early media; FreeSWITCH is bridging it.
    Connecting(u32),
    /// The caller hears the early media of a leg; FreeSWITCH connects the two when it is answered, and ends the call otherwise.
    Early(u32),
    /// Over: only to be removed.
    Over,
}

/// One held call.
#[derive(Clone, Debug)]
pub struct Call {
    held: HeldCall,
    key: AorKey,
    /// The number that was dialled, where the directory has said that it is another name of the user's and phones of its own had come.
    number: Option<AorKey>,
    since: Moment,
    /// When the wait is over. Later, once a phone that rings by then is left to ring on.
    deadline: Moment,
    /// How long a phone may ring.
    ring_until: Moment,
    /// The wait is over, and phones ring on: nobody is waited for any more who does not ring.
    rings_on: bool,
    phase: Phase,
    parties: Vec<Party>,
    legs: u32,
    pushes: u32,
    /// How many of them the call's own record has been told of.
    recorded: u32,
    declined: bool,
    first_push: Option<Moment>,
    woken: Option<Moment>,
    woken_device: Option<usize>,
    invited: Option<Moment>,
    answered_by: Option<Arc<str>>,
    /// Legs that answered while another was being bridged, in order, with their codecs.
    also_answered: Vec<(u32, Option<Arc<str>>)>,
    /// Nobody is known who could come: until then a first REGISTER may be on its way.
    grace: Option<Moment>,
    /// FreeSWITCH's directory has been asked; until when its answer is waited for.
    asked: Option<Moment>,
    /// That question, for the journal; there is one at most.
    question: Option<alias::Asked>,
    first_word: record::FirstWord,
    alerted: bool,
    /// The phones' own cause, as the dialplan is told.
    cause: Option<Arc<str>>,
}

impl Call {
    /// Starts a hold: rings who is awake, wakes who is not. Over at once when there is nobody.
    pub fn hold(held: HeldCall, key: AorKey, world: &mut World<'_>) -> Self {
        let wait = held
            .max_wait
            .map_or(world.policy.max_wait, |own| own.min(world.policy.max_wait));
        let mut call = Self {
            key,
            number: None,
            since: world.now,
            deadline: world.now.plus(wait),
            ring_until: world.now.plus(held.max_wait.unwrap_or(DEFAULT_TIMEOUT).max(wait)),
            rings_on: false,
            phase: Phase::Holding,
            parties: Vec::new(),
            legs: 0,
            pushes: 0,
            recorded: 0,
            declined: false,
            first_push: None,
            woken: None,
            woken_device: None,
            invited: None,
            answered_by: None,
            also_answered: Vec::new(),
            grace: None,
            asked: None,
            question: None,
            first_word: record::FirstWord::Due,
            alerted: false,
            cause: None,
            held,
        };
        if call.held.wishes.hands_off {
            call.finish(HoldResult::HandsOff, world);
            return call;
        }
        call.find_phones(world);
        if call.phase == Phase::Holding {
            call.record(None, true, world);
        }
        call
    }

    /// Starts with all phones of the user.
    fn find_phones(&mut self, world: &mut World<'_>) {
        let known = world.directory.entry(&self.key).map(|e| Party::all_of(e, world.now));
        let first = self.parties.len();
        self.parties.extend(known.unwrap_or_default());
        self.ask_for_user(world);
        self.ask_who_rings(world);
        self.note_held(world);
        for p in first..self.parties.len() {
            if !self.waits_for_directory(p) {
                self.start(p, world);
            }
        }
        if !self.parties.iter().any(Party::may_come) {
            self.grace = Some(world.now.plus(FIRST_REGISTER));
        }
        self.settle(world);
    }

    /// Tells the caller that it rings, once.
    fn alert(&mut self, world: &mut World<'_>) {
        if self.phase == Phase::Holding && !std::mem::replace(&mut self.alerted, true) {
            self.order(CallOrder::Alert, world);
        }
    }

    /// How its phones are reached.
    fn mode(&self, world: &World<'_>) -> Mode {
        if self.rings_beside() && !self.is_asked(Ask::WhoRings) {
            // No bridge comes after it that would ring a woken phone.
            return Mode::Connect;
        }
        self.held.wishes.mode.unwrap_or(world.policy.mode)
    }

    /// First steps for one party: push and ring, in the order that costs the sleeping phone least time.
    fn start(&mut self, p: usize, world: &mut World<'_>) {
        let party = &self.parties[p];
        let fresh = party
            .alive
            .is_some_and(|alive| world.now.since(alive) < world.policy.fresh_for);
        let ringable = party.target.is_some();
        let has_token = party.device.is_some();
        let beside = ringable && self.rings_beside();
        if beside {
            self.parties[p].beside = self.parties[p].target.clone();
            // The moment at which FreeSWITCH is asked how its leg stands.
            self.parties[p].wake = Wake::At(Self::first_question(world));
        }
        let party = &self.parties[p];
        let set_aside = self.why_set_aside(party, world.directory);
        if has_token && set_aside.is_none() {
            if ringable && (fresh || beside) {
                if !beside {
                    self.parties[p].wake = Wake::At(world.now.plus(world.policy.push_delay));
                }
                if fresh {
                    let awake = Step::DeviceAwake {
                        device: self.parties[p].label(),
                        seen: self.parties[p].alive.map(|at| world.now.since(at)).unwrap_or_default(),
                        push_in: world.policy.push_delay,
                    };
                    self.note(world, awake);
                }
            } else {
                self.push(p, world);
            }
        } else if let Some(reason) = set_aside {
            let device = self.parties[p].label();
            self.note(world, Step::DeviceSetAside { device, reason });
        } else {
            let (device, user_agent) = (party.label(), party.user_agent.clone());
            self.note(world, Step::DeviceWithoutToken { device, user_agent });
        }
        if !ringable || beside || self.mode(world).only_wakes() {
            return;
        }
        if fresh {
            self.ring(p, Origin::Awake, world);
        } else if self.may_ring_asleep(p) {
            self.ring(p, Origin::Known, world);
        } else {
            let device = self.parties[p].label();
            self.note(world, Step::NotRungAsleep { device });
        }
    }

    /// The wait's next timer, if the call still has one.
    pub fn next_timer(&self, debounce: Duration) -> Option<Moment> {
        match self.phase {
            // A bridge under way is FreeSWITCH's to finish; a connection that never answers is cut by its own timeout.
            Phase::Over | Phase::Connecting(_) | Phase::Early(_) => None,
            Phase::Holding => self
                .parties
                .iter()
                .filter_map(|p| p.next_timer(debounce))
                .chain([self.deadline])
                .chain(self.grace)
                .chain(self.asked)
                .min(),
        }
    }

    /// Whether it can be removed.
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// A timer may be due. A late or repeated one does nothing.
    pub fn on_time(&mut self, world: &mut World<'_>) {
        if self.phase != Phase::Holding {
            return;
        }
        if world.now >= self.deadline && !self.ring_on(world) {
            self.time_is_up(world);
            return;
        }
        self.grace = self.grace.filter(|until| *until > world.now);
        if self.asked.is_some_and(|until| until <= world.now) {
            self.has_no_answer(world);
        }
        for p in 0..self.parties.len() {
            // In wake-only mode the party before may have ended the hold.
            if self.phase != Phase::Holding {
                return;
            }
            if let Some(when) = self.parties[p].wake.due()
                && when <= world.now
            {
                if self.parties[p].beside.is_some() && self.parties[p].pushes == 0 {
                    self.ask_beside(p, world);
                } else {
                    self.note_silence(p, world);
                    self.push(p, world);
                    if self.parties[p].wake == Wake::Impossible {
                        self.ring_where_it_was(p, world);
                    }
                }
            }
            if self.parties[p].ask_at.is_some_and(|when| when <= world.now) && !self.parties[p].asking {
                self.ask_beside(p, world);
            }
            if let Some(when) = self.parties[p].ring_at
                && when <= world.now
            {
                self.parties[p].ring_at = None;
                self.can_ring(p, world);
            }
            if self.parties[p].has_moved_on(world.now, world.policy.debounce) {
                self.replace(p, world);
            } else if self.yields(p, world.now) {
                self.replace_in_place(p, world);
            }
        }
        self.settle(world);
    }

    /// The wait is over. Phones that ring by now ring on, until their time is over too.
    fn ring_on(&mut self, world: &World<'_>) -> bool {
        let rings = |p: &Party| p.rings_beside || p.has_leg(LegState::Ringing);
        let may = !self.rings_on && self.ring_until > world.now && self.parties.iter().any(rings);
        if may {
            self.rings_on = true;
            self.deadline = self.ring_until;
            // A question about FreeSWITCH's own leg costs no phone anything.
            for party in self.parties.iter_mut().filter(|p| p.beside.is_none()) {
                party.rest();
            }
        }
        may
    }

    /// The wait is over, and nobody rings on but perhaps this party: without a leg to it the call ends.
    fn rests_on(&self, p: usize) -> bool {
        let rings = |p: &Party| p.leg.is_some() || p.rings_beside;
        self.rings_on && !self.parties.iter().enumerate().any(|(q, party)| q != p && rings(party))
    }

    /// A phone of the callee registered.
    pub fn on_registered(&mut self, seen: &Seen, world: &mut World<'_>) {
        let is_connecting = matches!(self.phase, Phase::Connecting(_));
        if !(self.phase == Phase::Holding || is_connecting) || !seen.is_news {
            return;
        }
        self.note_first(world);
        self.grace = None;
        let p = self.party_of(seen);
        let party = &mut self.parties[p];
        if party.is_out {
            return;
        }
        let how = match &party.target {
            None => "fresh",
            Some(before) if *before == seen.target => "refresh",
            Some(_) => "moved",
        };
        party.target = Some(seen.target.clone());
        party.alive = Some(world.now);
        party.user_agent = seen.user_agent.clone();
        party.wake = Wake::Done;
        if party.push_to_register.is_none() {
            party.push_to_register = party.pushed.map(|at| world.now.since(at));
        }
        party.registered = true;
        let was_pushed = party.pushed.is_some();
        if was_pushed && self.woken.is_none() {
            self.woken = Some(world.now);
            self.woken_device = Some(p);
        }
        let registered = Step::DeviceRegistered {
            device: party.label(),
            how,
            user_agent: seen.user_agent.clone(),
            since_push: party.pushed.map(|at| world.now.since(at)),
        };
        self.note(world, registered);
        if self.take_place(p, world) {
            return;
        }
        if is_connecting {
            return self.remember_for_later(p, world);
        }
        match self.parties[p].leg.clone() {
            None if self.parties[p].beside.is_some() => self.ask_beside(p, world),
            // It waits for the CANCEL of another leg to the same place.
            None if self.parties[p].ring_at.is_some() => {}
            None => self.ring_after_settling(p, world),
            Some(leg) if leg.state != LegState::Dialing => {}
            Some(leg) => self.registered_while_dialing(p, &leg, world),
        }
    }

    fn leg_id(&self, n: u32) -> LegId {
        LegId {
            call: self.held.call,
            n,
        }
    }

    fn kill(&self, leg: u32, cause: Cause, world: &mut World<'_>) {
        let leg = self.leg_id(leg);
        self.order(CallOrder::Kill { leg, cause }, world);
    }

    fn party_of_leg(&self, n: u32) -> Option<usize> {
        self.parties
            .iter()
            .position(|p| p.leg.as_ref().is_some_and(|l| l.n == n))
    }

    fn party_with(&self, device: &Arc<DeviceKey>) -> Option<usize> {
        self.parties.iter().position(|p| p.device.as_ref() == Some(device))
    }

    /// The party that registered: a device by its token, a phone without one by its Call-ID or contact; new ones join.
    fn party_of(&mut self, seen: &Seen) -> usize {
        let by_device = |device: &Option<Arc<DeviceKey>>| {
            device
                .as_ref()
                .and_then(|d| self.parties.iter().position(|p| p.device.as_ref() == Some(d)))
        };
        let found = by_device(&seen.device)
            .or_else(|| by_device(&seen.replaced))
            .or_else(|| {
                let same = |p: &Party| p.register_call_id == seen.call_id || p.target.as_ref() == Some(&seen.target);
                self.parties
                    .iter()
                    .position(|p| (seen.device.is_none() || p.device.is_none()) && same(p))
            });
        let p = found.unwrap_or_else(|| {
            self.parties.push(Party::default());
            self.parties.len() - 1
        });
        if let Some(device) = &seen.device {
            self.parties[p].name(device);
        }
        self.parties[p].register_call_id.clone_from(&seen.call_id);
        p
    }
}
