//! Thousands of REGISTERs a second, each with a new token, into PostgreSQL.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use fswake_test_support::apns::Apns;
use fswake_test_support::freeswitch::{Config, FakeFreeSwitch};
use fswake_test_support::postgres::Server;
use tokio_postgres::Client;

use crate::figures::Figures;
use crate::machine::Watch;
use crate::phones::{iphone, pace, token};
use crate::running::Site;
use crate::stores;

/// How often a user registers, in seconds.
const EVERY: usize = 10;
/// Limit for what is sent late.
const PATIENCE: Duration = Duration::from_secs(300);

pub async fn run(per_second: usize, seconds: usize, figures: &mut Figures) {
    let users = per_second * EVERY.min(seconds);
    println!(
        "{per_second} REGISTERs/s for {seconds} s, {users} users, a new token with each REGISTER, into PostgreSQL"
    );
    let Some(server) = Server::start() else {
        figures.note("REGISTERs into PostgreSQL", "not measured: no server is installed");
        return;
    };
    let (fs, apns) = tokio::join!(FakeFreeSwitch::start(Config::default()), Apns::start());
    let site = Site::new(&[fs.address().port()], &apns.app()).sharing(&server, "one");
    let daemon = site.start().await;
    let (client, process, count) = (stores::client(&server).await, daemon.process(), per_second * seconds);
    let (watch, cpu) = (Watch::start(process), process.cpu());
    let sampler = tokio::spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_secs(10));
        let (began, client) = (Instant::now(), client);
        loop {
            tick.tick().await;
            let (written, seconds) = (rows(&client, "changed > 0").await, began.elapsed().as_secs_f64());
            println!("{seconds:>5.0} s: {written} rows in PostgreSQL");
        }
    });
    let mut last = None;
    pace(count, per_second, |n| {
        last = Some(fs.announce(&iphone(n % users, n / users)));
    })
    .await;
    let sent = watch.elapsed();
    let fired = last.expect("at least one REGISTER");
    let client = stores::client(&server).await;
    let newest = |user: usize| token(user, (count - 1 - user) / users);
    let missing = loop {
        let stored = newest_tokens(&client).await;
        let missing = (0..users).filter(|user| stored.get(&user.to_string()) != Some(&newest(*user)));
        let missing = missing.count();
        if missing == 0 || watch.elapsed() > sent + PATIENCE {
            break missing;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    let late = watch.elapsed().saturating_sub(sent);
    sampler.abort();
    let cores = process.cpu().saturating_sub(cpu).as_secs_f64() / watch.elapsed().as_secs_f64();
    println!("{}", watch.report());
    let waited = fired.written_at().map_or(Duration::MAX, |at| at - fired.fired_at);
    #[allow(clippy::cast_precision_loss)]
    let rate = count as f64 / sent.as_secs_f64();
    figures.note("REGISTERs a second, each with a new token", format!("{rate:.0}"));
    figures.exactly("users whose newest token is not in PostgreSQL", missing, 0);
    figures.exactly("rows of tokens in use", rows(&client, "NOT dropped").await, users);
    figures.note("tokens that were replaced", rows(&client, "dropped").await.to_string());
    figures.note(
        "the last one is in PostgreSQL after",
        format!("{:.1} s", late.as_secs_f64()),
    );
    figures.note(
        "it had waited in FreeSWITCH for",
        format!("{:.1} ms", waited.as_secs_f64() * 1e3),
    );
    figures.note(
        "fswake's share meanwhile",
        format!("{cores:.2} core, {} MiB", process.most_resident() >> 10),
    );
    daemon.stop().await;
}

async fn rows(client: &Client, which: &str) -> usize {
    let sql = format!("SELECT count(*) FROM fswake_devices WHERE {which}");
    let row = client.query_one(&sql, &[]).await.expect("a count");
    usize::try_from(row.get::<_, i64>(0)).expect("a count")
}

async fn newest_tokens(client: &Client) -> HashMap<String, String> {
    let sql = "SELECT aor_user, token FROM fswake_devices WHERE NOT dropped ORDER BY token";
    let rows = client.query(sql, &[]).await.expect("the tokens");
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}
