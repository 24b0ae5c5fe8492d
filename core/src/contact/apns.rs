//! Apple's form of `pn-param` and `pn-prid` (RFC 8599 sections 4.1.2 and 14.5, and Linphone's several services at
//! once).
//!
//! `pn-param` is `TEAM.bundle.id.service`, with more services after `&`; `pn-prid` is one token, or `token:service`
//! joined by `&`. If a call could be pushed to the wrong token, there is no token at all.

use super::tokens::{self, Slot};
use super::{AppIds, ContactWarning};
use crate::types::{Provider, PushToken, Tokens, app_id};

/// The parts of `pn-param`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ApnsParam<'a> {
    pub team: Option<&'a str>,
    pub bundle: &'a str,
    pub voip: bool,
    pub remote: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Service {
    Voip,
    Remote,
}

impl Service {
    fn from_label(label: &str) -> Option<Self> {
        if label.eq_ignore_ascii_case("voip") {
            Some(Self::Voip)
        } else if label.eq_ignore_ascii_case("remote") {
            Some(Self::Remote)
        } else {
            None
        }
    }
}

/// Splits `pn-param`. Never fails: what does not look like a team or a service is part of the bundle id. The configured
/// app ids decide what is the team.
pub(super) fn app<'a>(param: &'a str, provider: &Provider, apps: &'a AppIds) -> ApnsParam<'a> {
    let mut app = ApnsParam::default();
    let (first, more) = param
        .split_once('&')
        .map_or((param, None), |(first, more)| (first, Some(more)));
    let (prefix, label) = first.rsplit_once('.').unwrap_or((first, ""));
    let own = Service::from_label(label);
    for service in own.into_iter().chain(
        more.into_iter()
            .flat_map(|m| m.split('&'))
            .filter_map(Service::from_label),
    ) {
        match service {
            Service::Voip => app.voip = true,
            Service::Remote => app.remote = true,
        }
    }
    let topic = if own.is_some() { prefix } else { first };
    (app.team, app.bundle) = app_id::split_team(topic);
    if let Some(configured) = apps.find(provider, &[app.bundle, topic]) {
        app.bundle = configured;
        app.team = topic.strip_suffix(configured).and_then(|team| team.strip_suffix('.'));
    }
    app
}

/// Sorts the tokens of a decoded `pn-prid`; `None` if they cannot be told apart, or if none is a token.
pub(super) fn tokens(
    prid: &str,
    app: &ApnsParam<'_>,
    provider: &Provider,
    warnings: &mut Vec<ContactWarning>,
) -> Option<Tokens> {
    // Voip, remote, unlabelled.
    let mut found: [Option<Slot>; 3] = [None, None, None];
    for entry in prid.split('&') {
        let (text, slot) = match entry.rsplit_once(':') {
            None => (entry, 2),
            Some((text, label)) => match Service::from_label(label) {
                Some(Service::Voip) => (text, 0),
                Some(Service::Remote) => (text, 1),
                None => return refuse(ContactWarning::UnknownLabel, warnings),
            },
        };
        if text.is_empty() {
            warnings.push(ContactWarning::EmptyEntry);
            continue;
        }
        let token = PushToken::read(provider, text);
        match &found[slot] {
            Some(Ok(earlier)) => {
                if token.is_ok_and(|token| token != *earlier) {
                    return refuse(ContactWarning::Ambiguous, warnings);
                }
            }
            _ => found[slot] = Some(token),
        }
    }
    let labelled = found[0].is_some() || found[1].is_some();
    let [call, remote] = match found {
        [None, None, None] => {
            warnings.push(ContactWarning::NoToken("pn-prid"));
            return None;
        }
        [call, remote, None] => [call, remote],
        [None, None, Some(token)] => match (app.voip, app.remote) {
            (true, false) => [Some(token), None],
            (false, true) => [None, Some(token)],
            (false, false) => {
                if token.is_ok() {
                    warnings.push(ContactWarning::AssumedCall);
                }
                [Some(token), None]
            }
            (true, true) if token.is_err() => [Some(token), None],
            (true, true) => return refuse(ContactWarning::Ambiguous, warnings),
        },
        [Some(_), Some(_), Some(_)] => return refuse(ContactWarning::Ambiguous, warnings),
        [call, remote, unlabelled] => {
            warnings.push(ContactWarning::AssumedOther);
            match (call, remote) {
                (None, remote) => [unlabelled, remote],
                (call, _) => [call, unlabelled],
            }
        }
    };
    let listed = app.voip || app.remote;
    let is_some = |slot: &Option<Slot>| slot.as_ref().is_some_and(Result::is_ok);
    if labelled
        && listed
        && (is_some(&call) || is_some(&remote))
        && (call.is_some() != app.voip || remote.is_some() != app.remote)
    {
        warnings.push(ContactWarning::ServicesDiffer);
    }
    tokens::sort(("pn-prid", call), ("pn-prid", remote), true, warnings)
}

fn refuse(why: ContactWarning, warnings: &mut Vec<ContactWarning>) -> Option<Tokens> {
    warnings.push(why);
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn app_is_the_bundle_without_team_and_services() {
        for (param, team, bundle, voip, remote) in [
            (
                "DEF123GHIJ.com.example.app.voip",
                Some("DEF123GHIJ"),
                "com.example.app",
                true,
                false,
            ),
            (
                "DEF123GHIJ.com.example.app.remote&voip",
                Some("DEF123GHIJ"),
                "com.example.app",
                true,
                true,
            ),
            (
                "DEF123GHIJ.com.example.voip.voip",
                Some("DEF123GHIJ"),
                "com.example.voip",
                true,
                false,
            ),
            (
                "ABCD1234.org.example.phone.voip&remote",
                Some("ABCD1234"),
                "org.example.phone",
                true,
                true,
            ),
            ("com.example.app", None, "com.example.app", false, false),
            (
                "aProjectID_aBundleID_remote&voip",
                None,
                "aProjectID_aBundleID_remote",
                true,
                false,
            ),
            (
                "aBadFormattedProjectID-aBundleID-remote-voip",
                None,
                "aBadFormattedProjectID-aBundleID-remote-voip",
                false,
                false,
            ),
            ("", None, "", false, false),
            (".voip", None, "", true, false),
            ("DEF123GHIJ.voip", None, "DEF123GHIJ", true, false),
        ] {
            assert_eq!(
                app(param, &Provider::Apns, &AppIds::default()),
                ApnsParam {
                    team,
                    bundle,
                    voip,
                    remote
                },
                "{param}"
            );
        }
    }

    #[test]
    fn configured_ids_tell_the_team_from_the_bundle() {
        let apps = AppIds(vec![
            (Provider::Apns, "com.example.phone".into()),
            (Provider::Apns, "ACME1.app".into()),
            (Provider::ApnsSandbox, "phone".into()),
        ]);
        for (param, team, bundle) in [
            (
                "ABCD1234.com.example.phone.remote&voip",
                Some("ABCD1234"),
                "com.example.phone",
            ),
            ("acme.com.example.phone.voip", Some("acme"), "com.example.phone"),
            ("com.example.phone", None, "com.example.phone"),
            ("com.example.phone.voip", None, "com.example.phone"),
            // Without configured ids the first label would be the team.
            ("ACME1.app.voip", None, "ACME1.app"),
            ("TEAMID1234.ACME1.app.voip", Some("TEAMID1234"), "ACME1.app"),
            // Another provider's.
            ("example.phone.voip", None, "example.phone"),
        ] {
            let read = app(param, &Provider::Apns, &apps);
            assert_eq!((read.team, read.bundle), (team, bundle), "{param}");
        }
    }
}
