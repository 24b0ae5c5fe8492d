//! The `fswake` command.

use std::process::ExitCode;

use clap::Parser;
use fswake::cli::{Cli, exit_code};

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fswake: {error:#}");
            exit_code(&error)
        }
    }
}
