//! Early media from the phone, and how such a call ends.

use std::time::Duration;

use fswake_test_support::sip::{Reaction, Script};

use super::words::*;

/// Sends early media 200 ms after its INVITE.
fn plays(who: Who, on_invite: Reaction) -> Script {
    Script {
        on_invite,
        early_media: true,
        ring_after: Duration::from_millis(200),
        ..answers(who)
    }
}

fn answered_later(who: Who) -> Script {
    plays(who, Reaction::Answer(Duration::from_millis(1200)))
}

pub fn rows() -> Vec<Row> {
    let mut rows = vec![
        row(3, "early_media_answered")
            .callee(answered_later(Callee))
            .steps(up())
            .steps([See("show calls", Calls), See("then", Hears(Caller, 300))])
            .steps(over())
            .steps([See("CDRs", Cdrs(BILLED))]),
        row(4, "two_phones_early_media")
            .callee(answered_later(Callee))
            .other(rings(Other))
            .steps([
                Until(Up(Caller)),
                See("early", HeardEarly),
                Wait(400),
                See("then", Hears(Caller, 300)),
                See("other", EndCause(Other)),
            ]),
        row(5, "early_media_nobody_answers")
            .before(&[FATAL, ("set", "call_timeout=4")])
            .callee(plays(Callee, Reaction::Ring))
            .steps(ended()),
        row(5, "early_media_nobody_answers_goes_on")
            .before(&[("set", "call_timeout=4"), ("set", "continue_on_fail=true")])
            .after(&[LEAVES, NEXT])
            .callee(plays(Callee, Reaction::Ring))
            .steps(ended()),
        row(5, "early_media_cancelled")
            .callee(plays(Callee, Reaction::Ring))
            .steps([Until(Rings(Callee)), Wait(700), Cancel, Until(Over(Callee))])
            .steps([See("callee", End(Callee)), See("CDRs", Cdrs(BILLED))]),
    ];
    for (name, goes_on, status) in [
        ("early_media_busy", "early_media_busy_goes_on", 486),
        ("early_media_declined", "early_media_declined_goes_on", 603),
    ] {
        let refused = [Until(Rings(Callee)), Wait(700), Refuse(Callee, status)];
        rows.push(
            row(5, name)
                .before(&[FATAL])
                .callee(plays(Callee, Reaction::Ring))
                .steps(refused.clone())
                .steps(ended()),
        );
        rows.push(
            row(5, goes_on)
                .before(&[("set", "continue_on_fail=true")])
                .after(&[LEAVES, NEXT])
                .callee(plays(Callee, Reaction::Ring))
                .steps(refused)
                .steps(ended()),
        );
    }
    for (name, by) in [
        ("early_media_blind_by_callee", Callee),
        ("early_media_blind_by_caller", Caller),
    ] {
        rows.push(
            row(6, name)
                .callee(answered_later(Callee))
                .desk(answers(Desk))
                .steps(answered())
                .steps(blind(by)),
        );
    }
    for (name, setting) in [
        ("early_media_with_ring_ready", "ignore_early_media=ring_ready"),
        ("early_media_consumed", "ignore_early_media=consume"),
        ("early_media_bridged", "bridge_early_media=true"),
    ] {
        rows.push(
            row(4, name)
                .before(&[("set", setting)])
                .callee(answered_later(Callee))
                .steps([
                    Until(Up(Caller)),
                    See("caller", Answers),
                    See("early", HeardEarly),
                    Wait(300),
                    See("then", Hears(Caller, 300)),
                ]),
        );
    }
    rows
}
