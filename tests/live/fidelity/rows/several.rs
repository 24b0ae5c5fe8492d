//! A user with two phones: an awake desk phone and one that sleeps. Also the mode that only wakes.

use fswake_test_support::realfs::Routing;

use super::words::*;

pub fn rows() -> Vec<Row> {
    vec![
        row(5, "two_phones_sleeper_answers")
            .other(rings(Other))
            .steps(up())
            .steps([
                Until(Over(Other)),
                See("caller", Answers),
                See("other", End(Other)),
                See("INVITEs", Invites(Callee)),
                See("INVITEs there", Invites(Other)),
                See("caller hears", Hears(Caller, 300)),
            ])
            .steps([HangUp(Caller), See("CDRs", Cdrs(BILLED))])
            .steps([
                See("XML", XmlCdrs(&["caller", "dest", "direction", "hangup_cause"])),
                See("CSV", CsvCdrs),
            ]),
        row(5, "two_phones_desk_answers")
            .callee(rings(Callee))
            .other(rings(Other))
            .steps([
                Until(Rings(Callee)),
                Until(Rings(Other)),
                Wait(300),
                PickUp(Other),
                Until(Up(Other)),
                Until(Over(Callee)),
                Wait(300),
                See("callee", End(Callee)),
                See("caller hears", Hears(Caller, 300)),
            ])
            .steps([HangUp(Caller), See("CDRs", Cdrs(BILLED))]),
        row(5, "two_phones_one_declines")
            .callee(declines(Callee, 603))
            .other(rings(Other))
            .steps([
                Until(Rings(Other)),
                Wait(1500),
                PickUp(Other),
                Until(Up(Other)),
                Wait(300),
                See("caller", Answers),
                See("caller hears", Hears(Caller, 300)),
                See("INVITEs", Invites(Callee)),
            ])
            .steps([HangUp(Caller), See("CDRs", Cdrs(BILLED))]),
        row(5, "two_phones_busy_and_declined")
            .before(&[("set", "continue_on_fail=false")])
            .callee(declines(Callee, 486))
            .other(declines(Other, 603))
            .steps([
                Until(Final),
                See("caller", Answers),
                See("INVITEs", Invites(Callee)),
                See("INVITEs there", Invites(Other)),
            ])
            .steps([See("CDRs", Cdrs(BILLED))]),
        row(5, "two_phones_cancelled")
            .callee(rings(Callee))
            .other(rings(Other))
            .steps([
                Until(Rings(Callee)),
                Until(Rings(Other)),
                Until(Ringback),
                Wait(200),
                Cancel,
                Until(Over(Callee)),
                Until(Over(Other)),
                See("callee", End(Callee)),
                See("other", End(Other)),
            ])
            .steps([See("CDRs", Cdrs(BILLED))]),
        // Dialplan routing takes one number, not a list of users.
        row(5, "ring_group_of_two_users")
            .routings(&[Routing::Plain, Routing::DialString])
            .bridge("user/{1}@{domain},user/{2}@{domain}")
            .third(rings(Third))
            .steps(up())
            .steps([
                Until(Over(Third)),
                See("third", End(Third)),
                See("INVITEs", Invites(Callee)),
                See("caller hears", Hears(Caller, 300)),
            ]),
        row(8, "wake_only_answered")
            .only_through_one(KNOWS_ITS_OWN)
            .before(&[("export", "fswake_mode=wake")])
            .steps(answered())
            .steps([
                See("caller", Answers),
                See("From", Header(Callee, "From")),
                See("INVITEs", Invites(Callee)),
                See("rung by", RungBy(Callee)),
                See("show calls", Calls),
                See("caller hears", Hears(Caller, 300)),
            ]),
        row(8, "wake_only_busy")
            .only_through_one(KNOWS_ITS_OWN)
            .before(&[("export", "fswake_mode=wake"), ("set", "continue_on_fail=false")])
            .callee(declines(Callee, 486))
            .steps([
                Until(Final),
                See("caller", Answers),
                See("INVITEs", Invites(Callee)),
                See("rung by", RungBy(Callee)),
            ]),
        row(8, "wake_only_two_phones")
            .only_through_one(KNOWS_ITS_OWN)
            .before(&[("export", "fswake_mode=wake"), ("export", "fswake_wait=all")])
            .callee(rings(Callee))
            .other(answers(Other))
            .steps([
                Until(Up(Other)),
                Until(Up(Caller)),
                Wait(300),
                See("callee", End(Callee)),
                See("rung by", RungBy(Callee)),
                See("INVITEs", Invites(Callee)),
                See("other is rung by", RungBy(Other)),
                See("caller hears", Hears(Caller, 300)),
            ]),
        row(8, "wake_only_no_answer")
            .only_through_one(KNOWS_ITS_OWN)
            .before(&[
                ("export", "fswake_mode=wake"),
                ("set", "continue_on_fail=false"),
                ("set", "call_timeout=4"),
            ])
            .callee(rings(Callee))
            .steps([
                Until(Final),
                See("caller", Answers),
                See("INVITEs", Invites(Callee)),
                See("rung by", RungBy(Callee)),
                See("time", Took(3000, 5600)),
            ]),
    ]
}
