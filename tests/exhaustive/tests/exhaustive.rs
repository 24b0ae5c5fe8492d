//! Runs the check and prints what it saw.

use std::process::ExitCode;

use fswake_exhaustive::beginnings::{self, Beginning};
use fswake_exhaustive::search::all_orders;
use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let args = Arguments {
        // Each uses every core.
        test_threads: Some(1),
        ..Arguments::from_args()
    };
    let groups = [
        ("one_call", beginnings::one_call(), 9),
        ("other_beginnings", beginnings::other_beginnings(), 5),
        ("refusals", beginnings::refusals(), 7),
        ("two_calls", beginnings::two_calls(), 7),
    ];
    let trials = groups.map(|(name, beginnings, bound)| Trial::test(name, move || run(name, &beginnings, bound)));
    libtest_mimic::run(&args, trials.into()).exit_code()
}

fn run(name: &str, beginnings: &[Beginning], bound: usize) -> Result<(), libtest_mimic::Failed> {
    // For longer runs by hand.
    let more: isize = std::env::var("MORE_EVENTS").ok().map_or(Ok(0), |n| n.parse())?;
    let bound = bound.saturating_add_signed(more);
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let seen = all_orders(beginnings, bound, workers).map_err(|found| found.to_string())?;
    println!(
        "{name}: {} beginnings, up to {bound} events: {} states, {} steps ({} of them ended the calls), {:.2e} histories; {} pairs \
         of histories to one state acted alike; new states at each length {:?}; {:.1} s on {workers} cores",
        beginnings.len(),
        seen.states,
        seen.steps,
        seen.ended,
        seen.histories,
        seen.compared,
        seen.levels,
        seen.took.as_secs_f64(),
    );
    Ok(())
}
