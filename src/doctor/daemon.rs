//! The running daemon of this configuration, if there is one: what it knows of its apps, and its user.

use std::net::{IpAddr, SocketAddr};

use serde::Deserialize;

use super::advice::advice_without_error;
use super::cluster::DaemonCluster;
use crate::push::apps::status::ProblemKind;
use crate::push::{Fault, KeptBy, PushErrorKind};

/// Whether a daemon answers, and what.
#[derive(Debug, Default)]
pub enum Daemon {
    /// None does: none runs, or it cannot be asked.
    #[default]
    Absent,
    /// What it knows of its apps, and of the cluster.
    Answers(DaemonApps, Option<DaemonCluster>),
}

/// The part of `/v1/apps` that the doctor reads.
#[derive(Debug, Deserialize)]
pub struct DaemonApps {
    pub(super) apps: Vec<DaemonApp>,
    /// What needs an operator.
    #[serde(skip)]
    pub attention: Vec<DaemonProblem>,
}

/// The answer of `/v1/attention`, as far as the doctor reads it.
#[derive(Debug, Default, Deserialize)]
pub struct DaemonAttention {
    /// The items.
    pub items: Vec<DaemonProblem>,
}

/// One thing that needs an operator.
#[derive(Debug, Deserialize)]
pub struct DaemonProblem {
    pub(super) what: String,
    pub(super) problem: String,
    pub(super) advice: String,
}

/// What is known of one app.
#[derive(Debug, Deserialize)]
pub(super) struct DaemonApp {
    pub name: String,
    pub state: String,
    pub why: Option<String>,
    /// When a push or a probe last had a result.
    pub checked: Option<i64>,
    pub problems: Vec<AppProblem>,
}

#[derive(Debug, Deserialize)]
pub(super) struct AppProblem {
    pub kind: String,
    pub since: i64,
    pub reason: String,
    /// The code of the error that pushes get because of it; older daemons do not send it.
    #[serde(default)]
    pub code: Option<String>,
    #[serde(default)]
    pub status: Option<u16>,
}

impl AppProblem {
    /// The error that pushes get because of it; `None`: none.
    pub(super) fn error(&self) -> Option<PushErrorKind> {
        let code = self.code.as_deref();
        code.and_then(|code| PushErrorKind::from_code(code, self.status))
            .or_else(|| of_an_older_daemon(ProblemKind::from_word(&self.kind)?))
    }

    /// What to do about one that fails no push.
    pub(super) fn advice(&self) -> &'static str {
        advice_without_error(ProblemKind::from_word(&self.kind).unwrap_or(ProblemKind::BrokenFile))
    }

    /// That error in words.
    pub(super) fn words(&self) -> String {
        let reason = &self.reason;
        match self.error() {
            Some(PushErrorKind::Rejected { status } | PushErrorKind::TopicRejected { status }) => {
                format!("refused by the provider: {status} {reason}")
            }
            Some(PushErrorKind::Refused) => format!("refused by fswake: {reason}"),
            _ => reason.clone(),
        }
    }
}

/// The usual error behind a problem: older daemons name the problem only.
fn of_an_older_daemon(kind: ProblemKind) -> Option<PushErrorKind> {
    Some(match kind {
        ProblemKind::Refused => PushErrorKind::Misconfigured(Fault::Credentials),
        ProblemKind::Expired => PushErrorKind::Misconfigured(Fault::CertificateExpired),
        ProblemKind::Rejected => PushErrorKind::Rejected { status: 400 },
        ProblemKind::Unreachable => PushErrorKind::Exhausted(KeptBy::NoConnection),
        ProblemKind::NoAnswer => PushErrorKind::Exhausted(KeptBy::NoAnswer),
        ProblemKind::Busy => PushErrorKind::Exhausted(KeptBy::Busy { status: 0 }),
        ProblemKind::BrokenFile | ProblemKind::OldKey | ProblemKind::NextKey => return None,
    })
}

impl Daemon {
    /// What it reports under this name.
    pub(super) fn problem(&self, what: &str) -> Option<&DaemonProblem> {
        match self {
            Self::Answers(said, _) => said.attention.iter().find(|problem| problem.what == what),
            Self::Absent => None,
        }
    }

    /// What it knows of the app of this name.
    pub(super) fn knows(&self, app: &str) -> Option<&DaemonApp> {
        match self {
            Self::Answers(said, _) => said.apps.iter().find(|known| known.name == app),
            Self::Absent => None,
        }
    }

    /// What it knows of the cluster.
    pub(super) fn cluster(&self) -> Option<&DaemonCluster> {
        match self {
            Self::Answers(_, cluster) => cluster.as_ref(),
            Self::Absent => None,
        }
    }
}

impl DaemonApp {
    /// A token that was signed just now is rejected as expired.
    pub(super) fn is_about_the_clock(&self) -> bool {
        let clock = PushErrorKind::Misconfigured(Fault::Clock);
        self.problems.iter().any(|problem| problem.error() == Some(clock))
    }
}

/// The user of the process that listens there, by the kernel's own list; `None` if none does, or if it is in another
/// network namespace (a container).
pub fn listens(address: &SocketAddr) -> Option<u32> {
    let lists = ["/proc/net/tcp", "/proc/net/tcp6"].map(|list| std::fs::read_to_string(list).unwrap_or_default());
    lists
        .iter()
        .flat_map(|list| list.lines().skip(1))
        .find_map(|line| listener(line, address))
}

/// The owner of a socket of the list that listens at an address (or at all of them).
fn listener(line: &str, address: &SocketAddr) -> Option<u32> {
    const LISTEN: &str = "0A";
    let mut fields = line.split_whitespace().skip(1);
    let (ip, port) = fields.next()?.rsplit_once(':')?;
    let is_listening = fields.nth(1)? == LISTEN;
    if !is_listening || u16::from_str_radix(port, 16).ok()? != address.port() {
        return None;
    }
    // 32-bit words as this machine has them in memory.
    let words: Option<Vec<u32>> = (0..ip.len())
        .step_by(8)
        .map(|at| u32::from_str_radix(ip.get(at..at + 8)?, 16).ok())
        .collect();
    let bytes: Vec<u8> = words?.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let ip = match bytes.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
        _ => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?).to_canonical(),
    };
    let is_there = ip == address.ip() || ip.is_unspecified() || address.ip().is_unspecified();
    let user = fields.nth(3)?.parse().ok()?;
    is_there.then_some(user)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn listeners_owner_is_read_and_nobody_is_found_where_nobody_listens() {
        use std::os::unix::fs::MetadataExt;
        let me = std::fs::metadata("/proc/self").unwrap().uid();
        for ip in ["127.0.0.1", "[::1]", "0.0.0.0", "[::]"] {
            let Ok(listening) = TcpListener::bind(format!("{ip}:0")) else {
                continue;
            };
            let address = listening.local_addr().unwrap();
            assert_eq!(listens(&address), Some(me), "{address}");
            drop(listening);
            assert_eq!(listens(&address), None, "{address}");
        }
        let line = "   0: 0100007F:1F94 00000000:0000 0A 00000000:00000000 00:00000000 00000000   998        0 1 1 0";
        let at = |address: &str| listener(line, &address.parse().unwrap());
        // The list is written in the machine's own order.
        if cfg!(target_endian = "little") {
            assert_eq!(at("127.0.0.1:8084"), Some(998));
            assert_eq!(at("127.0.0.2:8084"), None);
        }
        assert_eq!(at("127.0.0.1:8085"), None);
        assert_eq!(listener("garbage", &"127.0.0.1:8084".parse().unwrap()), None);
    }
}
