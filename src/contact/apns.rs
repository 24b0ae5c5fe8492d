//! Apple's form of `pn-param` and `pn-prid` (RFC 8599 sections 4.1.2 and 14.5, and Linphone's several services at once).
//!
//! `pn-param` is `TEAM.bundle.id.service`, more services after `&`; `pn-prid` is one token, or `token:service` joined
//! by `&`. Leniency ends where a call could be pushed to the wrong token: then there is no token at all.

use super::{ContactWarning, Refusal};
use crate::types::PushToken;

/// What `pn-param` says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct App<'a> {
    pub team: Option<&'a str>,
    pub bundle: &'a str,
    pub voip: bool,
    pub remote: bool,
}

/// The tokens of `pn-prid` by service.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tokens {
    pub call: Option<PushToken>,
    pub remote: Option<PushToken>,
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

/// Takes `pn-param` apart. Never fails: what does not look like a team or a service is part of the bundle id.
pub(super) fn app(param: &str) -> App<'_> {
    let mut app = App::default();
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
    match topic.split_once('.') {
        Some((team, bundle)) if is_team(team) && !bundle.is_empty() => {
            app.team = Some(team);
            app.bundle = bundle;
        }
        _ => app.bundle = topic,
    }
    app
}

/// An Apple team id: ten upper-case letters and digits.
fn is_team(label: &str) -> bool {
    label.len() == 10 && label.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}

/// Sorts the tokens of a decoded `pn-prid`; `None` when it cannot be told which is which.
pub(super) fn tokens(prid: &str, app: &App<'_>, warnings: &mut Vec<ContactWarning>) -> Option<Tokens> {
    // Voip, Remote, unlabelled.
    let mut found: [Option<&str>; 3] = [None; 3];
    for entry in prid.split('&') {
        let (token, slot) = match entry.rsplit_once(':') {
            None => (entry, 2),
            Some((token, label)) => match Service::from_label(label) {
                Some(Service::Voip) => (token, 0),
                Some(Service::Remote) => (token, 1),
                None => return refuse(ContactWarning::UnknownLabel, warnings),
            },
        };
        if token.is_empty() {
            warnings.push(ContactWarning::EmptyEntry);
            continue;
        }
        if token.contains(':') {
            let why = Refusal::BadCharacter;
            return refuse(ContactWarning::Refused { name: "pn-prid", why }, warnings);
        }
        match found[slot].replace(token) {
            Some(earlier) if earlier != token => return refuse(ContactWarning::Ambiguous, warnings),
            _ => {}
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
                warnings.push(ContactWarning::AssumedCall);
                [Some(token), None]
            }
            (true, true) => return refuse(ContactWarning::Ambiguous, warnings),
        },
        [Some(_), Some(_), Some(_)] => return refuse(ContactWarning::Ambiguous, warnings),
        [call, remote, unlabelled] => {
            warnings.push(ContactWarning::AssumedOther);
            [call.or(unlabelled), remote.or(unlabelled)]
        }
    };
    let listed = app.voip || app.remote;
    if labelled && listed && (call.is_some() != app.voip || remote.is_some() != app.remote) {
        warnings.push(ContactWarning::ServicesDiffer);
    }
    Some(Tokens {
        call: call.map(PushToken::new),
        remote: remote.map(PushToken::new),
    })
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
                None,
                "ABCD1234.org.example.phone",
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
                app(param),
                App {
                    team,
                    bundle,
                    voip,
                    remote
                },
                "{param}"
            );
        }
    }
}
