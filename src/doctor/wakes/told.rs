//! What providers said of pushes that were not taken: the advice belongs to the app and to the kind of the failure.

use std::collections::{BTreeMap, BTreeSet};

use super::{FEW, Found, Part, app, first_of};
use crate::config::Config;
use crate::doctor::apps::advice;
use crate::doctor::{State, Told};
use crate::journal::Pattern;
use crate::journal::attempt::Refusal;
use crate::types::Printable;

/// At most so many different advices are given.
const ADVICES: usize = 3;

/// What providers said in wakes, and to the doctor's own probes.
pub(super) fn told(parts: &[Part], pattern: Pattern, probed: &[Told], config: &Config) -> Found {
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    // Of each app what its provider says now, or said most often.
    let mut advices: Vec<(String, String)> = Vec::new();
    advices.extend(probed.iter().map(|told| (told.app.clone(), told.advice.clone())));
    let mut of_calls: BTreeMap<(String, String), usize> = BTreeMap::new();
    for part in parts.iter().filter(|p| p.pattern == Some(pattern)) {
        let (refusal, reason) = match &part.attempt.refused {
            Some((refusal, reason)) => (*refusal, reason.as_str()),
            None => (Refusal::Unanswered, "no answer"),
        };
        *reasons
            .entry(format!("{}: {}", app(&part.attempt), Printable(reason)))
            .or_default() += 1;
        let (of, advice) = match part.app(config) {
            Some(app) => (app.name.clone(), advice(app, &refusal.error(reason)).1),
            None => (app(&part.attempt), "no [[app]] serves these phones any more".to_owned()),
        };
        if !probed.iter().any(|told| told.app == of) {
            *of_calls.entry((of, advice)).or_default() += 1;
        }
    }
    let mut bad: Vec<String> = probed
        .iter()
        .map(|told| format!("{}: {}", told.app, told.said))
        .collect();
    bad.extend(reasons.iter().map(|(reason, n)| format!("{reason} ({n} pushes)")));
    let happened: usize = reasons.values().sum();
    // A provider that was away once is no finding; refused credentials are at once.
    let counts = !probed.is_empty() || happened >= FEW || (happened > 0 && pattern == Pattern::CredentialsRefused);
    let state = match pattern {
        Pattern::ProviderBusy => State::Warning,
        _ => State::Error,
    };
    let mut of_calls: Vec<_> = of_calls.into_iter().collect();
    of_calls.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
    advices.extend(of_calls.into_iter().map(|(advice, _)| advice));
    counts.then(|| (state, first_of(&bad, 5), joined(&advices)))
}

/// One advice stands by itself; of several each names its app.
fn joined(advices: &[(String, String)]) -> String {
    let different: BTreeSet<&str> = advices.iter().map(|(_, advice)| advice.as_str()).collect();
    if let (1, Some((_, advice))) = (different.len(), advices.first()) {
        return advice.clone();
    }
    let named: Vec<String> = advices.iter().map(|(app, advice)| format!("{app}: {advice}")).collect();
    named.into_iter().take(ADVICES).collect::<Vec<_>>().join("; ")
}
