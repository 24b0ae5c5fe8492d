//! How channels end, and which events each side gets.

use std::sync::Arc;
use std::time::Duration;

use super::catalog::{Catalog, End, catalog};
use super::cause;
use super::channel::Channel;
use super::core::{Core, World};
use super::held::{CallerSaw, Outcome};
use super::legs::change_invite;
use super::template::When;

/// Who ended a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HangupBy {
    /// FreeSWITCH sends CANCEL or BYE.
    Ours,
    /// FreeSWITCH, because `originate_timeout` expired.
    Timeout,
    /// The remote end sends CANCEL or BYE.
    Remote,
    /// The phone sends a failure response.
    Refused(u16),
}

impl Core {
    /// Ends a channel if it still exists, and soon afterwards the one bridged to it.
    pub(crate) fn hang_up(self: &Arc<Self>, uuid: &str, cause: &str, ending: HangupBy) -> bool {
        let mut world = self.world();
        if !self.announce_end(&mut world, uuid, cause, ending) {
            return false;
        }
        let peer = world.channels.get(uuid).and_then(|channel| channel.peer.clone());
        if ending == HangupBy::Timeout {
            let (core, uuid) = (Arc::clone(self), uuid.to_owned());
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(2)).await;
                core.complete(&mut core.world(), &uuid);
                core.world().channels.remove(&uuid);
            });
            return true;
        }
        if peer.is_some() && world.channels[uuid].is_leg() {
            self.emit(&world, uuid, &bridge_events(&world, uuid).unbridge);
        }
        self.complete(&mut world, uuid);
        let loopback = world.channels[uuid].is_loopback();
        drop(world);
        let (core, uuid, cause) = (Arc::clone(self), uuid.to_owned(), cause.to_owned());
        match peer {
            Some(peer) => {
                tokio::spawn(async move {
                    if !loopback {
                        core.tick().await;
                    }
                    core.end_peer(&peer, &cause);
                    // The linger notice still needs the channel's name.
                    tokio::time::sleep(core.config.poll + Duration::from_millis(5)).await;
                    let mut world = core.world();
                    world.channels.remove(&uuid);
                    // It may go on in the dialplan.
                    if world.channels.get(&peer).is_some_and(|peer| peer.cause.is_some()) {
                        world.channels.remove(&peer);
                    }
                });
            }
            None => {
                tokio::spawn(async move {
                    tokio::time::sleep(core.config.poll + core.config.tick + Duration::from_millis(5)).await;
                    core.world().channels.remove(&uuid);
                });
            }
        }
        true
    }

    /// Sends CHANNEL_HANGUP, and what the channel's remote end gets.
    fn announce_end(&self, world: &mut World, uuid: &str, cause: &str, ending: HangupBy) -> bool {
        let Some(channel) = world.channels.get_mut(uuid).filter(|channel| channel.cause.is_none()) else {
            return false;
        };
        channel.cause = Some(cause.to_owned());
        channel.stamp(When::Hangup);
        let behind = channel.behind.clone().filter(|_| !channel.replaced);
        if let HangupBy::Refused(status) = ending {
            channel.sip_failure = (status, cause::phrase(status).to_owned());
        }
        let answered = channel.is_answered();
        let told = |channel: &Channel| {
            channel
                .variable("last_bridge_proto_specific_hangup_cause")
                .map(str::to_owned)
        };
        let told = behind
            .and_then(|other| world.channels.get(&other).and_then(told))
            .or_else(|| world.channels.get(uuid).and_then(told));
        if ending == HangupBy::Ours
            && let Some(channel) = world.channels.get_mut(uuid).filter(|c| !c.replaced)
            && let Some(held) = channel.held()
        {
            held.shared.saw(if answered {
                CallerSaw::Bye
            } else {
                CallerSaw::Final(final_status(cause, told.as_deref()))
            });
        }
        let template = &end_of(catalog(), world, uuid, ending).hangup;
        self.emit(world, uuid, template);
        if matches!(ending, HangupBy::Ours | HangupBy::Timeout) && world.channels[uuid].is_leg() {
            let reason = cause::reason(cause, world.channels[uuid].variable("sip_reason"));
            change_invite(world, uuid, |invite| {
                *(if answered { &mut invite.bye } else { &mut invite.cancel }) = Some(reason);
            });
        }
        if let Some(leg) = world.channels[uuid].leg() {
            leg.gone.send_replace(true);
        }
        true
    }

    /// Sends the events from CHANNEL_HANGUP to CHANNEL_HANGUP_COMPLETE, and notifies a held channel's connection.
    fn complete(&self, world: &mut World, uuid: &str) {
        let Some(channel) = world.channels.get_mut(uuid) else {
            return;
        };
        let cause = channel.cause.clone().unwrap_or_default();
        let mut listener = None;
        let replaced = channel.replaced;
        let held = channel.held().map(|held| {
            listener.clone_from(&held.listener);
            if !replaced {
                held.shared.ended(Outcome::HungUp(cause.clone()));
            }
        });
        let in_socket = channel.peer.is_none() && channel.taken.is_none() && channel.behind.is_none();
        if held.is_some() && in_socket && !channel.is_loopback() {
            if !world.channels[uuid].is_static() {
                self.emit(world, uuid, &catalog().unpark);
            }
            self.emit(world, uuid, &catalog().socket_done);
            self.emit(world, uuid, &catalog().state_hangup);
            self.emit(world, uuid, &catalog().state_reporting);
        }
        let refused = if world.channels[uuid].sip_failure.0 == 487 {
            HangupBy::Ours
        } else {
            HangupBy::Refused(0)
        };
        let remote = held.is_some() && cause == "ORIGINATOR_CANCEL";
        let template = &end_of(catalog(), world, uuid, if remote { HangupBy::Remote } else { refused }).complete;
        self.emit(world, uuid, template);
        if let Some(listener) = listener {
            listener.channel_is_down();
        }
        // When a loopback ends, the bridge that dialled it goes on without fswake.
        let of_a_loopback = world.channels.get(uuid).filter(|c| c.is_loopback() && !c.replaced);
        if let Some(caller) = of_a_loopback.and_then(|c| c.behind.clone())
            && world.channels.get(&caller).is_some_and(|c| c.taken.is_none())
        {
            world.channels.remove(&caller);
        }
    }

    /// What happens to a channel after the end of the one bridged to it.
    fn end_peer(self: &Arc<Self>, uuid: &str, cause: &str) {
        let mut world = self.world();
        let Some(channel) = world.channels.get_mut(uuid).filter(|channel| channel.cause.is_none()) else {
            return;
        };
        let stays = !channel.is_leg() && !channel.is_true("hangup_after_bridge");
        if stays {
            channel.bridge_uuid.clear();
            let variables = channel
                .variables
                .iter()
                .map(|v| (v.name.clone(), v.value.clone()))
                .collect();
            if let Some(held) = channel.held() {
                held.shared.ended(Outcome::Resumed { variables });
            }
            return;
        }
        if channel.is_leg() {
            self.emit(&world, uuid, &bridge_events(&world, uuid).unbridge);
        }
        self.announce_end(&mut world, uuid, cause, HangupBy::Ours);
        self.complete(&mut world, uuid);
    }
}

pub(crate) fn bridge_events(world: &World, leg: &str) -> &'static super::catalog::BridgeEvents {
    let peer = world
        .channels
        .get(leg)
        .and_then(|channel| world.channels.get(channel.peer.as_ref()?));
    if peer.is_some_and(Channel::is_loopback) {
        &catalog().leg_with_loopback
    } else {
        &catalog().leg_with_sofia
    }
}

/// The recorded end for a channel.
fn end_of<'a>(catalog: &'a Catalog, world: &World, uuid: &str, ending: HangupBy) -> &'a End {
    let channel = &world.channels[uuid];
    let (bridged, answered, rang) = (
        channel.time(When::Bridged) != 0,
        channel.is_answered(),
        channel.time(When::Progress) != 0,
    );
    if channel.is_leg() {
        return match ending {
            HangupBy::Refused(_) if !answered && bridged => &catalog.leg_refused_early,
            _ if bridged && channel.peer.is_some() => {
                let with_loopback = channel
                    .peer
                    .as_ref()
                    .and_then(|peer| world.channels.get(peer))
                    .is_some_and(Channel::is_loopback);
                if with_loopback {
                    &catalog.leg_with_loopback.end
                } else {
                    &catalog.leg_with_sofia.end
                }
            }
            _ if answered => &catalog.leg_unbridged,
            HangupBy::Refused(_) if rang => &catalog.leg_refused_ringing,
            HangupBy::Refused(_) => &catalog.leg_refused,
            _ if rang && channel.cause.as_deref() == Some("LOSE_RACE") => &catalog.leg_lost_race,
            _ if rang => &catalog.leg_cancelled,
            _ => &catalog.leg_silent,
        };
    }
    let events = if channel.is_loopback() {
        &catalog.loopback
    } else {
        &catalog.sofia
    };
    match ending {
        _ if bridged => &events.bridged,
        _ if answered => &events.unbridged,
        HangupBy::Remote => &events.cancelled,
        _ => &events.refused,
    }
}

/// The SIP status that an unanswered caller gets for a cause. If the channel has one from its phones, it is that.
fn final_status(cause: &str, told: Option<&str>) -> u16 {
    if let Some(status) = told.and_then(|told| told.strip_prefix("sip:")?.parse().ok()) {
        return status;
    }
    match cause {
        "UNALLOCATED_NUMBER" | "NO_ROUTE_DESTINATION" => 404,
        "USER_BUSY" => 486,
        "CALL_REJECTED" => 603,
        "DESTINATION_OUT_OF_ORDER" => 502,
        "INCOMPATIBLE_DESTINATION" => 488,
        "NORMAL_TEMPORARY_FAILURE" => 503,
        "RECOVERY_ON_TIMER_EXPIRE" => 408,
        _ => 480,
    }
}
