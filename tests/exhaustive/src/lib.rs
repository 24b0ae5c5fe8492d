//! Every order of a few events against the real engine, breadth first.
//!
//! | module | what it knows |
//! |---|---|
//! | [`beginnings`] | how a history begins: phones, policies, calls |
//! | [`step`] | what may happen next, if it makes sense |
//! | [`sim`] | one history: the engine, and what is outside it |
//! | [`cast`] | the events that are made of texts |
//! | `parts` | the parts of a state |
//! | [`search`] | all histories; states that behave alike are visited once |
//! | `map` | all states so far, and how to get to them again |
//! | `last` | the states with one event to go, which are most of them |
//! | [`alike`] | checks that states visited once do behave alike |
//! | [`fingerprint`] | 128 bits for a state |
//! | `ledger` | the invariants, shared with `core/tests/invariants.rs` |
//!
//! A state is the engine and its surroundings ([`sim::Sim`]). The engine's part of the fingerprint is everything that
//! decides what it does, with moments counted from now ([`engine::digest`]); all of the surroundings are in it.
//! [`alike::Doubt`] checks this. Every state but those with one event to go is rebuilt from its history before its next
//! steps are tried, and must have the same fingerprint. Of states that a longer history leads to again, one in a
//! hundred is compared, and of those that another history of the same length leads to, one in a thousand: both are
//! continued by every possible step, and must give the same commands and end in the same fingerprints. Of short
//! histories (`two_calls_doubted`) every state is compared so.
//!
//! # What is visited once
//!
//! Only states that behave alike are left out. States count as the same if they differ in no more than this:
//!
//! | what | why it decides nothing |
//! |---|---|
//! | the numbers of legs, pushes and questions | names; a question is answered at once here, so none is open between two steps |
//! | moments more than five minutes away | timers, windows and limits of a call take a minute at most; registrations last an hour, and no history does |
//! | how old a leg is that rings | its time is asked only before it rings |
//! | once no call is to come: in which order phones are known, and when they were last alive | only a call that comes reads them; those that are held have their own list |
//! | when a phone of a held call was last alive | asked when the call begins with it |
//! | pushes and REGISTERs of a phone that has left a call | it is neither rung nor pushed any more |
//! | in which order tokens were dropped | the oldest of ten thousand goes |
//! | the outcomes of pushes with news of a call's end | they have no effect |
//! | texts and times that are only reported | see [`engine::digest`] |
//!
//! Push limits are off, so that their windows are not part of a state: a phone is pushed three times a call at most, so
//! two calls cannot reach ten a minute.
//!
//! After the last event of the longest histories only the invariants are checked. Each is about one call, so events
//! that only one call receives are tried once for all states with the same view of that call (`last`).
//!
//! Not used: exchanging the two phones, because one of them moves and the other loses its connection. Nor leaving out
//! one of two orders of independent events, because their independence is what the check has to show.
//!
//! Two histories that differ only in time count as two only if a timer is between them: everything else happens at the
//! moment of the previous timer. Time passes from one timer to the next.

pub mod alike;
pub mod beginnings;
pub mod cast;
pub mod fingerprint;
mod last;
#[path = "../../../core/tests/common/ledger.rs"]
pub mod ledger;
mod map;
mod parts;
pub mod search;
pub mod sim;
pub mod step;

pub use fswake_core::{engine, types};
