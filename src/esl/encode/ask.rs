//! Questions: commands that change nothing.

use std::net::IpAddr;

use uuid::Uuid;

use super::word::{Argument, Word};
use crate::types::Aor;

/// `user@domain` of an AOR; `None` if it does not fit into a command.
pub fn user(aor: &Aor) -> Option<String> {
    Word::new(&aor.user)
        .zip(Word::new(&aor.domain))
        .map(|(user, domain)| format!("{user}@{domain}"))
}

/// Which user a number belongs to: the directory finds users by their id and by their `number-alias`.
pub fn ask_user(aor: &Aor) -> Option<String> {
    user(aor).map(|user| format!("user_data {user} attr id"))
}

/// A user's variables.
pub fn ask_variables(aor: &Aor) -> Option<String> {
    let (user, domain) = Word::new(&aor.user).zip(Word::new(&aor.domain))?;
    Some(format!("find_user_xml id {user} {domain}"))
}

/// What moved a channel last.
pub fn who_moved(channel: &str) -> String {
    format!("uuid_getvar {channel} transfer_source")
}

/// Everything that moved a channel, in order.
pub fn all_moves(channel: &str) -> String {
    format!("uuid_getvar {channel} transfer_history")
}

/// A channel's partner; there is an answer while the bridge stands.
pub fn bridged_with(channel: &str) -> String {
    format!("uuid_getvar {channel} bridge_to")
}

/// The last channel that a channel was bridged with, for as long as the channel exists.
pub fn last_bridged_with(channel: &str) -> String {
    format!("uuid_getvar {channel} last_bridge_to")
}

/// A user's dial-string.
pub fn ask_dial_string(user: impl std::fmt::Display) -> String {
    format!("user_data {user} param dial-string")
}

/// A user's variable.
pub fn ask_variable(user: impl std::fmt::Display, name: &str) -> String {
    format!("user_data {user} var {name}")
}

/// A domain's own dial-string.
pub fn ask_dial_string_of_domain(domain: Argument<'_>) -> String {
    format!("domain_data {domain} param dial-string")
}

/// FreeSWITCH's own id, new at each of its starts. Every event has it as `Core-UUID`.
pub const ASK_CORE: &str = "global_getvar core_uuid";

/// Which profiles there are, and which of them run.
pub const ASK_PROFILES: &str = "sofia xmlstatus";

/// A profile's state.
pub fn ask_profile(profile: Word<'_>) -> String {
    format!("sofia xmlstatus profile {profile}")
}

/// All registrations of a profile.
pub fn ask_registrations(profile: &str) -> String {
    format!("sofia xmlstatus profile {profile} reg")
}

/// One user's registrations in a profile.
pub fn ask_registrations_of(profile: Word<'_>, user: Argument<'_>, domain: Argument<'_>) -> String {
    format!("sofia xmlstatus profile {profile} user {user}@{domain}")
}

/// A part of FreeSWITCH's configuration, by the name of its file.
pub fn ask_configuration(name: &str) -> String {
    format!("xml_locate configuration configuration name {name}")
}

/// A context of the dialplan.
pub fn ask_context(name: Argument<'_>) -> String {
    format!("xml_locate dialplan context name {name}")
}

/// Whether an address is in an ACL's list.
pub fn ask_acl(address: IpAddr, list: Word<'_>) -> String {
    format!("acl {address} {list}")
}

/// Whether a module is loaded.
pub fn ask_module(name: &str) -> String {
    format!("module_exists {name}")
}

/// FreeSWITCH's version.
pub const ASK_VERSION: &str = "version";

/// Whether FreeSWITCH runs commands inside others (`api-expansion`), as [`super::bridge()`] needs.
pub const ASK_EXPANSION: &str = "expand echo ${echo(fswake)}";

/// Makes a channel without a call and hands it to the `socket` application at an address.
pub fn call_nobody(channel: Uuid, nobody: &str, address: &str) -> String {
    format!(
        "originate {{origination_uuid={channel},fswake_aor={nobody},socket_resume=true,originate_timeout=3,\
         process_cdr=false}}null/fswake-doctor '&socket({address} async full)'"
    )
}
