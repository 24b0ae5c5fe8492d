//! Texts of commands to FreeSWITCH. Pure.
//!
//! Everything from the network passes one of these before it is part of a command: [`Word`] or [`Argument`],
//! [`number`], [`name`], [`codecs`], [`super::inherit::quoted`]. Otherwise it is a dial-string from `contact`'s writer,
//! or a UUID. [`super::originate`] has the commands that make legs.

mod ask;
mod bridge;
mod caller;
mod codec;
mod lease;
mod node;
mod variables;
mod word;

pub use ask::{
    ASK_CORE, ASK_EXPANSION, ASK_PROFILES, ASK_VERSION, all_moves, ask_acl, ask_configuration, ask_context,
    ask_dial_string, ask_dial_string_of_domain, ask_module, ask_profile, ask_registrations, ask_registrations_of,
    ask_user, ask_variable, ask_variables, bridged_with, call_nobody, last_bridged_with, user, who_moved,
};
pub use bridge::{
    LAST_OF_CALLEE, bridge, bridged, forget_leg, hold_with_async, name_callee, own_codecs, partner, plain_bridge,
    prepare_answer, resumes,
};
pub use caller::{name, number};
pub use codec::{and_codecs, codecs, has_video, is_name_of_video};
pub(super) use lease::seconds_up;
pub use lease::{end_alone, end_latecomer, is_not_alone, kill, kill_later, lease_end, lease_renew};
pub use node::{LEG_USER, ask_disposition, ask_taken, at_node, is_free, is_taken, pass_on, take_once, to_node};
pub use variables::{IF_CANCELLED, fails, forget_hooks, report, reported, set_variables, status, time_left};
pub(super) use word::is_plain;
pub use word::{Argument, Word};

use std::borrow::Cow;

use crate::types::Target;

/// The same address, dialled by another SIP profile.
pub fn by_profile<'a>(target: &'a Target, profile: &str) -> Cow<'a, str> {
    match target
        .as_str()
        .strip_prefix("sofia/")
        .and_then(|rest| rest.split_once('/'))
    {
        Some((_, address)) => Cow::Owned(format!("sofia/{profile}/{address}")),
        None => Cow::Borrowed(target.as_str()),
    }
}

/// The profile of a dial-string: `sofia/PROFILE/..`.
pub fn profile_of(target: &Target) -> Option<&str> {
    target
        .as_str()
        .strip_prefix("sofia/")?
        .split('/')
        .next()
        .and_then(Word::new)
        .map(Word::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_stays_when_the_profile_changes() {
        let target = Target::new("sofia/internal/sip:1001@192.0.2.7:5060;fs_path=sip%3A192.0.2.2/x");
        let moved = by_profile(&target, "outside");
        assert_eq!(moved, "sofia/outside/sip:1001@192.0.2.7:5060;fs_path=sip%3A192.0.2.2/x");
        assert_eq!(
            by_profile(&Target::new("error/USER_BUSY"), "outside"),
            "error/USER_BUSY"
        );
    }
}
