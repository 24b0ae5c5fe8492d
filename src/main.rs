//! The `fswake` command.

use std::process::ExitCode;

use clap::Parser;
use fswake::cli::{Cli, EXIT_BROKEN_PIPE, exit_code, is_broken_pipe, tell};

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        // Who reads has had enough (`| head`): nothing to say, and nobody to say it to.
        Err(error) if is_broken_pipe(&error) => ExitCode::from(EXIT_BROKEN_PIPE),
        Err(error) => {
            tell(&error);
            exit_code(&error)
        }
    }
}
