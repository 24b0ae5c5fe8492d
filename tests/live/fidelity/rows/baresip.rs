//! baresip in place of a scripted phone: it calls or is called, holds, transfers, and encrypts.

use super::words::*;

pub fn rows() -> Vec<Row> {
    let called = |name| row(6, name).baresip(Callee).desk(answers(Desk));
    let calls = |name| row(6, name).baresip(Caller).desk(answers(Desk));
    vec![
        called("baresip_answers").steps(heard_by(Caller)).steps([
            HangUp(Caller),
            Says("CALL_CLOSED", 1),
            Wait(300),
            See("CDRs", Cdrs(&["caller", "dest", "hangup_cause"])),
        ]),
        called("baresip_holds")
            .steps(heard_by(Caller))
            .steps(held_and_not(Caller)),
        called("baresip_transfers_its_caller_blind")
            .steps(heard_by(Caller))
            .steps([Baresip("transfer", "sip:5{id}@{domain}")])
            .steps(at_desk())
            .steps([See("caller hears", Hears(Caller, 400)), See("caller", EndCause(Caller))]),
        called("baresip_transfers_its_caller_attended")
            .steps(heard_by(Caller))
            .steps(joins_to_desk(See("caller hears", Hears(Caller, 400)))),
        called("baresip_is_offered_a_key")
            .encrypts()
            .before(&[("export", "nolocal:rtp_secure_media=true")])
            .steps(heard_by(Caller))
            .steps(held_and_not(Caller)),
        called("baresip_is_offered_no_key")
            .encrypts()
            .steps([Until(Final), See("caller", Answers)]),
        called("baresip_encrypts_and_transfers_attended")
            .encrypts()
            .before(&[("export", "nolocal:rtp_secure_media=true")])
            .steps(heard_by(Caller))
            .steps(joins_to_desk(See("caller hears", Hears(Caller, 400)))),
        calls("baresip_offers_a_key")
            .encrypts()
            .steps(calling())
            .steps([See("callee is offered", Offered(Callee))])
            .steps(held_and_not(Callee)),
        calls("baresip_calls").steps(calling()).steps([
            HangUp(Callee),
            Says("CALL_CLOSED", 1),
            Wait(300),
            See("From", Header(Callee, "From")),
        ]),
        calls("baresip_calls_and_holds")
            .steps(calling())
            .steps(held_and_not(Callee)),
        calls("baresip_transfers_its_callee_blind")
            .steps(calling())
            .steps([Baresip("transfer", "sip:5{id}@{domain}")])
            .steps(at_desk())
            .steps([See("callee hears", Hears(Callee, 400)), See("callee", EndCause(Callee))]),
        calls("baresip_transfers_its_callee_attended")
            .steps(calling())
            .steps(joins_to_desk(See("callee hears", Hears(Callee, 400)))),
    ]
}

/// baresip has answered, and its audio arrives.
fn heard_by(who: super::super::row::Who) -> Vec<Step> {
    vec![Until(Up(who)), Wait(500), See("is heard", Hears(who, 400))]
}

/// baresip's call is up.
fn calling() -> Vec<Step> {
    let mut all = vec![Baresip("dial", "sip:{1}@{domain}")];
    all.extend(heard_by(Callee));
    all
}

fn held_and_not(far_end: super::super::row::Who) -> Vec<Step> {
    vec![
        Baresip("hold", ""),
        Wait(700),
        See("held", Media(far_end)),
        See("held hears", Hears(far_end, 600)),
        Baresip("resume", ""),
        Wait(700),
        See("then", Media(far_end)),
        See("then hears", Hears(far_end, 400)),
    ]
}

/// baresip calls the desk phone, and connects it with its other call.
fn joins_to_desk(other_hears: Step) -> Vec<Step> {
    let mut all = vec![
        Baresip("dial", "sip:{5}@{domain}"),
        Until(Up(Desk)),
        Wait(400),
        Join,
        Wait(1200),
    ];
    all.extend(joined(other_hears));
    all
}
