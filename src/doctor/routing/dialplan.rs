//! The actions of a dialplan's context, as FreeSWITCH prints its XML.

use std::collections::BTreeSet;

use super::dialstring::{Destination, leads};
use crate::xml::tags;

/// A `socket` application in the dialplan.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Socket {
    /// As written: `127.0.0.1:8084 async full`.
    pub data: String,
    /// `socket_resume` is set before it.
    pub resumes: bool,
}

/// A `socket` application with the actions before and after it: other extensions are other calls'.
#[derive(Debug)]
pub(super) struct SocketCall {
    pub socket: Socket,
    pub before: Vec<Action>,
    pub after: Vec<Action>,
    /// Other extensions may follow (`continue`).
    pub continues: bool,
}

impl Socket {
    /// The addresses in it.
    pub(super) fn addresses(&self) -> Vec<&str> {
        let first = self.data.split_whitespace().next().unwrap_or_default();
        first.split('|').filter(|a| !a.is_empty()).collect()
    }
}

/// A `bridge` of the dialplan.
#[derive(Debug)]
pub(super) struct Bridge {
    pub action: Action,
    /// The actions of its extension before it.
    pub before: Vec<Action>,
}

/// One action of the dialplan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Action {
    pub application: String,
    pub data: String,
}

impl Action {
    /// The context that it leads to, where it names one.
    pub(super) fn context(&self) -> Option<&str> {
        let leads = matches!(self.application.as_str(), "transfer" | "execute_extension");
        let words = self
            .data
            .split_whitespace()
            .filter(|word| !matches!(*word, "-bleg" | "-both"));
        let words: Vec<&str> = words.collect();
        match words[..] {
            [_, dialplan, name] if leads && dialplan.eq_ignore_ascii_case("XML") && !name.contains('$') => Some(name),
            _ => None,
        }
    }

    /// Whether it may go on with the call: all but actions that end it, and those that only log or prepare something.
    pub(super) fn goes_on(&self) -> bool {
        let no = [
            "hangup",
            "respond",
            "set",
            "unset",
            "multiset",
            "multiunset",
            "export",
            "log",
            "info",
            "event",
            "presence",
            "answer",
            "pre_answer",
            "ring_ready",
            "sleep",
            "sched_hangup",
            "verbose_events",
        ];
        !no.contains(&self.application.as_str())
    }

    /// Whether it rings a user by dial-string, or leads into this context again.
    pub(super) fn rings_by_dial_string(&self, context: &str) -> bool {
        // A leg begins the dial-string, or follows a separator or its variables.
        let is_leg = |at: usize| self.data[..at].chars().next_back().is_none_or(|c| ",|]}: ".contains(c));
        let mut users = self.data.match_indices("user/").filter(|(at, _)| is_leg(*at));
        let again = || matches!(leads(&self.data), Destination::To(contexts) if contexts.iter().any(|c| c == context));
        self.application == "bridge" && (users.next().is_some() || again())
    }
}

/// The `socket` applications of a context. The actions of its calls are in its own extension, and in those before it
/// that go on with the next.
pub(super) fn handovers(xml: &str) -> Vec<SocketCall> {
    let (mut found, mut before, mut continues) = (Vec::<SocketCall>::new(), Vec::<Action>::new(), false);
    // Of the extension that is read.
    let mut open = None;
    for tag in tags(xml) {
        match tag.name.as_str() {
            "extension" => {
                open = None;
                if !continues {
                    before.clear();
                }
                continues = tag.attribute("continue") == "true";
            }
            "action" => {
                let action = Action {
                    application: tag.attribute("application").to_owned(),
                    data: tag.attribute("data").to_owned(),
                };
                if action.application == "socket" && open.is_none() {
                    let resumes =
                        |a: &Action| a.application == "set" && a.data.replace(' ', "") == "socket_resume=true";
                    open = Some(found.len());
                    found.push(SocketCall {
                        socket: Socket {
                            resumes: before.iter().any(resumes),
                            data: action.data,
                        },
                        before: before.clone(),
                        after: Vec::new(),
                        continues,
                    });
                } else if let Some(routing) = open.and_then(|at| found.get_mut(at)) {
                    routing.after.push(action);
                } else {
                    before.push(action);
                }
            }
            _ => {}
        }
    }
    found
}

/// The contexts that actions name, under any condition.
pub(super) fn transfers(xml: &str) -> BTreeSet<String> {
    let actions = tags(xml)
        .into_iter()
        .filter(|tag| matches!(tag.name.as_str(), "action" | "anti-action"));
    let named = actions.filter_map(|tag| {
        let action = Action {
            application: tag.attribute("application").to_owned(),
            data: tag.attribute("data").to_owned(),
        };
        action.context().map(str::to_owned)
    });
    named.collect()
}

/// The bridges, each with the actions before it in its extension.
pub(super) fn bridges(xml: &str) -> Vec<Bridge> {
    let (mut found, mut before) = (Vec::new(), Vec::new());
    for tag in tags(xml) {
        match tag.name.as_str() {
            "extension" => before.clear(),
            "action" => {
                let action = Action {
                    application: tag.attribute("application").to_owned(),
                    data: tag.attribute("data").to_owned(),
                };
                if action.application == "bridge" {
                    found.push(Bridge {
                        action: action.clone(),
                        before: before.clone(),
                    });
                }
                before.push(action);
            }
            _ => {}
        }
    }
    found
}
