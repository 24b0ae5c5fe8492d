//! Several FreeSWITCHes and several fswakes: what each part needs so that phones of one are rung by calls of another.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::check::Check;
use super::esl::Session;
use super::profiles::RunningProfile;
use crate::config::{Config, FreeSwitch};
use crate::esl::encode::{self, Argument};
use crate::esl::leg_token::HEADER;
use crate::types::Printable;

const FAMILY: &str = "cluster";
/// Signed headers are valid for ten seconds.
const CLOCKS_DIFFER_MS: i64 = 3_000;

/// The daemon's answer to `/v1/cluster`.
#[derive(Debug, Deserialize)]
pub struct DaemonCluster {
    peers: Vec<Peer>,
    refused_legs: BTreeMap<String, u64>,
}

#[derive(Debug, Deserialize)]
struct Peer {
    name: String,
    node: String,
    same_key: bool,
    clock_ahead_ms: i64,
}

/// What one FreeSWITCH needs to take legs from the others.
pub(super) async fn node(session: &mut Session, node: &FreeSwitch, profiles: &[RunningProfile]) -> Vec<Check> {
    let mut checks = Vec::new();
    if node.sip.is_some() {
        checks.push(takes_legs(session, profiles).await);
    }
    let name = "claims";
    checks.push(match session.api(&encode::ask_module("mod_hash")).await {
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
    });
    checks
}

/// Whether the dialplan of some profile hands legs from other FreeSWITCHes to fswake.
async fn takes_legs(session: &mut Session, profiles: &[RunningProfile]) -> Check {
    let name = "legs from other nodes";
    let contexts = profiles.iter().flat_map(|profile| profile.contexts.iter());
    let mut read = Vec::new();
    for context in contexts {
        let Some(word) = Argument::new(context).filter(|_| !read.contains(&context)) else {
            continue;
        };
        match session.api(&encode::ask_context(word)).await {
            Ok(text) if text.contains(HEADER) => {
                let seen = format!("context {} takes them", Printable(context));
                return Check::ok(FAMILY, name, seen);
            }
            Ok(_) => read.push(context),
            Err(reason) => {
                let advice = session.advice_on("xml_locate", "");
                return Check::warning(FAMILY, name, format!("not checked: {reason}"), advice);
            }
        }
    }
    let read: Vec<_> = read.iter().map(|context| Printable(context).to_string()).collect();
    Check::error(
        FAMILY,
        name,
        format!(
            "no context of a SIP profile has the extension that takes them (read: {}): phones registered here are not rung by \
             calls that other FreeSWITCHes hold",
            read.join(", ")
        ),
        "install fs-conf/dialplan/public/00_fswake_node.xml in the context of the profile at freeswitch.sip, and reloadxml; or \
         take freeswitch.sip out",
    )
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
    if !cluster.refused_legs.is_empty() {
        let all: Vec<_> = cluster
            .refused_legs
            .iter()
            .map(|(why, count)| format!("{why} {count}"))
            .collect();
        checks.push(Check::warning(
            FAMILY,
            "refused legs",
            format!("INVITEs with {HEADER} that were refused since the start: {}", all.join(", ")),
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
