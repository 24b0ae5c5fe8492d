//! `systemctl restart`: the test does what systemd does. It keeps sockets, follows the main process, and starts the
//! next process when the main one has ended.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;
use std::time::Duration;

use fswake_test_support::freeswitch::*;
use fswake_test_support::process::Process;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use tokio::process::Command;

use super::{CALLS, HANDOVERS, Phones, Successors, every_call_is_woken, send, without_limits};
use crate::harness::*;

/// A service manager.
struct Manager {
    socket: UnixDatagram,
    /// The sockets that it keeps, by name.
    kept: Vec<(String, OwnedFd)>,
    /// The main process, if the service has named one.
    main: Option<u32>,
    words: Vec<String>,
    /// It runs `--anchor`, and follows no other process than the one that it has started.
    is_anchored: bool,
    /// What an anchor has started: it is nobody's child if a test fails.
    daemons: Successors,
}

impl Manager {
    /// As systemd 252, which follows no other process while it stops a service, with `--anchor`.
    fn anchored(stage: &Stage) -> Self {
        let mut manager = Self::new(stage);
        manager.is_anchored = true;
        manager
    }

    fn new(stage: &Stage) -> Self {
        let socket = UnixDatagram::bind(stage.dir.path().join("notify")).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self {
            socket,
            kept: Vec::new(),
            main: None,
            words: Vec::new(),
            is_anchored: false,
            daemons: Successors::default(),
        }
    }

    /// Reads what the service has said so far.
    fn read(&mut self) {
        let mut text = [0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        loop {
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let mut into = [IoSliceMut::new(&mut text)];
            let Ok(received) = recvmsg(self.socket.as_fd(), &mut into, &mut ancillary, RecvFlags::CMSG_CLOEXEC) else {
                return;
            };
            let text = String::from_utf8_lossy(&text[..received.bytes]).into_owned();
            let name = text
                .lines()
                .find_map(|line| line.strip_prefix("FDNAME="))
                .unwrap_or_default();
            if text.contains("FDSTOREREMOVE=1") {
                self.kept.retain(|(kept, _)| kept != name);
            } else if text.contains("FDSTORE=1") {
                for message in ancillary.drain() {
                    if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                        self.kept.extend(descriptors.map(|fd| (name.to_owned(), fd)));
                    }
                }
            }
            if let Some(pid) = text.lines().find_map(|line| line.strip_prefix("MAINPID=")) {
                assert!(!self.is_anchored, "{text}");
                self.main = Some(pid.parse().unwrap());
            }
            self.words.push(text.trim().to_owned());
        }
    }

    async fn says(&mut self, word: &str) {
        soon(word, async {
            while !self.words.iter().any(|said| said.contains(word)) {
                tokio::time::sleep(Duration::from_millis(1)).await;
                self.read();
            }
        })
        .await;
    }

    /// Waits until the main process has ended, which may be another one by then.
    async fn main_ended(&mut self, first: u32) {
        self.main = None;
        soon("end of the main process", async {
            loop {
                self.read();
                if Process(self.main.unwrap_or(first)).program().is_none() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        self.read();
    }

    /// Starts the service's next process, with the sockets that are kept or a socket unit's.
    async fn start(&mut self, stage: &Stage, units: &[TcpListener]) -> Daemon {
        self.words.clear();
        let mut all: Vec<(String, OwnedFd)> = units
            .iter()
            .map(|unit| ("fswake.socket".to_owned(), unit.try_clone().unwrap().into()))
            .collect();
        all.extend(
            self.kept
                .iter()
                .map(|(name, fd)| (name.clone(), fd.try_clone().unwrap())),
        );
        let notify = stage.dir.path().join("notify");
        let is_anchored = self.is_anchored;
        let daemon = stage
            .start_with(|command| {
                let daemon = std::mem::replace(command, Command::new("sh"));
                let daemon = daemon.as_std();
                let names: Vec<_> = all.iter().map(|(name, _)| name.as_str()).collect();
                // Descriptors 3 and 4, as `sd_listen_fds(3)` has them.
                let script = "exec 3<&0 4<&1 </dev/null >/dev/null; export LISTEN_PID=$$; exec \"$@\"";
                command
                    .args(["-c", script, "sh"])
                    .arg(daemon.get_program())
                    .args(daemon.get_args())
                    .args(is_anchored.then_some("--anchor"));
                command
                    .env_clear()
                    .env("PATH", "/usr/bin:/bin")
                    .stderr(Stdio::piped())
                    .kill_on_drop(true);
                command.env("NOTIFY_SOCKET", &notify);
                if !names.is_empty() {
                    command
                        .env("LISTEN_FDS", names.len().to_string())
                        .env("LISTEN_FDNAMES", names.join(":"));
                }
                let mut descriptors = all.into_iter().map(|(_, fd)| Stdio::from(fd));
                command.stdin(descriptors.next().unwrap_or(Stdio::null()));
                command.stdout(descriptors.next().unwrap_or(Stdio::null()));
            })
            .await;
        if is_anchored {
            self.daemons.0.extend(daemon.process().children());
        }
        daemon
    }
}

/// Restarts the service under calls.
async fn restarts(
    stage: &Stage,
    manager: &mut Manager,
    units: &[TcpListener],
    first: Daemon,
    calls: usize,
    restarts: usize,
) {
    let phones = Phones::asleep(stage, &first, 100).await;
    let address = first.address;
    let mut generations = vec![first];
    let restarting = async {
        for _ in 0..restarts {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let last = generations.last().unwrap();
            let pid = last.pid();
            send("USR1", pid);
            manager.main_ended(pid).await;
            let next = manager.start(stage, units).await;
            manager.says("READY=1").await;
            assert!(manager.kept.is_empty(), "{:?}", manager.kept);
            next.log.wait(&["connected to FreeSWITCH"]).await;
            generations.push(next);
        }
    };
    every_call_is_woken(stage, &phones, calls, address, restarting).await;
    let mut last = generations.pop().unwrap();
    for mut earlier in generations {
        assert_eq!(earlier.exit_code().await, Some(0));
        earlier.log.wait(&["left the service to the next process"]).await;
        // An anchor ends before its daemon.
        earlier.log.wait(&["ending: stopped"]).await;
        assert_eq!(earlier.log.with(&[" ERROR "]), Vec::<String>::new());
    }
    assert_eq!(last.address, address);
    stage.journal("push-sent", i64::try_from(calls).unwrap()).await;
    send("TERM", last.pid());
    assert_eq!(last.exit_code().await, Some(0));
}

#[tokio::test]
async fn thousand_calls_over_ten_restarts_of_the_service_all_have_their_wake() {
    let mut stage = Stage::new().await;
    without_limits(&mut stage);
    let mut manager = Manager::new(&stage);
    let first = manager.start(&stage, &[]).await;
    restarts(&stage, &mut manager, &[], first, CALLS, HANDOVERS).await;
}

#[tokio::test]
async fn thousand_calls_over_ten_restarts_of_the_service_with_an_anchor_all_have_their_wake() {
    let mut stage = Stage::new().await;
    without_limits(&mut stage);
    let mut manager = Manager::anchored(&stage);
    let first = manager.start(&stage, &[]).await;
    restarts(&stage, &mut manager, &[], first, CALLS, HANDOVERS).await;
}

#[tokio::test]
async fn anchor_follows_the_daemon_that_takes_calls_and_ends_with_its_status() {
    let stage = Stage::new().await;
    let mut manager = Manager::anchored(&stage);
    let mut anchor = manager.start(&stage, &[]).await;
    manager.says("READY=1").await;
    manager.words.clear();
    let mut successors = Successors::default();
    send("USR2", anchor.pid());
    let pid = successors.nth(&anchor, 1).await;
    manager.says("READY=1").await;
    // The daemon before it has ended, and is no zombie.
    soon("end of the first daemon", async {
        while anchor.process().children() != [pid] {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    send("HUP", anchor.pid());
    anchor.log.wait(&["configuration reloaded"]).await;
    send("KILL", pid);
    assert_eq!(anchor.exit_code().await, Some(128 + 9));
    // systemd's watchdog ends a daemon that hangs.
    let mut anchor = manager.start(&stage, &[]).await;
    let daemon = anchor.process().children()[0];
    send("STOP", daemon);
    send("ABRT", anchor.pid());
    assert_eq!(anchor.exit_code().await, Some(134));
    super::gone(daemon).await;
    // A killed anchor takes its daemon along, also one that has taken over.
    let mut anchor = manager.start(&stage, &[]).await;
    let first = anchor.process().children()[0];
    send("USR2", anchor.pid());
    anchor.log.wait_times(1, &["the earlier process has ended"]).await;
    super::gone(first).await;
    let second = anchor.process().children()[0];
    manager.daemons.0.push(second);
    tokio::time::sleep(Duration::from_millis(300)).await;
    send("KILL", anchor.pid());
    super::gone(second).await;
    assert_eq!(anchor.exit_code().await, None);
}

#[tokio::test]
async fn anchor_passes_a_wrong_configuration_on_and_needs_a_service_manager() {
    let mut stage = Stage::new().await;
    let manager = Manager::anchored(&stage);
    stage.set("wake.max-wait", "no duration");
    for (notify, code, says) in [
        (Some(stage.dir.path().join("notify")), 78, "no duration"),
        (None, 1, "--anchor is for a service of systemd"),
    ] {
        let mut command = stage.command();
        command
            .arg("--anchor")
            .env_remove("NOTIFY_SOCKET")
            .stderr(Stdio::piped());
        notify.map(|notify| command.env("NOTIFY_SOCKET", notify));
        let output = soon("end", command.output()).await.unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(code) && stderr.contains(says), "{stderr}");
    }
    drop(manager);
}

/// Nobody would accept what connects to a socket that only the anchor has.
#[tokio::test]
async fn anchor_keeps_no_socket_that_the_configuration_has_no_more() {
    let mut stage = Stage::new().await;
    let mut manager = Manager::anchored(&stage);
    let first = manager.start(&stage, &[]).await;
    let before = first.address;
    send("USR1", first.pid());
    manager.main_ended(first.pid()).await;
    let other = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    stage.set("listen.addresses", vec![other.to_string()]);
    let mut second = manager.start(&stage, &[]).await;
    assert_eq!(second.address, other);
    // Then the manager has closed those that it had kept.
    manager.says("READY=1").await;
    second
        .log
        .wait(&["the configuration no longer has", &before.to_string()])
        .await;
    soon("end of the old socket", async {
        while tokio::net::TcpStream::connect(before).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    send("TERM", second.pid());
    assert_eq!(second.exit_code().await, Some(0));
}

#[tokio::test]
async fn sockets_of_a_socket_unit_outlive_restarts() {
    for manager in [Manager::new, Manager::anchored] {
        let mut stage = Stage::new().await;
        without_limits(&mut stage);
        let units = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [calls, http] = [0, 1].map(|n: usize| units[n].local_addr().unwrap().to_string());
        stage.set("listen.addresses", vec![calls]);
        stage.set("http.addresses", vec![http.clone()]);
        let mut manager = manager(&stage);
        let first = manager.start(&stage, &units).await;
        restarts(&stage, &mut manager, &units, first, 200, 2).await;
    }
}

/// A held call outlives the restart, and the sockets are closed when nobody takes over.
#[tokio::test]
async fn process_that_left_finishes_its_call_and_a_failed_start_keeps_nobody_waiting() {
    let mut stage = Stage::new().await;
    let mut manager = Manager::new(&stage);
    let mut daemon = manager.start(&stage, &[]).await;
    let phone = stage.iphone("1001");
    phone.set_behaviour(Behaviour::Rings(Duration::ZERO, Some(Duration::ZERO)));
    daemon.asleep(&phone).await;
    let held = stage.call(&daemon, "1001");
    stage.push().await;
    daemon.signal("USR1");
    manager.main_ended(daemon.pid()).await;
    assert_eq!(manager.kept.len(), 2, "{:?}", manager.words);
    // A call that waits in the queue while the next process fails.
    let waiting = stage.call(&daemon, "1001");
    stage.set("wake.max-wait", "no duration");
    let (code, (), stderr) = {
        let mut command = stage.command();
        let kept: Vec<_> = manager.kept.drain(..).collect();
        let script = "exec 3<&0 4<&1 </dev/null; export LISTEN_PID=$$; exec \"$@\"";
        let daemon = command.as_std();
        let mut shell = Command::new("sh");
        shell
            .args(["-c", script, "sh"])
            .arg(daemon.get_program())
            .args(daemon.get_args());
        shell.env_clear().env("PATH", "/usr/bin:/bin").env("LISTEN_FDS", "2");
        shell.env("LISTEN_FDNAMES", format!("{}:{}", kept[0].0, kept[1].0));
        let mut descriptors = kept.into_iter().map(|(_, fd)| Stdio::from(fd));
        shell
            .stdin(descriptors.next().unwrap())
            .stdout(descriptors.next().unwrap());
        command = shell;
        let output = soon("end", command.stderr(Stdio::piped()).output()).await.unwrap();
        (output.status.code(), (), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(code, Some(78), "{stderr}");
    assert!(matches!(
        soon("resume", waiting.outcome()).await,
        Outcome::Resumed { .. }
    ));
    tokio::time::sleep(Duration::from_secs(3)).await;
    phone.wake();
    held.wait_bridged().await;
    assert_eq!(daemon.exit_code().await, Some(0));
}

/// Without a service manager SIGUSR1 is a stop.
#[tokio::test]
async fn sigusr1_without_a_service_manager_stops() {
    let stage = Stage::new().await;
    let mut daemon = stage.start().await;
    daemon.signal("USR1");
    daemon.log.wait(&["stopping: new calls go on without fswake"]).await;
    assert_eq!(daemon.exit_code().await, Some(0));
}

#[tokio::test]
async fn service_manager_follows_the_new_process() {
    let stage = Stage::new().await;
    let mut manager = Manager::new(&stage);
    let mut daemon = manager.start(&stage, &[]).await;
    manager.says("READY=1").await;
    manager.words.clear();
    let mut successors = Successors::default();
    daemon.signal("USR2");
    let pid = successors.nth(&daemon, 1).await;
    manager.says("READY=1").await;
    assert_eq!(manager.words, [format!("MAINPID={pid}"), "READY=1".to_owned()]);
    assert_eq!(daemon.exit_code().await, Some(0));
    manager.read();
    assert_eq!(manager.words.len(), 2, "{:?}", manager.words);
    send("TERM", pid);
    manager.says("STOPPING=1").await;
}

#[tokio::test]
async fn socket_of_a_unit_that_the_configuration_lacks_keeps_no_call_waiting() {
    let stage = Stage::new().await;
    let unit = TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = unit.local_addr().unwrap();
    let mut manager = Manager::new(&stage);
    let daemon = manager.start(&stage, &[unit.try_clone().unwrap()]).await;
    daemon.log.wait(&["WARN", "the socket unit listens here"]).await;
    let held = stage.fs.call(&Call::to(address, "1001", DOMAIN));
    assert!(matches!(soon("resume", held.outcome()).await, Outcome::Resumed { .. }));
}
