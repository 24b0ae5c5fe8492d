//! The `fswake` command.

use std::process::ExitCode;

use clap::Parser;
use fswake::cli::{Cli, finish};

fn main() -> ExitCode {
    finish("fswake", Cli::parse().run())
}
