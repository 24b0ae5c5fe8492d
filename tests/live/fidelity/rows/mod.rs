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

    /// Why rows with `fswake_mode=wake` are left out there.
    pub const KNOWS_ITS_OWN: &str = "the dialplan's own bridge knows only phones of the call's FreeSWITCH";
    /// The call ends when its bridge fails.
    pub const FATAL: (&str, &str) = ("set", "continue_on_fail=false");
    /// What the actions after the bridge can read.
    pub const LEAVES: (&str, &str) = (
        "set_global",
        "fid-{id}-end=${originate_disposition} ${DIALSTATUS} ${originate_failed_cause} ${last_bridge_hangup_cause} ${bridge_hangup_cause}",
    );
    /// What comes next in the dialplan.
    pub const NEXT: (&str, &str) = ("respond", "410 Gone");
    /// The variables that billing needs, in the records of losing legs too.
    pub const BILLED: &[&str] = &["caller", "dest", "hangup_cause", "originate_disposition", "DIALSTATUS"];

    /// Until both phones are in the call, with or without a loopback between them, and a little longer.
    pub fn answered() -> Vec<Step> {
        vec![Until(Up(Caller)), Until(Up(Callee)), Wait(400)]
    }

    /// Until both phones are in the call and FreeSWITCH has bridged them (slow on a busy machine), and a little longer.
    pub fn up() -> Vec<Step> {
        vec![Until(Up(Caller)), Until(Up(Callee)), Until(Bridged), Wait(400)]
    }

    /// Until the phone rings and the caller hears it, and so many milliseconds longer.
    pub fn ringing(longer: u64) -> Vec<Step> {
        vec![Until(Rings(Callee)), Until(Ringback), Wait(longer)]
    }

    /// The caller hangs up after ringing for so long.
    pub fn cancelled(longer: u64) -> Vec<Step> {
        [ringing(longer), vec![Cancel]].concat()
    }

    /// Until a call has been transferred to the desk phone, and what that phone shows and receives.
    pub fn at_desk() -> Vec<Step> {
        vec![
            Until(Up(Desk)),
            Wait(600),
            See("context", Header(Desk, "X-Context")),
            See("From", Header(Desk, "From")),
            See("desk hears", Hears(Desk, 400)),
        ]
    }

    /// The causes with which the caller's and the callee's calls ended.
    pub fn ends() -> Vec<Step> {
        vec![See("callee", EndCause(Callee)), See("caller", EndCause(Caller))]
    }

    /// Blind transfer by this phone to the desk, and what happens to all three phones.
    pub fn blind(by: Who) -> Vec<Step> {
        [vec![Blind(by, "5{id}")], at_desk(), ends()].concat()
    }

    /// What the desk phone and the other one show and receive once their calls are connected.
    pub fn joined(other: Step) -> Vec<Step> {
        vec![
            See("desk hears", Hears(Desk, 400)),
            other,
            See("desk shows", Display(Desk)),
            See("show calls", Calls),
        ]
    }

    /// The call ended unanswered: the caller's response, and what the dialplan can read.
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

use fswake_test_support::{baresip as program, skipped};

use super::row::Row;

/// The rows that this machine can play, with their positions.
pub fn playable() -> Vec<(usize, Row)> {
    let mut rows: Vec<_> = all().into_iter().enumerate().collect();
    if !program::is_installed() {
        skipped::note_all(
            "fidelity: all rows with baresip",
            "baresip is not installed (Debian: baresip-core)",
        );
        rows.retain(|(_, row)| row.baresip.is_none());
    }
    rows
}

/// All rows. A row's position here is part of its users' numbers.
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
