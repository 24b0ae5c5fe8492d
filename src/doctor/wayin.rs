//! That calls reach fswake: the context, a dial-string or dialplan that leads there, and the port that FreeSWITCH
//! connects to.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::timeout;
use uuid::Uuid;

use super::esl::Session;
use super::xml::{tags, texts};
use super::{Check, first_of};
use crate::config::Config;
use crate::types::{Device, Printable};

const FAMILY: &str = "way in";
/// The context of the dial-string way in.
const CONTEXT: &str = "fswake";
/// Who is called by the probe: nobody has this name (RFC 2606).
pub(super) const NOBODY: &str = "doctor@fswake.invalid";
/// How long FreeSWITCH and fswake may take for it.
const PATIENCE: Duration = Duration::from_secs(3);
/// Users that are asked for their dial-string: one of each domain, so many at most.
const MOST_ASKED: usize = 20;

/// A `socket` application in the dialplan.
#[derive(Debug, PartialEq, Eq)]
struct Socket {
    context: String,
    /// As written: `127.0.0.1:8084 async full`.
    data: String,
    /// `socket_resume` is set in that context.
    resumes: bool,
}

impl Socket {
    /// The addresses in it.
    fn addresses(&self) -> Vec<&str> {
        let first = self.data.split_whitespace().next().unwrap_or_default();
        first.split('|').filter(|a| !a.is_empty()).collect()
    }
}

pub(super) async fn checks(session: &mut Session, config: &Config, known: &[Device]) -> Vec<Check> {
    let mut sockets = Vec::new();
    let mut contexts = BTreeSet::from([CONTEXT.to_owned(), "default".to_owned(), "public".to_owned()]);
    contexts.extend(contexts_of_profiles(session).await);
    for context in contexts {
        let Some(word) = safe(&context) else { continue };
        let found = session.api(&format!("xml_locate dialplan context name {word}")).await;
        sockets.extend(found.ok().and_then(|xml| socket_in(&context, &xml)));
    }
    let leading = dial_strings(session, known).await;
    let mut checks = vec![way_in(&sockets, &leading)];
    let Some(socket) = sockets.first() else { return checks };
    checks.extend(sockets.iter().flat_map(written));
    checks.push(port(session, config, socket).await);
    checks
}

/// The contexts that calls of running profiles begin in.
async fn contexts_of_profiles(session: &mut Session) -> Vec<String> {
    let status = session.api("sofia xmlstatus").await.unwrap_or_default();
    let mut contexts = Vec::new();
    for name in texts(&status, "name") {
        let Some(word) = safe(&name) else { continue };
        let profile = session.api(&format!("sofia xmlstatus profile {word}")).await;
        contexts.extend(texts(&profile.unwrap_or_default(), "context"));
    }
    contexts
}

/// A name that can stand in a command.
fn safe(name: &str) -> Option<&str> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"-_.@+".contains(&b);
    (!name.is_empty() && name.len() <= 128 && name.bytes().all(good)).then_some(name)
}

/// The first `socket` application of a context.
fn socket_in(context: &str, xml: &str) -> Option<Socket> {
    let tags = tags(xml);
    let actions: Vec<_> = tags.iter().filter(|t| t.name == "action").collect();
    let socket = actions.iter().find(|t| t.attribute("application") == "socket")?;
    Some(Socket {
        context: context.to_owned(),
        data: socket.attribute("data").to_owned(),
        resumes: actions.iter().any(|t| {
            t.attribute("application") == "set" && t.attribute("data").replace(' ', "") == "socket_resume=true"
        }),
    })
}

/// Which of the known devices' domains have a dial-string that leads to the context, and which have another.
#[derive(Default)]
struct DialStrings {
    leads: Vec<String>,
    others: Vec<String>,
}

async fn dial_strings(session: &mut Session, known: &[Device]) -> DialStrings {
    let mut found = DialStrings::default();
    let mut domains = BTreeSet::new();
    for device in known {
        let domain = device.aor.domain.to_ascii_lowercase();
        let Some(user) = safe(&device.aor.user).filter(|_| safe(&domain).is_some()) else {
            continue;
        };
        if domains.len() >= MOST_ASKED || !domains.insert(domain.clone()) {
            continue;
        }
        let command = format!("user_data {user}@{domain} param dial-string");
        let dial_string = session.api(&command).await.unwrap_or_default();
        let leads = dial_string.contains("loopback/") && dial_string.contains(&format!("/{CONTEXT}"));
        if leads { &mut found.leads } else { &mut found.others }.push(domain);
    }
    found
}

fn way_in(sockets: &[Socket], leading: &DialStrings) -> Check {
    let name = "calls";
    let by_dialplan: Vec<String> = sockets
        .iter()
        .filter(|s| s.context != CONTEXT)
        .map(|s| Printable(&s.context).to_string())
        .collect();
    let has_context = sockets.iter().any(|s| s.context == CONTEXT);
    let snippets = "install fs-conf/dialplan/fswake.xml, set the directory's dial-string to \
                    loopback/${dialed_user}@${dialed_domain}/fswake, and `reloadxml`";
    match (has_context, leading.leads.is_empty(), by_dialplan.is_empty()) {
        (true, false, _) if leading.others.is_empty() => Check::ok(
            FAMILY,
            name,
            format!("by the dial-string of {}", first_of(&leading.leads, 5)),
        ),
        (true, false, false) => Check::ok(
            FAMILY,
            name,
            format!(
                "by the dial-string of {}, and by the dialplan, context {}, for {}",
                first_of(&leading.leads, 5),
                first_of(&by_dialplan, 5),
                first_of(&leading.others, 5)
            ),
        ),
        (true, false, true) => Check::warning(
            FAMILY,
            name,
            format!(
                "by the dial-string of {}; not of {}",
                first_of(&leading.leads, 5),
                first_of(&leading.others, 5)
            ),
            "the users of the others are woken only where the dialplan calls fswake: fs-conf/directory/fswake.xml",
        ),
        (_, _, false) => Check::ok(
            FAMILY,
            name,
            format!("by the dialplan, context {}", first_of(&by_dialplan, 5)),
        ),
        (true, true, true) if leading.others.is_empty() => Check::warning(
            FAMILY,
            name,
            "context fswake is there; no device is known whose dial-string could be asked for",
            "set the directory's dial-string to loopback/${dialed_user}@${dialed_domain}/fswake and look again when phones \
             have registered",
        ),
        (true, true, true) => Check::error(
            FAMILY,
            name,
            format!(
                "context fswake is there, and no dial-string leads to it ({})",
                first_of(&leading.others, 5)
            ),
            "set the directory's dial-string to loopback/${dialed_user}@${dialed_domain}/fswake, and `reloadxml`",
        ),
        (false, _, true) => Check::error(
            FAMILY,
            name,
            "no context that was looked at has the socket application",
            snippets,
        ),
    }
}

/// What is wrong with how a `socket` action is written.
fn written(socket: &Socket) -> Vec<Check> {
    let name = format!("context {}", Printable(&socket.context));
    let data = Printable(&socket.data);
    let has = |word: &str| socket.data.split_whitespace().any(|w| w == word);
    let mut checks = Vec::new();
    if !has("async") || !has("full") {
        let seen = format!("socket {data}");
        let advice = "write `async full` behind the address: without it fswake can order nothing";
        checks.push(Check::error(FAMILY, name.clone(), seen, advice));
    }
    if !socket.resumes {
        let seen = format!("socket {data} without socket_resume=true before it");
        let advice =
            "set socket_resume=true before the socket application: without it a caller is stuck when fswake dies";
        checks.push(Check::error(FAMILY, name, seen, advice));
    }
    checks
}

/// Lets FreeSWITCH connect to the address that its dialplan has, from a channel that calls nobody.
async fn port(session: &mut Session, config: &Config, socket: &Socket) -> Check {
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
        "originate {{origination_uuid={channel},fswake_aor={NOBODY},socket_resume=true,originate_timeout=3}}null/fswake-doctor \
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

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    fn shipped(file: &str) -> Option<Socket> {
        socket_in("x", file)
    }

    #[test]
    fn shipped_snippets_are_written_well() {
        for file in [
            include_str!("../../fs-conf/dialplan/fswake.xml"),
            include_str!("../../fs-conf/dialplan/default/00_fswake.xml"),
        ] {
            let socket = shipped(file).unwrap();
            assert_eq!(socket.addresses(), ["127.0.0.1:8084"]);
            assert!(written(&socket).is_empty());
        }
        assert_eq!(socket_in("default", "can't find anything\n"), None);
    }

    #[test]
    fn socket_that_cannot_hold_or_would_strand_a_caller_is_an_error() {
        let bare = socket_in(
            "x",
            r#"<context><action application="socket" data="h:1|[::1]:2"/></context>"#,
        )
        .unwrap();
        assert_eq!(bare.addresses(), ["h:1", "[::1]:2"]);
        let checks = written(&bare);
        assert_eq!(checks.len(), 2);
        assert!(checks.iter().all(|c| c.state == State::Error), "{checks:?}");
    }

    #[test]
    fn every_combination_of_context_dial_string_and_dialplan_has_its_verdict() {
        let socket = |context: &str| Socket {
            context: context.into(),
            data: "127.0.0.1:8084 async full".into(),
            resumes: true,
        };
        let strings = |leads: &[&str], others: &[&str]| DialStrings {
            leads: leads.iter().map(|s| (*s).to_owned()).collect(),
            others: others.iter().map(|s| (*s).to_owned()).collect(),
        };
        let state = |sockets: &[Socket], strings: DialStrings| way_in(sockets, &strings).state;
        assert_eq!(state(&[socket("fswake")], strings(&["d"], &[])), State::Ok);
        assert_eq!(state(&[socket("fswake")], strings(&["d"], &["e"])), State::Warning);
        let both = [socket("fswake"), socket("default")];
        assert_eq!(state(&both, strings(&["d"], &["e"])), State::Ok);
        assert_eq!(state(&[socket("fswake")], strings(&[], &[])), State::Warning);
        assert_eq!(state(&[socket("fswake")], strings(&[], &["e"])), State::Error);
        assert_eq!(state(&[socket("default")], strings(&[], &["e"])), State::Ok);
        assert_eq!(state(&[], strings(&[], &["e"])), State::Error);
        assert_eq!(state(&[], strings(&["d"], &[])), State::Error);
    }
}
