//! From the start to the first call that could be woken, and the memory of devices that sleep.

use std::path::Path;
use std::time::{Duration, Instant};

use fswake_test_support::apns::Apns;
use fswake_test_support::freeswitch::{Config, FakeFreeSwitch};
use fswake_test_support::postgres::Server;
use fswake_test_support::process::Process;

use crate::figures::Figures;
use crate::machine::Watch;
use crate::people::register;
use crate::phones::pace;
use crate::running::{Running, Site};
use crate::stores::{fill_database, fill_file};

const MOST_SECONDS: f64 = 10.0;
const MOST_BYTES: f64 = 600.0;
/// Memory does not change much after this.
const SETTLES: Duration = Duration::from_secs(3);
/// Limit for a file to be filled.
const PATIENCE: Duration = Duration::from_secs(300);

pub async fn from_a_file(devices: usize, figures: &mut Figures) {
    println!("start with {devices} devices in a file");
    let (fs, apns) = tokio::join!(FakeFreeSwitch::start(Config::default()), Apns::start());
    let ports = [fs.address().port()];
    let without = without_devices(&ports, &apns).await;
    let site = Site::new(&ports, &apns.app());
    fill_file(&site.store(), devices);
    let size = std::fs::metadata(site.store()).map_or(0, |about| about.len());
    figures.note("size of the file", format!("{} MiB", size >> 20));
    let daemon = measure("a file", &site, without, devices, figures).await;
    registered(&daemon, &fs, devices, figures).await;
    daemon.stop().await;
}

pub async fn from_postgresql(devices: usize, figures: &mut Figures) {
    println!("start with {devices} devices in PostgreSQL");
    let Some(server) = Server::start() else {
        figures.note("start from PostgreSQL", "not measured: no server is installed");
        return;
    };
    let (fs, apns) = tokio::join!(FakeFreeSwitch::start(Config::default()), Apns::start());
    let ports = [fs.address().port()];
    let without = without_devices(&ports, &apns).await;
    let began = Instant::now();
    let size = fill_database(&server, devices).await;
    println!("PostgreSQL filled in {:.1} s", began.elapsed().as_secs_f64());
    figures.note("size of the table in PostgreSQL", format!("{} MiB", size >> 20));
    let site = Site::new(&ports, &apns.app()).sharing(&server, "one");
    let daemon = measure("PostgreSQL and no file", &site, without, devices, figures).await;
    let began = Instant::now();
    let is_filled = || rows(&site.store()) >= devices;
    while !is_filled() && began.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    figures.exactly(
        "devices in its file, which is filled afterwards",
        rows(&site.store()),
        devices,
    );
    let filled = (began.elapsed() + SETTLES).as_secs_f64();
    figures.note("the file is full after another", format!("{filled:.1} s"));
    let most = daemon.process().most_resident() >> 10;
    figures.note("the daemon's memory at most, until then", format!("{most} MiB"));
    daemon.stop().await;
    let daemon = measure("PostgreSQL and its file", &site, without, devices, figures).await;
    daemon.stop().await;
}

/// Memory of a daemon without devices, in KiB.
async fn without_devices(event_sockets: &[u16], apns: &Apns) -> u64 {
    let empty = Site::new(event_sockets, &apns.app()).start().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let without = empty.process().resident();
    println!(
        "without devices: ready in {:.2} s, {without} KiB",
        empty.took.as_secs_f64()
    );
    empty.stop().await;
    without
}

/// The devices in a file.
fn rows(path: &Path) -> usize {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let file = rusqlite::Connection::open_with_flags(path, flags).expect("the file");
    let count = file.query_row("SELECT count(*) FROM devices", (), |row| row.get(0));
    usize::try_from(count.unwrap_or(0_i64)).expect("a count")
}

/// What a device needs that is registered: its phone is awake, or FreeSWITCH thinks so.
async fn registered(daemon: &Running, fs: &FakeFreeSwitch, devices: usize, figures: &mut Figures) {
    let (process, count) = (daemon.process(), devices.min(100_000));
    let before = process.resident();
    pace(count, 4_000, |n| {
        register(fs, n);
    })
    .await;
    #[allow(clippy::cast_precision_loss)]
    let all = daemon.until("fswake_registrations_total", count as f64).await;
    assert!(all, "REGISTERs are missing");
    tokio::time::sleep(SETTLES).await;
    #[allow(clippy::cast_precision_loss)]
    let each = process.resident().saturating_sub(before) as f64 * 1024.0 / count as f64;
    figures.note(
        format!("{count} of them register: memory of each, on top"),
        format!("{each:.0} bytes"),
    );
}

async fn measure(from: &str, site: &Site, without: u64, devices: usize, figures: &mut Figures) -> Running {
    let watch = Watch::start(Process::own());
    let daemon = site.start().await;
    let cpu = daemon.process().cpu().as_secs_f64();
    println!("{}", watch.report());
    known(&daemon, devices).await;
    // What the start needed is given back, or is not.
    tokio::time::sleep(SETTLES).await;
    let process = daemon.process();
    let (now, most) = (process.resident(), process.most_resident());
    #[allow(clippy::cast_precision_loss)]
    let each = |all: u64| all.saturating_sub(without) as f64 * 1024.0 / devices as f64;
    let of = format!("{devices} devices from {from}");
    figures.below(
        format!("{of}: start to ready"),
        daemon.took.as_secs_f64(),
        MOST_SECONDS,
        "s",
    );
    figures.note(
        format!("{of}: processor time of fswake until then"),
        format!("{cpu:.2} s"),
    );
    figures.below(format!("{of}: memory of each"), each(now), MOST_BYTES, "bytes");
    figures.note(
        format!("{of}: all of the daemon, and at most"),
        format!("{} MiB, {} MiB", now >> 10, most >> 10),
    );
    daemon
}

async fn known(daemon: &Running, devices: usize) {
    #[allow(clippy::cast_precision_loss)]
    let all = daemon.until("fswake_devices", devices as f64).await;
    assert!(all, "only {} devices are known", daemon.metric("fswake_devices").await);
}
