//! Legs between FreeSWITCHes.

use std::time::Duration;

use uuid::Uuid;

use super::{Argument, Word, is_plain};
use crate::esl::leg_token::{HEADER, LegClaims, TOLD};
use crate::types::Target;

/// For a leg that came from another FreeSWITCH: what the dialplan's bridge dials, and for how long. The phone gets the
/// Call-ID that its push had, and not the header. Its leg has the domain and the presence that it would have at the
/// call's FreeSWITCH ([`crate::esl::originate`]), and the variables that the header tells. What the phone transfers
/// goes to the caller's context, not to the one that takes other FreeSWITCHes' INVITEs. The call gets the phone's
/// codec, so that nothing is transcoded here.
pub fn pass_on(channel: Uuid, target: &Target, claims: &LegClaims) -> Vec<String> {
    let mut of_the_leg = Vec::new();
    if let Some(id) = Word::new(&claims.call_id) {
        of_the_leg.push(format!("sip_invite_call_id={id}"));
    }
    if let Some((user, domain)) = Word::new(&claims.user).zip(Word::new(&claims.domain)) {
        of_the_leg.push(format!("sip_invite_domain={domain},presence_id={user}@{domain}"));
    }
    let (variables, target) = (of_the_leg.join(","), target.as_str());
    let mut set = vec![
        ("fswake_bridge".to_owned(), format!("[{variables}]{target}")),
        ("call_timeout".to_owned(), claims.ring.to_string()),
        (format!("sip_h_{HEADER}"), String::new()),
        ("inherit_codec".to_owned(), "true".to_owned()),
        // Otherwise a later offer with another codec would be refused.
        (
            "execute_on_answer".to_owned(),
            "'unset absolute_codec_string'".to_owned(),
        ),
    ];
    if claims.bypasses_media {
        set.push(("bypass_media".to_owned(), "true".to_owned()));
    }
    if let Some(context) = Argument::new(&claims.context) {
        set.push(("force_transfer_context".to_owned(), context.to_string()));
    }
    // Whether T.38 may pass is for the call's FreeSWITCH to say.
    for name in ["fax_enable_t38", "t38_passthru"] {
        set.push((name.to_owned(), "true".to_owned()));
    }
    // The caller's leg has an Alert-Info only for the phone.
    let mut exports = "alert_info,fax_enable_t38,t38_passthru".to_owned();
    for (name, value) in &claims.variables {
        let is_plain = TOLD.contains(&name.as_str()) && is_plain(value);
        if is_plain {
            let name = format!("nolocal:{name}");
            exports = format!("{exports},{name}");
            set.push((name, value.clone()));
        }
    }
    set.push(("export_vars".to_owned(), exports));
    let command = |(name, value)| format!("uuid_setvar {channel} {name} {value}").trim_end().to_owned();
    set.into_iter().map(command).collect()
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

/// What is dialled for a leg to another FreeSWITCH: its address (a SIP URI without a user), with the user that is
/// called. So the leg's channel and CDR name them, as if the phone were here.
pub fn to_node(profile: &str, address: &str, called: &str) -> String {
    let (scheme, place) = address.split_once(':').unwrap_or(("sip", address));
    let user = Word::new(called).map_or(LEG_USER, Word::as_str);
    format!("sofia/{profile}/{scheme}:{user}@{place}")
}

/// The request URI of that leg's INVITE. The user is the snippet's, so that no other extension takes the INVITE where
/// the snippet is missing.
pub fn at_node(address: &str) -> String {
    let (scheme, place) = address.split_once(':').unwrap_or(("sip", address));
    format!("{scheme}:{LEG_USER}@{place}")
}

/// The user in the INVITE's request URI (fs-conf/dialplan/public/00_fswake_node.xml).
pub const LEG_USER: &str = "fswake-leg";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phone_is_told_what_its_call_has_and_nothing_that_is_not_on_the_list() {
        let claims = LegClaims {
            leg: Uuid::nil(),
            from: "a".into(),
            to: "b".into(),
            user: "1001".into(),
            domain: "example.org".into(),
            binding: [7; 16],
            call_id: "x@y".into(),
            context: "site".into(),
            variables: [
                ("rtp_secure_media", "mandatory:AES_CM_128_HMAC_SHA1_80,AES_CM_256"),
                ("sip_cid_type", "none bad"),
                ("execute_on_answer", "hangup"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
            bypasses_media: true,
            ring: 30,
            until: 0,
        };
        let commands = pass_on(Uuid::nil(), &Target::new("sofia/internal/sip:1@h".to_owned()), &claims);
        let has = |command: &str| commands.contains(&format!("uuid_setvar {} {command}", Uuid::nil()));
        // The Call-ID has a mark that no dial-string takes.
        assert!(has(
            "fswake_bridge [sip_invite_domain=example.org,presence_id=1001@example.org]sofia/internal/sip:1@h"
        ));
        assert!(has("force_transfer_context site") && has("bypass_media true"));
        assert!(has(
            "nolocal:rtp_secure_media mandatory:AES_CM_128_HMAC_SHA1_80,AES_CM_256"
        ));
        assert!(has(
            "export_vars alert_info,fax_enable_t38,t38_passthru,nolocal:rtp_secure_media"
        ));
        assert!(
            !commands.iter().any(|c| c.contains("hangup") || c.contains("bad")),
            "{commands:?}"
        );
    }

    #[test]
    fn leg_to_another_freeswitch_goes_to_its_address() {
        let address = "sip:192.0.2.1:5080;transport=tcp";
        let to = to_node("internal", address, "1001");
        assert_eq!(to, "sofia/internal/sip:1001@192.0.2.1:5080;transport=tcp");
        assert_eq!(at_node(address), "sip:fswake-leg@192.0.2.1:5080;transport=tcp");
        assert_eq!(to_node("x", "sips:[::1]", "a b"), "sofia/x/sips:fswake-leg@[::1]");
    }
}
