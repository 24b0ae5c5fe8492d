//! The `fswake` command.

fn main() {}
