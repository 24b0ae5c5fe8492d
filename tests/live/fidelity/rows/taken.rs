//! The call is taken out of fswake's hands: picked up, transferred, parked.

use super::words::*;

pub fn rows() -> Vec<Row> {
    vec![
        row(1, "caller_is_transferred_while_it_rings")
            .callee(rings(Callee))
            .desk(answers(Desk))
            .steps(ringing())
            .steps([Api("uuid_transfer {caller} 5{id} XML site"), Until(Up(Desk)), Wait(500)])
            .steps(gone()),
        row(1, "caller_is_transferred_and_the_phone_answers_later")
            .callee(rings(Callee))
            .desk(answers(Desk))
            .steps(ringing())
            .steps([
                Api("uuid_transfer {caller} 5{id} XML site"),
                Wait(150),
                PickUp(Callee),
                Until(Up(Desk)),
                Wait(1500),
            ])
            .steps([
                See("desk hears", Hears(Desk, 400)),
                See("caller hears", Hears(Caller, 400)),
            ]),
        row(1, "caller_is_transferred_in_the_moment_of_the_answer")
            .callee(rings(Callee))
            .desk(answers(Desk))
            .steps(ringing())
            .steps([PickUp(Callee), Api("uuid_transfer {caller} 5{id} XML site"), Wait(2500)])
            .steps([
                See("desk hears", Hears(Desk, 400)),
                See("caller hears", Hears(Caller, 400)),
                See("callee", EndCause(Callee)),
            ]),
        row(1, "caller_is_intercepted_while_it_rings")
            .callee(rings(Callee))
            .desk(answers(Desk))
            .steps(ringing())
            .steps([
                Api("global_setvar fid-{id}-target={caller}"),
                Call(Desk, "7{id}"),
                Wait(1500),
            ])
            .steps(gone()),
        row(1, "ringing_leg_is_intercepted")
            .callee(rings(Callee))
            .desk(answers(Desk))
            .steps(ringing())
            .steps([
                Api("global_setvar fid-{id}-target={callee}"),
                Call(Desk, "7{id}"),
                Wait(1500),
            ])
            .steps(gone()),
        row(1, "ringing_leg_is_picked_up")
            .callee(rings(Callee))
            .desk(answers(Desk))
            .steps(ringing())
            .steps([
                Api("global_setvar fid-{id}-target={callee}"),
                Call(Desk, "8{id}"),
                Wait(1500),
            ])
            .steps(gone()),
        row(1, "caller_is_parked_while_it_rings")
            .callee(rings(Callee))
            .steps(ringing())
            .steps([Api("uuid_park {caller}"), Wait(1200)])
            .steps([
                See("callee", EndCause(Callee)),
                See("caller", End(Caller)),
                See("application", Variable(Caller, "current_application")),
            ]),
        row(1, "caller_is_valet_parked_while_it_rings")
            .callee(rings(Callee))
            .steps(ringing())
            .steps([Api("uuid_transfer {caller} valet_park:lot{id},8001 inline"), Wait(1200)])
            .steps([See("callee", EndCause(Callee)), See("caller", End(Caller))]),
        row(1, "caller_is_killed_while_it_rings")
            .callee(rings(Callee))
            .steps(ringing())
            .steps([
                Api("uuid_kill {caller} NORMAL_CLEARING"),
                Until(Over(Callee)),
                See("callee", End(Callee)),
                See("caller", Answers),
            ]),
        row(1, "ringing_leg_is_killed")
            .before(&[("set", "continue_on_fail=false")])
            .callee(rings(Callee))
            .steps(ringing())
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

fn ringing() -> Vec<Step> {
    vec![Until(Rings(Callee)), Until(Ringback), Wait(400)]
}

fn gone() -> Vec<Step> {
    vec![
        See("callee", EndCause(Callee)),
        See("desk hears", Hears(Desk, 400)),
        See("caller hears", Hears(Caller, 400)),
        See("desk shows", Display(Desk)),
    ]
}
