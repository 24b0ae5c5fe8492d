//! The wake of a party: its pushes and their results.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use crate::types::{Moment, PushId};

/// The pushes to a device for one call: due, under way, and their results.
#[derive(Clone, Debug, Default)]
pub struct PartyWake {
    /// What comes next.
    pub next: NextPush,
    /// This call's own pushes, once there is one.
    pub sent: Option<OwnPushes>,
    /// Another call had just pushed it: this one waits, or waited, for the same wake-up.
    pub was_shared: bool,
    /// The limit kept this call from pushing it.
    pub is_limited: bool,
    /// The state of the last push, or of another call's that this one waits for.
    pub last: Option<PushState>,
    /// From a push of this call to the first REGISTER after it.
    pub to_register: Option<Duration>,
}

/// The next push.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NextPush {
    /// None: no token, or all tries made, or the phone is registered.
    #[default]
    None,
    /// It is due now.
    At(Moment),
    /// Another call has just pushed the device: a push of this call's own is due then, or as soon as that one has
    /// failed.
    Shared {
        /// That push.
        with: PushId,
        /// When it has had its time.
        until: Moment,
    },
    /// The provider refused for good, or the limit is reached: this device cannot be woken in this call.
    Impossible,
}

/// What this call has sent to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnPushes {
    /// How many pushes.
    pub pushes: u32,
    /// When the last of them.
    pub at: Moment,
    /// The provider took one of them.
    pub is_accepted: bool,
}

/// The state of a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushState {
    /// It was sent; the provider has not answered yet.
    Sent,
    /// The provider took it.
    Accepted,
    /// It was only written to the log: its app has no provider.
    Logged,
    /// It was refused, or not delivered in time: why.
    Refused(Arc<str>),
}

/// Hashes what decides ([`crate::engine::digest`]).
impl Hash for NextPush {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        // The number of the push is a name; which calls share it is hashed with the pushes that are under way.
        self.due().hash(state);
    }
}

impl NextPush {
    fn due(self) -> Option<Moment> {
        match self {
            Self::At(when) | Self::Shared { until: when, .. } => Some(when),
            Self::None | Self::Impossible => None,
        }
    }
}

impl PartyWake {
    /// Hashes what decides ([`crate::engine::digest`]); the pushes of a party that has left the call do not.
    pub(super) fn what_decides(&self, with_pushes: bool) -> impl Hash {
        let Self {
            next,
            sent,
            was_shared,
            // For the journal, the summary, what is counted and the answer to whoever asked.
            is_limited: _,
            last: _,
            to_register: _,
        } = self;
        let sent = sent.filter(|_| with_pushes).map(|sent| (sent.pushes, sent.at));
        (*next, sent, *was_shared)
    }

    /// When a push is due.
    pub fn due(&self) -> Option<Moment> {
        self.next.due()
    }

    /// No push is due any more.
    pub fn rest(&mut self) {
        if self.due().is_some() {
            self.next = NextPush::None;
        }
    }

    /// Whether the device was pushed: by this call, or by the one that this one shares a push with.
    pub fn is_under_way(&self) -> bool {
        self.sent.is_some() || self.was_shared
    }

    /// Whether a push may bring the phone: it is due, or was sent and not refused. The phone may register until the
    /// deadline.
    pub fn may_succeed(&self) -> bool {
        match self.next {
            NextPush::At(_) | NextPush::Shared { .. } => true,
            NextPush::Impossible => false,
            NextPush::None => self.is_under_way(),
        }
    }

    /// How many pushes this call has sent.
    pub fn pushes(&self) -> u32 {
        self.sent.map_or(0, |sent| sent.pushes)
    }

    /// When it sent the last.
    pub fn pushed_at(&self) -> Option<Moment> {
        self.sent.map(|sent| sent.at)
    }

    /// A push is sent now.
    pub fn send(&mut self, now: Moment) {
        self.sent = Some(OwnPushes {
            pushes: self.pushes() + 1,
            at: now,
            is_accepted: self.sent.is_some_and(|sent| sent.is_accepted),
        });
        self.last = Some(PushState::Sent);
    }

    /// The provider has taken a push of this call's, or it was only written to the log.
    pub fn accept(&mut self, is_logged: bool) {
        if let Some(sent) = &mut self.sent {
            sent.is_accepted = true;
        }
        self.last = Some(if is_logged {
            PushState::Logged
        } else {
            PushState::Accepted
        });
    }

    /// Whether the provider has taken a push of this call's.
    pub fn is_accepted(&self) -> bool {
        self.sent.is_some_and(|sent| sent.is_accepted)
    }
}
