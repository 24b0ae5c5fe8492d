//! The tokens of one Contact, by what they are for.

use super::ContactWarning;
use crate::types::{PushToken, TokenFault, Tokens};

/// What stands where a token is expected.
pub(super) type Slot = Result<PushToken, TokenFault>;

/// Keeps the tokens, each with the name of its parameter. If one of two is not a token, the other counts, and there is
/// one warning: with `apart`, as with Apple, neither can replace the other.
pub(super) fn sort(
    (call_name, call): (&'static str, Option<Slot>),
    (remote_name, remote): (&'static str, Option<Slot>),
    apart: bool,
    warnings: &mut Vec<ContactWarning>,
) -> Option<Tokens> {
    let (call, no_call) = taken(call);
    let (remote, no_remote) = taken(remote);
    let warning = match (&call, no_call, &remote, no_remote) {
        (Some(_), _, _, Some(fault)) if fault != TokenFault::Empty => Some(ContactWarning::NoMessageToken {
            name: remote_name,
            fault,
        }),
        (None, Some(fault), Some(_), _) => Some(ContactWarning::NoVoipToken { name: call_name, fault }),
        (None, Some(fault), None, _) => Some(none(call_name, fault)),
        (None, None, None, Some(fault)) => Some(none(remote_name, fault)),
        _ => None,
    };
    let tokens = Tokens::new(call, remote);
    warnings.extend(warning.filter(|_| apart || tokens.is_none()));
    tokens
}

fn none(name: &'static str, fault: TokenFault) -> ContactWarning {
    match fault {
        TokenFault::Empty => ContactWarning::NoToken(name),
        fault => ContactWarning::NotAToken { name, fault },
    }
}

fn taken(slot: Option<Slot>) -> (Option<PushToken>, Option<TokenFault>) {
    match slot {
        None => (None, None),
        Some(Ok(token)) => (Some(token), None),
        Some(Err(fault)) => (None, Some(fault)),
    }
}
