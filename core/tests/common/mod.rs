//! Helpers for engine tests: virtual time, short functions for events, and a check that every command is expected.
#![allow(dead_code, missing_docs, reason = "each test file uses its part")]

use std::time::{Duration, SystemTime};

use fswake_core::engine::policy::Policy;
use fswake_core::engine::{
    CallOptions, CallOrder, Command, Connect, Engine, Event, HeldCall, HoldResult, LegEnd, Next, Note, Record,
    Registration, Ring, Source, Step, Summary, Takeover, UnregisterWhy, Unregistration,
};
use fswake_core::types::push::{PushError, PushKind, PushReceipt, PushRequest};
use fswake_core::types::{
    Aor, CallId, DeviceKey, LegId, Moment, NodeId, Provider, PushParams, PushToken, Target, Tokens,
};
use uuid::Uuid;

pub const T0: i64 = 1_800_000_000;

pub struct Bench {
    pub engine: Engine,
    pub now: Moment,
    /// Every command, in order.
    pub all: Vec<Command>,
    /// Commands that a test has yet to expect.
    pub out: Vec<Command>,
    pub summaries: Vec<Summary>,
    pub records: Vec<(Record, bool)>,
    pub notes: Vec<Note>,
    pub counts: Vec<fswake_core::engine::Count>,
    /// FreeSWITCH's registrations, as with `multiple-registrations=contact`.
    pub freeswitch_has: Vec<Registration>,
    /// The AORs that the engine asked about.
    pub questions: Vec<Aor>,
    /// Questions that are not answered yet.
    pub thinks: bool,
    unanswered: Vec<(Aor, u64, Vec<std::sync::Arc<str>>)>,
}

pub fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub fn call(n: u128) -> CallId {
    CallId(Uuid::from_u128(n))
}

pub fn leg(c: u128, n: u32) -> LegId {
    LegId { call: call(c), n }
}

pub fn apns(token: &str) -> PushParams {
    PushParams {
        provider: Provider::Apns,
        app: "com.example.app".into(),
        team: None,
        tokens: Tokens::Call(PushToken::new(token)),
    }
}

pub fn key(user: &str, token: &str) -> DeviceKey {
    DeviceKey {
        aor: Aor::new(user, "fs.test"),
        provider: Provider::Apns,
        app: "com.example.app".into(),
        token: PushToken::new(token),
    }
}

pub fn target(at: &str) -> Target {
    Target::new(format!("sofia/internal/sip:{at}"))
}

/// A registration of `user` with Call-ID `id` at contact `at`.
pub fn reg(user: &str, id: &str, at: &str, push: Option<PushParams>) -> Registration {
    Registration {
        aor: Aor::new(user, "fs.test"),
        call_id: id.into(),
        target: Some(target(at)),
        wants_no_push: push.is_none(),
        push,
        user_agent: "test".into(),
        expires: Duration::from_secs(3600),
        at: T0,
        stamp: T0 * 1_000_000,
        source: Source::Event,
    }
}

pub fn end(cause: &str, sip: u16) -> LegEnd {
    LegEnd {
        cause: cause.into(),
        sip_status: (sip > 0).then_some(sip),
    }
}

/// The dialplan's bridge fails with this cause.
pub fn fails(cause: &str, sip: u16) -> Next {
    Next::fails(&end(cause, sip))
}

pub fn unreg(user: &str, id: &str, why: UnregisterWhy) -> Event {
    Event::Unregistered(Unregistration {
        node: NodeId::FIRST,
        aor: Aor::new(user, "fs.test"),
        call_id: id.into(),
        target: None,
        push: None,
        user_agent: "".into(),
        at: T0,
        stamp: T0 * 1_000_000,
        why,
    })
}

/// The leg that a command rings, if any.
pub fn ring_of(command: &Command) -> Option<&Ring> {
    match command {
        Command::Call(_, CallOrder::Ring(ring)) => Some(ring),
        _ => None,
    }
}

impl Bench {
    pub fn new(policy: Policy) -> Self {
        let engine = Engine::new(policy, Vec::new());
        Self {
            engine,
            now: Moment::default(),
            all: Vec::new(),
            out: Vec::new(),
            summaries: Vec::new(),
            records: Vec::new(),
            notes: Vec::new(),
            counts: Vec::new(),
            freeswitch_has: Vec::new(),
            questions: Vec::new(),
            thinks: false,
            unanswered: Vec::new(),
        }
    }

    /// Feeds one event. The test must then expect its commands.
    pub fn feed(&mut self, event: Event) {
        match &event {
            Event::Registered(reg) if reg.source == Source::Event => {
                self.freeswitch_has
                    .retain(|r| (&r.aor, &r.target) != (&reg.aor, &reg.target));
                self.freeswitch_has.push(reg.clone());
            }
            Event::Unregistered(end) => self.freeswitch_has.retain(|r| {
                let same_contact = match &end.target {
                    Some(_) => r.target == end.target,
                    None => r.call_id == end.call_id,
                };
                r.aor != end.aor || !same_contact
            }),
            _ => {}
        }
        self.tell(event);
    }

    /// Feeds an event without changing FreeSWITCH's registrations.
    pub fn tell(&mut self, event: Event) {
        self.engine.handle(self.now, event);
        self.drain();
    }

    /// Feeds an event that raises a question, and leaves the question open. Returns its index.
    pub fn asks(&mut self, event: Event) -> usize {
        self.thinks = true;
        self.tell(event);
        self.thinks = false;
        self.unanswered.len() - 1
    }

    /// FreeSWITCH answers a question.
    pub fn answer(&mut self, question: usize, registrations: Vec<Registration>) {
        let (aor, number, profiles) = self.unanswered[question].clone();
        self.tell(Event::Listed(fswake_core::engine::Listing {
            node: NodeId::FIRST,
            aor,
            number,
            profiles,
            registrations,
        }));
    }

    fn drain(&mut self) {
        while let Some(command) = self.engine.poll_command() {
            self.all.push(command.clone());
            match command {
                Command::Note(note) => self.notes.push(note),
                Command::Call(_, CallOrder::Record { record, at_once }) => self.records.push((*record, at_once)),
                Command::Count(count) => self.counts.push(count),
                Command::Summarize(summary) => self.summaries.push(*summary),
                Command::AskRegistrations {
                    aor, number, profiles, ..
                } => {
                    self.questions.push(aor.clone());
                    if self.thinks {
                        self.unanswered.push((aor, number, profiles));
                        continue;
                    }
                    let registrations = self.freeswitch_has.iter().filter(|r| r.aor == aor).cloned().collect();
                    let listing = fswake_core::engine::Listing {
                        node: NodeId::FIRST,
                        aor,
                        number,
                        profiles,
                        registrations,
                    };
                    self.engine.handle(self.now, Event::Listed(listing));
                }
                other => self.out.push(other),
            }
        }
    }

    /// Advances the clock, and fires every timer when it is due.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now.plus(time);
        while let Some(at) = self.engine.next_timer().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            self.engine.tick(self.now);
            self.drain();
        }
        self.now = end;
    }

    pub fn register(&mut self, registration: Registration) {
        self.feed(Event::Registered(registration));
    }

    /// A device whose registration is over: it registered an hour ago, with no sign of life since.
    pub fn sleeping(&mut self, user: &str, token: &str) {
        self.register(reg(user, token, &format!("{user}@old:1"), Some(apns(token))));
        self.feed(unreg(user, token, UnregisterWhy::ConnectionClosed));
        self.pass(Duration::from_secs(3600));
        self.out.clear();
    }

    pub fn hold(&mut self, n: u128, user: &str) {
        self.hold_by(n, user, "caller");
    }

    pub fn hold_by(&mut self, n: u128, user: &str, caller: &str) {
        self.hold_call(n, user, caller, CallOptions::default(), None);
    }

    /// A call that may ring for this long by its own limit.
    pub fn hold_for(&mut self, n: u128, user: &str, own: Duration) {
        self.hold_call(n, user, "caller", CallOptions::default(), Some(own));
    }

    pub fn hold_with(&mut self, n: u128, user: &str, options: CallOptions) {
        self.hold_call(n, user, "caller", options, None);
    }

    fn hold_call(&mut self, n: u128, user: &str, caller: &str, options: CallOptions, max_wait: Option<Duration>) {
        self.feed(Event::CallHeld(Self::held_call(n, user, caller, options, max_wait)));
    }

    pub fn held_call(n: u128, user: &str, caller: &str, options: CallOptions, max_wait: Option<Duration>) -> HeldCall {
        HeldCall {
            node: NodeId::FIRST,
            call: call(n),
            aor: Aor::new(user, "fs.test"),
            caller_number: caller.into(),
            caller_name: "Alice".into(),
            at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000),
            max_wait,
            routing: fswake_core::engine::Routing::Dialplan,
            options,
            query: None,
            sip_call_id: None,
        }
    }

    pub fn ends(&mut self, l: LegId, cause: &str, sip: u16) {
        let end = end(cause, sip);
        self.feed(Event::LegEnded { leg: l, end });
    }

    pub fn rings(&mut self, l: LegId) {
        self.feed(Event::LegRinging(l));
    }

    /// 183 with media.
    pub fn plays(&mut self, l: LegId) {
        let codec = Some("PCMA".into());
        self.feed(Event::LegEarlyMedia { leg: l, codec });
    }

    pub fn bridge_fails(&mut self, l: LegId, end: Option<LegEnd>) {
        self.feed(Event::BridgeFailed { leg: l, end });
    }

    pub fn gone(&mut self, n: u128, cause: &str) {
        self.feed(Event::CallerGone {
            call: call(n),
            cause: cause.into(),
        });
    }

    pub fn taken(&mut self, n: u128, how: Takeover) {
        self.feed(Event::CallTaken { call: call(n), how });
    }

    /// The last journal step of this name.
    pub fn noted(&self, name: &str) -> Option<&Step> {
        self.notes
            .iter()
            .rev()
            .map(|note| &note.step)
            .find(|step| step.name() == name)
    }

    pub fn answers(&mut self, l: LegId) {
        self.feed(Event::LegAnswered {
            leg: l,
            codec: Some("PCMA".into()),
        });
    }

    pub fn accepts(&mut self, push: &PushRequest) {
        let receipt = PushReceipt {
            provider_id: None,
            status: 200,
            attempts: 1,
        };
        self.feed(Event::PushEnded {
            push: push.id,
            outcome: Ok(receipt),
            at: T0,
        });
    }

    pub fn refuses(&mut self, push: &PushRequest, error: PushError) {
        self.feed(Event::PushEnded {
            push: push.id,
            outcome: Err(error),
            at: T0,
        });
    }

    /// Takes the next command, which must be of this kind.
    #[track_caller]
    fn take(&mut self, what: &str, is: impl Fn(&Command) -> bool) -> Command {
        assert!(
            self.out.first().is_some_and(is),
            "expected {what} next, got {:#?}",
            self.out
        );
        self.out.remove(0)
    }

    #[track_caller]
    pub fn expect_push(&mut self, token: &str) -> PushRequest {
        let is = |c: &Command| matches!(c, Command::Push(p) if p.call().is_some_and(|c| c.kind == PushKind::Call) && *p.to.token() == PushToken::new(token));
        match self.take("call push", is) {
            Command::Push(push) => *push,
            _ => unreachable!(),
        }
    }

    #[track_caller]
    pub fn expect_news(&mut self, kind: &PushKind) -> PushRequest {
        let is = |c: &Command| matches!(c, Command::Push(p) if p.call().is_some_and(|c| c.kind == *kind));
        match self.take("push", is) {
            Command::Push(push) => *push,
            _ => unreachable!(),
        }
    }

    /// The next command is a push to this device that does not belong to a call.
    #[track_caller]
    pub fn expect_notification(&mut self, token: &str) -> PushRequest {
        let is =
            |c: &Command| matches!(c, Command::Push(p) if p.call().is_none() && *p.to.token() == PushToken::new(token));
        match self.take("notification", is) {
            Command::Push(push) => *push,
            _ => unreachable!(),
        }
    }

    #[track_caller]
    pub fn expect_answer(&mut self, n: u64) -> fswake_core::engine::Delivery {
        let is = |c: &Command| matches!(c, Command::Answer(id, _) if *id == fswake_core::types::NotificationId(n));
        match self.take("answer", is) {
            Command::Answer(_, delivery) => delivery,
            _ => unreachable!(),
        }
    }

    #[track_caller]
    pub fn expect_ring(&mut self, l: LegId, at: &str) -> Ring {
        let is = |c: &Command| ring_of(c).is_some_and(|ring| ring.leg == l && ring.target == target(at));
        match self.take("ring", is) {
            Command::Call(_, CallOrder::Ring(ring)) => *ring,
            _ => unreachable!(),
        }
    }

    #[track_caller]
    pub fn expect_alert(&mut self, n: u128) {
        self.take("alert", |c| *c == Command::Call(call(n), CallOrder::Alert));
    }

    #[track_caller]
    pub fn expect_kill(&mut self, l: LegId, cause: &str) {
        self.take(
            "kill",
            |c| matches!(c, Command::Call(_, CallOrder::Kill { leg, cause: why }) if *leg == l && why.as_str() == cause),
        );
    }

    #[track_caller]
    pub fn expect_connect(&mut self, l: LegId) {
        self.expect_connect_with(l, false);
    }

    /// The next command makes the caller hear the phone's early media.
    #[track_caller]
    pub fn expect_early_connect(&mut self, l: LegId) {
        self.expect_connect_with(l, true);
    }

    #[track_caller]
    fn expect_connect_with(&mut self, l: LegId, is_early: bool) {
        let codec = Some("PCMA".into());
        let connect = Connect {
            leg: l,
            codec,
            early: is_early,
        };
        let expected = Command::Call(l.call, CallOrder::Connect(connect));
        self.take("connect", |c| *c == expected);
    }

    /// The channel is handed back with this result. Returns what the dialplan's bridge does next.
    #[track_caller]
    pub fn expect_release(&mut self, n: u128, result: HoldResult) -> Next {
        let is = |c: &Command| matches!(c, Command::Call(of, CallOrder::Release { result: r, .. }) if *of == call(n) && *r == result);
        match self.take("release", is) {
            Command::Call(_, CallOrder::Release { next, .. }) => next,
            _ => unreachable!(),
        }
    }

    /// No device is known, and no first REGISTER arrived while one could have been in transit.
    #[track_caller]
    pub fn expect_no_device(&mut self, n: u128) {
        self.pass(ms(30));
        self.expect_release(n, HoldResult::NoDevice);
    }

    #[track_caller]
    pub fn expect_close(&mut self, n: u128) {
        self.take("close", |c| *c == Command::Call(call(n), CallOrder::Close));
    }

    #[track_caller]
    pub fn expect_stored(&mut self, token: &str) -> fswake_core::types::Device {
        let is = |c: &Command| matches!(c, Command::StoreDevice(d) if *d.push.token() == PushToken::new(token));
        match self.take("store", is) {
            Command::StoreDevice(device) => (*device).clone(),
            _ => unreachable!(),
        }
    }

    #[track_caller]
    pub fn expect_forgotten(&mut self, user: &str, token: &str) {
        self.take(
            "forget",
            |c| matches!(c, Command::ForgetDevice { key: k, .. } if **k == key(user, token)),
        );
    }

    /// Ignores the remaining commands: other tests cover them.
    pub fn set_rest_aside(&mut self) {
        self.out.clear();
    }

    /// Fails if a command is left that the test did not expect.
    #[track_caller]
    pub fn expect_nothing_more(&mut self) {
        assert!(self.out.is_empty(), "unexpected commands: {:#?}", self.out);
    }
}

/// Fails if a command was neither expected nor ignored.
impl Drop for Bench {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.expect_nothing_more();
        }
    }
}
