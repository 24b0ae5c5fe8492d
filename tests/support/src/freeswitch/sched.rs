//! The scheduler behind `sched_hangup`, `sched_api` and `sched_del`, as in mod_commands and switch_scheduler.c of
//! 1.10.12.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::api;
use super::cause;
use super::channel::Role;
use super::core::Core;

/// Scheduled tasks, by group.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    last: u64,
    groups: HashMap<String, Vec<Task>>,
}

/// A scheduled task.
#[derive(Debug)]
struct Task {
    id: u64,
    /// The channel that it will hang up.
    channel: Option<String>,
}

impl Core {
    /// `sched_hangup +SECONDS UUID [CAUSE]` requires a channel, and adds to the tasks that it has.
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

    /// `sched_api +SECONDS GROUP uuid_kill UUID [CAUSE]`, or `.. expand COMMAND`, or `.. hash ENTRY`. The stand-in knows
    /// only these; FreeSWITCH checks nothing.
    pub(crate) fn sched_api(self: &Arc<Self>, arg: &str) -> String {
        let words: Vec<_> = arg.split_whitespace().collect();
        match words.as_slice() {
            [when, group, "uuid_kill", uuid, rest @ ..] => {
                let cause = rest.first().copied().filter(|c| cause::known(c));
                let id = self.schedule(when, group, uuid, cause.unwrap_or("NORMAL_CLEARING"));
                format!("+OK Added: {id}\n")
            }
            [when, group, "hash", entry] => {
                let (core, entry) = (Arc::clone(self), (*entry).to_owned());
                let id = self.later(when, group, None, async move { drop(core.hash(&entry)) });
                format!("+OK Added: {id}\n")
            }
            [when, group, "expand", ..] => {
                let (_, command) = arg.split_once(" expand ").unwrap_or_default();
                let (core, command) = (Arc::clone(self), command.to_owned());
                let id = self.later(when, group, None, async move { expand(core, command).await });
                format!("+OK Added: {id}\n")
            }
            [] => "-USAGE: [+@]<time> <group_name> <command_string>[&]\n".to_owned(),
            _ => {
                self.complain(format!("sched_api {arg}"));
                "-ERR Invalid syntax. USAGE: [+@]<time> <group_name> <command_string>[&]\n".to_owned()
            }
        }
    }

    fn schedule(self: &Arc<Self>, when: &str, group: &str, channel: &str, cause: &str) -> u64 {
        let (core, uuid, cause) = (Arc::clone(self), channel.to_owned(), cause.to_owned());
        let hang_up = async move {
            core.kill(&uuid, &cause);
        };
        self.later(when, group, Some(channel), hang_up)
    }

    /// Runs the task when it is due, unless its group has been deleted.
    fn later(
        self: &Arc<Self>,
        when: &str,
        group: &str,
        channel: Option<&str>,
        act: impl Future<Output = ()> + Send + 'static,
    ) -> u64 {
        let (after, group) = (seconds(when), group.to_owned());
        let id = {
            let mut world = self.world();
            world.schedule.last += 1;
            let id = world.schedule.last;
            let channel = channel.map(str::to_owned);
            let tasks = world.schedule.groups.entry(group.clone()).or_default();
            tasks.push(Task { id, channel });
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
                act.await;
            }
        });
        id
    }

    /// `sched_del GROUP`. It must not leave a ringing leg without a lease, because the leg's client may die at any
    /// moment.
    pub(crate) fn sched_del(&self, group: &str) -> String {
        let mut world = self.world();
        let deleted = world.schedule.groups.remove(group).unwrap_or_default();
        for channel in deleted.iter().filter_map(|task| task.channel.as_ref()) {
            let mut left = world.schedule.groups.values().flatten();
            let is_leased = left.any(|other| other.channel.as_ref() == Some(channel));
            let rings = world.channels.get(channel).is_some_and(|channel| {
                matches!(channel.role, Role::Leg(_)) && channel.codec.is_none() && channel.cause.is_none()
            });
            if rings && !is_leased {
                world.complaints.push(format!("{channel} rings without a lease"));
            }
        }
        format!("+OK Deleted: {}\n", deleted.len())
    }
}

/// The time until then. FreeSWITCH counts whole seconds of the clock, so it is up to a second less.
fn seconds(when: &str) -> Duration {
    let seconds = Duration::from_secs(when.trim_start_matches('+').parse().unwrap_or(0));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    seconds.saturating_sub(Duration::from_nanos(now.subsec_nanos().into()))
}

/// `expand`, boxed because it may schedule further tasks.
fn expand(core: Arc<Core>, command: String) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move { drop(api::execute(&core, "expand", Some(&command)).await) })
}
