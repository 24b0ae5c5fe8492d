//! A FreeSWITCH whose host has lost its power or its network: nobody closes its connections.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::{Duration, Instant};

use fswake_test_support::freeswitch::*;
use fswake_test_support::proxy::Forwarder;
use fswake_test_support::skipped;

use crate::harness::*;

/// The address of a host that can be cut off.
#[derive(Clone, Copy)]
struct Host(Ipv4Addr);

impl Host {
    /// Adds or deletes a route that drops what is sent to it.
    fn route(self, what: &str) -> bool {
        let address = self.0.to_string();
        let route = ["route", what, "blackhole", &address, "table", "local"];
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
    async fn port_to(self, to: SocketAddr) -> Forwarder {
        Forwarder::between(self.0, None, to).await
    }

    /// A port from which connections come to this address as from the host.
    async fn way_to(self, to: SocketAddr) -> Forwarder {
        Forwarder::between(Ipv4Addr::LOCALHOST, Some(self.0), to).await
    }
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
    let host = Host(Ipv4Addr::new(127, 66, 1, 1));
    if !host.can_be_cut_off() {
        return;
    }
    let mut stage = Stage::new().await;
    let events = host.port_to(stage.fs.address()).await;
    stage.set("freeswitch.host", events.address().ip().to_string());
    stage.set("freeswitch.port", i64::from(events.address().port()));
    stage.set("listen.allow", vec!["127.0.0.0/8"]);
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    daemon.asleep(&phone).await;
    let calls = host.way_to(daemon.address).await;
    let held = stage.fs.call(&Call::to(calls.address(), "1001", DOMAIN));
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
