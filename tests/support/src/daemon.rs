//! fswake as a separate process, and its log: for stand-in tests, live tests and benches.

use std::ffi::OsStr;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::watch;

use crate::freeswitch::Phone;
use crate::process::Process;
use crate::sip;

/// Limit for everything that is waited for.
const LONG: Duration = Duration::from_secs(30);

/// The command line of the daemon or a subcommand, with an empty environment and its output captured.
pub fn command(binary: impl AsRef<OsStr>, config: &Path) -> Command {
    let mut command = Command::new(binary);
    command.arg("--config").arg(config).env_clear();
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command.kill_on_drop(true);
    command
}

/// The running daemon. It is killed when dropped.
pub struct Daemon {
    /// The child process.
    pub child: Child,
    /// Its log.
    pub log: Log,
    /// The address that it takes calls on: the first, if there are several. Empty without FreeSWITCH.
    pub address: SocketAddr,
    pid: u32,
}

impl Daemon {
    /// Starts the daemon and waits until it takes calls.
    pub async fn start(command: Command) -> Self {
        let (child, log) = Self::spawn(command, |_| {});
        Self::ready(child, log).await
    }

    /// The same, with callbacks: `started` gets the log before its first line, and `see` gets each line.
    pub async fn start_watched(command: Command, see: fn(&str), started: impl FnOnce(&Log)) -> Self {
        let (child, log) = Self::spawn(command, see);
        started(&log);
        Self::ready(child, log).await
    }

    fn spawn(mut command: Command, see: fn(&str)) -> (Child, Log) {
        let mut child = command.spawn().expect("fswake starts");
        let log = Log::read(child.stderr.take().expect("its stderr"), see);
        (child, log)
    }

    async fn ready(child: Child, log: Log) -> Self {
        let pid = child.id().expect("a running process has an id");
        let address = tokio::select! {
            line = log.wait(&["waiting for calls"]) => address_in(&line),
            _ = log.wait(&["no FreeSWITCH"]) => SocketAddr::from(([0, 0, 0, 0], 0)),
        };
        Self {
            child,
            log,
            address,
            pid,
        }
    }

    /// Waits until it has listed FreeSWITCH's registrations.
    pub async fn connected(self) -> Self {
        self.log.wait(&["connected to FreeSWITCH"]).await;
        self
    }

    /// The address of its HTTP API.
    pub async fn http(&self) -> SocketAddr {
        address_in(&self.log.wait(&["HTTP: metrics"]).await)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The same, for what the system says about it.
    pub fn process(&self) -> Process {
        Process(self.pid)
    }

    /// Registers a phone of the stand-in, and waits until the daemon has the event.
    pub async fn registered(&self, phone: &Phone) {
        let from = self.log.len();
        phone.register();
        let user = format!("aor={}@", phone.spec().user);
        self.log.wait_from(from, &["event=Registered ", &user]).await;
    }

    /// Registers a phone, which then falls asleep with its registration still in place.
    pub async fn dozing(&self, phone: &Phone) {
        self.registered(phone).await;
        phone.sleep();
    }

    /// Registers a phone, which then falls asleep and loses its registration. Only its token is left.
    pub async fn asleep(&self, phone: &Phone) {
        self.dozing(phone).await;
        let from = self.log.len();
        phone.expire();
        let user = format!("aor={}@", phone.spec().user);
        self.log.wait_from(from, &["event=Unregistered ", &user]).await;
    }

    /// Waits until it has the event of a REGISTER of this user, with any Contact.
    pub async fn heard_of(&self, user: &str) {
        let user = format!("aor={user}@");
        self.log.wait(&["event=Registered ", &user]).await;
    }

    /// Waits until it has the event of a real phone's last REGISTER.
    pub async fn heard(&self, phone: &sip::Phone) {
        let place = phone.place();
        // A WebSocket's host name is the same for every connection.
        let times = if place.ends_with(".invalid") {
            phone.count(|w| matches!(w, sip::What::Registered(200)))
        } else {
            1
        };
        self.log.wait_times(times, &["event=Registered ", &place]).await;
    }

    /// Waits for the summary line of a call, and returns its fields.
    pub async fn summary(&self) -> String {
        self.log.wait(&[" INFO ", "call over"]).await
    }

    /// Sends a signal, given by name.
    pub fn signal(&self, name: &str) {
        let pid = self.pid.to_string();
        let sent = std::process::Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status();
        assert!(sent.is_ok_and(|sent| sent.success()), "kill -{name} {pid}");
    }

    /// Stops it, and then tells it not to wait for the calls that it holds.
    pub async fn stop_at_once(&self) {
        self.signal("TERM");
        self.log.wait(&["stopping: new calls go on without fswake"]).await;
        // A signal that comes sooner is taken for the first one's twin.
        tokio::time::sleep(Duration::from_millis(500)).await;
        self.signal("TERM");
    }

    /// Sends SIGKILL, and waits until the process has exited.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("the process can be killed");
    }

    /// Waits until the process has exited, and returns its exit code.
    pub async fn exit_code(&mut self) -> Option<i32> {
        let status = tokio::time::timeout(LONG + Duration::from_secs(10), self.child.wait()).await;
        status
            .expect("the daemon exits in time")
            .expect("waiting for a child works")
            .code()
    }
}

impl Drop for Daemon {
    /// Waits for the end of the process, some milliseconds: the next one may listen at the same address.
    fn drop(&mut self) {
        let _ = self.child.start_kill();
        let deadline = Instant::now() + Duration::from_secs(2);
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn address_in(line: &str) -> SocketAddr {
    let address = line.split("address=").nth(1).expect("an address");
    let address = address.split([' ', ',']).next().unwrap_or_default();
    address.parse().unwrap_or_else(|e| panic!("{line}: {e}"))
}

/// The daemon's log, line by line. `FSWAKE_LIVE_LOG` names a file that gets a copy.
#[derive(Clone)]
pub struct Log {
    lines: Arc<Mutex<Vec<String>>>,
    count: watch::Receiver<usize>,
}

impl Log {
    fn read(stderr: ChildStderr, see: fn(&str)) -> Self {
        let (lines, (sender, count)) = (Arc::<Mutex<Vec<String>>>::default(), watch::channel(0));
        let log = Self {
            lines: Arc::clone(&lines),
            count,
        };
        let mut copy = std::env::var_os("FSWAKE_LIVE_LOG").and_then(|name| {
            let mut options = std::fs::File::options();
            options.create(true).append(true).open(name).ok()
        });
        tokio::spawn(async move {
            let mut reader = BufReader::new(stderr).split(b'\n');
            while let Ok(Some(line)) = reader.next_segment().await {
                let line = String::from_utf8(line).expect("UTF-8");
                see(&line);
                if let Some(copy) = &mut copy {
                    let _ = writeln!(copy, "{line}");
                }
                lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
                sender.send_modify(|n| *n += 1);
            }
        });
        log
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The lines that contain all these words.
    pub fn with(&self, words: &[&str]) -> Vec<String> {
        let mut lines = self.lines();
        lines.retain(|line| words.iter().all(|word| line.contains(word)));
        lines
    }

    /// The last lines, without frequent ones.
    pub fn end(&self) -> String {
        let mut lines = self.lines();
        lines.retain(|line| !line.contains("Resync(") && !line.contains("StoreDevice("));
        lines[lines.len().saturating_sub(80)..].join("\n")
    }

    /// How many lines contain all these words.
    pub fn count(&self, words: &[&str]) -> usize {
        self.with(words).len()
    }

    /// The first line that contains all these words.
    pub async fn wait(&self, words: &[&str]) -> String {
        self.wait_from(0, words).await
    }

    /// The same, starting at line `from`.
    pub async fn wait_from(&self, from: usize, words: &[&str]) -> String {
        self.nth_from(from, 1, words).await
    }

    /// Waits until this many lines contain the words. Lines that are already there count.
    pub async fn wait_times(&self, times: usize, words: &[&str]) {
        if times > 0 {
            self.nth_from(0, times, words).await;
        }
    }

    async fn nth_from(&self, from: usize, n: usize, words: &[&str]) -> String {
        let mut count = self.count.clone();
        let found = async {
            let (mut next, mut left) = (from, n);
            loop {
                let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner)[next..].to_vec();
                for line in lines.iter().filter(|line| words.iter().all(|w| line.contains(w))) {
                    left -= 1;
                    if left == 0 {
                        return line.clone();
                    }
                }
                next += lines.len();
                let more = count.wait_for(|n| *n > next).await;
                assert!(
                    more.is_ok(),
                    "the daemon stopped before logging a line with {words:?}:\n{}",
                    self.end()
                );
            }
        };
        let in_time = tokio::time::timeout(LONG, found).await;
        in_time.unwrap_or_else(|_| panic!("no log line with {words:?} ({n} times) within {LONG:?}"))
    }
}
