//! Login, permissions, version, modules.

use super::check::{Check, CheckState};
use super::esl::{ApiFailure, Session, verb};
use crate::esl::encode;
use crate::types::Printable;

const FAMILY: &str = "freeswitch";
/// The oldest version that names the channel of a background job (docs/ARCHITECTURE.md, "Limits").
const OLDEST: [u32; 3] = [1, 10, 12];
/// What fswake subscribes to.
const EVENTS: &str = "CUSTOM sofia::register sofia::unregister sofia::expire sofia::sip_user_state";
const EVENTS_ALLOWED: &str = "add CUSTOM and sofia::register, sofia::unregister, sofia::expire, sofia::sip_user_state to the user's \
                              esl-allowed-events";
/// The modules that calls and registrations need.
const MODULES: [&str; 4] = ["mod_sofia", "mod_loopback", "mod_commands", "mod_dptools"];

/// What the daemon sends on its own connection, each in a form that changes nothing. (A user's rights do not limit a
/// held call's connection.)
const NEEDED: [&str; 5] = [
    encode::ASK_PROFILES,
    "show registrations count",
    "user_data",
    "uuid_kill",
    "sched_api",
];

pub(super) async fn checks(session: &mut Session) -> Vec<Check> {
    let login = format!("{} as {}", session.address, Printable(&session.user));
    let mut checks = vec![Check::ok(FAMILY, "login", login)];
    checks.push(match session.subscribe(EVENTS).await {
        Ok(()) => Check::ok(FAMILY, "events", "registrations arrive"),
        Err(reason) => Check::error(
            FAMILY,
            "events",
            format!("registrations do not arrive: {reason}"),
            session.silence().unwrap_or_else(|| EVENTS_ALLOWED.into()),
        ),
    });
    checks.push(version(session).await);
    checks.push(modules(session).await);
    checks.extend(commands(session).await);
    checks.extend(expansion(session).await);
    checks
}

async fn modules(session: &mut Session) -> Check {
    let name = "modules";
    let mut missing = Vec::new();
    for module in MODULES {
        match session.api(&encode::ask_module(module)).await {
            Ok(answer) if answer == "true" => {}
            Ok(_) => missing.push(module),
            Err(_) if session.unanswered.get("module_exists") == Some(&ApiFailure::NotThere) => {
                missing = vec!["mod_commands"];
                break;
            }
            Err(reason) => {
                let advice = session.advice_on("module_exists", "");
                return Check::warning(FAMILY, name, format!("not checked: {reason}"), advice);
            }
        }
    }
    if missing.is_empty() {
        return Check::ok(FAMILY, name, MODULES.join(", "));
    }
    let seen = format!("not loaded: {}", missing.join(", "));
    Check::error(FAMILY, name, seen, "load them in autoload_configs/modules.conf.xml")
}

/// Whether the daemon may run what it needs.
async fn commands(session: &mut Session) -> Option<Check> {
    for command in NEEDED {
        let _only_whether_it_is_allowed = session.api(command).await;
    }
    let needed = NEEDED.map(verb);
    let denied = |command: &&str| session.unanswered.get(*command) == Some(&ApiFailure::NotAllowed);
    let refused: Vec<&str> = needed.into_iter().filter(denied).collect();
    let why = ApiFailure::NotAllowed;
    (!refused.is_empty()).then(|| {
        let seen = format!(
            "{}: fswake needs that to know who is registered and who is called, and to end calls",
            why.says(&refused, &session.user)
        );
        Check::error(FAMILY, "commands", seen, why.advice(&needed))
    })
}

/// The order to bridge reads who has the caller while FreeSWITCH runs it (`esl::encode::bridge`), which FreeSWITCH may
/// be configured not to do. A user who may not ask gets no warning: calls have their own connections.
async fn expansion(session: &mut Session) -> Option<Check> {
    let answer = session.api(encode::ASK_EXPANSION).await.ok()?;
    answer.contains("API execute Permission Denied").then(|| {
        Check::warning(
            FAMILY,
            "api-expansion",
            "FreeSWITCH runs no command inside another: a pick-up that crosses the answer of a phone may take the caller out of \
             his call, and may be left answered in silence",
            "set api-expansion to true in autoload_configs/switch.conf.xml; `fs_cli -x 'fsctl api_expansion on'` does it until \
             the next restart",
        )
    })
}

async fn version(session: &mut Session) -> Check {
    let answer = match session.api(encode::ASK_VERSION).await {
        Ok(answer) => answer,
        Err(reason) => {
            // The daemon does not need this one; for those that it needs see `commands`.
            let state = match session.unanswered.get("version") {
                Some(ApiFailure::NotAllowed | ApiFailure::NotThere) => CheckState::Warning,
                _ => CheckState::Error,
            };
            let advice = session.advice_on("version", "");
            return Check::new(FAMILY, "version", state, format!("not checked: {reason}")).advise(advice);
        }
    };
    let line = answer.lines().next().unwrap_or_default();
    let number = line.split_whitespace().find_map(numbers);
    let seen = Printable(line.trim()).to_string();
    match number {
        Some(found) if found >= OLDEST => Check::ok(FAMILY, "version", seen),
        Some(_) => Check::warning(
            FAMILY,
            "version",
            seen,
            "1.10.12 or newer is assumed: with an older one a leg that fails before it has a channel is noticed at the \
             deadline only",
        ),
        None => Check::warning(
            FAMILY,
            "version",
            seen,
            "its version could not be read: 1.10.12 or newer is assumed",
        ),
    }
}

/// `1.10.12-release~64bit`
fn numbers(word: &str) -> Option<[u32; 3]> {
    let digits = word.split(|c: char| !c.is_ascii_digit() && c != '.').next()?;
    let mut parts = digits.split('.').map(|n| n.parse().ok());
    let found = [parts.next()??, parts.next()??, parts.next()??];
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_is_the_first_word_with_three_numbers() {
        assert_eq!(numbers("1.10.12-release~64bit"), Some([1, 10, 12]));
        assert_eq!(numbers("1.10.2"), Some([1, 10, 2]));
        assert_eq!(numbers("64bit"), None);
    }
}
