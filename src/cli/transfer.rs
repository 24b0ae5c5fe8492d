//! `fswake export` and `fswake import`: devices from one store to another.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use crate::config::Config;
use crate::store::transfer;
use crate::words;

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// The file to create, readable for its owner only: it holds push tokens
    file: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// A file that `fswake export` made
    file: PathBuf,
}

/// Writes the devices of the store that the configuration names: of `store.url` if it is set, otherwise of `store.path`.
pub(super) fn export(config: &Config, args: &ExportArgs) -> anyhow::Result<()> {
    let shown = args.file.display().to_string();
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&args.file);
    let mut file = BufWriter::new(made.with_context(|| shown.clone())?);
    let exported = match &config.store.shared {
        Some(dsn) => runtime()?.block_on(transfer::export_shared(dsn, &mut file)),
        None => transfer::export_file(&config.store.path, &mut file),
    };
    let written = exported.map_err(anyhow::Error::from).and_then(|count| {
        file.flush()?;
        file.get_ref().sync_all()?;
        Ok(count)
    });
    let count = written.inspect_err(|_| {
        // An incomplete file looks like a complete one.
        let _ = std::fs::remove_file(&args.file);
    })?;
    let mut out = std::io::stdout().lock();
    Ok(writeln!(out, "{shown}: {}", words::count(count, "device"))?)
}

/// Imports devices into the store that the configuration names.
pub(super) fn import(config: &Config, args: &ImportArgs) -> anyhow::Result<()> {
    let shown = args.file.display().to_string();
    let mut file = BufReader::new(File::open(&args.file).with_context(|| shown.clone())?);
    let mut out = std::io::stdout().lock();
    if let Some(dsn) = &config.store.shared {
        let done = runtime()?.block_on(transfer::import_shared(dsn, &mut file));
        let count = done.with_context(|| shown.clone())?;
        let place = dsn.place();
        writeln!(
            out,
            "{place}: imported {} of {shown}, except where it has later changes; running daemons get them",
            words::count(count, "device")
        )?;
    } else {
        let (count, applied) = transfer::import_file(&config.store.path, &mut file).with_context(|| shown.clone())?;
        let path = config.store.path.display();
        writeln!(
            out,
            "{path}: read {} of {shown}, imported {applied}; a running daemon gets them after a restart",
            words::count(count, "device")
        )?;
    }
    Ok(())
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("start a runtime")
}
