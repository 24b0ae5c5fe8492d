//! The setup of every test: stand-ins, a directory with a configuration, and the daemon in its own process.

use std::ffi::OsStr;
use std::process::Stdio;
use std::sync::Mutex;
use std::time::Duration;

use fswake_test_support::apns::{self, Apns};
use fswake_test_support::daemon;
pub use fswake_test_support::daemon::{Daemon, Log};
use fswake_test_support::fcm::{self, Fcm, FcmRequest};
use fswake_test_support::freeswitch::*;
use tempfile::TempDir;
use tokio::process::Command;

/// The domain that phones register with.
pub const DOMAIN: &str = "fs.test";
/// Limit for everything that a test waits for.
pub const LONG: Duration = Duration::from_secs(30);

/// Words that must not appear in our own log lines.
const ODD: [&str; 4] = ["os error", "client error (", "error sending request", "IO error"];

/// Waits for something that must happen soon.
pub async fn soon<T>(what: &str, event: impl Future<Output = T>) -> T {
    let in_time = tokio::time::timeout(LONG, event).await;
    in_time.unwrap_or_else(|_| panic!("no {what} within {LONG:?}"))
}

/// The URL of a path at the daemon's own HTTP address.
pub async fn url(daemon: &Daemon, path: &str) -> String {
    let line = daemon.log.wait(&["HTTP: metrics"]).await;
    format!("http://{}{path}", field(&line, "address"))
}

/// A call from the dialplan, and one through a loopback.
pub fn both_ways(daemon: &Daemon, user: &str) -> [Call; 2] {
    let call = Call::to(daemon.address, user, DOMAIN);
    [call.clone(), call.through_loopback()]
}

/// The stand-ins and all files of one test. When dropped, it checks what must hold after every test.
pub struct Stage {
    pub fs: FakeFreeSwitch,
    pub apns: Apns,
    pub fcm: Option<Fcm>,
    pub dir: TempDir,
    pub settings: toml::Table,
    secrets: Mutex<Vec<String>>,
    logs: Mutex<Vec<Log>>,
}

impl Stage {
    /// With an app for iPhones, no delays, and every phone counted as asleep.
    pub async fn new() -> Self {
        Self::with_freeswitch(Config::default()).await
    }

    /// The same with other settings of FreeSWITCH.
    pub async fn with_freeswitch(config: Config) -> Self {
        let (fs, apns) = tokio::join!(FakeFreeSwitch::start(config), Apns::start());
        let mut stage = Self {
            fs,
            apns,
            fcm: None,
            dir: tempfile::tempdir().unwrap(),
            settings: toml::Table::new(),
            secrets: Mutex::default(),
            logs: Mutex::default(),
        };
        let port = i64::from(stage.fs.address().port());
        stage.set("freeswitch.port", port);
        stage.set("listen.addresses", vec!["127.0.0.1:0"]);
        stage.set("http.addresses", vec!["127.0.0.1:0"]);
        stage.set("wake.fresh-for", "0s");
        stage.set("wake.push-gap", "0s");
        let store = stage.dir.path().join("fswake.db").display().to_string();
        stage.set("store.path", store);
        stage.set("log.filter", "debug");
        stage.app(&format!("name = 'ios'\n{}", stage.apns.app()));
        stage
    }

    /// The same with an app for Android phones.
    pub async fn with_android() -> Self {
        let mut stage = Self::new().await;
        let fcm = Fcm::start().await;
        stage.app(&format!("name = 'android'\n{}", fcm.app()));
        stage.fcm = Some(fcm);
        stage
    }

    /// Changes a setting: `section.key`.
    pub fn set(&mut self, key: &str, value: impl Into<toml::Value>) {
        let (section, key) = key.split_once('.').unwrap();
        let section = self
            .settings
            .entry(section)
            .or_insert_with(|| toml::Table::new().into());
        section.as_table_mut().unwrap().insert(key.into(), value.into());
    }

    /// Adds an app before the existing ones.
    pub fn app(&mut self, text: &str) {
        let app: toml::Table = text.parse().unwrap();
        let apps = self
            .settings
            .entry("app")
            .or_insert_with(|| toml::value::Array::new().into());
        apps.as_array_mut().unwrap().insert(0, app.into());
    }

    /// Sets a key of the app that was added last.
    pub fn set_app(&mut self, key: &str, value: impl Into<toml::Value>) {
        let app = self.settings["app"].as_array_mut().unwrap()[0].as_table_mut().unwrap();
        app.insert(key.into(), value.into());
    }

    /// Removes the app that was added last.
    pub fn take_app(&mut self) -> toml::Value {
        self.settings["app"].as_array_mut().unwrap().remove(0)
    }

    /// Restores the removed app.
    pub fn put_app(&mut self, app: toml::Value) {
        self.settings["app"].as_array_mut().unwrap().insert(0, app);
    }

    /// Writes the configuration file, and returns its path.
    pub fn write(&self) -> std::path::PathBuf {
        let file = self.dir.path().join("fswake.toml");
        std::fs::write(&file, self.settings.to_string()).unwrap();
        file
    }

    /// Starts the daemon, and waits until it takes calls and has listed the registrations.
    pub async fn start(&self) -> Daemon {
        let daemon = self.start_alone().await;
        daemon.log.wait(&["connected to FreeSWITCH"]).await;
        daemon
    }

    /// Starts the daemon, and waits until it takes calls.
    pub async fn start_alone(&self) -> Daemon {
        self.start_with(|_| {}).await
    }

    /// The same with a change to its environment.
    pub async fn start_with(&self, change: impl FnOnce(&mut Command)) -> Daemon {
        let mut command = self.command();
        change(&mut command);
        let keep = |log: &Log| self.logs.lock().unwrap().push(log.clone());
        Daemon::start_watched(command, |_| {}, keep).await
    }

    /// The same, started by a shell script that ends in `exec "$@"`. `by` is the command that runs the script, with its
    /// `$0`.
    pub async fn start_by(&self, by: &[&OsStr]) -> Daemon {
        let wrap = |command: &mut Command| {
            let daemon = std::mem::replace(command, Command::new(by[0]));
            let daemon = daemon.as_std();
            command.args(&by[1..]).arg(daemon.get_program()).args(daemon.get_args());
            command.env_clear().stderr(Stdio::piped()).kill_on_drop(true);
        };
        self.start_with(wrap).await
    }

    /// The daemon's command line. Also writes the configuration.
    pub fn command(&self) -> Command {
        let mut command = daemon::command(env!("CARGO_BIN_EXE_fswake"), &self.write());
        command.arg("run");
        command
    }

    /// Runs another subcommand, with or without a running daemon. Returns exit code, stdout and stderr.
    pub async fn tool(&self, args: &[&str]) -> (Option<i32>, String, String) {
        let mut command = daemon::command(env!("CARGO_BIN_EXE_fswake"), &self.dir.path().join("fswake.toml"));
        command.args(args).stdout(Stdio::piped());
        let output = soon("end of a subcommand", command.output()).await.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let (stdout, stderr) = (text(output.stdout), text(output.stderr));
        for secret in self.secrets.lock().unwrap().iter() {
            assert!(
                !stdout.contains(secret) && !stderr.contains(secret),
                "{secret}: {stdout}{stderr}"
            );
        }
        for odd in ODD {
            assert!(
                !stdout.contains(odd) && !stderr.contains(odd),
                "{odd}: {stdout}{stderr}"
            );
        }
        (output.status.code(), stdout, stderr)
    }

    /// Waits until the journal has this many lines of a step.
    pub async fn journal(&self, step: &str, lines: i64) {
        let store = rusqlite::Connection::open(self.dir.path().join("fswake.db")).unwrap();
        let sql = "SELECT count(*) FROM journal WHERE event = ?1";
        soon(step, async {
            while store.query_row(sql, [step], |row| row.get(0)) != Ok(lines) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    /// Adds text that must not appear in any log.
    pub fn secret(&self, text: &str) {
        self.secrets.lock().unwrap().push(text.to_owned());
    }

    /// An iPhone with its own token. It has not registered yet.
    pub fn iphone(&self, user: &str) -> Phone {
        let token = hex_token();
        self.secret(&token);
        let (team, app) = (apns::TEAM_ID, apns::BUNDLE_ID);
        let params = format!("pn-provider=apns;pn-param={team}.{app}.voip;pn-prid={token}");
        self.fs.phone(PhoneSpec::new(user, DOMAIN).params(&params))
    }

    /// An Android phone with its own token. It has not registered yet.
    pub fn android(&self, user: &str) -> Phone {
        let token = format!("fcm-{}", hex_token());
        self.secret(&token);
        let params = format!("pn-provider=fcm;pn-param={};pn-prid={token}", fcm::PROJECT);
        self.fs.phone(PhoneSpec::new(user, DOMAIN).params(&params))
    }

    /// Waits until `/metrics` has this line.
    pub async fn measured(&self, daemon: &Daemon, line: &str) {
        let url = url(daemon, "/metrics").await;
        soon(line, async {
            loop {
                let metrics = reqwest::get(&url).await.unwrap().text().await.unwrap();
                if metrics.lines().any(|other| other == line) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }

    /// Waits until the store's file has this many devices.
    pub async fn stored(&self, devices: i64) {
        let store = rusqlite::Connection::open(self.dir.path().join("fswake.db")).unwrap();
        let count = || store.query_row("SELECT count(*) FROM devices", [], |row| row.get(0));
        soon("row in the store", async {
            while count() != Ok(devices) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    /// A call to a user of the domain.
    pub fn call(&self, daemon: &Daemon, user: &str) -> Held {
        self.fs.call(&Call::to(daemon.address, user, DOMAIN))
    }

    /// Waits for the next push to the APNs stand-in.
    pub async fn push(&self) -> apns::Push {
        soon("push to Apple", self.apns.next_push()).await
    }

    /// Waits for the next push to the FCM stand-in.
    pub async fn android_push(&self) -> FcmRequest {
        soon("push to Google", self.fcm.as_ref().unwrap().next_push()).await
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let logs = self.logs.lock().unwrap();
        if std::thread::panicking() {
            for line in logs.iter().flat_map(Log::lines).filter(|l| l.contains(" fswake")) {
                eprintln!("{line}");
            }
            return;
        }
        assert_eq!(self.fs.complaints(), Vec::<String>::new());
        for line in logs.iter().flat_map(Log::lines) {
            for secret in self.secrets.lock().unwrap().iter() {
                assert!(!line.contains(secret), "{secret} in the log: {line}");
            }
            assert!(!line.contains(|c: char| c.is_control() && c != '\t'), "{line:?}");
            // Our own lines must be in plain English.
            let is_ours = line.contains(" fswake");
            for odd in ODD {
                assert!(!(is_ours && line.contains(odd)), "{odd} in the log: {line}");
            }
        }
    }
}

/// Adds one phone that sleeps, and answers once it is woken.
pub async fn one_sleeper() -> (Stage, Daemon, Phone) {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    phone.set_behaviour(Behaviour::Rings(Duration::ZERO, Some(Duration::from_millis(50))));
    daemon.asleep(&phone).await;
    (stage, daemon, phone)
}

/// Holds a call for a sleeping phone that has just been pushed.
pub async fn one_pushed() -> (Stage, Daemon, Phone, Held) {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    daemon.asleep(&phone).await;
    let held = stage.call(&daemon, "1001");
    stage.push().await;
    (stage, daemon, phone, held)
}

/// Holds a call for a phone that was woken and rings.
pub async fn one_ringing() -> (Stage, Daemon, Phone, Held) {
    let (stage, daemon, phone, held) = one_pushed().await;
    phone.wake();
    phone.invite(1).await;
    daemon.log.wait(&["event=LegRinging "]).await;
    (stage, daemon, phone, held)
}

/// Waits until it is so.
pub async fn until(what: &str, is_so: impl Fn() -> bool) {
    let met = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    soon(what, met).await;
}

/// Holds a call whose phone wakes up when it is pushed.
pub async fn woken(stage: &Stage, phone: &Phone, call: &Call) -> Held {
    let held = stage.fs.call(call);
    stage.push().await;
    phone.wake();
    held
}

/// 32 random bytes in the form of Apple's tokens.
pub fn hex_token() -> String {
    format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple())
}

/// The value of a field in a log line: `name=value`.
pub fn field<'a>(line: &'a str, name: &str) -> &'a str {
    let start = format!(" {name}=");
    let value = line
        .split_once(&start)
        .unwrap_or_else(|| panic!("no {name} in {line}"))
        .1;
    value.split(' ').next().unwrap_or_default().trim_matches('"')
}
