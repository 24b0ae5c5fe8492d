//! The whole daemon, measured from outside: `cargo bench --bench daemon -- [latency|scrape|memory|registers|cpu|all]
//! [--short]`.
//!
//! The fswake binary runs in its own process. The stand-ins for FreeSWITCH and APNs run in the bench's process and
//! share the machine with it, as FreeSWITCH does on a small site. All traffic is on the loopback interface.
//!
//! | part | claim |
//! |---|---|
//! | `latency` | 1,000 held calls: REGISTER event written to `originate` read, 99 % under 2 ms; call to push, 99 % under 5 ms |
//! | `scrape` | 1,000 held calls, 100,000 journal rows: /metrics and a page of /v1/wakes under 50 ms; `latency` with and without them |
//! | `memory` | 10,000 held calls: under 20 KiB of resident memory each |
//! | `registers` | 5,000 REGISTERs/s for 60 s with tokens: none lost, memory flat |
//! | `cpu` | 1,000 held calls: under 0.1 core |
//!
//! `--short` makes a short trial run. FSWAKE_BENCH_CALLS changes the number of calls of `memory`.

mod cpu;
mod latency;
mod machine;
mod memory;
mod phones;
mod registers;
mod scrape;
mod stage;

/// The command line.
struct BenchOptions {
    part: String,
    short: bool,
}

impl BenchOptions {
    fn of_process() -> Self {
        let mut wanted = Self {
            part: "all".into(),
            short: false,
        };
        for argument in std::env::args().skip(1) {
            match argument.as_str() {
                "--short" => wanted.short = true,
                // Cargo itself adds this.
                "--bench" => {}
                part @ ("latency" | "scrape" | "memory" | "registers" | "cpu" | "all") => {
                    part.clone_into(&mut wanted.part);
                }
                other => panic!("{other}: not one of latency, scrape, memory, registers, cpu, all, --short"),
            }
        }
        wanted
    }

    fn wants(&self, part: &str) -> bool {
        self.part == part || self.part == "all"
    }
}

#[tokio::main]
async fn main() {
    let wanted = BenchOptions::of_process();
    // Both ends of ten thousand connections are in this process. The daemon raises its own limit.
    rlimit::increase_nofile_limit(u64::MAX).expect("a limit to raise");
    if wanted.wants("latency") {
        latency::run(wanted.short).await;
    }
    if wanted.wants("scrape") {
        scrape::run(wanted.short).await;
    }
    if wanted.wants("cpu") {
        cpu::run(wanted.short).await;
    }
    if wanted.wants("memory") {
        memory::run(wanted.short).await;
    }
    if wanted.wants("registers") {
        registers::run(wanted.short).await;
    }
}
