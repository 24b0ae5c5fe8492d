//! Two daemons that share a store, and two FreeSWITCHes: each FreeSWITCH's calls are held by a daemon of its own, and
//! both daemons follow both.

use std::time::Duration;

use fswake_test_support::apns::Apns;
use fswake_test_support::postgres::Server;

use crate::figures::Figures;
use crate::freeswitch::FreeSwitch;
use crate::machine::Watch;
use crate::running::Site;
use crate::stores::fill_database;

pub async fn run(calls: usize, figures: &mut Figures) {
    println!("two daemons and two FreeSWITCHes, {calls} calls each");
    let Some(server) = Server::start() else {
        figures.note("two daemons", "not measured: no server is installed");
        return;
    };
    fill_database(&server, 2 * calls).await;
    let apns = Apns::start().await;
    apns.keep_pushes(false);
    let (mut a, mut b) = (FreeSwitch::start(0).await, FreeSwitch::start(calls).await);
    let ports = [a.port, b.port];
    let sites = ["one", "two"].map(|name| Site::new(&ports, &apns.app()).sharing(&server, name));
    let daemons = [sites[0].start().await, sites[1].start().await];
    tokio::time::sleep(Duration::from_secs(5)).await;
    let idle = daemons.each_ref().map(|daemon| daemon.process().resident());
    let watch = Watch::start(daemons[0].process());
    a.call(daemons[0].calls, calls).await;
    b.call(daemons[1].calls, calls).await;
    let connected = [a.connections().await, b.connections().await];
    println!("called in {:.1} s", watch.elapsed().as_secs_f64());
    println!("{}", watch.report());
    for (n, daemon) in daemons.iter().enumerate() {
        let name = format!("daemon {}", n + 1);
        #[allow(clippy::cast_precision_loss)]
        daemon.until("fswake_held_calls", calls as f64).await;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let held = daemon.metric("fswake_held_calls").await as usize;
        figures.exactly(format!("{name}: calls held"), held, calls);
        figures.exactly(format!("{name}: connections of its FreeSWITCH"), connected[n], calls);
        let memory = daemon.process().resident().saturating_sub(idle[n]);
        #[allow(clippy::cast_precision_loss)]
        let each = memory as f64 / calls as f64;
        figures.note(format!("{name}: memory of a held call"), format!("{each:.1} KiB"));
    }
    let (watch, before) = (
        Watch::start(daemons[0].process()),
        daemons.each_ref().map(|d| d.process().cpu()),
    );
    tokio::time::sleep(Duration::from_secs(10)).await;
    for (n, daemon) in daemons.iter().enumerate() {
        let cores = daemon.process().cpu().saturating_sub(before[n]).as_secs_f64() / watch.elapsed().as_secs_f64();
        figures.note(format!("daemon {}: holding them", n + 1), format!("{cores:.2} core"));
    }
    println!("{}", watch.report());
}
