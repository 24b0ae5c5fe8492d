//! `fswake completions` and `fswake man`: made from the command line's own description.

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use clap::Command;
use clap_complete::Shell;

/// Writes completions for a shell.
pub(super) fn completions(shell: Shell, mut cli: Command) -> anyhow::Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut cli, "fswake", &mut text);
    Ok(std::io::stdout().lock().write_all(&text)?)
}

/// Writes the manual.
pub(super) fn man(directory: Option<&Path>, cli: Command) -> anyhow::Result<()> {
    if let Some(directory) = directory {
        let made = std::fs::create_dir_all(directory);
        made.with_context(|| directory.display().to_string())?;
        let written = clap_mangen::generate_to(cli, directory);
        return written.with_context(|| directory.display().to_string());
    }
    let mut text = Vec::new();
    clap_mangen::Man::new(cli.disable_help_subcommand(true)).render(&mut text)?;
    Ok(std::io::stdout().lock().write_all(&text)?)
}
