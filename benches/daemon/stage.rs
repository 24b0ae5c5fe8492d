//! The stand-ins, and the daemon in its own process.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fswake_test_support::apns::Apns;
use fswake_test_support::daemon::{self, Daemon};
use fswake_test_support::freeswitch::{Call, Config, Event, FakeFreeSwitch, Held};
use fswake_test_support::process::Process;
use tempfile::TempDir;

use crate::phones::{DOMAIN, iphone, pace};

/// Limit for the daemon's start.
const PATIENCE: Duration = Duration::from_secs(60);

/// The running parts. The daemon stops when this is dropped.
pub struct Stage {
    pub fs: FakeFreeSwitch,
    pub apns: Apns,
    pub dir: TempDir,
    /// The address of the daemon's HTTP interface.
    pub http: SocketAddr,
    daemon: Daemon,
}

impl Stage {
    /// Starts everything. Calls are held for ten minutes and each is pushed once, so that nothing else disturbs the
    /// measurement.
    pub async fn start() -> Self {
        let (fs, apns) = tokio::join!(FakeFreeSwitch::start(Config::default()), Apns::start());
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("fswake.toml");
        let text = format!(
            "[freeswitch]\nport = {}\n[listen]\naddresses = ['127.0.0.1:0']\n[http]\naddresses = ['127.0.0.1:0']\n\
             [wake]\nfresh-for = '0s'\npush-retries = 0\nmax-wait = '10m'\n\
             device-pushes-per-minute = 0\ncaller-pushes-per-minute = 0\n\
             [store]\npath = '{}'\n\
             [[app]]\nname = 'ios'\n{}",
            fs.address().port(),
            dir.path().join("fswake.db").display(),
            apns.app(),
        );
        std::fs::write(&file, text).expect("a file");
        let (daemon, http) = spawn(&dir).await;
        Self {
            fs,
            apns,
            dir,
            http,
            daemon,
        }
    }

    /// Replaces the daemon by a new one, which loads the store and has nothing else in its memory.
    pub async fn restart(&mut self) {
        self.daemon.signal("TERM");
        self.daemon.exit_code().await;
        (self.daemon, self.http) = spawn(&self.dir).await;
    }

    /// The daemon's process.
    pub fn process(&self) -> Process {
        self.daemon.process()
    }

    /// Registers a user's phone with its token of this generation.
    pub fn register(&self, user: usize, generation: usize) -> Arc<Event> {
        self.fs.announce(&iphone(user, generation))
    }

    /// Expires the registration of a user's phone. Only its token is left.
    fn expire(&self, user: usize) {
        self.fs.announce_expiry(&iphone(user, 0));
    }

    /// Users whose phones sleep: they registered once, and their registrations have expired.
    pub async fn sleepers(&self, count: usize) {
        pace(count, 5_000, |user| {
            self.register(user, 0);
            self.expire(user);
        })
        .await;
        // The queue is in order, so the earlier events have arrived when this one has.
        let mark = self.register(count, 0);
        let started = Instant::now();
        while mark.written_at().is_none() && started.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }

    /// Calls a user.
    pub fn call(&self, user: usize, record: bool) -> Held {
        let mut call = Call::to(self.daemon.address, &user.to_string(), DOMAIN);
        call.record = record;
        self.fs.call(&call)
    }

    /// Calls users `0..count`, at this rate a second.
    pub async fn call_all(&self, count: usize, per_second: usize, record: bool) -> Vec<Held> {
        let mut all = Vec::with_capacity(count);
        pace(count, per_second, |user| all.push(self.call(user, record))).await;
        all
    }
}

/// Starts a daemon, and waits until it is connected. Returns its HTTP address, too. Its warnings are printed.
async fn spawn(dir: &TempDir) -> (Daemon, SocketAddr) {
    let mut command = daemon::command(env!("CARGO_BIN_EXE_fswake"), &dir.path().join("fswake.toml"));
    command.arg("run");
    let warn = |line: &str| {
        if line.contains(" WARN ") || line.contains(" ERROR ") {
            println!("fswake: {line}");
        }
    };
    let daemon = Daemon::start_watched(command, warn, |_| {}).await.connected().await;
    let http = daemon.http().await;
    (daemon, http)
}
