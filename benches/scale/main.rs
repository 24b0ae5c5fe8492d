//! How far one fswake goes: `cargo bench --bench scale -- [file|postgresql|register|writes|calls|all] [--short]`.
//!
//! The fswake binary runs in its own process, next to the stand-ins for FreeSWITCH and APNs and Debian's PostgreSQL.
//! All of them share the machine. docs/SCALE.md has the figures, and what follows from them.
//!
//! | part | target |
//! |---|---|
//! | `file` | 1,000,000 devices in a file: ready in 10 s; under 600 bytes of memory each |
//! | `postgresql` | 1,000,000 devices in PostgreSQL, and no file: the same |
//! | `register` | a REGISTER that concerns nobody costs the same with 1,000,000 devices as with none |
//! | `writes` | 5,000 REGISTERs/s for 60 s, each with a new token: all of them are in PostgreSQL |
//! | `calls` | two fswakes and two FreeSWITCHes hold 10,000 calls each |
//!
//! `--short` makes a short trial run. `FSWAKE_BENCH_DEVICES`, `FSWAKE_BENCH_CALLS` and `FSWAKE_BENCH_RATE` (REGISTERs a
//! second) change the sizes. `FSWAKE_BENCH_DAEMON` names another fswake to measure.

#[path = "../daemon/machine.rs"]
#[allow(dead_code, reason = "the other bench needs more of it")]
mod machine;
#[path = "../daemon/phones.rs"]
mod phones;

mod calls;
mod figures;
mod freeswitch;
mod people;
mod register;
mod running;
mod start;
mod stores;
mod writes;

use self::figures::Figures;

/// How large everything is.
#[derive(Clone, Copy)]
struct Sizes {
    /// Devices of `file`, `postgresql` and `register`.
    devices: usize,
    /// Calls of each FreeSWITCH.
    calls: usize,
    /// REGISTERs a second of `writes`.
    rate: usize,
    /// How long it goes on, in seconds.
    seconds: usize,
}

/// The command line.
struct BenchOptions {
    part: String,
    sizes: Sizes,
}

const PARTS: [&str; 6] = ["file", "postgresql", "register", "writes", "calls", "all"];

impl BenchOptions {
    fn of_process() -> Self {
        let (mut part, mut short) = ("all".to_owned(), false);
        for argument in std::env::args().skip(1) {
            match argument.as_str() {
                "--short" => short = true,
                // Cargo itself adds this.
                "--bench" => {}
                one if PARTS.contains(&one) => one.clone_into(&mut part),
                other => panic!("{other}: not one of {}, --short", PARTS.join(", ")),
            }
        }
        let size = |name: &str, long: usize, trial: usize| match std::env::var(name) {
            Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}: a number")),
            Err(_) if short => trial,
            Err(_) => long,
        };
        Self {
            part,
            sizes: Sizes {
                devices: size("FSWAKE_BENCH_DEVICES", 1_000_000, 10_000),
                calls: size("FSWAKE_BENCH_CALLS", 10_000, 500),
                rate: size("FSWAKE_BENCH_RATE", 5_000, 1_000),
                seconds: if short { 5 } else { 60 },
            },
        }
    }

    fn wants(&self, part: &str) -> bool {
        self.part == part || self.part == "all"
    }
}

#[tokio::main]
async fn main() {
    // Both ends of thousands of connections are on this machine. The daemon raises its own limit.
    rlimit::increase_nofile_limit(u64::MAX).expect("a limit to raise");
    if let Ok(first) = std::env::var(freeswitch::PROCESS) {
        return freeswitch::run(first.parse().expect("a user's number")).await;
    }
    let wanted = BenchOptions::of_process();
    let mut figures = Figures::default();
    if wanted.wants("file") {
        start::from_a_file(wanted.sizes.devices, &mut figures).await;
    }
    if wanted.wants("postgresql") {
        start::from_postgresql(wanted.sizes.devices, &mut figures).await;
    }
    if wanted.wants("register") {
        register::run(wanted.sizes.devices, &mut figures).await;
    }
    if wanted.wants("writes") {
        writes::run(wanted.sizes.rate, wanted.sizes.seconds, &mut figures).await;
    }
    if wanted.wants("calls") {
        calls::run(wanted.sizes.calls, &mut figures).await;
    }
    figures.print();
}
