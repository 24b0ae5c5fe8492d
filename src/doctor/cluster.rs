//! Several FreeSWITCHes and several fswakes: what each part needs so that phones of one are rung by calls of another.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::check::Check;
use super::esl::Session;
use crate::clock::{span, unix_now};
use crate::config::Config;
use crate::esl::encode;
use crate::esl::leg_token::HEADER;
use crate::types::{Printable, UnixSeconds};

const FAMILY: &str = "cluster";
/// Older refusals are no warning, in seconds.
const LATELY: UnixSeconds = 24 * 3600;
/// Signed headers are valid for ten seconds.
const CLOCKS_DIFFER_MS: i64 = 3_000;

/// The daemon's answer to `/v1/cluster`.
#[derive(Debug, Deserialize)]
pub struct DaemonCluster {
    peers: Vec<Peer>,
    refused_legs: BTreeMap<String, RefusedLegs>,
}

#[derive(Debug, Deserialize)]
struct RefusedLegs {
    count: u64,
    last_at: UnixSeconds,
}

#[derive(Debug, Deserialize)]
struct Peer {
    name: String,
    node: String,
    same_key: bool,
    clock_ahead_ms: i64,
}

/// Whether a FreeSWITCH can say which fswake does what.
pub(super) async fn claims(session: &mut Session) -> Check {
    let name = "claims";
    match session.api(&encode::ask_module("mod_hash")).await {
        Ok(answer) if answer == "true" => Check::ok(FAMILY, name, "mod_hash is loaded"),
        Ok(_) => Check::warning(
            FAMILY,
            name,
            "mod_hash is not loaded: several fswakes answer an event several times, and a leg's header that was used at one \
             may be used again at another",
            "load it in autoload_configs/modules.conf.xml",
        ),
        Err(reason) => {
            let advice = session.advice_on("module_exists", "");
            Check::warning(FAMILY, name, format!("not checked: {reason}"), advice)
        }
    }
}

/// Two names for one FreeSWITCH.
pub(super) fn twins(cores: &[(String, String)]) -> Vec<Check> {
    let mut checks = Vec::new();
    for (n, (name, core)) in cores.iter().enumerate() {
        if let Some((first, _)) = cores[..n].iter().find(|(_, other)| other == core) {
            let seen =
                format!("{first} and {name} are the same FreeSWITCH: fswake serves the one that it reaches first");
            checks.push(Check::error(
                FAMILY,
                "nodes",
                seen,
                "take one of the two [[freeswitch]] out",
            ));
        }
    }
    checks
}

/// What the running daemon knows of the others.
pub(super) fn daemon(config: &Config, cluster: Option<&DaemonCluster>) -> Vec<Check> {
    let Some(cluster) = cluster.filter(|_| config.cluster.key.is_some()) else {
        return Vec::new();
    };
    let mut checks = Vec::new();
    let (same, other): (Vec<_>, Vec<_>) = cluster.peers.iter().partition(|peer| peer.same_key);
    if !other.is_empty() {
        let seen = format!(
            "{} listen to the same FreeSWITCH with another cluster key: they and this one push phones twice, and refuse each \
             other's legs",
            names(&other)
        );
        let advice = "put the same key into cluster.key-file of all, and restart them";
        checks.push(Check::error(FAMILY, "cluster key", seen, advice));
    }
    let late = |peer: &&&Peer| peer.clock_ahead_ms.abs() > CLOCKS_DIFFER_MS;
    if let Some(peer) = same.iter().find(late) {
        let seen = format!(
            "the clock of {} differs from this host's by {} ms",
            Printable(&peer.name),
            peer.clock_ahead_ms.abs()
        );
        let advice = "run chrony or systemd-timesyncd on all hosts: signed headers are valid for ten seconds, and the later \
                      REGISTER of a token counts";
        checks.push(Check::warning(FAMILY, "clocks", seen, advice));
    }
    let seen = match same.as_slice() {
        [] => "no other fswake".to_owned(),
        peers => format!("others: {}", names(peers)),
    };
    checks.push(Check::ok(FAMILY, "other fswakes", seen));
    let refused = cluster.refused_legs.iter();
    let lately: Vec<_> = refused
        .filter(|(_, legs)| unix_now() - legs.last_at < LATELY)
        .map(|(why, legs)| {
            format!(
                "{why} {}, the last {} ago",
                legs.count,
                span((unix_now() - legs.last_at).max(0) * 1000)
            )
        })
        .collect();
    if !lately.is_empty() {
        checks.push(Check::warning(
            FAMILY,
            "refused legs",
            format!("INVITEs with {HEADER} that were refused since the start: {}", lately.join("; ")),
            "signature: another cluster key, or somebody who tries; expired: clocks; wrong-node: freeswitch.sip of two nodes is \
             swapped; replayed: somebody who tries. fswake's log has each",
        ));
    }
    checks
}

fn names(peers: &[&Peer]) -> String {
    let one = |peer: &&Peer| format!("{} (at {})", Printable(&peer.name), Printable(&peer.node));
    peers.iter().map(one).collect::<Vec<_>>().join(", ")
}
