//! What fswake decides and reads, and nothing that it does: no clock, no socket, no file, no thread, no log.
//!
//! | module | what it is |
//! |---|---|
//! | [`types`] | the field's own words: call, AOR, device, binding, token |
//! | [`contact`] | the Contact of a REGISTER: parser and writer |
//! | [`engine`] | decides who is pushed, rung and connected |
//!
//! The compiler keeps it so: this crate has no runtime, no database and no TLS among its dependencies, and
//! `clippy.toml` forbids what the standard library has of clocks, files and threads.

#![warn(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::todo,
    clippy::dbg_macro,
    clippy::print_stdout,
    clippy::print_stderr
)]

pub mod contact;
pub mod engine;
pub mod types;
