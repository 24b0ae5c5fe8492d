//! What commands do to channels: applications, answer, bridge, resume.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::bus::lock;
use super::catalog::{HeldEvents, catalog};
use super::channel::Channel;
use super::conn::Command;
use super::core::{Core, new_uuid};
use super::hangup::Ending;
use super::held::{App, CallerSaw, Outcome};
use super::template::When;

fn events_of(channel: &Channel) -> &'static HeldEvents {
    if channel.is_loopback() {
        &catalog().loopback
    } else {
        &catalog().sofia
    }
}

fn variables_of(channel: &Channel) -> Vec<(String, String)> {
    channel
        .variables
        .iter()
        .map(|variable| (variable.name.clone(), variable.value.clone()))
        .collect()
}

impl Core {
    pub(crate) fn exists(&self, uuid: &str) -> bool {
        self.world()
            .channels
            .get(uuid)
            .is_some_and(|channel| channel.cause.is_none())
    }

    pub(crate) fn record_command(&self, uuid: &str, line: &str) {
        let world = self.world();
        if let Some(super::channel::Role::Held { state, .. }) = world.channels.get(uuid).map(|channel| &channel.role)
            && state.shared.record
        {
            lock(&state.shared.log).commands.push((Instant::now(), line.to_owned()));
        }
    }

    pub(crate) fn set_variable(&self, uuid: &str, name: &str, value: &str) -> bool {
        let mut world = self.world();
        let channel = world.channels.get_mut(uuid).filter(|channel| channel.cause.is_none());
        channel.map(|channel| channel.set_variable(name, value, true)).is_some()
    }

    pub(crate) fn kill(self: &Arc<Self>, uuid: &str, cause: &str) -> bool {
        self.hang_up(uuid, cause, Ending::Ours)
    }

    /// The caller or the phone hung up.
    pub(crate) fn hung_up_by_remote(self: &Arc<Self>, uuid: &str, cause: &str) -> bool {
        self.hang_up(uuid, cause, Ending::Remote)
    }

    /// The answer to `connect`.
    pub(crate) fn channel_data(&self, uuid: &str) -> Option<String> {
        let world = self.world();
        let event = self.make(&world, uuid, &events_of(world.channels.get(uuid)?).data)?;
        Some(event.plain().to_owned())
    }

    /// The dialplan thread sees that the client has connected, and parks.
    pub(crate) fn parked(self: &Arc<Self>, uuid: &str) {
        let (core, uuid) = (Arc::clone(self), uuid.to_owned());
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            core.emit(&core.world(), &uuid, &catalog().park);
        });
    }

    /// Queues a `sendmsg` for the channel's own thread, which looks every tick.
    pub(crate) fn queue_message(self: &Arc<Self>, uuid: &str, command: &Command) -> bool {
        let get = |name: &str| command.get(name).unwrap_or("").to_owned();
        let app = if get("call-command") == "hangup" {
            App {
                name: "hangup".to_owned(),
                arg: get("hangup-cause"),
            }
        } else {
            let arg = get("execute-app-arg");
            let arg = if arg.is_empty() { command.body.clone() } else { arg };
            App {
                name: get("execute-app-name"),
                arg,
            }
        };
        let mut world = self.world();
        let Some(channel) = world.channels.get_mut(uuid).filter(|channel| channel.cause.is_none()) else {
            return false;
        };
        let Some(held) = channel.held() else { return true };
        held.apps.push_back(app);
        if held.apps.len() == 1 {
            let (core, uuid) = (Arc::clone(self), uuid.to_owned());
            tokio::spawn(async move {
                core.tick().await;
                loop {
                    let app = core
                        .world()
                        .channels
                        .get_mut(&uuid)
                        .and_then(|c| c.held()?.apps.front().cloned());
                    let Some(app) = app else { return };
                    core.run_app(&uuid, &app);
                    core.world()
                        .channels
                        .get_mut(&uuid)
                        .and_then(|c| c.held()?.apps.pop_front());
                }
            });
        }
        true
    }

    fn run_app(self: &Arc<Self>, uuid: &str, app: &App) {
        let mut world = self.world();
        let Some(channel) = world.channels.get_mut(uuid).filter(|channel| channel.cause.is_none()) else {
            return;
        };
        channel.app = (app.name.clone(), app.arg.clone(), new_uuid());
        let (before, after) = if app.arg.is_empty() {
            (&catalog().execute, &catalog().executed)
        } else {
            (&catalog().execute_arg, &catalog().executed_arg)
        };
        self.emit(&world, uuid, before);
        drop(world);
        match app.name.as_str() {
            "ring_ready" => self.ring_ready(uuid),
            "answer" => drop(self.answer_held(uuid)),
            "pre_answer" => drop(self.pre_answer(uuid)),
            "set" | "export" => {
                let (name, value) = app.arg.split_once('=').unwrap_or((&app.arg, ""));
                self.set_variable(uuid, name, value);
            }
            "multiset" => {
                for (name, value) in app.arg.split(' ').filter_map(|pair| pair.split_once('=')) {
                    self.set_variable(uuid, name, value);
                }
            }
            "unset" => drop(self.set_variable(uuid, &app.arg, "")),
            "hangup" => {
                let cause = if app.arg.is_empty() {
                    "NORMAL_CLEARING"
                } else {
                    app.arg.as_str()
                };
                self.hang_up(uuid, cause, Ending::Ours);
            }
            "park" | "sleep" | "playback" | "log" | "info" => {}
            other => self.complain(format!("execute {other}({})", app.arg)),
        }
        self.emit(&self.world(), uuid, after);
    }

    fn ring_ready(&self, uuid: &str) {
        let mut world = self.world();
        let Some(channel) = world.channels.get_mut(uuid) else {
            return;
        };
        if channel.time(When::Progress) != 0 || channel.is_answered() {
            return;
        }
        channel.stamp(When::Progress);
        let loopback = channel.is_loopback();
        let template = &events_of(channel).progress;
        if let Some(held) = channel.held() {
            if loopback {
                held.shared.saw(CallerSaw::SessionProgress);
            }
            held.shared.saw(CallerSaw::Ringing);
        }
        self.emit(&world, uuid, template);
    }

    /// Answers with 183 and the codec that the answer will have.
    pub(crate) fn pre_answer(&self, uuid: &str) -> bool {
        let mut world = self.world();
        let Some(channel) = world.channels.get_mut(uuid).filter(|channel| channel.cause.is_none()) else {
            return false;
        };
        if channel.time(When::Media) != 0 || channel.is_leg() {
            return true;
        }
        channel.stamp(When::Media);
        let wanted = channel.variable("absolute_codec_string").map(str::to_owned);
        let offered = |codec: &&str| channel.offer.iter().any(|offer| offer.eq_ignore_ascii_case(codec));
        let chosen = wanted
            .as_deref()
            .and_then(|list| list.split(',').find(offered))
            .map(str::to_owned);
        channel.codec = chosen.or_else(|| channel.offer.first().cloned());
        let (loopback, template) = (channel.is_loopback(), &events_of(channel).media);
        if !loopback {
            self.emit(&world, uuid, template);
        }
        true
    }

    /// `uuid_answer` and the `answer` application.
    pub(crate) fn answer_held(&self, uuid: &str) -> bool {
        if !self.exists(uuid) {
            return false;
        }
        self.pre_answer(uuid);
        let mut world = self.world();
        let Some(channel) = world.channels.get_mut(uuid).filter(|channel| !channel.is_answered()) else {
            return true;
        };
        channel.stamp(When::Answered);
        let codec = channel.codec.clone().unwrap_or_default();
        let template = &events_of(channel).answer;
        if let Some(held) = channel.held() {
            held.shared.saw(CallerSaw::Answered { codec });
        }
        self.emit(&world, uuid, template);
        true
    }

    /// `uuid_bridge`: media flows three ticks later; an unanswered side is ended (DESTINATION_OUT_OF_ORDER).
    pub(crate) fn bridge(self: &Arc<Self>, one: &str, other: &str) -> bool {
        if !self.exists(one) || !self.exists(other) {
            return false;
        }
        let mut world = self.world();
        let (a, b) = (world.channels[one].is_leg(), world.channels[other].is_leg());
        let (leg, held) = if a && !b { (one, other) } else { (other, one) };
        if a == b {
            world
                .complaints
                .push(format!("uuid_bridge of two {}", if a { "legs" } else { "callers" }));
        }
        let unanswered: Vec<String> = [leg, held]
            .iter()
            .filter(|uuid| !world.channels[**uuid].is_answered())
            .map(|u| (*u).to_owned())
            .collect();
        for (own, peer) in [(leg, held), (held, leg)] {
            if unanswered.is_empty()
                && let Some(channel) = world.channels.get_mut(own)
            {
                channel.peer = Some(peer.to_owned());
                channel.set_variable("park_timeout", "", true);
            }
        }
        drop(world);
        let (core, leg, held) = (Arc::clone(self), leg.to_owned(), held.to_owned());
        tokio::spawn(async move {
            core.ticks(3).await;
            for uuid in &unanswered {
                core.hang_up(uuid, "DESTINATION_OUT_OF_ORDER", Ending::Ours);
            }
            core.media_flows(&leg, &held);
        });
        true
    }

    fn media_flows(&self, leg: &str, held: &str) {
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
        for uuid in [leg, held] {
            world
                .channels
                .get_mut(uuid)
                .into_iter()
                .for_each(|channel| channel.stamp(When::Bridged));
        }
        let with_loopback = world.channels[held].is_loopback();
        let catalog = catalog();
        let events = if with_loopback {
            &catalog.leg_with_loopback
        } else {
            &catalog.leg_with_sofia
        };
        self.emit(&world, leg, &events.bridge);
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
        };
        if let Some(state) = world.channels.get_mut(held).and_then(Channel::held) {
            state.shared.ended(connected);
        }
    }

    /// A held channel's connection has ended: the dialplan goes on, or it does not.
    pub(crate) fn connection_ended(self: &Arc<Self>, uuid: &str, resume: bool) {
        let mut world = self.world();
        let Some(channel) = world.channels.get_mut(uuid).filter(|channel| channel.cause.is_none()) else {
            return;
        };
        let resumes = resume || channel.is_true("socket_resume");
        let (peer, variables) = (channel.peer.clone(), variables_of(channel));
        let Some(held) = channel.held() else { return };
        held.listener = None;
        match (resumes, peer) {
            (true, peer) => {
                held.shared.ended(Outcome::Resumed { variables });
                channel.peer = None;
                drop(world);
                if let Some(leg) = peer {
                    self.hang_up(&leg, "NORMAL_CLEARING", Ending::Ours);
                }
            }
            (false, Some(_)) => {}
            (false, None) => held.shared.ended(Outcome::StuckParked),
        }
    }
}
