//! What a call tells of itself: to the journal, and to the call's own record.

use std::sync::Arc;

use super::Call;
use crate::engine::command::{Command, Note};
use crate::engine::event::Ask;
use crate::engine::order::{CallOrder, Record};
use crate::engine::step::Step;
use crate::engine::world::World;

/// A call's first word in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FirstWord {
    Due,
    Said,
}

impl Call {
    /// The call's first word in the journal, unless it is not known yet who is called.
    pub(super) fn note_held(&mut self, world: &mut World<'_>) {
        if !self.is_asked(Ask::WhoseNumber) {
            self.note_first(world);
        }
    }

    /// The call's first word in the journal, before any other.
    pub(super) fn note_first(&mut self, world: &mut World<'_>) {
        if std::mem::replace(&mut self.first_word, FirstWord::Said) == FirstWord::Said {
            return;
        }
        let asked = self.question.as_ref();
        let held = Step::CallHeld {
            caller: self.held.caller_number.clone(),
            devices: u32::try_from(self.parties.len()).unwrap_or(u32::MAX),
            wait: self.deadline.since(self.since),
            way: self.held.way,
            wishes: self.held.wishes.words(),
            dialled: asked.map(|asked| asked.dialled.clone()),
            asked: asked.map(|asked| world.now.since(asked.at)),
        };
        self.note(world, held);
    }

    /// Tells the call's own record of the pushes that an event has led to: its caller may hang up next.
    pub fn record_pushes(&mut self, world: &mut World<'_>) {
        if !self.is_over() && self.pushes > self.recorded {
            self.record(None, true, world);
        }
    }

    /// What the call's own record is told: with the next word to FreeSWITCH, or `at_once` where there may be none.
    pub(super) fn record(&mut self, device: Option<Arc<str>>, at_once: bool, world: &mut World<'_>) {
        self.recorded = self.pushes;
        let woken = self.woken_device.map(|p| self.parties[p].label());
        let record = Record {
            pushes: self.pushes,
            wake: self.woken.map(|at| at.since(self.since)),
            device: device.or(woken),
            rung_beside: self.rings_beside() && !self.is_asked(Ask::WhoRings),
        };
        let record = Box::new(record);
        self.order(CallOrder::Record { record, at_once }, world);
    }

    pub(super) fn order(&self, order: CallOrder, world: &mut World<'_>) {
        world.out.push_back(Command::Call(self.held.call, order));
    }

    pub(super) fn note(&self, world: &mut World<'_>, step: Step) {
        world.out.push_back(Command::Note(Note {
            call: Some(self.held.call),
            aor: self.held.aor.clone(),
            step,
        }));
    }
}
