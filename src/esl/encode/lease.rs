//! Ends of legs: at once, when a lease runs out, or when a leg turns out to be alone.

use std::time::Duration;

use uuid::Uuid;

use super::word::Word;
use crate::types::LegId;

/// `uuid_kill` with a cause; a cause that is not one of FreeSWITCH's words becomes `NORMAL_CLEARING`.
pub fn kill(channel: impl std::fmt::Display, cause: &str) -> String {
    format!("uuid_kill {channel} {}", cause_word(cause))
}

/// The same one to two seconds later (`+1` may be at once, because FreeSWITCH counts whole seconds), for a channel that
/// is not there yet: an `originate` in the background may be slower than its leg's end. FreeSWITCH runs it even if
/// fswake's connection is gone.
pub fn kill_later(channel: Uuid, cause: &str) -> String {
    format!("sched_api +2 {channel}/end {}", kill(channel, cause))
}

/// The scheduler's group of a leg's lease. The first is a `sched_hangup`, which FreeSWITCH files under the channel.
/// After that two names take turns, so that the next lease exists before the last one is deleted.
fn lease_group(channel: Uuid, renewals: u32) -> String {
    match renewals {
        0 => channel.to_string(),
        n => format!("{channel}/{}", n % 2),
    }
}

/// Starts the `renewals`th lease of a leg after its first.
pub fn lease_renew(channel: Uuid, renewals: u32, seconds: u32) -> String {
    let group = lease_group(channel, renewals);
    format!("sched_api +{seconds} {group} uuid_kill {channel} LOSE_RACE")
}

/// Ends that lease.
pub fn lease_end(channel: Uuid, renewals: u32) -> String {
    format!("sched_del {}", lease_group(channel, renewals))
}

/// Within a second and a half, ends another channel that picked the A leg up too late: if the A leg is still bridged
/// with this leg then, and the other channel has no partner.
pub fn end_latecomer(other: &str, a_leg: &str, leg: LegId) -> String {
    let leg = leg.channel();
    let bridges = format!("${{uuid_getvar({a_leg} bridge_to)}}${{uuid_getvar({other} bridge_to)}}");
    format!("sched_api +1 none expand uuid_kill ${{cond('{bridges}' == '{leg}_undef_' ?{other}:-)}} LOSE_RACE")
}

/// The scheduler's group of [`end_alone`].
fn alone_group(leg: LegId) -> String {
    format!("{}/alone", leg.channel())
}

/// After this time, ends a leg that was never bridged although it was to be. FreeSWITCH leaves it answered and alone if
/// the A leg is transferred or parked between the order and the bridge (measured).
///
/// `last_bridge_to` is set on whatever was ever bridged, with media or without, and the leg's `transfer_source` names
/// the A leg until somebody else moves it.
pub fn end_alone(a_leg: &str, leg: LegId, after: Duration) -> String {
    let (group, leg, seconds) = (alone_group(leg), leg.channel(), seconds_up(after));
    let told = format!("${{uuid_getvar({leg} last_bridge_to)}}${{uuid_getvar({leg} transfer_source)}}");
    let is_alone = format!("${{regex({told}|^_undef_.*:uuid_br:{a_leg})}}");
    format!("sched_api +{seconds} {group} expand uuid_kill ${{cond('{is_alone}' == 'true' ?{leg}:-)}} LOSE_RACE")
}

/// Cancels [`end_alone`].
pub fn is_not_alone(leg: LegId) -> String {
    format!("sched_del {}", alone_group(leg))
}

pub(in crate::esl) fn seconds_up(time: Duration) -> u64 {
    (time.as_secs() + u64::from(time.subsec_nanos() > 0)).max(1)
}

/// A cause, or `NORMAL_CLEARING` for what is not one of FreeSWITCH's words.
pub(super) fn cause_word(cause: &str) -> &str {
    Word::new(cause).map_or("NORMAL_CLEARING", Word::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hangup_causes_are_words() {
        let channel = Uuid::nil();
        assert!(kill(channel, "LOSE_RACE").ends_with(" LOSE_RACE"));
        assert!(kill(channel, "X\nbgapi shutdown").ends_with(" NORMAL_CLEARING"));
    }
}
