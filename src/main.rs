//! The `fswake` command.

use std::process::ExitCode;

use clap::Parser;
use fswake::cli::{Cli, EXIT_BROKEN_PIPE, exit_code, in_words, is_broken_pipe};

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        // Who reads has had enough (`| head`): nothing to say, and nobody to say it to.
        Err(error) if is_broken_pipe(&error) => ExitCode::from(EXIT_BROKEN_PIPE),
        Err(error) => {
            eprintln!("fswake: {}", in_words(&error));
            exit_code(&error)
        }
    }
}
