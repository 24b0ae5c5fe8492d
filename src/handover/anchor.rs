//! `fswake run --anchor`: the service's main process, which holds nothing and can end at once.
//!
//! systemd starts the next process of a service when the main process has ended, and the daemon cannot end while it holds
//! calls. It can make another process the main one and leave ([`super::leave`]), but systemd accepts that (`MAINPID=`)
//! only of a service that is not being stopped. So the anchor is systemd's main process from the start, and runs the
//! daemon as its child. For the daemon it is what systemd is without it: it passes signals on, relays what the
//! daemon tells systemd (sd_notify(3)), descriptors too, and follows `MAINPID=` itself. When the process that it follows ends,
//! it ends.
//!
//! | | what the anchor does |
//! |---|---|
//! | `systemctl stop`, `reload`, SIGUSR2 | passes the signal on to the daemon that takes calls |
//! | `systemctl restart` (`RestartKillSignal=SIGUSR1`) | the same: the daemon leaves, and the anchor ends at once. `KillMode=process` spares the daemon |
//! | the daemon ends | ends with the same status |
//! | systemd's watchdog (SIGABRT) | kills the daemon |
//! | the anchor is killed, as by systemd when a stop takes too long | the daemon that takes calls is killed with it ([`Tie`]) |

use std::ffi::OsStr;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, getpid, getppid, pidfd_open, pidfd_send_signal,
    set_child_subreaper, set_parent_process_death_signal, waitpid,
};
use tokio::io::Interest;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::Program;

/// The argument that makes the program an anchor.
pub const ARGUMENT: &str = "--anchor";
/// The environment variable with the anchor's process id, for the daemon.
const ANCHOR: &str = "FSWAKE_ANCHOR";
/// How often a process looks whether its parent is the anchor by now.
const LOOK: Duration = Duration::from_millis(50);
/// systemd's socket, and the anchor's own for the daemon.
const NOTIFY: &str = "NOTIFY_SOCKET";
/// The longest message, and the most descriptors with it.
const LONGEST: usize = 16 * 1024;
const MOST: usize = 16;
/// The exit status after systemd's watchdog: as of a process that SIGABRT has ended.
const ABORTED: u8 = 134;

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
        let program = Program::of_process().context("find this program's path")?;
        let relay = Relay::new(&systemd).context("relay what the daemon tells systemd")?;
        // Processes that the daemon starts are this one's when their parent has ended.
        set_child_subreaper(Some(getpid())).context("look after processes")?;
        let daemon = start(&program, &relay).with_context(|| format!("start {}", program.path().display()))?;
        let anchor = Anchor {
            main: daemon,
            former: Vec::new(),
            relay,
        };
        anchor.stay().await.context("run the daemon")
    })?;
    if status == 0 { Ok(()) } else { Err(Ended(status).into()) }
}

fn start(program: &Program, relay: &Relay) -> io::Result<Followed> {
    let mut command = Command::new(program.path());
    command
        .args(program.arguments().iter().filter(|argument| *argument != ARGUMENT))
        .env(NOTIFY, relay.path())
        .env(ANCHOR, std::process::id().to_string())
        // They name this process. The descriptors are the daemon's.
        .env_remove("LISTEN_PID")
        .env_remove("WATCHDOG_PID")
        .stdin(Stdio::null());
    Followed::new(command.spawn()?.id())
}

/// Whether the daemon is killed when its anchor is. Otherwise it would hold the sockets that the service's next process needs,
/// and nobody would end it if it hangs.
#[derive(Debug)]
pub struct Tie {
    anchor: Option<Pid>,
    is_tied: bool,
}

impl Tie {
    /// This process's. It has none without an anchor.
    pub fn of_process() -> Self {
        let anchor = std::env::var(ANCHOR).ok().and_then(|pid| pid.parse().ok());
        Self {
            anchor: anchor.and_then(Pid::from_raw),
            is_tied: false,
        }
    }

    /// Ties this process to its anchor when that is its parent: a successor is the predecessor's child until that has ended. Always
    /// call it, and [`Tie::loosen`], on the same thread (`PR_SET_PDEATHSIG` is each thread's own).
    pub async fn tie(&mut self) {
        let Some(anchor) = self.anchor.filter(|_| !self.is_tied) else {
            return std::future::pending().await;
        };
        while getppid() != Some(anchor) {
            tokio::time::sleep(LOOK).await;
        }
        self.is_tied = set_parent_process_death_signal(Some(Signal::KILL)).is_ok();
    }

    /// This process outlives its anchor: it only finishes calls.
    pub fn loosen(&mut self) {
        self.anchor = None;
        if self.is_tied {
            // Cannot fail: it takes a signal away.
            let _ = set_parent_process_death_signal(None);
        }
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

    /// A signal to a process that has just ended is none.
    fn signal(&self, signal: Signal) {
        let _ = pidfd_send_signal(&self.fd, signal);
    }

    /// The status that it has ended with; 1 for one that is another's child.
    fn status(&self) -> u8 {
        match waitpid(Some(self.pid), WaitOptions::empty()) {
            Ok(Some((_, status))) => code(status),
            _ => 1,
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
}

impl Anchor {
    async fn stay(mut self) -> io::Result<u8> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let mut leave = signal(SignalKind::user_defined1())?;
        let mut hand_over = signal(SignalKind::user_defined2())?;
        let mut abort = signal(SignalKind::from_raw(Signal::ABORT.as_raw()))?;
        let mut children = signal(SignalKind::child())?;
        loop {
            tokio::select! {
                // What it said before its end comes first: it may have named another process.
                biased;
                message = self.relay.next() => self.hear(&message?)?,
                _ = &mut self.main.ended => return Ok(self.main.status()),
                _ = abort.recv() => {
                    self.main.signal(Signal::KILL);
                    return Ok(ABORTED);
                }
                _ = terminate.recv() => self.main.signal(Signal::TERM),
                _ = interrupt.recv() => self.main.signal(Signal::INT),
                _ = hangup.recv() => self.main.signal(Signal::HUP),
                _ = leave.recv() => self.main.signal(Signal::USR1),
                _ = hand_over.recv() => self.main.signal(Signal::USR2),
                _ = children.recv() => self.bury(),
            }
        }
    }

    fn hear(&mut self, message: &Message) -> io::Result<()> {
        let (main, text) = message.without_main();
        if let Some(pid) = main {
            // It is there: it ends when who has named it lets it.
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
        // Nobody else may name a main process.
        let folder = std::env::temp_dir().join(format!("fswake-{}", Uuid::new_v4()));
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
                let mut text = vec![0; LONGEST];
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
                let mut ancillary = RecvAncillaryBuffer::new(&mut space);
                let mut into = [IoSliceMut::new(&mut text)];
                let received = recvmsg(self.from.as_fd(), &mut into, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
                let mut descriptors = Vec::new();
                for message in ancillary.drain() {
                    if let RecvAncillaryMessage::ScmRights(received) = message {
                        descriptors.extend(received);
                    }
                }
                text.truncate(received.bytes);
                let text = String::from_utf8_lossy(&text).into_owned();
                Ok(Message { text, descriptors })
            })
            .await
    }

    fn pass_on(&self, text: &str, descriptors: &[OwnedFd]) -> io::Result<()> {
        let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
        }
        sendmsg(
            self.to.as_fd(),
            &[IoSlice::new(text.as_bytes())],
            &mut ancillary,
            SendFlags::NOSIGNAL,
        )?;
        Ok(())
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // A left-over folder is empty but for a socket, and nobody else can look into it.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
