//! An Asterisk on loopback with the examples of gateway/asterisk, and registrations.py.
//!
//! `$ASTERISK` names the program (default: `/usr/sbin/asterisk`). Its configuration, the AGI script and everything that it
//! writes are in a temporary directory.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::realfs::free;
use crate::sip::Account;

/// How long it may take to come up.
const START: Duration = Duration::from_secs(40);
/// Its users' password.
const PASSWORD: &str = "sesame";
const USERS: [&str; 4] = ["1001", "1002", "1003", "1004"];
const AMI_SECRET: &str = "ami-sesame";

/// What the registrar and the dialplan need.
const MODULES: [&str; 30] = [
    "res_timing_timerfd",
    "res_sorcery_config",
    "res_sorcery_memory",
    "res_sorcery_astdb",
    "res_pjproject",
    "res_rtp_asterisk",
    "res_pjsip",
    "res_pjsip_session",
    "res_pjsip_pubsub",
    "res_pjsip_registrar",
    "res_pjsip_authenticator_digest",
    "res_pjsip_endpoint_identifier_user",
    "res_pjsip_nat",
    "res_pjsip_sdp_rtp",
    "res_pjsip_caller_id",
    "res_security_log",
    "chan_pjsip",
    "func_channel",
    "func_callerid",
    "func_pjsip_contact",
    "func_pjsip_endpoint",
    "app_dial",
    "app_exec",
    "app_verbose",
    "res_speech",
    "res_agi",
    "pbx_config",
    "bridge_simple",
    "codec_alaw",
    "codec_ulaw",
];

/// A running Asterisk; ends when dropped.
pub struct Asterisk {
    /// Where phones reach it by UDP and TCP.
    pub address: SocketAddr,
    ami: SocketAddr,
    dir: TempDir,
    child: Child,
}

/// A running registrations.py; ends when dropped.
pub struct Registrations {
    log: PathBuf,
    _child: Child,
}

fn program() -> PathBuf {
    std::env::var_os("ASTERISK").map_or_else(|| "/usr/sbin/asterisk".into(), PathBuf::from)
}

/// Whether there is one to start, and what the examples need.
///
/// # Errors
/// There is not: what to print.
pub fn installed() -> Result<(), String> {
    let program = program();
    if !program.is_file() {
        return Err(format!("no Asterisk at {}; set ASTERISK", program.display()));
    }
    let paths = std::env::var_os("PATH").unwrap_or_default();
    for needed in ["python3", "curl"] {
        if !std::env::split_paths(&paths).any(|path| path.join(needed).is_file()) {
            return Err(format!("no {needed}, which gateway/asterisk needs"));
        }
    }
    Ok(())
}

/// A file of gateway/asterisk.
fn example(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../gateway/asterisk");
    std::fs::read_to_string(folder.join(name)).expect("the example")
}

impl Asterisk {
    /// Starts one with fswake's HTTP interface at this address, and users 1001 to 1004 of this domain.
    pub async fn gateway(fswake: SocketAddr, domain: &str) -> Self {
        let host = IpAddr::from(Ipv4Addr::LOCALHOST);
        let (address, ami) = (free(host).expect("a free port"), free(host).expect("a free port"));
        let dir = TempDir::new().expect("a directory");
        let path = dir.path();
        for folder in ["db", "keys", "spool", "run", "log"] {
            std::fs::create_dir(path.join(folder)).expect("a directory");
        }
        let write = |name: &str, text: &str| std::fs::write(path.join(name), text).expect("a file");
        let at = path.display();
        write(
            "asterisk.conf",
            &format!(
                "[directories]\nastetcdir => {at}\nastdbdir => {at}/db\nastkeydir => {at}/keys\n\
                 astspooldir => {at}/spool\nastrundir => {at}/run\nastlogdir => {at}/log\n[options]\nverbose = 3\n"
            ),
        );
        let modules = MODULES.iter().fold(String::new(), |mut all, module| {
            let _ = writeln!(all, "load = {module}.so");
            all
        });
        write("modules.conf", &format!("[modules]\nautoload = no\n{modules}"));
        write("logger.conf", "[logfiles]\nconsole => notice,warning,error,verbose\n");
        write("wake.agi", &example("wake.agi"));
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(path.join("wake.agi"), executable).expect("a file");
        let dialplan = example("extensions.conf")
            .replace("/usr/share/fswake/gateway/asterisk/wake.agi", &format!("{at}/wake.agi"))
            .replace("127.0.0.1:8085", &fswake.to_string())
            .replace("example.org", domain);
        write(
            "extensions.conf",
            &format!("{dialplan}[users]\ninclude => fswake-users\n"),
        );
        let ami_user = example("manager.conf").replace("secret = ", &format!("secret = {AMI_SECRET}"));
        let port = ami.port();
        write(
            "manager.conf",
            &format!("[general]\nenabled = yes\nbindaddr = 127.0.0.1\nport = {port}\n{ami_user}"),
        );
        write("pjsip.conf", &(example("pjsip.conf") + &transports(address) + &users()));
        let child = run(path);
        let mut asterisk = Self {
            address,
            ami,
            dir,
            child,
        };
        asterisk.comes_up().await;
        asterisk
    }

    async fn comes_up(&mut self) {
        let deadline = Instant::now() + START;
        while !self.log().contains("Asterisk Ready") {
            let runs = matches!(self.child.try_wait(), Ok(None));
            assert!(
                runs && Instant::now() < deadline,
                "Asterisk does not come up:\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Kills it and starts it again.
    pub async fn restart(&mut self) {
        self.child.kill().await.expect("it could be killed");
        self.child = run(self.dir.path());
        self.comes_up().await;
    }

    /// One of its users.
    pub fn account(&self, user: &str, domain: &str) -> Account {
        Account {
            user: user.to_owned(),
            domain: domain.to_owned(),
            password: PASSWORD.to_owned(),
            server: self.address,
            tls_server: self.address,
            ws_server: self.address,
            wss_server: self.address,
        }
    }

    /// Starts registrations.py, and waits until it has read the list of registrations.
    pub async fn registrations(&self, fswake: SocketAddr, domain: &str) -> Registrations {
        let settings = example("registrations.ini")
            .replace("port = 5038", &format!("port = {}", self.ami.port()))
            .replace("secret =", &format!("secret = {AMI_SECRET}"))
            .replace("127.0.0.1:8085", &fswake.to_string())
            .replace("example.org", domain);
        let (file, log) = (
            self.dir.path().join("registrations.ini"),
            self.dir.path().join("registrations.log"),
        );
        std::fs::write(&file, settings).expect("a file");
        let stderr = std::fs::File::create(&log).expect("a file");
        let child = Command::new("python3")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../gateway/asterisk/registrations.py"))
            .arg(file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .kill_on_drop(true)
            .spawn()
            .expect("python3 starts");
        let registrations = Registrations { log, _child: child };
        registrations.wait(" registrations").await;
        registrations
    }

    /// All that it has logged since its start.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log/console")).unwrap_or_default()
    }
}

impl Registrations {
    /// All that it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until it has logged these words.
    pub async fn wait(&self, words: &str) {
        let deadline = Instant::now() + START;
        while !self.log().contains(words) {
            assert!(Instant::now() < deadline, "no {words:?} in\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Registrations {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- registrations.py's log\n{}", self.log());
        }
    }
}

impl Drop for Asterisk {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- Asterisk's log\n{}", self.log());
        }
    }
}

fn run(path: &Path) -> Child {
    let log = std::fs::File::create(path.join("log/console")).expect("a file");
    Command::new(program())
        .args(["-f", "-n", "-C"])
        .arg(path.join("asterisk.conf"))
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("asterisk starts")
}

fn transports(address: SocketAddr) -> String {
    ["udp", "tcp"].iter().fold(String::new(), |mut all, protocol| {
        let _ = writeln!(
            all,
            "[{protocol}]\ntype = transport\nprotocol = {protocol}\nbind = {address}"
        );
        all
    })
}

fn users() -> String {
    USERS.iter().fold(String::new(), |mut all, user| {
        let _ = writeln!(
            all,
            "[{user}](phone-that-sleeps)\nauth = {user}\naors = {user}\ncallerid = Ali\"ce, of <{user}>\n\
             [{user}](aor-that-sleeps)\n[{user}]\ntype = auth\nusername = {user}\npassword = {PASSWORD}"
        );
        all
    })
}
