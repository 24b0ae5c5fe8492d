//! A real FreeSWITCH, started for the tests with its own configuration on loopback and free ports.
//!
//! The tests run the FreeSWITCH installed at `$FS_PREFIX` (default `/usr/local/freeswitch`). All files that it writes
//! are in a temporary directory. `$FSWAKE_LIVE_FS_LOG` names a file for its complete log, then at debug level.

mod config;
mod console;
mod mod_apn;
mod nodes;
mod standby;
mod vanilla;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use tempfile::TempDir;
use tokio::time::timeout;

pub use self::config::{BESIDE_DOMAINS, CAPITALS, DOMAIN, ESL_PASSWORD, FIRST_USER, PASSWORD, Ports, WAKE_DOMAIN};
pub use self::console::{Console, ConsoleEvent};
pub use self::mod_apn::mod_apn_params;
pub use self::nodes::Topology;
pub use self::vanilla::{ASSERTING, Plan, Routing, VANILLA_DOMAIN, filled};
use crate::sip::Account;
use crate::tls::OF_FREESWITCH;

/// Limit for starting.
const START: Duration = Duration::from_secs(45);

/// The variable that names a file for its log.
const LOG_COPY: &str = "FSWAKE_LIVE_FS_LOG";

/// A running FreeSWITCH. It stops when dropped.
pub struct RealFs {
    /// Its addresses, and fswake's.
    pub ports: Ports,
    prefix: PathBuf,
    dir: TempDir,
    child: Mutex<Option<Child>>,
    next_user: AtomicU32,
    /// It is ready without the SIP profile that phones register with.
    is_standby: bool,
}

/// Where FreeSWITCH is installed.
///
/// # Errors
/// If it is not installed, with the text to print.
pub fn installed() -> Result<PathBuf, String> {
    let prefix = std::env::var_os("FS_PREFIX").unwrap_or_else(|| "/usr/local/freeswitch".into());
    let prefix = PathBuf::from(prefix);
    if prefix.join("bin/freeswitch").is_file() {
        Ok(prefix)
    } else {
        Err(format!("no FreeSWITCH at {}; set FS_PREFIX", prefix.display()))
    }
}

/// The directory of its modules, which differs between packages and builds from source.
fn modules(prefix: &Path) -> PathBuf {
    let mut folders = ["mod", "lib/freeswitch/mod"]
        .into_iter()
        .map(|folder| prefix.join(folder));
    let found = folders.find(|folder| folder.join("mod_sofia.so").is_file());
    found.expect("FreeSWITCH's modules")
}

/// A free port for TCP and UDP.
fn free_port() -> SocketAddr {
    free(Ipv4Addr::LOCALHOST.into()).expect("a free port")
}

/// The same on `::1`, if this machine has IPv6.
fn free_six() -> Option<SocketAddr> {
    free(Ipv6Addr::LOCALHOST.into())
}

/// Ports and an address that nothing uses.
fn new_ports() -> Ports {
    let (esl, sip) = (free_port(), free_port());
    // No other process has this port now, so the address derived from it is free, too.
    let [high, low] = sip.port().to_be_bytes();
    Ports {
        rtp: Ipv4Addr::new(127, 1, high, low),
        esl,
        sip,
        tls: free_port(),
        ws: free_port(),
        wss: free_port(),
        single: free_port(),
        by_call_id: free_port(),
        six: free_six(),
        node: free_port(),
        fswake: free_port(),
    }
}

/// Whether this machine has IPv6.
///
/// # Errors
/// If it has not, with the text to print.
pub fn has_six() -> Result<(), String> {
    let problem = || "no IPv6 on this machine (::1)".to_owned();
    free_six().map(|_| ()).ok_or_else(problem)
}

/// The same on a given host; `None` if this machine does not have the address.
///
/// A port stays free while what uses it is dead. So it is below those that the system gives to connections and to
/// whoever binds port 0: none of these takes it meanwhile.
pub(crate) fn free(host: IpAddr) -> Option<SocketAddr> {
    const PORTS: std::ops::Range<u16> = 10_000..32_000;
    (0..1_000).find_map(|_| {
        let [high, low, ..] = *uuid::Uuid::new_v4().as_bytes();
        let address = SocketAddr::new(
            host,
            PORTS.start + u16::from_be_bytes([high, low]) % (PORTS.end - PORTS.start),
        );
        let is_free = TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok();
        is_free.then_some(address)
    })
}

impl RealFs {
    /// An event socket user and password. This user may run little more than the daemon needs.
    pub const NARROW: (&'static str, &'static str) = ("narrow", "narrow-sesame");

    /// Starts a FreeSWITCH with this many users, and waits until its event socket answers.
    pub async fn start(prefix: &Path, users: u32) -> Self {
        Self::start_with(prefix, |ports, _| config::write(ports, users)).await
    }

    /// Starts a FreeSWITCH that is configured like an installed one, with a dialplan for each of these plans. If it is
    /// the second of two, the first one has the desk phones.
    pub async fn start_vanilla(prefix: &Path, plans: &[Plan], first: Option<&Self>) -> Self {
        let modules = modules(prefix);
        let desks = first.map(|fs| fs.ports.node);
        let write = |ports: &Ports, dir: &Path| vanilla::write(ports, plans, desks, dir, &modules);
        let fs = Self::prepare(prefix, &new_ports(), write);
        fs.launch().await;
        if let Some(first) = first {
            let (name, node) = (nodes::OTHER, fs.ports.node);
            first.api(&format!("global_setvar {name}={node}")).await;
        }
        fs
    }

    async fn start_with(prefix: &Path, configuration: impl FnOnce(&Ports, &Path) -> String) -> Self {
        let mut ports = new_ports();
        ports.node = ports.sip;
        let fs = Self::prepare(prefix, &ports, configuration);
        fs.launch().await;
        fs
    }

    /// Its files, before it is started.
    fn prepare(prefix: &Path, ports: &Ports, configuration: impl FnOnce(&Ports, &Path) -> String) -> Self {
        let dir = TempDir::new().expect("a directory");
        for name in [
            "conf", "log", "db", "run", "storage", "cache", "temp", "other", "cdr", "cdr-csv", "cdr-xml",
        ] {
            std::fs::create_dir(dir.path().join(name)).expect("a directory");
        }
        let conf = dir.path().join("conf/freeswitch.xml");
        let (certificate, key) = OF_FREESWITCH.issue("localhost");
        for name in ["agent.pem", "wss.pem"] {
            let text = format!("{certificate}{key}");
            std::fs::write(dir.path().join("other").join(name), text).expect("a file");
        }
        std::fs::write(dir.path().join("other/cafile.pem"), OF_FREESWITCH.pem()).expect("a file");
        let mut configuration = configuration(ports, dir.path());
        if std::env::var_os(LOG_COPY).is_some() {
            configuration = configuration
                .replace(r#"name="loglevel" value="info""#, r#"name="loglevel" value="debug""#)
                .replace(r#"value="info,notice,"#, r#"value="debug,info,notice,"#)
                .replace(
                    r#""default"><settings/>"#,
                    r#""default"><settings><param name="rollover" value="0"/></settings>"#,
                );
        }
        std::fs::write(conf, configuration).expect("a file");
        Self {
            ports: *ports,
            prefix: prefix.to_owned(),
            dir,
            child: Mutex::new(None),
            next_user: AtomicU32::new(FIRST_USER),
            is_standby: false,
        }
    }

    async fn launch(&self) {
        let console = std::fs::File::create(self.dir.path().join("console.log")).expect("a file");
        let mut command = Command::new(self.prefix.join("bin/freeswitch"));
        command.args(["-nf", "-nonat", "-np", "-nocal"]);
        for (flag, name) in [
            ("-conf", "conf"),
            ("-log", "log"),
            ("-db", "db"),
            ("-run", "run"),
            ("-storage", "storage"),
            ("-cache", "cache"),
            ("-temp", "temp"),
            ("-recordings", "other"),
            ("-scripts", "other"),
            ("-certs", "other"),
        ] {
            command.arg(flag).arg(self.dir.path().join(name));
        }
        command.arg("-mod").arg(modules(&self.prefix));
        command
            .stdin(Stdio::null())
            .stdout(console.try_clone().expect("a handle"))
            .stderr(console);
        let child = command.spawn().expect("FreeSWITCH starts");
        *self.child.lock().unwrap_or_else(PoisonError::into_inner) = Some(child);
        self.comes_back().await;
    }

    /// Its process id; 0 while it is not running.
    pub fn pid(&self) -> u32 {
        let child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        child.as_ref().map_or(0, Child::id)
    }

    /// Sets whether `socket` has `async`, if `$FSWAKE_SOCKET` is `either`.
    pub async fn holds_with_async(&self, is_async: bool) {
        let mode = if is_async { "async full" } else { "full" };
        self.api(&format!("global_setvar socket_mode={mode}")).await;
        self.api(&format!("global_setvar socket_resumes={is_async}")).await;
    }

    /// Waits until its event socket answers.
    pub async fn comes_back(&self) {
        let deadline = Instant::now() + START;
        // Another process may have taken the port meanwhile, and stay silent.
        while !timeout(Duration::from_secs(5), self.is_up()).await.unwrap_or(false) {
            assert!(
                Instant::now() < deadline && self.is_running(),
                "FreeSWITCH does not start:\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn is_running(&self) -> bool {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        child.as_mut().is_some_and(|c| matches!(c.try_wait(), Ok(None)))
    }

    async fn is_up(&self) -> bool {
        let Ok(mut console) = Console::connect(self.ports.esl, ESL_PASSWORD).await else {
            return false;
        };
        let up = console.api("status").await.is_ok_and(|s| s.contains("is ready"));
        up && (self.is_standby || takes_registrations(&mut console).await)
    }

    /// Shuts it down, and starts it again with the same files and ports.
    pub async fn restart(&self) {
        self.stop();
        self.launch().await;
    }

    /// Kills it with SIGKILL.
    pub fn kill(&self) {
        let child = self.child.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut child) = child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts it again with the same files and ports, after it was stopped or killed.
    pub async fn start_again(&self) {
        assert_eq!(
            self.pid(),
            0,
            "this FreeSWITCH still runs: stop or kill it before another start"
        );
        self.launch().await;
    }

    /// Runs `fsctl shutdown now`, and kills the process if it stays.
    pub fn stop(&self) {
        let child = self.child.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut child) = child else { return };
        if let Err(error) = shut_down(self.ports.esl) {
            eprintln!("cannot ask FreeSWITCH to shut down: {error}");
        }
        let deadline = Instant::now() + Duration::from_secs(15);
        while matches!(child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = child.kill();
        let _ = child.wait();
        if let Some(copy) = std::env::var_os(LOG_COPY)
            && let Err(error) = std::fs::copy(self.dir.path().join("log/freeswitch.log"), copy)
        {
            eprintln!("cannot copy FreeSWITCH's log: {error}");
        }
    }

    /// The last lines of its log.
    pub fn log(&self) -> String {
        let read = |name| std::fs::read_to_string(self.dir.path().join(name)).unwrap_or_default();
        let text = read("console.log") + &read("log/freeswitch.log");
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    /// File names of the CDRs written since then.
    pub fn cdr_files(&self, since: SystemTime) -> Vec<String> {
        let files = std::fs::read_dir(self.dir.path().join("cdr"))
            .into_iter()
            .flatten()
            .flatten();
        let is_new = |file: &std::fs::DirEntry| file.metadata().and_then(|m| m.modified()).is_ok_and(|at| at >= since);
        let name = |file: std::fs::DirEntry| file.file_name().into_string().ok();
        files.filter(is_new).filter_map(name).collect()
    }

    /// The CDRs written since then, with their file names.
    pub fn cdrs(&self, since: SystemTime) -> Vec<(String, Value)> {
        let read = |name: String| {
            let text = std::fs::read_to_string(self.dir.path().join("cdr").join(&name)).ok()?;
            Some((name, serde_json::from_str(&text).ok()?))
        };
        self.cdr_files(since).into_iter().filter_map(read).collect()
    }

    /// The directory of its recordings.
    pub fn recordings(&self) -> PathBuf {
        self.dir.path().join("other")
    }

    /// The CDRs of every kind written since then: kind (json, csv or xml), file name and text.
    pub fn all_cdrs(&self, since: SystemTime) -> Vec<(&'static str, String, String)> {
        let mut all = Vec::new();
        for (kind, folder) in [("json", "cdr"), ("csv", "cdr-csv"), ("xml", "cdr-xml")] {
            let files = std::fs::read_dir(self.dir.path().join(folder))
                .into_iter()
                .flatten()
                .flatten();
            for file in files {
                let is_new = file.metadata().and_then(|m| m.modified()).is_ok_and(|at| at >= since);
                if is_new && let Ok(text) = std::fs::read_to_string(file.path()) {
                    all.push((kind, file.file_name().to_string_lossy().into_owned(), text));
                }
            }
        }
        all
    }

    /// A new connection for commands.
    pub async fn console(&self) -> Console {
        Console::connect(self.ports.esl, ESL_PASSWORD)
            .await
            .expect("FreeSWITCH's event socket")
    }

    /// Runs one API command on a new connection.
    pub async fn api(&self, command: &str) -> String {
        let answer = self.console().await.api(command).await;
        answer.unwrap_or_else(|e| panic!("{command}: {e}"))
    }

    /// `show channels as json`: one object for each channel.
    pub async fn channels(&self) -> Vec<Value> {
        let shown: Value = serde_json::from_str(&self.api("show channels as json").await).expect("JSON");
        shown["rows"].as_array().cloned().unwrap_or_default()
    }

    /// Waits until there are this many channels, all up and with known codecs.
    pub async fn active_channels(&self, count: usize) -> Vec<Value> {
        let is_up = |c: &Value| c["callstate"] == "ACTIVE" && c["read_codec"] != "" && c["write_codec"] != "";
        let deadline = Instant::now() + Duration::from_secs(3);
        loop {
            let channels = self.channels().await;
            if channels.len() == count && channels.iter().all(is_up) {
                return channels;
            }
            assert!(
                Instant::now() < deadline,
                "not {count} channels that are up: {channels:#?}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The UUID of the channel that called this number.
    pub async fn caller_channel(&self, number: &str) -> Option<String> {
        let channels = self.channels().await;
        let caller = channels
            .iter()
            .find(|c| c["direction"] == "inbound" && c["dest"] == number)?;
        Some(caller["uuid"].as_str()?.to_owned())
    }

    /// Waits until no channel is left. Returns how long that took.
    ///
    /// # Panics
    /// If channels are left after `within`.
    pub async fn becomes_silent(&self, within: Duration) -> Duration {
        let started = Instant::now();
        let mut console = self.console().await;
        loop {
            let shown = console.api("show channels").await.expect("an answer");
            if shown.contains("\n0 total.") {
                return started.elapsed();
            }
            if started.elapsed() > within {
                let _ = console.api("hupall").await;
                panic!("channels are left after {within:?}:\n{shown}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends all registrations at the profile that phones register with, and waits until they are gone: FreeSWITCH
    /// deletes them behind a queue, where new ones would be deleted too.
    pub async fn forget_registrations(&self) {
        self.api("sofia profile internal flush_inbound_reg").await;
        while !self
            .api("sofia status profile internal reg")
            .await
            .contains("Total items returned: 0")
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A new user.
    pub fn new_user(&self) -> String {
        self.next_user.fetch_add(1, Ordering::Relaxed).to_string()
    }

    /// The account of a user.
    pub fn account(&self, user: &str, domain: &str) -> Account {
        Account {
            user: user.to_owned(),
            domain: domain.to_owned(),
            password: PASSWORD.to_owned(),
            server: self.ports.sip,
            tls_server: self.ports.tls,
            ws_server: self.ports.ws,
            wss_server: self.ports.wss,
        }
    }
}

/// Whether its SIP profile for phones runs.
async fn takes_registrations(console: &mut Console) -> bool {
    let status = console.api("sofia status profile internal").await;
    status.is_ok_and(|s| s.contains("REGISTRATIONS"))
}

/// This function blocks, because `drop` uses it as well.
fn shut_down(esl: SocketAddr) -> std::io::Result<()> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(esl)?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    write!(stream, "auth {ESL_PASSWORD}\n\napi fsctl shutdown now\n\n")?;
    let mut answer = [0; 1024];
    while stream.read(&mut answer).is_ok_and(|n| n > 0) {}
    Ok(())
}

impl Drop for RealFs {
    fn drop(&mut self) {
        self.stop();
    }
}
