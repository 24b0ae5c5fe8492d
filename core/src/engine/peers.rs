//! What other daemons do with the same phones.

use super::Engine;
use super::directory::{AorKey, LastPush};
use crate::types::{Aor, PublicId};

impl Engine {
    /// Another daemon has pushed a phone for one of its calls. Calls here share that wake, as they would share one of
    /// their own, and it counts for the limits.
    pub(super) fn pushed_elsewhere(&mut self, aor: &Aor, device: PublicId, caller: Option<&str>) {
        let now = self.world.now;
        let key = AorKey::of(aor, &self.world.policy);
        let policy = &self.world.policy;
        if let Some(caller) = caller {
            let _ = self
                .world
                .callers
                .admit(now, caller, key.domain(), policy.caller_pushes_per_minute);
        }
        let push = self.world.pushes.of_another();
        if let Some(known) = self.world.directory.device_by_id(&key, device) {
            let _ = known.recent.admit(now, policy.device_pushes_per_minute);
            known.last_push = Some(LastPush { push, at: now });
            known.came = false;
        }
    }
}
