//! `fswake setup`: puts fswake next to a FreeSWITCH of this host. It changes no file that somebody else has written or
//! edited.

mod plan;
mod site;
mod snippet;
mod sums;

use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;

use self::plan::{FileStep, SetupPlan};
use self::site::Site;
use super::doctor;
use crate::config::{Config, Environment};
use crate::new_files::{Fresh, Made, NewFile};
use crate::words;

/// Where to look, and how far to go.
#[derive(Debug, Args)]
pub(super) struct SetupArgs {
    /// FreeSWITCH's configuration folder, which has freeswitch.xml [default: the usual places]
    #[arg(long, value_name = "FOLDER")]
    freeswitch: Option<PathBuf>,
    /// Only show what would be written
    #[arg(long)]
    dry_run: bool,
    /// Write without asking
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
    /// Where systemd's units are
    #[arg(long, value_name = "FOLDER", default_value = "/etc/systemd/system", hide = true)]
    units: PathBuf,
}

/// Shows what is missing, writes it, shows what remains to do, and runs the doctor.
pub(super) fn setup(args: &SetupArgs, file: Option<&Path>, env: &Environment) -> anyhow::Result<()> {
    let site = Site::find(args.freeswitch.as_deref())?;
    let configuration = file.or(env.config.as_deref()).unwrap_or(&env.default_file);
    let SetupPlan { steps, sums } = plan::plan(&site, configuration, &args.units)?;
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "FreeSWITCH: {}, event socket {}:{}",
        site.folder.display(),
        site.socket.host,
        site.socket.port
    )?;
    for step in &steps {
        show(&mut out, step)?;
    }
    let mut to_write: Vec<_> = steps.into_iter().filter_map(to_write).collect();
    let files = to_write.len();
    if files > 0 && !args.dry_run {
        if !args.yes && !is_wanted(&mut out)? {
            bail!("nothing was written");
        }
        to_write.push(replacing(sums.to_file()));
        write(&to_write)?;
        writeln!(out, "\nwritten: {}", words::count(files, "file"))?;
    }
    let left = left_to_do(&site, configuration, files > 0);
    if left.is_empty() {
        writeln!(out, "\nNothing to do.")?;
    } else {
        writeln!(out, "\nLeft for you:\n{left}")?;
    }
    if args.dry_run {
        return Ok(());
    }
    writeln!(out, "\nfswake doctor:")?;
    drop(out);
    let examined = Config::load_to_ask(Some(configuration), env)
        .map_err(anyhow::Error::from)
        .and_then(|config| doctor::doctor(&config, &doctor::DoctorArgs::default(), false));
    if let Err(error) = examined {
        writeln!(std::io::stdout(), "{}", words::of(error.as_ref()))?;
    }
    Ok(())
}

fn to_write(step: FileStep) -> Option<(NewFile, Made)> {
    match step {
        FileStep::Make(file) => Some((file, Made::New)),
        FileStep::Change { file, .. } => Some((file, Made::Replaced)),
        FileStep::Beside { file, .. } => Some(replacing(file)),
        FileStep::Good(_) | FileStep::Edited { .. } | FileStep::Leave { .. } | FileStep::OtherPassword(_) => None,
    }
}

/// A file of setup's own, which may be there from the last time.
fn replacing(file: NewFile) -> (NewFile, Made) {
    let made = if file.path.exists() { Made::Replaced } else { Made::New };
    (file, made)
}

fn show(out: &mut impl Write, step: &FileStep) -> std::io::Result<()> {
    match step {
        FileStep::Good(path) => writeln!(out, "\n{}: good", path.display()),
        FileStep::Make(file) if is_secret(file) => {
            writeln!(out, "\n{}: new, the event socket's password", file.path.display())
        }
        FileStep::Make(file) => {
            let lines = file.text.lines().count();
            writeln!(out, "\n{}: new, {lines} lines", file.path.display())
        }
        FileStep::Change { file, before } => {
            writeln!(out, "\n{}: changes", file.path.display())?;
            difference(out, before, &file.text)
        }
        FileStep::Edited { path, new } => {
            write!(out, "\n{}: edited, and stays as it is", path.display())?;
            if let Some(new) = new {
                write!(out, ". {} is still there: merge it, or delete it", new.display())?;
            }
            writeln!(out)
        }
        FileStep::Beside { path, file, before } => {
            writeln!(
                out,
                "\n{}: edited, and stays as it is. fswake's own goes to {}, with these differences:",
                path.display(),
                file.path.display()
            )?;
            difference(out, before, &file.text)
        }
        FileStep::OtherPassword(path) => writeln!(
            out,
            "\n{}: holds another password than FreeSWITCH's event_socket.conf.xml, and stays as it is",
            path.display()
        ),
        FileStep::Leave { path, should } => {
            writeln!(
                out,
                "\n{}: not written by setup, and stays as it is. It needs:",
                path.display()
            )?;
            let lines: Vec<_> = should.lines().collect();
            for line in lines.iter().take(8) {
                writeln!(out, "    {line}")?;
            }
            if lines.len() > 8 {
                writeln!(out, "    .. and {} more lines", lines.len() - 8)?;
            }
            Ok(())
        }
    }
}

fn difference(out: &mut impl Write, before: &str, after: &str) -> std::io::Result<()> {
    let diff = similar::TextDiff::from_lines(before, after);
    write!(out, "{}", diff.unified_diff().context_radius(1))
}

fn is_secret(file: &NewFile) -> bool {
    file.mode == 0o600
}

fn is_wanted(out: &mut impl Write) -> anyhow::Result<bool> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        bail!("stdin is not a terminal, so setup cannot ask\nhint: --yes writes the files, --dry-run only shows them");
    }
    write!(out, "\nWrite these files? [y/N] ")?;
    out.flush()?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// All of them, or none.
fn write(files: &[(NewFile, Made)]) -> anyhow::Result<()> {
    let mut fresh = Fresh::default();
    for (file, made) in files {
        if let Some(folder) = file.path.parent() {
            std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        fresh.make(file, *made)?;
    }
    fresh.keep();
    Ok(())
}

/// What only the operator can do, a line or more for each point.
fn left_to_do(site: &Site, configuration: &Path, is_written: bool) -> String {
    let mut points = Vec::new();
    let context = &site.context.name;
    if let Some(script) = site.script {
        points.push(format!(
            "{script} answers for the dialplan here, so setup changes no file of FreeSWITCH's: follow docs/FUSIONPBX.md"
        ));
    } else {
        let others: Vec<_> = site.dial_strings.iter().filter(|line| !line.is_ours(context)).collect();
        if site.dial_strings.is_empty() {
            points.push(format!(
                "there is no dial-string in {}/directory. Add to the <params> of your <domain>:\n    {}",
                site.folder.display(),
                snippet::dial_string(context)
            ));
        }
        for line in &others {
            points.push(format!(
                "in {}, line {}:\n    -{}\n    +{}",
                line.file.display(),
                line.line,
                line.text,
                line.ours(context)
            ));
        }
        if is_written || !others.is_empty() || site.dial_strings.is_empty() {
            let port = match site.socket.port {
                8021 => String::new(),
                port => format!("-P {port} "),
            };
            points.push(format!("fs_cli {port}-x reloadxml"));
        }
    }
    if !plan::has_app(configuration) {
        points.push(format!(
            "add your apps to {} ([[app]]), then run `fswake check`",
            configuration.display()
        ));
    }
    if is_written || !points.is_empty() {
        points.push("systemctl daemon-reload && systemctl enable fswake && systemctl restart fswake".to_owned());
    }
    let points: Vec<_> = points.iter().map(|point| format!("  - {point}")).collect();
    points.join("\n")
}
