//! What fswake decides and parses, without any effects: no clock, socket, file, thread or log.
//!
//! | module | what it is |
//! |---|---|
//! | [`types`] | the terms of the field: call, AOR, device, binding, token |
//! | [`contact`] | the Contact of a REGISTER: parser and writer |
//! | [`engine`] | decides who is pushed, rung and connected |
//!
//! The compiler enforces it: this crate has no runtime, database or TLS among its dependencies, and `clippy.toml`
//! forbids the standard library's clocks, files and threads.

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
