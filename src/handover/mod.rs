//! Restarts without a gap: one process of fswake takes over from another.
//!
//! The process that has taken calls so far is the *predecessor*, the one that takes over is its *successor*. The
//! listening sockets are never closed in between: calls that FreeSWITCH hands over meanwhile wait in the kernel's queue
//! for some milliseconds. The predecessor finishes the calls that it holds, with its own connection to FreeSWITCH, and
//! ends.
//!
//! There are two ways:
//!
//! | | the plain program, `SIGUSR2` | `systemctl restart`, `SIGUSR1` (`RestartKillSignal=`) |
//! |---|---|---|
//! | who starts the successor | the predecessor ([`successor`]) | systemd |
//! | how the sockets get there | over a Unix socket, the successor's stdin ([`channel`]) | systemd keeps them meanwhile (`FDSTORE=1`), or a socket unit does ([`sockets`]) |
//! | when the predecessor stops | when the successor is ready | at once: it leaves the service, and finishes its calls in the background ([`leave`], [`anchor`]) |
//! | if the successor fails | the predecessor goes on | nobody takes calls: they go on in the dialplan |
//!
//! What only one of the two may do at a time follows from the [`Duty`]: take calls, answer events that ask for a push,
//! change devices in the store, exchange them with the shared store, send refresh pushes, talk to systemd.
//!
//! Races, each with its test in `tests/daemon/handover`:
//! - a call is accepted just before the handover: its process finishes it
//!   (`thousand_calls_over_ten_handovers_all_have_their_wake`);
//! - an event that asks for a push reaches one process before the handover and the other after it: the number of the
//!   event decides ([`Duty::claims`], `events_around_a_handover_are_answered_once`);
//! - the successor is killed before it is ready (`successor_that_is_killed_leaves_the_old_process_in_place`);
//! - the predecessor is killed before it has handed over: the successor ends too
//!   (`successor_without_its_predecessor_ends`).

pub mod anchor;
pub mod channel;
pub mod descriptors;
pub mod duty;
pub mod finishing;
pub mod leave;
pub mod predecessor;
pub mod sockets;
pub mod successor;

pub use anchor::Tie;
pub use duty::{Claim, Duty, Phase};
pub use predecessor::Predecessor;
pub use sockets::Sockets;
pub use successor::{Program, Succession};

use anyhow::Context;

/// What a process finds when it starts.
#[derive(Debug)]
pub struct Handover {
    /// Its own program, for a successor.
    pub program: Program,
    /// The sockets that were passed to it.
    pub sockets: Sockets,
    /// The process that it takes over from.
    pub predecessor: Option<Predecessor>,
    /// Whose end is its own.
    pub tie: Tie,
}

impl Handover {
    /// Reads what was passed to this process. Call it once, before threads start.
    ///
    /// # Errors
    /// When it was started to take over, but nobody hands over.
    pub fn of_process() -> anyhow::Result<Self> {
        let tie = Tie::of_process();
        let program = Program::of_process().context("find this program's path")?;
        let (predecessor, sockets) = match Predecessor::of_process()? {
            Some((predecessor, sockets)) => (Some(predecessor), sockets),
            None => (None, Sockets::of_service()),
        };
        Ok(Self {
            program,
            sockets,
            predecessor,
            tie,
        })
    }
}
