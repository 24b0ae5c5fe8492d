//! `fswake doctor`: looks at everything that a wake needs, and says what to do.
//!
//! | module | what it looks at |
//! |---|---|
//! | `esl` | its questions to FreeSWITCH |
//! | `freeswitch` | login, permissions, version, modules |
//! | `handlers` | whether a script answers for dialplan and profiles in place of the files: FusionPBX |
//! | `profiles`, `sofia` | the profiles that run; their parameters |
//! | `wayin` | that calls reach fswake: context, dial-strings, dialplan, the outbound port |
//! | `store` | file, schema, disk |
//! | `daemon` | the running daemon: what it knows of its apps, as whom it runs |
//! | `advice` | what to do about a push that is not taken |
//! | `apps` | credential files, certificates, the providers themselves, clocks |
//! | `devices` | devices without credentials, set aside, unseen |
//! | `wakes` | the journal: bounces, late REGISTERs, and the known patterns |
//!
//! It needs no daemon and disturbs none: what it sends reaches no phone, the one channel that it makes in FreeSWITCH calls nobody,
//! and it neither listens where the daemon does nor signs with a key that the daemon signs with.

pub(crate) mod advice;
mod apps;
mod daemon;
mod devices;
mod esl;
mod freeswitch;
mod handlers;
mod profiles;
mod sofia;
mod store;
mod wakes;
mod wayin;

use std::time::Duration;

use serde::Serialize;

pub use daemon::{Daemon, Said, listens};

use crate::config::{Config, For, Unread};
use crate::journal::{Journal, JournalError, Pattern};
use crate::xml;

/// The script that answers for the dialplan, by its name, as `lua.conf.xml` says.
pub(crate) fn script_for_dialplan(lua: &str) -> Option<&'static str> {
    handlers::of_lua(lua).dialplan.map(handlers::Handler::name)
}

/// Whether a line of FreeSWITCH's directory is a dial-string with a loopback into this context.
pub(crate) fn leads_into(line: &str, context: &str) -> bool {
    let mut values = params(line).into_iter().filter(|(name, _)| name == "dial-string");
    values.any(|(_, value)| wayin::contexts_of(&value).iter().any(|found| found == context))
}

/// Names and values of all `<param>`s of a file of FreeSWITCH's.
pub(crate) fn params(xml: &str) -> Vec<(String, String)> {
    pairs(xml, "param", "name", "value")
}

/// Commands and data of all `<X-PRE-PROCESS>` of a file of FreeSWITCH's.
pub(crate) fn preprocessor(xml: &str) -> Vec<(String, String)> {
    pairs(xml, "X-PRE-PROCESS", "cmd", "data")
}

/// Names of all `<context>`s of a file of FreeSWITCH's dialplan.
pub(crate) fn contexts(xml: &str) -> Vec<String> {
    let tags = xml::tags(xml).into_iter().filter(|tag| tag.name == "context");
    tags.map(|tag| tag.attribute("name").to_owned()).collect()
}

fn pairs(xml: &str, element: &str, first: &str, second: &str) -> Vec<(String, String)> {
    let tags = xml::tags(xml).into_iter().filter(|tag| tag.name == element);
    tags.map(|tag| (tag.attribute(first).to_owned(), tag.attribute(second).to_owned()))
        .collect()
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// It works, and could work better; or it could not be checked.
    Warning,
    /// Phones are not woken because of it, or soon will not be.
    Error,
}

impl State {
    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What it belongs to.
    pub family: &'static str,
    /// What was looked at.
    pub name: String,
    /// How it ended.
    pub state: State,
    /// What was seen, fit for a terminal.
    pub seen: String,
    /// What to do, where there is something.
    pub advice: Option<String>,
    /// The known pattern that it stands for.
    pub pattern: Option<Pattern>,
    /// The check that has found the same fault: mended there, it is mended here.
    pub follows_from: Option<String>,
}

impl Check {
    fn new(family: &'static str, name: impl Into<String>, state: State, seen: impl Into<String>) -> Self {
        Self {
            family,
            name: name.into(),
            state,
            seen: seen.into(),
            advice: None,
            pattern: None,
            follows_from: None,
        }
    }

    fn ok(family: &'static str, name: impl Into<String>, seen: impl Into<String>) -> Self {
        Self::new(family, name, State::Ok, seen)
    }

    fn warning(
        family: &'static str,
        name: impl Into<String>,
        seen: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self::new(family, name, State::Warning, seen).advise(advice)
    }

    fn error(
        family: &'static str,
        name: impl Into<String>,
        seen: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self::new(family, name, State::Error, seen).advise(advice)
    }

    /// What it is called where it stands by itself.
    pub fn title(&self) -> String {
        format!("{}, {}", self.family, self.name)
    }

    fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

/// What the checks of one family tell those of another.
#[derive(Debug, Default)]
struct Evidence {
    /// The provider refused an app's credentials, or its certificate has ended.
    refused: Vec<Told>,
    /// An app's provider could not be reached.
    unreachable: Vec<Told>,
    /// Devices that no app serves, by provider and app id.
    unserved: Vec<String>,
}

/// What was found of an app.
#[derive(Debug)]
struct Told {
    app: String,
    said: String,
    advice: String,
    /// The check that says so.
    check: String,
}

/// Looks at everything, with the journal's wakes of this long.
pub async fn examine(config: &Config, since: Duration, daemon: &Daemon) -> Vec<Check> {
    let mut evidence = Evidence::default();
    let runs_as = config.listen.addresses.iter().find_map(listens);
    let mut checks = store::checks(&config.store, runs_as);
    let journal = Journal::open(&config.store.path);
    let known = match &journal {
        Ok(journal) => journal.devices(),
        // The store's own check has said so.
        Err(JournalError::Missing { .. }) => Ok(Vec::new()),
        Err(error) => Err(error.clone()),
    };
    let asked_for = known.as_deref().unwrap_or_default();
    let wakes = journal.as_ref().ok().map(|journal| wakes::read(journal, since));
    let heard = wakes.as_ref().and_then(|w| w.as_deref().ok()).unwrap_or_default();
    let mut all = Vec::new();
    let login = match config.unread("freeswitch.password-file") {
        Some(unread) => Err(Box::new(not_by_this_user("freeswitch", "login", unread))),
        None => esl::Session::open(&config.freeswitch).await,
    };
    match login {
        Ok(mut session) => {
            all.extend(freeswitch::checks(&mut session).await);
            let handlers = handlers::Handlers::find(&mut session).await;
            let running = profiles::running(&mut session).await;
            all.extend(sofia::checks(&mut session, &running, handlers).await);
            let running = running.unwrap_or_default();
            all.extend(wayin::checks(&mut session, config, handlers, &running, asked_for, heard).await);
        }
        Err(check) => all.push(*check),
    }
    all.append(&mut checks);
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
    all
}

/// A store that this user may not read says nothing of the daemon's; any other that cannot be read does.
fn unread(family: &'static str, name: &str, error: &JournalError) -> Check {
    let state = match error {
        JournalError::NotAllowed { .. } => State::Warning,
        _ => State::Error,
    };
    Check::new(family, name, state, error.to_string()).advise(error.advice())
}

/// What cannot be looked at because this user may not read a file that the daemon may.
fn not_by_this_user(family: &'static str, name: impl Into<String>, unread: &Unread) -> Check {
    let error = &unread.error;
    let advice = match unread.to {
        For::AnotherUser => "run the doctor as root, or as a user who may read the file",
        For::Systemd => {
            "nothing is wrong if the unit gives it to the daemon (LoadCredential=); else the daemon does not start with it"
        }
        For::Nobody => {
            let advice = "`fswake check` says the same; the daemon does not start with it";
            return Check::error(family, name, error.to_string(), advice);
        }
    };
    Check::warning(family, name, format!("not looked at: {error}"), advice)
}

/// How many faults there are of this kind, each counted once however many checks have met it.
pub fn count(checks: &[Check], state: State) -> usize {
    let of_state = checks.iter().filter(|check| check.state == state);
    of_state.filter(|check| check.follows_from.is_none()).count()
}

/// Which error to mend first: a clock that is wrong makes credentials look wrong, and everything else is in the order in
/// which a wake needs it.
pub fn first_to_fix(checks: &[Check]) -> Option<&Check> {
    let mut errors = checks
        .iter()
        .filter(|check| check.state == State::Error && check.follows_from.is_none());
    let clock = errors.clone().find(|check| check.name == "clock");
    clock.or_else(|| errors.next())
}

/// A list of at most so many items, and how many more there are.
fn first_of(items: &[String], most: usize) -> String {
    let text = items[..items.len().min(most)].join(", ");
    match items.len().saturating_sub(most) {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}
