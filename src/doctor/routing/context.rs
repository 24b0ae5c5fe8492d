//! The dialplan's contexts, as far as they can be checked: what answers for each, and its `socket` application.

use std::collections::BTreeSet;
use std::time::Duration;

use super::dialplan::{Action, Bridge, Socket, SocketCall, bridges, handovers, transfers};
use super::dialstring::{Destination, leads};
use super::limits;
use crate::doctor::check::{Check, CheckState, ROUTING as FAMILY, first_of};
use crate::doctor::esl::Session;
use crate::doctor::handlers::Handler;
use crate::esl::encode::{self, Argument};
use crate::types::Printable;
use crate::xml::tags;

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
    /// Where it hands calls to fswake, according to the files.
    pub handovers: Vec<SocketCall>,
    /// A script is asked for it first.
    pub handler: Option<Handler>,
    /// Its bridges.
    pub bridges: Vec<Bridge>,
    /// The contexts that its actions name.
    pub transfers: BTreeSet<String>,
}

impl Context {
    /// Looks a context up. A script that answers for the dialplan is not asked as in a call, so this finds the one in
    /// the files.
    pub(super) async fn find(session: &mut Session, name: &str, handler: Option<Handler>) -> Option<Self> {
        let word = Argument::new(name)?;
        let found = session.api(&encode::ask_context(word)).await;
        let xml = found.unwrap_or_default();
        let is_there = tags(&xml).iter().any(|t| t.name == "context");
        Some(Self {
            name: name.to_owned(),
            is_there,
            handovers: handovers(&xml),
            bridges: bridges(&xml),
            transfers: transfers(&xml),
            // FusionPBX leaves such names to the files, and other scripts may do the same.
            handler: handler.filter(|_| !name.contains('@')),
        })
    }

    /// Calls by dial-strings into this context reach fswake, as far as can be checked.
    pub(super) fn is_good(&self) -> bool {
        self.has_socket() && self.handler != Some(Handler::FusionPbx)
    }

    /// It has the `socket` application, in the files.
    pub(super) fn has_socket(&self) -> bool {
        !self.handovers.is_empty()
    }

    /// The contexts that its actions lead to and that do not exist, except those that calls go to after fswake.
    pub(super) fn misses(&self, next: &[Self]) -> Option<Check> {
        let is_after = |name: &str| self.leads_on().any(|next| next == name);
        let gone =
            |c: &&Self| self.transfers.contains(&c.name) && !is_after(&c.name) && !c.is_there && c.handler.is_none();
        let gone: Vec<String> = next
            .iter()
            .filter(gone)
            .map(|c| Printable(&c.name).to_string())
            .collect();
        (!gone.is_empty()).then(|| {
            let seen = format!(
                "it sends calls to context {}, which FreeSWITCH's files do not have: those calls fail",
                first_of(&gone, 3)
            );
            let advice =
                "correct the name in its transfer or execute_extension, or install that context, and `reloadxml`";
            Check::warning(FAMILY, format!("context {}", Printable(&self.name)), seen, advice)
        })
    }

    /// Why calls by dial-strings into this context do not reach fswake, if that is (nearly) certain.
    pub(super) fn fault(&self) -> Option<Fault> {
        match self.handler {
            Some(Handler::FusionPbx) => Some(Fault::Taken),
            Some(_) => None,
            None => (!self.is_there).then_some(Fault::Missing),
        }
    }

    /// The contexts that its actions after the `socket` lead to.
    pub(super) fn leads_on(&self) -> impl Iterator<Item = &str> {
        let after = self.handovers.iter().flat_map(|routing| &routing.after);
        after.filter_map(Action::context).filter(|name| *name != self.name)
    }

    /// What happens to a call that comes back from fswake: `next` are the contexts that it leads to. `is_led_to` by
    /// a dial-string.
    pub(super) fn way_back(&self, next: &[Self], is_led_to: bool) -> Vec<Check> {
        let name = format!("context {}", Printable(&self.name));
        let mut checks = Vec::new();
        for gone in next.iter().filter(|c| !c.is_there && c.handler.is_none()) {
            let seen = format!(
                "after fswake the call goes to context {}, which is not in FreeSWITCH's files: calls that wake nobody fail",
                Printable(&gone.name)
            );
            let advice = "install all of fs-conf/dialplan/fswake.xml, or correct the name, and `reloadxml`";
            checks.push(Check::error(FAMILY, name.clone(), seen, advice));
        }
        let ends_there = |routing: &SocketCall| !routing.continues && !routing.after.iter().any(Action::goes_on);
        if is_led_to && self.handovers.iter().any(ends_there) {
            let seen = "nothing after the socket application goes on with the call: calls that wake nobody end there";
            let advice = "write a bridge after it, as fs-conf/dialplan/fswake.xml does";
            checks.push(Check::error(FAMILY, name.clone(), seen, advice));
        }
        let of_next = next.iter().flat_map(|c| &c.bridges).map(|bridge| &bridge.action);
        let after = self.handovers.iter().flat_map(|routing| &routing.after);
        let mut all = after.chain(of_next);
        if is_led_to && all.any(|action| action.rings_by_dial_string(&self.name)) {
            let seen = "its last bridge rings user/.. or a loopback into this context, whose dial-string leads here again: the \
                        call loops";
            let advice =
                "bridge to ${sofia_contact(*/${dialed_user}@${dialed_domain})}, as fs-conf/dialplan/fswake.xml does";
            checks.push(Check::error(FAMILY, name, seen, advice));
        }
        checks
    }

    /// Times of the dialplan's own that end the wait before fswake does: before its `socket`, and for its bridges to
    /// users whose dial-strings lead to fswake, which `led` names.
    pub(super) fn cut_short(&self, max_wait: Duration, led: &[&str]) -> Option<Check> {
        let before_socket = self
            .handovers
            .iter()
            .filter_map(|routing| limits::of_actions(&routing.before));
        let leads_here = |leg: &str| match leads(leg) {
            Destination::To(contexts) => contexts.iter().any(|context| led.contains(&context.as_str())),
            _ => leg.starts_with("user/"),
        };
        let of_bridges = self.bridges.iter().filter(|_| !led.is_empty()).flat_map(|bridge| {
            let of_legs = limits::of_dial_string(&bridge.action.data, leads_here);
            let rings =
                bridge.action.data.contains("user/") || matches!(leads(&bridge.action.data), Destination::To(_));
            let of_call = limits::of_actions(&bridge.before).filter(|_| rings);
            of_legs.into_iter().chain(of_call)
        });
        let shortest = before_socket.chain(of_bridges).min()?;
        shortest.is_shorter_than(max_wait).then(|| {
            let name = format!("context {}", Printable(&self.name));
            shortest.finding(name, "", max_wait)
        })
    }

    /// What is wrong with its text.
    pub(super) fn findings(&self) -> Vec<Check> {
        let name = format!("context {}", Printable(&self.name));
        let mut checks: Vec<Check> = Vec::new();
        for check in self.handovers.iter().flat_map(|h| written(&name, &h.socket)) {
            if !checks.contains(&check) {
                checks.push(check);
            }
        }
        if !self.has_socket() {
            return checks;
        }
        if let Some(handler) = self.handler.filter(|h| *h != Handler::FusionPbx) {
            let seen = format!("{} may answer for it in place of the file", handler.name());
            let advice = "have the script leave this name to FreeSWITCH's files, or let calls of the last days show that they \
                          arrive (`fswake trace`)";
            checks.push(Check::new(FAMILY, name, CheckState::Warning, seen).advise(advice));
        }
        checks
    }
}

/// What is wrong with the text of a `socket` action.
fn written(name: &str, socket: &Socket) -> Vec<Check> {
    let data = Printable(&socket.data);
    let has = |word: &str| socket.data.split_whitespace().any(|w| w == word);
    let mut checks = Vec::new();
    if !has("full") {
        let seen = format!("socket {data} without full");
        let advice = "write `full` behind the address: without it fswake can order nothing";
        checks.push(Check::error(FAMILY, name, seen, advice));
    }
    let is_async = has("async");
    if socket.resumes && !is_async {
        let seen = format!("socket {data} without async, and socket_resume=true before it");
        let advice =
            "set socket_resume=false, or write `async full`: FreeSWITCH may leave a caller in silence otherwise";
        checks.push(Check::error(FAMILY, name, seen, advice));
    }
    if !socket.resumes && is_async {
        let seen = format!("socket {data} without socket_resume=true before it");
        let advice =
            "set socket_resume=true before the socket application: without it a caller is stuck when fswake dies";
        checks.push(Check::error(FAMILY, name, seen, advice));
    }
    checks
}

#[cfg(test)]
mod tests;
