//! What FreeSWITCH itself rings for the same call as a held channel: the questions, and how to read the answers. Pure.

use serde::Deserialize;
use uuid::Uuid;

use super::encode;
use crate::engine::{OtherLegState, Ringing};
use crate::types::{Aor, Target};

/// Who rings the plain contacts, by the user's dial-string in the directory. `None`: it does not show. If no part of a
/// dial-string leads to fswake, the held channel did not come from it, whatever else it rings.
pub fn who_rings(dial_string: &str) -> Option<Ringing> {
    let has = |part: &str| dial_string.contains(part);
    match (has("loopback/"), has("sofia_contact(") || has("sofia/")) {
        (false, _) => None,
        (true, true) => Some(Ringing::FreeSwitch),
        (true, false) => Some(Ringing::Ours),
    }
}

/// The question for a user's dial-string; `None` if the AOR does not fit into a command.
pub fn ask_dial_string(aor: &Aor) -> Option<String> {
    encode::user(aor).map(encode::ask_dial_string)
}

/// The question that tells FreeSWITCH's legs to a contact; `None` where the contact has no place that could be asked
/// for.
pub fn ask_legs(target: &Target) -> Option<String> {
    Some(format!("show channels like {} as json", place(target)?))
}

/// `user@host:port` of a contact, which is in the name of its leg's channel (measured).
fn place(target: &Target) -> Option<&str> {
    let uri = target.as_str().splitn(3, '/').nth(2)?;
    let uri = uri
        .strip_prefix("sips:")
        .or_else(|| uri.strip_prefix("sip:"))
        .unwrap_or(uri);
    let place = uri.split([';', '?']).next()?;
    (!place.is_empty() && !place.contains(char::is_whitespace)).then_some(place)
}

#[derive(Deserialize)]
struct ChannelList {
    #[serde(default)]
    rows: Vec<ChannelRow>,
}

#[derive(Deserialize)]
struct ChannelRow {
    uuid: String,
    name: String,
}

/// FreeSWITCH's own legs to a contact, from its answer, without fswake's legs of any call.
pub fn legs(target: &Target, answer: &str) -> Vec<Uuid> {
    let (Some(place), Ok(shown)) = (place(target), serde_json::from_str::<ChannelList>(answer)) else {
        return Vec::new();
    };
    let goes_there = |row: &ChannelRow| row.name.strip_suffix(place).is_some_and(|before| before.ends_with('/'));
    // FreeSWITCH's own UUIDs are of version 4, fswake's of version 5.
    let theirs = |row: ChannelRow| Uuid::parse_str(&row.uuid).ok().filter(|id| id.get_version_num() != 5);
    shown.rows.into_iter().filter(goes_there).filter_map(theirs).collect()
}

/// The question for a leg's state. The list of channels may show an old state, because several threads write it (seen
/// under load).
pub fn ask_leg(leg: Uuid) -> String {
    format!("uuid_dump {leg}")
}

/// A leg's state, from FreeSWITCH's answer.
pub fn leg(answer: &str) -> OtherLegState {
    let state = answer
        .lines()
        .find_map(|line| line.strip_prefix("Channel-Call-State: "));
    match state.map(str::trim) {
        None | Some("HANGUP") => OtherLegState::None,
        Some("DOWN" | "DIALING") => OtherLegState::Dialed,
        Some(_) => OtherLegState::Rings,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directorys_dial_string_tells_who_rings() {
        let contacts = "${sofia_contact(*/${dialed_user}@${dialed_domain})}";
        let wake = "loopback/${dialed_user}@${dialed_domain}/fswake";
        let beside = format!("{contacts}:_:[apn_wait_any_register=true]{wake}");
        assert_eq!(who_rings(&beside), Some(Ringing::FreeSwitch));
        assert_eq!(who_rings(wake), Some(Ringing::Ours));
        assert_eq!(who_rings(&format!("{wake},${{verto_contact(x)}}")), Some(Ringing::Ours));
    }

    #[test]
    fn dial_string_that_does_not_lead_to_us_tells_nothing() {
        let shipped =
            "{presence_id=${dialed_user}@${dialed_domain}}${sofia_contact(*/${dialed_user}@${dialed_domain})}";
        for other in [shipped, "", "-ERR no reply", "error/user_busy"] {
            assert_eq!(who_rings(other), None, "{other}");
        }
    }

    #[test]
    fn the_question_has_room_for_nothing_but_an_aor() {
        let ask = |user: &str| ask_dial_string(&Aor::new(user, "fs.test"));
        assert_eq!(ask("1001").as_deref(), Some("user_data 1001@fs.test param dial-string"));
        for bad in ["", "1 2", "1\n2", "a}b", "a|b"] {
            assert_eq!(ask(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn legs_are_found_by_the_contacts_place() {
        let target = Target::new("sofia/internal/sip:1001@127.0.0.1:42475;transport=tcp;ob");
        let asked = ask_legs(&target);
        assert_eq!(
            asked.as_deref(),
            Some("show channels like 1001@127.0.0.1:42475 as json")
        );
        let found = |uuid: &str, name: &str| {
            let row = format!(r#"{{"uuid":"{uuid}","direction":"outbound","name":"{name}","callstate":"DOWN"}}"#);
            legs(&target, &format!(r#"{{"row_count":1,"rows":[{row}]}}"#)).len()
        };
        let theirs = "964d32db-27de-4439-98b4-8b0babd8d53f";
        let ours = Uuid::new_v5(&Uuid::nil(), b"leg").to_string();
        let there = "sofia/internal/1001@127.0.0.1:42475";
        assert_eq!(found(theirs, there), 1);
        assert_eq!(found(&ours, there), 0);
        assert_eq!(found("x y", there), 0);
        assert_eq!(found(theirs, "sofia/internal/51001@127.0.0.1:42475"), 0);
        assert!(legs(&target, r#"{"row_count": 0}"#).is_empty());
        assert!(legs(&target, "-ERR\n").is_empty());
    }

    #[test]
    fn the_leg_itself_tells_how_it_stands() {
        let dump = |state: &str| {
            leg(&format!(
                "Channel-State: CS_CONSUME_MEDIA\nChannel-Call-State: {state}\nUnique-ID: u\n"
            ))
        };
        assert_eq!(dump("DOWN"), OtherLegState::Dialed);
        for state in ["RINGING", "EARLY", "ACTIVE"] {
            assert_eq!(dump(state), OtherLegState::Rings, "{state}");
        }
        assert_eq!(dump("HANGUP"), OtherLegState::None);
        assert_eq!(leg("-ERR No such channel!\n"), OtherLegState::None);
    }
}
