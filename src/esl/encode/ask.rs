//! Questions: texts of commands that change nothing for anybody.

use uuid::Uuid;

use super::word::{Argument, Word};
use crate::types::Aor;

/// `user@domain` of an AOR; `None` where it does not fit into a command.
pub fn user(aor: &Aor) -> Option<String> {
    Word::new(&aor.user)
        .zip(Word::new(&aor.domain))
        .map(|(user, domain)| format!("{user}@{domain}"))
}

/// The question whose number this is: the directory finds users by their id and by their `number-alias`.
pub fn ask_user(aor: &Aor) -> Option<String> {
    user(aor).map(|user| format!("user_data {user} attr id"))
}

/// The question for a user's variables.
pub fn ask_variables(aor: &Aor) -> Option<String> {
    let (user, domain) = Word::new(&aor.user).zip(Word::new(&aor.domain))?;
    Some(format!("find_user_xml id {user} {domain}"))
}

/// The question who has moved a channel last.
pub fn who_moved(channel: &str) -> String {
    format!("uuid_getvar {channel} transfer_source")
}

/// The question for all that has moved a channel, in order.
pub fn all_moves(channel: &str) -> String {
    format!("uuid_getvar {channel} transfer_history")
}

/// The question whom a channel is bridged with: it has an answer while the bridge stands.
pub fn bridged_with(channel: &str) -> String {
    format!("uuid_getvar {channel} bridge_to")
}

/// The question for a user's dial-string.
pub fn ask_dial_string(user: impl std::fmt::Display) -> String {
    format!("user_data {user} param dial-string")
}

/// The question for a variable of a user.
pub fn ask_variable(user: impl std::fmt::Display, name: &str) -> String {
    format!("user_data {user} var {name}")
}

/// The question for a domain's own dial-string.
pub fn ask_dial_string_of_domain(domain: Argument<'_>) -> String {
    format!("domain_data {domain} param dial-string")
}

/// The question which profiles there are, and which of them run.
pub const ASK_PROFILES: &str = "sofia xmlstatus";

/// The question for a profile's state.
pub fn ask_profile(profile: Word<'_>) -> String {
    format!("sofia xmlstatus profile {profile}")
}

/// The question for all registrations of a profile.
pub fn ask_registrations(profile: &str) -> String {
    format!("sofia xmlstatus profile {profile} reg")
}

/// The question for one user's registrations in a profile.
pub fn ask_registrations_of(profile: Word<'_>, user: Argument<'_>, domain: Argument<'_>) -> String {
    format!("sofia xmlstatus profile {profile} user {user}@{domain}")
}

/// The question for a part of FreeSWITCH's configuration, by the name of its file.
pub fn ask_configuration(name: &str) -> String {
    format!("xml_locate configuration configuration name {name}")
}

/// The question for a context of the dialplan.
pub fn ask_context(name: Argument<'_>) -> String {
    format!("xml_locate dialplan context name {name}")
}

/// The question whether a module is loaded.
pub fn ask_module(name: &str) -> String {
    format!("module_exists {name}")
}

/// The question for FreeSWITCH's version.
pub const ASK_VERSION: &str = "version";

/// The question whether FreeSWITCH runs commands inside others (`api-expansion`), as [`super::bridge()`] has them.
pub const ASK_EXPANSION: &str = "expand echo ${echo(fswake)}";

/// Makes a channel that calls nobody and hands it to the `socket` application at an address.
pub fn call_nobody(channel: Uuid, nobody: &str, address: &str) -> String {
    format!(
        "originate {{origination_uuid={channel},fswake_aor={nobody},socket_resume=true,originate_timeout=3,\
         process_cdr=false}}null/fswake-doctor '&socket({address} async full)'"
    )
}
