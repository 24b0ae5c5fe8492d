//! Figures from a real FreeSWITCH: `cargo bench --bench live_wake`, on an otherwise idle machine.
//!
//! 1. The time from the 200 OK of a REGISTER to the INVITE, both at the phone, for 30 consecutive wakes, by fswake and,
//!    if FreeSWITCH has it, by mod_apn (`rest`).
//! 2. 300 and 1,000 held calls, with both routings and with `socket` with and without `async`, and with mod_apn
//!    (`held`): what each call costs FreeSWITCH and fswake, and how many calls are woken and answered.
//!
//! `FSWAKE_BENCH=rest` or `=held` runs only one of them. `FSWAKE_BENCH_WAKES` is the number of wakes of 1; `held` has
//! more variables. `FSWAKE_BENCH_DAEMON` names another fswake to measure. `FSWAKE_BENCH_AGAINST` names one to compare
//! with in 1: the two alternate every ten wakes on the same FreeSWITCH. Without FreeSWITCH the bench prints that and
//! stops.

mod held;
mod waker;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fswake_test_support::process::load;
use fswake_test_support::realfs::{self, DOMAIN, RealFs, WAKE_DOMAIN};
use fswake_test_support::sip::Reaction;
use fswake_test_support::site::{self, Settings, Site, Wakes};

use self::waker::Waker;

const WAKES_AT_REST: usize = 30;
/// How many wakes one fswake handles before the other one's turn.
const TURN: usize = 10;

fn settings() -> Settings {
    let mut settings = Settings::default().wake("max-wait", "10m").wake("push-retry", "5m");
    "warn,fswake::daemon=info,fswake::esl::inbound=info,fswake::esl::resync=info".clone_into(&mut settings.log);
    settings.wake.insert("device-pushes-per-minute", "0".to_owned());
    settings
}

/// The fswake to measure.
fn daemon() -> PathBuf {
    site::measured(env!("CARGO_BIN_EXE_fswake"))
}

async fn site(fs: &Arc<RealFs>, binary: &Path) -> Site {
    let site = Site::start(fs.clone(), binary, &settings()).await;
    // The first events after FreeSWITCH's start are half a second late.
    tokio::time::sleep(Duration::from_secs(1)).await;
    site
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Median and 95th percentile, in milliseconds.
fn summary(mut times: Vec<Duration>) -> (f64, f64) {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
    (ms(at(50)), ms(at(95)))
}

/// How many milliseconds after the push the phone of that wake registers: not a multiple of FreeSWITCH's 20 ms tick.
fn late(wake: usize) -> u64 {
    403 + 7 * u64::try_from(wake % WAKES_AT_REST).unwrap_or(0)
}

/// The results of one fswake, or of mod_apn, on an idle machine.
#[derive(Default)]
struct AtRest {
    to_invite: Vec<Duration>,
    to_push: Vec<Duration>,
}

impl AtRest {
    /// Measures one more wake on this site.
    async fn wake(&mut self, site: &Site) {
        let (fs, user) = (&site.fs, site.fs.new_user());
        let answer = Reaction::Answer(Duration::from_millis(30));
        let late = late(self.to_push.len());
        let phone = site.sleeper(&user, DOMAIN, Wakes::Late(late), answer).await;
        tokio::time::sleep(Duration::from_millis(60)).await;
        let call = site.caller().await.call(&format!("6{user}"));
        assert_eq!(call.outcome().await, 200);
        let registered = phone.registered(2).await;
        let invited = phone.invited().await;
        self.to_invite.push(invited.at.saturating_duration_since(registered));
        self.to_push
            .push(site.pushes().last().expect("a push").at - call.started);
        call.hang_up().await;
        phone.ended().await;
        fs.becomes_silent(Duration::from_secs(10)).await;
    }

    /// The same by mod_apn.
    async fn wake_by_mod_apn(&mut self, waker: &Waker) {
        let (fs, user) = (waker.fs(), waker.fs().new_user());
        let answer = Reaction::Answer(Duration::from_millis(30));
        let phone = waker.sleeper(&user, WAKE_DOMAIN, answer).await;
        tokio::time::sleep(Duration::from_millis(60)).await;
        let call = waker.caller().await.call(&format!("5{user}"));
        waker.pushed(1).await;
        self.to_push.push(call.started.elapsed());
        tokio::time::sleep(Duration::from_millis(late(self.to_push.len()))).await;
        phone.wake_elsewhere().await;
        phone.register().await;
        assert_eq!(call.outcome().await, 200);
        let registered = phone.registered(2).await;
        let invited = phone.invited().await;
        self.to_invite.push(invited.at.saturating_duration_since(registered));
        call.hang_up().await;
        phone.ended().await;
        fs.becomes_silent(Duration::from_secs(10)).await;
    }

    fn print(self, name: &str) {
        let wakes = self.to_push.len();
        let (median, p95) = summary(self.to_invite);
        println!("at rest{name}: 200 OK to INVITE: median {median:.2} ms, p95 {p95:.2} ms ({wakes} wakes)");
        let (median, p95) = summary(self.to_push);
        println!("at rest{name}: caller's INVITE to push: median {median:.2} ms, p95 {p95:.2} ms");
    }
}

async fn at_rest(fs: &Arc<RealFs>, wakes: usize) {
    let other = std::env::var_os("FSWAKE_BENCH_AGAINST").map(PathBuf::from);
    let before = load();
    let (mut this, mut that) = (AtRest::default(), AtRest::default());
    let turn = if other.is_some() { TURN.min(wakes) } else { wakes };
    while this.to_push.len() < wakes {
        let mut site_of_this = site(fs, &daemon()).await;
        for _ in 0..turn {
            this.wake(&site_of_this).await;
        }
        site_of_this.kill_daemon().await;
        if let Some(other) = &other {
            let mut site_of_that = site(fs, other).await;
            for _ in 0..turn {
                that.wake(&site_of_that).await;
            }
            site_of_that.kill_daemon().await;
        }
    }
    this.print("");
    if other.is_some() {
        that.print(", the other");
    }
    println!("         load before {before}, after {}", load());
}

async fn mod_apn_at_rest(prefix: &Path, wakes: usize) {
    let waker = Waker::mod_apn(prefix).await;
    let (before, mut all) = (load(), AtRest::default());
    while all.to_push.len() < wakes {
        all.wake_by_mod_apn(&waker).await;
    }
    all.print(", mod_apn");
    println!("         load before {before}, after {}", load());
    waker.fs().stop();
}

/// Selects `socket` with and without `async` on one FreeSWITCH. `fswake_test_support::realfs` uses this variable.
const MODE: &str = "FSWAKE_SOCKET";

fn main() {
    if std::env::var_os(MODE).is_none() {
        let this = std::env::current_exe().expect("this program");
        let again = std::process::Command::new(this)
            .args(std::env::args_os().skip(1))
            .env(MODE, "either")
            .status();
        std::process::exit(again.ok().and_then(|status| status.code()).unwrap_or(1));
    }
    let prefix = match realfs::installed() {
        Ok(prefix) => prefix,
        Err(reason) => return eprintln!("{reason}"),
    };
    let wanted = std::env::var("FSWAKE_BENCH").unwrap_or_default();
    let wakes = std::env::var("FSWAKE_BENCH_WAKES").ok().and_then(|n| n.parse().ok());
    let wakes = wakes.unwrap_or(WAKES_AT_REST);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        if wanted != "held" {
            let fs = Arc::new(RealFs::start(&prefix, 4000).await);
            fs.holds_with_async(true).await;
            at_rest(&fs, wakes).await;
            fs.stop();
            if RealFs::has_mod_apn(&prefix) {
                mod_apn_at_rest(&prefix, wakes).await;
            }
        }
        if wanted != "rest" {
            held::all(&prefix).await;
        }
    });
}
