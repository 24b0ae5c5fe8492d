//! `uuid_bridge`, and other ways in which a held channel is taken.
//!
//! `uuid_bridge A B` makes A the A leg. As in the captures of FreeSWITCH 1.11.2, both channels leave their park
//! (CHANNEL_UNPARK), and CHANNEL_BRIDGE of A follows two ticks later. These races occur in FreeSWITCH and are modelled:
//! - the originate's thread takes a leg that has not left its originate out of the bridge, and the caller is cut off;
//! - an unanswered side without early media is hung up (DESTINATION_OUT_OF_ORDER);
//! - a pick-up of a held channel hangs up its last leg (PICKED_OFF) before the channel itself leaves its park.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::bus::lock;
use super::calls::events_of;
use super::catalog::{Catalog, catalog};
use super::channel::{Channel, Partner, Role};
use super::core::{Core, SlowPickUp, World, new_uuid};
use super::hangup::{HangupBy, bridge_events};
use super::held::{App, Outcome};
use super::template::{Template, When};

/// A command that was sent before FreeSWITCH's event arrived is no fault. The time is long because test machines are
/// busy.
const UNDER_WAY: Duration = Duration::from_millis(250);

impl Core {
    /// Complains about a command to a channel that was taken some time ago.
    pub(crate) fn touches(&self, uuid: &str, command: &str) {
        let mut world = self.world();
        let taken = world.channels.get(uuid).and_then(|channel| channel.taken);
        if taken.is_some_and(|since| since.elapsed() > UNDER_WAY) {
            world
                .complaints
                .push(format!("{command} of a channel that another client has taken"));
        }
    }

    /// `uuid_bridge`.
    pub(crate) fn bridge(self: &Arc<Self>, one: &str, other: &str) -> bool {
        if !self.exists(one) || !self.exists(other) {
            return false;
        }
        if self.world().slow.as_ref().is_some_and(|slow| !slow.has_begun) {
            self.slow_pick_up_begins();
        }
        let mut world = self.world();
        let (a, b) = (world.channels[one].is_leg(), world.channels[other].is_leg());
        let (leg, held) = if a && !b { (one, other) } else { (other, one) };
        if a == b {
            let what = if a { "legs" } else { "callers" };
            world.complaints.push(format!("uuid_bridge of two {what}"));
        }
        let without_media = |uuid: &&&str| !world.channels[**uuid].has_media();
        let without: Vec<String> = [leg, held]
            .iter()
            .filter(without_media)
            .map(|u| (*u).to_owned())
            .collect();
        if without.is_empty() && cut_later(&mut world, leg, held) {
            return true;
        }
        let before = world.channels[leg].peer.clone().filter(|_| without.is_empty());
        for (own, peer) in [(leg, held), (held, leg)] {
            leaves_for(&mut world, own, peer);
            if without.is_empty()
                && let Some(channel) = world.channels.get_mut(own)
            {
                channel.peer = Some(peer.to_owned());
                channel.partner = Partner::Bonded(peer.to_owned());
                // The caller behind a loopback was bridged with that loopback.
                channel.bridge_uuid.clear();
                channel.set_variable("park_timeout", "", true);
            }
        }
        let slow = world.slow.take_if(|slow| slow.channel == held);
        if let Some(before) = &before {
            self.leaves_bridge(&mut world, before);
        }
        drop(world);
        if let Some(slow) = slow {
            self.pick_up_with(held, slow.partner.as_deref(), new_uuid(), &slow.number);
        }
        let (core, a_leg) = (Arc::clone(self), one.to_owned());
        let (leg, held) = (leg.to_owned(), held.to_owned());
        tokio::spawn(async move {
            core.leaves_socket(&held).await;
            core.half_tick().await;
            if without.is_empty() {
                if before.is_none() {
                    core.leave_park(&held, &leg);
                }
                core.take_the_loopbacks_place(&held);
                core.somebody_is_late(&held);
            }
            core.ticks(2).await;
            for uuid in &without {
                core.hang_up(uuid, "DESTINATION_OUT_OF_ORDER", HangupBy::Ours);
            }
            if !core.world().loses_bridges {
                core.media_flows(&a_leg, &leg, &held);
            }
        });
        true
    }

    /// The originate's thread takes its leg out of a bridge that was made too early. The caller is cut off.
    pub(crate) fn break_bridge(self: &Arc<Self>, leg: &str, held: &str) {
        for (own, other) in [(held, leg), (leg, held)] {
            leaves_for(&mut self.world(), own, other);
        }
        self.leave_park(held, leg);
        self.hang_up(held, "DESTINATION_OUT_OF_ORDER", HangupBy::Ours);
        self.hang_up(leg, "NORMAL_CLEARING", HangupBy::Ours);
    }

    /// The leg that this channel was bridged with is now bridged with another channel.
    fn leaves_bridge(&self, world: &mut World, uuid: &str) {
        if let Some(channel) = world.channels.get_mut(uuid) {
            channel.peer = None;
            channel.bridge_uuid.clear();
            self.emit(world, uuid, &bridge_events(world, uuid).unbridge);
        }
    }

    /// Ends the applications of both channels, `socket` and `park`.
    fn leave_park(&self, held: &str, leg: &str) {
        let world = self.world();
        self.emit_unpark(&world, held);
        self.emit(&world, leg, &catalog().leg_unpark);
        self.emit(&world, leg, &catalog().leg_park_done);
    }

    fn emit_unpark(&self, world: &World, held: &str) {
        // Behind a loopback the caller's own `bridge` ends. That is not modelled.
        if world.channels.get(held).is_some_and(|c| !c.is_behind()) {
            let events = events_of(&world.channels[held]);
            if !world.channels[held].is_static() {
                self.emit(world, held, &events.unpark);
            }
            self.emit(world, held, &events.socket_done);
        }
    }

    /// Once the caller is bridged with a leg, the previous loopback ends.
    fn take_the_loopbacks_place(self: &Arc<Self>, caller: &str) {
        let mut world = self.world();
        let behind = world.channels.get(caller).filter(|c| c.is_behind());
        let Some(loopback) = behind.and_then(|c| c.behind.clone()) else {
            return;
        };
        if let Some(channel) = world.channels.get_mut(&loopback) {
            channel.replaced = true;
        }
        drop(world);
        self.hang_up(&loopback, "NORMAL_CLEARING", HangupBy::Ours);
    }

    fn media_flows(&self, a_leg: &str, leg: &str, held: &str) {
        let mut world = self.world();
        let alive = |uuid: &str| {
            world
                .channels
                .get(uuid)
                .is_some_and(|c| c.cause.is_none() && c.peer.is_some())
        };
        if !alive(leg) || !alive(held) {
            return;
        }
        for (own, other) in [(leg, held), (held, leg)] {
            if let Some(channel) = world.channels.get_mut(own) {
                channel.stamp(When::Bridged);
                other.clone_into(&mut channel.bridge_uuid);
                other.clone_into(&mut channel.last_bridge);
                channel.partner = Partner::Bonded(other.to_owned());
                channel.is_a_leg = own == a_leg;
            }
        }
        let template = bridge_event(catalog(), &world, a_leg, held);
        self.emit(&world, a_leg, template);
        let answered = world.channels[leg].is_answered();
        if answered {
            drop(world);
            return self.is_connected(leg, held);
        }
        if let Some(state) = world.channels.get_mut(held).and_then(Channel::held) {
            state.shared.ended(Outcome::Early { leg: leg.to_owned() });
        }
    }

    /// The caller and the phone are connected.
    pub(crate) fn is_connected(&self, leg: &str, held: &str) {
        let mut world = self.world();
        if ![leg, held].iter().all(|uuid| world.channels.contains_key(*uuid)) {
            return;
        }
        let codec = |uuid: &str| world.channels[uuid].codec.clone().unwrap_or_default();
        let phone = world.channels[leg]
            .leg()
            .and_then(|leg| leg.phone)
            .and_then(|index| world.phones.get(index));
        let connected = Outcome::Connected {
            leg: leg.to_owned(),
            phone: phone.map_or_else(String::new, |phone| lock(&phone.state).spec.address.clone()),
            held_codec: codec(held),
            leg_codec: codec(leg),
            caller_is_a_leg: world.channels[held].is_a_leg,
        };
        if let Some(state) = world.channels.get_mut(held).and_then(Channel::held) {
            state.shared.ended(connected);
        }
    }

    /// Another phone picks up a held channel, as in the captures. The channel belongs to that phone at once; it is
    /// answered, its partner ends with PICKED_OFF, and then it leaves its park. A channel that is about to be bridged
    /// is hung up together with its partner (DESTINATION_OUT_OF_ORDER). If it has no partner, the pick-up gets it, and
    /// the leg ends because nothing is left to bridge it with.
    pub(crate) fn pick_up(self: &Arc<Self>, uuid: &str, other: String, number: &str) {
        self.pick_up_with(uuid, self.partner(uuid).as_deref(), other, number);
    }

    /// The same, with the partner that the pick-up read earlier.
    fn pick_up_with(self: &Arc<Self>, uuid: &str, partner: Option<&str>, other: String, number: &str) {
        if !self.take(uuid) {
            return;
        }
        leaves_for(&mut self.world(), uuid, &other);
        self.world().strangers.insert(other.clone(), number.to_owned());
        self.answer_held(uuid);
        self.has_intercepted(&other, uuid);
        let (to_be_bridged, loopback) = {
            let mut world = self.world();
            let Some(channel) = world.channels.get_mut(uuid) else {
                return;
            };
            let peer = channel.peer.take();
            let leg = peer.clone().filter(|_| channel.bridge_uuid.is_empty());
            (channel.bridge_uuid, channel.last_bridge) = (other.clone(), other);
            let behind = channel.behind.clone().filter(|_| channel.is_behind());
            if let Some(peer) = peer.and_then(|peer| world.channels.get_mut(&peer)) {
                peer.peer = None;
            }
            (leg, behind)
        };
        // Behind a loopback that rings, the loopback is the partner.
        if let Some(loopback) = loopback.filter(|_| to_be_bridged.is_none()) {
            let core = Arc::clone(self);
            tokio::spawn(async move {
                core.half_tick().await;
                core.hang_up(&loopback, "PICKED_OFF", HangupBy::Ours);
            });
        }
        if let Some(leg) = partner {
            self.hang_up(leg, "PICKED_OFF", HangupBy::Ours);
        }
        if let Some(leg) = to_be_bridged {
            if partner == Some(leg.as_str()) {
                self.hang_up(uuid, "DESTINATION_OUT_OF_ORDER", HangupBy::Ours);
                return;
            }
            self.hang_up(&leg, "DESTINATION_OUT_OF_ORDER", HangupBy::Ours);
        }
        let (core, uuid, by) = (Arc::clone(self), uuid.to_owned(), number.to_owned());
        tokio::spawn(async move {
            core.leaves_socket(&uuid).await;
            core.half_tick().await;
            core.is_picked_up(&uuid, by);
        });
    }

    /// `intercept` has finished on the channel that ran it. Its partner is now the channel that it took.
    fn has_intercepted(&self, other: &str, uuid: &str) {
        let calling = ("switch_core_session.c", "switch_core_session_exec", "2984");
        let mut headers = self.base_headers("CHANNEL_EXECUTE_COMPLETE", None, calling);
        let own = [
            ("Unique-ID", other),
            ("Application", "intercept"),
            ("variable_signal_bond", uuid),
        ];
        headers.extend(own.map(|(name, value)| (name.into(), value.to_owned())));
        self.fire("CHANNEL_EXECUTE_COMPLETE", headers, None);
    }

    /// FreeSWITCH sends an event for every API command that it has run.
    fn has_run(&self, command: &str, argument: &str) {
        let calling = ("switch_loadable_module.c", "switch_api_execute", "2949");
        let mut headers = self.base_headers("API", None, calling);
        let own = [("API-Command", command), ("API-Command-Argument", argument)];
        headers.extend(own.map(|(name, value)| (name.into(), value.to_owned())));
        self.fire("API", headers, None);
    }

    /// A pick-up of a channel that has just been answered begins, and reads the channel's partner.
    pub(crate) fn slow_pick_up_begins(&self) {
        let Some(slow) = self.world().slow.clone() else { return };
        let is_answered = self
            .world()
            .channels
            .get(&slow.channel)
            .is_some_and(Channel::is_answered);
        if is_answered {
            let partner = self.partner(&slow.channel);
            let has_begun = true;
            self.world().slow = Some(SlowPickUp {
                has_begun,
                partner,
                ..slow
            });
        }
    }

    /// mod_sofia looks at the partner's media while it answers a channel. Without a partner the caller may get another
    /// answer.
    pub(crate) fn needs_its_partner(&self, uuid: &str, command: &str) {
        let mut world = self.world();
        let has_none = |channel: &Channel| {
            !channel.is_loopback() && !channel.is_answered() && matches!(channel.partner, Partner::None)
        };
        if world.channels.get(uuid).is_some_and(has_none) {
            world
                .complaints
                .push(format!("{command} of a channel without its partner"));
        }
    }

    /// The late pick-up gets the caller after all.
    pub(crate) fn latecomer_wins(&self, uuid: &str, other: &str) {
        if let Some(channel) = self.world().channels.get_mut(uuid) {
            other.clone_into(&mut channel.bridge_uuid);
        }
    }

    /// A pick-up that was ordered before the client with the channel subscribed.
    pub(crate) fn pick_up_unheard(self: &Arc<Self>, uuid: &str) {
        let by = {
            let mut world = self.world();
            let held = world.channels.get_mut(uuid).and_then(Channel::held);
            held.and_then(|held| held.picked_up_unheard.take())
        };
        let Some(by) = by.filter(|_| self.take(uuid)) else {
            return;
        };
        let other = new_uuid();
        leaves_for(&mut self.world(), uuid, &other);
        self.world().strangers.insert(other, by.clone());
        self.answer_held(uuid);
        let (core, uuid) = (Arc::clone(self), uuid.to_owned());
        tokio::spawn(async move {
            core.leaves_socket(&uuid).await;
            core.is_picked_up(&uuid, by);
        });
    }

    /// A pick-up takes the caller behind a loopback, so the caller's own `bridge` ends. The loopback ends as if the
    /// caller had hung up.
    pub(crate) fn pick_caller_up(self: &Arc<Self>, caller: &str, loopback: &str, number: &str) {
        let other = new_uuid();
        self.world().strangers.insert(other.clone(), number.to_owned());
        self.caller_leaves(caller, loopback, format!("0:x:uuid_br:{other}"), "ORIGINATOR_CANCEL");
    }

    /// The caller behind a loopback is moved elsewhere (`transfer_source`), and the loopback ends.
    pub(crate) fn caller_leaves(self: &Arc<Self>, caller: &str, loopback: &str, source: String, cause: &str) {
        self.take(caller);
        if let Some(channel) = self.world().channels.get_mut(caller) {
            channel.is_moved(source);
        }
        self.hang_up(loopback, cause, HangupBy::Ours);
    }

    /// The same, but the caller's channel ends before the loopback; its last event has the `transfer_source`. Its
    /// CHANNEL_HANGUP is delayed by `late`.
    pub(crate) fn caller_ends_elsewhere(
        self: &Arc<Self>,
        caller: &str,
        loopback: &str,
        source: &str,
        cause: &str,
        late: Duration,
    ) {
        let mut world = self.world();
        if let Some(channel) = world.channels.get_mut(caller) {
            channel.cause = Some(cause.to_owned());
        }
        let end = self.make(&world, caller, &catalog().sofia.refused.hangup);
        if let Some(mut event) = end {
            if !source.is_empty() {
                event
                    .headers
                    .push(("variable_transfer_source".into(), source.to_owned()));
            }
            if late.is_zero() {
                self.bus.fire(&Arc::new(event));
            } else {
                let core = Arc::clone(self);
                tokio::spawn(async move {
                    tokio::time::sleep(late).await;
                    core.bus.fire(&Arc::new(event));
                });
            }
        }
        world.channels.remove(caller);
        drop(world);
        self.hang_up(loopback, "ORIGINATOR_CANCEL", HangupBy::Ours);
    }

    /// A pick-up of a channel that is about to be bridged comes too late: its own channel is answered, without a
    /// partner.
    fn somebody_is_late(&self, held: &str) {
        let mut world = self.world();
        for (_, other, number) in world
            .late
            .extract_if(.., |(late_for, ..)| late_for == held)
            .collect::<Vec<_>>()
        {
            leaves_for(&mut world, held, &other);
            world.strangers.insert(other, number);
        }
    }

    /// The picked-up channel leaves its park.
    fn is_picked_up(&self, uuid: &str, by: String) {
        self.take(uuid);
        let mut world = self.world();
        self.emit_unpark(&world, uuid);
        if let Some(held) = world.channels.get_mut(uuid).and_then(Channel::held) {
            held.shared.ended(Outcome::PickedUp { by });
        }
    }

    /// `uuid_transfer` of a held channel.
    pub(crate) fn transfer(self: &Arc<Self>, uuid: &str, to: &str) {
        if !self.take(uuid) {
            return;
        }
        let (core, uuid, to) = (Arc::clone(self), uuid.to_owned(), to.to_owned());
        if let Some(channel) = self.world().channels.get_mut(&uuid) {
            channel.destination.clone_from(&to);
            channel.is_moved(format!("0:x:bl_xfer:{to}/default/XML"));
            // The leg of a failed bridge stays up; nothing ends it (measured).
            channel.peer = None;
        }
        self.has_run("uuid_transfer", &format!("{uuid} {to}"));
        tokio::spawn(async move {
            core.leaves_socket(&uuid).await;
            core.half_tick().await;
            core.take(&uuid);
            let mut world = core.world();
            core.emit_unpark(&world, &uuid);
            if let Some(held) = world.channels.get_mut(&uuid).and_then(Channel::held) {
                held.shared.ended(Outcome::Transferred { to });
            }
            drop(world);
            let answer = App {
                name: "answer".to_owned(),
                arg: String::new(),
            };
            core.run_app(&uuid, &answer);
        });
    }

    /// `uuid_park` of a held channel, or of the caller behind the held loopback.
    pub(crate) fn park_elsewhere(self: &Arc<Self>, held: &str, behind: Option<&str>) {
        let parked = behind.unwrap_or(held);
        if let Some(channel) = self.world().channels.get_mut(parked) {
            channel.parked_elsewhere = true;
        }
        match behind {
            Some(caller) => self.caller_leaves(caller, held, String::new(), "ORIGINATOR_CANCEL"),
            None if self.take(held) => {
                self.has_run("uuid_park", held);
                let (core, held) = (Arc::clone(self), held.to_owned());
                tokio::spawn(async move {
                    core.leaves_socket(&held).await;
                    let mut world = core.world();
                    core.emit_unpark(&world, &held);
                    if let Some(held) = world.channels.get_mut(&held).and_then(Channel::held) {
                        let to = "park".to_owned();
                        held.shared.ended(Outcome::Transferred { to });
                    }
                });
            }
            None => {}
        }
    }

    /// A pick-up takes a ringing leg, with dial-string routing. FreeSWITCH ends the caller's channel, and the loopback
    /// as if the caller had given up.
    pub(crate) fn pick_ringing_leg_up(self: &Arc<Self>, caller: &str, loopback: &str) {
        self.leg_goes_elsewhere(caller);
        self.caller_ends_elsewhere(caller, loopback, "", "PICKED_OFF", Duration::ZERO);
    }

    /// A pick-up takes a leg that rings or has answered. The leg is lost, and the held channel ends.
    pub(crate) fn pick_leg_up(self: &Arc<Self>, held: &str) {
        self.leg_goes_elsewhere(held);
        self.hang_up(held, "PICKED_OFF", HangupBy::Ours);
    }

    /// The last leg of this A leg is taken.
    fn leg_goes_elsewhere(&self, a_leg: &str) {
        if let Some(leg) = self.last_leg(a_leg) {
            let mut world = self.world();
            leaves_for(&mut world, &leg, &new_uuid());
            self.emit(&world, &leg, &catalog().leg_taken);
        }
    }

    /// Marks the channel as taken. Returns whether it exists.
    fn take(&self, uuid: &str) -> bool {
        let mut world = self.world();
        let Some(channel) = world.channels.get_mut(uuid).filter(|c| c.cause.is_none()) else {
            return false;
        };
        channel.taken = Some(Instant::now());
        true
    }

    /// The channel that is hung up when this one is picked up.
    fn partner(&self, uuid: &str) -> Option<String> {
        let partner = self.world().channels.get(uuid)?.partner.clone();
        match partner {
            Partner::OfOriginate => self.last_leg(uuid),
            Partner::Bonded(other) => Some(other),
            Partner::None => None,
        }
    }

    /// The leg most recently made as a child of this channel (FreeSWITCH's `originate_signal_bond`).
    fn last_leg(&self, held: &str) -> Option<String> {
        let world = self.world();
        let is_child =
            |c: &&Channel| c.is_leg() && c.cause.is_none() && c.variable("origination_aleg_uuid") == Some(held);
        let last = world.channels.values().filter(is_child).max_by_key(|c| c.session_id);
        last.map(|leg| leg.uuid.clone())
    }
}

/// A bridge begins with a transfer, in which FreeSWITCH names the other channel.
fn leaves_for(world: &mut World, own: &str, other: &str) {
    if let Some(channel) = world.channels.get_mut(own) {
        channel.is_moved(format!("0:x:uuid_br:{other}"));
    }
}

/// Whether the leg's originate is still running, in which case this bridge will be cut.
fn cut_later(world: &mut World, leg: &str, held: &str) -> bool {
    match world.channels.get_mut(leg).map(|channel| &mut channel.role) {
        Some(Role::Leg(state)) if !state.parked => {
            state.cut = Some(held.to_owned());
            true
        }
        _ => false,
    }
}

fn bridge_event<'a>(catalog: &'a Catalog, world: &World, a_leg: &str, held: &str) -> &'a Template {
    match (a_leg == held, world.channels[held].is_loopback()) {
        (true, false) => &catalog.sofia.bridge,
        (true, true) => &catalog.loopback.bridge,
        (false, false) => &catalog.leg_with_sofia.bridge,
        (false, true) => &catalog.leg_with_loopback.bridge,
    }
}
