//! Ringback: what the caller hears until somebody answers.

use std::time::Duration;

use fswake_test_support::sip::{Reaction, Script};

use super::words::*;

const TONE: &str = "ringback=%(2000,100,440,480)";
const TRANSFER_TONE: &str = "transfer_ringback=%(2000,100,440,480)";

/// Rings so many milliseconds after the INVITE, and answers 1.5 s later.
fn slow(ring_after: u64) -> Script {
    Script {
        on_invite: Reaction::Answer(Duration::from_millis(1500)),
        ring_after: Duration::from_millis(ring_after),
        ..answers(Callee)
    }
}

fn early(ring_after: u64) -> Script {
    Script {
        early_media: true,
        ..slow(ring_after)
    }
}

pub fn rows() -> Vec<Row> {
    vec![
        row(4, "rings_awake").awake().callee(slow(700)).steps(heard()),
        row(4, "rings_asleep").callee(slow(700)).steps(heard()),
        row(4, "rings_awake_alert_by_push")
            .alert_by_push()
            .awake()
            .callee(slow(700))
            .steps(heard()),
        row(4, "rings_asleep_alert_by_push")
            .alert_by_push()
            .callee(slow(700))
            .steps(heard()),
        row(4, "ringback_alert_by_push")
            .alert_by_push()
            .awake()
            .before(&[("set", TONE)])
            .callee(slow(700))
            .steps(heard()),
        row(4, "early_media_alert_by_push")
            .alert_by_push()
            .awake()
            .callee(early(300))
            .steps(heard()),
        row(4, "early_media").callee(early(300)).steps(heard()),
        row(4, "early_media_awake").awake().callee(early(300)).steps(heard()),
        row(4, "early_media_ignored")
            .before(&[("set", "ignore_early_media=true")])
            .callee(early(300))
            .steps(heard()),
        row(4, "ringing_ignored")
            .before(&[("set", "ignore_early_media=true")])
            .callee(slow(300))
            .steps(heard()),
        row(4, "ringback")
            .before(&[("set", TONE)])
            .callee(slow(300))
            .steps(heard()),
        row(4, "ringback_and_early_media")
            .before(&[("set", TONE)])
            .callee(early(700))
            .steps(heard()),
        row(4, "instant_ringback")
            .before(&[("set", TONE), ("set", "instant_ringback=true")])
            .callee(slow(1500))
            .steps([
                Wait(300),
                See("caller, early", Answers),
                Wait(500),
                See("heard", HeardEarly),
            ])
            .steps(heard()),
        row(4, "answered_before_and_transfer_ringback")
            .before(&[("answer", ""), ("set", TRANSFER_TONE)])
            .callee(slow(200))
            .steps(waits()),
        row(4, "answered_before_and_ringback")
            .before(&[("answer", ""), ("set", TONE)])
            .callee(slow(200))
            .steps(waits()),
        row(4, "answered_before_and_a_file_as_transfer_ringback")
            .before(&[("answer", ""), ("set", "transfer_ringback=$${music}")])
            .callee(slow(200))
            .steps(waits()),
        row(4, "answered_before_and_a_stream_as_transfer_ringback")
            .before(&[("answer", ""), ("set", "transfer_ringback=local_stream://moh")])
            .callee(slow(200))
            .steps(waits()),
        row(4, "answered_before_and_silence_as_transfer_ringback")
            .before(&[("answer", ""), ("set", "transfer_ringback=silence")])
            .callee(slow(200))
            .steps(waits()),
        row(4, "silence_as_ringback")
            .before(&[("set", "ringback=silence")])
            .callee(slow(300))
            .steps(waits())
            .steps([See("18x", RingsInTime)]),
        row(4, "pre_answered_before_and_silence_as_ringback")
            .before(&[("pre_answer", ""), ("set", "ringback=silence:600")])
            .callee(slow(300))
            .steps(waits()),
        row(4, "a_file_as_ringback")
            .before(&[("set", "ringback=$${music}")])
            .callee(slow(300))
            .steps(waits())
            .steps([See("18x", RingsInTime)]),
        row(4, "a_stream_as_ringback")
            .before(&[("set", "ringback=local_stream://moh")])
            .callee(slow(300))
            .steps(waits())
            .steps([See("18x", RingsInTime)]),
        row(4, "answered_before_and_nothing")
            .before(&[("answer", "")])
            .callee(slow(200))
            .steps(waits()),
        row(4, "pre_answered_before_and_ringback")
            .before(&[("pre_answer", ""), ("set", TONE)])
            .callee(slow(200))
            .steps(waits()),
        row(4, "pre_answered_before_and_nothing")
            .before(&[("pre_answer", "")])
            .callee(slow(200))
            .steps(waits()),
    ]
}

fn heard() -> Vec<Step> {
    vec![
        Until(Up(Callee)),
        Until(Up(Caller)),
        See("caller", Answers),
        See("18x", RingsInTime),
        See("early", HeardEarly),
        Wait(300),
        See("then", Hears(Caller, 300)),
    ]
}

fn waits() -> Vec<Step> {
    vec![
        Until(Up(Callee)),
        See("while it rings", HeardWhileItRang),
        Until(Up(Caller)),
        Wait(400),
        See("then", Hears(Caller, 300)),
        See("caller", Answers),
    ]
}
