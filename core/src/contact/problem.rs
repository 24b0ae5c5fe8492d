//! Problems of a Contact. Nothing here shows the Contact itself, or a token.

use thiserror::Error;

use crate::types::TokenFault;

/// The longest Contact that is parsed, in bytes: FreeSWITCH's own are at most 1023 long.
pub const MAX_CONTACT: usize = 16 * 1024;

/// The longest push token that is accepted, in bytes after decoding.
pub const MAX_TOKEN: usize = 4096;

/// Why a Contact cannot be used. No variant shows the Contact itself.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ContactError {
    /// Nothing in it.
    #[error("the Contact is empty")]
    Empty,
    /// `*`, which only means something in an un-REGISTER (RFC 3261 section 10.2.2).
    #[error("the Contact is the wildcard `*`: it names no phone")]
    Wildcard,
    /// More than one Contact in a value.
    #[error("the value holds more than one Contact; profile parameter multiple-registrations gives each its own")]
    MultipleContacts,
    /// Another scheme, or no URI at all.
    #[error("the Contact is not a sip: or sips: URI")]
    NotSip,
    /// Quotes or angle brackets do not pair up.
    #[error("quotes or angle brackets of the Contact do not pair up")]
    Unbalanced,
    /// The host is missing or holds characters that no host has.
    #[error("the Contact's host is neither a name, an IPv4 address nor an IPv6 address in brackets")]
    BadHost,
    /// A link-local IPv6 address with a zone, which means nothing on another machine (RFC 4007 section 11).
    #[error("the Contact's IPv6 address has a zone id: the phone should register a global address")]
    ZoneId,
    /// The port is not a number from 1 to 65535.
    #[error("the Contact's port is not a number from 1 to 65535")]
    BadPort,
    /// So long that FreeSWITCH cut it before the end of its host.
    #[error("FreeSWITCH cut the Contact before the end of its host: the display name or user part is too long")]
    CutBeforeHost,
    /// Longer than [`MAX_CONTACT`].
    #[error("the Contact has {0} bytes; at most {MAX_CONTACT} are read")]
    TooLong(usize),
}

/// A problem of a Contact that could be parsed all the same.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ContactWarning {
    /// Push parameters after the `>`, which RFC 8599 section 4.1.1 does not allow and FreeSWITCH drops.
    #[error("push parameters outside the brackets are ignored: the app must put them inside < >")]
    OutsideBrackets,
    /// FreeSWITCH's buffer of 1024 bytes was too short (or, for a long bare URI, may have been).
    #[error("FreeSWITCH cut the Contact at 1023 bytes: its last parameter is not read")]
    Cut,
    /// The route to the phone was cut, and rebuilt from the REGISTER's source address.
    #[error("the cut fs_path was rebuilt from the REGISTER's network address")]
    RouteRewritten,
    /// The route to the phone was cut, and the REGISTER's source address is unknown.
    #[error("fs_path was cut and the REGISTER's network address is unknown: the phone may be out of reach")]
    RouteLost,
    /// URI headers (`?x=y`), which are no part of a registration's target.
    #[error("URI headers (?name=value) are dropped")]
    HeadersDropped,
    /// The same parameter twice with one value.
    #[error("parameter {0} appears twice")]
    Repeated(&'static str),
    /// The same parameter twice with different values: invalid (RFC 3261 section 19.1.1), nothing is pushed.
    #[error("parameter {0} appears twice with different values: no token is used")]
    Contradictory(&'static str),
    /// A token without `pn-provider`.
    #[error("pn-prid without pn-provider: no provider to push with")]
    NoProvider,
    /// A parameter for a token without a token in it.
    #[error("parameter {0} has no value: no token")]
    NoToken(&'static str),
    /// A parameter for a token with something else in it.
    #[error("no token in parameter {name}: {fault}; this phone is not woken")]
    NotAToken {
        /// The parameter.
        name: &'static str,
        /// What is wrong with its value.
        fault: TokenFault,
    },
    /// No token for calls, but one for messages.
    #[error("no VoIP token in parameter {name}: {fault}; calls go to the token for messages, as alerts")]
    NoVoipToken {
        /// The parameter.
        name: &'static str,
        /// What is wrong with its value.
        fault: TokenFault,
    },
    /// A token for calls, but none for messages.
    #[error("no token for messages in parameter {name}: {fault}")]
    NoMessageToken {
        /// The parameter.
        name: &'static str,
        /// What is wrong with its value.
        fault: TokenFault,
    },
    /// A value that cannot be a token, an app or a provider.
    #[error("parameter {name} is refused: {why}")]
    Refused {
        /// The parameter.
        name: &'static str,
        /// What is wrong with its value.
        why: Refusal,
    },
    /// A token taken for the call token although no parameter declares it.
    #[error("using the token as the call (PushKit) token, although neither it nor the service list says so")]
    AssumedCall,
    /// Of two tokens one has no label: it is taken for the other service's.
    #[error("one of two tokens has no label: using it for the other service")]
    AssumedOther,
    /// An empty entry in a list of tokens (`token:voip&`).
    #[error("an empty entry in pn-prid is skipped")]
    EmptyEntry,
    /// Tokens and the service list of `pn-param` do not agree; the labels are believed.
    #[error("the tokens' labels and the services of pn-param do not agree: using the labels")]
    ServicesDiffer,
    /// A label other than `voip` and `remote`.
    #[error("pn-prid has a label other than voip and remote: no token is used")]
    UnknownLabel,
    /// It is unknown which token is for calls.
    #[error("unclear which token of pn-prid is for calls: no token is used")]
    Ambiguous,
    /// The keys of a web push subscription cannot be used.
    #[error(
        "the keys for web push are not p256dh (65 bytes) and auth (16 bytes) in base64: its pushes have no payload"
    )]
    NotKeys,
    /// No platform that is known by name.
    #[error("the platform is missing or unknown: the app needs a provider of its own")]
    UnknownPlatform,
}

/// What is wrong with a value.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    /// A `%` without two hexadecimal digits.
    #[error("a % is not followed by two hexadecimal digits")]
    BadEscape,
    /// Blanks, controls, or bytes outside ASCII.
    #[error("it has a space, a control character or a non-ASCII byte")]
    BadCharacter,
    /// Longer than [`MAX_TOKEN`].
    #[error("it is longer than {MAX_TOKEN} bytes")]
    TooLong,
}
