//! Roles: CDRs, `show calls`, lamps.

use super::words::*;

/// What billing goes by.
const BILLED: &[&str] = &[
    "caller",
    "dest",
    "hangup_cause",
    "originate_disposition",
    "DIALSTATUS",
    "last_app",
];
const JOINED: &[&str] = &[
    "bridge_uuid",
    "last_bridge_to",
    "originating_leg_uuid",
    "originated_legs",
    "last_arg",
];

pub fn rows() -> Vec<Row> {
    vec![
        row(3, "cdrs_of_an_answered_call")
            .steps(up())
            .steps(over())
            .steps([See("CDRs", Cdrs(BILLED))]),
        row(3, "cdrs_hung_up_by_callee").steps(up()).steps([
            HangUp(Callee),
            Until(Over(Caller)),
            See("caller", End(Caller)),
            See(
                "CDRs",
                Cdrs(&[
                    "caller",
                    "dest",
                    "hangup_cause",
                    "sip_hangup_disposition",
                    "endpoint_disposition",
                ]),
            ),
        ]),
        row(3, "cdrs_are_joined")
            .steps(up())
            .steps(over())
            .steps([See("CDRs", Cdrs(JOINED))]),
        // A bridged leg takes orders after its first ten frames (switch_ivr_bridge.c, DEFAULT_LEAD_FRAMES).
        row(3, "cdrs_names_and_accounts")
            .steps(up())
            .steps([Wait(600)])
            .steps(over())
            .steps([See(
                "CDRs",
                Cdrs(&["caller_name", "accountcode", "user_context", "domain_name", "direction"]),
            )]),
        row(3, "cdrs_of_a_busy_callee")
            .callee(declines(Callee, 486))
            .steps([Until(Final), See("CDRs", Cdrs(BILLED))]),
        row(3, "cdrs_of_a_cancelled_call")
            .callee(rings(Callee))
            .steps(cancelled(200))
            .steps([See("CDRs", Cdrs(BILLED))]),
        row(3, "cdrs_switched_off")
            .before(&[("set", "process_cdr=false")])
            .steps(up())
            .steps(over())
            .steps([See("CDRs", Cdrs(&["caller", "dest"]))]),
        row(3, "cdrs_of_the_caller_alone")
            .before(&[("set", "process_cdr=a_only")])
            .steps(up())
            .steps(over())
            .steps([See("CDRs", Cdrs(&["caller", "dest"]))]),
        row(3, "cdrs_without_push_tokens")
            .steps(up())
            .steps(over())
            .steps([See("CDRs", Tokens)]),
        row(3, "cdrs_of_a_missed_call_without_push_tokens")
            .callee(rings(Callee))
            .steps(cancelled(200))
            .steps([See("CDRs", Tokens)]),
        row(3, "show_calls_while_it_rings").callee(rings(Callee)).steps([
            Until(Rings(Callee)),
            Wait(1000),
            See("show calls", Calls),
        ]),
        row(3, "show_calls_while_it_is_up")
            .steps(up())
            .steps([See("show calls", Calls)]),
        row(3, "show_calls_after_four_seconds")
            .steps(up())
            .steps([Wait(3600), See("show calls", Calls)]),
        row(3, "lamp_of_an_answered_call")
            .watched()
            .steps(up())
            .steps(over())
            .steps([Wait(500), See("lamp", Lamp)]),
        row(3, "lamp_of_a_cancelled_call")
            .watched()
            .callee(rings(Callee))
            .steps(cancelled(400))
            .steps([Wait(600), See("lamp", Lamp)]),
    ]
}
