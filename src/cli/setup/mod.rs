//! `fswake setup`: puts fswake beside a FreeSWITCH of this host. What is not its own is left as it is, and named.

mod plan;
mod site;

use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;

use self::plan::Step;
use self::site::Site;
use super::doctor;
use super::new_files::{Fresh, Made, NewFile};
use crate::config::{Config, Environment};

/// Where to look, and how far to go.
#[derive(Debug, Args)]
pub(super) struct Setup {
    /// FreeSWITCH's folder of configuration, the one with freeswitch.xml [default: where packages and builds have it]
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

/// Shows what is missing, writes it, says what is left to do, and lets the doctor look.
pub(super) fn setup(args: &Setup, file: Option<&Path>, env: &Environment) -> anyhow::Result<()> {
    let site = Site::find(args.freeswitch.as_deref())?;
    let configuration = file.or(env.config.as_deref()).unwrap_or(&env.default_file);
    let steps = plan::plan(&site, configuration, &args.units)?;
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
    let to_write: Vec<_> = steps
        .into_iter()
        .filter_map(|step| match step {
            Step::Make(file) => Some((file, Made::New)),
            Step::Change { file, .. } => Some((file, Made::Replaced)),
            Step::Good(_) | Step::Leave { .. } => None,
        })
        .collect();
    if args.dry_run {
        left_to_do(&mut out, &site)?;
        return Ok(());
    }
    if !to_write.is_empty() {
        if !args.yes && !is_wanted(&mut out)? {
            bail!("nothing was written");
        }
        write(&to_write)?;
        let files = if to_write.len() == 1 { "file" } else { "files" };
        writeln!(out, "written: {} {files}", to_write.len())?;
    }
    left_to_do(&mut out, &site)?;
    writeln!(out, "\nfswake doctor:")?;
    drop(out);
    let examined = Config::load_to_ask(Some(configuration), env)
        .map_err(anyhow::Error::from)
        .and_then(|config| doctor::doctor(&config, &doctor::Doctor::default(), false));
    if let Err(error) = examined {
        writeln!(std::io::stdout(), "{}", super::in_words(&error))?;
    }
    Ok(())
}

fn show(out: &mut impl Write, step: &Step) -> std::io::Result<()> {
    match step {
        Step::Good(path) => writeln!(out, "\n{}: good", path.display()),
        Step::Make(file) if is_secret(file) => {
            writeln!(out, "\n{}: new, the event socket's password", file.path.display())
        }
        Step::Make(file) => {
            let lines = file.text.lines().count();
            writeln!(out, "\n{}: new, {lines} lines", file.path.display())
        }
        Step::Change { file, .. } if is_secret(file) => writeln!(
            out,
            "\n{}: the event socket's password is another one",
            file.path.display()
        ),
        Step::Change { file, before } => {
            writeln!(out, "\n{}: changes", file.path.display())?;
            let diff = similar::TextDiff::from_lines(before.as_str(), file.text.as_str());
            write!(out, "{}", diff.unified_diff().context_radius(1))
        }
        Step::Leave { path, should } => {
            writeln!(
                out,
                "\n{}: somebody has written it, so it stays as it is. Needed in it:",
                path.display()
            )?;
            let lines: Vec<_> = should.lines().collect();
            for line in lines.iter().take(8) {
                writeln!(out, "    {line}")?;
            }
            if lines.len() > 8 {
                writeln!(out, "    .. and {} lines more", lines.len() - 8)?;
            }
            Ok(())
        }
    }
}

fn is_secret(file: &NewFile) -> bool {
    file.mode == 0o600
}

fn is_wanted(out: &mut impl Write) -> anyhow::Result<bool> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        bail!("there is nobody to ask\nhint: --yes writes the files, --dry-run only shows them");
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

fn left_to_do(out: &mut impl Write, site: &Site) -> std::io::Result<()> {
    writeln!(out, "\nLeft for you:")?;
    if let Some(script) = site.script {
        writeln!(
            out,
            "  - {script} answers for the dialplan here, so no file of FreeSWITCH's is changed: docs/FUSIONPBX.md says how calls\n    \
             reach fswake on FusionPBX"
        )?;
    } else {
        let others: Vec<_> = site.dial_strings.iter().filter(|line| !line.is_ours()).collect();
        if site.dial_strings.is_empty() {
            writeln!(
                out,
                "  - no dial-string was found in {}/directory. In the <params> of your <domain>:",
                site.folder.display()
            )?;
            writeln!(out, "    {}", plan::dial_string())?;
        }
        for line in others {
            writeln!(out, "  - in {}, line {}:", line.file.display(), line.line)?;
            writeln!(out, "    -{}\n    +{}", line.text, line.ours())?;
        }
        writeln!(out, "  - fs_cli -x reloadxml")?;
    }
    writeln!(out, "  - your apps: [[app]] in the configuration, then `fswake check`")?;
    writeln!(
        out,
        "  - systemctl daemon-reload, then enable --now fswake, or restart it"
    )
}
