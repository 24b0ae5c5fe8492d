//! The status page, in a real browser against the running daemon.

mod accessibility;
mod attention;
mod calls;
mod day;
mod security;

use crate::harness::*;

const ENTER: &str = "\u{e007}";

async fn url(daemon: &Daemon) -> String {
    let line = daemon.log.wait(&["HTTP: metrics"]).await;
    format!("http://{}/", field(&line, "address"))
}
