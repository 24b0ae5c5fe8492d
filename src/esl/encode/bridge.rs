//! Commands from a phone's answer to the bridge.

use std::fmt::Write as _;

use super::caller;
use super::codec::{codec_list, is_video, name_of};
use super::word::{Word, is_made_of};
use crate::types::LegId;

/// Before its answer the held channel gets the leg's codec, if the caller has offered it, so that nothing is
/// transcoded. Its video codecs stay.
pub fn prepare_answer(held: &str, codec: Option<&str>, offered: Option<&str>) -> Option<String> {
    let is_offered = |codec: &&str| {
        offered.is_none_or(|all| {
            let mut names = all.split(',').map(name_of);
            names.any(|name| name.eq_ignore_ascii_case(codec))
        })
    };
    let codec = codec.and_then(Word::new).map(Word::as_str).filter(is_offered)?;
    let mut command = format!("uuid_setvar {held} absolute_codec_string {codec}");
    for video in offered.unwrap_or_default().split(',').filter(|c| is_video(c)) {
        if let Some(name) = Word::new(name_of(video)) {
            let _ = write!(command, ",{name}");
        }
    }
    Some(command)
}

/// The prefix of the last of [`name_callee`]'s arguments.
pub const LAST_OF_CALLEE: &str = "callee_id_number=";

/// Arguments of `set_profile_var` by which an answered leg keeps its phone as the callee.
///
/// When an `originate` ends in an application, FreeSWITCH swaps the leg's caller and callee
/// (`switch_channel_flip_cid`), and `uuid_bridge` would show callers their own number. With the callee in both places,
/// the moment of the swap does not matter. `uuid_bridge` then sets the leg's caller again.
pub fn name_callee(name: &str, number: &str) -> [String; 4] {
    let (name, number) = (caller::name(name), caller::number(number));
    [
        format!("caller_id_name={name}"),
        format!("caller_id_number={number}"),
        format!("callee_id_name={name}"),
        format!("{LAST_OF_CALLEE}{number}"),
    ]
}

/// Sets whether the held channel goes on in the dialplan when the connection ends: not once its bridge is announced,
/// because then the call no longer depends on the connection.
pub fn resumes(held: &str, resumes: bool) -> String {
    format!("uuid_setvar {held} socket_resume {resumes}")
}

/// Applications that hold a channel with `async` inside a `socket` without. If fswake dies in between, FreeSWITCH must
/// resume the dialplan, and afterwards it must not. `None` if the argument of that `socket` does not fit.
pub fn hold_with_async(argument: &str) -> Option<String> {
    let resumes = |resumes: bool| format!("set:socket_resume={resumes}");
    is_made_of(argument, 512, b" .:|-_/").then(|| {
        let (before, after) = (resumes(true), resumes(false));
        format!("'{before},socket:{argument} async,{after}' inline")
    })
}

/// Restores the codecs that the held channel's dialplan had set, after [`prepare_answer`].
pub fn own_codecs(held: &str, codecs: Option<&str>) -> String {
    format!(
        "uuid_setvar {held} absolute_codec_string {}",
        codec_list(codecs.unwrap_or_default())
    )
}

/// The variables by which FreeSWITCH finds a channel's partner, all cleared.
const PARTNER: &str = "signal_bond=;originate_signal_bond=";

/// Once the held channel is answered, the leg that was made last must not be its partner any more ([`bridge`]).
pub fn forget_leg(held: &str) -> String {
    format!("uuid_setvar {held} originate_signal_bond")
}

/// The order to bridge. FreeSWITCH follows it only if nobody has moved the caller since `moved_by`. Asking first would
/// leave a gap of one reply, and `uuid_bridge` takes a channel from anybody. If that source does not fit into the
/// question, there is no question.
///
/// `intercept` hangs up on a channel's partner, and FreeSWITCH then hangs up on the channel that was to be bridged with
/// it (`uuid_bridge_on_soft_execute`). So the same command clears the A leg's partner. The bridge sets it again.
pub fn bridge(a_leg: &str, leg: LegId, caller: &str, moved_by: Option<&str>) -> String {
    let leg = leg.channel();
    let other = match moved_by.filter(|source| is_made_of(source, 512, b" :/_.,+*#@=<>-")) {
        Some(source) => format!("${{cond('${{uuid_getvar({caller} transfer_source)}}' == '{source}' ?{leg}:-)}}"),
        None => leg.to_string(),
    };
    let is_ordered = format!("${{regex(${{uuid_bridge({a_leg} {other})}}|OK)}}");
    format!("expand uuid_setvar_multi ${{cond('{is_ordered}' == 'true' ?{a_leg} {PARTNER}:-)}}")
}

/// The same for a FreeSWITCH that runs no command while it reads another (`api-expansion`), in two commands and without
/// a question.
pub fn plain_bridge(a_leg: &str, leg: LegId) -> [String; 2] {
    [
        format!("uuid_bridge {a_leg} {}", leg.channel()),
        format!("uuid_setvar_multi {a_leg} {PARTNER}"),
    ]
}

/// Reads a channel's partner, and the command that makes the leg its partner.
pub fn partner(a_leg: &str, leg: LegId) -> [String; 2] {
    [
        format!("uuid_getvar {a_leg} signal_bond"),
        format!("uuid_setvar {a_leg} signal_bond {}", leg.channel()),
    ]
}

/// Sets the A leg's variables once the bridge stands: what `bridge` leaves there, and what the dialplan finds after the
/// call. A `bridge` without anybody to dial does nothing.
pub fn bridged(a_leg: &str, codecs: Option<&str>, legs: &[LegId], user: &str) -> String {
    let mut command = format!(
        "uuid_setvar_multi {a_leg} fswake_bridge=;originate_signal_bond=;originate_disposition=SUCCESS;DIALSTATUS=SUCCESS"
    );
    if let Some(own) = codecs {
        let _ = write!(command, ";absolute_codec_string={}", codec_list(own));
    }
    command.push_str(";originated_legs=ARRAY::");
    for (n, leg) in legs.iter().enumerate() {
        let between = if n == 0 { "" } else { "|:" };
        let number = Word::new(user).map_or("", Word::as_str);
        let _ = write!(command, r"{between}{}\;Outbound Call\;{number}", leg.channel());
    }
    command
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::types::CallId;

    #[test]
    fn bridge_is_ordered_on_condition_that_nobody_has_moved_the_caller() {
        let (call, n) = (CallId(Uuid::nil()), 0);
        let leg = LegId { call, n };
        let id = leg.channel();
        let order = |other: &str| {
            format!(
                "expand uuid_setvar_multi ${{cond('${{regex(${{uuid_bridge(a {other})}}|OK)}}' == 'true' ?a signal_bond=;originate_signal_bond=:-)}}"
            )
        };
        let asked = format!("${{cond('${{uuid_getvar(c transfer_source)}}' == '_undef_' ?{id}:-)}}");
        assert_eq!(bridge("a", leg, "c", Some("_undef_")), order(&asked));
        assert!(bridge("a", leg, "c", Some("17:x:bl_xfer:*8/XML/site")).contains("'17:x:bl_xfer:*8/XML/site'"));
        for source in [
            None,
            Some("1:x:bl_xfer:set:a='b'/inline/x"),
            Some("${system x}"),
            Some(""),
        ] {
            assert_eq!(bridge("a", leg, "c", source), order(&id.to_string()), "{source:?}");
        }
    }

    #[test]
    fn video_of_the_caller_survives_the_answer() {
        let offered = "CORE_PCM_MODULE.PCMU@8000h@20i@64000b,CORE_VPX_MODULE.VP8,\
                       mod_h26x.H264~profile-level-id=42801F;packetization-mode=1";
        assert_eq!(
            prepare_answer("u", Some("PCMU"), Some(offered)).as_deref(),
            Some("uuid_setvar u absolute_codec_string PCMU,VP8,H264")
        );
        assert_eq!(prepare_answer("u", Some("opus"), Some(offered)), None);
    }

    #[test]
    fn bridged_call_has_what_bridge_leaves_and_nothing_of_the_hold() {
        let call = CallId(Uuid::nil());
        assert!(resumes("u", false).ends_with("socket_resume false"));
        let leg = |n| LegId { call, n };
        let bridged = bridged("u", Some(""), &[leg(0), leg(1)], "1001");
        assert!(bridged.contains(" fswake_bridge=;"), "{bridged}");
        assert!(
            bridged.contains(";absolute_codec_string=;"),
            "nothing is left behind: {bridged}"
        );
        let one = |n| format!(r"{}\;Outbound Call\;1001", leg(n).channel());
        assert!(
            bridged.ends_with(&format!("ARRAY::{}|:{}", one(0), one(1))),
            "{bridged}"
        );
    }
}
