//! What commands do to channels: applications, answer, `resume`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::bus::lock;
use super::catalog::{HeldEvents, catalog};
use super::channel::{Channel, Partner};
use super::conn::Command;
use super::core::{Core, World, new_uuid};
use super::hangup::HangupBy;
use super::held::{App, CallerSaw, Outcome};
use super::legs::change_invite;
use super::template::When;

pub(crate) fn events_of(channel: &Channel) -> &'static HeldEvents {
    if channel.is_loopback() {
        &catalog().loopback
    } else {
        &catalog().sofia
    }
}

pub(crate) fn variables_of(channel: &Channel) -> Vec<(String, String)> {
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
        if let Some(shared) = self.world().recorded.get(uuid) {
            lock(&shared.log).commands.push((Instant::now(), line.to_owned()));
        }
    }

    pub(crate) fn set_variable(&self, uuid: &str, name: &str, value: &str) -> bool {
        let mut world = self.world();
        let channel = world.channels.get_mut(uuid).filter(|channel| channel.cause.is_none());
        channel.map(|channel| channel.set_variable(name, value, true)).is_some()
    }

    /// Whether this is the `-a` end of a loopback whose caller is bridged with it, or will be. Only its UUID is
    /// modelled.
    pub(crate) fn is_a_loopbacks_end(&self, uuid: &str) -> bool {
        self.world()
            .channels
            .values()
            .any(|channel| channel.is_behind() && channel.end == uuid)
    }

    pub(crate) fn kill(self: &Arc<Self>, uuid: &str, cause: &str) -> bool {
        self.hang_up(uuid, cause, HangupBy::Ours)
    }

    /// The caller or the phone hung up.
    pub(crate) fn hung_up_by_remote(self: &Arc<Self>, uuid: &str, cause: &str) -> bool {
        self.hang_up(uuid, cause, HangupBy::Remote)
    }

    /// The answer to `connect`.
    pub(crate) fn channel_data(&self, uuid: &str) -> Option<String> {
        let world = self.world();
        let channel = world.channels.get(uuid)?;
        let event = self.make(&world, uuid, &events_of(channel).data)?;
        let text = event.plain().to_owned();
        if channel.is_static() {
            return Some(text.replace("Socket-Mode: async", "Socket-Mode: static"));
        }
        Some(text)
    }

    /// The dialplan thread sees that the client has connected, and parks.
    pub(crate) fn parked(self: &Arc<Self>, uuid: &str) {
        if self.world().channels.get(uuid).is_none_or(Channel::is_static) {
            return;
        }
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
        channel.apps.push_back(app);
        let is_static = channel.is_static();
        if is_static {
            let name = get("execute-app-name");
            world
                .complaints
                .push(format!("execute {name}: its channel's thread serves the connection"));
        } else if channel.apps.len() == 1 {
            let (core, uuid) = (Arc::clone(self), uuid.to_owned());
            tokio::spawn(async move {
                core.tick().await;
                loop {
                    let next = |c: &mut Channel| c.apps.front().cloned();
                    let app = core.world().channels.get_mut(&uuid).and_then(next);
                    let Some(app) = app else { return };
                    core.run_app(&uuid, &app);
                    core.world().channels.get_mut(&uuid).and_then(|c| c.apps.pop_front());
                }
            });
        }
        true
    }

    pub(crate) fn run_app(self: &Arc<Self>, uuid: &str, app: &App) {
        let mut world = self.world();
        let Some(channel) = world.channels.get_mut(uuid).filter(|channel| channel.cause.is_none()) else {
            return;
        };
        if channel.is_leg() {
            return self.run_app_on_leg(&mut world, uuid, app);
        }
        channel.app = (app.name.clone(), app.arg.clone(), new_uuid());
        let events = events_of(channel);
        let (before, after) = if app.arg.is_empty() {
            (&catalog().execute, &events.executed)
        } else {
            (&catalog().execute_arg, &events.executed_arg)
        };
        self.emit(&world, uuid, before);
        drop(world);
        match app.name.as_str() {
            "ring_ready" => self.ring_ready(uuid),
            "answer" => drop(self.answer_held(uuid)),
            "pre_answer" => drop(self.early_media(uuid)),
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
                self.hang_up(uuid, cause, HangupBy::Ours);
            }
            "playback" | "endless_playback" => {
                self.early_media(uuid);
                let played = CallerSaw::Played(app.name.clone(), app.arg.clone());
                if let Some(held) = self.world().channels.get_mut(uuid).and_then(Channel::held) {
                    held.shared.saw(played);
                }
                // It runs until something else happens to the channel.
                return;
            }
            "park" | "sleep" | "log" | "info" => {}
            other => self.complain(format!("execute {other}({})", app.arg)),
        }
        self.emit(&self.world(), uuid, after);
    }

    /// Applications sent to a leg run while the leg rings, and afterwards.
    pub(super) fn run_app_on_leg(&self, world: &mut World, uuid: &str, app: &App) {
        let arg = app.arg.replace("${user_context}", "default");
        if !["set_user", "set_profile_var", "set"].contains(&app.name.as_str()) {
            world.complaints.push(format!("execute {}({arg}) on a leg", app.name));
        }
        let Some(channel) = world.channels.get_mut(uuid) else {
            return;
        };
        let before = std::mem::replace(&mut channel.app, (app.name.clone(), arg.clone(), new_uuid()));
        self.emit(world, uuid, &catalog().leg_executed);
        if let Some(channel) = world.channels.get_mut(uuid) {
            channel.app = before;
            match arg.split_once('=').filter(|_| app.name == "set_profile_var") {
                Some(("caller_id_number", number)) => number.clone_into(&mut channel.caller_number),
                Some(("caller_id_name", name)) => name.clone_into(&mut channel.caller_name),
                _ => {}
            }
        }
        change_invite(world, uuid, |invite| invite.executed.push((app.name.clone(), arg)));
    }

    pub(super) fn ring_ready(&self, uuid: &str) {
        let mut world = self.world();
        let Some(channel) = world.channels.get_mut(uuid) else {
            return;
        };
        if channel.time(When::Progress) != 0 || channel.is_answered() {
            return;
        }
        channel.stamp(When::Progress);
        let loopback = channel.is_loopback();
        let (template, behind) = (&events_of(channel).progress, channel.behind.clone());
        // A loopback first answers with 183 and silence, unless its caller's channel disables that.
        let quiet = behind
            .and_then(|caller| world.channels.get(&caller))
            .is_some_and(|caller| caller.is_true("loopback_no_pre_answer"));
        if let Some(held) = world.channels.get_mut(uuid).and_then(Channel::held) {
            if loopback && !quiet {
                held.shared.saw(CallerSaw::SessionProgress);
            }
            held.shared.saw(CallerSaw::Ringing);
        }
        self.emit(&world, uuid, template);
    }

    /// `uuid_pre_answer` and the `pre_answer` application: the caller gets a 183.
    pub(crate) fn early_media(&self, uuid: &str) -> bool {
        let is_first = |channel: &mut Channel| channel.time(When::Media) == 0;
        if self.world().channels.get_mut(uuid).is_some_and(is_first)
            && let Some(held) = self.world().channels.get_mut(uuid).and_then(Channel::held)
        {
            held.shared.saw(CallerSaw::SessionProgress);
        }
        self.pre_answer(uuid)
    }

    /// Sends 183 with the codec that the answer will have.
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
    pub(crate) fn answer_held(self: &Arc<Self>, uuid: &str) -> bool {
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
        let (template, loopback) = (&events_of(channel).answer, channel.is_loopback());
        let behind = channel.behind.clone();
        if let Some(held) = channel.held() {
            held.shared.saw(CallerSaw::Answered { codec });
        }
        self.emit(&world, uuid, template);
        drop(world);
        if let Some(caller) = behind.filter(|_| loopback) {
            self.answer_behind(caller);
        }
        true
    }

    /// The loopback passes on its answer. The caller's own `bridge` answers the caller, and bridges it with the
    /// loopback's other end.
    fn answer_behind(self: &Arc<Self>, caller: String) {
        let core = Arc::clone(self);
        tokio::spawn(async move {
            core.half_tick().await;
            core.pre_answer(&caller);
            let mut world = core.world();
            let Some(channel) = world.channels.get_mut(&caller).filter(|c| c.cause.is_none()) else {
                return;
            };
            channel.stamp(When::Answered);
            let end = channel.end.clone();
            channel.partner = Partner::Bonded(end.clone());
            channel.bridge_uuid = end;
            core.emit(&world, &caller, &catalog().sofia.answer);
            core.emit(&world, &caller, &catalog().caller_with_loopback);
            drop(world);
            core.end_reads(&caller);
        });
    }

    /// Sends a digit to the end of a loopback. It is read once the bridge with the caller is up.
    pub(super) fn end_reads_a_digit(self: &Arc<Self>, end: &str) -> bool {
        let mut world = self.world();
        let Some(caller) = world.channels.values_mut().find(|c| c.end == end && c.is_behind()) else {
            return false;
        };
        caller.digit_waits = true;
        let caller = caller.uuid.clone();
        drop(world);
        self.end_reads(&caller);
        true
    }

    /// The end of a loopback reads a waiting digit, if it is bridged with its caller.
    fn end_reads(self: &Arc<Self>, caller: &str) {
        let mut world = self.world();
        let is_bridged = |c: &&mut Channel| c.digit_waits && c.bridge_uuid == c.end;
        if let Some(caller) = world.channels.get_mut(caller).filter(is_bridged) {
            caller.digit_waits = false;
            let (core, caller) = (Arc::clone(self), caller.uuid.clone());
            tokio::spawn(async move {
                core.half_tick().await;
                core.emit(&core.world(), &caller, &catalog().end_reads);
                core.slow_pick_up_begins();
            });
        }
    }

    /// A held channel's connection has ended. The dialplan goes on, or the channel stays parked.
    pub(crate) fn connection_ended(self: &Arc<Self>, uuid: &str, resume: bool) {
        let mut world = self.world();
        let Some(channel) = world.channels.get_mut(uuid).filter(|channel| channel.cause.is_none()) else {
            return;
        };
        let is_static = channel.is_static();
        // Without `async`, a channel hangs after `resume`. That is not modelled.
        let resumes = (resume || channel.is_true("socket_resume")) != is_static;
        let is_taken = channel.taken.is_some();
        let is_awaited = is_static && (is_taken || channel.peer.is_some());
        let (peer, variables) = (channel.peer.clone(), variables_of(channel));
        let Some(held) = channel.held() else { return };
        held.listener = None;
        held.shared.is_busy.send_replace(false);
        if is_awaited && resumes {
            return;
        }
        match (resumes, peer) {
            (true, peer) => {
                held.shared.ended(Outcome::Resumed { variables });
                channel.peer = None;
                if is_taken {
                    world
                        .complaints
                        .push("resume of a channel that another client has taken".to_owned());
                }
                drop(world);
                if let Some(leg) = peer {
                    self.hang_up(&leg, "NORMAL_CLEARING", HangupBy::Ours);
                } else if !is_taken {
                    self.dialplan_goes_on(uuid);
                }
            }
            (false, _) if is_taken => {}
            (false, Some(_)) => {}
            (false, None) => held.shared.ended(Outcome::StuckParked),
        }
    }

    /// Waits until the channel's thread is free.
    pub(crate) async fn leaves_socket(&self, uuid: &str) {
        let busy = |channel: &mut Channel| channel.held().map(|held| held.shared.is_busy.subscribe());
        let busy = self
            .world()
            .channels
            .get_mut(uuid)
            .filter(|c| c.is_static())
            .and_then(busy);
        if let Some(mut busy) = busy {
            let _ = busy.wait_for(|busy| !busy).await;
        }
    }

    /// What the shipped dialplan does next: `bridge ${fswake_bridge}`, or the loopback's `execute_extension`, which has
    /// the same effect. Only its failure is modelled; tests decide who rings.
    fn dialplan_goes_on(self: &Arc<Self>, uuid: &str) {
        let (core, uuid) = (Arc::clone(self), uuid.to_owned());
        tokio::spawn(async move {
            core.half_tick().await;
            let mut world = core.world();
            let Some(channel) = world.channels.get(&uuid) else {
                return;
            };
            let bridge = channel.variable("fswake_bridge").unwrap_or_default();
            let Some(cause) = bridge.strip_prefix("error/").map(str::to_owned) else {
                return;
            };
            let behind = channel.behind.as_ref().and_then(|caller| world.channels.get(caller));
            let goes_on = behind
                .unwrap_or(channel)
                .variable("continue_on_fail")
                .is_some_and(|list| list == "true" || list.split(',').any(|known| known.eq_ignore_ascii_case(&cause)));
            if !goes_on {
                drop(world);
                core.hang_up(&uuid, &cause, HangupBy::Ours);
                return;
            }
            let Some(channel) = world.channels.get_mut(&uuid) else {
                return;
            };
            channel.set_variable("originate_disposition", &cause, true);
            let variables = variables_of(channel);
            if let Some(held) = channel.held() {
                held.shared.ended(Outcome::WentOn { cause, variables });
            }
        });
    }
}
