//! How registrations end (docs/ARCHITECTURE.md, "When a registration ends").
//!
//! A binding is an AOR and a Contact (RFC 3261 section 10.3). A phone uses one Call-ID for all its REGISTERs, so the
//! Call-ID does not identify the registration that has ended. If the event does not either, FreeSWITCH is asked what is
//! left.

use std::hash::BuildHasher;
use std::sync::Arc;

use super::binding::PhoneId;
use super::outcome::{Departures, ListingQuery};
use super::{AorEntry, AorKey, Binding, Directory};
use crate::engine::command::Command;
use crate::engine::event::{Listing, Registration, Source, UnregisterWhy, Unregistration};
use crate::engine::policy::{OnUnregister, Policy};
use crate::types::{Aor, DeviceKey, Moment, NodeId, PushParams, Target};

impl Directory {
    /// Handles the end of a registration; returns the phones that are gone by it.
    pub fn unregister(
        &mut self,
        now: Moment,
        end: &Unregistration,
        policy: &Policy,
        out: &mut dyn FnMut(Command),
    ) -> Departures {
        let key = AorKey::of(&end.aor, policy);
        if end.why == UnregisterWhy::Expired {
            self.learn_from(now, &key, end, out);
        }
        if !self.resyncing.is_empty() {
            self.ended.entry(key.clone()).or_default().insert(end.aor.clone());
        }
        for question in self.questions.get_mut(&key).into_iter().flatten() {
            question.ended = self.asked;
        }
        let Some(entry) = self.entries.get_mut(&key) else {
            return Departures::default();
        };
        let (over, left): (Vec<_>, Vec<_>) = entry.bindings.drain(..).partition(|b| is_over(b, end));
        entry.bindings = left;
        let gone = entry.gone(&over);
        let may_be_over = match end.why {
            // FreeSWITCH may remove more than it was asked to, depending on `multiple-registrations`.
            UnregisterWhy::Explicit => !entry.bindings.is_empty(),
            _ => over.is_empty() && entry.bindings.iter().any(|b| b.call_id == end.call_id),
        };
        if end.why == UnregisterWhy::Explicit {
            for device in logged_out(entry, end, over, now) {
                let keep = policy.app(&device).map(|a| a.on_unregister);
                if keep.unwrap_or_default() == OnUnregister::Forget {
                    self.drop_token(&key, &device, ("unregistered", end.stamp), out);
                }
            }
        }
        if may_be_over {
            self.ask(&key, &end.aor, end.node, out);
        }
        self.drop_if_empty(&key);
        gone
    }

    /// The registration that ends is of an unknown device: its token is known from now on.
    fn learn_from(&mut self, now: Moment, key: &AorKey, end: &Unregistration, out: &mut dyn FnMut(Command)) {
        let Some(push) = end.push.clone() else { return };
        if self.is_owned(&push) {
            return;
        }
        let mut reg = Registration {
            aor: end.aor.clone(),
            call_id: end.call_id.clone(),
            target: None,
            push: Some(push),
            wants_no_push: false,
            user_agent: end.user_agent.clone(),
            expires: std::time::Duration::ZERO,
            at: end.at,
            stamp: end.stamp,
            source: Source::Answer(self.asked),
        };
        self.own(now, key, &mut reg, out);
    }

    /// Asks a FreeSWITCH which registrations a user has.
    pub(super) fn ask(&mut self, key: &AorKey, aor: &Aor, node: NodeId, out: &mut dyn FnMut(Command)) {
        let Some(entry) = self.entries.get(key) else { return };
        let mut profiles: Vec<Arc<str>> = Vec::new();
        let is_asked = |b: &&Binding| b.domain == aor.domain && b.target.node() == node;
        for b in entry.bindings.iter().filter(is_asked) {
            if !profiles.iter().any(|known| **known == *b.target.profile()) {
                profiles.push(b.target.profile().into());
            }
        }
        if !profiles.is_empty() {
            self.ask_in(key, aor, node, profiles, out);
        }
    }

    /// Asks a FreeSWITCH which registrations a user has in these profiles.
    pub(super) fn ask_in(
        &mut self,
        key: &AorKey,
        aor: &Aor,
        node: NodeId,
        profiles: Vec<Arc<str>>,
        out: &mut dyn FnMut(Command),
    ) {
        if self.nobody_to_ask {
            return;
        }
        self.asked += 1;
        let questions = self.questions.entry(key.clone()).or_default();
        match questions.iter_mut().find(|question| question.node == node) {
            Some(question) => question.number = self.asked,
            None => questions.push(ListingQuery {
                node,
                aor: aor.clone(),
                number: self.asked,
                ended: 0,
            }),
        }
        out(Command::AskRegistrations {
            node,
            aor: aor.clone(),
            number: self.asked,
            profiles,
        });
    }

    /// Another user of the same desk may have registered with this Call-ID before. If `multiple-registrations` is
    /// `call-id`, FreeSWITCH deletes by Call-ID alone, without an event; in other profiles both stay.
    pub(super) fn find_former_user(
        &mut self,
        phone: u64,
        key: &AorKey,
        reg: &Registration,
        out: &mut dyn FnMut(Command),
    ) {
        let Some(before) = self.phones.insert(phone, key.clone()).filter(|before| before != key) else {
            return;
        };
        let of_phone = |b: &&Binding| b.call_id == reg.call_id && b.device.is_none();
        let binding = self
            .entries
            .open(&before)
            .and_then(|e| e.bindings.iter().find(of_phone));
        if let Some(binding) = binding {
            let aor = Aor::new(before.user.clone(), binding.domain.clone());
            let node = binding.target.node();
            self.ask(&before, &aor, node, out);
        }
    }

    /// A phone without a token, by its Call-ID; those that are gone are removed from time to time.
    pub(super) fn phone(&mut self, call_id: &str) -> u64 {
        if self.phones.len() >= self.sweep_at.max(1024) {
            let (entries, hasher) = (&self.entries, &self.hasher);
            let is_there = |phone: u64, key: &AorKey| {
                let its = |b: &Binding| b.device.is_none() && hasher.hash_one(&b.call_id) == phone;
                entries.open(key).is_some_and(|e| e.bindings.iter().any(its))
            };
            self.phones.retain(|phone, key| is_there(*phone, key));
            self.sweep_at = self.phones.len() * 2;
        }
        self.hasher.hash_one(call_id)
    }

    /// Compares the known registrations with FreeSWITCH's: those that it does not have end here. Returns the phones
    /// that are gone, and the registrations that were missed. News since the question is newer than the answer.
    pub fn compare(&mut self, listing: Listing, policy: &Policy) -> (Vec<Registration>, Departures) {
        let key = AorKey::of(&listing.aor, policy);
        // Kept here: an AOR without registrations has no entry any more.
        let mut ended = 0;
        if let Some(questions) = self.questions.get_mut(&key) {
            let asked = questions.iter().find(|question| question.node == listing.node);
            ended = asked.map_or(0, |question| question.ended);
            questions.retain(|question| question.node != listing.node || question.number > listing.number);
            if questions.is_empty() {
                self.questions.remove(&key);
            }
        }
        let entry = self.entries.known(&key);
        let is_listed = |target: &Target| {
            let mut all = listing.registrations.iter();
            all.any(|r| r.target.as_ref() == Some(target))
        };
        let is_asked = |b: &Binding| {
            let of_profile =
                b.target.node() == listing.node && listing.profiles.iter().any(|p| **p == *b.target.profile());
            b.asked < listing.number && b.domain == listing.aor.domain && of_profile
        };
        let is_left = |b: &Binding| !is_asked(b) || is_listed(&b.target);
        let (left, over): (Vec<_>, Vec<_>) = entry.bindings.drain(..).partition(is_left);
        entry.bindings = left;
        let gone = entry.gone(&over);
        let missed = if ended < listing.number {
            let all = listing.registrations.into_iter();
            let source = Source::Answer(listing.number);
            all.filter(|reg| is_missed(entry, reg))
                .map(|reg| Registration { source, ..reg })
                .collect()
        } else {
            Vec::new()
        };
        self.drop_if_empty(&key);
        (missed, gone)
    }

    /// The bindings that were pinged.
    pub fn pinged<'a>(
        &'a mut self,
        node: NodeId,
        aor: &Aor,
        call_id: &'a str,
        target: Option<&'a Target>,
        policy: &Policy,
    ) -> impl Iterator<Item = &'a mut Binding> {
        let entry = self.entries.get_mut(&AorKey::of(aor, policy));
        let bindings = entry.into_iter().flat_map(|e| &mut e.bindings);
        bindings.filter(move |b| match target {
            Some(target) => b.target == *target,
            None => *b.call_id == *call_id && b.target.node() == node,
        })
    }
}

impl AorEntry {
    fn gone(&self, over: &[Binding]) -> Departures {
        Departures {
            devices: over.iter().filter_map(|b| b.device.clone()).collect(),
            waiting: self.waiting.clone(),
        }
    }
}

/// Whether the event ends this binding.
fn is_over(b: &Binding, end: &Unregistration) -> bool {
    match (&end.target, end.why) {
        // The phone names its Contact; the un-REGISTER may have come by another route than the REGISTER.
        (Some(target), UnregisterWhy::Explicit) => b.target.contact() == target.contact(),
        (Some(target), _) => b.target == *target,
        (None, UnregisterWhy::Explicit) => b.call_id == end.call_id,
        (None, _) => false,
    }
}

/// The devices whose users log out: they un-REGISTERed, and are registered nowhere else.
fn logged_out(entry: &AorEntry, end: &Unregistration, over: Vec<Binding>, now: Moment) -> Vec<Arc<DeviceKey>> {
    let token = end.push.as_ref().map(PushParams::token);
    let is_older = |device: &DeviceKey| {
        let known = entry.devices.iter().find(|d| *d.key == *device);
        known.is_some_and(|d| d.is_newer_elsewhere(end.stamp))
    };
    let named = entry.devices.iter().filter(|d| match token {
        Some(token) => d.device.push.token() == token,
        None => d.device.register_call_id == end.call_id,
    });
    let mut all: Vec<_> = over.into_iter().filter_map(|b| b.device).collect();
    all.extend(named.map(|d| d.key.clone()));
    all.retain(|device| !entry.is_bound(device, now) && !is_older(device));
    all
}

/// Whether a phone in FreeSWITCH's list is unknown, or known only from a list that may have been too old.
fn is_missed(entry: &AorEntry, reg: &Registration) -> bool {
    let Some(target) = &reg.target else { return false };
    let device = reg.push.as_ref().and_then(|push| entry.device_of(push));
    let phone = PhoneId {
        device: device.map(|d| &d.key),
        call_id: &reg.call_id,
        target,
    };
    !entry.bindings.iter().any(|b| phone.has(b) && !b.in_doubt)
}
