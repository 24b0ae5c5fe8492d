//! Legs between FreeSWITCHes.

use std::time::Duration;

use uuid::Uuid;

use super::Word;
use crate::esl::leg_token::{HEADER, LegClaims};
use crate::types::Target;

/// For a leg that came from another FreeSWITCH: what the dialplan's bridge dials, and for how long. The phone gets the
/// Call-ID that its push had, and not the header.
pub fn pass_on(channel: Uuid, target: &Target, claims: &LegClaims) -> [String; 3] {
    let call_id = Word::new(&claims.call_id);
    let call_id = call_id
        .map(|id| format!("[sip_invite_call_id={id}]"))
        .unwrap_or_default();
    [
        format!("uuid_setvar {channel} fswake_bridge {call_id}{}", target.as_str()),
        format!("uuid_setvar {channel} call_timeout {}", claims.ring),
        format!("uuid_setvar {channel} sip_h_{HEADER}"),
    ]
}

/// Notes in FreeSWITCH that something was taken on (mod_hash), and has it forgotten after this long.
pub fn take_once(name: impl std::fmt::Display, remembered: Duration) -> [String; 2] {
    [
        format!("hash insert_ifempty/fswake/{name}/taken"),
        format!("sched_api +{} none hash delete/fswake/{name}", remembered.as_secs()),
    ]
}

/// Whether the answer says that another has taken it on.
pub fn is_taken(answer: &str) -> bool {
    answer.contains("already exists")
}

/// Asks whether something was taken on.
pub fn ask_taken(name: impl std::fmt::Display) -> String {
    format!("hash select/fswake/{name}")
}

/// Whether the answer says that nobody has taken it on: FreeSWITCH has no answer then.
pub fn is_free(answer: &str) -> bool {
    matches!(answer.trim(), "" | "-ERR no reply")
}

/// Whether a channel is answered: `ANSWER` then, an error if it is gone.
pub fn ask_disposition(channel: Uuid) -> String {
    format!("uuid_getvar {channel} endpoint_disposition")
}

/// Where the leg to another FreeSWITCH goes: its address (a SIP URI without a user). The user is the snippet's, so that no
/// other extension takes the INVITE where the snippet is missing.
pub fn to_node(profile: &str, address: &str) -> String {
    let (scheme, place) = address.split_once(':').unwrap_or(("sip", address));
    format!("sofia/{profile}/{scheme}:{LEG_USER}@{place}")
}

/// The user in the INVITE's request URI (fs-conf/dialplan/public/00_fswake_node.xml).
pub const LEG_USER: &str = "fswake-leg";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leg_to_another_freeswitch_goes_to_its_address() {
        let to = to_node("internal", "sip:192.0.2.1:5080;transport=tcp");
        assert_eq!(to, "sofia/internal/sip:fswake-leg@192.0.2.1:5080;transport=tcp");
        assert_eq!(to_node("x", "sips:[::1]"), "sofia/x/sips:fswake-leg@[::1]");
    }
}
