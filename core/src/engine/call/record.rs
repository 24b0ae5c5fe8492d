//! What a call reports: to the journal, in its own record, and in its summary.

use std::sync::Arc;

use super::Call;
use crate::engine::command::{Command, Note};
use crate::engine::event::DirectoryQuery;
use crate::engine::order::{CallOrder, Record};
use crate::engine::step::Step;
use crate::engine::world::World;

impl Call {
    /// Opens the call in the journal, unless the callee is not known yet.
    pub(super) fn note_held(&mut self, world: &mut World) {
        if !self.is_asked(DirectoryQuery::WhoseNumber) {
            self.note_first(world);
        }
    }

    /// Opens the call in the journal; every later step follows it.
    pub(super) fn note_first(&mut self, world: &mut World) {
        if std::mem::replace(&mut self.figures.is_journalled, true) {
            return;
        }
        let question = self.question.as_ref();
        let held = Step::CallHeld {
            caller: self.held.caller_number.clone(),
            devices: u32::try_from(self.parties.len()).unwrap_or(u32::MAX),
            wait: self.deadline.since(self.figures.since),
            routing: self.held.routing,
            options: self.held.options.words(),
            dialled: question.map(|question| question.dialled.clone()),
            asked: question.map(|question| world.now.since(question.at)),
        };
        self.note(world, held);
    }

    /// Updates the call's own record with the pushes that an event has caused: the caller may hang up next.
    pub fn record_pushes(&mut self, world: &mut World) {
        if !self.is_over() && self.figures.pushes > self.figures.recorded {
            self.record(None, true, world);
        }
    }

    /// Updates the call's own record: with the next command to FreeSWITCH, or `at_once` if there may be none.
    pub(super) fn record(&mut self, device: Option<Arc<str>>, at_once: bool, world: &mut World) {
        self.figures.recorded = self.figures.pushes;
        let woken = self.figures.woken.map(|(p, _)| self.parties[p].label());
        let record = Box::new(Record {
            pushes: self.figures.pushes,
            wake: self.figures.woken.map(|(_, at)| at.since(self.figures.since)),
            device: device.or(woken),
            rung_by_freeswitch: self.other_rings() && !self.is_asked(DirectoryQuery::WhoRings),
        });
        self.order(CallOrder::Record { record, at_once }, world);
    }

    /// Orders something for the call's own connection; a wake that somebody asked for has none.
    pub(super) fn order(&self, order: CallOrder, world: &mut World) {
        if self.is_request() {
            return;
        }
        world.out.push_back(Command::Call(self.held.call, order));
    }

    pub(super) fn note(&self, world: &mut World, step: Step) {
        world.out.push_back(Command::Note(Note {
            call: Some(self.held.call),
            aor: self.held.aor.clone(),
            step,
        }));
    }
}
