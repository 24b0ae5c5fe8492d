//! A process, and the load of the machine, from proc(5).

use std::fs::read_to_string;
use std::time::{Duration, Instant};

/// A process id.
#[derive(Clone, Copy, Debug)]
pub struct Process(pub u32);

impl Process {
    /// The one that asks.
    pub fn own() -> Self {
        Self(std::process::id())
    }

    /// Its program, while it runs. A process that has ended has none, even if nobody has collected it yet.
    pub fn program(self) -> Option<String> {
        let stat = self.stat();
        let (name, state) = stat.split_once('(')?.1.rsplit_once(") ")?;
        (!state.starts_with('Z')).then(|| name.to_owned())
    }

    /// The processes that its main thread has started, and which still run or were not collected.
    pub fn children(self) -> Vec<u32> {
        let pid = self.0;
        let children = read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
    }

    /// Its resident memory in KiB.
    pub fn resident(self) -> u64 {
        self.figure("VmRSS:")
    }

    /// The peak of its resident memory in KiB.
    pub fn most_resident(self) -> u64 {
        self.figure("VmHWM:")
    }

    /// How many threads it has.
    pub fn threads(self) -> u64 {
        self.figure("Threads:")
    }

    /// How often each thread has waited so far, with the thread's id and name.
    pub fn waits(self) -> Vec<(String, u64)> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.0)).expect("its threads");
        let status = tasks.filter_map(|task| read_to_string(task.ok()?.path().join("status")).ok());
        let mut waits: Vec<_> = status
            .map(|status| {
                let field = |name| field(&status, name).expect("a field");
                let count = field("voluntary_ctxt_switches:").parse().expect("a number");
                (format!("{} {}", field("Pid:"), field("Name:")), count)
            })
            .collect();
        waits.sort();
        waits
    }

    /// How many file descriptors it has open.
    pub fn descriptors(self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.0)).map_or(0, Iterator::count)
    }

    /// CPU time used so far, user and system.
    pub fn cpu(self) -> Duration {
        let stat = self.stat();
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

    fn stat(self) -> String {
        read_to_string(format!("/proc/{}/stat", self.0)).unwrap_or_default()
    }

    fn figure(self, name: &str) -> u64 {
        let status = read_to_string(format!("/proc/{}/status", self.0)).unwrap_or_default();
        let number = field(&status, name).and_then(|field| field.split(' ').next());
        number.and_then(|n| n.parse().ok()).unwrap_or_default()
    }
}

/// A field of a `status` file.
fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

/// The machine's load average of the last minute, as text.
pub fn load() -> String {
    load_averages().swap_remove(0)
}

/// The machine's load averages of one, five and fifteen minutes, as text.
pub fn load_averages() -> Vec<String> {
    let load = read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').take(3).map(str::to_owned).collect()
}
