//! A FreeSWITCH whose host has lost its power or its network: nobody closes its connections.

use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use fswake_test_support::freeswitch::*;
use fswake_test_support::skipped;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::harness::*;

/// The address of a host that can be cut off.
#[derive(Clone, Copy)]
struct Host(&'static str);

impl Host {
    /// Adds or deletes a route that drops what is sent to it.
    fn route(self, what: &str) -> bool {
        let Self(address) = self;
        let route = ["route", what, "blackhole", address, "table", "local"];
        let done = Command::new("ip").args(route).output();
        done.is_ok_and(|done| done.status.success())
    }

    /// Whether routes may be changed here.
    fn can_be_cut_off(self) -> bool {
        // Left over by a test that was killed.
        self.route("del");
        let can = self.route("add") && self.route("del");
        if !can {
            skipped::note("routes cannot be changed here (needs root, and Debian's iproute2)");
        }
        can
    }

    fn cut_off(self) -> CutOff {
        assert!(self.route("add"), "a route");
        CutOff(self)
    }

    /// A port of it that leads to this address.
    async fn port_to(self, to: SocketAddr) -> SocketAddr {
        let listener = TcpListener::bind((self.0, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                relay(near, TcpStream::connect(to).await.unwrap());
            }
        });
        address
    }

    /// An address from which connections come to this one as from the host.
    async fn way_to(self, to: SocketAddr) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let from = format!("{}:0", self.0).parse().unwrap();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let socket = TcpSocket::new_v4().unwrap();
                socket.bind(from).unwrap();
                relay(near, socket.connect(to).await.unwrap());
            }
        });
        address
    }
}

fn relay(mut near: TcpStream, mut far: TcpStream) {
    tokio::spawn(async move {
        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
    });
}

/// Until it is dropped.
struct CutOff(Host);

impl Drop for CutOff {
    fn drop(&mut self) {
        self.0.route("del");
    }
}

/// Five seconds for TCP, one more for a connection that comes back at once, and a machine that is busy.
const NOTICED: Duration = Duration::from_secs(12);
/// Fifteen, and the same.
const ENDED: Duration = Duration::from_secs(22);

#[tokio::test]
async fn host_that_is_gone_is_noticed_within_seconds_and_its_calls_end() {
    let host = Host("127.66.1.1");
    if !host.can_be_cut_off() {
        return;
    }
    let mut stage = Stage::new().await;
    let events = host.port_to(stage.fs.address()).await;
    stage.set("freeswitch.host", events.ip().to_string());
    stage.set("freeswitch.port", i64::from(events.port()));
    stage.set("listen.allow", vec!["127.0.0.0/8"]);
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    daemon.asleep(&phone).await;
    let calls = host.way_to(daemon.address).await;
    let held = stage.fs.call(&Call::to(calls, "1001", DOMAIN));
    soon("push", stage.apns.next_push()).await;
    let (_cut_off, since) = (host.cut_off(), Instant::now());
    daemon
        .log
        .wait(&["no connection to FreeSWITCH", "its host does not answer any more"])
        .await;
    daemon.log.wait(&["event=NodeLost "]).await;
    assert!(since.elapsed() < NOTICED, "{:?}", since.elapsed());
    stage.journal("connection-lost", 1).await;
    assert!(since.elapsed() < ENDED, "{:?}", since.elapsed());
    drop(held);
}

/// Its host's kernel answers.
#[tokio::test]
async fn freeswitch_that_hangs_is_not_taken_for_a_dead_host() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    stage.fs.freeze(true);
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert!(daemon.log.with(&["no connection to FreeSWITCH"]).is_empty());
    stage.fs.freeze(false);
}
