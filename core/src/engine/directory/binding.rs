//! Where the phones of an AOR are: its bindings, one for each phone.

use std::sync::Arc;

use crate::types::{DeviceKey, Moment, Target};

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
    /// Last proof of life, if any since fswake started and since a ping failed.
    pub alive: Option<Moment>,
    /// The resync that named it last.
    pub(super) generation: u64,
    /// The latest resync when its last REGISTER arrived.
    pub(super) heard: u64,
    /// How many questions had been asked when its last news arrived.
    pub(super) asked: u64,
    /// Only a list that may have been too old has it. FreeSWITCH has been asked.
    pub(super) in_doubt: bool,
}

/// How old the news of a registration is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Age {
    /// The latest resync when it arrived, or the one that it comes from.
    pub(super) generation: u64,
    /// How many questions had been asked.
    pub(super) asked: u64,
    /// From a list, and one of the user's registrations has ended since that was read.
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

/// What identifies a phone: its token, else the Call-ID of its REGISTERs; and its Contact.
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

/// What a registration changed.
#[derive(Default)]
pub(super) struct BindOutcome {
    /// It is news.
    pub(super) is_news: bool,
    /// A REGISTER has brought a new binding.
    pub(super) is_new: bool,
    /// What may be gone.
    pub(super) in_doubt: InDoubt,
}

/// Which of a user's registrations may be gone: FreeSWITCH is asked.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum InDoubt {
    #[default]
    Nothing,
    /// It is a new Contact, and the user has others, of other phones.
    Others,
    /// It comes from a list that may be too old: waiting calls learn of it when FreeSWITCH confirms it.
    Itself,
}
