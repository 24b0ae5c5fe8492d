//! A Kamailio on loopback, either as an edge proxy in front of FreeSWITCH, through which phones register with a Path
//! (RFC 3327), or as a registrar with fswake as its push gateway.
//!
//! Runs the installed Kamailio; its files are in a temporary directory.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::realfs::free;
use crate::sip::Account;
use crate::tls::OF_FREESWITCH;

const PROGRAM: &str = "kamailio";
const FILE: &str = "kamailio.cfg";
/// Limit for starting.
const START: Duration = Duration::from_secs(20);

/// How it routes a call from FreeSWITCH to a phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finds {
    /// By the Path, which contains the source address of the REGISTER (`add_path_received`, with `received_format=1`).
    Path,
    /// By a parameter that it adds to the phone's Contact, replacing an existing one (`set_contact_alias`).
    Alias,
}

/// A running Kamailio. It stops when dropped.
pub struct Kamailio {
    /// Its address for phones over UDP, TCP and WebSocket.
    pub address: SocketAddr,
    /// The address for TLS and secure WebSocket.
    pub tls: SocketAddr,
    dir: TempDir,
    child: Child,
}

/// Whether Kamailio is installed; else the text to print.
fn installed() -> Result<(), String> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let mut paths = std::env::split_paths(&paths).chain([Path::new("/usr/sbin").to_owned()]);
    let found = paths.any(|path| path.join(PROGRAM).is_file());
    found.then_some(()).ok_or_else(|| "no kamailio".to_owned())
}

/// Whether Kamailio is installed with all that the edge proxy needs.
///
/// # Errors
/// If it is not, with the text to print.
pub fn is_edge() -> Result<(), String> {
    has(&MODULES)
}

/// Whether Kamailio is installed with these modules.
///
/// # Errors
/// If it is not, with the text to print.
pub fn has(modules: &[&str]) -> Result<(), String> {
    installed()?;
    let folders = [
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
        "/usr/lib",
        "/usr/lib64",
    ];
    let there = |module: &&&str| {
        let is_in = |folder: &&str| {
            Path::new(folder)
                .join(format!("kamailio/modules/{module}.so"))
                .is_file()
        };
        folders.iter().any(is_in)
    };
    match modules.iter().find(|module| !there(module)) {
        Some(module) => Err(format!(
            "kamailio has no module {module} (Debian: kamailio-{{extra,tls,utils,websocket}}-modules)"
        )),
        None => Ok(()),
    }
}

impl Kamailio {
    /// Starts an edge proxy for FreeSWITCH's profile at this address, on the same host, and waits until it listens.
    pub async fn start(fs: SocketAddr, finds: Finds) -> Self {
        Self::start_before([fs, fs], finds).await
    }

    /// The same for two FreeSWITCHes. The Call-ID decides which of them gets a phone's REGISTER: a phone that comes back may
    /// be registered at the other.
    pub async fn start_before(fs: [SocketAddr; 2], finds: Finds) -> Self {
        let port = || free(fs[0].ip()).expect("a free port");
        let (address, tls) = (port(), port());
        let dir = TempDir::new().expect("a directory");
        let (certificate, key) = OF_FREESWITCH.issue("localhost");
        let write = |name: &str, text: &str| {
            std::fs::write(dir.path().join(name), text).expect("a file");
        };
        write("certificate.pem", &certificate);
        write("key.pem", &key);
        let text = configuration(fs, finds, address, tls, dir.path());
        Self::run(&text, address, tls, dir).await
    }

    /// Starts a Kamailio with gateway/kamailio.cfg, and fswake's HTTP interface at this address.
    pub async fn gateway(fswake: SocketAddr) -> Self {
        let address = free(fswake.ip()).expect("a free port");
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../gateway/kamailio.cfg");
        let text = std::fs::read_to_string(file).expect("the example");
        let text = text.replace("127.0.0.1:5060", &address.to_string());
        let text = text.replace("127.0.0.1:8085", &fswake.to_string());
        let text = text.replace("log_stderror=no", "log_stderror=yes");
        Self::run(&text, address, address, TempDir::new().expect("a directory")).await
    }

    async fn run(text: &str, address: SocketAddr, tls: SocketAddr, dir: TempDir) -> Self {
        std::fs::write(dir.path().join(FILE), text).expect("a file");
        let child = launch(dir.path());
        let mut kamailio = Self {
            address,
            tls,
            dir,
            child,
        };
        kamailio.comes_up().await;
        kamailio
    }

    /// Kills all its processes with SIGKILL.
    pub async fn kill(&mut self) {
        if let Some(id) = self.child.id() {
            let _ = std::process::Command::new("kill")
                .args(["-KILL", "--", &format!("-{id}")])
                .status();
            let _ = self.child.wait().await;
        }
    }

    /// Starts it again with the same files and ports.
    pub async fn start_again(&mut self) {
        self.child = launch(self.dir.path());
        self.comes_up().await;
    }

    async fn comes_up(&mut self) {
        let deadline = Instant::now() + START;
        while TcpStream::connect(self.tls).await.is_err() {
            let runs = matches!(self.child.try_wait(), Ok(None));
            assert!(
                runs && Instant::now() < deadline,
                "Kamailio does not start:\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The account of a phone that goes through this proxy.
    #[must_use]
    pub fn before(&self, account: Account) -> Account {
        Account {
            server: self.address,
            tls_server: self.tls,
            ws_server: self.address,
            wss_server: self.tls,
            ..account
        }
    }

    /// The last lines of its log.
    pub fn log(&self) -> String {
        let text = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

/// Starts it in a process group of its own.
fn launch(dir: &Path) -> Child {
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(dir.join("log"));
    let path = std::env::var("PATH").unwrap_or_default();
    Command::new(PROGRAM)
        .env("PATH", format!("{path}:/usr/sbin"))
        .args(["-DD", "-E", "-m", "64", "-f"])
        .arg(dir.join(FILE))
        .arg("-w")
        .arg(dir)
        .arg("-Y")
        .arg(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log.expect("a file"))
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .expect("kamailio starts")
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- Kamailio's log\n{}", self.log());
        }
        // The main process stops its children.
        if let Some(id) = self.child.id() {
            let _ = std::process::Command::new("kill")
                .args(["-TERM", &id.to_string()])
                .status();
            let deadline = Instant::now() + Duration::from_secs(3);
            while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

const MODULES: [&str; 13] = [
    "tls",
    "kex",
    "tm",
    "tmx",
    "sl",
    "rr",
    "pv",
    "siputils",
    "textops",
    "path",
    "nathelper",
    "xhttp",
    "websocket",
];

fn configuration(fs: [SocketAddr; 2], finds: Finds, address: SocketAddr, tls: SocketAddr, dir: &Path) -> String {
    let modules = MODULES.iter().fold(String::new(), |mut all, module| {
        let _ = writeln!(all, "loadmodule \"{module}.so\"");
        all
    });
    let mark = match finds {
        Finds::Path => "add_path_received();",
        Finds::Alias => r#"set_contact_alias("1"); add_path();"#,
    };
    let [first, second] = fs;
    let (ports, dir) = ((first.port(), second.port()), dir.display());
    let (port, other_port) = ports;
    format!(
        r#"#!KAMAILIO
debug=1
log_stderror=yes
children=2
tcp_children=2
auto_aliases=no
enable_tls=yes
tcp_accept_no_cl=yes
tcp_connection_lifetime=600
listen=udp:{address}
listen=tcp:{address}
listen=tls:{tls}
{modules}
modparam("tls", "tls_method", "TLSv1.2+")
modparam("tls", "certificate", "{dir}/certificate.pem")
modparam("tls", "private_key", "{dir}/key.pem")
modparam("path", "use_received", 1)
modparam("path", "received_format", 1)

request_route {{
  if (is_method("REGISTER")) {{
    force_rport();
    {mark}
    if ($ci =~ "[02468ace]$") $du = "sip:{first}"; else $du = "sip:{second}";
    t_relay();
    exit;
  }}
  if (is_method("CANCEL")) {{
    if (t_check_trans()) t_relay();
    exit;
  }}
  force_rport();
  record_route();
  loose_route();
  # A new call goes where the Path says, what follows where the phone answered.
  if ($du == $null || $du == "") handle_ruri_alias();
  t_on_reply("ANSWERED");
  t_relay();
}}

onreply_route[ANSWERED] {{
  if ($sp != {port} && $sp != {other_port}) add_contact_alias();
}}

event_route[xhttp:request] {{
  set_reply_close();
  set_reply_no_connect();
  if ($hdr(Upgrade) =~ "websocket" && ws_handle_handshake()) exit;
  xhttp_reply("404", "Not found", "", "");
}}
"#
    )
}
