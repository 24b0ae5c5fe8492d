//! Through two FreeSWITCHes. docs/CLUSTER.md gives the reasons too.

use super::{BOTH, Departure, departs, hops, may_depart};

const HOPS: &str = "Each FreeSWITCH takes one from `Max-Forwards`";
const CONTACT: &str = "The call's FreeSWITCH sends to the other one, and never sees the phone's Contact";
const SECOND_CALL: &str = "The phone's second call comes back to the call's FreeSWITCH as a call of its own, and FreeSWITCH joins the two calls where the \
                           phone is registered";
const REFER: &str = "FreeSWITCH handles a phone's REFER where it arrives";
const STALE: &str = "Whether an INVITE to an address where nobody is any more has failed when the phone registers depends on the moment";

/// Fails when a row on the list no longer differs, so that it leaves the list.
#[rustfmt::skip]
pub const DEPARTURES: &[Departure] = &[
    hops("headers_of_the_caller", BOTH, "Max-Forwards", HOPS),
    departs("variables_of_the_caller", BOTH, "bridge_channel", &["sofia/internal/user1@SWITCH"], CONTACT),
    hops("cdrs_of_a_phone_that_answers_with_its_token", BOTH, "CDRs", CONTACT),
    hops("cdrs_of_a_missed_phone_that_rings_with_its_token", BOTH, "CDRs", CONTACT),
    hops("attended_by_callee", BOTH, "channels", SECOND_CALL),
    hops("attended_by_callee", BOTH, "show calls", SECOND_CALL),
    hops("attended_by_callee_after_three_seconds", BOTH, "channels", SECOND_CALL),
    hops("attended_by_callee_after_three_seconds", BOTH, "show calls", SECOND_CALL),
    hops("attended_by_callee_without_rtp", BOTH, "channels", SECOND_CALL),
    hops("attended_by_callee_while_the_desk_rings", BOTH, "channels", SECOND_CALL),
    hops("attended_by_callee_while_the_desk_rings", BOTH, "show calls", SECOND_CALL),
    hops("baresip_transfers_its_caller_attended", BOTH, "show calls", SECOND_CALL),
    departs("baresip_encrypts_and_transfers_attended", BOTH, "show calls", &["2: sofia: user0 to user1 (user1); user0 to user1 (user5) + sofia: user0 to user5 (user5); user1 to user5 (user5)"], SECOND_CALL),
    hops("cdrs_of_a_call_that_the_callee_transfers", BOTH, "CDRs", REFER),
    may_depart("tcp_phone_with_a_stale_place", "CDRs", &["3: A: caller=user0 dest=user1 hangup_cause=NORMAL_CLEARING + B: caller=user0 dest=user1 hangup_cause=NORMAL_CLEARING + B: caller=user0 dest=user1 hangup_cause=NORMAL_TEMPORARY_FAILURE"], STALE),
];
