//! `[freeswitch]`, and `[[freeswitch]]` for each of several.

use std::net::IpAddr;

use super::error::In;
use super::raw;
use super::secrets::Files;
use super::settings::FreeSwitch;
use super::values::{CheckResult, is_name, is_word};
use crate::contact::Uri;
use crate::engine::node::NodePolicy;
use crate::esl::inbound::Endpoint;
use crate::types::Secret;

/// FreeSWITCH's own default password.
const PASSWORD: &str = "ClueCon";
/// The longest name of a FreeSWITCH, or of a SIP profile.
const LONGEST_NAME: usize = 63;
/// A shorter key could be guessed.
const SHORTEST_KEY: usize = 32;
/// More than anybody needs: each has its connections.
const MOST: usize = 64;

/// All FreeSWITCHes.
pub(super) struct FreeSwitches {
    /// Whether there are any (`freeswitch.enabled`).
    pub enabled: bool,
    pub all: Vec<FreeSwitch>,
}

pub(super) fn freeswitches(at: In<'_>, files: Files<'_>, raw: raw::FreeSwitches) -> CheckResult<FreeSwitches> {
    let raw::FreeSwitches { all: raw, is_list } = raw;
    if raw.is_empty() || raw.len() > MOST {
        let allowed = format!("from 1 to {MOST} sections");
        return Err(at.wrong("freeswitch", raw.len(), allowed));
    }
    let enabled = raw[0].enabled.unwrap_or(true);
    let is_cluster = raw.len() > 1;
    let mut all: Vec<FreeSwitch> = Vec::new();
    for one in raw {
        if is_list && one.enabled.is_some() {
            let allowed = "only in [freeswitch]: take out the section of a FreeSWITCH that is not there";
            return Err(at.plain("freeswitch.enabled", "set", allowed));
        }
        let node = freeswitch(at, files, one)?;
        if is_cluster && node.name.is_empty() {
            return Err(at.missing("freeswitch.name", "a name for each of several FreeSWITCHes"));
        }
        if all.iter().any(|other| other.name == node.name) {
            return Err(at.wrong("freeswitch.name", node.name, "a name that no other has"));
        }
        let is_same = |other: &&FreeSwitch| {
            (&other.endpoint.host, other.endpoint.port) == (&node.endpoint.host, node.endpoint.port)
        };
        if let Some(other) = all.iter().find(is_same) {
            let allowed = format!("an event socket of its own: {} has the same", other.name);
            return Err(at.wrong("freeswitch.host", node.endpoint.host, allowed));
        }
        all.push(node);
    }
    Ok(FreeSwitches { enabled, all })
}

fn freeswitch(at: In<'_>, files: Files<'_>, raw: raw::FreeSwitch) -> CheckResult<FreeSwitch> {
    let name = raw.name.unwrap_or_default();
    if !name.is_empty() && !is_name(&name, LONGEST_NAME) {
        let allowed = format!("letters, digits, `-`, `_` and dots, {LONGEST_NAME} at most");
        return Err(at.wrong("freeswitch.name", name, allowed));
    }
    let host = raw.host.unwrap_or_else(|| "127.0.0.1".into());
    if !is_word(&host) {
        return Err(at.wrong("freeswitch.host", host, "a host name or an address"));
    }
    let port = raw.port.unwrap_or(8021);
    if port == 0 {
        return Err(at.wrong("freeswitch.port", port, "a port from 1 to 65535"));
    }
    if let Some(user) = &raw.user
        && !(is_word(user)
            && !user.contains(':')
            && matches!(user.split_once('@'), Some((u, d)) if !u.is_empty() && !d.is_empty()))
    {
        return Err(at.wrong("freeswitch.user", user, r#""user@domain""#));
    }
    let password = match raw.password_file {
        None => PASSWORD.to_owned(),
        Some(name) => {
            let key = "freeswitch.password-file";
            files.secret(at, key, &name)?.1.unwrap_or_default()
        }
    };
    if let Some(profile) = raw.profile.as_ref().filter(|profile| !is_name(profile, LONGEST_NAME)) {
        return Err(at.wrong("freeswitch.profile", profile, "the name of a SIP profile"));
    }
    Ok(FreeSwitch {
        name,
        endpoint: Endpoint {
            host,
            port,
            password: Secret::new(password),
            user: raw.user,
        },
        sip: raw.sip.map(|sip| address(at, &sip)).transpose()?,
        profile: raw.profile,
        edges: edges(at, &raw.edges.unwrap_or_default())?,
    })
}

/// Where other FreeSWITCHes send INVITEs: `host`, `host:port` or a whole URI, with a transport at most.
fn address(at: In<'_>, sip: &str) -> CheckResult<String> {
    const ALLOWED: &str = r#"an address that the others can reach, as in "192.0.2.1:5080", or a URI without a user, as in "sip:192.0.2.1:5061;transport=tls""#;
    let is_uri = sip.starts_with("sip:") || sip.starts_with("sips:");
    let text = if is_uri { sip.to_owned() } else { format!("sip:{sip}") };
    let wrong = || at.wrong("freeswitch.sip", sip, ALLOWED);
    let uri = Uri::parse(&text).map_err(|_| wrong())?;
    let transport = uri.param("transport").map(str::to_ascii_lowercase);
    let is_known = transport.as_deref().is_none_or(|t| matches!(t, "udp" | "tcp" | "tls"));
    if uri.user().is_some() || !is_known || uri.params().any(|(name, _)| !name.eq_ignore_ascii_case("transport")) {
        return Err(wrong());
    }
    let (scheme, host) = (uri.scheme().name(), uri.host());
    let port = uri.port().map(|port| format!(":{port}")).unwrap_or_default();
    let transport = transport.map(|t| format!(";transport={t}")).unwrap_or_default();
    Ok(format!("{scheme}:{host}{port}{transport}"))
}

/// Hosts of a Path, in lower case and without a port or brackets.
fn edges(at: In<'_>, edges: &[String]) -> CheckResult<Vec<String>> {
    let allowed = r#"host names or addresses without a port, as in ["edge.example.org", "192.0.2.10"]"#;
    let host = |edge: &String| {
        let bare = edge.trim_matches(['[', ']']);
        let is_host = !edge.contains([':', '/', ';', ' ', '@']) || bare.parse::<IpAddr>().is_ok();
        if edge.is_empty() || !is_host {
            return Err(at.wrong("freeswitch.edges", edge, allowed));
        }
        Ok(bare.to_ascii_lowercase())
    };
    edges.iter().map(host).collect()
}

/// What the engine knows of them, where there are several.
pub(super) fn policies(all: &[FreeSwitch]) -> Vec<NodePolicy> {
    if all.len() == 1 {
        return Vec::new();
    }
    let policy = |node: &FreeSwitch| NodePolicy {
        name: node.name.as_str().into(),
        takes_legs: node.sip.is_some(),
        edges: node.edges.iter().map(|edge| edge.as_str().into()).collect(),
    };
    all.iter().map(policy).collect()
}

/// The key that signs legs from one FreeSWITCH to another.
pub(super) fn cluster_key(
    at: In<'_>,
    files: Files<'_>,
    name: Option<String>,
    nodes: &[FreeSwitch],
) -> CheckResult<Option<Secret>> {
    let key = "cluster.key-file";
    let Some(name) = name else {
        return match nodes.iter().find(|node| node.sip.is_some()) {
            Some(_) if nodes.len() > 1 => {
                let needed = "the file with the key that signs legs between FreeSWITCHes (freeswitch.sip); \
                              `openssl rand -hex 32` makes one";
                Err(at.missing(key, needed))
            }
            _ => Ok(None),
        };
    };
    let (path, secret) = files.secret(at, key, &name)?;
    if let Some(short) = secret.as_ref().filter(|secret| secret.len() < SHORTEST_KEY) {
        let is = format!("{}: a key of {} characters", path.display(), short.len());
        let allowed = format!("at least {SHORTEST_KEY} characters; `openssl rand -hex 32` makes such a key");
        return Err(at.plain(key, is, allowed));
    }
    Ok(secret.map(Secret::new))
}
