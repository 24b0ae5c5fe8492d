//! The daemon in its own process, and its configuration.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use fswake_test_support::daemon::command;
use fswake_test_support::postgres::{PASSWORD, Server};
use fswake_test_support::process::Process;
use fswake_test_support::site::measured;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr};

/// Limit for a start.
const PATIENCE: Duration = Duration::from_secs(300);

/// What a daemon needs to start: its directory with its file and its settings.
pub struct Site {
    pub dir: TempDir,
    settings: String,
}

/// A daemon that is ready. It is killed when dropped.
pub struct Running {
    child: Child,
    /// Where it takes calls.
    pub calls: SocketAddr,
    /// Its HTTP interface.
    pub http: SocketAddr,
    /// From its start until it had read FreeSWITCH's registrations.
    pub took: Duration,
}

impl Site {
    /// A daemon of these FreeSWITCHes (the ports of their event sockets). Calls are held for ten minutes and each is
    /// pushed once, so that nothing else disturbs the measurement.
    pub fn new(event_sockets: &[u16], apps: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mut settings = format!(
            "[listen]\naddresses = ['127.0.0.1:0']\n[http]\naddresses = ['127.0.0.1:0']\n\
             [wake]\nfresh-for = '0s'\npush-retries = 0\nmax-wait = '10m'\n\
             device-pushes-per-minute = 0\ncaller-pushes-per-minute = 0\n\
             [[app]]\nname = 'ios'\n{apps}\n[[app]]\nname = 'android'\nprovider = 'log'\n"
        );
        for (n, port) in event_sockets.iter().enumerate() {
            let _ = match event_sockets {
                [_] => write!(settings, "[freeswitch]\nport = {port}\n"),
                _ => write!(
                    settings,
                    "[[freeswitch]]\nname = 'fs{n}'\nport = {port}\nsip = '192.0.2.{n}:5080'\n"
                ),
            };
        }
        let _ = write!(
            settings,
            "[store]\npath = '{}'\n",
            dir.path().join("fswake.db").display()
        );
        Self { dir, settings }
    }

    /// The same, with a store in this database that it shares.
    pub fn sharing(mut self, server: &Server, name: &str) -> Self {
        let file = |name: &str, text: &str| {
            let path = self.dir.path().join(name);
            std::fs::write(&path, format!("{text}\n")).expect("a file");
            path.display().to_string()
        };
        let _ = write!(
            self.settings,
            "url = '{}'\npassword-file = '{}'\n[cluster]\nname = '{name}'\nkey-file = '{}'\n",
            server.url("pbx", "postgres"),
            file("postgresql.password", PASSWORD),
            file("cluster.key", "0123456789abcdef0123456789abcdef"),
        );
        self
    }

    /// The daemon's file.
    pub fn store(&self) -> PathBuf {
        self.dir.path().join("fswake.db")
    }

    /// Starts it, and waits until it is connected to all FreeSWITCHes.
    pub async fn start(&self) -> Running {
        let file = self.dir.path().join("fswake.toml");
        std::fs::write(&file, &self.settings).expect("a file");
        let mut command = command(measured(env!("CARGO_BIN_EXE_fswake")), &file);
        command.arg("run").stderr(Stdio::piped());
        let began = Instant::now();
        let mut child = command.spawn().expect("fswake starts");
        let mut lines = BufReader::new(child.stderr.take().expect("its stderr")).lines();
        let nodes = self.settings.matches("freeswitch]").count();
        let ready = tokio::time::timeout(PATIENCE, until_ready(&mut lines, nodes)).await;
        let (calls, http) = ready.expect("the daemon is ready in time");
        let took = began.elapsed();
        tokio::spawn(async move { while lines.next_line().await.is_ok_and(|line| shown(line.as_deref())) {} });
        Running {
            child,
            calls,
            http,
            took,
        }
    }
}

/// Reads the log until the daemon is connected to so many FreeSWITCHes. Returns its two addresses.
async fn until_ready(lines: &mut Lines<BufReader<ChildStderr>>, nodes: usize) -> (SocketAddr, SocketAddr) {
    let (mut calls, mut http, mut connected) = (None, None, 0);
    loop {
        let line = lines.next_line().await.expect("its log");
        shown(line.as_deref());
        let line = line.expect("it runs on");
        let address = || {
            let address = line.split("address=").nth(1)?.split([' ', ',']).next()?;
            address.parse::<SocketAddr>().ok()
        };
        if line.contains("waiting for calls") {
            calls = address();
        } else if line.contains("HTTP: metrics") {
            http = address();
        } else if line.contains("connected to FreeSWITCH") {
            connected += 1;
        }
        if let (Some(calls), Some(http), true) = (calls, http, connected >= nodes) {
            return (calls, http);
        }
    }
}

/// Prints warnings. Returns whether there was a line.
fn shown(line: Option<&str>) -> bool {
    if let Some(line) = line.filter(|line| line.contains(" WARN ") || line.contains(" ERROR ")) {
        println!("fswake: {line}");
    }
    line.is_some()
}

impl Running {
    /// Its process.
    pub fn process(&self) -> Process {
        Process(self.child.id().expect("it runs"))
    }

    /// Stops it in order.
    pub async fn stop(mut self) {
        let pid = self.process().0.to_string();
        let sent = std::process::Command::new("kill").args(["-TERM", &pid]).status();
        assert!(sent.is_ok_and(|sent| sent.success()), "kill {pid}");
        let _ = tokio::time::timeout(PATIENCE, self.child.wait()).await;
    }

    /// The sum of a metric's series.
    pub async fn metric(&self, name: &str) -> f64 {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let answer = client.get(format!("http://{}/metrics", self.http)).send().await;
        let text = answer.expect("an answer").text().await.expect("a body");
        let series = text.lines().filter_map(|line| line.strip_prefix(name));
        let series = series.filter(|rest| rest.starts_with([' ', '{']));
        series
            .filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// Waits until a metric is this large; false if it is not within a minute.
    pub async fn until(&self, name: &str, least: f64) -> bool {
        for _ in 0..600 {
            if self.metric(name).await >= least {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        false
    }
}
