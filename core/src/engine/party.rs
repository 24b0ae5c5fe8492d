//! One party of a held call: a device or a phone without a token, its leg and its wake.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use super::directory::Entry;
use super::event::LegEnd;
use crate::types::{CallId, DeviceKey, Moment, PushId, Target};

/// What led to a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A binding with recent proof of life.
    Awake,
    /// A binding that may be stale: rung in parallel with the push.
    Known,
    /// A REGISTER during this call.
    Woken,
}

/// How far a leg is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LegState {
    /// No 18x yet.
    Dialing,
    /// 18x heard.
    Ringing,
    /// 200 heard.
    Answered,
}

/// A leg of ours.
#[derive(Clone, Debug)]
pub struct Leg {
    /// Its number in the call.
    pub n: u32,
    /// Where it went.
    pub target: Target,
    /// Why it was rung.
    pub origin: Origin,
    /// When it was rung.
    pub since: Moment,
    /// How far it is.
    pub state: LegState,
    /// When it gives way to a new one, unless it rings by then: its phone has registered where it goes.
    pub yields_at: Option<Moment>,
}

/// How the waking of a device stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wake {
    /// Nothing to do: no token, or all tries made, or the phone is here.
    #[default]
    Done,
    /// A push is due at this moment.
    At(Moment),
    /// Another call has just pushed it: a push of this call's own is due then, or as soon as that one has failed.
    Riding {
        /// That push.
        on: PushId,
        /// When it has had its time.
        until: Moment,
    },
    /// The provider refused for good, or the limit is reached: this device cannot be woken in this call.
    Impossible,
}

/// What is known of a party's last push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LastWord {
    /// It was sent; the provider has not answered yet.
    Sent,
    /// The provider took it.
    Taken,
    /// It was only written to the log: its app has no provider.
    Logged,
    /// It was refused, or not delivered in time: why.
    Refused(Arc<str>),
}

/// One who could answer.
#[derive(Clone, Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts about one phone, each set once"
)]
pub struct Party {
    /// The device; `None` for a phone without a token.
    pub device: Option<Arc<DeviceKey>>,
    /// Its name in logs and CDRs, worked out once; empty for a phone without a token.
    pub label: Arc<str>,
    /// `Call-ID` of its REGISTERs.
    pub register_call_id: Arc<str>,
    /// `User-Agent` of its last REGISTER.
    pub user_agent: Arc<str>,
    /// The Call-ID of INVITEs to it and what its pushes carry, once there was one.
    pub sip_call_id: Option<Arc<str>>,
    /// Where it is, as far as known; newest wins.
    pub target: Option<Target>,
    /// Last proof of life.
    pub alive: Option<Moment>,
    /// Its waking.
    pub wake: Wake,
    /// How many pushes were sent for this call.
    pub pushes: u32,
    /// When the last of them was sent.
    pub pushed: Option<Moment>,
    /// The provider took one of them.
    pub accepted: bool,
    /// What became of the last of them, or of another call's that this one waits for.
    pub last_word: Option<LastWord>,
    /// Another call had just pushed it: this one waits, or waited, for the same wake-up ([`Wake::Riding`]).
    pub rides: bool,
    /// It registered during this call.
    pub registered: bool,
    /// From a push of this call to the first REGISTER after it.
    pub push_to_register: Option<Duration>,
    /// It registered again within the debounce time of its leg.
    pub registered_again: bool,
    /// Its leg.
    pub leg: Option<Leg>,
    /// When it may be rung (settle delay, or a bridge under way that has to fail first).
    pub ring_at: Option<Moment>,
    /// What it is rung for then, unless it registers before.
    pub ring_as: Option<Origin>,
    /// It rang: an 18x was heard from it in this call.
    pub has_rung: bool,
    /// It has none of the caller's codecs: it is offered any, and FreeSWITCH transcodes.
    pub any_codec: bool,
    /// Where FreeSWITCH rings it, from the same dial-string as the held channel.
    pub beside: Option<Target>,
    /// FreeSWITCH was asked how that leg stands.
    pub asking: bool,
    /// When FreeSWITCH is asked once more.
    pub ask_at: Option<Moment>,
    /// That leg rings, or rang.
    pub rings_beside: bool,
    /// How its last leg ended, where it ended by itself.
    pub ended: Option<LegEnd>,
    /// It declined, answered, or rang until the end: out of this call.
    pub is_out: bool,
}

impl Wake {
    /// When a push is due.
    pub fn due(self) -> Option<Moment> {
        match self {
            Self::At(when) | Self::Riding { until: when, .. } => Some(when),
            Self::Done | Self::Impossible => None,
        }
    }
}

/// What decides ([`super::digest`]).
impl Hash for Wake {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        // The number of the push is a name; who rides on it is told with the pushes that are under way.
        self.due().hash(state);
    }
}

/// What decides ([`super::digest`]).
impl Hash for Leg {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self {
            // A name: whose leg it is says the same.
            n: _,
            target,
            origin,
            since,
            state: so_far,
            yields_at,
        } = self;
        (target, origin, so_far).hash(state);
        // Once it rings its age is for the journal.
        if *so_far == LegState::Dialing {
            (since, yields_at).hash(state);
        }
    }
}

/// What decides ([`super::digest`]).
impl Hash for Party {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self {
            device,
            register_call_id,
            target,
            alive,
            wake,
            pushes,
            pushed,
            rides,
            registered,
            registered_again,
            leg,
            ring_at,
            ring_as,
            has_rung,
            any_codec,
            beside,
            asking,
            ask_at,
            rings_beside,
            ended,
            is_out,
            // The call's name and the party's place in it.
            sip_call_id: _,
            // For the journal, the summary and what is counted.
            label: _,
            user_agent: _,
            accepted: _,
            last_word: _,
            push_to_register: _,
        } = self;
        // When it was alive says how a call starts with it; this one has started.
        (device, register_call_id, target, alive.is_some()).hash(state);
        (wake, rides, registered).hash(state);
        if !is_out {
            (pushes, pushed, registered_again).hash(state);
        }
        (leg, ring_at, ring_as, has_rung, any_codec, ended, is_out).hash(state);
        (beside, asking, ask_at, rings_beside).hash(state);
    }
}

impl Party {
    /// Everybody who could answer for an AOR: each device once, with its newest live binding, then the other bindings.
    pub fn all_of(entry: &Entry, now: Moment) -> Vec<Self> {
        let live = |device: Option<&Arc<DeviceKey>>| {
            entry
                .bindings
                .iter()
                .rev()
                .find(move |b| b.expires > now && b.device.as_ref() == device)
        };
        let devices = entry.devices.iter().map(|d| {
            let binding = live(Some(&d.key));
            Self {
                device: Some(d.key.clone()),
                label: d.label.clone(),
                register_call_id: d.device.register_call_id.clone(),
                user_agent: d.device.user_agent.clone(),
                target: binding.map(|b| b.target.clone()),
                alive: binding.and_then(|b| b.alive),
                ..Self::default()
            }
        });
        let others = entry
            .bindings
            .iter()
            .filter(|b| b.expires > now && b.device.is_none())
            .map(|b| Self {
                register_call_id: b.call_id.clone(),
                user_agent: b.user_agent.clone(),
                target: Some(b.target.clone()),
                alive: b.alive,
                ..Self::default()
            });
        devices.chain(others).collect()
    }

    /// Says which device it is, or from now on is.
    pub fn name(&mut self, device: &Arc<DeviceKey>) {
        if self.device.as_ref() != Some(device) {
            self.device = Some(device.clone());
            self.label = device.label().into();
        }
    }

    /// The Call-ID of INVITEs to it and what its pushes carry: worked out when it is first needed.
    pub fn sip_call_id(&mut self, call: CallId, number: usize) -> Arc<str> {
        self.sip_call_id.get_or_insert_with(|| call.sip_call_id(number)).clone()
    }

    /// Its name in logs and CDRs.
    pub fn label(&self) -> Arc<str> {
        if self.device.is_some() {
            self.label.clone()
        } else {
            "binding".into()
        }
    }

    /// Whether it can be rung now without a push: it has registered and had its pause, or was there all the time.
    pub fn is_awake(&self) -> bool {
        let is_woken_by_nobody = self.pushed.is_none() && !self.rides;
        self.ring_at.is_none() && (self.registered || (self.target.is_some() && is_woken_by_nobody))
    }

    /// Whether anything but a REGISTER out of the blue may bring it: it was heard of, or it is being woken. What was only read from
    /// FreeSWITCH's list may be a ghost.
    pub fn may_come(&self) -> bool {
        let is_woken = self.pushes > 0 || self.rides || self.wake.due().is_some();
        self.alive.is_some() || self.beside.is_some() || is_woken
    }

    /// Whether waiting for it makes sense: a leg is alive, or it was pushed and may yet register.
    pub fn may_answer(&self) -> bool {
        if self.leg.is_some() || self.ring_at.is_some() || self.asking || self.ask_at.is_some() {
            return true;
        }
        if self.is_out {
            return false;
        }
        match self.wake {
            Wake::At(_) | Wake::Riding { .. } => true,
            Wake::Impossible => false,
            // Pushed (by this call or the one it rides on) and not refused: it may register until the deadline.
            Wake::Done => self.pushes > 0 || self.rides,
        }
    }

    /// Whether it is waited for because of this push, which is another call's.
    pub fn rides_on(&self, push: PushId) -> bool {
        matches!(self.wake, Wake::Riding { on, .. } if on == push)
    }

    /// It is out of this call: neither rung nor pushed any more.
    pub fn leave(&mut self) {
        self.is_out = true;
        self.rest();
    }

    /// No push is due any more.
    pub fn rest(&mut self) {
        if self.wake.due().is_some() {
            self.wake = Wake::Done;
        }
    }

    /// Whether it has a leg that is so far.
    pub fn has_leg(&self, state: LegState) -> bool {
        self.leg.as_ref().is_some_and(|leg| leg.state == state)
    }

    /// Whether a push for this call is still allowed after a leg failed, as far as this call has a say.
    pub fn can_be_pushed(&self, retries: u32) -> bool {
        self.device.is_some() && !self.is_out && self.pushes <= retries
    }

    /// Whether the phone registered elsewhere while its leg got no answer for the whole debounce time.
    pub fn has_moved_on(&self, now: Moment, debounce: Duration) -> bool {
        let Some(leg) = &self.leg else { return false };
        leg.state == LegState::Dialing
            && self.registered_again
            && self.target.as_ref() != Some(&leg.target)
            && now.since(leg.since) >= debounce
    }

    /// Its next timer.
    pub fn next_timer(&self, debounce: Duration) -> Option<Moment> {
        let moved = self
            .leg
            .as_ref()
            .filter(|l| {
                l.state == LegState::Dialing && self.registered_again && self.target.as_ref() != Some(&l.target)
            })
            .map(|l| l.since.plus(debounce));
        let dialing = self.leg.as_ref().filter(|l| l.state == LegState::Dialing);
        let yields = dialing.and_then(|l| l.yields_at);
        let ask = self.ask_at.filter(|_| !self.asking);
        [self.wake.due(), self.ring_at, moved, yields, ask]
            .into_iter()
            .flatten()
            .min()
    }
}
