//! That calls reach fswake: dial-strings and dialplans that lead there, their contexts, and the port that FreeSWITCH
//! connects to.

mod context;
mod dialplan;
mod dialstring;
mod limits;
mod port;
mod users;
mod verdict;

use std::collections::BTreeSet;

use context::Context;
use users::Users;
use verdict::RoutingChecks;

use super::esl::Session;
use super::handlers::{Handler, Handlers};
use super::profiles::RunningProfile;
use crate::config::Config;
use crate::doctor::check::{Check, ROUTING as FAMILY};
use crate::journal::Wake;
use crate::types::{Device, Printable};

/// The context of dial-string routing, as shipped.
const CONTEXT: &str = "fswake";
/// Where FusionPBX answers for the dialplan (docs/FUSIONPBX.md).
const CONTEXT_FUSIONPBX: &str = "fswake@static";

/// How many contexts are checked at most, apart from those that the last of them lead to.
const MOST: usize = 50;

/// The input for the verdict.
const ASKED: [&str; 5] = ["xml_locate", "user_data", "domain_data", "module_exists", "sofia"];

pub(super) async fn checks(
    session: &mut Session,
    config: &Config,
    handlers: Handlers,
    running: &[RunningProfile],
    known: &[Device],
    wakes: &[&Wake],
) -> Vec<Check> {
    let handler = handlers.dialplan;
    let users = Users::ask(session, known).await;
    let shipped = if handler == Some(Handler::FusionPbx) {
        CONTEXT_FUSIONPBX
    } else {
        CONTEXT
    };
    let mut names: BTreeSet<String> = users.contexts().map(str::to_owned).collect();
    names.insert(shipped.to_owned());
    let to_fswake = find(session, names, handler).await;
    let mut names = BTreeSet::from(["default".to_owned(), "public".to_owned()]);
    names.extend(running.iter().flat_map(|profile| profile.contexts.iter().cloned()));
    names.extend(users.begin_in.iter().cloned());
    let dialplans = reached(session, names, &to_fswake, handler).await;
    let (dialplans, missing): (Vec<Context>, Vec<Context>) = dialplans.into_iter().partition(|c| c.is_there);
    let routings = RoutingChecks {
        users: &users,
        to_fswake: &to_fswake,
        dialplans: &dialplans,
        handler,
        wakes,
    };
    // No answer does not mean that there is nothing.
    let mut checks = vec![match session.unanswered_of(&ASKED) {
        Some((why, advice)) => Check::warning(FAMILY, verdict::NAME, format!("not checked: {why}"), advice),
        None => routings.verdict(),
    }];
    let all: Vec<&Context> = to_fswake.iter().chain(&dialplans).collect();
    checks.extend(all.iter().flat_map(|c| c.findings()));
    if !session.unanswered.contains_key("xml_locate") {
        checks.extend(dialplans.iter().filter_map(|c| c.misses(&missing)));
    }
    let led_to: BTreeSet<&str> = users.contexts().collect();
    for context in &all {
        let next: BTreeSet<String> = context.leads_on().map(str::to_owned).collect();
        let next = find(session, next, handler).await;
        if session.unanswered.contains_key("xml_locate") {
            continue;
        }
        checks.extend(context.way_back(&next, led_to.contains(context.name.as_str())));
        let led: Vec<&str> = led_to.iter().copied().collect();
        checks.extend(context.cut_short(config.policy.max_wait, &led));
    }
    checks.extend(users.cut_short(config.policy.max_wait));
    // Tries every address that a call may be sent to, once.
    let mut tried: Vec<Vec<&str>> = Vec::new();
    let good = all.iter().filter(|c| c.is_good());
    let sockets = good.flat_map(|c| c.handovers.iter().map(move |routing| (c, &routing.socket)));
    for (context, socket) in sockets {
        let addresses = socket.addresses();
        if tried.contains(&addresses) {
            continue;
        }
        let mut check = port::check(session, config, socket).await;
        if !tried.is_empty() {
            check.name = format!("outbound port of context {}", Printable(&context.name));
        }
        tried.push(addresses);
        checks.push(check);
    }
    checks
}

async fn find(session: &mut Session, names: BTreeSet<String>, handler: Option<Handler>) -> Vec<Context> {
    let mut found = Vec::new();
    for name in names {
        found.extend(Context::find(session, &name, handler).await);
    }
    found
}

/// The contexts of these names, and those that their calls are sent on to. `known` were read already.
async fn reached(
    session: &mut Session,
    names: BTreeSet<String>,
    known: &[Context],
    handler: Option<Handler>,
) -> Vec<Context> {
    let (mut found, mut next) = (Vec::<Context>::new(), names);
    while !next.is_empty() && found.len() < MOST {
        next.retain(|name| known.iter().chain(&found).all(|c| c.name != *name));
        let more = find(session, std::mem::take(&mut next), handler).await;
        next.extend(more.iter().flat_map(|c| c.transfers.iter().cloned()));
        found.extend(more);
    }
    found
}

/// The contexts that a dial-string's loopbacks lead to.
pub(super) fn contexts_of(dial_string: &str) -> Vec<String> {
    match dialstring::leads(dial_string) {
        dialstring::Destination::To(contexts) => contexts,
        _ => Vec::new(),
    }
}
