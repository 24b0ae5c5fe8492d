//! Figures from a real FreeSWITCH: `cargo bench --bench live_wake`, at rest, nothing else running.
//!
//! 1. REGISTER's 200 OK at the phone to the INVITE at the phone, 30 wakes one after another.
//! 2. 300 and 1000 held calls: all woken and answered, and fswake's CPU and memory while it only holds.
//!
//! `FSWAKE_BENCH=rest` or `=held` leaves the other out, `FSWAKE_BENCH_WAKES` is how many wakes of 1. `FSWAKE_BENCH_DAEMON` names
//! another fswake to measure. `FSWAKE_BENCH_AGAINST` names one to compare with in 1: the two take turns, ten wakes each, on the
//! same FreeSWITCH. Without FreeSWITCH it says so and ends.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fswake_test_support::realfs::{self, DOMAIN, RealFs};
use fswake_test_support::sip::{Reaction, What};
use fswake_test_support::site::{self, Settings, Site, Wakes};

const WAKES_AT_REST: usize = 30;
/// Wakes of one fswake before the other takes its turn.
const TURN: usize = 10;

fn settings() -> Settings {
    let mut settings = Settings::default().wake("max-wait", "10m").wake("push-retry", "5m");
    "warn,fswake::esl::inbound=info,fswake::esl::resync=info".clone_into(&mut settings.log);
    settings.wake.insert("device-pushes-per-minute", "0".to_owned());
    settings
}

/// The fswake that is measured.
fn daemon() -> PathBuf {
    site::measured(env!("CARGO_BIN_EXE_fswake"))
}

async fn site(fs: &Arc<RealFs>, binary: &Path) -> Site {
    let site = Site::start(fs.clone(), binary, &settings()).await;
    // The first events of FreeSWITCH's life come half a second late.
    tokio::time::sleep(Duration::from_secs(1)).await;
    site
}

fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or_default().to_owned()
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

/// What one fswake has done at rest.
#[derive(Default)]
struct AtRest {
    to_invite: Vec<Duration>,
    to_push: Vec<Duration>,
}

impl AtRest {
    /// One wake more on this site.
    async fn wake(&mut self, site: &Site) {
        let (fs, user) = (&site.fs, site.fs.new_user());
        let answer = Reaction::Answer(Duration::from_millis(30));
        // Not a multiple of FreeSWITCH's 20 ms tick.
        let late = 403 + 7 * u64::try_from(self.to_push.len() % WAKES_AT_REST).unwrap_or(0);
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

    fn print(self, name: &str) {
        let wakes = self.to_push.len();
        let (median, p95) = summary(self.to_invite);
        println!("at rest{name}: 200 OK to INVITE: median {median:.2} ms, p95 {p95:.2} ms ({wakes} wakes)");
        let (median, p95) = summary(self.to_push);
        println!("at rest{name}: caller's INVITE to push at APNs: median {median:.2} ms, p95 {p95:.2} ms");
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

async fn held(fs: &Arc<RealFs>, count: usize) {
    let site = site(fs, &daemon()).await;
    let mut pairs = Vec::new();
    for _ in 0..count {
        let user = fs.new_user();
        let answer = Reaction::Answer(Duration::from_millis(50));
        let phone = site.sleeper(&user, DOMAIN, Wakes::Never, answer).await;
        pairs.push((phone, site.caller().await, user));
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    // Nobody is anywhere: what is held waits for a REGISTER, and nothing rings.
    fs.api("sofia profile internal flush_inbound_reg").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let idle = site.daemon().resident();
    let mut calls = Vec::new();
    for (_, caller, user) in &pairs {
        calls.push(caller.call(&format!("6{user}")));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    site.pushed(count).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (cpu, since) = (site.daemon().cpu(), Instant::now());
    tokio::time::sleep(Duration::from_secs(10)).await;
    let cores = site.daemon().cpu().saturating_sub(cpu).as_secs_f64() / since.elapsed().as_secs_f64();
    println!(
        "{count} held calls: fswake uses {cores:.3} cores while it only holds (load {})",
        load()
    );
    let holding = site.daemon().resident();
    let each = f64::from(u32::try_from(holding.saturating_sub(idle)).unwrap_or(u32::MAX))
        / f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    println!("         {each:.2} KiB of resident memory a call ({idle} KiB before, {holding} KiB holding)");
    let woken = Instant::now();
    let mut waking = tokio::task::JoinSet::new();
    for (phone, ..) in &pairs {
        // As many phones in a second as a busy site has, not all in one moment.
        tokio::time::sleep(Duration::from_millis(5)).await;
        let phone = phone.clone();
        waking.spawn(async move {
            phone.wake_elsewhere().await;
            phone.register().await
        });
    }
    waking.join_all().await;
    let mut answered = 0;
    for call in &calls {
        let outcome = call.response_within(Duration::from_secs(60), |s| s >= 200).await;
        answered += usize::from(matches!(outcome, Some((_, 200))));
    }
    let took = woken.elapsed();
    let times: Vec<Duration> = pairs
        .iter()
        .filter_map(|(phone, ..)| {
            let all = phone.happenings();
            let registered = all.iter().filter(|h| matches!(h.what, What::Registered(200))).nth(1)?;
            let invited = all.iter().find(|h| matches!(h.what, What::Invited(_)))?;
            Some(invited.at.saturating_duration_since(registered.at))
        })
        .collect();
    let (median, p95) = summary(times);
    println!("{count} held calls: {answered} of {count} woken and answered in {took:.1?}");
    println!("         200 OK to INVITE: median {median:.1} ms, p95 {p95:.1} ms, 200 a second");
    fs.api("hupall").await;
    fs.becomes_silent(Duration::from_secs(60)).await;
}

fn main() {
    let prefix = match realfs::installed() {
        Ok(prefix) => prefix,
        Err(reason) => return eprintln!("{reason}"),
    };
    let wanted = std::env::var("FSWAKE_BENCH").unwrap_or_default();
    let wakes = std::env::var("FSWAKE_BENCH_WAKES").ok().and_then(|n| n.parse().ok());
    let wakes = wakes.unwrap_or(WAKES_AT_REST);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let fs = Arc::new(RealFs::start(&prefix, 4000).await);
        if wanted != "held" {
            at_rest(&fs, wakes).await;
        }
        if wanted != "rest" {
            held(&fs, 300).await;
            held(&fs, 1000).await;
        }
        fs.stop();
    });
}
