//! The scheduler behind `sched_hangup`, `sched_api` and `sched_del`, as mod_commands and switch_scheduler.c of 1.10.12 have it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::cause;
use super::channel::Role;
use super::core::Core;

/// What is scheduled, by group.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    last: u64,
    groups: HashMap<String, Vec<Task>>,
}

/// A hangup that is to come.
#[derive(Debug)]
struct Task {
    id: u64,
    channel: String,
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
        let cause = rest.first().copied().filter(|c| cause::known(c));
        self.schedule(when, uuid, uuid, cause.unwrap_or("ALLOTTED_TIMEOUT"));
        "+OK\n".to_owned()
    }

    /// `sched_api +SECONDS GROUP uuid_kill UUID [CAUSE]`: the only command that is known here; FreeSWITCH looks at nothing of it.
    pub(crate) fn sched_api(self: &Arc<Self>, words: &[&str]) -> String {
        let [when, group, "uuid_kill", uuid, rest @ ..] = words else {
            self.complain(format!("sched_api {}", words.join(" ")));
            return "-ERR Invalid syntax. USAGE: [+@]<time> <group_name> <command_string>[&]\n".to_owned();
        };
        let cause = rest.first().copied().filter(|c| cause::known(c));
        let id = self.schedule(when, group, uuid, cause.unwrap_or("NORMAL_CLEARING"));
        format!("+OK Added: {id}\n")
    }

    fn schedule(self: &Arc<Self>, when: &str, group: &str, channel: &str, cause: &str) -> u64 {
        let seconds = when.trim_start_matches('+').parse().unwrap_or(0);
        let (group, channel, cause) = (group.to_owned(), channel.to_owned(), cause.to_owned());
        let id = {
            let mut world = self.world();
            world.schedule.last += 1;
            let id = world.schedule.last;
            let task = Task {
                id,
                channel: channel.clone(),
            };
            world.schedule.groups.entry(group.clone()).or_default().push(task);
            id
        };
        let core = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            let due = {
                let mut world = core.world();
                let tasks = world.schedule.groups.get_mut(&group);
                tasks.is_some_and(|tasks| {
                    let place = tasks.iter().position(|task| task.id == id);
                    place.map(|place| tasks.remove(place)).is_some()
                })
            };
            if due {
                core.kill(&channel, &cause);
            }
        });
        id
    }

    /// `sched_del GROUP`. A leg that still rings must not be without a lease then: its client may die at any moment.
    pub(crate) fn sched_del(&self, group: &str) -> String {
        let mut world = self.world();
        let deleted = world.schedule.groups.remove(group).unwrap_or_default();
        for task in &deleted {
            let mut left = world.schedule.groups.values().flatten();
            let is_leased = left.any(|other| other.channel == task.channel);
            let rings = world.channels.get(&task.channel).is_some_and(|channel| {
                matches!(channel.role, Role::Leg(_)) && channel.codec.is_none() && channel.cause.is_none()
            });
            if rings && !is_leased {
                world.complaints.push(format!("{} rings without a lease", task.channel));
            }
        }
        format!("+OK Deleted: {}\n", deleted.len())
    }
}
