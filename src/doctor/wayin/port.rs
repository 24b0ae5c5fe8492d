//! The port that FreeSWITCH connects to, tried from a channel that calls nobody.

use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::timeout;
use uuid::Uuid;

use super::context::Socket;
use super::{FAMILY, safe};
use crate::config::Config;
use crate::doctor::Check;
use crate::doctor::esl::Session;
use crate::types::{NOBODY, Printable};

/// How long FreeSWITCH and fswake may take for it.
const PATIENCE: Duration = Duration::from_secs(3);

/// Lets FreeSWITCH connect to the address that its dialplan has, from a channel that calls nobody.
pub(super) async fn check(session: &mut Session, config: &Config, socket: &Socket) -> Check {
    let name = "outbound port";
    let addresses = socket.addresses();
    let shown = Printable(&addresses.join("|")).to_string();
    let listens = config.listen.addresses.iter().map(std::net::SocketAddr::port);
    let ports: Vec<u16> = listens.filter(|port| *port != 0).collect();
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
        .any(|a| safe(&a.replace([':', '[', ']'], "")).is_none())
    {
        let advice = "fswake's address and port, as in 127.0.0.1:8084";
        return Check::error(FAMILY, name, format!("{shown} is no address"), advice);
    }
    // Without a daemon, the doctor listens in its place.
    let mut stands_in = Vec::new();
    for address in &config.listen.addresses {
        stands_in.extend(TcpListener::bind(address).await.ok());
    }
    let is_alone = !stands_in.is_empty() && stands_in.len() == config.listen.addresses.len();
    let channel = Uuid::new_v4();
    if let Err(reason) = session.subscribe("CHANNEL_HANGUP_COMPLETE").await {
        let advice = "let the user's esl-allowed-events have CHANNEL_HANGUP_COMPLETE";
        return Check::warning(FAMILY, name, format!("cannot be tried: {reason}"), advice);
    }
    let reached = match call_nobody(session, &addresses.join("|"), channel).await {
        Ok(()) if is_alone => accepts(&stands_in).await,
        Ok(()) => answers(session, channel).await,
        Err(reason) => {
            let advice = "let the user's esl-allowed-api have originate and uuid_kill";
            return Check::warning(FAMILY, name, format!("cannot be tried: {reason}"), advice);
        }
    };
    drop(stands_in);
    // Where nobody takes it over, a channel without a phone does not end by itself.
    let _over_already = session.api(&format!("uuid_kill {channel}")).await;
    match (reached, is_alone) {
        (true, true) => Check::warning(
            FAMILY,
            name,
            format!("FreeSWITCH reaches {shown}; no daemon is running"),
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
            format!("FreeSWITCH does not reach {shown} (the doctor listened there; no daemon is running)"),
            "look for a firewall, and whether the address is this host's as FreeSWITCH sees it",
        ),
        (false, false) => Check::error(
            FAMILY,
            name,
            format!("no fswake answers FreeSWITCH at {shown}"),
            "is fswake running, does listen.allow have FreeSWITCH's address, and is it fswake that has the port?",
        ),
    }
}

/// Originates a channel that calls nobody and hands it to the `socket` application.
async fn call_nobody(session: &mut Session, address: &str, channel: Uuid) -> Result<(), String> {
    let command = format!(
        "originate {{origination_uuid={channel},fswake_aor={NOBODY},socket_resume=true,originate_timeout=3,process_cdr=false}}null/fswake-doctor \
         '&socket({address} async full)'"
    );
    let answer = session.api(&command).await?;
    if answer.starts_with("+OK") {
        Ok(())
    } else {
        Err(Printable(&answer).to_string())
    }
}

async fn accepts(listeners: &[TcpListener]) -> bool {
    let accepting = listeners.iter().map(|l| Box::pin(l.accept()));
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

/// Whether fswake has said that nobody has that name. The channel ends as soon as it is handed back.
async fn answers(session: &mut Session, channel: Uuid) -> bool {
    let result = timeout(PATIENCE, session.end_of(channel, "fswake_result")).await;
    matches!(result.ok().flatten().as_deref(), Some("no-device" | "draining"))
}
