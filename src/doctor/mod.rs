//! `fswake doctor`: checks everything that a wake needs, and gives advice.
//!
//! | module | what it looks at |
//! |---|---|
//! | `esl` | its questions to FreeSWITCH |
//! | `freeswitch` | login, permissions, version, modules |
//! | `handlers` | whether a script such as FusionPBX's answers for dialplan and profiles instead of the files |
//! | `profiles`, `sofia` | the profiles that run; their parameters |
//! | `routing` | that calls are routed to fswake: context, dial-strings, dialplan, the outbound port |
//! | `check` | what a check reports |
//! | `store` | file, schema, disk |
//! | `daemon` | the running daemon: what it knows of its apps, and its user |
//! | `advice` | advice for pushes that are not taken |
//! | `apps` | credential files, certificates, the providers themselves, clocks |
//! | `devices` | devices without credentials, set aside, unseen |
//! | `wakes` | the journal: bounces, late REGISTERs, and the known patterns |
//!
//! It needs no daemon and disturbs none. What it sends reaches no phone, and its one channel in FreeSWITCH calls
//! nobody. It does not listen on the daemon's ports or sign with the daemon's keys.

pub(crate) mod advice;
mod apps;
mod check;
mod cluster;
mod daemon;
mod devices;
mod esl;
mod freeswitch;
mod handlers;
mod legs;
mod profiles;
mod routing;
mod sofia;
mod store;
mod wakes;

use std::time::Duration;

pub use check::{Check, CheckState, count, first_to_fix};
use check::{Evidence, not_by_this_user};
pub use cluster::DaemonCluster;
pub use daemon::{Daemon, DaemonApps, DaemonAttention, listens};
pub(crate) use store::STORE_FILE;

use crate::config::{Config, FreeSwitch};
use crate::esl::encode;
use crate::journal::{Journal, JournalError, Wake};
use crate::types::Device;
use crate::xml;

/// The script that answers for the dialplan, by its name in `lua.conf.xml`.
pub(crate) fn script_for_dialplan(lua: &str) -> Option<&'static str> {
    handlers::of_lua(lua).dialplan.map(handlers::Handler::name)
}

/// Whether a line of FreeSWITCH's directory is a dial-string with a loopback into this context.
pub(crate) fn leads_into(line: &str, context: &str) -> bool {
    let mut values = params(line).into_iter().filter(|(name, _)| name == "dial-string");
    values.any(|(_, value)| routing::contexts_of(&value).iter().any(|found| found == context))
}

/// Names and values of all `<param>`s of one of FreeSWITCH's files.
pub(crate) fn params(xml: &str) -> Vec<(String, String)> {
    pairs(xml, "param", "name", "value")
}

/// Commands and data of all `<X-PRE-PROCESS>` of one of FreeSWITCH's files.
pub(crate) fn preprocessor(xml: &str) -> Vec<(String, String)> {
    pairs(xml, "X-PRE-PROCESS", "cmd", "data")
}

/// Names of all `<context>`s of one of FreeSWITCH's dialplan files.
pub(crate) fn contexts(xml: &str) -> Vec<String> {
    let tags = xml::tags(xml).into_iter().filter(|tag| tag.name == "context");
    tags.map(|tag| tag.attribute("name").to_owned()).collect()
}

fn pairs(xml: &str, element: &str, first: &str, second: &str) -> Vec<(String, String)> {
    let tags = xml::tags(xml).into_iter().filter(|tag| tag.name == element);
    tags.map(|tag| (tag.attribute(first).to_owned(), tag.attribute(second).to_owned()))
        .collect()
}

/// Checks everything, with the journal's wakes of this long.
pub async fn examine(config: &Config, since: Duration, daemon: &Daemon) -> Vec<Check> {
    let mut evidence = Evidence::default();
    let runs_as = config.listen.addresses.iter().find_map(listens);
    let mut checks = store::checks(&config.store, runs_as);
    checks.extend(store::in_use(daemon));
    let journal = Journal::open(&config.store.path);
    let known = match &journal {
        Ok(journal) => journal.devices(),
        // The store's own check has reported it.
        Err(JournalError::Missing { .. }) => Ok(Vec::new()),
        Err(error) => Err(error.clone()),
    };
    let asked_for = known.as_deref().unwrap_or_default();
    let wakes = journal.as_ref().ok().map(|journal| wakes::read(journal, since));
    // Calls that other daemons' FreeSWITCHes routed say nothing of this one's.
    let own = journal.as_ref().ok().and_then(Journal::daemon);
    let heard = wakes.as_ref().and_then(|w| w.as_deref().ok()).unwrap_or_default();
    let is_own = |wake: &&Wake| own.is_none() || wake.overview.daemon.as_deref() == own;
    let heard: Vec<_> = heard.iter().filter(is_own).collect();
    let mut all = Vec::new();
    let mut cores = Vec::new();
    for node in config.freeswitch.iter().filter(|_| config.has_freeswitch) {
        let mut found = of_node(config, node, (asked_for, &heard), &mut cores).await;
        if config.freeswitch.len() > 1 {
            for check in &mut found {
                check.name = format!("{} ({})", check.name, node.name);
            }
        }
        all.extend(found);
    }
    all.extend(cluster::twins(&cores));
    all.extend(cluster::daemon(config, daemon.cluster()));
    all.append(&mut checks);
    all.extend(store::shared::checks(config).await);
    all.extend(apps::checks(config, daemon, &mut evidence).await);
    match &known {
        Ok(known) => all.extend(devices::checks(config, known, &mut evidence)),
        Err(error) => all.push(devices::unread(error)),
    }
    match &wakes {
        Some(Ok(wakes)) => all.extend(wakes::checks(wakes, config, since, &evidence)),
        Some(Err(error)) => all.push(wakes::unread(error)),
        None => {}
    }
    all.extend(journal.ok().and_then(|journal| wakes::missing(&journal)));
    all
}

/// Checks one FreeSWITCH. Notes its own id.
async fn of_node(
    config: &Config,
    node: &FreeSwitch,
    (asked_for, heard): (&[Device], &[&Wake]),
    cores: &mut Vec<(String, String)>,
) -> Vec<Check> {
    let login = match config.unread("freeswitch.password-file") {
        Some(unread) => Err(Box::new(not_by_this_user("freeswitch", "login", unread))),
        None => esl::Session::open(&node.endpoint).await,
    };
    let mut session = match login {
        Ok(session) => session,
        Err(check) => return vec![*check],
    };
    let mut all = freeswitch::checks(&mut session).await;
    let handlers = handlers::Handlers::find(&mut session).await;
    let running = profiles::running(&mut session).await;
    let written = sofia::written(&mut session).await;
    all.extend(sofia::checks(&session, &running, &written, handlers));
    let running = running.unwrap_or_default();
    all.extend(routing::checks(&mut session, config, handlers, &running, asked_for, heard).await);
    if config.freeswitch.len() > 1 {
        let others: Vec<_> = config
            .freeswitch
            .iter()
            .filter(|other| other.name != node.name)
            .collect();
        all.extend(legs::checks(&mut session, node, &others, &running, &written).await);
        all.push(cluster::claims(&mut session).await);
        if let Ok(core) = session.api(encode::ASK_CORE).await {
            cores.push((node.name.clone(), core));
        }
    }
    all
}

#[cfg(test)]
mod testing;
