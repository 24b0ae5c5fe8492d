//! Strangers on the port for held calls: the daemon lives, stays small, and holds good calls meanwhile.

use std::time::Duration;

use fswake_test_support::freeswitch::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::harness::*;

/// How much more memory strangers may cost, in KiB.
const BOUND: u64 = 96 * 1024;

/// A call that has to wake its phone, within a time.
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
    let before = daemon.resident();
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
        daemon.resident() < before + BOUND,
        "{before} KiB before, {} after",
        daemon.resident()
    );
}

#[tokio::test]
async fn announced_gigabyte_is_neither_reserved_nor_read() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let before = daemon.resident();
    let mut strangers = Vec::new();
    for _ in 0..8 {
        let mut stranger = TcpStream::connect(daemon.address).await.unwrap();
        stranger
            .write_all(b"Content-Type: command/reply\nContent-Length: 1073741824\n\n")
            .await
            .unwrap();
        let megabyte = vec![b'x'; 1 << 20];
        // As much as the daemon takes before it closes, or in a second.
        let pour = async { while stranger.write_all(&megabyte).await.is_ok() {} };
        let _ = tokio::time::timeout(Duration::from_millis(200), pour).await;
        strangers.push(stranger);
    }
    assert!(
        daemon.resident() < before + BOUND,
        "{before} KiB before, {} after",
        daemon.resident()
    );
    good_call(&stage, &daemon, LONG).await;
    for stranger in strangers {
        closed(stranger).await;
    }
}

#[tokio::test]
async fn two_thousand_silent_connections_keep_no_good_call_waiting() {
    let _ = rlimit::increase_nofile_limit(16_384);
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let before = daemon.resident();
    let mut silent = Vec::new();
    for _ in 0..2_000 {
        silent.push(TcpStream::connect(daemon.address).await.unwrap());
    }
    good_call(&stage, &daemon, Duration::from_secs(3)).await;
    assert!(
        daemon.resident() < before + BOUND,
        "{before} KiB before, {} after",
        daemon.resident()
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
    assert!(matches!(read, Ok(0) | Err(_)), "not a byte is said to it: {read:?}");
    daemon.log.wait(&[" WARN ", "127.0.0.2", "not in listen.allow"]).await;
    good_call(&stage, &daemon, LONG).await;
}
