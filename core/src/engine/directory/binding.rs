//! Where the phones of an AOR are: its bindings, one for each phone.

use std::sync::Arc;
use std::time::Duration;

use super::entry::{Entry, MOST_PER_AOR};
use crate::engine::event::{Registration, Source};
use crate::types::{DeviceKey, Moment, Target};

/// Two lists tell the end of one registration with less between them.
const LIST_TO_LIST: Duration = Duration::from_secs(3);
/// FreeSWITCH keeps a registration for longer than the phone was told: `sip-expires-late-margin`, 60 s unless the
/// profile says otherwise.
const EVENT_TO_LIST: Duration = Duration::from_secs(63);
/// A live contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Dial-string to it.
    pub target: Target,
    /// `Call-ID` of its REGISTERs.
    pub call_id: Arc<str>,
    /// The domain that it registered with, as FreeSWITCH writes it.
    pub domain: Arc<str>,
    /// `User-Agent` of a phone without a token; empty for others, whose device has it.
    pub user_agent: Arc<str>,
    /// The device it belongs to; `None` for phones without a token.
    pub device: Option<Arc<DeviceKey>>,
    /// When it runs out.
    pub expires: Moment,
    /// Last proof of life, if any since we know it and since a ping failed.
    pub alive: Option<Moment>,
    /// The resync that named it last.
    pub(super) generation: u64,
    /// The latest resync when its last REGISTER was heard.
    pub(super) heard: u64,
    /// How many questions had been asked when it was heard last.
    pub(super) asked: u64,
    /// Only a list names it that may have been too old. FreeSWITCH has been asked.
    pub(super) in_doubt: bool,
}

/// How old the news of a registration is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Age {
    /// The latest resync when it was heard, or the one that it is of.
    pub(super) generation: u64,
    /// How many questions had been asked.
    pub(super) asked: u64,
    /// A list, and one of the user's registrations has ended since it was read.
    pub(super) may_be_over: bool,
}

impl Age {
    pub(super) fn of(generation: u64, asked: u64) -> Self {
        Self {
            generation,
            asked,
            may_be_over: false,
        }
    }
}

/// What names a phone: its token, else the Call-ID of its REGISTERs; and its Contact.
pub(super) struct PhoneId<'a> {
    pub(super) device: Option<&'a Arc<DeviceKey>>,
    pub(super) call_id: &'a Arc<str>,
    pub(super) target: &'a Target,
}

impl PhoneId<'_> {
    /// Whether a binding is this phone's: there, or where it was before.
    pub(super) fn has(&self, b: &Binding) -> bool {
        let same_device = self.device.is_some() && b.device.as_ref() == self.device;
        let same_call_id = !self.call_id.is_empty() && b.call_id == *self.call_id;
        same_device || same_call_id || b.target == *self.target
    }
}

impl Entry {
    /// Records where a phone is: a phone is at one place, the one that it named last.
    pub(super) fn bind(
        &mut self,
        now: Moment,
        device: Option<&Arc<DeviceKey>>,
        reg: &Registration,
        target: &Target,
        age: Age,
    ) -> BindOutcome {
        let Age {
            generation,
            asked,
            may_be_over,
        } = age;
        let expires = now.plus(reg.expires);
        let is_listed = reg.source != Source::Event;
        let bindings = &mut self.bindings;
        let phone = PhoneId {
            device,
            call_id: &reg.call_id,
            target,
        };
        // Heard since the resync began: newer than its list, whatever that says.
        if is_listed && bindings.iter().any(|b| phone.has(b) && b.heard >= generation) {
            return BindOutcome::default();
        }
        if is_listed
            && let Some(b) = bindings
                .iter_mut()
                .find(|b| b.target == *target && b.call_id == reg.call_id)
        {
            // Its expiry moves only when it registered while we were away. A list has it later than an event.
            let margin = if b.alive.is_some() { EVENT_TO_LIST } else { LIST_TO_LIST };
            let refreshed = expires > b.expires.plus(margin);
            b.expires = expires;
            (b.generation, b.asked) = (generation, asked);
            let is_certain = std::mem::take(&mut b.in_doubt);
            return BindOutcome {
                is_news: refreshed || is_certain,
                ..BindOutcome::default()
            };
        }
        // A phone that moved is listed at its old place too, until that runs out: the new one lasts longer, or comes
        // later in the list.
        if is_listed && bindings.iter().any(|b| phone.has(b) && b.expires > expires) {
            return BindOutcome::default();
        }
        let is_refresh = bindings.iter().any(|b| b.target == *target && b.call_id == reg.call_id);
        bindings.retain(|b| !phone.has(b));
        let is_new = !is_listed && !is_refresh;
        // Where a user may have one registration only, whoever has registered since the list was read has replaced the
        // others.
        let is_row = matches!(reg.source, Source::Resync(_));
        let in_doubt = is_row && (may_be_over || bindings.iter().any(|b| b.heard >= generation));
        let others = is_new && bindings.iter().any(|b| b.expires > now);
        bindings.push(Binding {
            target: target.clone(),
            call_id: reg.call_id.clone(),
            domain: reg.aor.domain.clone(),
            user_agent: device.map_or_else(|| reg.user_agent.clone(), |_| Arc::default()),
            device: device.cloned(),
            expires,
            alive: (!is_listed).then_some(now),
            generation,
            heard: if is_listed { 0 } else { generation },
            asked,
            in_doubt,
        });
        if bindings.len() > MOST_PER_AOR {
            bindings.remove(0);
        }
        BindOutcome {
            is_news: !in_doubt,
            is_new,
            in_doubt: match in_doubt {
                true => InDoubt::Itself,
                false if others => InDoubt::Others,
                false => InDoubt::Nothing,
            },
        }
    }

    /// Whether somebody is registered at this address.
    pub fn is_bound_to(&self, target: &Target, now: Moment) -> bool {
        self.bindings.iter().any(|b| b.expires > now && b.target == *target)
    }

    /// Whether a device is registered somewhere.
    pub fn is_bound(&self, device: &DeviceKey, now: Moment) -> bool {
        let its = |b: &Binding| b.expires > now && b.device.as_deref() == Some(device);
        self.bindings.iter().any(its)
    }
}

/// What became of a registration.
#[derive(Default)]
pub(super) struct BindOutcome {
    /// It says something new.
    pub(super) is_news: bool,
    /// A REGISTER has brought a new binding.
    pub(super) is_new: bool,
    /// What may not be there any more.
    pub(super) in_doubt: InDoubt,
}

/// What of a user's registrations may not be there any more: FreeSWITCH is asked.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum InDoubt {
    #[default]
    Nothing,
    /// It is a new Contact, and the user has others, of other phones.
    Others,
    /// It is a row of a list that may be too old: calls that wait hear of it when FreeSWITCH confirms it.
    Itself,
}
