//! Blind and attended transfers, by either side.

use fswake_test_support::sip::Script;

use super::words::*;

fn mute(who: Who) -> Script {
    Script {
        voice: None,
        ..answers(who)
    }
}

pub fn rows() -> Vec<Row> {
    let mut rows = vec![
        row(6, "blind_by_callee_to_a_user")
            .desk(answers(Desk))
            .steps(up())
            .steps([Blind(Callee, "{5}")])
            .steps(at_desk())
            .steps(ends()),
        row(6, "cdrs_of_a_call_that_the_callee_transfers")
            .desk(answers(Desk))
            .steps(up())
            .steps([
                Wait(600),
                Blind(Callee, "5{id}"),
                Until(Up(Desk)),
                Wait(400),
                HangUp(Caller),
                Until(Over(Desk)),
                See("CDRs", Cdrs(&["caller", "dest", "hangup_cause"])),
            ]),
        row(6, "blind_by_callee_to_a_sleeper")
            .third(answers(Third))
            .steps(up())
            .steps([
                Blind(Callee, "{2}"),
                Until(Up(Third)),
                Wait(600),
                See("third hears", Hears(Third, 400)),
                See("caller hears", Hears(Caller, 400)),
                See("From", Header(Third, "From")),
            ]),
        row(6, "blind_by_caller_to_a_sleeper")
            .third(answers(Third))
            .steps(up())
            .steps([
                Blind(Caller, "{2}"),
                Until(Up(Third)),
                Wait(600),
                See("third hears", Hears(Third, 400)),
                See("callee hears", Hears(Callee, 400)),
                See("From", Header(Third, "From")),
            ]),
        row(6, "attended_by_callee_to_a_sleeper")
            .third(answers(Third))
            .steps(up())
            .steps([
                Attended(Callee, "{2}"),
                Wait(800),
                See("its calls", CallsOf(Callee)),
                See("channels", Channels),
                See("third hears", Hears(Third, 400)),
                See("caller hears", Hears(Caller, 400)),
                See("third shows", Display(Third)),
            ]),
        row(6, "attended_by_caller_to_a_sleeper")
            .third(answers(Third))
            .steps(up())
            .steps([
                Attended(Caller, "{2}"),
                Wait(800),
                See("its calls", CallsOf(Caller)),
                See("channels", Channels),
                See("third hears", Hears(Third, 400)),
                See("callee hears", Hears(Callee, 400)),
                See("third shows", Display(Third)),
            ]),
    ];
    for (name, by, wait) in [
        ("blind_by_callee_without_rtp", Callee, 0),
        ("blind_by_caller_without_rtp", Caller, 0),
        ("blind_by_caller_without_rtp_after_three_seconds", Caller, 2800),
        ("blind_by_callee_without_rtp_after_three_seconds", Callee, 2800),
    ] {
        rows.push(
            row(6, name)
                .caller(|s| s.voice = None)
                .callee(mute(Callee))
                .desk(mute(Desk))
                .steps(up())
                .steps([
                    Wait(wait),
                    Blind(by, "5{id}"),
                    Until(Up(Desk)),
                    Until(Free(by)),
                    Wait(500),
                ])
                .steps([
                    See("context", Header(Desk, "X-Context")),
                    See("From", Header(Desk, "From")),
                    See("desk", End(Desk)),
                    See("callee", End(Callee)),
                    See("caller", End(Caller)),
                ]),
        );
    }
    for (name, by, other) in [
        ("attended_by_callee_without_rtp", Callee, Caller),
        ("attended_by_caller_without_rtp", Caller, Callee),
    ] {
        rows.push(
            row(6, name)
                .caller(|s| s.voice = None)
                .callee(mute(Callee))
                .desk(mute(Desk))
                .steps(up())
                .steps([
                    Attended(by, "{5}"),
                    Wait(800),
                    See("its calls", CallsOf(by)),
                    See("channels", Channels),
                    See("other", End(other)),
                    See("desk", End(Desk)),
                    See("desk shows", Display(Desk)),
                ]),
        );
    }
    for (name, by, other, wait) in [
        ("attended_by_callee", Callee, Caller, 0),
        ("attended_by_callee_after_three_seconds", Callee, Caller, 2800),
        ("attended_by_caller", Caller, Callee, 0),
        ("attended_by_caller_after_three_seconds", Caller, Callee, 2800),
    ] {
        rows.push(
            row(6, name)
                .desk(answers(Desk))
                .steps(up())
                .steps([
                    Wait(wait),
                    Attended(by, "{5}"),
                    Wait(800),
                    See("its calls", CallsOf(by)),
                    See("channels", Channels),
                ])
                .steps(joined(See("other hears", Hears(other, 400)))),
        );
    }
    for (name, by, other) in [
        ("attended_by_callee_while_the_desk_rings", Callee, Caller),
        ("attended_by_caller_while_the_desk_rings", Caller, Callee),
    ] {
        rows.push(
            row(6, name)
                .desk(rings(Desk))
                .steps(up())
                .steps([
                    AttendedRinging(by, "{5}"),
                    Wait(600),
                    See("desk rings", Invites(Desk)),
                    See("other", End(other)),
                    PickUpIfItRings(Desk),
                    Wait(1000),
                    See("its calls", CallsOf(by)),
                    See("channels", Channels),
                ])
                .steps(joined(See("other hears", Hears(other, 400)))),
        );
    }
    for (name, by, first) in [
        ("blind_by_callee_at_once", Callee, up()),
        ("blind_by_caller_at_once", Caller, up()),
        (
            "blind_by_callee_after_three_seconds",
            Callee,
            [up(), vec![Wait(2800)]].concat(),
        ),
        (
            "blind_by_caller_after_three_seconds",
            Caller,
            [up(), vec![Wait(2800)]].concat(),
        ),
        // With or without a loopback between them at that time.
        ("blind_by_callee_soon", Callee, soon()),
        ("blind_by_caller_soon", Caller, soon()),
    ] {
        rows.push(row(6, name).desk(answers(Desk)).steps(first).steps(blind(by)));
    }
    for (item, name, by, setting) in [
        (
            6,
            "blind_by_callee_with_a_loopback_that_stays",
            Callee,
            "loopback_bowout=false",
        ),
        (
            6,
            "blind_by_caller_with_a_loopback_that_stays",
            Caller,
            "loopback_bowout=false",
        ),
        (8, "blind_by_callee_after_only_a_wake", Callee, "fswake_mode=wake"),
        (8, "blind_by_caller_after_only_a_wake", Caller, "fswake_mode=wake"),
    ] {
        let row = row(item, name)
            .before(&[("export", setting)])
            .desk(answers(Desk))
            .steps(answered())
            .steps(blind(by));
        rows.push(match item {
            8 => row.only_through_one(KNOWS_ITS_OWN),
            _ => row,
        });
    }
    rows
}

fn soon() -> Vec<Step> {
    vec![Until(Up(Callee)), Until(Up(Caller)), Wait(200)]
}
