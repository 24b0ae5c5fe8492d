//! Calls to a number that may be another name of a user's (`number-alias`): FreeSWITCH's directory knows, and may be slow to say.
//!
//! Meanwhile the call is held like any other. A phone that registers by the number itself is rung, and the call's first word in the
//! journal waits, so that the call stands there under the user's own name.

use std::sync::Arc;
use std::time::Duration;

use super::{Call, Phase};
use crate::engine::command::Command;
use crate::engine::directory::AorKey;
use crate::engine::world::World;
use crate::types::{Aor, Moment, UnixSeconds};

/// How long the directory may take to say who is called.
pub const DIRECTORY: Duration = Duration::from_secs(3);

/// What the journal is told of the question to the directory.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// What was dialled.
    pub(super) dialled: Arc<str>,
    /// When.
    pub(super) at: Moment,
}

impl Call {
    /// Asks the directory who is called, where nobody is known by what was dialled.
    pub(super) fn ask_for_user(&mut self, world: &mut World<'_>) {
        if !self.held.may_be_alias || !self.parties.is_empty() || self.question.is_some() {
            return;
        }
        self.asked = Some(world.now.plus(DIRECTORY));
        let (call, aor) = (self.held.call, self.held.aor.clone());
        let (dialled, at) = (aor.user.clone(), world.now);
        self.question = Some(Asked { dialled, at });
        world.out.push_back(Command::FindUser { call, aor });
    }

    /// Who is called, if the directory's answer is still waited for and says something new.
    pub fn is_for(&self, user: Arc<str>) -> Option<Aor> {
        let is_new = self.asked.is_some() && user != self.held.aor.user;
        is_new.then(|| Aor {
            user,
            domain: self.held.aor.domain.clone(),
        })
    }

    /// When it came (UTC).
    pub fn held_at(&self) -> UnixSeconds {
        self.held.since()
    }

    /// The directory has said who is called; `None`: nobody new, or not in time.
    pub fn on_user_found(&mut self, aor: Option<Aor>, world: &mut World<'_>) {
        if self.asked.take().is_none() {
            return;
        }
        if let Some(aor) = aor {
            let call = self.held.call;
            world.directory.wait_no_more(&self.key, call);
            self.held.aor = aor.clone();
            self.key = AorKey::of(&aor, world.policy);
            world.directory.wait(self.key.clone(), call);
            world.out.push_back(Command::CallUser { call, aor });
            if self.phase == Phase::Holding {
                return self.find_phones(world);
            }
        }
        self.note_first(world);
        if self.phase == Phase::Holding {
            self.settle(world);
        }
    }
}
