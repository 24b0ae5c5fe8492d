//! The rows, by what they are about.

#![expect(clippy::wildcard_imports, reason = "the words that rows are written in")]

mod baresip;
mod early;
mod ends;
mod identity;
mod leg;
mod media;
mod pictures;
mod records;
mod ringing;
mod several;
mod taken;
mod transfers;

/// What all rows are written with.
mod words {
    pub use super::super::row::Look::*;
    pub use super::super::row::Moment::*;
    pub use super::super::row::Step::*;
    pub use super::super::row::Who::*;
    pub use super::super::row::{Row, Step, Who, answers, declines, rings, row};

    /// The call ends with its bridge.
    pub const FATAL: (&str, &str) = ("set", "continue_on_fail=false");
    /// What the actions behind the bridge know.
    pub const LEAVES: (&str, &str) = (
        "set_global",
        "fid-{id}-end=${originate_disposition} ${DIALSTATUS} ${originate_failed_cause} ${last_bridge_hangup_cause} ${bridge_hangup_cause}",
    );
    /// What comes next in the dialplan.
    pub const NEXT: (&str, &str) = ("respond", "410 Gone");
    /// What billing goes by, in the records of losers too.
    pub const BILLED: &[&str] = &["caller", "dest", "hangup_cause", "originate_disposition", "DIALSTATUS"];

    /// Until both are in the call, whatever is between them, and a little longer.
    pub fn answered() -> Vec<Step> {
        vec![Until(Up(Caller)), Until(Up(Callee)), Wait(400)]
    }

    /// Until both are in the call, and FreeSWITCH has bridged them, which takes a while on a busy machine; and a little
    /// longer.
    pub fn up() -> Vec<Step> {
        vec![Until(Up(Caller)), Until(Up(Callee)), Until(Bridged), Wait(400)]
    }

    /// Until it rings on both sides, and so many milliseconds longer.
    pub fn ringing(longer: u64) -> Vec<Step> {
        vec![Until(Rings(Callee)), Until(Ringback), Wait(longer)]
    }

    /// The caller gives up after that.
    pub fn cancelled(longer: u64) -> Vec<Step> {
        [ringing(longer), vec![Cancel]].concat()
    }

    /// Until a call has been transferred to the desk, and what the desk sees and receives.
    pub fn at_desk() -> Vec<Step> {
        vec![
            Until(Up(Desk)),
            Wait(600),
            See("context", Header(Desk, "X-Context")),
            See("From", Header(Desk, "From")),
            See("desk hears", Hears(Desk, 400)),
        ]
    }

    /// How the calls of caller and callee have ended.
    pub fn ends() -> Vec<Step> {
        vec![See("callee", EndCause(Callee)), See("caller", EndCause(Caller))]
    }

    /// This phone transfers its call to the desk, blind; what happens to all three.
    pub fn blind(by: Who) -> Vec<Step> {
        [vec![Blind(by, "5{id}")], at_desk(), ends()].concat()
    }

    /// What the desk and the other see and receive when their calls have been joined.
    pub fn joined(other: Step) -> Vec<Step> {
        vec![
            See("desk hears", Hears(Desk, 400)),
            other,
            See("desk shows", Display(Desk)),
            See("show calls", Calls),
        ]
    }

    /// The call is over without an answer: what the caller got, and what the dialplan knows.
    pub fn ended() -> Vec<Step> {
        vec![
            Until(Final),
            Wait(200),
            See("caller", Answers),
            See("INVITEs", Invites(Callee)),
            See("CDRs", Cdrs(&["hangup_cause"])),
            See("knows", Left("end")),
        ]
    }

    /// The caller hangs up.
    pub fn over() -> Vec<Step> {
        vec![HangUp(Caller), Until(Over(Callee))]
    }
}

use super::row::Row;

/// All rows. Their place in this list is part of their users' numbers.
pub fn all() -> Vec<Row> {
    [
        taken::rows(),
        identity::rows(),
        leg::rows(),
        records::rows(),
        ringing::rows(),
        ends::rows(),
        several::rows(),
        transfers::rows(),
        media::rows(),
        pictures::rows(),
        baresip::rows(),
        early::rows(),
    ]
    .concat()
}
