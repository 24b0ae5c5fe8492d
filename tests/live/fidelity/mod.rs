//! A call through fswake is the call that FreeSWITCH's own `bridge` makes: each row is one point of that, played three times
//! with the same phones on the real FreeSWITCH, and what is seen has to be the same ([`departures`] lists what is not, and why).
//!
//! The phone that is called sleeps in fswake's two ways, and is awake in the plain one, which could not reach it otherwise.
//!
//! One row: `cargo test --test live -- fidelity::NAME`; all: `cargo test --test live -- fidelity::`. The table is printed at the
//! end, and written to the file that `$FSWAKE_FIDELITY_TABLE` names.

mod cast;
mod departures;
mod look;
mod play;
mod row;
mod rows;
mod table;

use std::sync::{Arc, Mutex, PoisonError};

use fswake_test_support::realfs::{Plan, RealFs};
use fswake_test_support::site::Settings;
use futures_util::future::join_all;
use libtest_mimic::{Failed, Trial};
use tokio::sync::OnceCell;

use self::row::Row;
use self::table::Outcome;
use crate::Lab;

/// The FreeSWITCH of these rows, and what they have shown.
#[derive(Default)]
pub struct Fidelity {
    fs: OnceCell<Arc<RealFs>>,
    outcomes: Mutex<Vec<Outcome>>,
}

impl Fidelity {
    async fn fs(&self, lab: &Lab) -> Arc<RealFs> {
        let start = || async {
            let plans: Vec<Plan> = rows::all().into_iter().map(|row| row.plan).collect();
            Arc::new(RealFs::start_vanilla(&lab.prefix, &plans).await)
        };
        self.fs.get_or_init(start).await.clone()
    }

    /// Prints the table, and ends FreeSWITCH.
    pub fn finish(&self) {
        let mut outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        if !outcomes.is_empty() {
            let table = table::markdown(&mut outcomes);
            println!("\n{table}");
            if let Some(file) = std::env::var_os("FSWAKE_FIDELITY_TABLE") {
                std::fs::write(file, table).expect("the table's file");
            }
        }
        if let Some(fs) = self.fs.get() {
            fs.stop();
        }
    }
}

/// A trial for each row.
pub fn trials(lab: &Arc<Lab>) -> Vec<Trial> {
    let rows = rows::all();
    let all = rows.into_iter().enumerate();
    all.map(|(number, row)| {
        let lab = lab.clone();
        let name = format!("fidelity::{}", row.name);
        Trial::test(name, move || lab.runtime.block_on(run(&lab, &row, number)))
    })
    .collect()
}

async fn run(lab: &Lab, row: &Row, number: usize) -> Result<(), Failed> {
    let fs = lab.fidelity.fs(lab).await;
    let mut settings = Settings::default();
    for (key, value) in &row.wake {
        settings = settings.wake(key, value);
    }
    let ways = row.ways.iter();
    let played = async {
        let site = crate::site(fs.clone(), &settings).await;
        let all = join_all(ways.map(|way| play::play(&site, row, number, *way))).await;
        row.ways.iter().copied().zip(all).collect::<Vec<_>>()
    };
    let played = futures_util::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(played)).await;
    let left =
        futures_util::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(fs.becomes_silent(crate::QUIET))).await;
    let seen = played.map_err(|panic| {
        eprintln!("--- FreeSWITCH's log, {}\n{}", row.name, fs.log());
        Failed::from(crate::text(&*panic))
    })?;
    let outcome = Outcome::new(row, seen);
    let mut faults = outcome.faults().to_vec();
    lab.fidelity
        .outcomes
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(outcome);
    if let Err(panic) = left {
        faults.push(crate::text(&*panic));
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(Failed::from(faults.join("\n")))
    }
}
