//! The apps: their files, their certificates, their providers, and the clock.

mod clock;
mod files;

use std::time::SystemTime;

use self::clock::{clock, skew};
use self::files::files;

use super::Daemon;
use super::advice::{advice, advice_without_error};
use super::check::{APPS as FAMILY, AppFault, Check, CheckState, Evidence};
use super::daemon::DaemonApp;
use crate::clock::{span, unix_now};
use crate::config::Config;
use crate::journal::Pattern;
use crate::push::app::{App, Credentials};
use crate::push::{Fault, Probe, Proof, PushErrorKind, Pushers, SetupError};

/// The doctor signs its tokens while it runs: if one is "expired", the clock is wrong.
const CLOCK: PushErrorKind = PushErrorKind::Misconfigured(Fault::Clock);

pub(super) async fn checks(config: &Config, daemon: &Daemon, evidence: &mut Evidence) -> Vec<Check> {
    let mut checks = Vec::new();
    let (mut clocks, mut told_by) = (Vec::new(), Vec::new());
    let unread = |app: &App| {
        let key = format!("app.{}.", app.name);
        config.unread.iter().find(|unread| unread.error.key.starts_with(&key))
    };
    let (apps, closed): (Vec<&App>, Vec<&App>) = config.apps.iter().partition(|app| unread(app).is_none());
    for app in closed {
        checks.extend(unread(app).map(|error| crate::doctor::check::not_by_this_user(FAMILY, app.name.clone(), error)));
    }
    // Each app by itself: a broken one does not affect the others.
    let set_up: Vec<_> = apps
        .iter()
        .map(|app| Pushers::new(vec![(*app).clone()]).err())
        .collect();
    let is_probed = |app: &App, error: &Option<SetupError>| error.is_none() && !is_the_daemons(app, daemon);
    let probed_apps = apps.iter().zip(&set_up).filter(|(app, error)| is_probed(app, error));
    // Together: probes run at once.
    let probed_apps: Vec<App> = probed_apps.map(|(app, _)| (*app).clone()).collect();
    let mut states = Vec::new();
    let mut probes = match Pushers::new(probed_apps) {
        Ok(pushers) => {
            let probes = pushers.probe().await;
            states = pushers.states();
            probes
        }
        Err(error) => {
            let advice = "`fswake check` says the same; the daemon does not start with it";
            checks.push(Check::error(FAMILY, "configuration", error.to_string(), advice));
            Vec::new()
        }
    };
    for (app, error) in apps.into_iter().zip(set_up) {
        checks.extend(files(app, evidence));
        let name = app.name.clone();
        let known = daemon.knows(&app.name);
        let says = |evidence: &mut Evidence| known.map_or_else(Vec::new, |known| said(app, known, evidence));
        if let Some(error) = error {
            let advice = "`fswake check` says the same; the daemon does not start with it";
            checks.push(Check::error(FAMILY, name, error.to_string(), advice));
            continue;
        }
        if is_the_daemons(app, daemon) {
            checks.extend(says(evidence));
            told_by.extend(known.filter(|known| known.is_about_the_clock()).map(|_| name));
            continue;
        }
        let Some(at) = probes.iter().position(|(of, _)| **of == app.name) else {
            continue;
        };
        let Some(probe) = probes.swap_remove(at).1 else {
            checks.push(Check::ok(FAMILY, name, "writes to the log: nothing to reach"));
            continue;
        };
        let now = SystemTime::now();
        clocks.extend(probe.date.map(|date| skew(now, date)));
        if probe.outcome.as_ref().is_err_and(|error| error.kind() == CLOCK) {
            told_by.push(name);
        }
        match &probe.outcome {
            // Errors that only pushes have.
            Ok(_) if known.is_some_and(|known| !known.problems.is_empty()) => checks.extend(says(evidence)),
            _ => checks.push(probed(app, &probe, evidence)),
        }
        let state = states.iter().find(|state| *state.name == app.name);
        let without_error = state.into_iter().flat_map(|state| &state.problems);
        checks.extend(without_error.filter(|problem| problem.error.is_none()).map(|problem| {
            let advice = advice_without_error(problem.kind);
            Check::warning(FAMILY, app.name.clone(), problem.reason.clone(), advice)
        }));
    }
    checks.extend(clock(&clocks, &told_by));
    checks
}

/// Whether the running daemon answers for the app: it probes both keys of Apple's, and knows what pushes get.
fn is_the_daemons(app: &App, daemon: &Daemon) -> bool {
    matches!(app.credentials, Credentials::ApnsToken { .. }) && daemon.knows(&app.name).is_some()
}

/// What the running daemon knows of an app.
fn said(app: &App, known: &DaemonApp, evidence: &mut Evidence) -> Vec<Check> {
    let name = app.name.clone();
    let age = |since: i64| span((unix_now() - since).max(0) * 1000);
    let problems: Vec<Check> = known
        .problems
        .iter()
        .map(|problem| {
            let seen = |text: &str| format!("{text} (from the running daemon, for {})", age(problem.since));
            match problem.error() {
                Some(error) => {
                    let words = problem.words();
                    judged(app, error, seen(&words), words, evidence)
                }
                None => Check::warning(FAMILY, name.clone(), seen(&problem.reason), problem.advice()),
            }
        })
        .collect();
    if !problems.is_empty() {
        return problems;
    }
    let last = known
        .checked
        .map_or_else(String::new, |at| format!(", {} ago", age(at)));
    vec![match (known.state.as_str(), &known.why) {
        ("ok", _) => Check::ok(
            FAMILY,
            name,
            format!("the provider takes what the running daemon sends{last}"),
        ),
        (_, Some(why)) => Check::ok(FAMILY, name, format!("{why} (from the running daemon)")),
        _ => Check::warning(
            FAMILY,
            name,
            "the running daemon has not tried it yet",
            "it does within seconds of its start: run the doctor again",
        ),
    }]
}

fn probed(app: &App, probe: &Probe, evidence: &mut Evidence) -> Check {
    let took = span(i64::try_from(probe.took.as_millis()).unwrap_or(i64::MAX));
    let name = app.name.clone();
    match &probe.outcome {
        Ok(Proof::Taken(how)) => {
            let seen = format!("the provider answers as it should ({how}) after {took}");
            Check::ok(FAMILY, name, seen)
        }
        Ok(proof) => Check::ok(FAMILY, name, format!("{proof} (after {took})")),
        Err(error) => {
            let seen = format!("{error} (after {took})");
            judged(app, error.kind(), seen, error.to_string(), evidence)
        }
    }
}

/// The check for an app's error, in `words`, as it was `seen`.
fn judged(app: &App, error: PushErrorKind, seen: String, words: String, evidence: &mut Evidence) -> Check {
    let name = app.name.clone();
    let (pattern, advice) = advice(app, error);
    let mut check = Check::error(FAMILY, name, seen, advice.clone());
    check.pattern = pattern;
    let told = AppFault {
        app: app.name.clone(),
        says: words,
        advice,
        check: check.title(),
    };
    match pattern {
        Some(Pattern::ProviderUnreachable) => evidence.unreachable.push(told),
        // It may pass in a minute.
        Some(Pattern::ProviderBusy) => check.state = CheckState::Warning,
        Some(_) => match evidence.refused.iter().find(|known| known.app == app.name) {
            // The certificate's own check has reported it.
            Some(known) => check.follows_from = Some(known.check.clone()),
            None => evidence.refused.push(told),
        },
        None if error == CLOCK => check.follows_from = Some(format!("{FAMILY}, clock")),
        None => check.state = CheckState::Warning,
    }
    check
}
