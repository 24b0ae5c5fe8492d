//! `originate`: a leg from its INVITE to its answer or its end.
//!
//! The originate itself ends some milliseconds after the answer, or after early media unless it is ignored. Only then
//! the leg is parked and can be bridged: see [`Core::leg_parks`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep_until;

use super::calls::variables_of;
use super::catalog::catalog;
use super::cause;
use super::channel::{Channel, LegState, Partner, Role};
use super::core::{Core, World, new_uuid};
use super::dialstring::Plan;
use super::event::percent_decode;
use super::hangup::HangupBy;
use super::held::App;
use super::phone::{Behaviour, Invite, PhoneAct};
use super::template::When;

/// A new leg, and the behaviour of its phone.
struct StartedLeg {
    uuid: String,
    behaviour: Behaviour,
    acts: mpsc::UnboundedReceiver<PhoneAct>,
    gone: watch::Receiver<bool>,
}

impl Core {
    /// Rings the first endpoint until it answers or fails. The error is the hangup cause.
    pub(crate) async fn originate(self: &Arc<Self>, plan: Plan) -> Result<String, String> {
        // FreeSWITCH tries endpoints of an unknown kind in turn, and all fail (captured with a variable's brace
        // missing).
        if !plan
            .endpoints
            .iter()
            .any(|endpoint| endpoint.target.starts_with("sofia/") || endpoint.target.starts_with("user/"))
        {
            return Err("CHAN_NOT_IMPLEMENTED".to_owned());
        }
        if plan.endpoints.len() > 1 {
            self.complain(format!("originate to {} endpoints", plan.endpoints.len()));
        }
        let target = plan.endpoints[0].target.clone();
        let mut parts = target.splitn(3, '/');
        let (kind, profile, uri) = (
            parts.next().unwrap_or(""),
            parts.next().unwrap_or(""),
            parts.next().unwrap_or(""),
        );
        match kind {
            "sofia" if self.knows_profile(profile) => {}
            "sofia" => return Err("INVALID_PROFILE".to_owned()),
            "user" => return Err("SUBSCRIBER_ABSENT".to_owned()),
            _ => return Err("CHAN_NOT_IMPLEMENTED".to_owned()),
        }
        if plan.action != "&park()" {
            self.complain(format!("originate with action {}", plan.action));
        }
        let timeout = plan
            .variable("originate_timeout")
            .and_then(|text| text.parse().ok())
            .unwrap_or(60);
        let delay = self.world().originate_delay;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let leg = self.start_leg(&plan, uri);
        self.presence();
        run_hooks(self, &mut self.world(), &leg.uuid, "execute_on_originate");
        // These run when the channel is made. Only those that fswake uses are modelled.
        let hooks = plan.endpoints[0].variables.iter();
        for (_, text) in hooks.filter(|(name, _)| name.starts_with("api_on_originate")) {
            let words: Vec<_> = text.split(' ').collect();
            match words.as_slice() {
                ["sched_hangup", rest @ ..] => drop(self.sched_hangup(rest)),
                _ => self.complain(format!("api_on_originate={}", words.join(" "))),
            }
        }
        let confirms = plan.variable("group_confirm_key").is_some_and(|key| !key.is_empty());
        let ends_with_media = plan.variable("ignore_early_media").is_none_or(|v| v == "false");
        let (result, ended) = oneshot::channel();
        let core = Arc::clone(self);
        tokio::spawn(async move {
            core.follow(leg, Duration::from_secs(timeout), (ends_with_media, confirms), result)
                .await;
        });
        ended.await.unwrap_or_else(|_| Err("NORMAL_CLEARING".to_owned()))
    }

    fn knows_profile(&self, profile: &str) -> bool {
        profile == self.config.profile || self.world().registrations.values().any(|r| r.profile == profile)
    }

    fn start_leg(self: &Arc<Self>, plan: &Plan, uri: &str) -> StartedLeg {
        let get = |name: &str| plan.variable(name).unwrap_or("").to_owned();
        let uuid = Some(get("origination_uuid"))
            .filter(|uuid| !uuid.is_empty())
            .unwrap_or_else(new_uuid);
        let mut world = self.world();
        if world.channels.contains_key(&uuid) {
            world.complaints.push(format!("origination_uuid {uuid} is in use"));
        }
        let found = route(&world, uri);
        let (acts, act_queue) = mpsc::unbounded_channel();
        let state = LegState {
            phone: found,
            invite: 0,
            acts,
            gone: watch::Sender::new(false),
            parked: false,
            cut: None,
        };
        let gone = state.gone.subscribe();
        let mut channel = Channel::new(uuid.clone(), Role::Leg(state), self.next_session());
        for (name, value) in &plan.endpoints[0].variables {
            channel.set_variable(name, value, false);
        }
        channel.caller_number = get("origination_caller_id_number");
        channel.caller_name = get("origination_caller_id_name");
        uri.clone_into(&mut channel.uri);
        let user = uri
            .trim_start_matches("sip:")
            .split('@')
            .next()
            .unwrap_or("")
            .to_owned();
        (channel.callee, channel.app) = (user, ("park".to_owned(), String::new(), new_uuid()));
        channel.sip_call_id = Some(get("sip_invite_call_id"))
            .filter(|id| !id.is_empty())
            .unwrap_or_else(new_uuid);
        let mut behaviour = Behaviour::Unreachable;
        if let Some(phone) = found.map(|index| Arc::clone(&world.phones[index])) {
            let offer = self.offer(&channel);
            phone.change(|state| {
                behaviour = if state.awake {
                    state.behaviour.clone()
                } else {
                    Behaviour::Silent
                };
                channel.user_agent.clone_from(&state.spec.agent);
                channel.offer.clone_from(&state.spec.codecs);
                channel.codec = offer.iter().find(|codec| state.spec.codecs.contains(codec)).cloned();
                let cannot = matches!(behaviour, Behaviour::Silent | Behaviour::Unreachable);
                if channel.codec.is_none() && !cannot {
                    behaviour = Behaviour::Refuses {
                        status: 488,
                        after: Duration::ZERO,
                        rings: false,
                    };
                }
                if let Role::Leg(leg) = &mut channel.role {
                    leg.invite = state.invites.len();
                }
                let seen = state.awake && behaviour != Behaviour::Unreachable;
                state.invites.push(invite_of(&channel, offer, seen));
            });
        }
        // `originate_signal_bond` of its parent channel.
        let parent = world.channels.get_mut(&get("origination_aleg_uuid"));
        if let Some(parent) = parent.filter(|parent| matches!(parent.partner, Partner::None)) {
            parent.partner = Partner::OfOriginate;
        }
        world.channels.insert(uuid.clone(), channel);
        StartedLeg {
            uuid,
            behaviour,
            acts: act_queue,
            gone,
        }
    }

    /// The codecs in a leg's offer, in order.
    fn offer(&self, channel: &Channel) -> Vec<String> {
        let told = channel
            .variable("absolute_codec_string")
            .or_else(|| channel.variable("codec_string"));
        let plain = |codec: &str| {
            codec
                .split('@')
                .next()
                .unwrap_or("")
                .rsplit('.')
                .next()
                .unwrap_or("")
                .to_owned()
        };
        let told = told.map(|list| list.strip_prefix("^^:").unwrap_or(list));
        told.map_or_else(
            || self.config.codecs.clone(),
            |list| list.split([',', ':']).map(plain).collect(),
        )
    }

    /// Acts as the phone until the leg has ended. Reports the originate's result as soon as it is known.
    async fn follow(
        self: &Arc<Self>,
        mut leg: StartedLeg,
        timeout: Duration,
        (ends_with_media, confirms): (bool, bool),
        result: oneshot::Sender<Result<String, String>>,
    ) {
        let far = Duration::from_hours(24);
        let start = tokio::time::Instant::now();
        let mut hang_up = None;
        let (mut ring, mut answer, mut refuse) = match leg.behaviour {
            Behaviour::Rings(ring, answer) => (Some(ring), answer, None),
            Behaviour::HangsUp(answer, after) => {
                hang_up = Some(answer + after);
                (Some(Duration::ZERO), Some(answer), None)
            }
            Behaviour::Refuses { status, after, rings } => {
                (rings.then_some(Duration::ZERO), None, Some((after, status)))
            }
            Behaviour::Silent | Behaviour::Manual => (None, None, None),
            Behaviour::Unreachable => {
                self.tick().await;
                self.hang_up(&leg.uuid, "NORMAL_TEMPORARY_FAILURE", HangupBy::Ours);
                let _ = result.send(Err("NORMAL_TEMPORARY_FAILURE".to_owned()));
                return;
            }
        };
        // The receiver of the originate's result, the time until which it rings, and the end of its thread.
        let (mut result, mut timeout, mut tail) = (Some(result), Some(start + timeout), None);
        loop {
            let act = tokio::select! {
                biased;
                () = until_gone(&mut leg.gone) => {
                    let cause = self.world().channels.get(&leg.uuid).and_then(|c| c.cause.clone());
                    self.tick().await;
                    let cause = cause.unwrap_or_else(|| "NORMAL_CLEARING".to_owned());
                    return done(&mut result, Err(cause));
                }
                () = sleep_until(tail.unwrap_or(start + far)), if tail.is_some() => {
                    tail = None;
                    self.leg_parks(&leg.uuid);
                    done(&mut result, Ok(leg.uuid.clone()));
                    continue;
                }
                Some(act) = leg.acts.recv() => act,
                () = sleep_until(start + ring.unwrap_or(far)), if ring.is_some() => PhoneAct::Ring,
                () = sleep_until(start + answer.unwrap_or(far)), if answer.is_some() => PhoneAct::Answer,
                () = sleep_until(start + refuse.map_or(far, |(after, _)| after)), if refuse.is_some() => {
                    PhoneAct::Refuse(refuse.map_or(486, |(_, status)| status))
                }
                () = sleep_until(start + hang_up.unwrap_or(far)), if hang_up.is_some() => {
                    hang_up = None;
                    self.hung_up_by_remote(&leg.uuid, "NORMAL_CLEARING");
                    continue;
                }
                () = sleep_until(timeout.unwrap_or(start + far)), if timeout.is_some() => {
                    // Here the originate hangs up, and its job ends before the channel reports.
                    self.hang_up(&leg.uuid, "NO_ANSWER", HangupBy::Timeout);
                    return done(&mut result, Err("NO_ANSWER".to_owned()));
                }
            };
            let ends = match act {
                PhoneAct::Ring => {
                    ring = None;
                    self.leg_rings(&leg.uuid);
                    false
                }
                PhoneAct::Progress => {
                    ring = None;
                    self.leg_has_early_media(&leg.uuid);
                    ends_with_media
                }
                PhoneAct::Answer => {
                    (ring, answer, refuse) = (None, None, None);
                    self.leg_answers(&leg.uuid);
                    // The originate goes on until the phone's user presses the key.
                    !confirms
                }
                PhoneAct::PressKey => confirms && self.leg_is_confirmed(&leg.uuid),
                PhoneAct::Refuse(status) => {
                    let cause = cause::from_sip(status);
                    let ahead = self.config.originate_ahead;
                    if !ahead.is_zero() {
                        done(&mut result, Err(cause.to_owned()));
                        tokio::time::sleep(ahead).await;
                    }
                    self.hang_up(&leg.uuid, cause, HangupBy::Refused(status));
                    self.tick().await;
                    return done(&mut result, Err(cause.to_owned()));
                }
            };
            if ends && timeout.take().is_some() {
                tail = Some(tokio::time::Instant::now() + self.config.originate_tail);
            }
        }
    }

    fn leg_rings(&self, uuid: &str) {
        let mut world = self.world();
        let Some(channel) = world.channels.get_mut(uuid) else {
            return;
        };
        if channel.time(When::Progress) == 0 && !channel.is_answered() {
            channel.stamp(When::Progress);
            self.emit(&world, uuid, &catalog().leg_progress);
        }
    }

    fn leg_has_early_media(&self, uuid: &str) {
        let mut world = self.world();
        let Some(channel) = world.channels.get_mut(uuid) else {
            return;
        };
        if channel.time(When::Media) == 0 && !channel.is_answered() {
            channel.stamp(When::Media);
            self.emit(&world, uuid, &catalog().leg_media);
        }
    }

    fn leg_answers(self: &Arc<Self>, uuid: &str) {
        let mut world = self.world();
        let Some(channel) = world.channels.get_mut(uuid).filter(|c| !c.is_answered()) else {
            return;
        };
        channel.stamp(When::Answered);
        let (peer, phone) = (channel.peer.clone(), channel.leg().and_then(|leg| leg.phone));
        let asserted = phone
            .and_then(|index| world.phones.get(index))
            .and_then(|phone| phone.asserts());
        if let Some((channel, number)) = world.channels.get_mut(uuid).zip(asserted) {
            channel.callee = number;
        }
        self.emit(&world, uuid, &catalog().leg_answer);
        change_invite(&world, uuid, |invite| invite.answered = true);
        drop(world);
        // It was bridged while it rang, so FreeSWITCH passes the answer on by itself.
        if let Some(peer) = peer {
            self.answer_held(&peer);
            self.is_connected(uuid, &peer);
        }
    }

    /// The right key was pressed. FreeSWITCH then removes the variables for the confirmation (switch_ivr_originate.c).
    fn leg_is_confirmed(&self, uuid: &str) -> bool {
        let mut world = self.world();
        if let Some(channel) = world.channels.get_mut(uuid) {
            channel.set_variable("group_confirm_key", "", true);
        }
        true
    }

    /// The originate's thread has released the leg, which now runs `park`. A bridge made before this is lost.
    fn leg_parks(self: &Arc<Self>, uuid: &str) {
        let mut world = self.world();
        run_hooks(self, &mut world, uuid, "execute_on_post_originate");
        forget_hooks(&mut world, uuid);
        let Some(channel) = world.channels.get_mut(uuid).filter(|c| c.cause.is_none()) else {
            return;
        };
        let park_timeout = channel
            .variable("park_timeout")
            .and_then(|text| text.split(':').next()?.parse().ok());
        let template = if channel.is_answered() {
            &catalog().leg_park
        } else {
            &catalog().leg_park_early
        };
        let mut cut = None;
        if let Role::Leg(leg) = &mut channel.role {
            leg.parked = true;
            cut = leg.cut.take();
        }
        self.emit(&world, uuid, template);
        drop(world);
        self.slow_pick_up_begins();
        if let Some(held) = cut {
            return self.break_bridge(uuid, &held);
        }
        if let Some(seconds) = park_timeout {
            let (core, uuid) = (Arc::clone(self), uuid.to_owned());
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                let alone = core
                    .world()
                    .channels
                    .get(&uuid)
                    .is_some_and(|c| c.peer.is_none() && c.cause.is_none());
                if alone {
                    core.hang_up(&uuid, "NORMAL_CLEARING", HangupBy::Ours);
                }
            });
        }
    }
}

/// Runs the applications of a leg's hooks: those whose names begin so.
fn run_hooks(core: &Core, world: &mut World, uuid: &str, hook: &str) {
    let Some(channel) = world.channels.get(uuid).filter(|channel| channel.cause.is_none()) else {
        return;
    };
    let apps: Vec<_> = variables_of(channel)
        .into_iter()
        .filter_map(|(name, text)| {
            let (app, arg) = text.split_once(' ')?;
            name.starts_with(hook).then(|| App {
                name: app.to_owned(),
                arg: arg.to_owned(),
            })
        })
        .collect();
    for app in &apps {
        core.run_app_on_leg(world, uuid, app);
    }
}

/// Runs `api_on_post_originate`, as far as it is `uuid_setvar_multi` without values.
fn forget_hooks(world: &mut World, uuid: &str) {
    let Some(channel) = world.channels.get_mut(uuid) else {
        return;
    };
    let hooks: Vec<_> = variables_of(channel)
        .into_iter()
        .filter(|(name, _)| name.starts_with("api_on_post_originate"))
        .collect();
    for (_, text) in hooks {
        let Some(names) = text.strip_prefix(&format!("uuid_setvar_multi {uuid} ")) else {
            world.complaints.push(format!("api_on_post_originate={text}"));
            return;
        };
        for name in names.split(';').filter_map(|pair| pair.strip_suffix('=')) {
            channel.set_variable(name, "", true);
        }
    }
}

/// Reports the originate's result, once.
fn done(waiting: &mut Option<oneshot::Sender<Result<String, String>>>, result: Result<String, String>) {
    if let Some(waiting) = waiting.take() {
        let _ = waiting.send(result);
    }
}

async fn until_gone(gone: &mut watch::Receiver<bool>) {
    // The channel owns the sender. If the channel is dropped, the leg is gone as well.
    let _ = gone.wait_for(|gone| *gone).await;
}

/// Changes the record of the INVITE that made a leg.
pub(crate) fn change_invite(world: &World, leg: &str, change: impl FnOnce(&mut Invite)) {
    let Some(leg) = world.channels.get(leg).and_then(Channel::leg) else {
        return;
    };
    if let Some(phone) = leg.phone.and_then(|index| world.phones.get(index)) {
        phone.change(|state| state.invites.get_mut(leg.invite).map(change));
    }
}

/// The phone at the address that FreeSWITCH would send to: `fs_path` if there is one, otherwise the URI's own.
fn route(world: &World, uri: &str) -> Option<usize> {
    let path = uri
        .split(';')
        .find_map(|param| param.strip_prefix("fs_path="))
        .map(percent_decode);
    let sent_to = path.as_deref().unwrap_or(uri);
    let plain = sent_to
        .trim_start_matches("sip:")
        .split([';', '>'])
        .next()
        .unwrap_or("");
    let address = plain.rsplit_once('@').map_or(plain, |(_, address)| address);
    world.by_address.get(address).copied()
}

fn invite_of(channel: &Channel, offer: Vec<String>, seen: bool) -> Invite {
    let of_header = |v: &super::channel::Variable| Some((v.name.strip_prefix("sip_h_")?.to_owned(), v.value.clone()));
    let name = channel.variable("origination_caller_id_name").unwrap_or("").to_owned();
    Invite {
        at: Instant::now(),
        leg: channel.uuid.clone(),
        call_id: channel.sip_call_id.clone(),
        caller: (channel.caller_number.clone(), name),
        uri: channel.uri.clone(),
        headers: channel.variables.iter().filter_map(of_header).collect(),
        variables: channel
            .variables
            .iter()
            .map(|v| (v.name.clone(), v.value.clone()))
            .collect(),
        executed: Vec::new(),
        offer,
        seen,
        cancel: None,
        bye: None,
        answered: false,
    }
}
