//! One history: the engine, and the state of FreeSWITCH, the phones and the providers.

use std::hash::{Hash, Hasher};
use std::time::Duration;

use crate::beginnings::{Beginning, Phone, Refusal};
use crate::cast::{Cast, T0, call, leg};
use crate::engine::policy::Policy;
use crate::engine::{CallOrder, Command, Engine, Event, LegEnd, Listing, Takeover, UnregisterWhy};
use crate::ledger::{Bridge, Holds, Invariant, Ledger, LegSound, holds};
use crate::step::Step;
use crate::types::push::{PushKind, PushReceipt};
use crate::types::{LegId, Moment, NodeId, PushId};

/// The time of the first call.
const START: Moment = Moment(Duration::from_secs(100_000));

/// The surroundings, without the ledger.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent bounds of what may happen")]
pub struct Around {
    /// Which phones have a token.
    has_token: [bool; 2],
    refusal: Refusal,
    /// Where phones are registered according to FreeSWITCH.
    pub bound: [Option<u8>; 2],
    /// Pushes for waking whose outcome is outstanding.
    pub pushes: Vec<Push>,
    /// Pushes about a call's end. Their outcomes come late, and must change nothing.
    news: Vec<u16>,
    /// A second call may come.
    pub another_call: bool,
    /// Both phones move, un-REGISTER and lose their connections.
    pub any_phone: bool,
    /// Phones may refuse.
    pub refuses: bool,
    /// Both phones may have the same address.
    shares_place: bool,
}

/// A push for waking a phone.
#[derive(Clone, Copy, Debug)]
pub struct Push {
    /// The engine's number.
    pub n: u16,
    /// Its call.
    pub call: u8,
}

/// Only names: the engine knows what each push is for.
impl Hash for Around {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self {
            has_token,
            refusal,
            bound,
            // They are hashed with the calls.
            pushes: _,
            news: _,
            another_call,
            any_phone,
            refuses,
            shares_place,
        } = self;
        (has_token, refusal, bound, another_call, any_phone).hash(state);
        (refuses, shares_place).hash(state);
    }
}

/// A history.
#[derive(Clone, Debug)]
pub struct Sim {
    /// The real engine.
    pub engine: Engine,
    /// The current time.
    pub now: Moment,
    /// The ledger of all events and commands so far.
    pub ledger: Ledger,
    /// The surroundings.
    pub around: Around,
    max_wait: Duration,
}

/// Records commands if a caller wants them.
pub type CommandLog<'a> = Option<&'a mut Vec<String>>;

impl Sim {
    /// Starts a history on a clone of `blank`, an engine without history.
    pub fn begin(blank: &Engine, beginning: &Beginning, cast: &Cast) -> Result<Self, crate::ledger::Broken> {
        let mut sim = Self {
            engine: blank.clone(),
            now: START,
            ledger: Ledger::default(),
            around: Around {
                has_token: beginning.phones.map(|phone| phone != Phone::Desk),
                refusal: beginning.refusal,
                bound: [None; 2],
                pushes: Vec::new(),
                news: Vec::new(),
                another_call: beginning.calls_twice,
                any_phone: beginning.any_phone,
                refuses: beginning.refuses,
                shares_place: beginning.shares_place,
            },
            max_wait: beginning.policy.max_wait,
        };
        for (phone, known) in beginning.phones.iter().enumerate() {
            let ago = match known {
                Phone::Unknown => continue,
                Phone::Awake => Duration::from_secs(1),
                Phone::Asleep | Phone::Stale | Phone::Desk => Duration::from_secs(600),
            };
            let then = Moment(START.0.saturating_sub(ago));
            let registration = cast.registers[phone][0].clone();
            sim.engine.handle(then, Event::Registered(registration));
            sim.around.bound[phone] = (*known != Phone::Asleep).then_some(0);
            if *known == Phone::Asleep {
                sim.engine.handle(then, Event::Unregistered(cast.ends[phone].clone()));
            }
            sim.hear_commands(cast, &mut None)?;
        }
        sim.take(Step::Call(0), cast, &mut None)?;
        Ok(sim)
    }

    /// Engines with these policies and no history. They are clones of one engine, so all hash tokens alike.
    pub fn blanks<'a>(policies: impl Iterator<Item = &'a Policy>) -> Vec<Engine> {
        let first = Engine::new(Policy::default(), Vec::new());
        let with = |policy: &Policy| {
            let mut engine = first.clone();
            engine.handle(START, Event::PolicyChanged(Box::new(policy.clone())));
            engine
        };
        policies.map(with).collect()
    }

    /// Takes one step, with all immediate consequences.
    pub fn take(&mut self, step: Step, cast: &Cast, said: &mut CommandLog<'_>) -> Holds {
        let Some(event) = self.event(step, cast) else {
            let due = self.engine.next_due().unwrap_or(self.now).max(self.now);
            // A timer that fires too early changes only the order of calls that are due at the same time.
            while let Some(next) = self.engine.next_timer().filter(|next| *next < due) {
                self.now = next.max(self.now);
                self.settle(cast, said)?;
            }
            self.now = due;
            return self.settle(cast, said);
        };
        if let Event::CallHeld(held) = &event {
            self.ledger.hold(self.now, held, self.max_wait);
        }
        self.feed(event, cast, said)
    }

    /// The engine's input for a step. A timer has none.
    fn event(&mut self, step: Step, cast: &Cast) -> Option<Event> {
        Some(match step {
            Step::Timer => return None,
            Step::Call(n) => {
                self.around.another_call &= n == 0;
                Event::CallHeld(cast.calls[usize::from(n)].clone())
            }
            Step::Register(phone, at) => {
                self.around.bound[usize::from(phone)] = Some(at);
                Event::Registered(cast.registers[usize::from(phone)][usize::from(at)].clone())
            }
            Step::Unregister(phone) | Step::Closed(phone) => {
                let mut end = cast.ends[usize::from(phone)].clone();
                let was = self.around.bound[usize::from(phone)].take();
                if let (Step::Unregister(_), Some(at)) = (step, was) {
                    let registered = &cast.registers[usize::from(phone)][usize::from(at)];
                    end.why = UnregisterWhy::Explicit;
                    end.target.clone_from(&registered.target);
                    end.push.clone_from(&registered.push);
                }
                Event::Unregistered(end)
            }
            Step::OldCloses(phone) => Event::Unregistered(cast.ends[usize::from(phone)].clone()),
            Step::PushTaken(push) | Step::PushRefused(push) => {
                self.around.pushes.retain(|other| other.n != push);
                let receipt = PushReceipt {
                    provider_id: None,
                    status: 200,
                    attempts: 1,
                };
                let is_taken = matches!(step, Step::PushTaken(_));
                Event::PushEnded {
                    push: PushId(u64::from(push)),
                    outcome: if is_taken {
                        Ok(receipt)
                    } else {
                        Err(self.around.refusal.error())
                    },
                    at: T0,
                }
            }
            Step::Rings(c, n) => Event::LegRinging(leg(c, n)),
            Step::Plays(c, n) => Event::LegEarlyMedia {
                leg: leg(c, n),
                codec: None,
            },
            Step::Busy(c, n) => ended(leg(c, n), &cast.busy),
            Step::Refuses(c, n) => ended(leg(c, n), &cast.refused),
            Step::Fails(c, n) => ended(leg(c, n), &cast.failed),
            Step::Answers(c, n) => Event::LegAnswered {
                leg: leg(c, n),
                codec: None,
            },
            Step::Bridged(c, n) => Event::Bridged(leg(c, n)),
            Step::EarlyBridged(c, n) => Event::EarlyBridged(leg(c, n)),
            Step::BridgeFails(c, n) => Event::BridgeFailed {
                leg: leg(c, n),
                end: None,
            },
            Step::HangsUp(c, n) => Event::BridgeFailed {
                leg: leg(c, n),
                end: Some(cast.failed.clone()),
            },
            Step::CallerGone(c) => Event::CallerGone {
                call: call(c),
                cause: cast.hung_up.clone(),
            },
            Step::PickedUp(c) => Event::CallTaken {
                call: call(c),
                how: Takeover::PickedUp { by: cast.name.clone() },
            },
        })
    }

    fn feed(&mut self, event: Event, cast: &Cast, said: &mut CommandLog<'_>) -> Holds {
        self.ledger.hear(&event);
        self.engine.handle(self.now, event);
        self.hear_commands(cast, said)?;
        self.settle(cast, said)
    }

    /// Fires due timers, as the driver does.
    fn settle(&mut self, cast: &Cast, said: &mut CommandLog<'_>) -> Holds {
        while self.engine.fire(self.now) {
            self.hear_commands(cast, said)?;
        }
        self.ledger.settled(self.now)
    }

    fn hear_commands(&mut self, cast: &Cast, said: &mut CommandLog<'_>) -> Holds {
        while let Some(command) = self.engine.poll_command() {
            if let Some(said) = said {
                said.extend(gist(&command));
            }
            self.ledger.book(&command)?;
            if let Command::Push(push) = &command {
                let n = u16::try_from(push.id.0).unwrap_or(u16::MAX);
                match push.call().filter(|about| about.kind == PushKind::Call) {
                    Some(about) => self.around.pushes.push(Push {
                        n,
                        call: u8::from(about.call != call(0)),
                    }),
                    None => self.around.news.push(n),
                }
            }
            if let Command::AskRegistrations {
                aor, number, profiles, ..
            } = command
            {
                let places = self.around.bound.iter().zip(&cast.registers);
                let registrations = places
                    .filter_map(|(at, phone)| Some(phone[usize::from((*at)?)].clone()))
                    .collect();
                let listing = Listing {
                    node: NodeId::FIRST,
                    aor,
                    number,
                    profiles,
                    registrations,
                };
                self.engine.handle(self.now, Event::Listed(listing));
            }
        }
        Ok(())
    }

    /// Whether all calls are over and no other may come.
    pub fn is_over(&self) -> bool {
        self.ledger.is_over() && !self.around.another_call
    }

    /// Lets time pass without further events. Every call must end in time, and nothing may be left.
    pub fn ends(mut self, cast: &Cast) -> Holds {
        let end = self.now.plus(Duration::from_secs(61));
        while let Some(next) = self.engine.next_timer().filter(|next| *next <= end) {
            self.now = next.max(self.now);
            self.settle(cast, &mut None)?;
        }
        self.now = end;
        self.ledger.settled(self.now)?;
        // A bridge that FreeSWITCH never finishes ends with its connection.
        for id in self.engine.call_ids() {
            self.feed(Event::ConnectionLost(id), cast, &mut None)?;
        }
        self.forget_pushes(cast, &mut None)?;
        let is_over = self.ledger.is_over() && self.engine.held_calls() == 0;
        holds(Invariant::DecidedInTime, is_over, || {
            format!("a minute later: {:?}", self.ledger)
        })?;
        let timer = self.engine.next_timer();
        holds(Invariant::NoTimerLeft, timer.is_none(), || {
            format!("{timer:?}, and no call")
        })
    }

    /// Reports the outcomes of pushes that no call waits for. They must have no effect.
    fn forget_pushes(&mut self, cast: &Cast, said: &mut CommandLog<'_>) -> Holds {
        let pushes = std::mem::take(&mut self.around.pushes);
        let pushes = pushes.into_iter().map(|push| push.n);
        for push in pushes.chain(std::mem::take(&mut self.around.news)) {
            let outcome = Err(self.around.refusal.error());
            let push = PushId(u64::from(push));
            self.feed(Event::PushEnded { push, outcome, at: T0 }, cast, said)?;
        }
        Ok(())
    }

    /// All calls are over, so nothing may be left. One in sixteen states gets every event again.
    pub fn is_left_in_order(self, so_many: usize, cast: &Cast) -> Holds {
        if so_many.is_multiple_of(16) {
            self.clone().ignores_what_is_late(cast)?;
        }
        self.ends(cast)
    }

    /// Late and duplicate events must change nothing: those of ended legs, ended calls and finished pushes.
    pub fn ignores_what_is_late(mut self, cast: &Cast) -> Holds {
        let before = self.parts().whole();
        let all = self.late(cast);
        for event in &all {
            self.engine.handle(self.now, event.clone());
            let said = self.engine.poll_command();
            holds(Invariant::LateChangesNothing, said.is_none(), || {
                format!("{event:?}: {said:?}")
            })?;
        }
        holds(Invariant::LateChangesNothing, self.parts().whole() == before, || {
            format!("one of {all:?}")
        })
    }

    fn late(&self, cast: &Cast) -> Vec<Event> {
        let news = self.around.news.iter().map(|push| Event::PushEnded {
            push: PushId(u64::from(*push)),
            outcome: Err(self.around.refusal.error()),
            at: T0,
        });
        let mut all: Vec<_> = news.collect();
        for account in &self.ledger.calls {
            for n in 0..account.rung {
                let leg = LegId { call: account.id, n };
                let answers = Event::LegAnswered { leg, codec: None };
                match account.leg(n) {
                    None => all.extend([
                        Event::LegRinging(leg),
                        Event::LegEarlyMedia { leg, codec: None },
                        answers,
                        Event::Bridged(leg),
                        Event::EarlyBridged(leg),
                        Event::BridgeFailed { leg, end: None },
                        ended(leg, &cast.busy),
                    ]),
                    Some(leg) if leg.heard == LegSound::Answered => all.push(answers),
                    Some(other) if other.heard == LegSound::Ringing && other.bridge == Bridge::No => {
                        all.push(Event::LegRinging(leg));
                    }
                    Some(_) => {}
                }
            }
            if account.over {
                all.push(Event::CallerGone {
                    call: account.id,
                    cause: cast.hung_up.clone(),
                });
            }
        }
        all
    }
}

fn ended(leg: LegId, end: &LegEnd) -> Event {
    Event::LegEnded { leg, end: end.clone() }
}

/// A command without the numbers of legs and pushes, and without values that are only reported.
fn gist(command: &Command) -> Option<String> {
    Some(match command {
        Command::AskRegistrations { .. }
        | Command::Note(_)
        | Command::Count(_)
        | Command::Call(_, CallOrder::Record { .. })
        | Command::Summarize(_) => return None,
        // The time of the change is not part of a state either (`Hash` of `Device`).
        Command::StoreDevice(device) => {
            let mut device = (**device).clone();
            device.changed = 0;
            format!("stores {device:?}")
        }
        Command::ForgetDevice { key, why, .. } => format!("forgets {key:?}: {why}"),
        Command::Call(call, CallOrder::Ring(ring)) => format!("{call} rings {:?}", ring.target),
        Command::Call(call, CallOrder::Kill { cause, .. }) => format!("{call} kills for {cause:?}"),
        Command::Call(call, CallOrder::Connect(connect)) => format!("{call} connects {}", connect.early),
        Command::Push(push) => format!("pushes {:?} for {:?}", push.to, push.about),
        other => format!("{other:?}"),
    })
}
