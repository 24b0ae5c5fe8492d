//! The port that FreeSWITCH connects to, tested with a channel that calls nobody.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::time::timeout;
use uuid::Uuid;

use super::dialplan::Socket;
use crate::config::Config;
use crate::doctor::check::{Check, ROUTING as FAMILY};
use crate::doctor::esl::Session;
use crate::doctor::listens;
use crate::esl::encode::{self, Word};
use crate::types::{NOBODY, Printable};

/// How long FreeSWITCH and fswake may take for it.
const PATIENCE: Duration = Duration::from_secs(3);

/// Makes FreeSWITCH connect to its dialplan's address, with a channel that calls nobody.
pub(super) async fn check(session: &mut Session, config: &Config, socket: &Socket) -> Check {
    let name = "outbound port";
    let addresses = socket.addresses();
    let shown = Printable(&addresses.join("|")).to_string();
    let own_ports = config.listen.addresses.iter().map(SocketAddr::port);
    let ports: Vec<u16> = own_ports.filter(|port| *port != 0).collect();
    let names_us = |address: &&str| {
        let port = address.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        port.is_some_and(|port: u16| ports.contains(&port))
    };
    if !ports.is_empty() && !addresses.iter().any(names_us) {
        let ours: Vec<String> = config.listen.addresses.iter().map(ToString::to_string).collect();
        return Check::error(
            FAMILY,
            name,
            format!("FreeSWITCH connects to {shown}, fswake listens on {}", ours.join(", ")),
            "make the dialplan's socket application and listen.addresses agree",
        );
    }
    if addresses
        .iter()
        .any(|a| Word::new(&a.replace([':', '[', ']'], "")).is_none())
    {
        let advice = "fswake's address and port, as in 127.0.0.1:8084";
        return Check::error(FAMILY, name, format!("{shown} is no address"), advice);
    }
    // Without a daemon the doctor listens at the same addresses, on other ports: it must get no real calls.
    let stands_in = if config.listen.addresses.iter().all(is_free) {
        beside(&config.listen.addresses).await
    } else {
        Vec::new()
    };
    let is_alone = !stands_in.is_empty();
    let tried = if is_alone {
        elsewhere(&addresses, &stands_in)
    } else {
        addresses.join("|")
    };
    let channel = Uuid::new_v4();
    if let Err(reason) = session.subscribe("CHANNEL_HANGUP_COMPLETE").await {
        let advice = "add CHANNEL_HANGUP_COMPLETE to the user's esl-allowed-events";
        return Check::warning(FAMILY, name, format!("not tried: {reason}"), advice);
    }
    let reached = match call_nobody(session, &tried, channel).await {
        Ok(()) if is_alone => accepts(stands_in).await,
        Ok(()) => answers(session, channel).await,
        Err(reason) => {
            let advice = session.advice_on(
                "originate",
                "FreeSWITCH made no channel for the doctor: its log says why (sessions-per-second, max-sessions, mod_loopback)",
            );
            return Check::warning(FAMILY, name, format!("not tried: {reason}"), advice);
        }
    };
    // A channel without a phone does not end by itself if nothing takes it over.
    let _over_already = session.api(&encode::kill(channel, "NORMAL_CLEARING")).await;
    match (reached, is_alone) {
        (true, true) => Check::warning(
            FAMILY,
            name,
            format!(
                "no daemon is running; FreeSWITCH reaches this host at the address of {shown}, tried on another port"
            ),
            "systemctl start fswake",
        ),
        (true, false) => Check::ok(
            FAMILY,
            name,
            format!("FreeSWITCH reaches fswake at {shown}, and it answers"),
        ),
        (false, true) => Check::error(
            FAMILY,
            name,
            format!(
                "no daemon is running, and FreeSWITCH does not reach this host at the address of {shown} (tried on another port)"
            ),
            "look for a firewall, and whether the address is this host's as FreeSWITCH sees it",
        ),
        (false, false) => {
            let is_taken = config.listen.addresses.iter().any(|address| listens(address).is_some());
            let advice = if is_taken {
                "something listens there: fswake hangs (see its log, restart it), listen.allow lacks FreeSWITCH's address, or another \
                 program has the port"
            } else {
                "start fswake, add FreeSWITCH's address to listen.allow, or find out which program has the port"
            };
            Check::error(FAMILY, name, format!("no fswake answers FreeSWITCH at {shown}"), advice)
        }
    }
}

/// Originates a channel that calls nobody and hands it to the `socket` application.
async fn call_nobody(session: &mut Session, address: &str, channel: Uuid) -> Result<(), String> {
    let answer = session.api(&encode::call_nobody(channel, NOBODY, address)).await?;
    if answer.starts_with("+OK") {
        Ok(())
    } else {
        Err(Printable(&answer).to_string())
    }
}

/// Whether nothing listens there. This opens no listener: a call that comes now is refused, as before.
fn is_free(address: &SocketAddr) -> bool {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    };
    let Ok(socket) = socket else { return false };
    // As the daemon does: one that starts now must not fail because of it.
    socket.set_reuseaddr(true).is_ok() && socket.bind(*address).is_ok()
}

/// A listener on a free port for each of these addresses, by the port that it replaces.
async fn beside(addresses: &[SocketAddr]) -> Vec<(u16, TcpListener)> {
    let mut listeners = Vec::new();
    for address in addresses {
        let free = TcpListener::bind(SocketAddr::new(address.ip(), 0)).await;
        listeners.extend(free.ok().map(|listener| (address.port(), listener)));
    }
    listeners
}

/// The dialplan's addresses with the ports of the replacements.
fn elsewhere(addresses: &[&str], stands_in: &[(u16, TcpListener)]) -> String {
    let moved = addresses.iter().filter_map(|address| {
        let (host, port) = address.rsplit_once(':')?;
        let port: u16 = port.parse().ok()?;
        let (_, listener) = stands_in.iter().find(|(stands_for, _)| *stands_for == port)?;
        Some(format!("{host}:{}", listener.local_addr().ok()?.port()))
    });
    moved.collect::<Vec<_>>().join("|")
}

async fn accepts(listeners: Vec<(u16, TcpListener)>) -> bool {
    let accepting = listeners.iter().map(|(_, l)| Box::pin(l.accept()));
    let first = async {
        let mut accepting: Vec<_> = accepting.collect();
        std::future::poll_fn(|cx| {
            let ready = accepting.iter_mut().any(|a| a.as_mut().poll(cx).is_ready());
            if ready {
                std::task::Poll::Ready(())
            } else {
                std::task::Poll::Pending
            }
        })
        .await;
    };
    timeout(PATIENCE, first).await.is_ok()
}

/// Whether fswake has reported that nobody has that name. The channel ends as soon as it is handed back.
async fn answers(session: &mut Session, channel: Uuid) -> bool {
    let result = timeout(PATIENCE, session.end_of(channel, "fswake_result")).await;
    matches!(result.ok().flatten().as_deref(), Some("no-device" | "draining"))
}
