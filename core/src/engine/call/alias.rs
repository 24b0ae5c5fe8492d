//! Calls to a number that may be a user's alias (`number-alias`): only FreeSWITCH's directory knows, and it may be
//! slow.
//!
//! Meanwhile the call is held like any other. A phone that registers with the number itself is rung. The call's first
//! journal entry waits for the answer, so that it is under the user's own name. (The other question to the directory:
//! `other_leg`.)

use std::sync::Arc;
use std::time::Duration;

use super::number_question::NumberQuestion;
use super::{Call, Phase};
use crate::engine::command::Command;
use crate::engine::directory::AorKey;
use crate::engine::event::DirectoryQuery;
use crate::engine::order::CallOrder;
use crate::engine::policy::Policy;
use crate::engine::world::World;
use crate::types::{Aor, DeviceKey, UnixSeconds};

/// How long the directory may take to answer.
pub const DIRECTORY: Duration = Duration::from_secs(3);

impl Call {
    /// Asks the directory who is called, if no user is known by the dialled name.
    pub(super) fn ask_for_user(&mut self, world: &mut World) {
        if self.held.query == Some(DirectoryQuery::WhoseNumber) && self.parties.is_empty() && self.question.is_none() {
            let (dialled, at) = (self.held.aor.user.clone(), world.now);
            self.question = Some(NumberQuestion {
                dialled,
                at,
                is_found: false,
            });
            self.ask_directory(DirectoryQuery::WhoseNumber, world);
        }
    }

    pub(super) fn ask_directory(&mut self, query: DirectoryQuery, world: &mut World) {
        self.asked = Some(world.now.plus(DIRECTORY));
        let (call, aor) = (self.held.call, self.held.aor.clone());
        world.out.push_back(Command::AskDirectory { call, aor, query });
    }

    /// Whether this question still waits for its answer.
    pub(super) fn is_asked(&self, query: DirectoryQuery) -> bool {
        self.asked.is_some() && self.held.query == Some(query)
    }

    /// The directory has not answered in time.
    pub(super) fn has_no_answer(&mut self, world: &mut World) {
        if self.is_asked(DirectoryQuery::WhoRings) {
            self.on_who_rings(None, world);
        } else {
            self.on_user_found(None, world);
        }
    }

    /// The callee, if the directory's answer is in time and new.
    pub fn is_for(&self, user: Arc<str>) -> Option<Aor> {
        let is_new = self.is_asked(DirectoryQuery::WhoseNumber) && user != self.held.aor.user;
        is_new.then(|| Aor {
            user,
            domain: self.held.aor.domain.clone(),
        })
    }

    /// When it came (UTC).
    pub fn held_at(&self) -> UnixSeconds {
        self.held.since()
    }

    /// The directory's answer: the callee. `None`: unknown, already known, or too late.
    pub fn on_user_found(&mut self, aor: Option<Aor>, world: &mut World) {
        if !self.is_asked(DirectoryQuery::WhoseNumber) {
            return;
        }
        if let Some((aor, question)) = aor.zip(self.question.as_mut())
            && !std::mem::replace(&mut question.is_found, true)
        {
            self.is_for_another(aor, world);
        }
        if self.phase != Phase::Holding {
            // If the bridge fails, the answer is used.
            self.asked = Some(world.now);
            return;
        }
        self.asked = None;
        if self
            .question
            .as_mut()
            .is_some_and(|question| std::mem::take(&mut question.is_found))
        {
            return self.find_phones(world);
        }
        self.note_first(world);
        self.settle(world);
    }

    /// Makes it a call for this user. Phones of the number itself that registered meanwhile stay in it.
    fn is_for_another(&mut self, aor: Aor, world: &mut World) {
        let call = self.held.call;
        let number = std::mem::replace(&mut self.key, AorKey::of(&aor, &world.policy));
        if self.parties.is_empty() {
            world.directory.wait_no_more(&number, call);
        } else {
            self.number = Some(number);
        }
        world.directory.wait(&self.key, call);
        self.held.aor = aor.clone();
        self.order(CallOrder::CallUser(aor), world);
    }

    /// The AORs that it waits for: the user's, and the dialled number's if phones of that have registered.
    pub fn keys(&self) -> impl Iterator<Item = &AorKey> {
        [Some(&self.key), self.number.as_ref()].into_iter().flatten()
    }

    /// AORs are compared differently from now on.
    pub fn refile(&mut self, policy: &Policy) {
        self.key = AorKey::of(&self.held.aor, policy);
        if let Some((number, asked)) = self.number.as_mut().zip(self.question.as_ref()) {
            *number = AorKey::of(&Aor::new(asked.dialled.clone(), self.held.aor.domain.clone()), policy);
        }
    }

    /// The AOR of the two that a device belongs to.
    pub(super) fn key_of(&self, device: &DeviceKey) -> &AorKey {
        let is_its = |number: &&AorKey| number.is_of(&device.aor.user);
        self.number.as_ref().filter(is_its).unwrap_or(&self.key)
    }
}
