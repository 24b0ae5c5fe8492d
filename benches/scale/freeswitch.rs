//! A stand-in for FreeSWITCH in a process of its own: one process may not open enough files for the calls of two.

use std::net::SocketAddr;
use std::process::Stdio;

use fswake_test_support::freeswitch::{Call, Config, FakeFreeSwitch};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines, Stdin};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::people::{domain, user};

/// The variable that makes this program such a process: the number of the first user who is called.
pub const PROCESS: &str = "FSWAKE_BENCH_FREESWITCH";

/// The process, as the bench sees it. It ends when it is dropped.
pub struct FreeSwitch {
    _child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    /// Where its event socket listens.
    pub port: u16,
}

impl FreeSwitch {
    /// Starts one, whose calls are to the users from this one on.
    pub async fn start(first: usize) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.env(PROCESS, first.to_string()).kill_on_drop(true);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.expect("this program starts again");
        let input = child.stdin.take().expect("its input");
        let mut output = BufReader::new(child.stdout.take().expect("its output")).lines();
        let line = output.next_line().await.expect("a line").expect("its port");
        Self {
            _child: child,
            input,
            output,
            port: line.parse().expect("a port"),
        }
    }

    /// Has it send so many calls to the daemon at this address.
    pub async fn call(&mut self, to: SocketAddr, count: usize) {
        let order = format!("{to} {count}\n");
        self.input.write_all(order.as_bytes()).await.expect("it runs");
    }

    /// Waits until it has sent them, and asks how many connections there are.
    pub async fn connections(&mut self) -> usize {
        let line = self.output.next_line().await.expect("a line").expect("a number");
        line.parse().expect("a number")
    }
}

/// The process itself.
pub async fn run(first: usize) {
    let fs = FakeFreeSwitch::start(Config::default()).await;
    println!("{}", fs.address().port());
    let mut orders: Lines<BufReader<Stdin>> = BufReader::new(tokio::io::stdin()).lines();
    let mut all = Vec::new();
    while let Some(order) = orders.next_line().await.expect("an order") {
        let (to, count) = order.split_once(' ').expect("an address and a number");
        let to = to.parse().expect("an address");
        let count: usize = count.parse().expect("a number");
        // 500 a second, as much as a real FreeSWITCH could.
        for n in first..first + count {
            let mut call = Call::to(to, &user(n), &domain(n));
            call.record = false;
            all.push(fs.call(&call));
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        println!("{}", fs.connections().1);
    }
}
