//! Somebody takes the held call: pick-up, transfer, park.

use fswake_test_support::realfs::Routing;

use super::super::row::Who;
use super::words::*;

/// Milliseconds from when the caller is taken until the phones stop ringing: 100 until fswake notices, 50 for the rest.
const SOON: u64 = 150;

/// The callee's phone has rung for 400 ms when the next step comes.
fn ringing_alone(name: &'static str) -> Row {
    row(1, name).callee(rings(Callee)).steps(ringing(400))
}

/// The same, and the desk phone answers whatever reaches it.
fn ringing_with_desk(name: &'static str) -> Row {
    ringing_alone(name).desk(answers(Desk))
}

/// The callee's phone stops ringing at once, and fswake's record of the call says why.
fn taken(why: &'static str) -> [Step; 2] {
    [
        See("callee's end", EndsWithin(Callee, SOON)),
        See("booked", Booked("taken", why)),
    ]
}

pub fn rows() -> Vec<Row> {
    vec![
        ringing_with_desk("caller_is_transferred_while_it_rings")
            .steps([Api("uuid_transfer {caller} 5{id} XML site"), Until(Up(Desk)), Wait(500)])
            .steps(gone())
            .steps([See("callee's end", EndsWithin(Callee, SOON))])
            .steps([See("booked", Booked("taken", "transferred to 5"))]),
        ringing_with_desk("caller_is_transferred_and_the_phone_answers_later")
            .steps([
                Api("uuid_transfer {caller} 5{id} XML site"),
                Wait(150),
                PickUpIfItRings(Callee),
                Until(Up(Desk)),
                Wait(1500),
            ])
            .steps([
                See("desk hears", Hears(Desk, 400)),
                See("caller hears", Hears(Caller, 400)),
            ]),
        ringing_with_desk("caller_is_transferred_in_the_moment_of_the_answer")
            .steps([PickUp(Callee), Api("uuid_transfer {caller} 5{id} XML site"), Wait(2500)])
            .steps([
                See("desk hears", Hears(Desk, 400)),
                See("caller hears", Hears(Caller, 400)),
                See("callee", EndCause(Callee)),
            ]),
        ringing_with_desk("caller_is_intercepted_while_it_rings")
            .steps([
                Api("global_setvar fid-{id}-target={caller}"),
                Call(Desk, "7{id}"),
                Wait(1500),
            ])
            .steps(gone())
            .steps(taken("picked up by {5}")),
        ringing_with_desk("ringing_leg_is_intercepted")
            .steps([
                Api("global_setvar fid-{id}-target={callee}"),
                Call(Desk, "7{id}"),
                Wait(1500),
            ])
            .steps(gone())
            .steps(taken("picked up")),
        ringing_with_desk("ringing_leg_is_picked_up")
            .steps([
                Api("global_setvar fid-{id}-target={callee}"),
                Call(Desk, "8{id}"),
                Wait(1500),
            ])
            .steps(gone())
            .steps(taken("picked up")),
        ringing_with_desk("caller_is_picked_up_by_extension")
            .before(&[("hash", "insert/{domain}-last_dial_ext/{1}/${uuid}")])
            .steps([Call(Desk, "9{id}"), Wait(1500)])
            .steps(gone())
            .steps([See("INVITEs", Invites(Callee)), See("caller", Answers)])
            .steps(taken("picked up by {5}")),
        ringing_with_desk("caller_is_picked_up_by_extension_in_the_moment_of_the_answer")
            .before(&[("hash", "insert/{domain}-last_dial_ext/{1}/${uuid}")])
            .steps([Call(Desk, "9{id}"), PickUp(Callee), Wait(2000)])
            .steps([See("caller", EndCause(Caller)), See("one phone has it", Settled)]),
        ringing_alone("caller_is_parked_while_it_rings")
            .steps([Api("uuid_park {caller}"), Wait(1200)])
            .steps([
                See("callee's end", EndsWithin(Callee, SOON)),
                See("callee", EndCause(Callee)),
                See("caller", End(Caller)),
                See("application", Variable(Caller, "current_application")),
            ])
            .steps([See("booked", Booked("taken", "parked"))]),
        ringing_alone("caller_is_valet_parked_while_it_rings")
            .steps([
                Api("uuid_transfer {caller} 'valet_park:lot{id} 8001' inline"),
                Wait(1200),
            ])
            .steps([
                See("callee", EndCause(Callee)),
                See("caller", End(Caller)),
                See("application", Variable(Caller, "current_application")),
            ])
            .steps(taken("transferred to valet_park")),
        ringing_alone("caller_is_transferred_to_his_end_while_it_rings")
            .steps([Api("uuid_transfer {caller} hangup:CALL_REJECTED inline"), Wait(1200)])
            .steps([
                See("callee's end", EndsWithin(Callee, SOON)),
                See("callee", EndCause(Callee)),
                See("caller", Answers),
            ])
            .steps([See("booked", Booked("taken", "transferred to hangup"))]),
        row(1, "caller_goes_to_a_conference_while_it_rings")
            .callee(rings(Callee))
            .desk(answers(Desk))
            .steps([Call(Desk, "*3{id}")])
            .steps(ringing(600))
            .steps([
                Api("uuid_transfer {caller} conference:room{id}@default inline"),
                Wait(1500),
            ])
            .steps(gone())
            .steps([
                See("callee's end", EndsWithin(Callee, SOON)),
                See("INVITEs", Invites(Callee)),
            ])
            .steps([See("booked", Booked("taken", "transferred to conference"))]),
        // The call has no B-leg yet.
        ringing_with_desk("other_side_is_transferred_while_it_rings")
            .steps([Api("uuid_transfer {caller} -bleg 5{id} XML site"), Wait(1500)])
            .steps(gone_or_not()),
        ringing_with_desk("both_are_transferred_while_it_rings")
            .steps([Api("uuid_transfer {caller} -both 5{id} XML site"), Wait(1500)])
            .steps(gone_or_not()),
        ringing_with_desk("caller_is_picked_up_by_group")
            .before(&[("hash", "insert/{domain}-last_dial_ext/group{id}/${uuid}")])
            .steps([Call(Desk, "*9{id}"), Wait(1500)])
            .steps(gone())
            .steps([See("INVITEs", Invites(Callee)), See("caller", Answers)])
            .steps(taken("picked up by {5}")),
        // Dialplan routing takes one number, not a list of users.
        ringing_with_desk("call_of_a_pickup_group_is_picked_up")
            .routings(&[Routing::Plain, Routing::DialString])
            .bridge("user/{1}@{domain},pickup/group{id}")
            .steps([Call(Desk, "*8{id}"), Wait(1500)])
            .steps(gone())
            .steps([See("INVITEs", Invites(Callee)), See("caller", Answers)])
            .steps(taken("another phone of the ring group answered")),
        row(1, "one_of_two_ringing_legs_is_intercepted")
            .callee(rings(Callee))
            .other(rings(Other))
            .desk(answers(Desk))
            .steps(ringing(0))
            .steps([
                Until(Rings(Other)),
                Wait(400),
                Api("global_setvar fid-{id}-target={callee}"),
                Call(Desk, "7{id}"),
                Wait(1500),
            ])
            .steps(gone())
            .steps([See("other", EndCause(Other))])
            .steps([See("callee's end", EndsWithin(Callee, SOON))]),
        row(1, "one_of_two_ringing_legs_is_picked_up")
            .callee(rings(Callee))
            .other(rings(Other))
            .desk(answers(Desk))
            .steps(ringing(0))
            .steps([
                Until(Rings(Other)),
                Wait(400),
                Api("global_setvar fid-{id}-target={callee}"),
                Call(Desk, "8{id}"),
                Wait(1500),
            ])
            .steps(gone())
            .steps([See("other", EndCause(Other))]),
        row(1, "another_channel_is_bridged_with_the_caller_while_it_rings")
            .callee(rings(Callee))
            .desk(answers(Desk))
            .steps([Call(Desk, "*3{id}")])
            .steps(ringing(600))
            .steps([Api("uuid_bridge {caller} {desk}"), Wait(1500)])
            .steps(gone())
            .steps([
                See("caller", Answers),
                See("booked", Booked("taken", "picked up by {5}")),
            ]),
        ringing_alone("caller_is_broadcast_to_while_it_rings")
            .steps([
                Api("uuid_broadcast {caller} tone_stream://%(200,0,440) aleg"),
                Wait(600),
            ])
            .steps([See("INVITEs", Invites(Callee)), PickUpIfItRings(Callee), Wait(1000)])
            .steps([See("caller", EndCause(Caller)), See("caller hears", Hears(Caller, 400))]),
        ringing_alone("caller_is_killed_while_it_rings").steps([
            Api("uuid_kill {caller} NORMAL_CLEARING"),
            Until(Over(Callee)),
            Until(Final),
            See("callee", End(Callee)),
            See("caller", Answers),
        ]),
        ringing_alone("ringing_leg_is_killed")
            .before(&[("set", "continue_on_fail=false")])
            .steps([
                Api("uuid_kill {callee} USER_BUSY"),
                Until(Final),
                See("caller", Answers),
                See("INVITEs", Invites(Callee)),
            ]),
        row(1, "caller_is_transferred_while_it_is_up")
            .desk(answers(Desk))
            .steps(up())
            .steps([Api("uuid_transfer {caller} 5{id} XML site"), Until(Up(Desk)), Wait(500)])
            .steps(gone()),
        row(1, "both_are_transferred_while_it_is_up")
            .desk(answers(Desk))
            .steps(up())
            .steps([
                Api("uuid_transfer {caller} -bleg 5{id} XML site"),
                Until(Up(Desk)),
                Wait(500),
            ])
            .steps([
                See("desk hears", Hears(Desk, 400)),
                See("context", Header(Desk, "X-Context")),
            ]),
        row(1, "each_is_transferred_while_it_is_up")
            .desk(answers(Desk))
            .steps(up())
            .steps([
                Api("uuid_transfer {caller} -both 5{id} XML site"),
                Until(Up(Desk)),
                Wait(1200),
            ])
            .steps([
                See("INVITEs there", Invites(Desk)),
                See("context", Header(Desk, "X-Context")),
                See("caller", EndCause(Caller)),
                See("callee", EndCause(Callee)),
                See("caller hears", Hears(Caller, 400)),
                See("callee hears", Hears(Callee, 400)),
            ]),
        row(1, "valet_parked_and_retrieved")
            .only_through_one("a parking lot is that of one FreeSWITCH")
            .desk(answers(Desk))
            .steps(up())
            .steps([
                Blind(Callee, "*4{id}"),
                Wait(900),
                See("callee", EndCause(Callee)),
                See("caller", EndCause(Caller)),
                Call(Desk, "*4{id}"),
                Wait(1200),
                See("desk hears", Hears(Desk, 400)),
                See("caller hears", Hears(Caller, 400)),
            ])
            .steps(over_at(Caller, Desk)),
        row(1, "callee_is_intercepted_while_it_is_up")
            .desk(answers(Desk))
            .steps(up())
            .steps([
                Api("global_setvar fid-{id}-target={callee}"),
                Call(Desk, "7{id}"),
                Wait(1500),
            ])
            .steps([See("desk hears", Hears(Desk, 400)), See("caller", EndCause(Caller))]),
    ]
}

/// One phone hangs up, and the other gets the BYE.
fn over_at(by: Who, at: Who) -> Vec<Step> {
    vec![HangUp(by), Until(Over(at)), See("then", EndCause(at))]
}

fn gone_or_not() -> Vec<Step> {
    vec![
        See("callee", EndCause(Callee)),
        See("INVITEs", Invites(Callee)),
        See("INVITEs there", Invites(Desk)),
        See("caller", Answers),
        PickUpIfItRings(Callee),
        Wait(1000),
        See("caller then", Answers),
        See("caller hears", Hears(Caller, 400)),
    ]
}

fn gone() -> Vec<Step> {
    vec![
        See("callee", EndCause(Callee)),
        See("desk hears", Hears(Desk, 400)),
        See("caller hears", Hears(Caller, 400)),
        See("desk shows", Display(Desk)),
    ]
}
