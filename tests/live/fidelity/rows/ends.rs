//! How a call ends, and what the dialplan does next.

use fswake_test_support::sip::{Reaction, Script};

use super::words::*;

fn silent() -> Script {
    Script {
        on_invite: Reaction::Silent,
        ..answers(Callee)
    }
}

pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, goes_on, status) in [
        ("busy_486", "busy_486_goes_on", 486),
        ("declined_603", "declined_603_goes_on", 603),
        ("unavailable_480", "unavailable_480_goes_on", 480),
        ("not_found_404", "not_found_404_goes_on", 404),
        ("error_500", "error_500_goes_on", 500),
        ("busy_600", "busy_600_goes_on", 600),
        ("error_503", "error_503_goes_on", 503),
    ] {
        rows.push(
            row(5, name)
                .before(&[FATAL])
                .callee(declines(Callee, status))
                .steps(ended()),
        );
        rows.push(
            row(5, goes_on)
                .after(&[LEAVES, NEXT])
                .callee(declines(Callee, status))
                .steps(ended()),
        );
    }
    rows.extend(others());
    rows.extend(answered());
    rows
}

fn others() -> Vec<Row> {
    vec![
        row(5, "no_answer")
            .before(&[FATAL, ("set", "call_timeout=4")])
            .callee(rings(Callee))
            .steps(ended())
            .steps([See("time", Took(3000, 5600)), See("callee", EndCause(Callee))]),
        row(5, "no_answer_goes_on")
            .before(&[("set", "call_timeout=4")])
            .after(&[LEAVES, NEXT])
            .callee(rings(Callee))
            .steps(ended()),
        row(5, "no_answer_goes_on_to_an_announcement")
            .before(&[("set", "call_timeout=4"), ("set", "continue_on_fail=true")])
            .after(&[("answer", ""), ("playback", "tone_stream://%(1500,0,440)")])
            .callee(rings(Callee))
            .steps([
                Until(Up(Caller)),
                Wait(300),
                See("hears", Hears(Caller, 300)),
                Until(Over(Caller)),
                See("caller", Answers),
                See("CDRs", Cdrs(&["hangup_cause"])),
            ]),
        row(5, "busy_486_alert_by_push")
            .alert_by_push()
            .before(&[FATAL])
            .callee(declines(Callee, 486))
            .steps([
                Until(Final),
                Wait(200),
                See("caller", Answers),
                See("CDRs", Cdrs(&["hangup_cause"])),
            ]),
        row(5, "no_answer_after_thirty_seconds")
            .before(&[FATAL])
            .callee(rings(Callee))
            .steps(ended())
            .steps([See("time", Took(28_500, 31_500))]),
        row(5, "no_response_at_all")
            .before(&[FATAL, ("set", "call_timeout=5")])
            .callee(silent())
            .awake()
            .steps(ended())
            .steps([See("time", Took(3800, 6600))]),
        row(5, "leg_timeout_exported")
            .before(&[FATAL, ("export", "nolocal:leg_timeout=3")])
            .callee(rings(Callee))
            .steps(ended())
            .steps([See("time", Took(2000, 4600))]),
        row(5, "originate_timeout_set")
            .before(&[FATAL, ("set", "originate_timeout=3"), ("set", "call_timeout=6")])
            .callee(rings(Callee))
            .steps(ended())
            .steps([See("time", Took(5000, 7600))]),
        row(5, "unregistered").before(&[FATAL]).dials("{2}").steps(ended()),
        row(5, "unregistered_goes_on")
            .after(&[LEAVES, NEXT])
            .dials("{2}")
            .steps(ended()),
        row(5, "declined_after_ringing")
            .before(&[FATAL])
            .callee(rings(Callee))
            .steps([Until(Rings(Callee)), Wait(500), Refuse(Callee, 486)])
            .steps(ended()),
        row(5, "continue_on_fail_list_matches")
            .before(&[("set", "continue_on_fail=USER_BUSY,NO_ANSWER")])
            .after(&[LEAVES, NEXT])
            .callee(declines(Callee, 486))
            .steps(ended()),
        row(5, "continue_on_fail_list_does_not_match")
            .before(&[("set", "continue_on_fail=NO_ANSWER,CALL_REJECTED")])
            .after(&[LEAVES, NEXT])
            .callee(declines(Callee, 486))
            .steps(ended()),
        row(5, "transfer_on_fail")
            .before(&[FATAL, ("set", "transfer_on_fail=USER_BUSY 5{id} XML site")])
            .callee(declines(Callee, 486))
            .desk(answers(Desk))
            .steps([
                Until(Up(Desk)),
                Until(Up(Caller)),
                Wait(300),
                See("context", Header(Desk, "X-Context")),
                See("From", Header(Desk, "From")),
                See("desk hears", Hears(Desk, 300)),
                See("INVITEs", Invites(Callee)),
            ]),
        row(5, "failure_causes")
            .before(&[FATAL, ("set", "failure_causes=USER_BUSY")])
            .after(&[LEAVES, NEXT])
            .callee(declines(Callee, 486))
            .steps(ended()),
        row(5, "forward_on_busy")
            .after(&[("bridge", "user/{5}@{domain}")])
            .callee(declines(Callee, 486))
            .desk(answers(Desk))
            .steps([Until(Up(Desk)), Until(Up(Caller)), Wait(300)])
            .steps([
                See("desk hears", Hears(Desk, 300)),
                See("INVITEs", Invites(Callee)),
                See("caller", Answers),
            ]),
        row(5, "redirected_302")
            .before(&[FATAL])
            .callee(Script {
                on_invite: Reaction::Redirect,
                ..answers(Callee)
            })
            .desk(answers(Desk))
            .steps([
                Until(Final),
                Wait(400),
                See("caller", Answers),
                See("INVITEs", Invites(Callee)),
                See("INVITEs there", Invites(Desk)),
                See("there hears", Hears(Desk, 300)),
            ]),
        row(5, "busy_with_a_stale_place")
            .stale()
            .before(&[FATAL])
            .callee(declines(Callee, 486))
            .steps([Until(Final), See("caller", Answers), See("INVITEs", Invites(Callee))]),
        row(5, "answered_with_a_stale_place")
            .stale()
            .steps(up())
            .steps([
                See("caller", Answers),
                See("INVITEs", Invites(Callee)),
                See("caller hears", Hears(Caller, 300)),
            ])
            .steps(over())
            .steps([See("CDRs", Cdrs(&["caller", "dest", "hangup_cause"]))]),
        row(5, "caller_cancels")
            .callee(rings(Callee))
            .steps(cancelled(300))
            .steps([
                Until(Over(Callee)),
                See("callee", End(Callee)),
                See("caller", Answers),
                See("INVITEs", Invites(Callee)),
            ]),
    ]
}

fn answered() -> Vec<Row> {
    vec![
        row(5, "hung_up_by_caller")
            .steps(up())
            .steps(over())
            .steps([See("callee", End(Callee))]),
        row(5, "hung_up_by_callee").after(&[NEXT]).steps(up()).steps([
            HangUp(Callee),
            Until(Over(Caller)),
            See("caller", End(Caller)),
        ]),
        row(5, "hangup_after_bridge_false")
            .before(&[("set", "hangup_after_bridge=false")])
            .after(&[LEAVES, ("playback", "tone_stream://%(10000,0,500)")])
            .steps(up())
            .steps([
                HangUp(Callee),
                Wait(600),
                See("caller hears", Hears(Caller, 400)),
                See("knows", Left("end")),
                See("INVITEs", Invites(Callee)),
            ]),
        row(5, "park_after_bridge")
            .before(&[("set", "park_after_bridge=true")])
            .steps(up())
            .steps([
                HangUp(Callee),
                Wait(600),
                See("caller", End(Caller)),
                See("application", Variable(Caller, "current_application")),
                See("INVITEs", Invites(Callee)),
            ]),
        row(5, "exec_after_bridge")
            .before(&[
                ("set", "exec_after_bridge_app=playback"),
                ("set", "exec_after_bridge_arg=tone_stream://%(10000,0,500)"),
            ])
            .steps(up())
            .steps([HangUp(Callee), Wait(600), See("caller hears", Hears(Caller, 400))]),
        row(5, "exec_after_bridge_goes_on")
            .before(&[
                ("set", "hangup_after_bridge=false"),
                ("set", "exec_after_bridge_app=playback"),
                ("set", "exec_after_bridge_arg=tone_stream://%(10000,0,500)"),
            ])
            .steps(up())
            .steps([HangUp(Callee), Wait(600), See("caller hears", Hears(Caller, 400))]),
        row(5, "transfer_after_bridge")
            .before(&[("set", "transfer_after_bridge=5{id}:XML:site")])
            .desk(answers(Desk))
            .steps(up())
            .steps([
                HangUp(Callee),
                Until(Up(Desk)),
                Wait(300),
                See("desk hears", Hears(Desk, 300)),
                See("context", Header(Desk, "X-Context")),
            ]),
        row(5, "api_hangup_hook")
            .before(&[("set", "api_hangup_hook=global_setvar fid-{id}-end=ran")])
            .steps(up())
            .steps(over())
            .steps([Wait(400), See("hook", Left("end"))]),
    ]
}
