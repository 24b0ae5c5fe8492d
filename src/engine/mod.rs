//! The engine: decides, and does nothing else.

pub mod policy;
