//! The stand-ins, and the daemon as a process of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fswake_test_support::apns::{Apns, BUNDLE_ID, TEAM_ID};
use fswake_test_support::daemon::{self, Daemon};
use fswake_test_support::freeswitch::{Call, Config, Event, FakeFreeSwitch, Held};
use tempfile::TempDir;

const DOMAIN: &str = "fs.test";
/// How long the daemon may take to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// The running parts; the daemon ends when this is dropped.
pub struct Stage {
    pub fs: FakeFreeSwitch,
    pub apns: Apns,
    pub dir: TempDir,
    /// Where the daemon is asked.
    pub http: SocketAddr,
    daemon: Daemon,
}

/// The phones' one and only address: legs to it are silent unless a phone is put there.
pub const PHONES: &str = "127.0.0.9:5060";

impl Stage {
    /// Starts everything. Calls are held for ten minutes and each is pushed once, so that only what is measured
    /// happens.
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

    /// Another daemon in place of this one: what it knows comes from the store, and nothing else is in its memory.
    pub async fn restart(&mut self) {
        self.daemon.signal("TERM");
        self.daemon.exit_code().await;
        (self.daemon, self.http) = spawn(&self.dir).await;
    }

    /// The daemon's process.
    pub fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    /// A user's phone registers, with the token of this generation.
    pub fn register(&self, user: usize, generation: usize) -> Arc<Event> {
        let token = token(user, generation);
        let number = user.to_string();
        let contact = format!(
            "\"\" <sip:{number}@{PHONES};transport=tls;pn-provider=apns;pn-param={TEAM_ID}.{BUNDLE_ID}.voip;pn-prid={token}>"
        );
        let call_id = format!("register-{number}");
        let (ip, port) = PHONES.split_once(':').unwrap_or_default();
        let headers = [
            ("profile-name", "internal"),
            ("from-user", &number),
            ("from-host", DOMAIN),
            ("presence-hosts", "n/a"),
            ("contact", &contact),
            ("call-id", &call_id),
            ("rpid", "unknown"),
            ("status", "Registered(TLS)"),
            ("expires", "3600"),
            ("to-user", &number),
            ("to-host", DOMAIN),
            ("network-ip", ip),
            ("network-port", port),
            ("username", &number),
            ("realm", DOMAIN),
            ("user-agent", "Example-iOS/5.2 (iPhone; iOS 19.1)"),
            ("sip_number_alias", &number),
            ("sip_auth_username", &number),
            ("sip_auth_realm", DOMAIN),
            ("number_alias", &number),
            ("user_name", &number),
            ("domain_name", DOMAIN),
            ("user_context", "default"),
        ];
        self.fs.fire_custom("sofia::register", &headers)
    }

    /// The registration of a user's phone runs out: only its token is left.
    fn expire(&self, user: usize) {
        let number = user.to_string();
        let call_id = format!("register-{number}");
        let headers = [
            ("profile-name", "internal"),
            ("call-id", call_id.as_str()),
            ("user", &number),
            ("host", DOMAIN),
            ("realm", DOMAIN),
        ];
        self.fs.fire_custom("sofia::expire", &headers);
    }

    /// Users whose phones sleep: they have registered once, and their registrations have run out.
    pub async fn sleepers(&self, count: usize) {
        pace(count, 5_000, |user| {
            self.register(user, 0);
            self.expire(user);
        })
        .await;
        // Behind them in the one queue, so that they arrive before it does.
        let mark = self.register(count, 0);
        let started = Instant::now();
        while mark.written_at().is_none() && started.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }

    /// Somebody calls a user.
    pub fn call(&self, user: usize, record: bool) -> Held {
        let mut call = Call::to(self.daemon.address, &user.to_string(), DOMAIN);
        call.record = record;
        self.fs.call(&call)
    }

    /// Calls to users `0..count`, so many a second.
    pub async fn call_all(&self, count: usize, per_second: usize, record: bool) -> Vec<Held> {
        let mut all = Vec::with_capacity(count);
        pace(count, per_second, |user| all.push(self.call(user, record))).await;
        all
    }
}

/// A daemon that is connected, and where it is asked. Its warnings are printed.
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

/// A user's device token; never the one of zeros, by which APNs is asked whether it answers.
pub fn token(user: usize, generation: usize) -> String {
    format!("a{generation:07x}{user:056x}")
}

/// Does something `count` times, so many times a second; catches up when it was late.
pub async fn pace(count: usize, per_second: usize, mut act: impl FnMut(usize)) {
    let started = Instant::now();
    let mut done = 0;
    while done < count {
        let due = started.elapsed().as_micros() * per_second as u128 / 1_000_000 + 1;
        let due = usize::try_from(due).unwrap_or(usize::MAX).min(count);
        (done..due).for_each(&mut act);
        done = due;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
