//! Resource usage of a process, from proc(5).

use std::time::{Duration, Instant};

/// A process id.
#[derive(Clone, Copy, Debug)]
pub struct Process(pub u32);

impl Process {
    /// Its resident memory in KiB.
    pub fn resident(self) -> u64 {
        self.status("VmRSS:")
    }

    /// How many threads it has.
    pub fn threads(self) -> u64 {
        self.status("Threads:")
    }

    /// CPU time used so far, user and system.
    pub fn cpu(self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0)).unwrap_or_default();
        // proc(5): utime and stime are the 12th and 13th field after the command's name, in ticks of 10 ms.
        let fields = stat.rsplit(") ").next().unwrap_or_default();
        let ticks = fields.split(' ').skip(11).take(2).filter_map(|f| f.parse::<u64>().ok());
        Duration::from_millis(ticks.sum::<u64>() * 10)
    }

    /// How many cores it uses during this time.
    pub async fn cores(self, during: Duration) -> f64 {
        let (before, since) = (self.cpu(), Instant::now());
        tokio::time::sleep(during).await;
        self.cpu().saturating_sub(before).as_secs_f64() / since.elapsed().as_secs_f64()
    }

    fn status(self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0)).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let number = line.and_then(|rest| rest.split_whitespace().next());
        number.and_then(|n| n.parse().ok()).unwrap_or_default()
    }
}
