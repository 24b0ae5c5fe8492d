//! Which tables this fswake knows.

/// The tables, as shipped in `postgresql.sql`.
pub const SCHEMA: &str = include_str!("../../../postgresql.sql");

/// The version that [`SCHEMA`] is.
pub const SCHEMA_VERSION: i32 = 1;
