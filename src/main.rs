//! The `fswake` command.

use std::process::ExitCode;

use clap::Parser;
use fswake::cli::{Cli, finish};
use fswake::handover::leave::if_stand_in;

fn main() -> ExitCode {
    if if_stand_in() {
        return ExitCode::SUCCESS;
    }
    finish("fswake", Cli::parse().run())
}
