//! No answered call is cut or silent: `cargo bench --bench live_answer -- [--calls N] [--lanes N] [--busy]`.
//!
//! Makes calls through fswake on a real FreeSWITCH, `--lanes` of them at a time. They alternate between both routings,
//! and between phones on UDP and TCP, asleep (woken by a push) and awake. Phones answer 0 to 400 ms after they began to
//! ring. Each call is checked at both ends: the caller gets a 200, each side soon receives the other's voice and still
//! does half a second later, neither gets a BYE before one of them hangs up, and fswake reports `connected`. The bench
//! fails if one call does not meet this.
//!
//! All times start when the phone sends its 200. The phones report the caller's 200 and the first sounds. `uuid_bridge`
//! is the time when fswake, by its log, got FreeSWITCH's reply to that order. It is also printed relative to
//! CHANNEL_ANSWER, and so is CHANNEL_BRIDGE. FreeSWITCH's own timestamps are multiples of its 20 ms tick.
//!
//! `--busy` runs a busy loop on each core meanwhile. `FSWAKE_BENCH_CALLS` also sets the number of calls, and
//! `FSWAKE_BENCH_DAEMON` names another fswake to measure. `FSWAKE_LIVE_LOG` and `FSWAKE_LIVE_FS_LOG` name files for
//! both logs, then at debug level. Without FreeSWITCH the bench prints that and stops.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fswake_test_support::process::load;
use fswake_test_support::realfs::{self, Console, DOMAIN, RealFs, WAKE_DOMAIN};
use fswake_test_support::sip::{Leg, Noise, OutgoingCall, Phone, Reaction, Script, Transport, What};
use fswake_test_support::site::{self, Settings, Site, Wakes, new_token, push_params};

/// Limit from the INVITE to the caller's 200.
const ANSWER: Duration = Duration::from_secs(25);
/// Limit from the caller's 200 to each side's first sound, and for a further sound after [`LASTS`].
const SOUND: Duration = Duration::from_secs(5);
/// How long a call lasts before its sound is checked again.
const LASTS: Duration = Duration::from_millis(500);
/// Limit from the hang-up to the other side's BYE.
const BYE: Duration = Duration::from_secs(10);
/// The latest answer, in milliseconds after the phone began to ring.
const LATEST: usize = 400;
/// Times of day wrap around after this.
const DAY: Duration = Duration::from_hours(24);
/// The voices of caller and phone.
const VOICES: [u8; 2] = [2, 7];

/// The properties of a call that are varied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    by_dial_string: bool,
    tcp: bool,
    asleep: bool,
}

impl Kind {
    const COUNT: usize = 8;

    fn of(n: usize) -> Self {
        Self {
            by_dial_string: n & 1 != 0,
            tcp: n & 2 != 0,
            asleep: n & 4 != 0,
        }
    }

    fn name(self) -> String {
        let way = if self.by_dial_string { "dial-string" } else { "dialplan" };
        let transport = if self.tcp { "TCP" } else { "UDP" };
        let state = if self.asleep { "asleep" } else { "awake" };
        format!("{way:<11} {transport} {state:<6}")
    }

    fn domain(self) -> &'static str {
        if self.by_dial_string { WAKE_DOMAIN } else { DOMAIN }
    }

    fn number(self, user: &str) -> String {
        let way = if self.by_dial_string { "5" } else { "7" };
        format!("{way}{user}")
    }

    fn transport(self) -> Transport {
        if self.tcp { Transport::Tcp } else { Transport::Udp }
    }
}

/// Times since the phone's 200.
struct Times {
    /// The time of the phone's 200, since midnight.
    answered: Duration,
    to_caller: Duration,
    caller_hears: Duration,
    phone_hears: Duration,
}

/// The outcome of a call.
enum Fate {
    Good(Times),
    Unanswered(String),
    Cut(String),
    Silent(String),
}

impl Fate {
    /// The time of the phone's answer, for a good call.
    fn answered(&self) -> Option<Duration> {
        match self {
            Self::Good(times) => Some(times.answered),
            _ => None,
        }
    }
}

#[derive(Default)]
struct Tally {
    calls: usize,
    unanswered: usize,
    cut: usize,
    silent: usize,
    good: Vec<Times>,
    to_bridge: Vec<Duration>,
    answer_to_order: Vec<Duration>,
    answer_to_bridge: Vec<Duration>,
}

impl Tally {
    fn add(&mut self, fate: Fate) {
        self.calls += 1;
        match fate {
            Fate::Good(times) => self.good.push(times),
            Fate::Unanswered(_) => self.unanswered += 1,
            Fate::Cut(_) => self.cut += 1,
            Fate::Silent(_) => self.silent += 1,
        }
    }

    fn percentiles(&self, of: fn(&Times) -> Duration) -> String {
        percentiles(self.good.iter().map(of).collect())
    }
}

/// p50, p95 and p99 in milliseconds.
fn percentiles(mut times: Vec<Duration>) -> String {
    if times.is_empty() {
        return "-".to_owned();
    }
    times.sort_unstable();
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)].as_secs_f64() * 1000.0;
    format!("{:.1} / {:.1} / {:.1}", at(50), at(95), at(99))
}

struct BenchOptions {
    calls: usize,
    lanes: usize,
    busy: bool,
}

impl BenchOptions {
    fn of_process() -> Self {
        let calls = std::env::var("FSWAKE_BENCH_CALLS").ok().and_then(|n| n.parse().ok());
        let mut wanted = Self {
            calls: calls.unwrap_or(80),
            lanes: 8,
            busy: false,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut number = || {
                let number = arguments.next().and_then(|n| n.parse().ok());
                number.unwrap_or_else(|| panic!("{argument} needs a number"))
            };
            match argument.as_str() {
                "--calls" => wanted.calls = number(),
                "--lanes" => wanted.lanes = number(),
                "--busy" => wanted.busy = true,
                // Cargo itself adds this.
                "--bench" => {}
                other => panic!("{other}: not one of --calls N, --lanes N, --busy"),
            }
        }
        wanted
    }
}

/// Makes one call after another. For each kind of call, a lane has its own user.
struct Lane {
    fs: Arc<RealFs>,
    site: Arc<Site>,
    /// For each kind: the user, and the phone's token.
    users: Vec<(String, String)>,
    caller: String,
    console: Console,
}

impl Lane {
    async fn new(site: &Arc<Site>) -> Self {
        let fs = site.fs.clone();
        Self {
            site: site.clone(),
            users: (0..Kind::COUNT).map(|_| (fs.new_user(), new_token())).collect(),
            caller: fs.new_user(),
            console: fs.console().await,
            fs,
        }
    }

    /// Registers every phone once. After this fswake knows all of them, even if FreeSWITCH's events come late.
    async fn introduce(&mut self) {
        for (n, (user, token)) in self.users.clone().iter().enumerate() {
            let kind = Kind::of(n);
            let phone = self.phone(kind, user, kind.domain(), VOICES[1], Duration::ZERO).await;
            phone.contact_params(&push_params(token));
            assert_eq!(phone.register().await, 200);
            self.forget(user, kind).await;
        }
    }

    /// Makes FreeSWITCH forget a user's registration. fswake still knows the token.
    async fn forget(&mut self, user: &str, kind: Kind) {
        let flush = format!("sofia profile internal flush_inbound_reg {user}@{}", kind.domain());
        self.console.api(&flush).await.expect("FreeSWITCH's event socket");
    }

    async fn phone(&self, kind: Kind, user: &str, domain: &str, voice: u8, answer: Duration) -> Phone {
        let script = Script {
            transport: kind.transport(),
            voice: Some(voice),
            ..Reaction::Answer(answer).into()
        };
        Phone::new(self.fs.account(user, domain), script).await
    }

    /// Makes one call, from the phone's REGISTER to the hang-up.
    async fn call(&mut self, n: usize) -> (Kind, Fate) {
        let kind = Kind::of(n);
        // The delays cover every millisecond and are not correlated with the kinds. They are also spread over
        // FreeSWITCH's 20 ms tick, so that waiting for a tick takes as long as in the field.
        let answer = Duration::from_millis((n / Kind::COUNT * 248 % (LATEST + 1)) as u64);
        let (user, token) = self.users[n % Kind::COUNT].clone();
        let phone = self.phone(kind, &user, kind.domain(), VOICES[1], answer).await;
        phone.contact_params(&push_params(&token));
        let wakes = if kind.asleep { Wakes::Elsewhere } else { Wakes::Never };
        self.site.wake_by(&token, &phone, wakes);
        assert_eq!(phone.register().await, 200);
        if kind.asleep {
            phone.sleep();
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
        let caller = self.phone(kind, &self.caller, DOMAIN, VOICES[0], answer).await;
        let call = caller.call(&kind.number(&user));
        let fate = watch_call(&call, &phone, n).await;
        if !matches!(fate, Fate::Good(_)) {
            call.hang_up().await;
            phone.hang_up().await;
        }
        self.forget(&user, kind).await;
        (kind, fate)
    }
}

/// When a side first received the other after `since`.
async fn hears(leg: &Leg, voice: u8, since: Instant) -> Option<Instant> {
    let began = Instant::now();
    loop {
        let heard = leg.heard();
        let first = heard
            .iter()
            .find(|(at, what)| *at >= since && *what == Noise::Voice(voice));
        if let Some((at, _)) = first {
            return Some(*at);
        }
        if began.elapsed() > SOUND || !leg.is_up() {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn watch_call(call: &OutgoingCall, phone: &Phone, n: usize) -> Fate {
    let story = |what: &str, caller: &Leg| {
        let answers = call.responses();
        let id = call.answers().first().map(|m| m.header("Call-ID").to_owned());
        let (end, aor) = (caller.end(), phone.account());
        let (user, domain, id) = (&aor.user, &aor.domain, id.unwrap_or_default());
        format!(
            "{what}; to {user}@{domain}, caller's Call-ID {id}, got {answers:?}, end {end:?}; phone: {}",
            phone.story()
        )
    };
    let caller = call.leg();
    let at = match call.response_within(ANSWER, |status| status >= 200).await {
        Some((at, 200)) => at,
        other => return Fate::Unanswered(story(&format!("{:?}", other.map(|o| o.1)), &caller)),
    };
    let answered = phone
        .happenings()
        .into_iter()
        .find(|h| matches!(h.what, What::Answered));
    let Some(answered) = answered.map(|h| h.at) else {
        return Fate::Unanswered(story("the phone has not answered", &caller));
    };
    let Some(called) = phone.legs().pop().or_else(|| phone.all_legs().pop()) else {
        return Fate::Cut(story("the phone has no call", &caller));
    };
    let (mut first, mut since) = (None, answered);
    for when in ["", " any more"] {
        let heard = tokio::join!(hears(&caller, VOICES[1], since), hears(&called, VOICES[0], since));
        let end = called.end().map(|e| ("phone", e));
        if let Some((side, reason)) = end.or_else(|| caller.end().map(|e| ("caller", e))) {
            return Fate::Cut(story(&format!("BYE to the {side}: {reason}"), &caller));
        }
        let deaf = match heard {
            (Some(caller), Some(phone)) => {
                first.get_or_insert((caller, phone));
                tokio::time::sleep(LASTS.saturating_sub(at.elapsed())).await;
                since = Instant::now();
                continue;
            }
            (None, None) => "neither side hears the other",
            (None, _) => "the caller does not hear the phone",
            (_, None) => "the phone does not hear the caller",
        };
        return Fate::Silent(story(&format!("{deaf}{when}"), &caller));
    }
    // Either side hangs up, and the other side gets the BYE.
    let (leg, other) = if (n / Kind::COUNT).is_multiple_of(2) {
        (&caller, &called)
    } else {
        (&called, &caller)
    };
    leg.hang_up().await;
    let began = Instant::now();
    while other.is_up() {
        if began.elapsed() > BYE {
            return Fate::Silent(story("no BYE after the other side's", &caller));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (caller_hears, phone_hears) = first.expect("both were heard");
    Fate::Good(Times {
        answered: of_day(answered),
        to_caller: at.saturating_duration_since(answered),
        caller_hears: caller_hears.saturating_duration_since(answered),
        phone_hears: phone_hears.saturating_duration_since(answered),
    })
}

/// The time since midnight of a line in fswake's log, which begins with `2026-01-31T12:34:56.123456Z`.
fn time_of_day(line: &str) -> Option<Duration> {
    let (_, rest) = line.split_once('T')?;
    let mut parts = rest.split_once('Z')?.0.split(':').map(str::parse::<f64>);
    let mut next = || parts.next()?.ok();
    let (hours, minutes, seconds) = (next()?, next()?, next()?);
    Some(Duration::from_secs_f64((hours * 60.0 + minutes) * 60.0 + seconds))
}

/// The time since midnight, as in fswake's log.
fn of_day(at: Instant) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let then = now.saturating_sub(at.elapsed());
    then.saturating_sub(DAY * u32::try_from(then.as_secs() / DAY.as_secs()).unwrap_or_default())
}

/// The time from each answer to FreeSWITCH's reply to its `uuid_bridge`. Both are in the same order in fswake's log.
fn to_bridge(answers: &[Duration], lines: &[String]) -> Vec<Duration> {
    if answers.len() != lines.len() {
        return Vec::new();
    }
    let times = lines.iter().filter_map(|line| time_of_day(line));
    times
        .zip(answers)
        .map(|(replied, answered)| since(*answered, replied))
        .collect()
}

/// The time from CHANNEL_ANSWER to each of these lines, by call.
fn from_channel_answer(answers: &[String], lines: &[String]) -> Vec<Duration> {
    let of_call = |line: &str| {
        let id = line.split_once("call.id=")?.1;
        id.get(..36).map(str::to_owned)
    };
    let from_answer = |line: &String| {
        let call = of_call(line)?;
        let answer = answers.iter().find(|line| of_call(line).as_ref() == Some(&call))?;
        Some(since(time_of_day(answer)?, time_of_day(line)?))
    };
    lines.iter().filter_map(from_answer).collect()
}

/// The time between two times of day.
fn since(from: Duration, to: Duration) -> Duration {
    let time = (to + DAY).saturating_sub(from);
    time.checked_sub(DAY).unwrap_or(time)
}

/// Makes all calls through concurrent lanes, and prints faults as they occur.
async fn run(site: &Arc<Site>, wanted: &BenchOptions) -> (BTreeMap<Kind, Tally>, usize) {
    let (calls, count) = (wanted.calls, wanted.lanes.max(1));
    let next = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let mut introduced = Vec::new();
    for _ in 0..count {
        let mut lane = Lane::new(site).await;
        lane.introduce().await;
        introduced.push(lane);
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let mut lanes = tokio::task::JoinSet::new();
    for mut lane in introduced {
        let next = next.clone();
        lanes.spawn(async move {
            let mut fates = Vec::new();
            loop {
                let n = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                if n >= calls {
                    return (lane.users, fates);
                }
                let (kind, fate) = lane.call(n).await;
                match &fate {
                    Fate::Good(_) => {}
                    Fate::Unanswered(why) => println!("call {n}, {}: UNANSWERED: {why}", kind.name()),
                    Fate::Cut(why) => println!("call {n}, {}: CUT: {why}", kind.name()),
                    Fate::Silent(why) => println!("call {n}, {}: SILENT: {why}", kind.name()),
                }
                fates.push((kind, fate));
            }
        });
    }
    let (mut tallies, mut otherwise) = (BTreeMap::<Kind, Tally>::new(), 0);
    for (users, fates) in lanes.join_all().await {
        for (n, (user, _)) in users.iter().enumerate() {
            let kind = Kind::of(n);
            let aor = format!("aor={user}@{}", kind.domain());
            let over = site.daemon().log.with(&["call over", &aor]);
            let is_connected = |line: &&String| line.contains(r#"outcome="connected""#);
            let connected = over.iter().filter(is_connected).count();
            for line in over.iter().filter(|line| !is_connected(line)) {
                println!("NOT REPORTED AS CONNECTED, {}: {line}", kind.name());
            }
            let of_kind = fates.iter().filter(|(k, _)| *k == kind);
            let answers: Vec<_> = of_kind.filter_map(|(_, fate)| fate.answered()).collect();
            otherwise += (over.len() - connected).max(answers.len().abs_diff(connected));
            let orders = site.daemon().log.with(&["uuid_bridge", &aor]);
            let tally = tallies.entry(kind).or_default();
            tally.to_bridge.extend(to_bridge(&answers, &orders));
            let heard = site.daemon().log.with(&["event=LegAnswered ", &aor]);
            tally.answer_to_order.extend(from_channel_answer(&heard, &orders));
            let bridges = site.daemon().log.with(&["the bridge is confirmed", &aor]);
            tally.answer_to_bridge.extend(from_channel_answer(&heard, &bridges));
        }
        for (kind, fate) in fates {
            tallies.entry(kind).or_default().add(fate);
        }
    }
    (tallies, otherwise)
}

fn print(tallies: &BTreeMap<Kind, Tally>) -> usize {
    println!("\nms from the phone's 200: p50 / p95 / p99");
    println!(
        "                       | calls answered cut silent | uuid_bridge | caller's 200 | caller hears | phone hears"
    );
    let mut faults = 0;
    for (kind, t) in tallies {
        let answered = t.calls - t.unanswered;
        faults += t.unanswered + t.cut + t.silent;
        println!(
            "{} | {:>5} {answered:>8} {:>3} {:>6} | {} | {} | {} | {}",
            kind.name(),
            t.calls,
            t.cut,
            t.silent,
            percentiles(t.to_bridge.clone()),
            t.percentiles(|t| t.to_caller),
            t.percentiles(|t| t.caller_hears),
            t.percentiles(|t| t.phone_hears),
        );
    }
    let all = tallies.values().flat_map(|t| t.to_bridge.iter().copied()).collect();
    println!("together: uuid_bridge {}", percentiles(all));
    for (by_dial_string, way) in [(false, "dialplan"), (true, "dial-string")] {
        let of_way = || tallies.iter().filter(|(kind, _)| kind.by_dial_string == by_dial_string);
        let order = of_way().flat_map(|(_, t)| t.answer_to_order.iter().copied()).collect();
        let bridge = of_way().flat_map(|(_, t)| t.answer_to_bridge.iter().copied()).collect();
        let (order, bridge) = (percentiles(order), percentiles(bridge));
        println!("{way}: CHANNEL_ANSWER to uuid_bridge {order}, to CHANNEL_BRIDGE {bridge}");
    }
    let sum = |of: fn(&Tally) -> usize| tallies.values().map(of).sum::<usize>();
    let (calls, cut, silent, unanswered) = (
        sum(|t| t.calls),
        sum(|t| t.cut),
        sum(|t| t.silent),
        sum(|t| t.unanswered),
    );
    println!("together: {calls} calls, {cut} cut, {silent} silent, {unanswered} unanswered");
    faults
}

/// Processes that keep every core busy until they are dropped.
fn busy_loops() -> Vec<tokio::process::Child> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let start = |_| {
        let mut shell = tokio::process::Command::new("sh");
        shell.args(["-c", "while :; do :; done"]).kill_on_drop(true);
        shell.spawn().expect("a shell")
    };
    (0..cores).map(start).collect()
}

fn settings() -> Settings {
    // Phones of calls to awake phones have just registered.
    let mut settings = Settings::default().wake("fresh-for", "30s");
    if std::env::var_os("FSWAKE_LIVE_LOG").is_none() {
        "info,fswake::esl::outbound=debug,fswake::driver=debug,freeswitch_esl_tokio=off".clone_into(&mut settings.log);
    }
    settings.wake.insert("device-pushes-per-minute", "0".to_owned());
    settings
}

async fn measure(prefix: &Path, wanted: &BenchOptions) -> bool {
    let users = u32::try_from(wanted.lanes * (Kind::COUNT + 1)).expect("fewer lanes");
    let fs = Arc::new(RealFs::start(prefix, users).await);
    let version = fs.api("version").await;
    let site = Site::start(fs.clone(), &site::measured(env!("CARGO_BIN_EXE_fswake")), &settings()).await;
    let site = Arc::new(site);
    let loops = if wanted.busy { busy_loops() } else { Vec::new() };
    println!(
        "{}; {} calls, {} at a time; {} busy loops; load {}",
        version.trim(),
        wanted.calls,
        wanted.lanes,
        loops.len(),
        load()
    );
    let began = Instant::now();
    let (tallies, otherwise) = run(&site, wanted).await;
    let (took, load) = (began.elapsed(), load());
    drop(loops);
    let faults = print(&tallies) + otherwise;
    println!("not reported as connected by fswake: {otherwise}");
    println!("took {took:.0?}; load {load} at the end");
    fs.becomes_silent(Duration::from_secs(60)).await;
    drop(site);
    fs.stop();
    faults == 0
}

fn main() -> ExitCode {
    let prefix = match realfs::installed() {
        Ok(prefix) => prefix,
        Err(reason) => {
            eprintln!("{reason}");
            return ExitCode::SUCCESS;
        }
    };
    let wanted = BenchOptions::of_process();
    rlimit::increase_nofile_limit(u64::MAX).expect("a limit to raise");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    if runtime.block_on(measure(&prefix, &wanted)) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
