//! A real PostgreSQL (Debian: `postgresql`): a private server in its own directory, with TLS and passwords, which
//! exists only during a test.
//!
//! Without the server's programs the tests that need it are skipped, and noted as such.

use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use crate::process::Process;
use crate::skipped;
use crate::tls::Authority;

const MISSING: &str = "no PostgreSQL server is installed (Debian: postgresql)";

/// PostgreSQL refuses to run as root.
const NOBODY: u32 = 65534;

/// The password of the superuser `pbx`. Its characters have meanings in connection strings and shells.
pub const PASSWORD: &str = "p'a\\ss w0rd";

/// A server; stopped when dropped.
pub struct Server {
    dir: tempfile::TempDir,
    programs: PathBuf,
    /// Its port on 127.0.0.1.
    pub port: u16,
}

/// Whether PostgreSQL's server is installed.
///
/// # Errors
/// If it is not, with the text to print.
pub fn installed() -> Result<(), String> {
    programs().map(|_| ()).ok_or_else(|| MISSING.to_owned())
}

/// The directory of the server's programs.
fn programs() -> Option<PathBuf> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || {
        let on_path = std::env::var_os("PATH").unwrap_or_default();
        let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let places = std::env::split_paths(&on_path).chain(versions.map(|v| v.path().join("bin")));
        places
            .into_iter()
            .find(|place| ["initdb", "pg_ctl", "postgres"].iter().all(|p| place.join(p).exists()))
    };
    FOUND.get_or_init(find).clone()
}

impl Server {
    /// One server for all tests of a program that run at the same time. Each uses its own database. `None` if
    /// PostgreSQL is not installed.
    pub fn shared() -> Option<Arc<Self>> {
        static RUNNING: Mutex<Weak<Server>> = Mutex::new(Weak::new());
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = running.upgrade() {
            return Some(server);
        }
        let server = Arc::new(Self::start()?);
        *running = Arc::downgrade(&server);
        Some(server)
    }

    /// A server for one test. `None` if PostgreSQL is not installed.
    pub fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            skipped::note(MISSING);
            return None;
        };
        let dir = tempfile::tempdir().expect("a directory");
        let free = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
        let port = free.expect("a free port").port();
        let server = Self { dir, programs, port };
        let authority = Authority::default();
        let (certificate, key) = authority.issue("localhost");
        let password = format!("{PASSWORD}\n");
        for (name, text) in [
            ("ca.pem", authority.pem()),
            ("other-ca.pem", Authority::default().pem()),
            ("server.crt", certificate),
            ("server.key", key),
            ("password", password),
        ] {
            let file = server.file(name);
            std::fs::write(&file, text).expect("a file of its own");
            std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).expect("its own file");
            give(&file);
        }
        give(server.dir.path());
        let passwords = format!("--pwfile={}", server.file("password").display());
        let initdb = [
            "-D",
            "data",
            "-U",
            "pbx",
            "-A",
            "scram-sha-256",
            "-E",
            "UTF8",
            "--no-sync",
            &passwords,
        ];
        server.run("initdb", &initdb);
        server.resume();
        Some(server)
    }

    /// Starts the server, also after [`Server::stop`] or [`Server::kill`].
    pub fn resume(&self) {
        let settings = format!(
            "-k {dir} -p {port} -c listen_addresses=127.0.0.1 -c ssl=on -c ssl_cert_file={dir}/server.crt \
             -c ssl_key_file={dir}/server.key -c timezone=Asia/Dhaka -c wal_level=logical -c max_connections=60",
            dir = self.dir.path().display(),
            port = self.port
        );
        self.run("pg_ctl", &["-D", "data", "-w", "-l", "log", "-o", &settings, "start"]);
    }

    /// Stops it at once, without ending connections in order.
    pub fn stop(&self) {
        self.run("pg_ctl", &["-D", "data", "-m", "immediate", "-w", "stop"]);
    }

    /// `kill -9` of all its processes.
    pub fn kill(&self) {
        let pid = self.pid().expect("it runs");
        let process = Process(pid);
        for pid in std::iter::once(pid).chain(process.children()) {
            let _ = Command::new("kill")
                .args(["-9", &pid.to_string()])
                .stderr(Stdio::null())
                .status();
        }
        while process.program().is_some() {
            std::thread::yield_now();
        }
        // A dead process that its parent has not collected keeps its number, so PostgreSQL would take it for running.
        for lock in ["data/postmaster.pid".to_owned(), format!(".s.PGSQL.{}.lock", self.port)] {
            let _ = std::fs::remove_file(self.file(&lock));
        }
    }

    /// Whether it was started, and not stopped since.
    pub fn runs(&self) -> bool {
        self.pid().is_some()
    }

    fn pid(&self) -> Option<u32> {
        let file = std::fs::read_to_string(self.file("data/postmaster.pid")).ok()?;
        file.lines().next()?.parse().ok()
    }

    /// A file in its directory: `ca.pem` is the authority of its certificate for `localhost`, `other-ca.pem` another
    /// one.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Its directory, which also has its socket.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A connection string as in FreeSWITCH's configuration.
    pub fn dsn(&self, host: &str) -> String {
        let password = PASSWORD.replace('\\', "\\\\").replace('\'', "\\'");
        let port = self.port;
        format!(
            "pgsql://{host} port={port} dbname=postgres user=pbx password='{password}' options='-c client_min_messages=NOTICE'"
        )
    }

    /// A URL without a password.
    pub fn url(&self, user: &str, database: &str) -> String {
        format!("postgresql://{user}@127.0.0.1:{}/{database}", self.port)
    }

    fn run(&self, program: &str, args: &[&str]) {
        let mut command = Command::new(self.programs.join(program));
        command.args(args).current_dir(self.dir.path()).env("LC_ALL", "C.UTF-8");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        let status = command.status().expect("PostgreSQL's programs run");
        assert!(
            status.success(),
            "{program}: {}",
            std::fs::read_to_string(self.file("log")).unwrap_or_default()
        );
    }
}

/// Makes the server's user the owner, if that is another user.
fn give(path: &Path) {
    if is_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).expect("root gives files away");
    }
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|about| about.uid() == 0)
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut command = Command::new(self.programs.join("pg_ctl"));
        command
            .args(["-D", "data", "-m", "immediate", "-w", "stop"])
            .current_dir(self.dir.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        // It may have been stopped already.
        let _ = command.status();
    }
}
