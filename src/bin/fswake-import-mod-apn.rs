//! The `fswake-import-mod-apn` command: a program of its own, because it is used once.

use std::process::ExitCode;

use clap::Parser;
use fswake::cli::finish;
use fswake::import::ImportModApn;

fn main() -> ExitCode {
    finish("fswake-import-mod-apn", ImportModApn::parse().run())
}
