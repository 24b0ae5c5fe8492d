//! A call through fswake behaves as one by FreeSWITCH's own `bridge`. Each row compares one aspect: it is played three
//! times with the same phones on the real FreeSWITCH, and the observations must be equal. [`departures`] lists the
//! exceptions and their reasons.
//!
//! With fswake's two routings the called phone sleeps. For the plain bridge it is awake, because that cannot wake it.
//!
//! Each row is played twice ([`Topology`]): with the phone at the call's FreeSWITCH, and with the phone at another one,
//! which its leg goes through. Both are compared with a plain bridge on one FreeSWITCH.
//!
//! One row: `cargo test --test live -- fidelity::NAME`; all: `cargo test --test live -- fidelity::`; through two
//! FreeSWITCHes: `fidelity_two::`. The table is
//! printed at the end, and written to the file that `$FSWAKE_FIDELITY_TABLE` names.

mod cast;
mod departures;
mod look;
mod play;
mod record;
mod row;
mod rows;
mod stage;
mod table;

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fswake_test_support::realfs::{Routing, Topology};
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use self::row::Row;
use self::stage::{Stage, Stages};
use self::table::Outcome;
use crate::Lab;

/// How many rows are played at the same time.
pub const AT_A_TIME: usize = 4;

/// The sites of these rows, and their results.
#[derive(Default)]
pub struct Fidelity {
    stages: Stages,
    outcomes: Mutex<Vec<Outcome>>,
}

impl Fidelity {
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
        self.stages.stop();
    }
}

/// Trials of the lists themselves, which need no FreeSWITCH.
pub fn trials_of_lists() -> Vec<Trial> {
    vec![
        Trial::test("fidelity::departures_are_documented", || {
            Ok(departures::are_documented()?)
        }),
        Trial::test("fidelity::departures_name_rows_that_are_played", || {
            Ok(departures_name_rows()?)
        }),
    ]
}

/// Fails with a departure that no row could have: the row does not exist, or is not played so.
fn departures_name_rows() -> Result<(), String> {
    let rows = rows::all();
    for (topology, departure) in departures::all() {
        let (name, ways) = (departure.row, departure.routings);
        let Some(row) = rows.iter().find(|row| row.name == name) else {
            return Err(format!("there is no row {name}"));
        };
        let is_played = topology == Topology::One || row.only_one.is_none();
        if !is_played || ways.iter().any(|way| !row.routings.contains(way)) {
            return Err(format!("{name} is not played with {ways:?} ({topology:?})"));
        }
    }
    Ok(())
}

/// A trial for each row, through one FreeSWITCH and through two.
pub fn trials(lab: &Arc<Lab>) -> Vec<Trial> {
    let mut trials = Vec::new();
    let playable = rows::playable();
    for topology in Topology::ALL {
        for (number, row) in playable.clone() {
            let lab = lab.clone();
            let name = name_of(topology, &row);
            let part = Part { row, number, topology };
            trials.push(Trial::test(name, move || lab.runtime.block_on(run(&lab, &part))));
        }
    }
    trials
}

fn name_of(topology: Topology, row: &Row) -> String {
    match topology {
        Topology::One => format!("fidelity::{}", row.name),
        Topology::Two => format!("fidelity_two::{}", row.name),
    }
}

/// A row and where it is played.
struct Part {
    row: Row,
    number: usize,
    topology: Topology,
}

/// How often a row that differs is played. More than once is for busy machines; the table marks rows that needed it.
fn tries() -> usize {
    let asked = std::env::var("FSWAKE_FIDELITY_TRIES").ok();
    asked.and_then(|n| n.parse().ok()).unwrap_or(1).clamp(1, 3)
}

async fn run(lab: &Lab, part: &Part) -> Result<(), Failed> {
    if let Some(reason) = cannot_be_played(lab, part).await {
        let name = name_of(part.topology, &part.row);
        fswake_test_support::skipped::note_all(&name, reason);
        lab.fidelity.keep(Outcome::skipped(&part.row, part.topology));
        return Ok(());
    }
    let rows = rows::all().len();
    let mut outcome = play(lab, part, part.number).await?;
    for again in 1..tries() {
        if outcome.faults().is_empty() {
            break;
        }
        let before = std::mem::replace(&mut outcome, play(lab, part, part.number + again * rows).await?);
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

/// Why a row is left out.
async fn cannot_be_played(lab: &Lab, part: &Part) -> Option<&'static str> {
    if part.topology == Topology::Two && part.row.only_one.is_some() {
        return part.row.only_one;
    }
    if part.row.needs_video && !has_video(lab, part).await {
        return Some("this FreeSWITCH has no video codec");
    }
    None
}

/// Whether FreeSWITCH has a video codec that the phones have.
async fn has_video(lab: &Lab, part: &Part) -> bool {
    let codecs = stage(lab, part).await.site.fs.api("show codec").await;
    ["H264", "H.264", "VP8"].iter().any(|name| codecs.contains(name))
}

async fn stage<'a>(lab: &'a Lab, part: &Part) -> &'a Stage {
    let stages = &lab.fidelity.stages;
    stages
        .get(&lab.prefix, part.topology, part.row.alert_by_push, tries())
        .await
}

async fn play(lab: &Lab, part: &Part, number: usize) -> Result<Outcome, Failed> {
    let (stage, row) = (stage(lab, part).await, &part.row);
    let hop = departures::needs_hop(part.topology, row.name).then_some(Routing::Hop);
    let ways: Vec<Routing> = row.routings.iter().copied().chain(hop).collect();
    let played = join_all(ways.iter().map(|way| play::play(stage, row, number, *way)));
    let played = AssertUnwindSafe(played).catch_unwind().await;
    let left = channels_left(stage, number).await;
    let seen = played.map_err(|panic| {
        for fs in stage.all() {
            eprintln!("--- FreeSWITCH's log, {}\n{}", row.name, fs.log());
        }
        Failed::from(fswake_test_support::trials::text(&*panic))
    })?;
    let seen = ways.into_iter().zip(seen).collect();
    let mut outcome = Outcome::new(row, part.topology, seen);
    outcome.add(left);
    Ok(outcome)
}

/// Waits until a row has no channels. If some remain, ends and prints them.
async fn channels_left(stage: &Stage, number: usize) -> Option<String> {
    let users = [1, 2, 3, 4].map(|way| format!("{way}{number:03}"));
    let deadline = Instant::now() + crate::QUIET;
    loop {
        let channels = stage.channels().await;
        let words = ["name", "cid_num", "dest", "callee_num"];
        let is_ours = |c: &Value| {
            let text = words.map(|word| c[word].as_str().unwrap_or_default()).join(" ");
            let of = |user: &String| (0..8).any(|phone| text.contains(&format!("{user}{phone}")));
            users.iter().any(of)
        };
        let ours: Vec<_> = channels.iter().filter(|(_, channel)| is_ours(channel)).collect();
        if ours.is_empty() {
            return None;
        }
        if Instant::now() > deadline {
            for (fs, channel) in &ours {
                fs.api(&format!("uuid_kill {}", channel["uuid"].as_str().unwrap_or_default()))
                    .await;
            }
            let names: Vec<String> = ours
                .iter()
                .map(|(_, c)| format!("{} ({})", c["name"], c["state"]))
                .collect();
            return Some(format!("channels are left: {}", names.join(", ")));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
