//! The command line: one file per subcommand. Results go to stdout, all else to stderr.

mod apps;
mod calls;
mod check;
mod client;
mod completions;
mod devices;
mod doctor;
mod push;
mod run;
mod setup;
mod table;
mod trace;
mod transfer;
mod wake;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::config::{Config, ConfigError, Environment};
use crate::handover::{Handover, anchor};
use crate::push::SetupError;
use crate::words;

pub(crate) use table::WIDTH;

/// Exit code for an unusable configuration (`EX_CONFIG`, sysexits.h). systemd is configured not to restart on it.
pub const EXIT_CONFIG: u8 = 78;

/// Exit code if stdout was closed: what a shell shows for SIGPIPE.
pub const EXIT_BROKEN_PIPE: u8 = 141;

const EXIT_CODES: &str = "Exit codes:
   0  done
   1  failed; stderr says why
   2  the command line is wrong
  78  the configuration is wrong: file, key, value and what is allowed are on stderr
 141  the reader of the output has gone (| head)";

const SIGNALS: &str = "Signals:
  HUP        read the configuration again
  USR2       start this program once more, hand over to it, finish held calls
  USR1       the same when systemd starts the program (RestartKillSignal=)
  TERM, INT  finish held calls; new ones go on in the dialplan. A second one ends it";

/// Wakes sleeping phones for FreeSWITCH: push, wait for the REGISTER, connect the call.
#[derive(Debug, Parser)]
#[command(name = "fswake", version, after_help = EXIT_CODES, max_term_width = table::WIDTH)]
pub struct Cli {
    /// Configuration file [default: $FSWAKE_CONFIG, else /etc/fswake/fswake.toml if it exists]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Do not cut or wrap lines to the terminal's width
    #[arg(long, global = true)]
    wide: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon
    #[command(after_help = SIGNALS)]
    Run {
        /// Be the main process of a systemd service, and run the daemon beside it: `systemctl restart` leaves no gap
        /// then
        #[arg(long)]
        anchor: bool,
    },
    /// Check the configuration and every file that it names
    Check(check::CheckArgs),
    /// Print shell completions
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write all manual pages into a directory, or print fswake's own
    #[command(hide = true)]
    Man {
        /// The directory, made where it is missing, for fswake.1, fswake-run.1 and so on
        directory: Option<PathBuf>,
    },
    /// List known devices, show one, or forget one; asks the running daemon
    Devices(devices::DevicesArgs),
    /// Show the calls held now; asks the running daemon
    Calls(calls::CallsArgs),
    /// Send a push to a user's devices, as a test or a message; asks the running daemon
    Push(push::PushArgs),
    /// Wake a user's phones, as a test or for a script, and wait until one has registered; asks the running daemon
    Wake(wake::WakeArgs),
    /// Show the apps and whether their credentials work; asks the running daemon
    Apps(apps::AppsArgs),
    /// Check everything that a wake needs, and say what to do; exits with 1 on errors
    Doctor(doctor::DoctorArgs),
    /// Show a call's wake as a timeline, and why it was missed
    Trace(trace::TraceArgs),
    /// Write all devices into a file, to put them into another store
    Export(transfer::ExportArgs),
    /// Put the devices of such a file into the store; the later change of a token counts
    Import(transfer::ImportArgs),
    /// Set up fswake next to FreeSWITCH on this host: show what is missing, write it, say what is left to do
    Setup(setup::SetupArgs),
}

impl Cli {
    /// Runs the subcommand.
    pub fn run(self) -> anyhow::Result<()> {
        let env = Environment::of_process();
        let file = self.config.as_deref();
        let config = || Config::load(file, &env);
        let to_ask = || Config::load_to_ask(file, &env);
        match self.command {
            // These need no configuration, or create it.
            Command::Completions { shell } => completions::completions(shell, Self::command()),
            Command::Man { directory } => completions::man(directory.as_deref(), Self::command()),
            Command::Setup(args) => setup::setup(&args, file, &env),
            Command::Run { anchor: true } => anchor::run(),
            Command::Run { anchor: false } => {
                // First: connections to sockets that were passed must not wait for a process that fails.
                let handover = Handover::of_process()?;
                run::run(config()?, handover)
            }
            Command::Export(args) => transfer::export(&config()?, &args),
            Command::Import(args) => transfer::import(&config()?, &args),
            Command::Check(args) => check::check(config(), &args),
            Command::Devices(args) => devices::devices(&to_ask()?, &args, self.wide),
            Command::Calls(args) => calls::calls(&to_ask()?, &args, self.wide),
            Command::Push(args) => push::push(&to_ask()?, &args),
            Command::Wake(args) => wake::wake(&to_ask()?, &args),
            Command::Apps(args) => apps::apps(&to_ask()?, &args, self.wide),
            Command::Doctor(args) => doctor::doctor(&to_ask()?, &args, self.wide),
            Command::Trace(args) => trace::trace(&to_ask()?, &args, self.wide),
        }
    }
}

/// Whether it failed because stdout was closed.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let io = cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        let json = cause
            .downcast_ref::<serde_json::Error>()
            .and_then(serde_json::Error::io_error_kind);
        io.or(json) == Some(std::io::ErrorKind::BrokenPipe)
    })
}

/// Ends a program: prints the error on stderr, and returns the exit code of its kind.
pub fn finish(program: &str, result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // The reader has closed stdout (`| head`): this is not an error.
        Err(error) if is_broken_pipe(&error) => ExitCode::from(EXIT_BROKEN_PIPE),
        Err(error) => {
            if let Some(anchor::Ended(status)) = error.downcast_ref() {
                // It has told why itself.
                return ExitCode::from(*status);
            }
            tell(program, &error);
            exit_code(&error)
        }
    }
}

/// Prints the error on stderr; on a terminal in lines that fit.
fn tell(program: &str, error: &anyhow::Error) {
    let mut err = std::io::stderr().lock();
    let width = table::width_of(&err);
    let text = format!("{program}: {}", words::of(error.as_ref()));
    for line in text.lines() {
        // An error on stderr cannot be reported anywhere.
        let _ = table::wrapped(&mut err, line, 8, width);
    }
}

/// The exit code for this kind of failure.
fn exit_code(error: &anyhow::Error) -> ExitCode {
    if error.is::<ConfigError>() || error.is::<SetupError>() {
        ExitCode::from(EXIT_CONFIG)
    } else {
        ExitCode::FAILURE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
