//! The figures for a call's record and summary.

use std::sync::Arc;

use crate::types::Moment;

/// What a call counts and measures. It decides nothing.
#[derive(Clone, Debug)]
pub(super) struct Figures {
    /// When the hold began.
    pub(super) since: Moment,
    /// How many legs were dialled; the next has this number.
    pub(super) legs: u32,
    /// How many pushes were sent.
    pub(super) pushes: u32,
    /// How many of them are in the call's own record.
    pub(super) recorded: u32,
    /// When the first of them was sent.
    pub(super) first_push: Option<Moment>,
    /// The first party that was pushed and registered, and when.
    pub(super) woken: Option<(usize, Moment)>,
    /// When that one was dialled.
    pub(super) invited: Option<Moment>,
    /// Who answered.
    pub(super) answered_by: Option<Arc<str>>,
    /// The journal knows of the call.
    pub(super) is_journalled: bool,
}

impl Figures {
    pub(super) fn since(since: Moment) -> Self {
        Self {
            since,
            legs: 0,
            pushes: 0,
            recorded: 0,
            first_push: None,
            woken: None,
            invited: None,
            answered_by: None,
            is_journalled: false,
        }
    }

    /// A party that was pushed has registered.
    pub(super) fn has_woken(&mut self, p: usize, now: Moment) {
        self.woken.get_or_insert((p, now));
    }

    /// An INVITE goes to this party.
    pub(super) fn has_invited(&mut self, p: usize, now: Moment) {
        if self.woken.is_some_and(|(woken, _)| woken == p) {
            self.invited.get_or_insert(now);
        }
    }
}
