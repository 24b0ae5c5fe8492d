//! Whether calls reach fswake, by all findings.

use std::collections::{BTreeMap, BTreeSet};

use super::context::{Context, Fault};
use super::dialstring::Destination;
use super::users::{Callee, Users, names};
use crate::doctor::check::{Check, ROUTING as FAMILY, first_of};
use crate::doctor::handlers::Handler;
use crate::engine::{self, StepKind};
use crate::journal::Wake;
use crate::types::Printable;

pub(super) const NAME: &str = "calls";
/// How many names are shown at most.
const MOST_SHOWN: usize = 5;

/// What was found.
pub(super) struct RoutingChecks<'a> {
    pub users: &'a Users,
    /// Contexts that dial-strings lead to, and the shipped one.
    pub to_fswake: &'a [Context],
    /// Contexts that calls begin in.
    pub dialplans: &'a [Context],
    /// What answers for the dialplan instead of the files.
    pub handler: Option<Handler>,
    /// The calls of the last days.
    pub wakes: &'a [&'a Wake],
}

/// Users by the routing of their calls; a domain represents all of its users.
#[derive(Default)]
struct CalleesByRouting {
    by_dial_string: Vec<String>,
    by_dialplan: Vec<String>,
    past: Vec<String>,
}

impl RoutingChecks<'_> {
    pub(super) fn verdict(&self) -> Check {
        if let Some(fault) = self.broken().or_else(|| self.unproved()) {
            return fault;
        }
        let is_sent_there = |c: &&Context| self.dialplans.iter().any(|from| from.transfers.contains(&c.name));
        let dialplans: Vec<String> = self
            .dialplans
            .iter()
            .chain(self.to_fswake.iter().filter(is_sent_there))
            .filter(|c| c.is_good())
            .map(|c| Printable(&c.name).to_string())
            .collect();
        let sorted = self.sorted(!dialplans.is_empty());
        let mut routings = Vec::new();
        if !sorted.by_dial_string.is_empty() {
            routings.push(format!("by the dial-string of {}", shown(&sorted.by_dial_string)));
        }
        if !dialplans.is_empty() && (routings.is_empty() || !sorted.by_dialplan.is_empty()) {
            let of = if routings.is_empty() {
                String::new()
            } else {
                format!(", for {}", shown(&sorted.by_dialplan))
            };
            routings.push(format!("by the dialplan, context {}{of}", shown(&dialplans)));
        } else if !sorted.by_dialplan.is_empty() {
            let of = shown(&sorted.by_dialplan);
            routings.push(format!("by a dialplan, as calls of the last days show, for {of}"));
        }
        let seen = routings.join("; ");
        match (routings.is_empty(), sorted.past.is_empty()) {
            (false, true) => Check::ok(FAMILY, NAME, seen),
            (false, false) => Check::warning(
                FAMILY,
                NAME,
                format!(
                    "{seen}; the dial-string of {} does not lead to fswake",
                    shown(&sorted.past)
                ),
                format!(
                    "{}. A user's own dial-string overrides the domain's. Otherwise these users are woken only if the dialplan \
                     calls fswake",
                    self.where_set()
                ),
            ),
            (true, _) => self.none(&sorted.past),
        }
    }

    /// Dial-strings that lead into a context where no call can reach fswake.
    fn broken(&self) -> Option<Check> {
        let mut found: BTreeMap<&str, (Fault, Vec<String>)> = BTreeMap::new();
        let users = self.users.all.iter().map(|u| (&u.leads, label(u)));
        let domains = self.users.domains.iter().map(|(domain, leads)| (leads, domain.clone()));
        for (leads, whose) in users.chain(domains) {
            for context in self.contexts_of(leads) {
                if let Some(fault) = context.fault().filter(|f| !self.is_elsewhere(*f, &whose)) {
                    found
                        .entry(&context.name)
                        .or_insert((fault, Vec::new()))
                        .1
                        .push(whose.clone());
                }
            }
        }
        let mut texts = Vec::new();
        for (name, (fault, whose)) in &found {
            let what = match fault {
                Fault::Taken => "for which FusionPBX's own dialplan answers: calls end in voicemail or nowhere",
                Fault::Missing => "which is not in FreeSWITCH's files: calls to it fail",
            };
            let (whose, name) = (shown(whose), Printable(name));
            texts.push(format!("the dial-string of {whose} leads to context {name}, {what}"));
        }
        if texts.is_empty() {
            return None;
        }
        let advice = if self.is_fusionpbx() {
            "FusionPBX leaves only contexts with an @ in their names to FreeSWITCH's files: rename those of \
             fs-conf/dialplan/fswake.xml and lead the dial-string there, as docs/FUSIONPBX.md does, then Status > SIP Status > \
             Flush Cache and Reload XML"
        } else {
            "install fs-conf/dialplan/fswake.xml and write its context's name into the dial-string, and `reloadxml`"
        };
        Some(Check::error(FAMILY, NAME, texts.join("; "), advice))
    }

    /// A context that is not in the files may be in the script's database: calls through it prove that it is.
    fn is_elsewhere(&self, fault: Fault, whose: &str) -> bool {
        fault == Fault::Missing && self.handler.is_some() && self.came(whose, engine::Routing::DialString)
    }

    /// FusionPBX's recipe has its contexts in the files. One that is missing was there when the last calls came, or
    /// FusionPBX's own dialplan has it.
    fn unproved(&self) -> Option<Check> {
        let leads = self
            .users
            .all
            .iter()
            .map(|u| &u.leads)
            .chain(self.users.domains.values());
        let missing: BTreeSet<String> = leads
            .flat_map(|leads| self.contexts_of(leads))
            .filter(|context| self.is_fusionpbx() && context.fault() == Some(Fault::Missing))
            .map(|context| Printable(&context.name).to_string())
            .collect();
        let names: Vec<String> = missing.into_iter().collect();
        (!names.is_empty()).then(|| {
            Check::warning(
                FAMILY,
                NAME,
                format!(
                    "calls of the last days have come by the dial-string, but context {} is not in FreeSWITCH's files: unless \
                     FusionPBX's own dialplan has it, calls fail now",
                    shown(&names)
                ),
                "install fs-conf/dialplan/fswake.xml as docs/FUSIONPBX.md says, then Status > SIP Status > Reload XML",
            )
        })
    }

    fn contexts_of<'a>(&'a self, leads: &'a Destination) -> impl Iterator<Item = &'a Context> {
        names(leads).filter_map(|name| self.to_fswake.iter().find(|c| c.name == name))
    }

    fn sorted(&self, has_dialplan: bool) -> CalleesByRouting {
        let mut sorted = CalleesByRouting::default();
        let domains: BTreeSet<&str> = self.users.all.iter().map(|u| u.domain.as_str()).collect();
        for domain in domains {
            let asked = self
                .users
                .all
                .iter()
                .filter(|u| u.domain == domain && u.leads != Destination::Nowhere);
            let (led, past): (Vec<&Callee>, Vec<&Callee>) = asked.partition(|u| self.reaches(&u.leads, &label(u)));
            let whole = self
                .users
                .domains
                .get(domain)
                .is_some_and(|leads| self.reaches(leads, domain));
            match (led.is_empty() && !whole, past.is_empty()) {
                (true, true) => {}
                (false, true) => sorted.by_dial_string.push(domain.to_owned()),
                (true, false) if has_dialplan || self.came(domain, engine::Routing::Dialplan) => {
                    sorted.by_dialplan.push(domain.to_owned());
                }
                (true, false) => sorted.past.push(domain.to_owned()),
                (false, false) => {
                    if whole {
                        sorted.by_dial_string.push(domain.to_owned());
                    }
                    sorted.by_dial_string.extend(led.into_iter().map(label));
                    let (by_dialplan, past): (Vec<String>, Vec<String>) = past
                        .into_iter()
                        .map(label)
                        .partition(|u| has_dialplan || self.came(u, engine::Routing::Dialplan));
                    sorted.by_dialplan.extend(by_dialplan);
                    sorted.past.extend(past);
                }
            }
        }
        sorted
    }

    fn reaches(&self, leads: &Destination, whose: &str) -> bool {
        let is_so = |c: &Context| match c.fault() {
            Some(fault) => self.is_elsewhere(fault, whose),
            // Another script's answers cannot be checked.
            None => c.has_socket() || c.handler.is_some(),
        };
        self.contexts_of(leads).any(is_so)
    }

    /// Whether a call to this user or domain has reached fswake with that routing.
    fn came(&self, whose: &str, way: engine::Routing) -> bool {
        self.wakes.iter().any(|wake| {
            let aor = &wake.overview.aor;
            let domain = aor.rsplit_once('@').map(|(_, domain)| domain);
            (aor == whose || domain == Some(whose)) && way_of(wake) == Some(way)
        })
    }

    /// Nothing leads to fswake.
    fn none(&self, past: &[String]) -> Check {
        let context = self.to_fswake.iter().find(|c| c.is_good());
        let string = self.dial_string();
        match (context, past.is_empty()) {
            (Some(context), true) => Check::warning(
                FAMILY,
                NAME,
                format!(
                    "context {} exists, but no device is known whose dial-string could be checked",
                    Printable(&context.name)
                ),
                format!("{string} and look again when phones have registered"),
            ),
            (Some(context), false) => Check::error(
                FAMILY,
                NAME,
                format!(
                    "context {} exists, but no dial-string leads to it ({}){}",
                    Printable(&context.name),
                    shown(past),
                    self.unseen()
                ),
                string,
            ),
            (None, _) => Check::error(
                FAMILY,
                NAME,
                format!("no checked context has the socket application{}", self.unseen()),
                self.install(),
            ),
        }
    }

    /// What cannot be checked.
    fn unseen(&self) -> String {
        self.handler.map_or_else(String::new, |handler| {
            format!(
                "; {} answers for the dialplan, so the doctor cannot read it, and no call has come through it",
                handler.name()
            )
        })
    }

    fn is_fusionpbx(&self) -> bool {
        self.handler == Some(Handler::FusionPbx)
    }

    fn where_set(&self) -> &'static str {
        if self.is_fusionpbx() {
            "set theirs in the field Dial String under Accounts > Extensions (docs/FUSIONPBX.md)"
        } else {
            "set their dial-string as in fs-conf/directory/fswake.xml"
        }
    }

    fn dial_string(&self) -> &'static str {
        if self.is_fusionpbx() {
            "set the Dial String of extensions with a mobile app (Accounts > Extensions) as docs/FUSIONPBX.md says, then \
             Status > SIP Status > Flush Cache"
        } else {
            "set the directory's dial-string as fs-conf/directory/fswake.xml does, and `reloadxml`"
        }
    }

    fn install(&self) -> &'static str {
        if self.is_fusionpbx() {
            "follow docs/FUSIONPBX.md; where its dialplan calls fswake (wake only), call a sleeping phone and look again"
        } else {
            "install fs-conf/dialplan/fswake.xml, set the directory's dial-string as fs-conf/directory/fswake.xml does, and \
             `reloadxml`"
        }
    }
}

fn label(user: &Callee) -> String {
    format!("{}@{}", user.name, user.domain)
}

/// The routing of a call; `None` in an older journal.
fn way_of(wake: &Wake) -> Option<engine::Routing> {
    engine::Routing::from_word(wake.step(StepKind::CallHeld)?.text("way"))
}

fn shown(names: &[String]) -> String {
    first_of(names, MOST_SHOWN)
}

#[cfg(test)]
mod tests;
