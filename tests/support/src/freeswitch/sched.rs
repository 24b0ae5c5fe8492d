//! The scheduler behind `sched_hangup` and `sched_del`, as mod_commands and switch_scheduler.c of 1.10.12 have it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::cause;
use super::core::Core;

/// Scheduled hangups by channel; each knows whether it was deleted since.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    last: u64,
    tasks: HashMap<String, Vec<u64>>,
}

impl Core {
    /// `sched_hangup +SECONDS UUID [CAUSE]`: needs a channel, and adds to what is scheduled for it already.
    pub(crate) fn sched_hangup(self: &Arc<Self>, words: &[&str]) -> String {
        let [when, uuid, rest @ ..] = words else {
            return "-USAGE: [+]<time> <uuid> [<cause>]\n".to_owned();
        };
        if !self.exists(uuid) {
            return "-ERR No such channel!\n".to_owned();
        }
        let seconds = when.trim_start_matches('+').parse().unwrap_or(0);
        let cause = rest
            .first()
            .copied()
            .filter(|c| cause::known(c))
            .unwrap_or("ALLOTTED_TIMEOUT")
            .to_owned();
        let uuid = (*uuid).to_owned();
        let id = {
            let mut world = self.world();
            world.schedule.last += 1;
            let id = world.schedule.last;
            world.schedule.tasks.entry(uuid.clone()).or_default().push(id);
            id
        };
        let core = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            let due = {
                let mut world = core.world();
                let tasks = world.schedule.tasks.get_mut(&uuid);
                tasks.is_some_and(|ids| ids.iter().position(|i| *i == id).map(|i| ids.remove(i)).is_some())
            };
            if due {
                core.kill(&uuid, &cause);
            }
        });
        "+OK\n".to_owned()
    }

    /// `sched_del GROUP`: a channel's UUID is the group of its tasks.
    pub(crate) fn sched_del(&self, group: &str) -> String {
        let deleted = self.world().schedule.tasks.remove(group).map_or(0, |ids| ids.len());
        format!("+OK Deleted: {deleted}\n")
    }
}
