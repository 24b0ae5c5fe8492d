//! Every order of a few events against the real engine, breadth first.
//!
//! | module | what it knows |
//! |---|---|
//! | [`beginnings`] | how a history begins: phones, policies, calls |
//! | [`step`] | what may happen next, where it makes sense |
//! | [`sim`] | one history: the engine, and what is outside it |
//! | [`search`] | all histories, states that act alike looked at once |
//! | [`fingerprint`] | 128 bits for a state |
//! | `ledger` | the invariants, shared with `tests/invariants.rs` |
//!
//! A state is the engine and its surroundings ([`sim::Sim`]); [`fswake::engine::digest`] says what of the engine is in its
//! fingerprint: everything that decides what it does, moments counted from now. Of the surroundings everything is.
//! Because that has to be right, it is looked at: every state is rebuilt from its history before its next steps are tried, and
//! must have the fingerprint that it was filed under; of one in a hundred states that two histories led to, both are
//! taken on by every possible step, and must say the same and end in the same fingerprints.
//!
//! Two histories that differ in time alone are two histories only where a timer lies between: everything else happens in the
//! moment of the timer before. Time passes from one timer to the next.

extern crate self as fswake;

pub mod beginnings;
pub mod fingerprint;
#[path = "../../common/ledger.rs"]
pub mod ledger;
pub mod search;
pub mod sim;
pub mod step;

/// The engine's own sources.
#[path = "../../../src"]
mod sources {
    pub mod engine;
    pub mod types;
}

pub use self::sources::{engine, types};
