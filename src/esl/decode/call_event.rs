//! Events on a call's own connection: what happens to its legs, and who has its channel.

use std::sync::Arc;

use super::super::{encode, job};
use super::held_channel::is_channel;
use crate::engine::{Event, LegEnd};
use crate::types::{CallId, LegId};

/// One event on a call's own connection, decoded.
#[derive(Clone, Debug, PartialEq)]
pub enum CallEvent {
    /// For the engine.
    Event(Event),
    /// A leg has left its originate, and is parked.
    LegParked {
        /// The leg.
        leg: LegId,
        /// It was answered, with this codec. A phone that needs confirmation by a key reports its answer only now.
        answered: Option<Option<Arc<str>>>,
    },
    /// A leg has the callee's name ([`encode::name_callee`]).
    LegNamed(LegId),
    /// The held channel has left its park, and is not hung up.
    LeftPark(TransferTarget),
}

/// Where a held channel went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransferTarget {
    /// To another channel: `intercept`, pick-up, `uuid_bridge`.
    Channel(String),
    /// On in the dialplan, to this destination number.
    Dialplan(Arc<str>),
    /// Into a park of its own (`uuid_park`), which writes no `transfer_source`.
    Park,
}

/// Decodes one event on a call's own connection. `None`: an event that does not matter.
pub fn call_event<'a>(
    name: &str,
    header: impl Fn(&str) -> Option<&'a str>,
    body: Option<&str>,
    channel: &str,
    leg: impl Fn(&str) -> Option<LegId>,
    call: CallId,
) -> Option<CallEvent> {
    if name == "BACKGROUND_JOB" {
        // Only a failed originate is news.
        let cause = body?.trim().strip_prefix("-ERR ")?.into();
        let (command, argument) = (header("Job-Command")?, header("Job-Command-Arg")?);
        return Some(CallEvent::Event(Event::LegEnded {
            leg: job::leg_of_job(call, command, argument, leg)?,
            end: LegEnd {
                cause,
                sip_status: None,
            },
        }));
    }
    let id = header("Unique-ID")?;
    if id == channel {
        let cause = || header("Hangup-Cause").unwrap_or("NORMAL_CLEARING").into();
        return match name {
            "CHANNEL_HANGUP" => Some(CallEvent::Event(Event::CallerGone { call, cause: cause() })),
            "CHANNEL_UNPARK" if header("Hangup-Cause").is_none() => {
                Some(CallEvent::LeftPark(target_after_park(header)))
            }
            _ => None,
        };
    }
    let leg = leg(id)?;
    let codec = || header("variable_read_codec").map(Arc::from);
    Some(CallEvent::Event(match name {
        "CHANNEL_PROGRESS" => Event::LegRinging(leg),
        // A phone that needs confirmation by a key counts as answered when it is confirmed, and the leg is parked.
        "CHANNEL_PROGRESS_MEDIA" | "CHANNEL_ANSWER" if header("variable_group_confirm_key").is_some() => {
            Event::LegRinging(leg)
        }
        "CHANNEL_PROGRESS_MEDIA" => Event::LegEarlyMedia { leg, codec: codec() },
        "CHANNEL_ANSWER" => Event::LegAnswered { leg, codec: codec() },
        "CHANNEL_PARK" => {
            let answered = (header("Answer-State") == Some("answered")).then(codec);
            return Some(CallEvent::LegParked { leg, answered });
        }
        "CHANNEL_EXECUTE_COMPLETE" => {
            let last = header("Application-Data").is_some_and(|data| data.starts_with(encode::LAST_OF_CALLEE));
            return last.then_some(CallEvent::LegNamed(leg));
        }
        "CHANNEL_HANGUP" => {
            let end = leg_end(header);
            Event::LegEnded { leg, end }
        }
        _ => return None,
    }))
}

/// How a leg ended, by its `CHANNEL_HANGUP`.
pub fn leg_end<'a>(header: impl Fn(&str) -> Option<&'a str>) -> LegEnd {
    let status = header("variable_sip_term_status").or_else(|| header("variable_sip_invite_failure_status"));
    LegEnd {
        cause: header("Hangup-Cause").unwrap_or("NORMAL_CLEARING").into(),
        sip_status: status.and_then(|s| s.parse().ok()),
    }
}

/// Where a channel is after it left its park: `uuid_bridge` names the other channel in `transfer_source`.
fn target_after_park<'a>(header: impl Fn(&str) -> Option<&'a str>) -> TransferTarget {
    let source = header("variable_transfer_source").unwrap_or_default();
    transfer_target(source, header("Caller-Destination-Number").unwrap_or_default())
}

/// Where a channel is by its `transfer_source`, or else by its dialplan.
pub fn transfer_target(source: &str, destination: &str) -> TransferTarget {
    let other = source.split_once(":uuid_br:").map(|(_, other)| other);
    match other.filter(|id| is_channel(id)) {
        Some(other) => TransferTarget::Channel(other.to_owned()),
        None => TransferTarget::Dialplan(transferred_to(source).unwrap_or(destination).into()),
    }
}

/// The destination in a `transfer_source`: `seconds:uuid:bl_xfer:destination/context/dialplan` (switch_ivr.c).
fn transferred_to(source: &str) -> Option<&str> {
    source.split_once(":bl_xfer:")?.1.rsplitn(3, '/').nth(2)
}

/// Whether a channel is parked or about to be, by its dump. `Channel-State` lags behind the number (switch_channel.c).
pub fn is_parked<'a>(header: impl Fn(&str) -> Option<&'a str>) -> bool {
    const CS_PARK: &str = "6";
    header("Channel-State-Number") == Some(CS_PARK)
}

/// The channels that have taken a channel since fswake ordered its bridge with this leg, in order, by its
/// `transfer_history`.
pub fn channels_since(history: &str, leg: &str) -> Vec<String> {
    let all = history.strip_prefix("ARRAY::").unwrap_or(history).split("|:");
    let to = |source: &str| match transfer_target(source, "") {
        TransferTarget::Channel(other) => Some(other),
        TransferTarget::Dialplan(_) | TransferTarget::Park => None,
    };
    let since = all.map(to).skip_while(|other| other.as_deref() != Some(leg));
    let mut others: Vec<String> = Vec::new();
    for other in since.flatten().filter(|other| other != leg) {
        if !others.contains(&other) {
            others.push(other);
        }
    }
    others
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As FreeSWITCH 1.10.12 and 1.11.2 write it: a single transfer has no `ARRAY::`.
    #[test]
    fn who_has_taken_a_channel_since_its_bridge_was_ordered_is_in_its_history() {
        let one = "1795705321:6a:uuid_br:leg-1";
        assert_eq!(channels_since(one, "leg-1"), Vec::<String>::new());
        let all = format!(
            "ARRAY::17:6b:uuid_br:old|:{one}|:17:6c:uuid_br:x-1|:17:6d:bl_xfer:5000/XML/default|:17:6e:uuid_br:x-2"
        );
        assert_eq!(
            channels_since(&format!("{all}|:17:6f:uuid_br:x-1"), "leg-1"),
            ["x-1", "x-2"]
        );
        for nothing in ["", "_undef_", "-ERR No such channel!", "17:6b:uuid_br:old"] {
            assert_eq!(channels_since(nothing, "leg-1"), Vec::<String>::new(), "{nothing}");
        }
    }
}
