//! Strangers on the port for held calls, and more calls than there are descriptors for. The daemon survives, its memory
//! stays bounded, and it still holds good calls.

use std::ffi::OsStr;
use std::time::{Duration, Instant};

use fswake_test_support::freeswitch::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::harness::*;

/// How much memory strangers may cost, in KiB.
const BOUND: u64 = 96 * 1024;

/// Makes a call that must wake its phone, within a time limit.
async fn good_call(stage: &Stage, daemon: &Daemon, within: Duration) {
    let phone = stage.iphone("1001");
    phone.set_behaviour(Behaviour::Rings(Duration::ZERO, Some(Duration::ZERO)));
    daemon.asleep(&phone).await;
    let held = stage.call(daemon, "1001");
    stage.push().await;
    phone.wake();
    held.wait_bridged().await;
    assert!(held.started.elapsed() < within, "{:?}", held.started.elapsed());
}

/// Reads until the daemon closes.
async fn closed(mut stranger: TcpStream) {
    soon("end of a stranger's connection", async {
        let mut bytes = [0; 4096];
        while !matches!(stranger.read(&mut bytes).await, Ok(0) | Err(_)) {}
    })
    .await;
}

#[tokio::test]
async fn garbage_is_dropped_and_good_calls_are_held_meanwhile() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let before = daemon.process().resident();
    let binary: Vec<u8> = (0..=255u8).cycle().take(1 << 20).collect();
    let mut strangers = Vec::new();
    for bytes in [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        b"\n\n\n\n\x1b[31mred\n\n".to_vec(),
        b"Content-Type: command/reply\nReply-Text: +OK\n\n".to_vec(),
        b"Content-Type: command/reply\nContent-Length: -5\n\n".to_vec(),
        b"Content-Type: command/reply\nUnique-ID: ${x}\nContent-Length: 3\n\nabc".to_vec(),
        b"Content-Type: command/reply\nReply-".to_vec(),
        binary,
    ] {
        let mut stranger = TcpStream::connect(daemon.address).await.unwrap();
        let _ = stranger.write_all(&bytes).await;
        strangers.push(stranger);
    }
    good_call(&stage, &daemon, LONG).await;
    for stranger in strangers {
        closed(stranger).await;
    }
    good_call(&stage, &daemon, LONG).await;
    assert!(
        daemon.process().resident() < before + BOUND,
        "{before} KiB before, {} after",
        daemon.process().resident()
    );
}

#[tokio::test]
async fn announced_gigabyte_is_neither_allocated_nor_read() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let before = daemon.process().resident();
    let mut strangers = Vec::new();
    for _ in 0..8 {
        let mut stranger = TcpStream::connect(daemon.address).await.unwrap();
        stranger
            .write_all(b"Content-Type: command/reply\nContent-Length: 1073741824\n\n")
            .await
            .unwrap();
        let megabyte = vec![b'x'; 1 << 20];
        // Sends until the daemon closes, for at most a second.
        let pour = async { while stranger.write_all(&megabyte).await.is_ok() {} };
        let _ = tokio::time::timeout(Duration::from_millis(200), pour).await;
        strangers.push(stranger);
    }
    assert!(
        daemon.process().resident() < before + BOUND,
        "{before} KiB before, {} after",
        daemon.process().resident()
    );
    good_call(&stage, &daemon, LONG).await;
    for stranger in strangers {
        closed(stranger).await;
    }
}

#[tokio::test]
async fn two_thousand_silent_connections_do_not_delay_a_call() {
    let _ = rlimit::increase_nofile_limit(16_384);
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let before = daemon.process().resident();
    let mut silent = Vec::new();
    for _ in 0..2_000 {
        silent.push(TcpStream::connect(daemon.address).await.unwrap());
    }
    good_call(&stage, &daemon, Duration::from_secs(3)).await;
    assert!(
        daemon.process().resident() < before + BOUND,
        "{before} KiB before, {} after",
        daemon.process().resident()
    );
    for stranger in silent {
        closed(stranger).await;
    }
}

#[tokio::test]
async fn peer_that_is_not_allowed_is_refused() {
    let mut stage = Stage::new().await;
    stage.set("listen.allow", vec!["127.0.0.1/32"]);
    let daemon = stage.start().await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut stranger = socket.connect(daemon.address).await.unwrap();
    let read = soon("refusal", stranger.read(&mut [0; 64])).await;
    assert!(matches!(read, Ok(0) | Err(_)), "the daemon sent something: {read:?}");
    daemon.log.wait(&[" WARN ", "127.0.0.2", "not in listen.allow"]).await;
    good_call(&stage, &daemon, LONG).await;
}

/// Strangers that connect again and again, and a caller whose channel never has a callee.
#[tokio::test]
async fn strangers_do_not_fill_the_log() {
    let mut stage = Stage::new().await;
    stage.set("listen.allow", vec!["127.0.0.1/32"]);
    let daemon = stage.start().await;
    let from = |host: u8| {
        let socket = TcpSocket::new_v4().unwrap();
        socket
            .bind((std::net::Ipv4Addr::new(127, 0, 0, host), 0).into())
            .unwrap();
        socket.connect(daemon.address)
    };
    for _ in 0..20 {
        let mut nobody = from(1).await.unwrap();
        nobody
            .write_all(b"Content-Type: command/reply\nReply-Text: +OK\n\n".repeat(3).as_slice())
            .await
            .unwrap();
        closed(nobody).await;
    }
    for _ in 0..3 {
        for host in 2..32 {
            closed(from(host).await.unwrap()).await;
        }
    }
    // The log has all lines about the strangers before this one.
    good_call(&stage, &daemon, LONG).await;
    let refused = "outbound connection refused";
    assert_eq!(
        daemon.log.count(&[" WARN ", refused, "peer=127.0.0.1:"]),
        1,
        "logged more or less than once"
    );
    assert_eq!(
        daemon.log.count(&[" WARN ", refused]),
        10,
        "not limited to ten lines a minute"
    );
    assert_eq!(daemon.log.count(&[refused]), 110);
}

/// With 64 open files and 100 calls, the calls that do not fit go on at once, and the held ones are pushed.
#[tokio::test]
async fn calls_without_a_free_descriptor_go_on_at_once() {
    let mut stage = Stage::new().await;
    stage.set("wake.max-wait", "10s");
    stage.set("wake.device-pushes-per-minute", 0);
    stage.set("wake.caller-pushes-per-minute", 0);
    let shell = ["sh", "-c", "ulimit -n 64; exec \"$@\"", "sh"].map(OsStr::new);
    let daemon = stage.start_by(&shell).await;
    daemon.log.wait(&["connected to FreeSWITCH"]).await;
    let phone = stage.iphone("1001");
    daemon.asleep(&phone).await;
    let held: Vec<_> = (0..100).map(|_| stage.call(&daemon, "1001")).collect();
    let is_decided = |held: &Held| !held.outcomes().is_empty();
    let is_held = |held: &Held| held.variable("fswake_result").as_deref() == Some("held");
    let all_are = async {
        while !held.iter().all(|held| is_decided(held) || is_held(held)) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let asked = Instant::now();
    soon("word on every call", all_are).await;
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    let gone_on = held.iter().filter(|held| is_decided(held)).count();
    assert!((50..90).contains(&gone_on), "{gone_on} of 100 go on");
    assert_eq!(daemon.log.count(&["WARN", "LimitNOFILE"]), 1);
    assert!(!stage.apns.pushes_so_far().await.is_empty());
    // There are free descriptors again.
    let mut kept = 0;
    for held in held.iter().filter(|held| !is_decided(held)) {
        held.caller_hangs_up();
        kept += 1;
    }
    let all_are_over = async {
        while daemon.log.count(&["call over"]) < kept {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon("end of all calls", all_are_over).await;
    good_call(&stage, &daemon, LONG).await;
}
