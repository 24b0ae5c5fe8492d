//! Runs the search and prints its counts.

use std::process::ExitCode;

use fswake_exhaustive::alike::Doubt;
use fswake_exhaustive::beginnings::{self, Beginning};
use fswake_exhaustive::search::all_orders;
use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let args = Arguments {
        // Each test uses every core.
        test_threads: Some(1),
        ..Arguments::from_args()
    };
    let groups = [
        ("one_call", beginnings::one_call(), 9, Doubt::SOME),
        ("other_beginnings", beginnings::other_beginnings(), 5, Doubt::SOME),
        ("refusals", beginnings::refusals(), 7, Doubt::SOME),
        ("two_calls", beginnings::two_calls(), 7, Doubt::SOME),
        ("two_calls_refused", beginnings::two_calls_refused(), 5, Doubt::SOME),
        // These check that visiting states only once misses nothing.
        ("one_call_doubted", beginnings::one_call(), 6, Doubt::ALL),
        ("two_calls_doubted", beginnings::two_calls(), 5, Doubt::ALL),
    ];
    let trials =
        groups.map(|(name, beginnings, bound, doubt)| Trial::test(name, move || run(name, &beginnings, bound, doubt)));
    libtest_mimic::run(&args, trials.into()).exit_code()
}

fn run(name: &str, beginnings: &[Beginning], bound: usize, doubt: Doubt) -> Result<(), libtest_mimic::Failed> {
    // For longer runs by hand.
    let more: isize = std::env::var("MORE_EVENTS").ok().map_or(Ok(0), |n| n.parse())?;
    let bound = bound.saturating_add_signed(more).max(2);
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let seen = all_orders(beginnings, bound, workers, doubt).map_err(|found| found.to_string())?;
    println!(
        "{name}: {} beginnings, up to {bound} events: {} states (at each length {:?}), {} steps, {} of them spared; {} ended the calls; {} \
         pairs acted alike; {:.1} s on {workers} cores",
        beginnings.len(),
        seen.states,
        seen.levels,
        seen.steps,
        seen.spared,
        seen.ended,
        seen.compared,
        seen.took.as_secs_f64(),
    );
    Ok(())
}
