//! A channel that the application `sleep` holds, as in the shipped snippet. 1.10.12 and 1.11.2 then send only the
//! announcement and the event of the application's end. Without media the channel's thread checks every 20 ms for
//! `uuid_break` and a new state; messages to it wait until the application has ended.

use std::sync::Arc;

use super::calls::{events_of, variables_of};
use super::channel::Channel;
use super::core::{Core, World, new_uuid};
use super::event::Event;
use super::held::Outcome;

/// The snippet's first lease, in seconds.
const FIRST_LEASE: u64 = 3;

impl Core {
    /// A global variable.
    pub(crate) fn global(&self, name: &str) -> String {
        if let Some(value) = self.world().globals.get(name) {
            return value.clone();
        }
        let value = self.config.globals.iter().find(|(known, _)| known == name);
        value.map(|(_, value)| value.clone()).unwrap_or_default()
    }

    /// The snippet's lease, its announcement, and `sleep`.
    pub(crate) fn falls_asleep(self: &Arc<Self>, uuid: &str) {
        let lease = self.sched_api(&format!("+{FIRST_LEASE} none uuid_break {uuid}"));
        let mut world = self.world();
        let Some(channel) = world.channels.get_mut(uuid) else {
            return;
        };
        channel.set_variable("fswake_lease", &lease, false);
        let argument = "Event-Name=CUSTOM,Event-Subclass=fswake::hold".to_owned();
        channel.app = ("event".to_owned(), argument, new_uuid());
        let template = &events_of(&world.channels[uuid]).data;
        let Some(data) = self.make(&world, uuid, template) else {
            return;
        };
        let is_of_the_reply =
            |name: &str| ["Event-Name", "Content-Type", "Reply-Text", "Socket-Mode", "Control"].contains(&name);
        let mut headers = vec![
            ("Event-Name".into(), "CUSTOM".to_owned()),
            ("Event-Subclass".into(), "fswake::hold".to_owned()),
        ];
        headers.extend(data.headers.into_iter().filter(|(name, _)| !is_of_the_reply(name)));
        self.bus.fire(&Arc::new(Event::new("CUSTOM", headers, None)));
        if let Some(channel) = world.channels.get_mut(uuid) {
            channel.app = ("sleep".to_owned(), "600000".to_owned(), new_uuid());
        }
        drop(world);
        self.pick_up_unheard(uuid);
    }

    /// `uuid_break`: the application ends at the next tick, and the dialplan goes on. On any other channel it does nothing
    /// that matters here.
    pub(crate) fn wakes_up(self: &Arc<Self>, uuid: &str) -> bool {
        if !self.exists(uuid) {
            return false;
        }
        let (core, uuid) = (Arc::clone(self), uuid.to_owned());
        tokio::spawn(async move {
            core.half_tick().await;
            let mut world = core.world();
            let sleeps =
                |c: &&mut Channel| c.is_held_by_sleep() && c.taken.is_none() && c.peer.is_none() && c.cause.is_none();
            let Some(channel) = world.channels.get_mut(&uuid).filter(sleeps) else {
                return;
            };
            let variables = variables_of(channel);
            core.emit_sleep_is_over(&world, &uuid);
            if let Some(held) = world.channels.get_mut(&uuid).and_then(Channel::held) {
                held.is_held_by_sleep = false;
                held.shared.ended(Outcome::Resumed { variables });
            }
            if let Some(channel) = world.channels.get_mut(&uuid) {
                channel.set_variable("fswake_held", "", true);
            }
            drop(world);
            core.dialplan_goes_on(&uuid);
        });
        true
    }

    /// CHANNEL_EXECUTE_COMPLETE of `sleep`.
    pub(crate) fn emit_sleep_is_over(&self, world: &World, uuid: &str) {
        let Some(channel) = world.channels.get(uuid) else {
            return;
        };
        let Some(mut event) = self.make(world, uuid, &events_of(channel).socket_done) else {
            return;
        };
        let moved_before = || channel.variable("transfer_source").map(str::to_owned);
        let moved = channel.own_variable("transfer_source").or_else(moved_before);
        event
            .headers
            .retain(|(name, _)| !["Application", "Application-Data", "variable_transfer_source"].contains(&&**name));
        event.headers.push(("Application".into(), "sleep".to_owned()));
        event.headers.push(("Application-Data".into(), "600000".to_owned()));
        event
            .headers
            .extend(moved.map(|moved| ("variable_transfer_source".into(), moved)));
        self.bus.fire(&Arc::new(event));
    }
}
