//! Stopping, and notifications to systemd.

use std::ffi::OsStr;
use std::time::{Duration, Instant};

use fswake_test_support::freeswitch::*;
use tokio::net::{UdpSocket, UnixDatagram};

use crate::harness::*;
use crate::outcomes::result_of;

#[tokio::test]
async fn stopping_daemon_releases_new_calls_at_once_and_finishes_held_ones() {
    let stage = Stage::new().await;
    let mut daemon = stage.start().await;
    let phone = stage.iphone("1001");
    phone.set_behaviour(Behaviour::Rings(Duration::ZERO, Some(Duration::ZERO)));
    daemon.asleep(&phone).await;
    let held = stage.call(&daemon, "1001");
    stage.push().await;
    daemon.signal("TERM");
    daemon.log.wait(&["stopping: new calls go on without fswake"]).await;
    let late = stage.call(&daemon, "1001");
    assert_eq!(result_of(&late).await, "draining");
    assert!(stage.apns.pushes_so_far().await.is_empty());
    phone.wake();
    held.wait_bridged().await;
    assert_eq!(daemon.exit_code().await, Some(0));
    assert_eq!(
        (held.outcomes().len(), held.variable("fswake_result").as_deref()),
        (1, Some("connected"))
    );
}

#[tokio::test]
async fn calls_still_held_at_the_end_of_the_drain_go_back() {
    let mut stage = Stage::new().await;
    stage.set("run.drain-timeout", "500ms");
    let mut daemon = stage.start().await;
    let (gone, ringing) = (stage.iphone("1001"), stage.iphone("1002"));
    daemon.asleep(&gone).await;
    daemon.asleep(&ringing).await;
    let held = [stage.call(&daemon, "1001"), stage.call(&daemon, "1002")];
    stage.push().await;
    stage.push().await;
    ringing.wake();
    daemon.log.wait(&["event=LegRinging "]).await;
    daemon.signal("TERM");
    for held in held {
        assert_eq!(result_of(&held).await, "draining");
    }
    assert!(!ringing.cancelled().await.contains("elsewhere"));
    assert_eq!(daemon.exit_code().await, Some(0));
    assert_eq!(daemon.log.count(&["call over", "outcome=\"draining\""]), 2);
}

/// A call is held, and may be for an hour when the daemon is told to stop.
async fn held_for_an_hour() -> (Stage, Daemon, Phone, Held) {
    let mut stage = Stage::new().await;
    stage.set("run.drain-timeout", "1h");
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    phone.set_behaviour(Behaviour::Rings(Duration::ZERO, Some(Duration::ZERO)));
    daemon.asleep(&phone).await;
    let held = stage.call(&daemon, "1001");
    stage.push().await;
    (stage, daemon, phone, held)
}

#[tokio::test]
async fn second_signal_ends_the_drain() {
    let (_stage, mut daemon, _phone, held) = held_for_an_hour().await;
    daemon.stop_at_once().await;
    assert_eq!(result_of(&held).await, "draining");
    assert_eq!(daemon.exit_code().await, Some(0));
}

/// As when `systemctl kill` signals the daemon and its anchor, which passes it on.
#[tokio::test]
async fn signal_that_comes_twice_at_once_is_one() {
    let (_stage, mut daemon, phone, held) = held_for_an_hour().await;
    // Of two equal signals at once the kernel keeps one.
    daemon.signal("TERM");
    daemon.signal("INT");
    daemon.log.wait(&["stopping: new calls go on without fswake"]).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    phone.wake();
    held.wait_bridged().await;
    assert_eq!(daemon.exit_code().await, Some(0));
}

#[tokio::test]
async fn idle_daemon_stops_at_once() {
    let mut stage = Stage::new().await;
    stage.set("run.drain-timeout", "1h");
    for signal in ["TERM", "INT"] {
        let mut daemon = stage.start().await;
        daemon.signal(signal);
        assert_eq!(daemon.exit_code().await, Some(0));
        daemon.log.wait(&["stopped"]).await;
    }
}

/// A stop must not wait for anything that a reload waits for, such as a disk that hangs.
#[tokio::test]
async fn daemon_stops_during_a_reload() {
    let mut stage = Stage::with_android().await;
    let path = stage.dir.path().join("notify");
    let systemd = UnixDatagram::bind(&path).unwrap();
    let mut daemon = stage
        .start_with(|command| {
            command.env("NOTIFY_SOCKET", &path);
        })
        .await;
    assert_eq!(notification(&systemd).await, "READY=1");
    // For each app a service account is read and a connection made, which takes a while.
    let app = stage.take_app();
    for n in 0..3_000 {
        let mut app = app.clone();
        app.as_table_mut()
            .unwrap()
            .insert("name".into(), format!("a{n}").into());
        app.as_table_mut()
            .unwrap()
            .insert("app-ids".into(), vec![format!("a{n}")].into());
        stage.put_app(app);
    }
    stage.write();
    daemon.signal("HUP");
    assert!(notification(&systemd).await.starts_with("RELOADING=1"));
    let asked = Instant::now();
    daemon.signal("TERM");
    assert_eq!(
        notification(&systemd).await,
        "STOPPING=1",
        "the stop waited for the reload"
    );
    assert_eq!(daemon.exit_code().await, Some(0));
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
}

/// If the name server does not answer, a lookup in the C library blocks for ten seconds and cannot be cancelled. The
/// test needs a port below 1024 and a mount namespace, which only root or a container has.
#[tokio::test]
async fn daemon_stops_while_dns_does_not_answer() {
    let Ok(dns) = UdpSocket::bind("127.0.0.153:53").await else {
        fswake_test_support::skipped::note("port 53 cannot be bound here (needs root)");
        return;
    };
    let mut stage = Stage::new().await;
    stage.set_app("base-url", "https://push.example.org");
    stage.set("run.drain-timeout", "0s");
    let resolver = stage.dir.path().join("resolv.conf");
    std::fs::write(&resolver, "nameserver 127.0.0.153\n").unwrap();
    let script = "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"";
    let shell = ["unshare", "-rm", "sh", "-c", script].map(OsStr::new);
    let mut daemon = stage.start_by(&[&shell[..], &[resolver.as_os_str()]].concat()).await;
    daemon.log.wait(&["connected to FreeSWITCH"]).await;
    let phone = stage.iphone("1001");
    daemon.asleep(&phone).await;
    let held = stage.call(&daemon, "1001");
    stage.journal("push-sent", 1).await;
    // A call's push would end with its call, so this one belongs to no call.
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let asked = client
        .post(url(&daemon, "/v1/push").await)
        .json(&serde_json::json!({ "aor": "1001@fs.test", "type": "voip" }))
        .send();
    let asked = tokio::spawn(asked);
    stage.journal("notification-asked", 1).await;
    // The name server gets the query and does not answer.
    soon("question to the name server", dns.recv(&mut [0; 512]))
        .await
        .unwrap();
    let stop = Instant::now();
    daemon.signal("TERM");
    assert_eq!(result_of(&held).await, "draining");
    assert_eq!(daemon.exit_code().await, Some(0));
    assert!(stop.elapsed() < Duration::from_secs(6), "{:?}", stop.elapsed());
    assert_eq!(
        daemon.log.count(&["some connections did not end in time"]),
        1,
        "the lookup had ended"
    );
    asked.abort();
}

#[tokio::test]
async fn systemd_is_notified_of_ready_watchdog_and_stopping() {
    let stage = Stage::new().await;
    let path = stage.dir.path().join("notify");
    let systemd = UnixDatagram::bind(&path).unwrap();
    let mut daemon = stage
        .start_with(|command| {
            command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "1500000");
        })
        .await;
    // The loop may start before everything else is ready.
    let (mut ready, mut beats) = (0, 0);
    while ready == 0 || beats < 3 {
        match notification(&systemd).await.as_str() {
            "READY=1" => ready += 1,
            "WATCHDOG=1" => beats += 1,
            other => panic!("{other}"),
        }
    }
    assert_eq!(ready, 1);
    daemon.signal("TERM");
    while notification(&systemd).await != "STOPPING=1" {}
    assert_eq!(daemon.exit_code().await, Some(0));
}

pub async fn notification(systemd: &UnixDatagram) -> String {
    let mut buffer = [0; 256];
    let len = soon("word to systemd", systemd.recv(&mut buffer)).await.unwrap();
    String::from_utf8_lossy(&buffer[..len]).trim().to_owned()
}
