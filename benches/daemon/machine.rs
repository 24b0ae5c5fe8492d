//! Whether the machine was quiet during a measurement, and rows of figures.

use std::fs::read_to_string;
use std::time::{Duration, Instant};

use fswake_test_support::process::{Process, load_averages};

/// Clock ticks a second in /proc: 100 on every Linux.
const TICKS: f64 = 100.0;

/// Busy seconds of all CPUs, and seconds taken by the hypervisor.
fn machine_seconds() -> (f64, f64) {
    let text = read_to_string("/proc/stat").unwrap_or_default();
    let line = text.lines().next().unwrap_or_default();
    let fields: Vec<f64> = line.split_whitespace().skip(1).filter_map(|f| f.parse().ok()).collect();
    let at = |n: usize| fields.get(n).copied().unwrap_or(0.0) / TICKS;
    (at(0) + at(1) + at(2) + at(5) + at(6), at(7))
}

/// Measures how much of the machine other processes use during a measurement.
pub struct Watch {
    since: Instant,
    daemon: Process,
    own: f64,
    machine: (f64, f64),
}

impl Watch {
    /// Starts now. The daemon and this process are not counted.
    pub fn start(daemon: Process) -> Self {
        Self {
            since: Instant::now(),
            daemon,
            own: Self::own(daemon),
            machine: machine_seconds(),
        }
    }

    fn own(daemon: Process) -> f64 {
        (Process::own().cpu() + daemon.cpu()).as_secs_f64()
    }

    /// The time since the start.
    pub fn elapsed(&self) -> Duration {
        self.since.elapsed()
    }

    /// A line that shows whether the machine was quiet.
    pub fn report(&self) -> String {
        let seconds = self.since.elapsed().as_secs_f64();
        let own = (Self::own(self.daemon) - self.own) / seconds;
        let (busy, stolen) = machine_seconds();
        let (busy, stolen) = ((busy - self.machine.0) / seconds, (stolen - self.machine.1) / seconds);
        let others = (busy - own).max(0.0);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        format!(
            "machine: {cores} cores; bench and daemon used {own:.2}, other work {others:.2}, stolen {stolen:.2}; \
             load average {}: {}",
            load_averages().join(" "),
            if others + stolen < 0.1 { "quiet" } else { "NOT quiet" }
        )
    }
}

/// Prints one row: the number of samples, and percentiles of their times.
pub fn row(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let n = times.len();
    let at = |part: usize| {
        let time = times.get((n * part).div_ceil(1000).saturating_sub(1)).copied();
        time.unwrap_or_default().as_secs_f64() * 1000.0
    };
    println!(
        "{what:<44} n {n:>5}   p50 {:>7.3}   p90 {:>7.3}   p99 {:>7.3}   max {:>7.3} ms",
        at(500),
        at(900),
        at(990),
        at(1000)
    );
}
