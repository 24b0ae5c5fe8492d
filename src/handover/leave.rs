//! `systemctl restart`: this process leaves its service at once, and finishes its calls in the background.
//!
//! systemd starts the next process when the main process has ended. This one cannot end while it holds calls. So it
//! makes a process that does nothing the main one (`MAINPID=`, sd_notify(3)), which then ends. Who follows it, systemd
//! or [`super::anchor`], must be its parent to notice its end, so it is started by a process that ends at once.
//! `KillMode=process` leaves this process alone.

use std::io::{self, Read};
use std::process::{ChildStdin, Command, Stdio};
use std::time::Duration;

use super::sockets::Open;
use crate::lifecycle;

/// The environment variable that makes the program a [`StandIn`]'s process.
const VARIABLE: &str = "FSWAKE_STAND_IN";
/// What the first process finds in it, which starts the second.
const START: &str = "start";
/// What the second finds in it.
const WAIT: &str = "wait";
/// How long the second waits at most, if this process dies.
const LONGEST: Duration = Duration::from_secs(30);

/// A process that does nothing until this is dropped, and then ends.
#[derive(Debug)]
pub struct StandIn {
    pid: u32,
    _open: ChildStdin,
}

/// Does what a process of a [`StandIn`] does, if this is one. Call it before anything else.
pub fn if_stand_in() -> bool {
    match std::env::var(VARIABLE).as_deref() {
        Ok(START) => {
            // Its stdin is this one's: the pipe to the process that leaves.
            let started = this_program(WAIT).stdout(Stdio::null()).spawn();
            if let Ok(child) = started {
                use io::Write as _;
                let _ = writeln!(io::stdout(), "{}", child.id());
            }
            true
        }
        Ok(WAIT) => {
            let _ = std::thread::Builder::new().spawn(|| {
                std::thread::sleep(LONGEST);
                std::process::exit(0);
            });
            let _ = io::stdin().read(&mut [0]);
            true
        }
        _ => false,
    }
}

/// The running program, which an upgrade may have replaced in the meantime.
fn this_program(part: &str) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.env(VARIABLE, part);
    command
}

impl StandIn {
    /// Starts one. Blocks for some milliseconds.
    ///
    /// # Errors
    /// When no process can be started.
    pub fn start() -> io::Result<Self> {
        let mut first = this_program(START)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let open = first.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut line = String::new();
        if let Some(mut output) = first.stdout.take() {
            output.read_to_string(&mut line)?;
        }
        first.wait()?;
        let pid = line.trim().parse().map_err(io::Error::other)?;
        Ok(Self { pid, _open: open })
    }

    /// Gives systemd the sockets, makes the other process the main one, and lets it end: systemd then starts the next
    /// process of the service with these sockets. Blocks until systemd has read it.
    ///
    /// # Errors
    /// When systemd cannot be notified.
    pub fn leave(self, sockets: &[Open]) -> io::Result<()> {
        keep(sockets)?;
        lifecycle::main_process(self.pid)?;
        // A process that has ended already cannot become the main one.
        lifecycle::wait_until_read()
    }
}

/// Gives systemd the sockets, except a socket unit's, which it has. It passes them to the next process.
///
/// # Errors
/// When systemd cannot be notified.
fn keep(sockets: &[Open]) -> io::Result<()> {
    sockets
        .iter()
        .filter(|open| !open.is_a_units)
        .try_for_each(|open| lifecycle::keep_socket(open.used_for.kept_as(), &open.listener))
}
