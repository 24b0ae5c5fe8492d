//! One process takes over from another: SIGUSR2, and `systemctl restart` (`service`).

mod events;
mod gateway;
mod service;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fswake_test_support::freeswitch::*;
use fswake_test_support::process::Process;

use crate::harness::*;

/// Calls in the tests that count.
const CALLS: usize = 1_000;
/// Handovers under these calls.
const HANDOVERS: usize = 10;

/// Successors are children of the daemon, so nothing else ends them when a test fails.
#[derive(Default)]
pub struct Successors(Vec<u32>);

impl Successors {
    /// The `n`th, from 1: waits until it was started.
    pub async fn nth(&mut self, daemon: &Daemon, n: usize) -> u32 {
        daemon.log.wait_times(n, &["starting a new process"]).await;
        let line = daemon.log.with(&["starting a new process"]).remove(n - 1);
        let pid = field(&line, "pid").parse().unwrap();
        self.0.push(pid);
        pid
    }
}

impl Drop for Successors {
    fn drop(&mut self) {
        for pid in &self.0 {
            if is_fswake(*pid) {
                send("KILL", *pid);
            }
        }
    }
}

/// Whether this is a running process of fswake: pids are used again.
fn is_fswake(pid: u32) -> bool {
    Process(pid).program().as_deref() == Some("fswake")
}

pub fn send(signal: &str, pid: u32) {
    let sent = std::process::Command::new("kill")
        .args([&format!("-{signal}"), &pid.to_string()])
        .status();
    assert!(sent.is_ok_and(|sent| sent.success()), "kill -{signal} {pid}");
}

pub async fn gone(pid: u32) {
    soon("end of a process", async {
        while is_fswake(pid) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// One push for each call, however many there are and however slow this machine is.
pub fn without_limits(stage: &mut Stage) {
    stage.set("wake.caller-pushes-per-minute", 1_000_000);
    stage.set("wake.device-pushes-per-minute", 1_000_000);
    stage.set("wake.push-retry", "20s");
}

/// Sleeping phones, found by the token of a push.
pub struct Phones {
    by_token: HashMap<String, Arc<Phone>>,
    pub users: Vec<String>,
}

impl Phones {
    pub async fn asleep(stage: &Stage, daemon: &Daemon, number: usize) -> Self {
        let (mut by_token, mut users) = (HashMap::new(), Vec::new());
        for n in 0..number {
            let user = format!("{}", 2000 + n);
            let phone = stage.iphone(&user);
            phone.set_behaviour(Behaviour::Rings(Duration::ZERO, Some(Duration::from_millis(20))));
            daemon.asleep(&phone).await;
            let params = phone.spec().params;
            let token = params.rsplit('=').next().unwrap().to_owned();
            by_token.insert(token, Arc::new(phone));
            users.push(user);
        }
        Self { by_token, users }
    }

    /// Wakes the phone of each push, and counts the pushes that APNs has taken: when the half-hour turns, it refuses
    /// the first with the next provider token, because the stand-in has just seen the one before. Never ends.
    pub async fn wake_on_push(&self, stage: &Stage, pushes: &std::sync::atomic::AtomicUsize) -> ! {
        loop {
            let push = stage.apns.next_push().await;
            if push.status != 200 {
                continue;
            }
            pushes.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            self.by_token[&push.token].wake();
        }
    }
}

/// Places calls without a break while `handovers` runs. Every call must have had its push, and be connected.
pub async fn every_call_is_woken(
    stage: &Stage,
    phones: &Phones,
    calls: usize,
    address: std::net::SocketAddr,
    handovers: impl Future<Output = ()>,
) {
    let pushes = std::sync::atomic::AtomicUsize::new(0);
    let placed = async {
        let mut all = Vec::new();
        for n in 0..calls {
            let user = &phones.users[n % phones.users.len()];
            all.push(stage.fs.call(&Call::to(address, user, DOMAIN)));
            // One call each 12 ms: ten handovers happen in between.
            tokio::time::sleep(Duration::from_millis(12)).await;
            // A phone is called again after its last call.
            if n >= phones.users.len() / 2 {
                is_woken(&all[n - phones.users.len() / 2]).await;
            }
        }
        for held in &all[calls.saturating_sub(phones.users.len() / 2)..] {
            is_woken(held).await;
        }
        all.len()
    };
    let placed = tokio::select! {
        (placed, ()) = async { tokio::join!(placed, handovers) } => placed,
        never = phones.wake_on_push(stage, &pushes) => match never {},
    };
    assert_eq!((placed, pushes.into_inner()), (calls, calls));
}

/// Waits until the call is connected with its phone, which was pushed for it, and hangs up.
async fn is_woken(held: &Held) {
    held.wait_bridged().await;
    soon("result", async {
        while held.variable("fswake_result").as_deref() == Some("held") {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
    let variables = ["fswake_result", "fswake_pushes"].map(|name| held.variable(name));
    assert_eq!(
        variables.each_ref().map(Option::as_deref),
        [Some("connected"), Some("1")]
    );
    held.caller_hangs_up();
}

#[tokio::test]
async fn thousand_calls_over_ten_handovers_all_have_their_wake() {
    let mut stage = Stage::new().await;
    without_limits(&mut stage);
    let mut daemon = stage.start().await;
    let phones = Phones::asleep(&stage, &daemon, 100).await;
    let mut successors = Successors::default();
    let mut on_duty = daemon.pid();
    let address = daemon.address;
    let handovers = async {
        for n in 1..=HANDOVERS {
            tokio::time::sleep(Duration::from_millis(300)).await;
            send("USR2", on_duty);
            on_duty = successors.nth(&daemon, n).await;
            daemon.log.wait_times(n, &["took over"]).await;
        }
    };
    every_call_is_woken(&stage, &phones, CALLS, address, handovers).await;
    // One may end before its predecessor, which nobody tells of then.
    daemon.log.wait_times(HANDOVERS, &["ending: stopped"]).await;
    assert_eq!(daemon.exit_code().await, Some(0));
    assert_eq!(daemon.log.count(&["took over"]), HANDOVERS);
    assert_eq!(daemon.log.with(&[" ERROR "]), Vec::<String>::new());
    stage.journal("push-sent", i64::try_from(CALLS).unwrap()).await;
}

#[tokio::test]
async fn held_call_is_finished_by_the_process_that_holds_it() {
    let (stage, mut daemon, phone, held) = one_pushed().await;
    phone.set_behaviour(Behaviour::Rings(Duration::ZERO, Some(Duration::from_millis(50))));
    let mut successors = Successors::default();
    daemon.signal("USR2");
    let successor = successors.nth(&daemon, 1).await;
    daemon.log.wait(&["took over"]).await;
    // The new process takes calls at once, and knows the phones.
    let other = stage.iphone("1002");
    other.set_behaviour(Behaviour::Rings(Duration::ZERO, Some(Duration::ZERO)));
    daemon.asleep(&other).await;
    let second = stage.call(&daemon, "1002");
    stage.push().await;
    other.wake();
    second.wait_bridged().await;
    second.caller_hangs_up();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(held.outcomes().is_empty(), "the first call is still held");
    let (_, report, _) = stage.tool(&["--wide", "doctor"]).await;
    assert!(report.contains("finishes the calls that it holds since"), "{report}");
    phone.wake();
    held.wait_bridged().await;
    assert_eq!(daemon.exit_code().await, Some(0));
    daemon.log.wait(&["the earlier process has ended"]).await;
    // What the old process did for its call is in the journal, and so is what both learned.
    stage.journal("call-over", 2).await;
    stage.stored(2).await;
    held.caller_hangs_up();
    // The device is the new process's, too.
    phone.sleep();
    let third = stage.call(&daemon, "1001");
    stage.push().await;
    phone.wake();
    third.wait_bridged().await;
    assert!(is_fswake(successor));
}

/// Tokens that phones send, take back or move while one process takes over from the other.
#[tokio::test]
async fn what_phones_say_during_a_handover_is_not_lost() {
    let mut stage = Stage::new().await;
    stage.set("wake.caller-pushes-per-minute", 1_000_000);
    let mut daemon = stage.start().await;
    let mut successors = Successors::default();
    let mut on_duty = daemon.pid();
    let mut all = Vec::new();
    let mut logged_out = Vec::new();
    for round in 1..=3 {
        let before = stage.iphone(&format!("{round}000"));
        daemon.registered(&before).await;
        send("USR2", on_duty);
        for n in 1..=60 {
            let phone = stage.iphone(&format!("{}", round * 1000 + n));
            phone.register();
            all.push(phone);
            tokio::time::sleep(Duration::from_millis(10)).await;
            if n == 30 {
                before.unregister();
                logged_out.push(format!("{round}000"));
            }
        }
        on_duty = successors.nth(&daemon, round).await;
        daemon.log.wait_times(round, &["took over"]).await;
    }
    daemon.log.wait_times(3, &["ending: stopped"]).await;
    assert_eq!(daemon.exit_code().await, Some(0));
    stage.stored(i64::try_from(all.len()).unwrap()).await;
    for phone in &all {
        let held = stage.call(&daemon, &phone.spec().user);
        stage.push().await;
        held.caller_hangs_up();
    }
    for user in logged_out {
        let held = stage.call(&daemon, &user);
        assert_eq!(crate::outcomes::result_of(&held).await, "no-device", "{user}");
    }
}

#[tokio::test]
async fn successor_that_fails_leaves_the_old_process_in_place() {
    let (mut stage, mut daemon, phone) = one_sleeper().await;
    let mut successors = Successors::default();
    let good = stage.settings.clone();
    stage.set("wake.max-wait", "no duration");
    stage.write();
    daemon.signal("USR2");
    successors.nth(&daemon, 1).await;
    let line = daemon
        .log
        .wait(&["ERROR", "the new process failed: this one goes on"])
        .await;
    assert!(line.contains("exit status: 78"), "{line}");
    daemon.log.wait(&["no duration"]).await;
    let held = stage.call(&daemon, "1001");
    stage.push().await;
    phone.wake();
    held.wait_bridged().await;
    held.caller_hangs_up();
    stage.settings = good;
    stage.write();
    daemon.signal("USR2");
    successors.nth(&daemon, 2).await;
    daemon.log.wait(&["took over"]).await;
    assert_eq!(daemon.exit_code().await, Some(0));
}

/// Starts a successor that never becomes ready: FreeSWITCH is not where its configuration says.
async fn never_ready() -> (Stage, Daemon, Phone, Successors, u32) {
    let (mut stage, daemon, phone) = one_sleeper().await;
    stage.set("freeswitch.port", 1);
    stage.write();
    let mut successors = Successors::default();
    daemon.signal("USR2");
    let pid = successors.nth(&daemon, 1).await;
    daemon.log.wait(&["WARN", "no connection to FreeSWITCH"]).await;
    (stage, daemon, phone, successors, pid)
}

#[tokio::test]
async fn successor_that_is_killed_leaves_the_old_process_in_place() {
    let (stage, mut daemon, phone, _successors, pid) = never_ready().await;
    // A second signal changes nothing.
    daemon.signal("USR2");
    daemon.log.wait(&["a new process is being started already"]).await;
    send("KILL", pid);
    let line = daemon
        .log
        .wait(&["ERROR", "the new process failed: this one goes on"])
        .await;
    assert!(line.contains("signal: 9"), "{line}");
    let held = stage.call(&daemon, "1001");
    stage.push().await;
    phone.wake();
    held.wait_bridged().await;
    held.caller_hangs_up();
    daemon.signal("TERM");
    assert_eq!(daemon.exit_code().await, Some(0));
}

#[tokio::test]
async fn stop_ends_a_successor_that_is_not_ready() {
    let (_stage, mut daemon, _phone, _successors, pid) = never_ready().await;
    let asked = Instant::now();
    daemon.signal("TERM");
    assert_eq!(daemon.exit_code().await, Some(0));
    assert!(asked.elapsed() < Duration::from_secs(10));
    gone(pid).await;
}

#[tokio::test]
async fn successor_without_its_predecessor_ends() {
    let (stage, daemon, _phone, _successors, pid) = never_ready().await;
    let (log, address) = (daemon.log.clone(), daemon.address);
    daemon.kill().await;
    log.wait(&["has ended before this one was ready"]).await;
    gone(pid).await;
    // Nobody listens, so that a call is not kept waiting.
    let held = stage.fs.call(&Call::to(address, "1001", DOMAIN));
    assert!(matches!(held.outcome().await, Outcome::Resumed { .. }));
}

/// The file is upgraded when the new process takes over, not before.
#[tokio::test]
async fn successor_of_a_newer_version_changes_no_file_before_it_takes_over() {
    let (stage, daemon, _phone, _successors, _pid) = never_ready().await;
    let store = rusqlite::Connection::open(stage.dir.path().join("fswake.db")).unwrap();
    let version =
        |store: &rusqlite::Connection| -> i64 { store.query_row("PRAGMA user_version", [], |r| r.get(0)).unwrap() };
    let now = version(&store);
    store.pragma_update(None, "user_version", now + 1).unwrap();
    // The running process goes on with it, and a new one of the same version refuses it.
    let phone = stage.iphone("1003");
    daemon.registered(&phone).await;
    stage.stored(2).await;
    assert_eq!(version(&store), now + 1);
}
