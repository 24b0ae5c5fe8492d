//! Through one FreeSWITCH. docs/ARCHITECTURE.md gives the reasons too.

use super::{BOTH, DIAL_STRING, DIALPLAN, Departure, departs, may_depart};

const TAKEN: &str = "If somebody takes a ringing call, the call is theirs: the phones get \"Call completed elsewhere\" and show no missed \
                     call. With a bridge they show that the caller gave up.";
const UNSAFE: &str =
    "A value that cannot be written safely into a FreeSWITCH command is left out, and named in the log.";
const SOCKET: &str = "`last_app`, `last_arg` and `current_application` name what ran on the channel: `socket` on the \
                      caller's, and on a leg the application that set its user's variables and names.";
const JOINED: &str = "`last_arg` names what ran on the channel, and `originated_legs` is text instead of a list: no \
                      event socket command makes a list of one.";
const OF_RINGING_USER: &str = "A leg has its user's variables, including `accountcode`, as soon as it rings, so its \
                               CDR has them even if nobody answers. The endpoint `user/` gives them to answered legs \
                               only.";
const OTHER_LEG: &str = "`uuid_bridge` copies each side's profile before it writes the other's number into it. So the \
                         caller's events name the phone as `Other-Leg-Caller-ID-Number` too, and with dialplan routing \
                         the phone's events have no `Other-Leg-Callee-ID-Number`.";
const LOOPBACK: &str =
    "While a phone rings, the dial-string's loopback has two channels of its own. When a phone answers they are gone.";
const LOOPBACK_STAYS: &str = "In wake-only mode the dial-string's loopback stays until mod_loopback takes it out, some \
                              two seconds after the answer.";
const LOOPBACK_CAUSE: &str =
    "The loopback is a leg, and its end sets `bridge_hangup_cause`. A bridge to nobody has no leg.";
const CALLEE: &str = "With dialplan routing the caller is shown the phone's name, not \"Outbound Call\", FreeSWITCH's name for every leg of a bridge.";
const NOT_TRANSCODED: &str = "If the caller has the phone's codec, it is used, so that nothing is transcoded.";
const ANY_CODEC: &str = "A phone that has none of the caller's codecs is rung once more, with the codecs of its \
                         profile after the caller's (audio only, if the caller has no video). FreeSWITCH may then \
                         transcode.";
const UNREACHABLE: &str =
    "FreeSWITCH itself gives 503 for a dead connection, so such a phone is pushed again, and rung when it registers.";
const ASLEEP: &str =
    "A phone with a push token that may be asleep over UDP is not rung at its old address, so there is no leg to it.";
const STALE: &str = "A phone that may be awake is rung at its old address while its push is under way. If nobody is there, that leg is over before \
     the phone registers. A bridge rings both addresses at once, and one of them loses.";
const STATUS: &str = "With several phones, the SIP status is that of the phone that gave the cause. A bridge combines \
                      the first phone's cause with the last one's status.";
const PROXY_MEDIA: &str = "`proxy_media` is ignored: FreeSWITCH reads it only if the caller's own channel dials, and \
                           no event socket command sets its flag. Media passes through FreeSWITCH as without it.";
const BYPASS_VIDEO: &str = "If the caller offers video, `bypass_media` is ignored: FreeSWITCH 1.11.2 crashed when the \
                            event socket took it out of such a call. Media passes through FreeSWITCH as without it.";
const BYPASS_LATER: &str = "`bypass_media` begins once the call is up, by a re-INVITE to both sides. A bridge's INVITE \
                            goes past FreeSWITCH from the beginning.";
const EARLY_OF_SEVERAL: &str = "Early media reaches the caller only from a phone that rings alone. A bridge to several phones passes on the early media \
                                of the first that has some.";
const BRIDGE_EARLY_MEDIA: &str = "With dial-string routing `bridge_early_media` does not reach the caller's side of the loopback: the caller hears early media only \
                                  without it.";
const BY_PUSH: &str = "With `wake.alert = \"push\"` the caller hears ringing when the push service has taken the push.";

/// Fails when a row on the list no longer differs, so that it leaves the list.
#[rustfmt::skip]
pub const DEPARTURES: &[Departure] = &[
    departs("caller_is_transferred_while_it_rings", BOTH, "callee", &["cause 200"], TAKEN),
    departs("caller_is_parked_while_it_rings", BOTH, "callee", &["cause 200"], TAKEN),
    departs("caller_is_valet_parked_while_it_rings", BOTH, "callee", &["cause 200"], TAKEN),
    departs("caller_is_transferred_to_his_end_while_it_rings", BOTH, "callee", &["cause 200"], TAKEN),
    departs("both_are_transferred_while_it_rings", BOTH, "callee", &["cause 200"], TAKEN),
    departs("one_of_two_ringing_legs_is_picked_up", BOTH, "callee", &["cause 200"], TAKEN),
    may_depart("one_of_two_ringing_legs_is_intercepted", "callee", &["cause 200"], TAKEN),
    may_depart("one_of_two_ringing_legs_is_intercepted", "other", &["cause 200"], TAKEN),
    departs("another_channel_is_bridged_with_the_caller_while_it_rings", BOTH, "callee", &["cause 200"], TAKEN),
    departs("caller_goes_to_a_conference_while_it_rings", BOTH, "callee", &["cause 200"], TAKEN),
    departs("other_side_is_transferred_while_it_rings", BOTH, "callee", &["cause 200"], TAKEN),
    may_depart("caller_is_transferred_in_the_moment_of_the_answer", "callee", &["cause 200", "cause 16"], TAKEN),
    may_depart("ringing_leg_is_intercepted", "callee", &["cause 200"], TAKEN),
    departs("hostile_header_value", BOTH, "X-Own", &["none"], UNSAFE),
    departs("caller_is_parked_while_it_rings", DIALPLAN, "application", &["socket"], SOCKET),
    departs("park_after_bridge", DIALPLAN, "application", &["socket"], SOCKET),
    departs("variables_of_the_caller", DIALPLAN, "current_application", &["socket"], SOCKET),
    departs("cdrs_of_an_answered_call", DIALPLAN, "applications", &["2: A: last_app=socket + B: last_app=set_profile_var"], SOCKET),
    departs("cdrs_of_an_answered_call", DIAL_STRING, "applications", &["2: A: last_app=bridge + B: last_app=set_profile_var"], SOCKET),
    departs("cdrs_of_a_busy_callee", DIALPLAN, "applications", &["2: A: last_app=bridge + B: last_app=set_profile_var"], SOCKET),
    departs("cdrs_of_a_busy_callee", DIAL_STRING, "applications", &["2: A: last_app=bridge + B: last_app=set_profile_var"], SOCKET),
    departs("cdrs_of_a_cancelled_call", DIALPLAN, "applications", &["2: A: last_app=socket + B: last_app=set_profile_var"], SOCKET),
    departs("cdrs_of_a_cancelled_call", DIAL_STRING, "applications", &["2: A: last_app=bridge + B: last_app=set_profile_var"], SOCKET),
    departs("cdrs_are_joined", BOTH, "legs", &["2: A: originated_legs=UUID + B: originated_legs=-"], JOINED),
    departs("cdrs_are_joined", DIALPLAN, "last_arg", &["2: A: last_arg=PHONE async full + B: last_arg=caller_id_number=user0", "2: A: last_arg=PHONE full + B: last_arg=caller_id_number=user0"], SOCKET),
    departs("cdrs_are_joined", DIAL_STRING, "last_arg", &["2: A: last_arg=user/user1@DOMAIN + B: last_arg=caller_id_number=user0"], SOCKET),
    departs("xml_cdrs_of_a_cancelled_call", BOTH, "CDRs", &["2: A: caller=user0 dest=user1 direction=inbound hangup_cause=ORIGINATOR_CANCEL accountcode=user0 + B: caller=user0 dest=user1 direction=outbound hangup_cause=ORIGINATOR_CANCEL accountcode=user1"], OF_RINGING_USER),
    departs("csv_cdrs_of_a_cancelled_call", BOTH, "CDRs", &["2: user0 user0 user1 + user1 user0 user1"], OF_RINGING_USER),
    departs("two_phones_sleeper_answers", BOTH, "CSV", &["3: user0 user0 user1 + user1 user0 user1 + user1 user0 user1"], OF_RINGING_USER),
    departs("other_leg_while_it_is_up", BOTH, "caller's", &["inbound originatee outbound user1 user1 user1 site"], OTHER_LEG),
    departs("other_leg_while_it_is_up", DIALPLAN, "callee's", &["outbound originator inbound user0 - user1 site"], OTHER_LEG),
    departs("callee_as_the_caller_shows_it", DIALPLAN, "200", &["\"user1\" <sip:user1@DOMAIN>;party=calling;privacy=off;screen=no"], CALLEE),
    departs("callee_as_the_caller_shows_it", DIALPLAN, "caller shows", &["\"user1\" sip:user1@DOMAIN"], CALLEE),
    departs("callee_that_is_confirmed_first_as_the_caller_shows_it", DIALPLAN, "caller shows", &["\"user1\" sip:user1@DOMAIN"], CALLEE),
    departs("show_calls_while_it_rings", DIAL_STRING, "show calls", &["4: sofia: user0 to user1 ();  to  () + loopback: user0 to user1@DOMAIN (user1);  to  () + loopback: user0 to user1@DOMAIN (user1);  to  () + sofia: user0 to user1 (user1);  to  ()"], LOOPBACK),
    departs("wake_only_answered", DIAL_STRING, "show calls", &["2: sofia: user0 to user1 (user1); user0 to user1@DOMAIN (user1) + loopback: user0 to user1@DOMAIN (user1); user0 to user1 (user1)"], LOOPBACK_STAYS),
    departs("unregistered_goes_on", DIAL_STRING, "knows", &["USER_NOT_REGISTERED USER_NOT_REGISTERED USER_NOT_REGISTERED USER_NOT_REGISTERED"], LOOPBACK_CAUSE),
    departs("two_phones_early_media", BOTH, "early", &["nothing"], EARLY_OF_SEVERAL),
    departs("early_media_bridged", DIAL_STRING, "early", &["nothing"], BRIDGE_EARLY_MEDIA),
    departs("busy_486_alert_by_push", BOTH, "caller", &["180, 486"], BY_PUSH),
    departs("rings_asleep_alert_by_push", BOTH, "18x", &["before the phone"], BY_PUSH),
    departs("error_503", BOTH, "INVITEs", &["3"], UNREACHABLE),
    departs("answered_with_a_stale_place", BOTH, "CDRs", &["2: A: caller=user0 dest=user1 hangup_cause=NORMAL_CLEARING + B: caller=user0 dest=user1 hangup_cause=NORMAL_CLEARING"], ASLEEP),
    departs("tcp_phone_with_a_stale_place", BOTH, "CDRs", &["3: A: caller=user0 dest=user1 hangup_cause=NORMAL_CLEARING + B: caller=user0 dest=user1 hangup_cause=NORMAL_CLEARING + B: caller=user0 dest=user1 hangup_cause=NORMAL_TEMPORARY_FAILURE"], STALE),
    departs("error_503", BOTH, "CDRs", &["4: A: hangup_cause=NORMAL_TEMPORARY_FAILURE + B: hangup_cause=NORMAL_TEMPORARY_FAILURE + B: hangup_cause=NORMAL_TEMPORARY_FAILURE + B: hangup_cause=NORMAL_TEMPORARY_FAILURE"], UNREACHABLE),
    departs("error_503_goes_on", BOTH, "INVITEs", &["3"], UNREACHABLE),
    departs("error_503_goes_on", BOTH, "CDRs", &["4: A: hangup_cause=NUMBER_CHANGED + B: hangup_cause=NORMAL_TEMPORARY_FAILURE + B: hangup_cause=NORMAL_TEMPORARY_FAILURE + B: hangup_cause=NORMAL_TEMPORARY_FAILURE"], UNREACHABLE),
    may_depart("two_phones_busy_and_declined", "caller", &["486"], STATUS),
    departs("codecs_callee_prefers_another", DIALPLAN, "caller gets", &["audio RTP/AVP PCMA"], NOT_TRANSCODED),
    departs("codecs_callee_prefers_another", DIALPLAN, "codecs", &["caller PCMA, callee PCMA"], NOT_TRANSCODED),
    departs("codecs_callee_has_one", DIALPLAN, "caller gets", &["audio RTP/AVP PCMA"], NOT_TRANSCODED),
    departs("codecs_callee_has_one", DIALPLAN, "codecs", &["caller PCMA, callee PCMA"], NOT_TRANSCODED),
    departs("codecs_none_in_common", BOTH, "INVITEs", &["2"], ANY_CODEC),
    departs("codecs_none_in_common", BOTH, "callee is offered", &["audio RTP/AVP PCMU,PCMA,G722"], ANY_CODEC),
    departs("proxy_media", BOTH, "caller hears", &["voice of 1"], PROXY_MEDIA),
    departs("video_flows_proxy_media", BOTH, "caller hears", &["voice of 1"], PROXY_MEDIA),
    // Depends on whether FreeSWITCH has H.264.
    may_depart("video_flows_proxy_media", "callee is offered", &["audio RTP/AVP PCMU,PCMA; video RTP/AVP H264 (profile-level-id=42801F;packetization-mode=1)", "audio RTP/AVP PCMU,PCMA; video RTP/AVP VP8"], PROXY_MEDIA),
    may_depart("video_flows_proxy_media", "caller gets", &["audio RTP/AVP PCMU; video RTP/AVP VP8"], PROXY_MEDIA),
    departs("video_flows_bypass_media", BOTH, "audio goes", &["through FreeSWITCH"], BYPASS_VIDEO),
    departs("video_flows_bypass_media_after_bridge", BOTH, "audio goes", &["through FreeSWITCH"], BYPASS_VIDEO),
    may_depart("video_flows_bypass_media_after_bridge", "caller sees", &["video of 1"], BYPASS_VIDEO),
    may_depart("video_flows_bypass_media_after_bridge", "callee sees", &["video of 0"], BYPASS_VIDEO),
    departs("t38_by_callee_bypass_media", BOTH, "the other is offered", &["audio RTP/AVP PCMU, then image udptl"], BYPASS_LATER),
    departs("t38_by_callee_bypass_media", BOTH, "the other is offered then", &["audio RTP/AVP PCMU, then image udptl, then audio RTP/AVP PCMU,PCMA"], BYPASS_LATER),
    departs("t38_by_callee_bypass_media", BOTH, "it is offered", &["audio RTP/AVP PCMU"], BYPASS_LATER),
];
