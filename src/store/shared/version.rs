//! The tables that this fswake knows.

/// The tables, as shipped in `postgresql.sql`.
pub const SCHEMA: &str = include_str!("../../../postgresql.sql");

/// The version of [`SCHEMA`].
pub const SCHEMA_VERSION: i32 = 2;
