//! See `tests/skipped.rs`.
