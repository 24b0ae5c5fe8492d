//! `fswake-import-mod-apn`: mod_apn's configuration becomes `fswake.toml`, its tokens become devices.
//!
//! The order makes it all or nothing. First everything is read. Then the devices are written in a transaction, which
//! stays open while the files are written and checked as by `fswake check`. Then it is committed. A failure before that
//! leaves nothing behind.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::CommandFactory;

use super::report::Report;
use crate::cli::WIDTH;
use crate::clock::unix_now;
use crate::config::{Config, Environment};
use crate::files as reader;
use crate::import::apn_conf::{self, ApnConf};
use crate::import::convert::{ConvertedConfig, ImportContext, convert};
use crate::import::source::Source;
use crate::import::tokens::{self, TokenPlan};
use crate::new_files::{self, Fresh, Made, NewFile};
use crate::push::Pushers;
use crate::store::Import;
use crate::xml::variables::Variables;

const EXAMPLES: &str = "Examples:
  fswake-import-mod-apn --conf /etc/freeswitch/autoload_configs/apn.conf.xml --dry-run
  fswake-import-mod-apn --conf /etc/freeswitch/autoload_configs/apn.conf.xml --output /etc/fswake/fswake.toml \\
      --db 'pgsql://hostaddr=127.0.0.1 dbname=fusionpbx user=fusionpbx'
  fswake-import-mod-apn --db /var/lib/freeswitch/db/carusto.db

A PostgreSQL password that --db lacks is taken from $PGPASSWORD: other users of this machine can see a command line.";

/// Convert mod_apn's configuration, and copy its tokens
///
/// Nothing is overwritten, and mod_apn's own files and database are only read.
#[derive(Debug, clap::Parser)]
#[command(name = "fswake-import-mod-apn", version, after_help = EXAMPLES, max_term_width = WIDTH)]
#[command(override_usage = "fswake-import-mod-apn [OPTIONS] <--conf <FILE>|--db <DSN|FILE>>")]
pub struct ImportModApn {
    /// fswake's configuration, which names the store [default: $FSWAKE_CONFIG, else /etc/fswake/fswake.toml if it
    /// exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// mod_apn's configuration, apn.conf.xml
    #[arg(long, value_name = "FILE", required_unless_present_any = ["db", "generate"])]
    conf: Option<PathBuf>,
    /// A file that sets its global variables ($${..}), such as FreeSWITCH's vars.xml
    #[arg(long, value_name = "FILE", requires = "conf")]
    vars: Vec<PathBuf>,
    /// mod_apn's tokens: a DSN (pgsql://.., postgresql://..) or a SQLite file
    #[arg(long, value_name = "DSN|FILE")]
    db: Option<String>,
    /// The configuration to write; secrets go next to it
    #[arg(long, value_name = "FILE", default_value = "fswake.toml", requires = "conf")]
    output: PathBuf,
    /// The store to copy tokens into [default: the one of the configuration]
    #[arg(long, value_name = "FILE")]
    store: Option<PathBuf>,
    /// Replace existing files
    #[arg(long, requires = "conf")]
    force: bool,
    /// Change nothing: print the configuration, and say what would be done
    #[arg(long)]
    dry_run: bool,
    /// Print the manual page, or completions for a shell
    #[arg(long, hide = true, exclusive = true)]
    generate: Option<GeneratedFile>,
}

/// Files that are generated from the command line's description.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum GeneratedFile {
    Man,
    Bash,
    Zsh,
    Fish,
}

impl ImportModApn {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<()> {
        match self.generate {
            Some(what) => generate(what),
            None => import(&self, self.config.as_deref(), &Environment::of_process()),
        }
    }
}

fn generate(what: GeneratedFile) -> anyhow::Result<()> {
    use clap_complete::Shell;
    let mut command = ImportModApn::command();
    let name = command.get_name().to_owned();
    let mut text = Vec::new();
    let shell = match what {
        GeneratedFile::Man => None,
        GeneratedFile::Bash => Some(Shell::Bash),
        GeneratedFile::Zsh => Some(Shell::Zsh),
        GeneratedFile::Fish => Some(Shell::Fish),
    };
    match shell {
        Some(shell) => clap_complete::generate(shell, &mut command, name, &mut text),
        None => clap_mangen::Man::new(command).render(&mut text)?,
    }
    Ok(std::io::stdout().lock().write_all(&text)?)
}

fn import(args: &ImportModApn, config: Option<&Path>, env: &Environment) -> anyhow::Result<()> {
    let conf = args
        .conf
        .as_deref()
        .map(|file| read_conf(file, &args.vars))
        .transpose()?;
    let source = args.db.as_deref().map(named).transpose()?;
    let rows = source.as_ref().map(Source::rows).transpose()?;
    let count = rows.as_ref().map_or(0, Vec::len);
    let plan = tokens::plan(rows.unwrap_or_default(), unix_now());
    let store = store(args, config, env)?;
    let converted = conf.as_ref().zip(args.conf.as_deref()).map(|(conf, file)| {
        let context = ImportContext {
            file: file.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            store: args.store.as_ref().map(|_| store.display().to_string()),
            platforms: plan.platforms.clone(),
        };
        convert(conf, &context)
    });
    let files = converted
        .as_ref()
        .map(|made| new_files(made, &args.output))
        .unwrap_or_default();
    let mut report = Report::new(args.dry_run);
    let found = new_files::look(&files, args.force);
    if args.dry_run {
        if let Some(made) = &converted {
            report.configuration(made)?;
        }
        if let Some(source) = &source {
            let fates = Import::foresee(&store, &plan.devices)?;
            report.tokens(&source.place(), count, &plan, &fates, &store)?;
        }
        report.files(&files, &found.unwrap_or_else(|_| vec![Made::Replaced; files.len()]))?;
        new_files::look(&files, args.force).map(drop)?;
        return report.hints(conf.as_ref(), &files, source.is_some());
    }
    let found = found?;
    let import = source.as_ref().map(|_| begin(&store, &plan)).transpose()?;
    let mut fresh = Fresh::default();
    for (file, found) in files.iter().zip(&found) {
        fresh.make(file, *found)?;
    }
    if converted.is_some() {
        let config = Config::load(Some(&args.output), env)?;
        Pushers::new(config.apps)?;
    }
    let fates = import.map(Import::commit).transpose()?.unwrap_or_default();
    fresh.keep();
    if let Some(made) = &converted {
        report.warnings(made)?;
    }
    report.files(&files, &found)?;
    if let Some(source) = &source {
        report.tokens(&source.place(), count, &plan, &fates, &store)?;
    }
    report.hints(conf.as_ref(), &files, source.is_some())
}

fn read_conf(file: &Path, vars: &[PathBuf]) -> anyhow::Result<ApnConf> {
    let read = |file: &Path| reader::xml(file).with_context(|| file.display().to_string());
    let mut known = Variables::default();
    for file in vars {
        let more = apn_conf::variables(&read(file)?, known).with_context(|| file.display().to_string())?;
        known = more;
    }
    apn_conf::read(&read(file)?, known).with_context(|| file.display().to_string())
}

fn named(name: &str) -> anyhow::Result<Source> {
    let password = std::env::var("PGPASSWORD").ok().filter(|p| !p.is_empty());
    Ok(Source::named(name, password.as_deref())?)
}

/// The store that a daemon with this configuration reads.
fn store(args: &ImportModApn, config: Option<&Path>, env: &Environment) -> anyhow::Result<PathBuf> {
    if let Some(store) = &args.store {
        return std::path::absolute(store).with_context(|| store.display().to_string());
    }
    if args.conf.is_some() {
        return Ok(env.state_file(Environment::STORE));
    }
    Ok(Config::load_to_ask(config, env)?.store.path)
}

fn new_files(made: &ConvertedConfig, output: &Path) -> Vec<NewFile> {
    let secrets = made.secrets.iter().map(|(name, secret)| NewFile {
        path: output.with_file_name(name),
        text: format!("{}\n", secret.expose()),
        mode: 0o600,
    });
    let configuration = NewFile {
        path: output.to_owned(),
        text: made.toml.clone(),
        mode: 0o644,
    };
    secrets.chain([configuration]).collect()
}

/// If the daemon has never run, creates its directory, for its owner only.
fn begin(store: &Path, plan: &TokenPlan) -> anyhow::Result<Import> {
    use std::os::unix::fs::DirBuilderExt;
    if let Some(directory) = store.parent().filter(|d| !d.as_os_str().is_empty() && !d.exists()) {
        let made = std::fs::DirBuilder::new().mode(0o700).create(directory);
        made.with_context(|| directory.display().to_string())?;
    }
    Ok(Import::begin(store, &plan.devices)?)
}
