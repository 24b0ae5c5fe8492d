//! What FreeSWITCH itself rings next to a held channel: the questions, and how their answers read. Pure.

use serde::Deserialize;

use crate::engine::OtherLeg;
use crate::types::{Aor, Target};

/// Whether FreeSWITCH itself rings phones by this dial-string of the directory, in which fswake has a part too.
pub fn rings_contacts(dial_string: &str) -> bool {
    ["sofia_contact(", "sofia/"]
        .iter()
        .any(|part| dial_string.contains(part))
}

/// The question that tells a user's dial-string; `None` where the AOR does not fit into a command.
pub fn ask_dial_string(aor: &Aor) -> Option<String> {
    let fits = |text: &str| {
        !text.is_empty() && text.len() <= 128 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-_.".contains(&b))
    };
    let (user, domain) = (&*aor.user, &*aor.domain);
    (fits(user) && fits(domain)).then(|| format!("user_data {user}@{domain} param dial-string"))
}

/// The question that tells FreeSWITCH's legs to a contact; `None` where the contact has no place that could be asked for.
pub fn ask_legs(target: &Target) -> Option<String> {
    Some(format!("show channels like {} as json", place(target)?))
}

/// `user@host:port` of a contact: what its leg's channel is named after (measured).
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
struct Shown {
    #[serde(default)]
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    uuid: String,
    name: String,
    #[serde(default)]
    callstate: String,
}

/// How FreeSWITCH's own leg to a contact stands, by its answer. Legs of ours, of whichever call, do not count.
pub fn other_leg(target: &Target, answer: &str) -> OtherLeg {
    let (Some(place), Ok(shown)) = (place(target), serde_json::from_str::<Shown>(answer)) else {
        return OtherLeg::None;
    };
    // FreeSWITCH's own UUIDs are of version 4, those of our legs of version 5.
    let is_ours = |uuid: &str| uuid::Uuid::parse_str(uuid).is_ok_and(|id| id.get_version_num() == 5);
    let goes_there = |name: &str| name.strip_suffix(place).is_some_and(|before| before.ends_with('/'));
    let mut legs = shown
        .rows
        .iter()
        .filter(|row| goes_there(&row.name) && !is_ours(&row.uuid));
    match legs.next() {
        None => OtherLeg::None,
        Some(first) if [first].into_iter().chain(legs).all(|row| row.callstate == "DOWN") => OtherLeg::Dialed,
        Some(_) => OtherLeg::Rings,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directorys_dial_string_tells_who_rings() {
        let contacts = "${sofia_contact(*/${dialed_user}@${dialed_domain})}";
        let wake = "loopback/${dialed_user}@${dialed_domain}/fswake";
        assert!(rings_contacts(&format!(
            "{contacts}:_:[apn_wait_any_register=true]{wake}"
        )));
        assert!(!rings_contacts(wake));
        assert!(!rings_contacts(&format!("{wake},${{verto_contact(x)}}")));
        assert!(!rings_contacts("-ERR no reply"));
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
        let row = |uuid: &str, name: &str, state: &str| {
            format!(r#"{{"uuid":"{uuid}","direction":"outbound","name":"{name}","callstate":"{state}"}}"#)
        };
        let shown = |rows: &[String]| {
            let answer = format!(r#"{{"row_count":{},"rows":[{}]}}"#, rows.len(), rows.join(","));
            other_leg(&target, &answer)
        };
        let theirs = "964d32db-27de-4439-98b4-8b0babd8d53f";
        let ours = uuid::Uuid::new_v5(&uuid::Uuid::nil(), b"leg").to_string();
        let there = "sofia/internal/1001@127.0.0.1:42475";
        assert_eq!(shown(&[row(theirs, there, "DOWN")]), OtherLeg::Dialed);
        assert_eq!(
            shown(&[row(theirs, there, "DOWN"), row(theirs, there, "RINGING")]),
            OtherLeg::Rings
        );
        assert_eq!(shown(&[row(&ours, there, "RINGING")]), OtherLeg::None);
        assert_eq!(
            shown(&[row(theirs, "sofia/internal/51001@127.0.0.1:42475", "RINGING")]),
            OtherLeg::None
        );
        assert_eq!(other_leg(&target, r#"{"row_count": 0}"#), OtherLeg::None);
        assert_eq!(other_leg(&target, "-ERR\n"), OtherLeg::None);
    }
}
