//! Two stand-ins of APNs in a process of their own. Like Apple's, each connection allows 1,000 streams.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fswake_test_support::apns::Apns;
use fswake_test_support::http2::Fault;

use super::Endpoint;

/// Set in the stand-ins' process.
pub const STAND_INS: &str = "FSWAKE_BENCH_STAND_INS";
/// A token whose pushes take a second at the slow one.
pub const SLOW: &str = "5105105105105105105105105105105105105105105105105105105105105100";
/// How long they take.
pub const TAKES: Duration = Duration::from_secs(1);

/// Runs the two stand-ins until standard input ends, and prints their addresses.
pub async fn run() {
    let (slow, quick) = (Apns::start().await, Apns::start().await);
    slow.faults.token(SLOW, Fault::Delay(TAKES));
    for apns in [&slow, &quick] {
        apns.keep_pushes(false);
        let at = Endpoint::of(apns);
        println!("{}\t{}\t{}", at.base_url, at.ca_file.display(), at.key_file.display());
    }
    std::io::stdout().flush().expect("a pipe");
    let wait = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()));
    let _ = wait.await;
}

/// Both.
pub struct StandIns {
    process: Child,
    pub slow: Endpoint,
    pub quick: Endpoint,
}

impl StandIns {
    pub fn start() -> Self {
        let mut process = Command::new(std::env::current_exe().expect("this program"))
            .env(STAND_INS, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let mut lines = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        let mut endpoint = || {
            let line = lines.next().expect("a line").expect("text");
            let fields: Vec<&str> = line.split('\t').collect();
            Endpoint {
                base_url: fields[0].to_owned(),
                ca_file: fields[1].into(),
                key_file: fields[2].into(),
            }
        };
        Self {
            slow: endpoint(),
            quick: endpoint(),
            process,
        }
    }
}

impl Drop for StandIns {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
