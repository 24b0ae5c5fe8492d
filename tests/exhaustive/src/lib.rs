//! Tries every order of a few events on the real engine, breadth first.
//!
//! | module | content |
//! |---|---|
//! | [`beginnings`] | the start of a history: phones, policies, calls |
//! | [`step`] | the possible next events |
//! | [`sim`] | one history: the engine and its surroundings |
//! | [`cast`] | the events that contain texts |
//! | `parts` | the parts of a state |
//! | [`search`] | all histories; states that behave alike are visited once |
//! | `map` | all states so far, with their histories |
//! | `last` | the states with one event left, which are most of them |
//! | [`alike`] | checks that states visited once do behave alike |
//! | [`fingerprint`] | 128 bits for a state |
//! | `ledger` | the invariants, shared with `core/tests/invariants.rs` |
//!
//! A state consists of the engine and its surroundings ([`sim::Sim`]). The fingerprint covers the surroundings
//! completely. Of the engine it covers everything that decides what it does next, with times relative to now
//! ([`engine::digest`]). [`alike::Doubt`] checks this. Every state except those with one event left is rebuilt from its
//! history before its next steps are tried, and must have the same fingerprint. If a longer history leads to a known
//! state, one in a hundred is compared; if another history of the same length does, one in a thousand. Both histories
//! are continued by every possible step, and must give the same commands and end in the same fingerprints. For short
//! histories (`two_calls_doubted`) every state is compared in this way.
//!
//! # What is visited once
//!
//! Only states that behave alike are skipped. States count as the same if they differ only in this:
//!
//! | difference | why it has no effect |
//! |---|---|
//! | the numbers of legs, pushes and questions | they are only names; a question is answered at once here, so none is open between two steps |
//! | times more than five minutes away | timers, windows and limits of a call take a minute at most; registrations last an hour, and no history does |
//! | the age of a ringing leg | it is only used before the leg rings |
//! | without a future call: the order in which phones are known, and their last signs of life | only a new call uses them; held calls have their own list |
//! | the last sign of life of a phone in a held call | it is only used when the call begins with the phone |
//! | pushes and REGISTERs of a phone that has left a call | the phone is neither rung nor pushed any more |
//! | the order in which tokens were dropped | it only decides which of ten thousand is forgotten first |
//! | the outcomes of pushes about a call's end | they have no effect |
//! | texts and times that are only reported | see [`engine::digest`] |
//!
//! Push limits are off, so their windows are not part of a state. A phone is pushed at most three times in a call, so
//! two calls cannot reach ten a minute.
//!
//! After the last event of the longest histories only the invariants are checked. Each concerns one call. So events
//! that only one call receives are tried once for all states with the same view of that call (`last`).
//!
//! Two reductions are not used. The phones are not exchanged, because one moves and the other loses its connection. And
//! both orders of independent events are tried, because the check must show that they are independent.
//!
//! Two histories that differ only in time count as two only if a timer lies between them. Everything else happens at
//! the time of the previous timer. Time advances from one timer to the next.

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
