//! What providers answered to pushes that they did not take: the advice belongs to the app and to the kind of the
//! failure.

use std::collections::{BTreeMap, BTreeSet};

use super::part::{FEW, Finding, Part, app};
use crate::config::Config;
use crate::doctor::advice::advice;
use crate::doctor::check::first_of;
use crate::doctor::check::{AppFault, CheckState};
use crate::journal::Pattern;
use crate::push::{KeptBy, PushErrorKind};
use crate::types::Printable;

/// How many different pieces of advice are given at most.
const ADVICES: usize = 3;

/// What providers answered to wakes, and to the doctor's own probes.
pub(super) fn refusals(parts: &[Part], pattern: Pattern, probed: &[AppFault], config: &Config) -> Finding {
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    // For each app: its provider's current or most frequent answer.
    let mut advices: Vec<(String, String)> = Vec::new();
    advices.extend(probed.iter().map(|fault| (fault.app.clone(), fault.advice.clone())));
    let mut of_calls: BTreeMap<(String, String), usize> = BTreeMap::new();
    for part in parts.iter().filter(|p| p.pattern == Some(pattern)) {
        let (error, reason) = match &part.attempt.refused {
            Some((error, reason)) => (*error, reason.as_str()),
            None => (PushErrorKind::Exhausted(KeptBy::NoAnswer), "no answer"),
        };
        *reasons
            .entry(format!("{}: {}", app(&part.attempt), Printable(reason)))
            .or_default() += 1;
        let (of, advice) = match part.app(config) {
            Some(app) => (app.name.clone(), advice(app, error).1),
            None => (app(&part.attempt), "no [[app]] serves these phones any more".to_owned()),
        };
        if !probed.iter().any(|fault| fault.app == of) {
            *of_calls.entry((of, advice)).or_default() += 1;
        }
    }
    let mut bad: Vec<String> = probed
        .iter()
        .map(|fault| format!("{}: {}", fault.app, fault.says))
        .collect();
    bad.extend(reasons.iter().map(|(reason, n)| format!("{reason} ({n} pushes)")));
    let happened: usize = reasons.values().sum();
    // One outage is not reported; rejected credentials are, at once.
    let counts = !probed.is_empty() || happened >= FEW || (happened > 0 && pattern == Pattern::CredentialsRefused);
    let state = match pattern {
        Pattern::ProviderBusy => CheckState::Warning,
        _ => CheckState::Error,
    };
    let mut of_calls: Vec<_> = of_calls.into_iter().collect();
    of_calls.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
    advices.extend(of_calls.into_iter().map(|(advice, _)| advice));
    counts.then(|| (state, first_of(&bad, 5), joined(&advices)))
}

/// A single advice needs no name; of several, each names its app.
fn joined(advices: &[(String, String)]) -> String {
    let different: BTreeSet<&str> = advices.iter().map(|(_, advice)| advice.as_str()).collect();
    if let (1, Some((_, advice))) = (different.len(), advices.first()) {
        return advice.clone();
    }
    let named: Vec<String> = advices.iter().map(|(app, advice)| format!("{app}: {advice}")).collect();
    named.into_iter().take(ADVICES).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;
    use crate::journal::Attempt;
    use crate::push::Fault;

    #[test]
    fn advice_is_of_the_app_and_of_what_its_provider_said() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("fswake.toml");
        std::fs::write(dir.path().join("k"), "-----BEGIN").unwrap();
        let apps = "[[app]]\nname = 'ios'\nprovider = 'apns'\nkey-file = 'k'\nkey-id = 'ABCDE12345'\nteam-id = 'ABCDE12345'\n\
                    proxy = 'http://proxy.example:3128'\n[[app]]\nname = 'android'\nprovider = 'fcm'\nservice-account-file = 'k'\n";
        std::fs::write(&file, apps).unwrap();
        let config = Config::load(Some(&file), &Environment::default()).unwrap();
        let part = |device: &str, pattern, error, reason: &str| Part {
            attempt: Attempt {
                device: device.into(),
                refused: Some((error, reason.to_owned())),
                ..Attempt::default()
            },
            domain: "d".into(),
            pattern: Some(pattern),
        };
        let (ios, android) = ("apns:com.example.phone:0badcafe", "fcm:example-phone:0badcafe");
        let all = |device, pattern, error, reason| -> Vec<Part> {
            (0..FEW).map(|_| part(device, pattern, error, reason)).collect()
        };
        let refusals = |parts: &[Part], pattern| refusals(parts, pattern, &[], &config).unwrap();
        let away = Pattern::ProviderUnreachable;
        let kept = PushErrorKind::Exhausted;
        let credentials = PushErrorKind::Misconfigured(Fault::Credentials);
        let (_, _, advice) = refusals(
            &all(android, away, kept(KeptBy::NoConnection), "cannot connect to h:443"),
            away,
        );
        assert!(
            advice.contains("fcm.googleapis.com") && !advice.contains("Apple"),
            "{advice}"
        );
        let (_, _, advice) = refusals(
            &all(ios, away, kept(KeptBy::NoConnection), "cannot connect to h:443"),
            away,
        );
        assert!(advice.contains("its proxy http://proxy.example:3128"), "{advice}");
        let (_, _, advice) = refusals(
            &all(
                android,
                away,
                kept(KeptBy::NoAddress),
                "the name of h cannot be resolved: x",
            ),
            away,
        );
        assert!(advice.contains("DNS") && !advice.contains("firewall"), "{advice}");
        let busy = Pattern::ProviderBusy;
        let (state, _, advice) = refusals(
            &all(android, busy, kept(KeptBy::Busy { status: 503 }), "503 UNAVAILABLE"),
            busy,
        );
        assert!(
            state == CheckState::Warning && advice.contains("Google is reachable"),
            "{advice}"
        );
        let (_, _, advice) = refusals(
            &all(
                ios,
                busy,
                kept(KeptBy::BusyForPhone { status: 429 }),
                "429 TooManyRequests",
            ),
            busy,
        );
        assert!(advice.contains("to one phone"), "{advice}");
        let refused = Pattern::CredentialsRefused;
        let mut both = all(android, refused, credentials, "access token: 400 invalid_grant");
        both.extend(all(ios, refused, credentials, "InvalidProviderToken"));
        let (_, _, advice) = refusals(&both, refused);
        assert!(
            advice.contains("android: Google rejects") && advice.contains("ios: Apple rejects"),
            "{advice}"
        );
        let (_, _, advice) = refusals(&[part("apns:x:1", refused, credentials, "x")], refused);
        assert!(advice.contains("Apple rejects this key"), "{advice}");
    }
}
