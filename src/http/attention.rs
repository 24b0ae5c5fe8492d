//! What needs an operator: the problem, how many phones it affects, and what to do.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::cache::Census;
use super::census;
use super::{ProblemDetails, Site};
use crate::doctor::STORE_FILE;
use crate::doctor::advice::{advice, advice_without_error};
use crate::esl::nodes::Node;
use crate::push::app::App;
use crate::push::apps::status::{AppState, ProblemKind};
use crate::push::{Fault, PushErrorKind};
use crate::types::UnixSeconds;

/// How many days before a certificate expires it is listed.
const SOON_DAYS: i64 = 60;
/// The most app ids that are named where no app serves them.
const MOST_NAMED: usize = 5;

#[derive(Debug, Serialize)]
pub(super) struct Attention {
    /// How many phones are known; `null` while they cannot be counted.
    phones: Option<u64>,
    items: Vec<Item>,
}

/// One thing to do.
#[derive(Debug, Serialize)]
struct Item {
    what: String,
    level: Level,
    problem: String,
    advice: String,
    /// How many phones cannot be woken because of it, or soon cannot; `null` if it is not about phones or they
    /// cannot be counted.
    phones: Option<u64>,
    since: Option<UnixSeconds>,
}

/// How bad it is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    /// Phones are not woken, or stored data will be lost.
    Error,
    /// Nothing fails yet.
    Warning,
}

/// All of it, worst first.
pub(super) async fn list(State(site): State<Arc<Site>>) -> Json<Attention> {
    // A separate item reports an unreadable store.
    let census: Result<Arc<Census>, ProblemDetails> = census::take(&site).await;
    let census = census.as_deref().ok();
    let mut items: Vec<Item> = event_sockets(&site, census)
        .into_iter()
        .chain(store(&site))
        .chain(store_file(&site))
        .chain(shared_store(&site))
        .chain(shared_journal(&site))
        .collect();
    let apps = site.pushers.apps();
    items.extend(apps.iter().flat_map(|(app, state)| of_app(app, state, census)));
    items.extend(census.and_then(no_app));
    items.sort_by_key(|item| matches!(item.level, Level::Warning));
    Json(Attention {
        phones: census.map(|census| census.known),
        items,
    })
}

fn event_sockets(site: &Site, census: Option<&Census>) -> Vec<Item> {
    let all = site.freeswitches().filter(|node| !node.is_up());
    let item = |node: &Node| Item {
        what: "FreeSWITCH".into(),
        level: Level::Error,
        problem: format!("no connection to its event socket at {}", node.address()),
        advice: "fswake keeps trying. Where FreeSWITCH runs, compare [freeswitch] with its event_socket.conf.xml: \
                 address, password, ACL. `fswake doctor` says which it is."
            .into(),
        // Of several, it is not known whose phones they are.
        phones: census.filter(|_| site.nodes.count() == 1).map(|census| census.known),
        since: None,
    };
    all.map(item).collect()
}

fn store(site: &Site) -> Option<Item> {
    site.store.health().failing.map(|failing| Item {
        what: "store".into(),
        level: Level::Error,
        problem: format!("cannot be written: {}", failing.reason),
        advice: "Make room on its disk, and let fswake's user write there: what is in memory is written then. Until then, a \
                 restart forgets the tokens of phones that registered since."
            .into(),
        phones: None,
        since: Some(failing.since),
    })
}

fn store_file(site: &Site) -> Option<Item> {
    site.store.health().is_replaced.then(|| Item {
        what: STORE_FILE.into(),
        level: Level::Error,
        problem: format!(
            "{} was moved, deleted or replaced: fswake writes to the old file",
            site.store_path.display()
        ),
        advice:
            "Stop fswake, put the file that it is to use in place, without -wal and -shm of another file, and start it."
                .into(),
        phones: None,
        since: None,
    })
}

fn shared_journal(site: &Site) -> Option<Item> {
    let health = site.shared.as_ref()?.health();
    // The shared store is an item of its own.
    let failing = health.journal.failing.filter(|_| health.devices.failing.is_none())?;
    Some(Item {
        what: "shared journal".into(),
        level: Level::Warning,
        problem: format!("cannot be used: {}", failing.reason),
        advice:
            "run `fswake doctor`. Until then wakes of other daemons are missing here, and those of this one at others."
                .into(),
        phones: None,
        since: Some(failing.since),
    })
}

fn shared_store(site: &Site) -> Option<Item> {
    let health = site.shared.as_ref()?.health();
    health.devices.failing.map(|failing| Item {
        what: "shared store".into(),
        level: Level::Warning,
        problem: format!("cannot be used: {}", failing.reason),
        advice: "run `fswake doctor`. Until then calls are woken from memory. Phones that register at this daemon are sent later; \
                 those that register at others are not known here."
            .into(),
        phones: None,
        since: Some(failing.since),
    })
}

fn of_app(app: &App, state: &AppState, census: Option<&Census>) -> Vec<Item> {
    let phones = census.map(|census| census.by_app.get(&state.name).copied().unwrap_or(0));
    let item = |level, problem: String, advice: String, since| Item {
        what: format!("app {}", state.name),
        level,
        problem,
        advice: sentence(&advice),
        phones,
        since,
    };
    let mut items: Vec<_> = state
        .problems
        .iter()
        .map(|problem| {
            let reason = &problem.reason;
            let text = match problem.kind {
                ProblemKind::Refused => format!("its provider rejects the credentials: {reason}"),
                ProblemKind::BrokenFile => format!("its new file cannot be used: {reason}"),
                ProblemKind::Expired | ProblemKind::OldKey | ProblemKind::NextKey => reason.clone(),
                ProblemKind::Rejected => format!("its provider refuses the pushes: {reason}"),
                ProblemKind::Unreachable => format!("its provider cannot be reached: {reason}"),
                ProblemKind::NoAnswer => format!("its provider does not answer: {reason}"),
                ProblemKind::Busy => format!("its provider takes no pushes for now: {reason}"),
            };
            let (level, advice) = match &problem.error {
                Some(error) => (Level::Error, to_do(app, error.kind())),
                None => (Level::Warning, advice_without_error(problem.kind).to_owned()),
            };
            item(level, text, advice, Some(problem.since))
        })
        .collect();
    if let Some(days) = state.days_left.filter(|days| (0..SOON_DAYS).contains(days)) {
        let problem = format!(
            "its certificate ends in {days} {}",
            if days == 1 { "day" } else { "days" }
        );
        let advice = to_do(app, PushErrorKind::Misconfigured(Fault::CertificateExpired));
        items.push(item(Level::Warning, problem, advice, None));
    }
    // Provider `log` accepts every push and wakes no phone.
    if state.only_logs() && phones.is_some_and(|phones| phones > 0) {
        let problem = "writes its pushes to the log: no phone is woken".to_owned();
        let advice = "add an [[app]] with the app's credentials to the configuration, then `systemctl reload fswake`";
        items.push(item(Level::Warning, problem, advice.to_owned(), None));
    }
    items
}

fn to_do(app: &App, error: PushErrorKind) -> String {
    advice(app, error).1
}

/// Advice without its context.
fn sentence(advice: &str) -> String {
    let mut letters = advice.chars();
    let first = letters.next().map(|c| c.to_ascii_uppercase());
    let end = if advice.ends_with(['.', '?']) { "" } else { "." };
    first.into_iter().chain(letters).chain(end.chars()).collect()
}

/// Phones whose app is not configured.
fn no_app(census: &Census) -> Option<Item> {
    let phones = census.unserved.values().sum::<u64>();
    if phones == 0 {
        return None;
    }
    let named = census.unserved.keys().take(MOST_NAMED);
    let mut named: Vec<_> = named.map(|(provider, app)| format!("{provider} {app}")).collect();
    if census.unserved.len() > MOST_NAMED {
        named.push(format!("{} others", census.unserved.len() - MOST_NAMED));
    }
    Some(Item {
        what: "phones without an app".into(),
        level: Level::Error,
        problem: format!("no [[app]] serves {}", named.join(", ")),
        advice: "Add an [[app]] with this id in app-ids and its credentials, then `systemctl reload fswake`. Remove \
                 phones of other apps with `fswake devices forget`."
            .into(),
        phones: Some(phones),
        since: None,
    })
}
