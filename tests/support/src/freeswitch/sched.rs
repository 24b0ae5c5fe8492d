//! The scheduler behind `sched_hangup`, `sched_api` and `sched_del`, as mod_commands and switch_scheduler.c of 1.10.12 have it.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::api;
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

    /// `sched_api +SECONDS GROUP uuid_kill UUID [CAUSE]`, or `.. expand COMMAND`: no other is known here; FreeSWITCH looks at nothing of it.
    pub(crate) fn sched_api(self: &Arc<Self>, arg: &str) -> String {
        let words: Vec<_> = arg.split_whitespace().collect();
        match words.as_slice() {
            [when, group, "uuid_kill", uuid, rest @ ..] => {
                let cause = rest.first().copied().filter(|c| cause::known(c));
                let id = self.schedule(when, group, uuid, cause.unwrap_or("NORMAL_CLEARING"));
                format!("+OK Added: {id}\n")
            }
            [when, _group, "expand", ..] => {
                let (_, command) = arg.split_once(" expand ").unwrap_or_default();
                tokio::spawn(expand_later(Arc::clone(self), seconds(when), command.to_owned()));
                "+OK Added\n".to_owned()
            }
            [] => "-USAGE: [+@]<time> <group_name> <command_string>[&]\n".to_owned(),
            _ => {
                self.complain(format!("sched_api {arg}"));
                "-ERR Invalid syntax. USAGE: [+@]<time> <group_name> <command_string>[&]\n".to_owned()
            }
        }
    }

    fn schedule(self: &Arc<Self>, when: &str, group: &str, channel: &str, cause: &str) -> u64 {
        let after = seconds(when);
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
            tokio::time::sleep(after).await;
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

fn seconds(when: &str) -> Duration {
    Duration::from_secs(when.trim_start_matches('+').parse().unwrap_or(0))
}

/// `expand`, when its time has come.
fn expand_later(core: Arc<Core>, after: Duration, command: String) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        tokio::time::sleep(after).await;
        api::execute(&core, "expand", Some(&command)).await;
    })
}
