//! `fswake run --anchor`: the service's main process, which holds nothing and can end at once.
//!
//! systemd starts the next process of a service when the main process has ended, and the daemon cannot end while it
//! holds calls. It can make another process the main one and leave ([`super::leave`]), but systemd accepts that
//! (`MAINPID=`) only of a service that is not being stopped. So systemd's main process is the anchor from the start,
//! and the daemon is its child. The anchor does what systemd does without it: it sends signals to the daemon and
//! follows `MAINPID=`. All else that the daemon tells systemd (sd_notify(3)) is passed on. The anchor ends with the
//! process that it follows.
//!
//! | | what the anchor does |
//! |---|---|
//! | `systemctl stop`, `reload`, SIGUSR2 | passes the signal on to the daemon that takes calls |
//! | `systemctl restart` (`RestartKillSignal=SIGUSR1`) | the same: the daemon leaves, and the anchor ends at once. `KillMode=process` spares the daemon |
//! | the daemon ends | ends with the same status, as a shell has it (128 and the signal's number) |
//! | systemd's watchdog (SIGABRT) | kills the daemon |
//! | the anchor is killed, as by systemd when a stop takes too long | the daemon that takes calls is killed with it ([`Tie`]) |

use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use anyhow::{Context, bail};
use listenfd::ListenFd;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, getpid, getppid, pidfd_open, pidfd_send_signal,
    set_child_subreaper, set_parent_process_death_signal, test_kill_process, waitpid,
};
use tokio::io::Interest;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::{Program, Sockets, descriptors};
use crate::words;

/// The argument that makes the program an anchor.
pub const ARGUMENT: &str = "--anchor";
/// The environment variable with the anchor's process id, for the daemon.
const ANCHOR: &str = "FSWAKE_ANCHOR";
/// How often a process looks whether its parent is the anchor by now.
const LOOK: Duration = Duration::from_millis(50);
/// systemd's socket, and the anchor's own for the daemon.
const NOTIFY: &str = "NOTIFY_SOCKET";
/// The longest message.
const LONGEST: usize = 16 * 1024;
/// The exit statuses of processes that SIGABRT (systemd's watchdog) and SIGTERM have ended, as a shell has them.
const ABORTED: u8 = 134;
const STOPPED: u8 = 143;

/// The daemon has ended with this status, as a shell has it.
#[derive(Debug, thiserror::Error)]
#[error("the daemon has ended with status {0}")]
pub struct Ended(pub u8);

/// Runs the daemon until it has left or ended.
///
/// # Errors
/// [`Ended`]; or this is not a service that systemd watches, or the daemon cannot be started.
pub fn run() -> anyhow::Result<()> {
    let Some(systemd) = std::env::var_os(NOTIFY) else {
        bail!("{ARGUMENT} is for a service of systemd with Type=notify: without it, SIGUSR2 restarts without a gap")
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start")?;
    let status = runtime.block_on(async {
        let anchor = Anchor::start(&systemd);
        if anchor.is_err() {
            // Connections to sockets that were passed must not wait for a daemon that never was.
            drop(Sockets::of_service());
        }
        anchor?.stay().await.context("run the daemon")
    })?;
    if status == 0 { Ok(()) } else { Err(Ended(status).into()) }
}

fn spawn(program: &Program, relay: &Relay) -> io::Result<Followed> {
    let mut command = Command::new(program.path());
    command
        .args(program.arguments().iter().filter(|argument| *argument != ARGUMENT))
        .env(NOTIFY, relay.path())
        .env(ANCHOR, std::process::id().to_string())
        // They name this process. The descriptors are the daemon's.
        .env_remove("LISTEN_PID")
        .env_remove("WATCHDOG_PID")
        .stdin(Stdio::null());
    let mut child = command.spawn()?;
    Followed::new(child.id()).inspect_err(|_| {
        // Fails only if it has ended.
        let _ = child.kill();
    })
}

/// Closes the sockets that systemd has passed: the daemon has them now, and closes those that it does not need.
fn close_passed_sockets() {
    let mut passed = ListenFd::from_env();
    for n in 0..passed.len() {
        drop(passed.take_tcp_listener(n));
    }
}

/// Makes the daemon end with its anchor. Otherwise it would hold the sockets that the service's next process needs, and
/// nobody would end it if it hangs.
///
/// All of it is called on the main thread: `PR_SET_PDEATHSIG` is each thread's own (prctl(2)).
#[derive(Debug)]
pub struct Tie {
    anchor: Option<Pid>,
    is_tied: bool,
}

impl Tie {
    /// This process's. It has none without an anchor. A process that is its anchor's child is killed with it from now
    /// on.
    pub fn of_process() -> Self {
        let anchor = std::env::var(ANCHOR).ok().and_then(|pid| pid.parse().ok());
        let mut tie = Self {
            anchor: anchor.and_then(Pid::from_raw),
            is_tied: false,
        };
        tie.tie();
        tie
    }

    fn tie(&mut self) {
        if self.anchor.is_some() && getppid() == self.anchor {
            // Cannot fail: it is a signal's number.
            let _ = set_parent_process_death_signal(Some(Signal::KILL));
            // An anchor that has ended just before sends no signal: `lost` notices that.
            self.is_tied = getppid() == self.anchor;
        }
    }

    /// Waits until the anchor is gone and this process still runs. A successor is its predecessor's child at first, and
    /// is tied when that has ended.
    pub async fn lost(&mut self) {
        while let Some(anchor) = self.anchor.filter(|_| !self.is_tied) {
            self.tie();
            if !self.is_tied {
                if test_kill_process(anchor).is_err() {
                    return;
                }
                tokio::time::sleep(LOOK).await;
            }
        }
        std::future::pending::<()>().await;
    }

    /// This process outlives its anchor: it only finishes calls.
    pub fn loosen(&mut self) {
        self.anchor = None;
        // Cannot fail: it takes a signal away.
        let _ = set_parent_process_death_signal(None);
    }
}

/// The process whose end is the service's.
struct Followed {
    pid: Pid,
    fd: Arc<OwnedFd>,
    ended: oneshot::Receiver<()>,
}

impl Followed {
    fn new(pid: u32) -> io::Result<Self> {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or(io::ErrorKind::InvalidInput)?;
        let fd = Arc::new(pidfd_open(pid, PidfdFlags::empty())?);
        let (told, ended) = oneshot::channel();
        let process = Arc::clone(&fd);
        std::thread::Builder::new().spawn(move || {
            // Readable when it has ended, whoever's child it is.
            let mut fds = [PollFd::new(&process, PollFlags::IN)];
            while poll(&mut fds, None) == Err(Errno::INTR) {}
            let _ = told.send(());
        })?;
        Ok(Self { pid, fd, ended })
    }

    /// Signals to a process that has ended are ignored.
    fn signal(&self, signal: Signal) {
        let _ = pidfd_send_signal(&self.fd, signal);
    }

    /// The status that it has ended with. It is not known of another's child.
    fn status(&self) -> Option<u8> {
        match waitpid(Some(self.pid), WaitOptions::empty()) {
            Ok(Some((_, status))) => Some(code(status)),
            _ => None,
        }
    }
}

fn code(status: WaitStatus) -> u8 {
    let code = status
        .exit_status()
        .or_else(|| status.terminating_signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

struct Anchor {
    main: Followed,
    /// Those that it has followed before, which may still finish calls.
    former: Vec<Pid>,
    relay: Relay,
    signals: Signals,
    is_stopping: bool,
}

/// What it passes on, and how.
struct Signals {
    passed_on: [(Signal, tokio::signal::unix::Signal); 5],
    abort: tokio::signal::unix::Signal,
    children: tokio::signal::unix::Signal,
}

impl Signals {
    fn catch() -> io::Result<Self> {
        let caught = |of: Signal| signal(SignalKind::from_raw(of.as_raw()));
        let both = |of| io::Result::Ok((of, caught(of)?));
        Ok(Self {
            passed_on: [
                both(Signal::TERM)?,
                both(Signal::INT)?,
                both(Signal::HUP)?,
                both(Signal::USR1)?,
                both(Signal::USR2)?,
            ],
            abort: caught(Signal::ABORT)?,
            children: caught(Signal::CHILD)?,
        })
    }

    /// The next one to pass on.
    async fn next(passed_on: &mut [(Signal, tokio::signal::unix::Signal)]) -> Signal {
        std::future::poll_fn(|context| {
            for (of, stream) in passed_on.iter_mut() {
                if stream.poll_recv(context).is_ready() {
                    return Poll::Ready(*of);
                }
            }
            Poll::Pending
        })
        .await
    }
}

impl Anchor {
    fn start(systemd: &OsStr) -> anyhow::Result<Self> {
        let program = Program::of_process().context("find this program's path")?;
        let relay = Relay::new(systemd).context("relay what the daemon tells systemd")?;
        // Processes that the daemon starts are this one's when their parent has ended.
        set_child_subreaper(Some(getpid())).context("look after processes")?;
        // Before there is anybody to pass them on to: otherwise they would end this process.
        let signals = Signals::catch().context("catch signals")?;
        let daemon = spawn(&program, &relay).with_context(|| format!("start {}", program.path().display()))?;
        close_passed_sockets();
        Ok(Self {
            main: daemon,
            former: Vec::new(),
            relay,
            signals,
            is_stopping: false,
        })
    }

    async fn stay(mut self) -> io::Result<u8> {
        loop {
            tokio::select! {
                // What it said before its end comes first: it may have named another process.
                biased;
                message = self.relay.next() => {
                    if let Err(error) = message.and_then(|message| self.hear(&message)) {
                        // The daemon goes on. If systemd has to know, it says so.
                        let _ = writeln!(io::stderr(), "fswake: systemd is not told: {}", words::of_io(&error));
                    }
                }
                _ = &mut self.main.ended => return Ok(self.status()),
                _ = self.signals.abort.recv() => {
                    self.main.signal(Signal::KILL);
                    return Ok(ABORTED);
                }
                signal = Signals::next(&mut self.signals.passed_on) => {
                    self.is_stopping |= matches!(signal, Signal::TERM | Signal::INT);
                    self.main.signal(signal);
                }
                _ = self.signals.children.recv() => self.bury(),
            }
        }
    }

    /// The status to exit with. When it was told to stop, a signal is the end that was asked for.
    fn status(&self) -> u8 {
        let status = self.main.status();
        if self.is_stopping && matches!(status, None | Some(STOPPED)) {
            return 0;
        }
        status.unwrap_or(1)
    }

    fn hear(&mut self, message: &Message) -> io::Result<()> {
        let (main, text) = message.without_main();
        if let Some(pid) = main {
            let before = std::mem::replace(&mut self.main, Followed::new(pid)?);
            self.former.push(before.pid);
        }
        if text.is_empty() {
            return Ok(());
        }
        self.relay.pass_on(&text, &message.descriptors)
    }

    /// Takes the status of those that have ended, so that no zombies stay.
    fn bury(&mut self) {
        let is_there = |pid: &Pid| matches!(waitpid(Some(*pid), WaitOptions::NOHANG), Ok(None));
        self.former.retain(is_there);
    }
}

/// What one process tells systemd.
struct Message {
    text: String,
    descriptors: Vec<OwnedFd>,
}

impl Message {
    /// The process that it makes the main one, and the rest for systemd.
    fn without_main(&self) -> (Option<u32>, String) {
        let mut main = None;
        let mut text = String::new();
        for line in self.text.lines() {
            match line.strip_prefix("MAINPID=").map(str::parse) {
                Some(Ok(pid)) => main = Some(pid),
                Some(Err(_)) => {}
                None => {
                    text.push_str(line);
                    text.push('\n');
                }
            }
        }
        (main, text)
    }
}

/// What the daemon tells systemd, on its way.
struct Relay {
    from: tokio::net::UnixDatagram,
    to: UnixDatagram,
    folder: PathBuf,
}

impl Relay {
    fn new(systemd: &OsStr) -> io::Result<Self> {
        let to = UnixDatagram::unbound()?;
        match systemd.as_bytes().strip_prefix(b"@") {
            Some(name) => to.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
            None => to.connect(systemd)?,
        }
        // A unit with RuntimeDirectory= has a folder that nobody cleans up while it runs.
        let folder = std::env::var_os("RUNTIME_DIRECTORY").map_or_else(std::env::temp_dir, PathBuf::from);
        // Nobody else may name a main process.
        let folder = folder.join(format!("fswake-{}", Uuid::new_v4()));
        std::fs::DirBuilder::new().mode(0o700).create(&folder)?;
        let from = tokio::net::UnixDatagram::bind(folder.join("notify"))?;
        Ok(Self { from, to, folder })
    }

    fn path(&self) -> PathBuf {
        self.folder.join("notify")
    }

    async fn next(&self) -> io::Result<Message> {
        self.from
            .async_io(Interest::READABLE, || {
                let (text, descriptors) = descriptors::receive(self.from.as_fd(), LONGEST)?;
                let text = String::from_utf8_lossy(&text).into_owned();
                Ok(Message { text, descriptors })
            })
            .await
    }

    fn pass_on(&self, text: &str, descriptors: &[OwnedFd]) -> io::Result<()> {
        let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
        descriptors::send(self.to.as_fd(), text.as_bytes(), &descriptors)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // A left-over folder is empty but for a socket, and nobody else can look into it.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
