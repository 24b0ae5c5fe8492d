//! The dialplan's contexts, as far as they can be looked at: who answers for each, and its `socket` application.

use std::collections::BTreeSet;
use std::time::Duration;

use super::dialstring::{Leads, leads};
use super::{FAMILY, limits, safe};
use crate::doctor::esl::Session;
use crate::doctor::handlers::Handler;
use crate::doctor::{Check, State, first_of};
use crate::types::Printable;
use crate::xml::tags;

/// A `socket` application in the dialplan.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Socket {
    /// As written: `127.0.0.1:8084 async full`.
    pub data: String,
    /// `socket_resume` is set before it.
    pub resumes: bool,
}

/// A `socket` application with what the calls that come to it do before it, and after it: other extensions are other calls'.
#[derive(Debug)]
pub(super) struct Handover {
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
    /// Where it hands calls to fswake, in the files.
    pub handovers: Vec<Handover>,
    /// A script is asked for it first.
    pub handler: Option<Handler>,
    /// Its bridges.
    pub bridges: Vec<Bridge>,
    /// The contexts that its actions name.
    pub transfers: BTreeSet<String>,
}

/// A `bridge` of the dialplan.
#[derive(Debug)]
pub(super) struct Bridge {
    action: Action,
    /// The actions of its extension before it.
    before: Vec<Action>,
}

/// One action of the dialplan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Action {
    pub application: String,
    pub data: String,
}

impl Action {
    /// The context that it leads to, where it names one.
    fn context(&self) -> Option<&str> {
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

    /// Whether it may go on with the call: all but what ends it, and what only notes or prepares something.
    fn goes_on(&self) -> bool {
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

    /// Whether it rings a user by his dial-string, or this context again.
    fn rings_by_dial_string(&self, context: &str) -> bool {
        // A leg begins the dial-string, or stands behind what parts legs or behind its variables.
        let is_leg = |at: usize| self.data[..at].chars().next_back().is_none_or(|c| ",|]}: ".contains(c));
        let mut users = self.data.match_indices("user/").filter(|(at, _)| is_leg(*at));
        let again = || matches!(leads(&self.data), Leads::To(contexts) if contexts.iter().any(|c| c == context));
        self.application == "bridge" && (users.next().is_some() || again())
    }
}

impl Context {
    /// Looks a context up. A script that answers for the dialplan is not asked for it as in a call, so that what is found
    /// is the one in the files.
    pub(super) async fn find(session: &mut Session, name: &str, handler: Option<Handler>) -> Option<Self> {
        let word = safe(name)?;
        let found = session.api(&format!("xml_locate dialplan context name {word}")).await;
        let xml = found.unwrap_or_default();
        let is_there = tags(&xml).iter().any(|t| t.name == "context");
        Some(Self {
            name: name.to_owned(),
            is_there,
            handovers: handovers(&xml),
            bridges: bridges(&xml),
            transfers: transfers(&xml),
            // FusionPBX leaves such names to the files, and others may do as it does.
            handler: handler.filter(|_| !name.contains('@')),
        })
    }

    /// Calls of dial-strings that lead here reach fswake, as far as can be seen.
    pub(super) fn is_good(&self) -> bool {
        self.has_socket() && self.handler != Some(Handler::FusionPbx)
    }

    /// It has the `socket` application, in the files.
    pub(super) fn has_socket(&self) -> bool {
        !self.handovers.is_empty()
    }

    /// The contexts that its actions lead to and that do not exist, without those that calls go on to after fswake.
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

    /// Why calls of dial-strings that lead here do not reach fswake, where that is certain or nearly so.
    pub(super) fn fault(&self) -> Option<Fault> {
        match self.handler {
            Some(Handler::FusionPbx) => Some(Fault::Taken),
            Some(_) => None,
            None => (!self.is_there).then_some(Fault::Missing),
        }
    }

    /// The contexts that its actions after the `socket` lead to.
    pub(super) fn leads_on(&self) -> impl Iterator<Item = &str> {
        let after = self.handovers.iter().flat_map(|handover| &handover.after);
        after.filter_map(Action::context).filter(|name| *name != self.name)
    }

    /// What becomes of a call that comes back from fswake: `next` are the contexts that it leads on to. `is_led_to` by a
    /// dial-string.
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
        let ends_there = |handover: &Handover| !handover.continues && !handover.after.iter().any(Action::goes_on);
        if is_led_to && self.handovers.iter().any(ends_there) {
            let seen = "nothing after the socket application goes on with the call: calls that wake nobody end there";
            let advice = "write a bridge after it, as fs-conf/dialplan/fswake.xml does";
            checks.push(Check::error(FAMILY, name.clone(), seen, advice));
        }
        let of_next = next.iter().flat_map(|c| &c.bridges).map(|bridge| &bridge.action);
        let after = self.handovers.iter().flat_map(|handover| &handover.after);
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

    /// Times of the dialplan's own that end the wait before fswake does: before its `socket`, and for its bridges to users whose
    /// dial-strings lead to fswake, which `led` names.
    pub(super) fn cut_short(&self, max_wait: Duration, led: &[&str]) -> Option<Check> {
        let before_socket = self
            .handovers
            .iter()
            .filter_map(|handover| limits::of_actions(&handover.before));
        let leads_here = |leg: &str| match leads(leg) {
            Leads::To(contexts) => contexts.iter().any(|context| led.contains(&context.as_str())),
            _ => leg.starts_with("user/"),
        };
        let of_bridges = self.bridges.iter().filter(|_| !led.is_empty()).flat_map(|bridge| {
            let of_legs = limits::of_dial_string(&bridge.action.data, leads_here);
            let rings = bridge.action.data.contains("user/") || matches!(leads(&bridge.action.data), Leads::To(_));
            let of_call = limits::of_actions(&bridge.before).filter(|_| rings);
            of_legs.into_iter().chain(of_call)
        });
        let shortest = before_socket.chain(of_bridges).min()?;
        shortest.is_shorter_than(max_wait).then(|| {
            let name = format!("context {}", Printable(&self.name));
            shortest.finding(name, "", max_wait)
        })
    }

    /// What is wrong with how it is written.
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
            checks.push(Check::new(FAMILY, name, State::Warning, seen).advise(advice));
        }
        checks
    }
}

/// The `socket` applications of a context. What its calls do is in its own extension, and in those before it that go on with the
/// next.
fn handovers(xml: &str) -> Vec<Handover> {
    let (mut found, mut before, mut continues) = (Vec::<Handover>::new(), Vec::<Action>::new(), false);
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
                    found.push(Handover {
                        socket: Socket {
                            resumes: before.iter().any(resumes),
                            data: action.data,
                        },
                        before: before.clone(),
                        after: Vec::new(),
                        continues,
                    });
                } else if let Some(handover) = open.and_then(|at| found.get_mut(at)) {
                    handover.after.push(action);
                } else {
                    before.push(action);
                }
            }
            _ => {}
        }
    }
    found
}

/// The contexts that actions name, on whichever condition.
fn transfers(xml: &str) -> BTreeSet<String> {
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

/// The bridges, each with what its extension does before it.
fn bridges(xml: &str) -> Vec<Bridge> {
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

/// What is wrong with how a `socket` action is written.
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
mod tests {
    use super::*;

    #[test]
    fn shipped_snippets_are_written_well() {
        for file in [
            include_str!("../../../fs-conf/dialplan/fswake.xml"),
            include_str!("../../../fs-conf/dialplan/default/00_fswake.xml"),
        ] {
            let found = handovers(file);
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].socket.addresses(), ["127.0.0.1:8084"]);
            assert!(written("context x", &found[0].socket).is_empty());
        }
        assert!(handovers("can't find anything\n").is_empty());
    }

    #[test]
    fn socket_that_cannot_hold_or_would_strand_a_caller_is_an_error() {
        let bare = r#"<context><action application="socket" data="h:1|[::1]:2"/></context>"#;
        let bare = handovers(bare).remove(0).socket;
        assert_eq!(bare.addresses(), ["h:1", "[::1]:2"]);
        for (data, resumes, errors) in [
            (&*bare.data, false, 1),
            ("h:1 full", false, 0),
            ("h:1 full", true, 1),
            ("h:1 async full", true, 0),
            ("h:1 async full", false, 1),
            ("h:1 async", false, 2),
        ] {
            let data = data.to_owned();
            let checks = written("context x", &Socket { data, resumes });
            let found = checks.iter().filter(|c| c.state == State::Error).count();
            assert_eq!((found, checks.len()), (errors, errors), "{checks:?}");
        }
    }

    fn of(name: &str, actions: &str) -> Context {
        Context {
            name: name.into(),
            is_there: true,
            handovers: handovers(actions),
            handler: None,
            bridges: bridges(actions),
            transfers: transfers(actions),
        }
    }

    const SOCKET: &str =
        r#"<action application="set" data="socket_resume=true"/><action application="socket" data="h:1 async full"/>"#;

    #[test]
    fn every_socket_of_a_context_is_looked_at_with_what_is_set_for_its_own_calls() {
        let bare = r#"<action application="socket" data="h:2 async full"/>"#;
        let context = of(
            "default",
            &format!("<context><extension>{SOCKET}</extension><extension>{bare}</extension></context>"),
        );
        let sockets = context
            .handovers
            .iter()
            .map(|handover| (handover.socket.data.as_str(), handover.socket.resumes));
        assert_eq!(
            sockets.collect::<Vec<_>>(),
            [("h:1 async full", true), ("h:2 async full", false)]
        );
        let findings = context.findings();
        assert!(
            findings.len() == 1 && findings[0].seen.contains("socket h:2"),
            "{findings:?}"
        );
        // Set for all in an extension that goes on with the next.
        let set = r#"<extension continue="true"><action application="set" data="socket_resume=true"/></extension>"#;
        let context = of(
            "default",
            &format!("<context>{set}<extension>{bare}</extension></context>"),
        );
        assert!(context.findings().is_empty(), "{:?}", context.findings());
    }

    #[test]
    fn context_that_calls_are_sent_to_and_nobody_has_is_named() {
        let sends = |data: &str| {
            of(
                "public",
                &format!(r#"<context><action application="transfer" data="{data}"/></context>"#),
            )
        };
        let to = |data: &str| sends(data).transfers.into_iter().collect::<Vec<_>>();
        assert_eq!(to("$1 XML wake"), ["wake"]);
        assert_eq!(to("-bleg 1000 XML wake"), ["wake"]);
        for nowhere in [
            "$1",
            "$1 enum",
            "$1 XML ${user_context}",
            "1000 LUA wake.lua",
            "a b c d",
        ] {
            assert_eq!(to(nowhere), Vec::<String>::new(), "{nowhere}");
        }
        let gone = Context {
            is_there: false,
            ..of("wake", "")
        };
        let found = sends("$1 XML wake").misses(&[gone]).unwrap();
        assert!(
            found
                .seen
                .contains("it sends calls to context wake, which FreeSWITCH's files do not have"),
            "{found:?}"
        );
        assert!(sends("$1 XML wake").misses(&[of("wake", "")]).is_none());
        let by_script = Context {
            is_there: false,
            handler: Some(Handler::Lua),
            ..of("wake", "")
        };
        assert!(sends("$1 XML wake").misses(&[by_script]).is_none());
    }

    #[test]
    fn way_back_from_fswake_is_looked_at() {
        let after = |rest: &str| of("fswake", &format!("<context>{SOCKET}{rest}</context>"));
        let says = |context: &Context, next: &[Context], is_led_to: bool| {
            let found = context.way_back(next, is_led_to);
            assert!(found.iter().all(|c| c.state == State::Error), "{found:?}");
            found.into_iter().map(|c| c.seen).collect::<Vec<_>>().join("; ")
        };
        let plain = r#"<action application="bridge" data="{process_cdr=true}${sofia_contact(*/${dialed_user}@${dialed_domain})}"/>"#;
        assert_eq!(says(&after(plain), &[], true), "");
        for circle in [
            "user/${dialed_user}@${dialed_domain}",
            "{process_cdr=true}user/${dialed_user}@${dialed_domain}",
            "sofia/gateway/x/1,[leg_timeout=5]loopback/${dialed_user}@${dialed_domain}/fswake",
        ] {
            let context = after(&format!(r#"<action application="bridge" data="{circle}"/>"#));
            assert!(says(&context, &[], true).contains("call loops"), "{circle}");
            // Dial-strings that do not lead here make no circle.
            assert_eq!(says(&context, &[], false), "");
        }
        assert!(says(&after(""), &[], true).contains("nothing after the socket"));
        assert_eq!(says(&after(""), &[], false), "");
        // Led on to another context: it has to be there, and not lead back.
        let on = after(r#"<action application="execute_extension" data="next XML fswake-after"/>"#);
        assert_eq!(on.leads_on().collect::<Vec<_>>(), ["fswake-after"]);
        let gone = Context {
            is_there: false,
            ..of("fswake-after", "")
        };
        assert!(says(&on, &[gone], true).contains("goes to context fswake-after, which is not in FreeSWITCH's files"));
        let by_script = Context {
            is_there: false,
            handler: Some(Handler::Lua),
            ..of("fswake-after", "")
        };
        assert_eq!(says(&on, &[by_script], true), "");
        assert_eq!(says(&on, &[of("fswake-after", plain)], true), "");
        let back = of("fswake-after", r#"<action application="bridge" data="user/1@d"/>"#);
        assert!(says(&on, &[back], true).contains("call loops"));
    }

    #[test]
    fn other_extensions_are_other_calls_and_an_end_is_no_way_on() {
        let context = |extension: &str, after: &str| {
            let other = r#"<extension name="other"><action application="transfer" data="1 XML missing"/></extension>"#;
            let before = r#"<extension name="emergency"><action application="set" data="call_timeout=5"/></extension>"#;
            of(
                "default",
                &format!("<context>{before}<extension{extension}>{SOCKET}{after}</extension>{other}</context>"),
            )
        };
        let bridge = r#"<action application="bridge" data="${fswake_bridge}"/>"#;
        let fine = context("", bridge);
        assert_eq!(
            fine.leads_on().count(),
            0,
            "the other extension's context is not fswake's"
        );
        assert!(fine.cut_short(Duration::from_secs(25), &[]).is_none());
        assert!(fine.way_back(&[], true).is_empty());
        for end in [
            r#"<action application="hangup"/>"#,
            r#"<action application="respond" data="480"/>"#,
            r#"<action application="set" data="a=b"/>"#,
        ] {
            let found = context("", end).way_back(&[], true);
            assert!(
                found.len() == 1 && found[0].seen.contains("calls that wake nobody end there"),
                "{end}: {found:?}"
            );
            assert!(
                context(r#" continue="true""#, end).way_back(&[], true).is_empty(),
                "{end}"
            );
        }
        for on in ["voicemail", "lua", "ivr"] {
            let action = format!(r#"<action application="{on}" data="x"/>"#);
            assert!(context("", &action).way_back(&[], true).is_empty(), "{on}");
        }
    }

    #[test]
    fn time_of_the_dialplans_own_that_is_shorter_than_the_wait_is_a_warning() {
        let wait = Duration::from_secs(25);
        let with = |set: &str| {
            let set = format!(r#"<context><action application="set" data="{set}"/>{SOCKET}</context>"#);
            of("fswake", &set).cut_short(wait, &[]).map(|c| (c.state, c.seen))
        };
        let (state, seen) = with("call_timeout=10").unwrap();
        assert_eq!(state, State::Warning);
        assert!(
            seen.starts_with("call_timeout=10 ends the call after 10 s, not wake.max-wait (25 s)"),
            "{seen}"
        );
        for fine in [
            "call_timeout=30",
            "call_timeout=25",
            "call_timeout=${x}",
            "originate_timeout=10",
            "hangup_after_bridge=true",
        ] {
            assert_eq!(with(fine), None, "{fine}");
        }
        let later = format!(r#"<context>{SOCKET}<action application="set" data="call_timeout=10"/></context>"#);
        assert_eq!(of("fswake", &later).cut_short(wait, &[]), None);
    }

    #[test]
    fn bridge_to_users_that_ends_before_the_wait_is_a_warning_where_they_lead_to_fswake() {
        let wait = Duration::from_secs(25);
        let in_extension = |actions: &str| {
            let other = r#"<extension><action application="set" data="call_timeout=5"/></extension>"#;
            of(
                "default",
                &format!("<context>{other}<extension>{actions}</extension></context>"),
            )
        };
        let bridge = |data: &str| format!(r#"<action application="bridge" data="{data}"/>"#);
        let set = r#"<action application="set" data="call_timeout=12"/>"#;
        for (actions, expected) in [
            (bridge("user/1@d"), None),
            (
                format!("{set}{}", bridge("user/1@d")),
                Some("call_timeout=12 ends the call after 12 s"),
            ),
            (bridge("{call_timeout=9}user/1@d"), Some("call_timeout=9 ends")),
            (bridge("[leg_timeout=8]user/1@d,user/2@d"), Some("leg_timeout=8 ends")),
            (bridge("[leg_timeout=8]sofia/gateway/x/1,user/2@d"), None),
            (bridge("{leg_timeout=7}loopback/1@d/fswake"), Some("leg_timeout=7 ends")),
            (bridge("{leg_timeout=7}loopback/1@d/other"), None),
            (format!("{set}{}", bridge("sofia/gateway/x/1")), None),
        ] {
            let found = in_extension(&actions).cut_short(wait, &["fswake"]).map(|c| c.seen);
            match expected {
                None => assert_eq!(found, None, "{actions}"),
                Some(says) => assert!(found.as_ref().is_some_and(|f| f.contains(says)), "{actions}: {found:?}"),
            }
            // Where no dial-string leads to fswake its bridges are nobody's wait.
            assert!(in_extension(&actions).cut_short(wait, &[]).is_none());
        }
    }
}
