//! Roles: CDRs, `show calls`, lamps.

use super::words::*;

const JOINED: &[&str] = &["bridge_uuid", "last_bridge_to", "originating_leg_uuid"];

const ROLES: &[&str] = &["caller", "dest", "direction", "hangup_cause", "accountcode"];
const PUSH: &str = ";pn-provider=apns;pn-param=TEAM12.org.example.app.voip;pn-prid=00fc13adff78512200fc13adff785122";

pub fn rows() -> Vec<Row> {
    vec![
        row(3, "cdrs_of_an_answered_call")
            .steps(up())
            .steps(over())
            .steps([See("CDRs", Cdrs(BILLED)), See("applications", Cdrs(&["last_app"]))]),
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
        // A bridged leg reads commands only after its first ten frames (switch_ivr_bridge.c, DEFAULT_LEAD_FRAMES): in this
        // row and in the next.
        row(3, "cdrs_are_joined")
            .steps(up())
            .steps([Wait(600)])
            .steps(over())
            .steps([
                See("CDRs", Cdrs(JOINED)),
                See("legs", Cdrs(&["originated_legs"])),
                See("last_arg", Cdrs(&["last_arg"])),
            ]),
        row(3, "cdrs_names_and_accounts")
            .steps(up())
            .steps([Wait(600)])
            .steps(over())
            .steps([
                See(
                    "CDRs",
                    Cdrs(&["caller_name", "accountcode", "user_context", "direction"]),
                ),
                See("domain", Cdrs(&["domain_name"])),
            ]),
        row(3, "cdrs_of_a_busy_callee").callee(declines(Callee, 486)).steps([
            Until(Final),
            See("CDRs", Cdrs(BILLED)),
            See("applications", Cdrs(&["last_app"])),
        ]),
        row(3, "cdrs_of_a_cancelled_call")
            .callee(rings(Callee))
            .steps(cancelled(200))
            .steps([See("CDRs", Cdrs(BILLED)), See("applications", Cdrs(&["last_app"]))]),
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
        // Some apps send the same Contact in every message.
        row(3, "cdrs_of_a_phone_that_answers_with_its_token")
            .callee_with(|s| PUSH.clone_into(&mut s.contact_params))
            .steps(up())
            .steps(over())
            .steps([See("CDRs", Tokens)]),
        row(3, "cdrs_of_a_missed_phone_that_rings_with_its_token")
            .callee(rings(Callee))
            .callee_with(|s| PUSH.clone_into(&mut s.contact_params))
            .steps(cancelled(200))
            .steps([See("CDRs", Tokens)]),
        row(3, "xml_cdrs_of_an_answered_call")
            .steps(up())
            .steps(over())
            .steps([See("CDRs", XmlCdrs(ROLES))]),
        row(3, "xml_cdrs_of_a_cancelled_call")
            .callee(rings(Callee))
            .steps(cancelled(200))
            .steps([See("CDRs", XmlCdrs(ROLES))]),
        row(3, "csv_cdrs_of_an_answered_call")
            .steps(up())
            .steps(over())
            .steps([See("CDRs", CsvCdrs)]),
        row(3, "csv_cdrs_of_a_cancelled_call")
            .callee(rings(Callee))
            .steps(cancelled(200))
            .steps([See("CDRs", CsvCdrs)]),
        row(3, "other_leg_while_it_rings")
            .callee(rings(Callee))
            .steps(ringing(600))
            .steps([See("caller's", OtherLeg(Caller)), See("callee's", OtherLeg(Callee))]),
        row(3, "other_leg_while_it_is_up").steps(up()).steps([
            Wait(600),
            See("caller's", OtherLeg(Caller)),
            See("callee's", OtherLeg(Callee)),
        ]),
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
