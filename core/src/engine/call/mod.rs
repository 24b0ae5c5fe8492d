//! One held call: who could answer it, what was tried, and what is tried next.
//!
//! Races, each with its test in `tests/engine/`:
//! - two phones answer within the time that a bridge takes: the first is bridged, the second hears "completed
//!   elsewhere";
//! - three REGISTERs of one wake-up: one INVITE;
//! - the caller hangs up in the moment of the REGISTER: no leg, or a leg that is killed;
//! - a push is refused after its phone has registered by itself: the leg goes on;
//! - the deadline passes while a bridge is under way: the bridge decides;
//! - the call comes while the callee's first REGISTER is on its way to fswake: it waits a moment;
//! - a phone registers where its INVITE is still under way: one dialog (`dialog`);
//! - a phone registers while another is being connected: it is rung if that fails;
//! - a phone registers at the address of another phone of the call: the address is the later one's (`dialog`);
//! - somebody picks the call up while a phone answers: the pick-up has it, and the phone hears "completed elsewhere".

mod alias;
mod dialog;
mod digest;
mod early;
mod end;
mod ending;
mod figures;
mod legs;
mod nodes;
mod number_question;
mod other_leg;
mod push;
mod record;
mod register;
mod request;
mod ring;
mod route;
mod timers;
mod view;
mod wake_only;

pub use self::alias::DIRECTORY;

use std::sync::Arc;
use std::time::Duration;

use self::figures::Figures;
use self::number_question::NumberQuestion;
use super::command::HoldResult;
use super::directory::AorKey;
use super::event::{DirectoryQuery, HeldCall};
use super::options::Mode;
use super::order::{CallOrder, Cause};
use super::party::{Leg, LegQuery, NextPush, Origin, OtherLeg, Party};
use super::step::Step;
use super::world::World;
use crate::types::{DeviceKey, LegId, Moment, Target};

/// How late an accepted REGISTER may arrive: its event waits for FreeSWITCH's 20 ms tick until the call itself makes
/// fswake nudge FreeSWITCH.
const FIRST_REGISTER: Duration = Duration::from_millis(30);

/// How long FreeSWITCH's `bridge` lets a phone ring by default (`SWITCH_DEFAULT_TIMEOUT`).
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// Where a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Ringing and waiting.
    Holding,
    /// A leg answered, or has early media; FreeSWITCH is bridging it.
    Connecting(u32),
    /// The caller hears a leg's early media. FreeSWITCH connects the two when it is answered, and ends the call
    /// otherwise.
    Early(u32),
    /// Over, and about to be removed.
    Over,
}

/// One held call.
#[derive(Clone, Debug)]
pub struct Call {
    held: HeldCall,
    key: AorKey,
    /// The dialled number, if it is the user's alias and phones of its own have registered.
    number: Option<AorKey>,
    phase: Phase,
    parties: Vec<Party>,
    /// When the wait ends. It is extended for a phone that rings by then.
    deadline: Moment,
    /// How long a phone may ring.
    ring_until: Moment,
    /// The wait has ended and phones ring on: only those are waited for.
    rings_on: bool,
    /// No phone is known: until then a first REGISTER may be on its way.
    first_register: Option<Moment>,
    /// FreeSWITCH's directory was asked; until when the answer is waited for.
    asked: Option<Moment>,
    /// That question, for the journal; there is one at most.
    question: Option<NumberQuestion>,
    declined: bool,
    alerted: bool,
    /// Legs that answered while another was being bridged, in order, with their codecs.
    also_answered: Vec<(u32, Option<Arc<str>>)>,
    figures: Figures,
}

impl Call {
    /// Starts a hold: rings phones that are awake, wakes those that sleep. Over at once if there is none.
    pub fn hold(held: HeldCall, key: AorKey, world: &mut World) -> Self {
        let wait = held
            .max_wait
            .map_or(world.policy.max_wait, |own| own.min(world.policy.max_wait));
        let mut call = Self {
            key,
            number: None,
            phase: Phase::Holding,
            parties: Vec::new(),
            deadline: world.now.plus(wait),
            ring_until: world.now.plus(held.max_wait.unwrap_or(DEFAULT_TIMEOUT).max(wait)),
            rings_on: false,
            first_register: None,
            asked: None,
            question: None,
            declined: false,
            alerted: false,
            also_answered: Vec::new(),
            figures: Figures::since(world.now),
            held,
        };
        if call.held.options.hands_off {
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
    fn find_phones(&mut self, world: &mut World) {
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
            self.first_register = Some(world.now.plus(FIRST_REGISTER));
        }
        self.settle(world);
    }

    /// Sends the caller ringing, once.
    fn alert(&mut self, world: &mut World) {
        if self.phase == Phase::Holding && !std::mem::replace(&mut self.alerted, true) {
            self.order(CallOrder::Alert, world);
        }
    }

    /// How its phones are reached.
    fn mode(&self, world: &World) -> Mode {
        if self.is_request() {
            // There is nobody to connect a phone with.
            return self
                .held
                .options
                .mode
                .filter(|mode| mode.only_wakes())
                .unwrap_or(Mode::WakeFirst);
        }
        if self.other_rings() && !self.is_asked(DirectoryQuery::WhoRings) {
            // No bridge would follow that could ring a woken phone.
            return Mode::Connect;
        }
        self.held.options.mode.unwrap_or(world.policy.mode)
    }

    /// First steps for one party: push and ring, in the order that wakes a sleeping phone soonest.
    fn start(&mut self, p: usize, world: &mut World) {
        let party = &self.parties[p];
        let alive_for = party.alive().map(|alive| world.now.since(alive));
        let is_fresh = self.is_fresh(p, world);
        let is_out_of_reach = self.is_out_of_reach(p, world);
        let is_fresh = is_fresh && !is_out_of_reach;
        let target = party.target().filter(|_| !is_out_of_reach).cloned();
        let is_ringable = target.is_some();
        let has_token = party.device.is_some();
        let set_aside = self.why_set_aside(party, world);
        let is_here = |target: &Target| target.node() == self.held.node;
        let other = target.filter(|target| self.other_rings() && is_here(target));
        let is_rung_by_other = other.is_some();
        let is_request = self.is_request();
        if is_out_of_reach {
            self.note_out_of_reach(p, world);
        }
        let party = &mut self.parties[p];
        if let Some(target) = other {
            party.leg = Leg::Other(OtherLeg {
                target,
                query: LegQuery::None,
            });
            // When FreeSWITCH is asked for its leg's state.
            party.wake.next = NextPush::At(Self::first_question(world));
        }
        let device = party.label();
        if let Some(reason) = set_aside.filter(|_| has_token) {
            self.note(world, Step::DeviceSetAside { device, reason });
        } else if !has_token {
            let user_agent = party.user_agent.clone();
            self.note(world, Step::DeviceWithoutToken { device, user_agent });
        } else if !is_ringable || !(is_fresh || is_rung_by_other) {
            self.push(p, world);
        } else {
            // Whoever asked for a wake rings it, and asks again if that is in vain.
            if !is_rung_by_other && !is_request {
                party.wake.next = NextPush::At(world.now.plus(world.policy.push_delay));
            }
            if is_fresh {
                let awake = Step::DeviceAwake {
                    device,
                    seen: alive_for.unwrap_or_default(),
                    push_in: (!is_request).then_some(world.policy.push_delay),
                };
                self.note(world, awake);
            }
        }
        if !is_ringable || is_rung_by_other || self.mode(world).only_wakes() {
            return;
        }
        self.ring_where_known(p, world);
    }

    /// Whether a phone's last proof of life is recent enough to ring it without a push.
    fn is_fresh(&self, p: usize, world: &World) -> bool {
        let alive_for = self.parties[p].alive().map(|alive| world.now.since(alive));
        alive_for.is_some_and(|time| time < world.policy.fresh_for) && !self.held.options.push_awake
    }

    /// Rings a phone where it was registered before the call, unless it may be asleep there over UDP.
    fn ring_where_known(&mut self, p: usize, world: &mut World) {
        if self.is_fresh(p, world) {
            self.ring(p, Origin::Awake, world);
        } else if self.may_ring_asleep(p) {
            self.ring(p, Origin::Known, world);
        } else {
            let device = self.parties[p].label();
            self.note(world, Step::NotRungAsleep { device });
        }
    }

    /// Whether it can be removed.
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    fn leg_id(&self, n: u32) -> LegId {
        LegId {
            call: self.held.call,
            n,
        }
    }

    fn kill(&self, leg: u32, cause: Cause, world: &mut World) {
        let leg = self.leg_id(leg);
        self.order(CallOrder::Kill { leg, cause }, world);
    }

    fn party_of_leg(&self, n: u32) -> Option<usize> {
        self.parties
            .iter()
            .position(|p| p.leg.own().is_some_and(|leg| leg.n == n))
    }

    fn party_with(&self, device: &Arc<DeviceKey>) -> Option<usize> {
        self.parties.iter().position(|p| p.device.as_ref() == Some(device))
    }
}
