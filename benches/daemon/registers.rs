//! 5,000 REGISTERs a second, each with a new token: all are stored, and memory stays flat.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::machine::Watch;
use crate::phones::{pace, token};
use crate::stage::Stage;

const PER_SECOND: usize = 5_000;

pub async fn run(short: bool) {
    let (users, seconds) = if short { (10_000, 10) } else { (50_000, 60) };
    println!("{PER_SECOND} REGISTERs/s for {seconds} s, {users} users, a new token with each REGISTER");
    let stage = Stage::start().await;
    let daemon = stage.process();
    let count = PER_SECOND * seconds;
    let (watch, cpu) = (Watch::start(daemon), daemon.cpu());
    let sampler = tokio::spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_secs(5));
        let started = Instant::now();
        loop {
            tick.tick().await;
            println!(
                "{:>5.0} s: {:>7} KiB resident",
                started.elapsed().as_secs_f64(),
                daemon.resident()
            );
        }
    });
    let mut last = None;
    pace(count, PER_SECOND, |n| {
        last = Some(stage.register(n % users, n / users));
    })
    .await;
    let took = watch.elapsed();
    let last = last.expect("at least one event");
    println!("sent in {:.1} s: {:.0} a second", took.as_secs_f64(), rate(count, took));
    let newest = |user: usize| token(user, (count - 1 - user) / users);
    let path = stage.dir.path().join("fswake.db");
    let deadline = Instant::now() + Duration::from_secs(60);
    let (stored, missing) = loop {
        let stored = devices(&path);
        let missing = (0..users)
            .filter(|user| stored.get(&user.to_string()) != Some(&newest(*user)))
            .count();
        if missing == 0 || Instant::now() > deadline {
            break (stored, missing);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    let until_stored = watch.elapsed().saturating_sub(took);
    let used = daemon.cpu().saturating_sub(cpu).as_secs_f64() / watch.elapsed().as_secs_f64();
    sampler.abort();
    let behind = last.written_at().map_or(Duration::MAX, |at| at - last.fired_at);
    println!(
        "last event waited {:.1} ms in the stand-in; all in the store {:.1} s after it",
        behind.as_secs_f64() * 1e3,
        until_stored.as_secs_f64()
    );
    println!(
        "{} users in the store, newest token missing: {missing}; rows: {}",
        stored.len(),
        rows(&path)
    );
    println!("daemon: {used:.2} core, {} KiB at most", daemon.most_resident());
    println!("{}\n", watch.report());
}

#[allow(clippy::cast_precision_loss)]
fn rate(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

fn open(path: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).expect("the store")
}

fn rows(path: &Path) -> i64 {
    let count = open(path).query_row("SELECT count(*) FROM devices", (), |row| row.get(0));
    count.expect("a count")
}

/// Each user's token; only one if a user has several.
fn devices(path: &Path) -> HashMap<String, String> {
    let db = open(path);
    let mut all = db
        .prepare("SELECT aor_user, token FROM devices ORDER BY token")
        .expect("the table");
    let rows = all.query_map((), |row| Ok((row.get(0)?, row.get(1)?))).expect("rows");
    rows.collect::<Result<_, _>>().expect("rows")
}
