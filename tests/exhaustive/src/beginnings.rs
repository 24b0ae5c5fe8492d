//! The start of a history: two phones of one user, what is known of each, and the held call.

use std::time::Duration;

use crate::engine::policy::{Alert, AppPolicy, Decline, OnUnregister, Policy};
use crate::engine::{CallOptions, Mode};
use crate::types::push::{KeptBy, PushError};

/// What the engine knows of a phone when the first call comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phone {
    /// Nothing. The phone has a token and may register.
    Unknown,
    /// Its token, but no address.
    Asleep,
    /// Its token, and an address with the last sign of life ten minutes ago.
    Stale,
    /// It registered a second ago.
    Awake,
    /// It has no token, and registered ten minutes ago.
    Desk,
}

/// How providers refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Finally, and the device is forgotten.
    Gone,
    /// Finally, and the token is set aside.
    Bad,
    /// Temporarily.
    Exhausted,
}

impl Refusal {
    /// The provider's error.
    pub fn error(self) -> PushError {
        let reason = String::new();
        match self {
            Self::Gone => PushError::TokenGone { since: None, reason },
            Self::Bad => PushError::TokenBad { reason },
            Self::Exhausted => PushError::Exhausted {
                kept_by: KeptBy::Busy { status: 503 },
                reason,
            },
        }
    }
}

/// A start of histories.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent bounds of what may happen")]
pub struct Beginning {
    /// The two phones.
    pub phones: [Phone; 2],
    /// The settings.
    pub policy: Policy,
    /// The options of the calls.
    pub options: CallOptions,
    /// How pushes are refused.
    pub refusal: Refusal,
    /// Whether a second call may come at any time.
    pub calls_twice: bool,
    /// Whether both phones may register at the same address. The last one to register then has it.
    pub shares_place: bool,
    /// Whether both phones may move, un-REGISTER and lose their current and earlier connections. Otherwise one phone
    /// may move and un-REGISTER, and the other may lose its connection.
    pub any_phone: bool,
    /// Whether phones may refuse (403).
    pub refuses: bool,
}

fn with(phones: [Phone; 2], refusal: Refusal, change: impl FnOnce(&mut Policy)) -> Beginning {
    let mut policy = Policy {
        device_pushes_per_minute: 0,
        caller_pushes_per_minute: 0,
        ..Policy::default()
    };
    change(&mut policy);
    Beginning {
        phones,
        policy,
        options: CallOptions::default(),
        refusal,
        calls_twice: false,
        shares_place: false,
        any_phone: true,
        refuses: false,
    }
}

/// One call for two sleeping phones, with the default settings.
pub fn one_call() -> Vec<Beginning> {
    let mut beginning = with([Phone::Asleep, Phone::Asleep], Refusal::Gone, |_| {});
    beginning.any_phone = false;
    vec![beginning]
}

/// One call, with other phones and settings.
pub fn other_beginnings() -> Vec<Beginning> {
    use Phone::{Asleep, Awake, Desk, Stale, Unknown};
    let shipped = |_: &mut Policy| {};
    let shared = |phones| Beginning {
        shares_place: true,
        ..with(phones, Refusal::Gone, shipped)
    };
    vec![
        shared([Asleep, Asleep]),
        shared([Stale, Awake]),
        with([Asleep, Asleep], Refusal::Gone, shipped),
        with([Stale, Awake], Refusal::Gone, shipped),
        with([Asleep, Desk], Refusal::Bad, shipped),
        with([Asleep, Unknown], Refusal::Exhausted, shipped),
        with([Unknown, Unknown], Refusal::Gone, shipped),
        with([Awake, Asleep], Refusal::Exhausted, |p| {
            p.decline = Decline::All;
            p.alert = Alert::Phone;
            p.settle_delay = Duration::from_millis(300);
        }),
        with([Asleep, Stale], Refusal::Exhausted, |p| p.mode = Mode::WakeFirst),
    ]
}

/// One call, with phones that may refuse.
pub fn refusals() -> Vec<Beginning> {
    use Phone::{Asleep, Awake, Desk, Stale};
    let mut all = vec![
        with([Asleep, Awake], Refusal::Gone, |_| {}),
        with([Stale, Desk], Refusal::Bad, |_| {}),
        with([Asleep, Asleep], Refusal::Exhausted, |p| {
            p.settle_delay = Duration::from_millis(300);
        }),
    ];
    for beginning in &mut all {
        beginning.refuses = true;
        beginning.any_phone = false;
    }
    all
}

/// The same with two calls.
pub fn two_calls_refused() -> Vec<Beginning> {
    let mut all = two_calls();
    for beginning in &mut all {
        beginning.refuses = true;
    }
    all
}

/// One held call, and another one at any time.
pub fn two_calls() -> Vec<Beginning> {
    use Phone::{Asleep, Awake};
    let news = |p: &mut Policy| {
        p.apps = vec![AppPolicy {
            on_unregister: OnUnregister::Keep,
            missed_call_push: true,
            ..AppPolicy::default()
        }];
    };
    let mut all = vec![
        with([Asleep, Asleep], Refusal::Gone, |_| {}),
        with([Asleep, Awake], Refusal::Exhausted, news),
    ];
    for beginning in &mut all {
        beginning.calls_twice = true;
        beginning.any_phone = false;
    }
    all
}
