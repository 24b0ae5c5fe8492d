//! The cost of a held call, and how many of many calls are woken and answered.
//!
//! Each run has its own FreeSWITCH and fswake, and all phones sleep. 50 calls a second arrive, nothing happens for ten
//! seconds, then the phones register at 50 a second and answer. Runs alternate between routings, what holds the calls,
//! and numbers of calls. If FreeSWITCH has mod_apn, it has its turn.
//!
//! These variables select runs: `FSWAKE_BENCH_CALLS` (default `300,1000`), `FSWAKE_BENCH_ROUNDS` (default 3; medians
//! are printed), `FSWAKE_BENCH_WAYS` (default `dialplan,dial-string`) and `FSWAKE_BENCH_HOLDS` (default `socket async
//! full,socket full,mod_apn`; mod_apn has only one way, the dial-string). `FSWAKE_BENCH_CONNECTED` is how many calls are
//! connected before, with sound in both directions, but not with mod_apn (default 0). With `FSWAKE_BENCH_TALK`, an
//! answered caller hangs up after so many seconds; by default all calls stay up until the end.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fswake_test_support::process::{Process, load};
use fswake_test_support::realfs::{DOMAIN, RealFs, WAKE_DOMAIN};
use fswake_test_support::sip::{OutgoingCall, Phone, Reaction, Script, What};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout_at};

use super::ms;
use super::waker::Waker;

/// The interval between calls, and later between REGISTERs: 50 a second.
const APART: Duration = Duration::from_millis(20);
const HOLDS: Duration = Duration::from_secs(10);
/// How long after the last answer all calls are up.
const SETTLES: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(60);

/// What holds the calls.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hold {
    Async,
    Static,
    /// mod_apn, in place of fswake.
    ModApn,
}

impl Hold {
    /// What fswake can use.
    const ALL: [Self; 2] = [Self::Async, Self::Static];

    const fn name(self) -> &'static str {
        match self {
            Self::Async => "socket async full",
            Self::Static => "socket full",
            Self::ModApn => "mod_apn",
        }
    }
}

/// The parameters of a run.
#[derive(Clone, Copy)]
struct Case {
    way: &'static str,
    hold: Hold,
    calls: usize,
}

/// The results of a run. For FreeSWITCH and fswake: the cores used while calls are only held, and KiB for each call.
#[derive(Clone, Copy)]
struct Run {
    answered: f64,
    median: f64,
    p99: f64,
    threads: f64,
    freeswitch: (f64, f64),
    /// NaN without fswake.
    fswake: (f64, f64),
    /// FreeSWITCH's processor time for each phone that is woken, from its REGISTER until its call is up, in
    /// milliseconds.
    wake: f64,
}

fn chosen(name: &str, otherwise: &str) -> Vec<String> {
    let text = std::env::var(name).unwrap_or_else(|_| otherwise.to_owned());
    text.split(',').map(str::to_owned).collect()
}

fn number_of(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Measures all cases, and prints their medians as a table.
pub async fn all(prefix: &Path) {
    let rounds = number_of("FSWAKE_BENCH_ROUNDS").unwrap_or(3);
    let ways = chosen("FSWAKE_BENCH_WAYS", "dialplan,dial-string");
    let holds = chosen("FSWAKE_BENCH_HOLDS", "socket async full,socket full,mod_apn");
    let mut cases = Vec::new();
    for calls in chosen("FSWAKE_BENCH_CALLS", "300,1000")
        .iter()
        .filter_map(|n| n.parse().ok())
    {
        for way in ["dialplan", "dial-string"]
            .into_iter()
            .filter(|way| ways.iter().any(|w| w == way))
        {
            let wanted = Hold::ALL
                .into_iter()
                .filter(|hold| holds.iter().any(|name| name == hold.name()));
            cases.extend(wanted.map(|hold| Case { way, hold, calls }));
        }
        let mod_apn = Some(Hold::ModApn).filter(|hold| holds.iter().any(|name| name == hold.name()));
        cases.extend(mod_apn.filter(|_| RealFs::has_mod_apn(prefix)).map(|hold| Case {
            way: "dial-string",
            hold,
            calls,
        }));
    }
    let mut runs: Vec<Vec<Run>> = vec![Vec::new(); cases.len()];
    for round in 1..=rounds {
        for (case, runs) in cases.iter().zip(&mut runs) {
            let run = hold(prefix, *case).await;
            println!("round {round}: {}", line(*case, &[run]));
            runs.push(run);
        }
    }
    println!(
        "\n| calls | way | held by | answered | REGISTER to INVITE p50, p99 ms | FreeSWITCH: ms a wake | threads a call | cores holding \
         | KiB a call | fswake: cores holding | KiB a call |\n|---|---|---|---|---|---|---|---|---|---|---|"
    );
    for (case, runs) in cases.iter().zip(&runs) {
        println!("{}", line(*case, runs));
    }
}

/// A row of the table.
fn line(case: Case, runs: &[Run]) -> String {
    let median = |of: fn(&Run) -> f64| {
        let mut all: Vec<f64> = runs.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
    };
    let hold = case.hold.name();
    format!(
        "| {} | {} | `{hold}` | {:.0} | {:.1}, {:.0} | {:.1} | {:.2} | {:.2} | {:.0} | {:.3} | {:.1} |",
        case.calls,
        case.way,
        median(|run| run.answered),
        median(|run| run.median),
        median(|run| run.p99),
        median(|run| run.wake),
        median(|run| run.threads),
        median(|run| run.freeswitch.0),
        median(|run| run.freeswitch.1),
        median(|run| run.fswake.0),
        median(|run| run.fswake.1),
    )
}

#[allow(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
fn each(more: u64, calls: usize) -> f64 {
    more as f64 / calls as f64
}

/// A process, with its figures before the calls.
struct WatchedProcess {
    process: Process,
    threads: u64,
    resident: u64,
}

impl WatchedProcess {
    fn new(process: Process) -> Self {
        let (threads, resident) = (process.threads(), process.resident());
        Self {
            process,
            threads,
            resident,
        }
    }

    fn more_threads(&self, calls: usize) -> f64 {
        each(self.process.threads().saturating_sub(self.threads), calls)
    }

    fn more_memory(&self, calls: usize) -> f64 {
        each(self.process.resident().saturating_sub(self.resident), calls)
    }
}

async fn sleepers(waker: &Waker, domain: &str, count: usize) -> Vec<(Phone, Phone, String)> {
    let mut all = Vec::new();
    for _ in 0..count {
        let user = waker.fs().new_user();
        let answer = Reaction::Answer(Duration::from_millis(50));
        let phone = waker.sleeper(&user, domain, answer).await;
        all.push((phone, waker.caller().await, user));
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    // No phone is registered, so held calls wait for a REGISTER and nothing rings.
    waker.fs().api("sofia profile internal flush_inbound_reg").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    all
}

/// Connects calls between phones that are awake and speak.
async fn connected(waker: &Waker, count: u64) -> Vec<(Phone, OutgoingCall)> {
    let speaks = |voice| Script {
        voice: Some(voice),
        ..Script::default()
    };
    let mut phones = Vec::new();
    for _ in 0..count {
        let user = waker.fs().new_user();
        let phone = Phone::new(waker.fs().account(&user, DOMAIN), speaks(1)).await;
        assert_eq!(phone.register().await, 200);
        phones.push((user, phone));
    }
    // fswake has to know them.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut all = Vec::new();
    for (user, phone) in phones {
        let calling = waker.fs().new_user();
        let caller = Phone::new(waker.fs().account(&calling, DOMAIN), speaks(2)).await;
        let call = caller.call(&format!("6{user}"));
        assert_eq!(call.outcome().await, 200);
        all.push((phone, call));
    }
    all
}

async fn start(prefix: &Path, hold: Hold) -> Waker {
    if hold == Hold::ModApn {
        return Waker::mod_apn(prefix).await;
    }
    let fs = Arc::new(RealFs::start(prefix, 4000).await);
    fs.holds_with_async(hold == Hold::Async).await;
    Waker::fswake(&fs).await
}

async fn hold(prefix: &Path, case: Case) -> Run {
    let calls = case.calls;
    let waker = start(prefix, case.hold).await;
    let (number, domain) = if case.way == "dialplan" {
        ("6", DOMAIN)
    } else {
        ("5", WAKE_DOMAIN)
    };
    let pairs = sleepers(&waker, domain, calls).await;
    let beside = number_of("FSWAKE_BENCH_CONNECTED").filter(|_| case.hold != Hold::ModApn);
    let _beside = connected(&waker, beside.unwrap_or(0)).await;
    if let Some(beside) = beside {
        let cores = Process(waker.fs().pid()).cores(HOLDS).await;
        println!("         {beside} connected calls alone: {cores:.2} cores");
    }
    let freeswitch = WatchedProcess::new(Process(waker.fs().pid()));
    let fswake = waker.daemon().map(WatchedProcess::new);
    let mut pace = interval(APART);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut held = Vec::new();
    for (_, caller, user) in &pairs {
        pace.tick().await;
        held.push(caller.call(&format!("{number}{user}")));
    }
    waker.pushed(calls).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let of_fswake = async {
        match &fswake {
            Some(fswake) => fswake.process.cores(HOLDS).await,
            None => f64::NAN,
        }
    };
    let (freeswitch_cores, fswake_cores) = tokio::join!(freeswitch.process.cores(HOLDS), of_fswake);
    let threads = freeswitch.more_threads(calls);
    let memory = (
        freeswitch.more_memory(calls),
        fswake.map_or(f64::NAN, |p| p.more_memory(calls)),
    );
    let held_at = load();
    let before = freeswitch.process.cpu();
    let talk = number_of("FSWAKE_BENCH_TALK").map(Duration::from_secs);
    let mut callers: JoinSet<u16> = held.into_iter().map(|call| outcome(call, talk)).collect();
    let mut waking = JoinSet::new();
    for (phone, ..) in &pairs {
        pace.tick().await;
        let phone = phone.clone();
        waking.spawn(async move {
            phone.wake_elsewhere().await;
            phone.register().await
        });
    }
    // An overloaded FreeSWITCH may not answer a REGISTER: its call is not answered either.
    while waking.join_next().await.is_some() {}
    let mut outcomes: BTreeMap<u16, u64> = BTreeMap::new();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while let Ok(Some(outcome)) = timeout_at(deadline, callers.join_next()).await {
        *outcomes.entry(outcome.unwrap_or_default()).or_default() += 1;
    }
    *outcomes.entry(0).or_default() += u64::try_from(callers.len()).unwrap_or_default();
    outcomes.retain(|_, calls| *calls > 0);
    // What follows the last answer is part of its wake.
    tokio::time::sleep(SETTLES).await;
    let woken = freeswitch.process.cpu().saturating_sub(before);
    if talk.is_none() {
        let cores = freeswitch.process.cores(Duration::from_secs(3)).await;
        println!("         all connected: {cores:.2} cores");
    }
    let answered = outcomes.remove(&200).unwrap_or_default();
    if !outcomes.is_empty() {
        println!(
            "         not answered, by SIP status (0: none yet): {outcomes:?}\n{}",
            waker.log()
        );
    }
    let mut times: Vec<Duration> = pairs.iter().filter_map(|(phone, ..)| to_invite(phone)).collect();
    times.sort_unstable();
    let at = |share: usize| times.get(times.len() * share / 100).copied().map_or(f64::NAN, ms);
    println!("         load {held_at} while holding, {} at the end", load());
    waker.fs().api("hupall").await;
    let fs = Arc::clone(waker.fs());
    drop(waker);
    fs.stop();
    Run {
        answered: each(answered, 1),
        median: at(50),
        p99: at(99),
        threads,
        freeswitch: (freeswitch_cores, memory.0),
        fswake: (fswake_cores, memory.1),
        wake: ms(woken) / each(u64::try_from(calls).unwrap_or(u64::MAX), 1),
    }
}

/// A call's final response, 0 without one. An answered caller hangs up after this time.
async fn outcome(call: OutgoingCall, talk: Option<Duration>) -> u16 {
    let outcome = call.response_within(2 * PATIENCE, |status| status >= 200).await;
    let status = outcome.map_or(0, |(_, status)| status);
    if let Some(talk) = talk.filter(|_| status == 200) {
        tokio::spawn(async move {
            tokio::time::sleep(talk).await;
            call.hang_up().await;
        });
    }
    status
}

/// The time from the 200 OK of its second REGISTER to its INVITE.
fn to_invite(phone: &Phone) -> Option<Duration> {
    let all = phone.happenings();
    let registered = all.iter().filter(|h| matches!(h.what, What::Registered(200))).nth(1)?;
    let invited = all.iter().find(|h| matches!(h.what, What::Invited(_)))?;
    Some(invited.at.saturating_duration_since(registered.at))
}
