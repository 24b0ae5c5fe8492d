//! `fswake completions` and `fswake man`: made from the command line's own description.

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use clap::CommandFactory;
use clap_complete::Shell;

use super::Cli;

/// Writes completions for a shell.
pub(super) fn completions(shell: Shell) -> anyhow::Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "fswake", &mut text);
    Ok(std::io::stdout().lock().write_all(&text)?)
}

/// Writes the manual.
pub(super) fn man(directory: Option<&Path>) -> anyhow::Result<()> {
    if let Some(directory) = directory {
        let made = std::fs::create_dir_all(directory);
        made.with_context(|| directory.display().to_string())?;
        let written = clap_mangen::generate_to(Cli::command(), directory);
        return written.with_context(|| directory.display().to_string());
    }
    let mut text = Vec::new();
    clap_mangen::Man::new(Cli::command().disable_help_subcommand(true)).render(&mut text)?;
    Ok(std::io::stdout().lock().write_all(&text)?)
}
