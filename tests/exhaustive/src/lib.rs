//! Every order of a few events against the real engine, breadth first.
//!
//! | module | what it knows |
//! |---|---|
//! | [`beginnings`] | how a history begins: phones, policies, calls |
//! | [`step`] | what may happen next, where it makes sense |
//! | [`sim`] | one history: the engine, and what is outside it |
//! | [`cast`] | the events that are made of texts |
//! | `parts` | what tells a state from others |
//! | [`search`] | all histories, states that act alike looked at once |
//! | `map` | all states so far, and how to get to them again |
//! | `last` | the states with one event to go, which are most of all |
//! | [`alike`] | whether what is looked at once acts alike |
//! | [`fingerprint`] | 128 bits for a state |
//! | `ledger` | the invariants, shared with `core/tests/invariants.rs` |
//!
//! A state is the engine and its surroundings ([`sim::Sim`]); [`engine::digest`] says what of the engine is in its
//! fingerprint: everything that decides what it does, moments counted from now. Of the surroundings everything is.
//! Because that has to be right, it is looked at ([`alike::Doubt`]): every state but those with one event to go is rebuilt from its history
//! before its next steps are tried, and must have the fingerprint that it was filed under; of one in a hundred states that a longer
//! history leads to again, and one in a thousand that another of the same length does, both are taken on by every possible step, and must
//! say the same and end in the same fingerprints. Of short histories (`two_calls_doubted`) every one is taken on so.
//!
//! # What is looked at once
//!
//! Nothing is left out but states that act alike. Taken for the same are states that differ in no more than this:
//!
//! | what | why it decides nothing |
//! |---|---|
//! | the numbers of legs, pushes and questions | names; a question is answered at once here, so none is open between two steps |
//! | moments more than five minutes away | timers, windows and limits of a call take a minute at most; registrations last an hour, and no history does |
//! | how old a leg is that rings | its time is asked only before it rings |
//! | once no call is to come: in which order phones are known, and when they were last alive | only a call that comes reads them; those that are held have their own list |
//! | when a phone of a held call was last alive | asked when the call begins with it |
//! | pushes and REGISTERs of a phone that is out of a call | it is neither rung nor pushed any more |
//! | in which order tokens were dropped | the oldest of ten thousand goes |
//! | what becomes of pushes with news of a call's end | nobody hears it |
//! | texts and times that are only told | see [`engine::digest`] |
//!
//! Push limits are off, so that their windows are no part of a state: a phone is pushed three times a call at most, so two calls cannot
//! reach ten a minute.
//!
//! After the last event of the longest histories only what must hold is looked at. That is about one call, so what only one call hears is
//! tried once for all states in which that call sees the same (`last`).
//!
//! Not used: exchanging the two phones, because one of them moves where the other loses its connection; leaving out one of two orders of
//! events that seem to have nothing to do with each other, because that they have nothing to do with each other is what is to be shown.
//!
//! Two histories that differ in time alone are two histories only where a timer lies between: everything else happens in the
//! moment of the timer before. Time passes from one timer to the next.

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
