//! The dialplan's contexts, as far as they can be looked at: who answers for each, and its `socket` application.

use super::{FAMILY, safe};
use crate::doctor::esl::Session;
use crate::doctor::handlers::Handler;
use crate::doctor::xml::tags;
use crate::doctor::{Check, State};
use crate::types::Printable;

/// A `socket` application in the dialplan.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Socket {
    /// As written: `127.0.0.1:8084 async full`.
    pub data: String,
    /// `socket_resume` is set in that context.
    pub resumes: bool,
}

impl Socket {
    /// The addresses in it.
    pub(super) fn addresses(&self) -> Vec<&str> {
        let first = self.data.split_whitespace().next().unwrap_or_default();
        first.split('|').filter(|a| !a.is_empty()).collect()
    }
}

/// What is wrong with a context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// FusionPBX answers for it with its own extensions.
    Taken,
    /// It is not in the files.
    Missing,
}

/// A context of the dialplan.
#[derive(Debug)]
pub(super) struct Context {
    pub name: String,
    /// It is in FreeSWITCH's files.
    pub is_there: bool,
    /// Its first `socket` application, in the files.
    pub socket: Option<Socket>,
    /// A script is asked for it first.
    pub handler: Option<Handler>,
}

impl Context {
    /// Looks a context up. A script that answers for the dialplan is not asked for it as in a call, so that what is found
    /// is the one in the files.
    pub(super) async fn find(session: &mut Session, name: &str, handler: Option<Handler>) -> Option<Self> {
        let word = safe(name)?;
        let found = session.api(&format!("xml_locate dialplan context name {word}")).await;
        let xml = found.unwrap_or_default();
        let tags = tags(&xml);
        Some(Self {
            name: name.to_owned(),
            is_there: tags.iter().any(|t| t.name == "context"),
            socket: socket_in(&xml),
            // FusionPBX leaves such names to the files, and others may do as it does.
            handler: handler.filter(|_| !name.contains('@')),
        })
    }

    /// Calls of dial-strings that lead here reach fswake, as far as can be seen.
    pub(super) fn is_good(&self) -> bool {
        self.socket.is_some() && self.handler != Some(Handler::FusionPbx)
    }

    /// Why calls of dial-strings that lead here do not reach fswake, where that is certain or nearly so.
    pub(super) fn fault(&self) -> Option<Fault> {
        match self.handler {
            Some(Handler::FusionPbx) => Some(Fault::Taken),
            Some(_) => None,
            None => (!self.is_there).then_some(Fault::Missing),
        }
    }

    /// What is wrong with how it is written.
    pub(super) fn findings(&self) -> Vec<Check> {
        let name = format!("context {}", Printable(&self.name));
        let Some(socket) = &self.socket else { return Vec::new() };
        let mut checks = written(&name, socket);
        if let Some(handler) = self.handler.filter(|h| *h != Handler::FusionPbx) {
            let seen = format!("{} may answer for it in place of the file", handler.name());
            let advice = "have the script leave this name to FreeSWITCH's files, or let calls of the last days show that they \
                          arrive (`fswake trace`)";
            checks.push(Check::new(FAMILY, name, State::Warning, seen).advise(advice));
        }
        checks
    }
}

/// The first `socket` application of a context.
fn socket_in(xml: &str) -> Option<Socket> {
    let tags = tags(xml);
    let actions: Vec<_> = tags.iter().filter(|t| t.name == "action").collect();
    let socket = actions.iter().find(|t| t.attribute("application") == "socket")?;
    Some(Socket {
        data: socket.attribute("data").to_owned(),
        resumes: actions.iter().any(|t| {
            t.attribute("application") == "set" && t.attribute("data").replace(' ', "") == "socket_resume=true"
        }),
    })
}

/// What is wrong with how a `socket` action is written.
fn written(name: &str, socket: &Socket) -> Vec<Check> {
    let data = Printable(&socket.data);
    let has = |word: &str| socket.data.split_whitespace().any(|w| w == word);
    let mut checks = Vec::new();
    if !has("async") || !has("full") {
        let seen = format!("socket {data}");
        let advice = "write `async full` behind the address: without it fswake can order nothing";
        checks.push(Check::error(FAMILY, name, seen, advice));
    }
    if !socket.resumes {
        let seen = format!("socket {data} without socket_resume=true before it");
        let advice =
            "set socket_resume=true before the socket application: without it a caller is stuck when fswake dies";
        checks.push(Check::error(FAMILY, name, seen, advice));
    }
    checks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shipped_snippets_are_written_well() {
        for file in [
            include_str!("../../../fs-conf/dialplan/fswake.xml"),
            include_str!("../../../fs-conf/dialplan/default/00_fswake.xml"),
        ] {
            let socket = socket_in(file).unwrap();
            assert_eq!(socket.addresses(), ["127.0.0.1:8084"]);
            assert!(written("context x", &socket).is_empty());
        }
        assert_eq!(socket_in("can't find anything\n"), None);
    }

    #[test]
    fn socket_that_cannot_hold_or_would_strand_a_caller_is_an_error() {
        let bare = socket_in(r#"<context><action application="socket" data="h:1|[::1]:2"/></context>"#).unwrap();
        assert_eq!(bare.addresses(), ["h:1", "[::1]:2"]);
        let checks = written("context x", &bare);
        assert_eq!(checks.len(), 2);
        assert!(checks.iter().all(|c| c.state == State::Error), "{checks:?}");
    }
}
