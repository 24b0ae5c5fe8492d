//! What came of a wake that somebody asked for, phone by phone.

use std::sync::Arc;
use std::time::Duration;

use super::command::HoldResult;
use crate::types::{CallId, DeviceKey, Target};
use crate::word_enum;

/// The answer to a wake that somebody asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WakeReport {
    /// Its name: in the journal, and in what pushes carry.
    pub call: CallId,
    /// [`HoldResult::Woken`] if a phone can be rung now; otherwise why not.
    pub result: HoldResult,
    /// How long it took.
    pub took: Duration,
    /// The user's phones.
    pub parties: Vec<WokenParty>,
}

/// What came of it for one phone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WokenParty {
    /// The device; `None` for a phone without a token.
    pub device: Option<Arc<DeviceKey>>,
    /// Its name in logs and in the journal.
    pub label: Arc<str>,
    /// `User-Agent` of its last REGISTER; may be empty, any text.
    pub user_agent: Arc<str>,
    /// How it stands.
    pub state: WakeState,
    /// Where it is registered.
    pub target: Option<Target>,
    /// How many pushes were sent to it.
    pub pushes: u32,
    /// From a push to its REGISTER.
    pub to_register: Option<Duration>,
    /// Why it was not pushed, or why the push was refused.
    pub problem: Option<Arc<str>>,
}

word_enum! {
    /// How a phone stands when a wake that was asked for is over.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum WakeState {
        /// It has registered since.
        Registered = "registered",
        /// It was registered and needs no push.
        Awake = "awake",
        /// It was pushed, and has not registered.
        Pushed = "pushed",
        /// Its push was only written to the log: its app has no provider.
        Logged = "logged",
        /// Its push was refused, or not delivered in time.
        Refused = "refused",
        /// Its token was refused before and is not used until its next REGISTER.
        SetAside = "set-aside",
        /// It was not pushed: the rate limit is reached.
        Limited = "limited",
        /// It was not pushed, and is not registered.
        NotPushed = "not-pushed",
    }
}

impl WakeReport {
    /// The answer to a wake that was not begun.
    pub fn of_nobody(call: CallId, result: HoldResult) -> Self {
        Self {
            call,
            result,
            took: Duration::ZERO,
            parties: Vec::new(),
        }
    }

    /// The phone to ring: the one that came first by its push, else one that needs none.
    pub fn woken(&self) -> Option<&WokenParty> {
        let is = |state| move |party: &&WokenParty| party.state == state;
        let came = self.parties.iter().filter(is(WakeState::Registered));
        let first = came.min_by_key(|party| party.to_register.unwrap_or(Duration::MAX));
        first.or_else(|| self.parties.iter().find(is(WakeState::Awake)))
    }
}
