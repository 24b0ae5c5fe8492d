//! A whole site on one machine: a real FreeSWITCH, the fswake binary, the APNs stand-in, and phones that pushes wake.

mod configuration;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::sync::watch;

use self::configuration::configuration;
use crate::apns::{Apns, BUNDLE_ID, Push, TEAM_ID};
use crate::daemon::{self, Daemon};
use crate::realfs::{ASSERTING, Ports, RealFs};
use crate::sip::{Account, PATIENCE, Phone, Script};

/// What a phone does when it gets a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wakes {
    /// Registers from a new port with a new Call-ID, as a restarted app does.
    Elsewhere,
    /// Registers from the same port with a new Call-ID.
    InPlace,
    /// Registers from the same port with the same Call-ID and nonce: FreeSWITCH's event has `update-reg: true`.
    ByRefresh,
    /// As [`Wakes::Elsewhere`], plus two more REGISTERs within 200 ms.
    InBurst,
    /// As [`Wakes::Elsewhere`], this many milliseconds after the push.
    Late(u64),
    /// Stays asleep.
    Never,
}

/// Settings that differ from fswake's defaults, beyond those that every site needs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Lines of `[wake]`: keys and values.
    pub wake: BTreeMap<&'static str, String>,
    /// `log.filter`.
    pub log: String,
    /// `run.drain-timeout`.
    pub drain: String,
    /// More lines of the `[[app]]`.
    pub app: &'static str,
    /// Port of the event socket, if it is not FreeSWITCH's.
    pub esl_port: Option<u16>,
    /// More FreeSWITCHes. Then each has the name `fs1`, `fs2`, ..
    pub others: Vec<Ports>,
    /// The sections of several FreeSWITCHes in reverse.
    pub reversed: bool,
    /// Where it listens for calls, if not everywhere.
    pub listen: Option<std::net::SocketAddr>,
    /// Lines of each `[[freeswitch]]`, where there are several.
    pub node: String,
    /// The key that signs legs between them.
    pub key: String,
    /// The store that several fswakes share.
    pub shared: Option<SharedStore>,
    /// More sections.
    pub more: String,
}

/// A database that several fswakes share.
#[derive(Clone, Debug)]
pub struct SharedStore {
    /// `store.url`.
    pub url: String,
    /// The password of its user.
    pub password: String,
    /// `cluster.name`: which of the fswakes this is.
    pub daemon: String,
}

impl Default for Settings {
    fn default() -> Self {
        // Every phone counts as asleep, so every call causes a push.
        let wake = [
            ("fresh-for", "\"0s\""),
            ("push-gap", "\"0s\""),
            ("caller-pushes-per-minute", "0"),
        ];
        Self {
            wake: wake.into_iter().map(|(k, v)| (k, v.to_owned())).collect(),
            log: "debug,freeswitch_esl_tokio=off,hyper=off,reqwest=off,h2=off,rustls=off".to_owned(),
            drain: "30s".to_owned(),
            app: "",
            esl_port: None,
            others: Vec::new(),
            reversed: false,
            listen: None,
            node: String::new(),
            key: "0123456789abcdef0123456789abcdef".to_owned(),
            shared: None,
            more: String::new(),
        }
    }
}

impl Settings {
    /// Adds a line to `[wake]`.
    #[must_use]
    pub fn wake(mut self, key: &'static str, value: &str) -> Self {
        self.wake.insert(key, format!("\"{value}\""));
        self
    }
}

/// A push that reached the APNs stand-in.
#[derive(Clone, Debug)]
pub struct TimedPush {
    /// When it arrived.
    pub at: Instant,
    /// The push.
    pub push: Push,
}

type Sleepers = Arc<Mutex<HashMap<String, (Phone, Wakes)>>>;

/// The site. Its FreeSWITCH keeps running when the site is dropped.
pub struct Site {
    /// FreeSWITCH.
    pub fs: Arc<RealFs>,
    /// fswake, while it is running.
    pub daemon: Option<Daemon>,
    /// The APNs stand-in.
    pub apns: Arc<Apns>,
    sleepers: Sleepers,
    pushes: watch::Receiver<Vec<TimedPush>>,
    dir: TempDir,
    binary: PathBuf,
    logs: bool,
    /// How many FreeSWITCHes there are.
    nodes: usize,
}

impl Site {
    /// Runs another subcommand with the daemon's configuration. Returns exit code, stdout and stderr.
    pub async fn tool(&self, args: &[&str]) -> (Option<i32>, String, String) {
        tool(&self.binary, self.dir.path(), args).await
    }

    /// From now on subcommands log in to FreeSWITCH as this user. The running daemon is not affected.
    pub fn tools_log_in_as(&self, user: &str, password: &str) {
        let file = self.dir.path().join("fswake.toml");
        let secret = self.dir.path().join("esl-password");
        std::fs::write(&secret, password).expect("a file");
        let as_user = format!(
            "[freeswitch]\nuser = \"{user}\"\npassword-file = \"{}\"\n",
            secret.display()
        );
        let config = std::fs::read_to_string(&file).expect("a configuration");
        std::fs::write(file, config.replace("[freeswitch]\n", &as_user)).expect("a file");
    }

    /// Starts the APNs stand-in and fswake.
    pub async fn start(fs: Arc<RealFs>, binary: &Path, settings: &Settings) -> Self {
        let apns = Arc::new(Apns::start().await);
        let dir = TempDir::new().expect("a directory");
        std::fs::write(
            dir.path().join("fswake.toml"),
            configuration(&fs, &apns, dir.path(), settings),
        )
        .expect("a file");
        let sleepers = Sleepers::default();
        let (sender, pushes) = watch::channel(Vec::new());
        tokio::spawn(wake_phones(apns.clone(), sleepers.clone(), sender));
        let mut site = Self {
            fs,
            daemon: None,
            apns,
            sleepers,
            pushes,
            dir,
            binary: binary.to_owned(),
            logs: settings.log.starts_with("debug"),
            nodes: 1 + settings.others.len(),
        };
        site.start_daemon().await;
        site
    }

    /// Starts fswake, also after it was killed.
    pub async fn start_daemon(&mut self) {
        self.daemon = Some(run(&self.binary, self.dir.path(), self.nodes).await);
    }

    /// Another fswake for the same phones and providers, with a directory and settings of its own.
    pub async fn join(&self, settings: &Settings) -> Joined {
        self.join_at(&self.fs, settings).await
    }

    /// The same, with this FreeSWITCH as its first.
    pub async fn join_at(&self, fs: &RealFs, settings: &Settings) -> Joined {
        let dir = TempDir::new().expect("a directory");
        let file = dir.path().join("fswake.toml");
        let text = configuration(fs, &self.apns, dir.path(), settings);
        std::fs::write(&file, text).expect("a file");
        let mut joined = Joined {
            daemon: None,
            dir,
            binary: self.binary.clone(),
            nodes: 1 + settings.others.len(),
        };
        joined.start().await;
        joined
    }

    /// The running fswake.
    pub fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().expect("fswake runs")
    }

    /// Kills fswake with SIGKILL.
    pub async fn kill_daemon(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            daemon.kill().await;
        }
    }

    /// A phone that has never registered, for callers.
    pub async fn caller(&self) -> Phone {
        let user = self.fs.new_user();
        Phone::new(self.fs.account(&user, crate::realfs::DOMAIN), Script::default()).await
    }

    /// A phone without a token, registered and awake.
    pub async fn desk_phone(&self, user: &str, domain: &str, script: impl Into<Script>) -> Phone {
        self.desk_phone_of(self.fs.account(user, domain), script).await
    }

    /// The same, with an account on another server.
    pub async fn desk_phone_of(&self, account: Account, script: impl Into<Script>) -> Phone {
        let phone = Phone::new(account, script).await;
        assert_eq!(phone.register().await, 200);
        self.heard(&phone).await;
        phone
    }

    /// A phone with a token that has registered and fallen asleep.
    pub async fn sleeper(&self, user: &str, domain: &str, wakes: Wakes, script: impl Into<Script>) -> Phone {
        self.sleeper_of(self.fs.account(user, domain), wakes, script).await
    }

    /// The same, with an account on another server.
    pub async fn sleeper_of(&self, account: Account, wakes: Wakes, script: impl Into<Script>) -> Phone {
        let phone = Phone::new(account, script).await;
        self.give_token(&phone, wakes);
        assert_eq!(phone.register().await, 200);
        self.heard(&phone).await;
        phone.sleep();
        phone
    }

    /// Gives a phone a token. Pushes to the token then reach the phone, which uses the token from its next REGISTER on.
    pub fn give_token(&self, phone: &Phone, wakes: Wakes) -> String {
        let token = new_token();
        phone.contact_params(&push_params(&token));
        self.wake_by(&token, phone, wakes);
        token
    }

    /// From now on pushes to this token wake this phone.
    pub fn wake_by(&self, token: &str, phone: &Phone, wakes: Wakes) {
        let mut sleepers = self.sleepers.lock().unwrap_or_else(PoisonError::into_inner);
        sleepers.insert(token.to_owned(), (phone.clone(), wakes));
    }

    /// Waits until fswake has the event of a phone's last REGISTER.
    pub async fn heard(&self, phone: &Phone) {
        if self.logs && self.daemon.is_some() {
            self.daemon().heard(phone).await;
        }
    }

    /// Waits until fswake has the event of a REGISTER of this user, with any Contact.
    pub async fn heard_of(&self, user: &str) {
        self.daemon().heard_of(user).await;
    }

    /// Makes FreeSWITCH end a phone's registration as if it had expired, and waits until fswake has the event.
    pub async fn forget_place(&self, phone: &Phone) {
        self.forget_place_at(&self.fs, phone).await;
    }

    /// The same with a phone that is registered at this one of several FreeSWITCHes.
    pub async fn forget_place_at(&self, fs: &RealFs, phone: &Phone) {
        let (user, domain) = (&phone.account().user, &phone.account().domain);
        let before = self.daemon().log.count(&["event=Unregistered ", user]);
        let is_elsewhere = phone.account().server == fs.ports.single;
        let profile = if is_elsewhere { ASSERTING } else { "internal" };
        let flush = format!("sofia profile {profile} flush_inbound_reg {user}@{domain}");
        fs.api(&flush).await;
        self.daemon()
            .log
            .wait_times(before + 1, &["event=Unregistered ", user])
            .await;
    }

    /// All pushes so far, for calls and others.
    pub fn pushes(&self) -> Vec<TimedPush> {
        self.pushes.borrow().clone()
    }

    /// Waits for a push to this token. Returns whether it came.
    pub async fn pushed_to(&self, token: &str) -> bool {
        self.pushed_to_so_often(token, 1).await
    }

    /// Waits for this many pushes to this token.
    pub async fn pushed_to_times(&self, token: &str, times: usize) {
        let all = self.pushed_to_so_often(token, times).await;
        assert!(all, "fewer than {times} pushes to {token}:\n{}", self.log());
    }

    async fn pushed_to_so_often(&self, token: &str, times: usize) -> bool {
        let mut pushes = self.pushes.clone();
        let arrived = pushes.wait_for(|pushes| pushes.iter().filter(|p| p.push.token == token).count() >= times);
        matches!(tokio::time::timeout(PATIENCE, arrived).await, Ok(Ok(_)))
    }

    /// Waits for this many pushes.
    pub async fn pushed(&self, count: usize) -> Vec<TimedPush> {
        let mut pushes = self.pushes.clone();
        let arrived = pushes.wait_for(|pushes| pushes.len() >= count);
        match tokio::time::timeout(PATIENCE, arrived).await {
            Ok(Ok(pushes)) => pushes.clone(),
            _ => panic!("fewer than {count} pushes:\n{}", self.log()),
        }
    }

    /// The end of fswake's log, if it runs.
    fn log(&self) -> String {
        self.daemon.as_ref().map(|daemon| daemon.log.end()).unwrap_or_default()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(daemon) = self.daemon.as_ref().filter(|_| std::thread::panicking()) {
            eprintln!("--- fswake's log\n{}", daemon.log.end());
        }
    }
}

/// Another fswake of a [`Site`].
pub struct Joined {
    /// While it is running.
    pub daemon: Option<Daemon>,
    dir: TempDir,
    binary: PathBuf,
    nodes: usize,
}

impl Joined {
    /// Starts it, also after it was killed.
    pub async fn start(&mut self) {
        assert!(
            self.daemon.is_none(),
            "the other fswake still runs: kill it before another start"
        );
        self.daemon = Some(run(&self.binary, self.dir.path(), self.nodes).await);
    }

    /// The running fswake.
    pub fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().expect("the other fswake runs")
    }

    /// Kills it with SIGKILL.
    pub async fn kill(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            daemon.kill().await;
        }
    }

    /// Runs another subcommand with its configuration. Returns exit code, stdout and stderr.
    pub async fn tool(&self, args: &[&str]) -> (Option<i32>, String, String) {
        tool(&self.binary, self.dir.path(), args).await
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        if let Some(daemon) = self.daemon.as_ref().filter(|_| std::thread::panicking()) {
            eprintln!("--- the other fswake's log\n{}", daemon.log.end());
        }
    }
}

/// Runs fswake with the configuration in this directory, until it is connected to so many FreeSWITCHes.
async fn run(binary: &Path, dir: &Path, nodes: usize) -> Daemon {
    let mut command = daemon::command(binary, &dir.join("fswake.toml"));
    command.arg("run");
    let daemon = Daemon::start(command).await.connected().await;
    daemon.log.wait_times(nodes, &["connected to FreeSWITCH"]).await;
    daemon
}

async fn tool(binary: &Path, dir: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = daemon::command(binary, &dir.join("fswake.toml"));
    command.args(args).stdout(Stdio::piped());
    let output = command.output().await.expect("fswake runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// The fswake binary that a bench measures: the one built with it, or the one in `FSWAKE_BENCH_DAEMON`.
pub fn measured(built: &str) -> PathBuf {
    std::env::var_os("FSWAKE_BENCH_DAEMON").map_or_else(|| built.into(), PathBuf::from)
}

/// A new, unique device token.
pub fn new_token() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("{:064x}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// RFC 8599 parameters for the Contact of an iOS app.
pub fn push_params(token: &str) -> String {
    format!(";pn-provider=apns;pn-param={TEAM_ID}.{BUNDLE_ID}.voip;pn-prid={token}")
}

async fn wake_phones(apns: Arc<Apns>, sleepers: Sleepers, pushes: watch::Sender<Vec<TimedPush>>) {
    loop {
        let push = apns.next_push().await;
        let at = Instant::now();
        let sleeper = {
            let sleepers = sleepers.lock().unwrap_or_else(PoisonError::into_inner);
            sleepers.get(&push.token).cloned()
        };
        if let Some((phone, wakes)) = sleeper
            && push.status == 200
        {
            tokio::spawn(wake(phone, wakes));
        }
        pushes.send_modify(|pushes| pushes.push(TimedPush { at, push }));
    }
}

async fn wake(phone: Phone, wakes: Wakes) {
    if let Wakes::Late(ms) = wakes {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
    match wakes {
        Wakes::Never => return,
        Wakes::Elsewhere | Wakes::InBurst | Wakes::Late(_) => phone.wake_elsewhere().await,
        Wakes::InPlace | Wakes::ByRefresh => phone.wake_in_place(),
    }
    match wakes {
        Wakes::InPlace => {
            phone.register_anew().await;
        }
        Wakes::InBurst => {
            phone.register().await;
            for _ in 0..2 {
                tokio::time::sleep(Duration::from_millis(90)).await;
                phone.register_at_once().await;
            }
        }
        _ => {
            phone.register().await;
        }
    }
}
