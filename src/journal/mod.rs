//! The journal of wakes: reads it from the store, shows it in words, and diagnoses missed calls.
//!
//! ```text
//! engine --Note--> driver --JournalEntry--> store (table journal) --Journal--> Wake --words--> a timeline
//!                                                                                \--diagnosis--> one sentence
//! ```
//!
//! Reading opens the file read-only and needs no daemon; it works next to one that writes (WAL). Every text in a line
//! may be from the network: words escape it for terminals, JSON is written by serde.

pub mod attempt;
mod cause;
mod column;
mod decline;
pub mod diagnosis;
mod history;
mod invite;
mod pattern;
mod reader;
mod reason;
mod step;
mod summary;
mod wake;
mod words;

pub use attempt::Attempt;
pub use diagnosis::Diagnosis;
pub use invite::InviteEnd;
pub use pattern::Pattern;
#[doc(hidden)]
pub use reader::questions;
pub use reader::{Journal, JournalError, WakePage, Whose};
pub use reason::Reason;
pub use step::{DroppedToken, TimelineStep};
pub use summary::{Bar, DaemonSummary, Latency, Summary};
pub use wake::{Overview, Wake};
