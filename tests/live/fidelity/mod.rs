//! A call through fswake behaves as one by FreeSWITCH's own `bridge`. Each row compares one aspect: it is played three
//! times with the same phones on the real FreeSWITCH, and the observations must be equal. [`departures`] lists the
//! exceptions and their reasons.
//!
//! With fswake's two routings the called phone sleeps. For the plain bridge it is awake, because that cannot wake it.
//!
//! One row: `cargo test --test live -- fidelity::NAME`; all: `cargo test --test live -- fidelity::`. The table is
//! printed at the end, and written to the file that `$FSWAKE_FIDELITY_TABLE` names.

mod cast;
mod departures;
mod look;
mod play;
mod record;
mod row;
mod rows;
mod table;

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fswake_test_support::realfs::{Plan, RealFs};
use fswake_test_support::site::{Settings, Site};
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use libtest_mimic::{Failed, Trial};
use tokio::sync::OnceCell;

use self::row::Row;
use self::table::Outcome;
use crate::Lab;

/// How many rows are played at the same time.
pub const AT_A_TIME: usize = 4;

/// The site of these rows, and their results.
#[derive(Default)]
pub struct Fidelity {
    site: OnceCell<Site>,
    by_push: OnceCell<Site>,
    outcomes: Mutex<Vec<Outcome>>,
}

impl Fidelity {
    /// The site with `wake.alert`.
    async fn site(&self, prefix: &Path, alert_by_push: bool) -> &Site {
        let (site, alert) = if alert_by_push {
            (&self.by_push, "push")
        } else {
            (&self.site, "phone")
        };
        let start = || async {
            let plans: Vec<Plan> = rows::all().into_iter().map(|row| row.plan).collect();
            // Each try has users of its own, so that nothing of an earlier try matters.
            let plans = vec![plans; tries()].concat();
            let fs = Arc::new(RealFs::start_vanilla(prefix, &plans).await);
            crate::site(fs, &Settings::default().wake("alert", alert)).await
        };
        site.get_or_init(start).await
    }

    /// Writes the table of the rows so far.
    fn keep(&self, outcome: Outcome) {
        let mut outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        outcomes.push(outcome);
        if let Some(file) = std::env::var_os("FSWAKE_FIDELITY_TABLE") {
            std::fs::write(file, table::markdown(&mut outcomes)).expect("the table's file");
        }
    }

    /// Prints the table, and stops fswake and FreeSWITCH: `exit` runs no drops.
    pub fn finish(&self) {
        {
            let mut outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
            if !outcomes.is_empty() {
                println!("\n{}", table::markdown(&mut outcomes));
            }
        }
        for site in [&self.site, &self.by_push].into_iter().filter_map(OnceCell::get) {
            site.daemon().signal("TERM");
            site.fs.stop();
        }
    }
}

/// A trial for each row.
pub fn trials(lab: &Arc<Lab>) -> Vec<Trial> {
    let rows = rows::all();
    let documented = Trial::test("fidelity::departures_are_documented", || {
        Ok(departures::are_documented()?)
    });
    let all = rows.into_iter().enumerate();
    let rows = all.map(|(number, row)| {
        let lab = lab.clone();
        let name = format!("fidelity::{}", row.name);
        Trial::test(name, move || lab.runtime.block_on(run(&lab, &row, number)))
    });
    rows.chain([documented]).collect()
}

/// How often a row that differs is played. More than once is for busy machines; the table marks rows that needed it.
fn tries() -> usize {
    let asked = std::env::var("FSWAKE_FIDELITY_TRIES").ok();
    asked.and_then(|n| n.parse().ok()).unwrap_or(1).clamp(1, 3)
}

async fn run(lab: &Lab, row: &Row, number: usize) -> Result<(), Failed> {
    if row.needs_video && !has_video(lab, row).await {
        let name = format!("fidelity::{}", row.name);
        fswake_test_support::skipped::note_all(&name, "this FreeSWITCH has no video codec");
        lab.fidelity.keep(Outcome::skipped(row));
        return Ok(());
    }
    let rows = rows::all().len();
    let mut outcome = play(lab, row, number).await?;
    for again in 1..tries() {
        if outcome.faults().is_empty() {
            break;
        }
        let before = std::mem::replace(&mut outcome, play(lab, row, number + again * rows).await?);
        outcome.is_after(&before);
    }
    let faults = outcome.faults().join("\n");
    lab.fidelity.keep(outcome);
    if faults.is_empty() {
        Ok(())
    } else {
        Err(Failed::from(faults))
    }
}

/// Whether FreeSWITCH has a video codec that the phones have.
async fn has_video(lab: &Lab, row: &Row) -> bool {
    let site = lab.fidelity.site(&lab.prefix, row.alert_by_push).await;
    let codecs = site.fs.api("show codec").await;
    ["H264", "H.264", "VP8"].iter().any(|name| codecs.contains(name))
}

async fn play(lab: &Lab, row: &Row, number: usize) -> Result<Outcome, Failed> {
    let site = lab.fidelity.site(&lab.prefix, row.alert_by_push).await;
    let played = join_all(row.routings.iter().map(|way| play::play(site, row, number, *way)));
    let played = AssertUnwindSafe(played).catch_unwind().await;
    let left = channels_left(&site.fs, number).await;
    let seen = played.map_err(|panic| {
        eprintln!("--- FreeSWITCH's log, {}\n{}", row.name, site.fs.log());
        Failed::from(fswake_test_support::trials::text(&*panic))
    })?;
    let mut outcome = Outcome::new(row, row.routings.iter().copied().zip(seen).collect());
    outcome.add(left);
    Ok(outcome)
}

/// Waits until a row has no channels. If some remain, ends and prints them.
async fn channels_left(fs: &RealFs, number: usize) -> Option<String> {
    let users = [1, 2, 3].map(|way| format!("{way}{number:03}"));
    let deadline = Instant::now() + crate::QUIET;
    loop {
        let channels = fs.channels().await;
        let words = ["name", "cid_num", "dest", "callee_num"];
        let is_ours = |c: &&serde_json::Value| {
            let text = words.map(|word| c[word].as_str().unwrap_or_default()).join(" ");
            let of = |user: &String| (0..8).any(|phone| text.contains(&format!("{user}{phone}")));
            users.iter().any(of)
        };
        let ours: Vec<&serde_json::Value> = channels.iter().filter(is_ours).collect();
        if ours.is_empty() {
            return None;
        }
        if Instant::now() > deadline {
            for channel in &ours {
                fs.api(&format!("uuid_kill {}", channel["uuid"].as_str().unwrap_or_default()))
                    .await;
            }
            let names: Vec<String> = ours.iter().map(|c| format!("{} ({})", c["name"], c["state"])).collect();
            return Some(format!("channels are left: {}", names.join(", ")));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
