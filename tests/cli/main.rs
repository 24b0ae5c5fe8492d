//! The command line: output and exit codes.

mod check;
mod failures;
mod help;

use std::process::{Command, Output};

fn fswake(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fswake"))
        .args(args)
        .env_remove("FSWAKE_CONFIG")
        .env_remove("FSWAKE_LOG")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
