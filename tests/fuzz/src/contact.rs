//! Contacts: the parser, and the writer of dial-strings.

use fswake_core::contact::{self, Contact, NetworkHint, ParamNames, Uri, decode};
use fswake_core::types::{Provider, PushToken};
use percent_encoding::percent_decode_str;

use crate::Target;

/// The fuzz target.
pub const TARGET: Target = Target {
    name: "contact",
    check,
    words: &[
        "<sip:",
        "sips:",
        ">",
        ";pn-provider=",
        "apns",
        "apns.dev",
        "fcm",
        ";pn-param=",
        ";pn-prid=",
        ":voip",
        ":remote",
        "&",
        ";app-id=",
        ";pn-type=",
        ";pn-tok=",
        ";pn-voip-tok=",
        ";pn-im-tok=",
        ";pn-platform=",
        "iOS",
        "android",
        ";fs_path=",
        "sip%3A",
        "<sip:proxy;lr>",
        "%3B",
        "%25",
        "%0d%0a",
        "%00",
        ";fs_nat=yes",
        ";transport=tls",
        ";received=",
        "@",
        "[2001:db8::1]",
        ":5060",
        ":_:",
        "[leg_timeout=1]",
        "\"",
        "\\",
        ",",
        "${x}",
        "(null)",
        "*",
        "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0",
        "DEF123GHIJ.com.example.app.voip",
    ],
};

/// Whether a target after `sofia/internal/` has only allowed characters.
fn is_strict(target: &str) -> bool {
    let plain = |text: &str| {
        text.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._*+%:@;=".contains(&b))
    };
    let mut parts = target.split('[');
    let first = parts.next().unwrap_or_default();
    let pairs = parts.all(|part| {
        part.split_once(']').is_some_and(|(inside, after)| {
            !inside.is_empty()
                && inside.bytes().all(|b| b.is_ascii_alphanumeric() || b":.-".contains(&b))
                && plain(after)
        })
    });
    plain(first) && pairs && !target.contains(":_:")
}

/// Checks that a dial-string has nothing that FreeSWITCH would interpret, and parses to the same URI.
pub(crate) fn check_dialled(dialled: &str) {
    let mut parts = dialled.splitn(3, '/');
    assert_eq!(parts.next(), Some("sofia"), "{dialled}");
    let target = parts.nth(1).unwrap();
    assert!(is_strict(target), "{dialled}");
}

fn tokens(contact: &Contact) -> impl Iterator<Item = &PushToken> {
    let push = contact.push.iter();
    push.flat_map(|push| push.tokens.call().into_iter().chain(push.tokens.remote()))
}

fn check(input: &[u8]) {
    let text = &*String::from_utf8_lossy(input);
    let names = ParamNames::default();
    let hint = NetworkHint::from_event("192.0.2.7", "49152", "Registered(TLS-NAT)");
    for hint in [None, hint.as_ref()] {
        let Ok(contact) = contact::parse(text, &names, "Phone/1.0", hint) else {
            continue;
        };
        assert_eq!(contact::parse(text, &names, "Phone/1.0", hint).as_ref(), Ok(&contact));
        is_written_safely(&contact, &names);
        shows_no_token(&contact);
    }
    is_never_cut_short(text, &names);
}

fn is_written_safely(contact: &Contact, names: &ParamNames) {
    let uri = &contact.uri;
    let Ok(dialled) = uri.dial_target("internal", None) else {
        return;
    };
    check_dialled(&dialled);
    let again = Uri::parse(&dialled["sofia/internal/".len()..]).unwrap();
    assert_eq!(again.dial_target("internal", None).as_ref(), Ok(&dialled), "{uri:?}");
    assert!(uri.same_target(&again), "{dialled}");
    assert!(
        again.host().eq_ignore_ascii_case(uri.host()) && again.port() == uri.port(),
        "{dialled}"
    );
    let user = |uri: &Uri| uri.user().map(|user| percent_decode_str(user).collect::<Vec<_>>());
    assert_eq!(user(&again), user(uri), "{dialled}");

    // Push parameters are removed from the URI and from the route.
    let stripped = uri.dial_target("internal", Some(names)).unwrap();
    check_dialled(&stripped);
    let stripped = Uri::parse(&stripped["sofia/internal/".len()..]).unwrap();
    assert!(stripped.params().all(|(name, _)| !names.is_push(name)), "{stripped:?}");
    // FreeSWITCH knows the route only by this name.
    let path = stripped.params().find(|(name, _)| *name == "fs_path");
    let path = path.and_then(|(_, path)| path).unwrap_or_default();
    let path = percent_decode_str(path).decode_utf8().unwrap();
    for hop in path
        .split(',')
        .map(|hop| hop.trim_matches(['<', '>']))
        .filter(|hop| !hop.is_empty())
    {
        let hop = Uri::parse(hop).unwrap();
        assert!(hop.params().all(|(name, _)| !names.is_push(name)), "{path}");
    }
}

fn shows_no_token(contact: &Contact) {
    let provider = contact.push.as_ref().map(|push| push.provider.clone());
    let warnings: Vec<_> = contact.warnings.iter().map(ToString::to_string).collect();
    let shown = format!("{contact:?} {warnings:?}");
    let uri = &contact.uri;
    for token in tokens(contact) {
        // The token has the normalised form that all of fswake compares.
        let read = PushToken::read(provider.as_ref().unwrap(), token.expose());
        assert_eq!(read.as_ref(), Ok(token), "{contact:?}");
        // Text outside of values is shown unchanged: the address, the names of parameters, the app. It may contain the
        // same characters as a token.
        let user = uri.user().unwrap_or_default();
        let address = shown
            .split_once(user)
            .map_or("", |(_, rest)| rest)
            .split(';')
            .next()
            .unwrap_or_default();
        let names: Vec<_> = uri.params().map(|(name, _)| format!("{name}=..")).collect();
        let push = contact.push.as_ref();
        let app = push.map(|push| format!("{} {}", push.app, push.provider.name()));
        let public = format!("{user}{address} {} {}", names.join(";"), app.unwrap_or_default()).to_ascii_lowercase();
        if token.expose().len() >= 12 && !public.contains(&token.expose().to_ascii_lowercase()) {
            assert!(!shown.contains(token.expose()), "{shown}");
        }
    }
}

/// FreeSWITCH may truncate a Contact anywhere. The parser must then not return part of a token.
fn is_never_cut_short(text: &str, names: &ParamNames) {
    let Some(open) = text.find('<').filter(|open| !text[..*open].contains(['"', ':'])) else {
        return;
    };
    let Some(close) = text[open..].find('>').map(|close| open + close) else {
        return;
    };
    // Every complete value and its parts, decoded and trimmed.
    let mut whole: Vec<String> = Vec::new();
    for value in text[open..close]
        .split(';')
        .filter_map(|param| param.split_once('='))
        // The parser ignores blanks around a value.
        .map(|(_, value)| value.trim())
    {
        // An endpoint of web push may be as it was written; its fragment has keys, which have one length only.
        let plain = |value: &str| value.split('#').next().unwrap_or_default().trim().to_ascii_lowercase();
        whole.push(plain(value));
        whole.extend(decode(value).map(|value| plain(&value)));
        let value = decode(value).map_or_else(|_| value.to_owned(), std::borrow::Cow::into_owned);
        for part in value.split('&') {
            let parts = [part, part.rsplit_once(':').map_or(part, |(token, _)| token)];
            whole.extend(parts.map(|part| part.trim().to_ascii_lowercase()));
        }
        whole.push(value.trim().to_ascii_lowercase());
    }
    let step = 1 + (close - open) / 16;
    for end in (open..close).step_by(step).filter(|end| text.is_char_boundary(*end)) {
        let Ok(cut) = contact::parse(&text[..end], names, "Phone/1.0", None) else {
            continue;
        };
        assert!(cut.cut, "{:?}", cut.uri);
        for token in tokens(&cut) {
            let token_text = token.expose().to_ascii_lowercase();
            let is_web_push = cut.push.as_ref().is_some_and(|push| push.provider == Provider::WebPush);
            let endpoint = token_text.split('#').next().filter(|_| is_web_push);
            let is_whole = whole.contains(&endpoint.map_or(token_text.clone(), str::to_owned));
            assert!(is_whole, "cut at {end}: {}", token.expose());
        }
    }
}
