//! Contact parser and dial-string writer (RFC 3261 section 20.10, RFC 8599).
//!
//! ```text
//! "x" <sip:u@h;pn-..;fs_path=..>  --brackets-->  URI text, cut or whole
//!                                 --cut------->  complete parameters, route written again
//!                                 --uri------->  Uri  --write-->  sofia/<profile>/sip:u@h;..
//!                                 --push------>  PushParams (apns: labels and services; web_push: subscriptions;
//!                                                tokens: what is and what is not one)
//! ```
//!
//! The event's `contact` was percent-decoded once more than FreeSWITCH encoded it: FreeSWITCH does not escape a `%`
//! that already begins an escape, so `%3B` in a phone's parameter and `;` between parameters reach us as the same byte.
//! The same holds for the copy in `fs_path`, which therefore reads like more parameters of the Contact. It is not:
//! whatever follows an unencoded `fs_path=` belongs to it, and no push parameter is read there.

mod apns;
mod brackets;
mod cut;
mod names;
mod network;
mod parameter;
mod problem;
mod push;
mod tokens;
mod uri;
mod web_push;
mod write;

use std::borrow::Cow;

use crate::types::PushParams;

pub use names::{AppIds, ContactRules, ParamNames, ParamSet, Pattern, WebPushNames};
pub use network::{NetworkHint, Transport};
pub use parameter::decode;
pub use problem::{ContactError, ContactWarning, MAX_CONTACT, MAX_TOKEN, Refusal};
pub use push::provider_of_platform;
pub use uri::{Scheme, Uri};
pub use write::WriteError;

/// A registration's Contact: where the phone is, and how it is woken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// Where calls for the phone go.
    pub uri: Uri,
    /// Its push parameters; `None` for a desk phone, or if they are unusable (then a warning tells why).
    pub push: Option<PushParams>,
    /// Whether FreeSWITCH cut the Contact (or may have): its last parameter was not read.
    pub cut: bool,
    /// Problems of the Contact. None of them shows a token.
    pub warnings: Vec<ContactWarning>,
}

impl Contact {
    /// Whether it is complete and has no parameter for a token: its phone wants no pushes (RFC 8599 section 4.1.1
    /// withdraws a token so). Never true if the Contact was cut or its token is unusable.
    pub fn names_no_token(&self, names: &ParamNames) -> bool {
        !self.cut && self.push.is_none() && !self.uri.params().any(|(name, _)| names.is_token(name))
    }
}

/// The host that a dial-string's route (`fs_path`) leads to first: an edge proxy, or the address behind a NAT. `None`
/// without a route.
///
/// # Examples
/// ```
/// use fswake_core::contact::first_hop;
///
/// let contact = "sip:1001@10.0.0.9:5060;fs_path=%3Csip:edge.example.org:5060%3Blr%3E";
/// assert_eq!(first_hop(contact).as_deref(), Some("edge.example.org"));
/// assert_eq!(first_hop("sip:1001@10.0.0.9:5060"), None);
/// ```
pub fn first_hop(uri: &str) -> Option<String> {
    let uri = Uri::parse(uri).ok()?;
    let path = decode(uri.param("fs_path")?).ok()?;
    let hop = path.trim_start_matches('<');
    let hop = hop.split(['>', ',']).next().unwrap_or_default();
    Uri::parse(hop).ok().map(|hop| hop.host().to_owned())
}

/// Parses a Contact: the event's `contact` percent-decoded once, a bare URI (`show registrations` without
/// `sofia/<profile>/`), or one as a phone sent it.
///
/// `hint` is where the REGISTER came from; it is used only if the Contact was cut.
///
/// # Errors
/// If it is not exactly one SIP URI with a usable host. Unusable push parameters are not an error: they give warnings
/// and no [`Contact::push`].
///
/// # Examples
/// ```
/// use fswake_core::contact::{self, ParamNames};
/// use fswake_core::types::Provider;
///
/// let names = ParamNames::default();
/// let sent = "<sip:1001@192.0.2.7:5060;pn-provider=fcm;pn-param=acme-1234;pn-prid=cXyz:APA91b-x>";
/// let contact = contact::parse(sent, &names, "Acme/1.0", None)?;
/// assert_eq!(contact.uri.host(), "192.0.2.7");
/// let push = contact.push.expect("it names a token");
/// assert_eq!((push.provider, &*push.app), (Provider::Fcm, "acme-1234"));
///
/// // FreeSWITCH keeps 1,023 bytes of a Contact. A cut token is never used.
/// let cut = contact::parse(&sent[..sent.len() - 4], &names, "Acme/1.0", None)?;
/// assert!(cut.cut && cut.push.is_none());
/// # Ok::<(), contact::ContactError>(())
/// ```
pub fn parse(
    contact: &str,
    names: &ParamNames,
    user_agent: &str,
    hint: Option<&NetworkHint>,
) -> Result<Contact, ContactError> {
    if contact.len() > MAX_CONTACT {
        return Err(ContactError::TooLong(contact.len()));
    }
    let mut warnings = Vec::new();
    let found = brackets::find(contact, names, &mut warnings)?;
    let text = if found.cut {
        warnings.push(ContactWarning::Cut);
        cut::mend(found.uri, found.bracketed, hint, &mut warnings)?
    } else {
        Cow::Borrowed(found.uri)
    };
    let uri = uri::parse(&text, &mut warnings)?;
    let push = push::read(&uri, names, user_agent, &mut warnings);
    Ok(Contact {
        uri,
        push,
        cut: found.cut,
        warnings,
    })
}
