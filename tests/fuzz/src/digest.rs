//! HTTP Digest challenges (RFC 7616) from a gateway.

use std::collections::BTreeMap;

use fswake::fuzzing::answer_to_challenge;

use crate::Target;

/// The fuzz target.
pub const TARGET: Target = Target {
    name: "digest",
    check,
    words: &[
        "Digest ",
        "Basic realm=\"x\"",
        "realm=",
        "nonce=",
        "opaque=",
        "algorithm=",
        "MD5",
        "SHA-256",
        "MD5-sess",
        "SHA-256-sess",
        "SHA-512-256",
        "qop=",
        "\"auth\"",
        "\"auth,auth-int\"",
        "\"auth-int\"",
        "userhash=true",
        "stale=true",
        "domain=",
        ", ",
        ",",
        "=",
        "\"",
        "\\\"",
        "\\\\",
        "\\",
        " ",
        "\t",
        "Bearer",
        "username=",
        "nc=",
    ],
};

/// Parses the parameters of a header by RFC 9110 section 5.6: tokens and quoted strings.
fn parameters(header: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut rest = header.strip_prefix("Digest ").unwrap_or_else(|| panic!("{header}"));
    loop {
        let (name, after) = rest
            .split_once('=')
            .unwrap_or_else(|| panic!("no `=` in {rest} of {header}"));
        assert!(name.bytes().all(|b| b.is_ascii_lowercase()), "{name} in {header}");
        let (value, after) = if let Some(quoted) = after.strip_prefix('"') {
            let mut value = String::new();
            let mut chars = quoted.char_indices();
            let end = loop {
                match chars.next().unwrap_or_else(|| panic!("an open quote in {header}")) {
                    (_, '\\') => value.push(chars.next().unwrap().1),
                    (at, '"') => break at,
                    (_, c) => value.push(c),
                }
            };
            (value, &quoted[end + 1..])
        } else {
            let end = after.find(',').unwrap_or(after.len());
            let value = &after[..end];
            assert!(
                value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'),
                "{value} in {header}"
            );
            (value.to_owned(), &after[end..])
        };
        assert!(all.insert(name.to_owned(), value).is_none(), "{name} twice in {header}");
        let Some(next) = after.strip_prefix(", ") else {
            assert!(after.is_empty(), "{after} in {header}");
            return all;
        };
        rest = next;
    }
}

fn check(input: &[u8]) {
    const PASSWORD: &str = "s3cr3t-passw0rd";
    let text = &*String::from_utf8_lossy(input);
    let Some(answer) = answer_to_challenge(text, "al\"ice\\", PASSWORD) else {
        return;
    };
    assert!(!answer.contains(PASSWORD) || text.contains(PASSWORD), "{answer}");
    let told = parameters(&answer);
    for name in ["username", "realm", "nonce", "uri", "response", "algorithm"] {
        assert!(told.contains_key(name), "no {name} in {answer}");
    }
    assert_eq!(told.contains_key("qop"), told.contains_key("nc"), "{answer}");
    if !told.contains_key("userhash") {
        assert_eq!(told["username"], "al\"ice\\");
    }
    let digits = if told["algorithm"].starts_with("SHA-256") {
        64
    } else {
        32
    };
    assert!(
        told["response"].len() == digits && told["response"].bytes().all(|b| b.is_ascii_hexdigit()),
        "{answer}"
    );
    // Parsing the answer as a challenge gives the same realm, nonce and other values, so quoting is reversible.
    let again = answer_to_challenge(&answer, "al\"ice\\", PASSWORD).unwrap_or_else(|| panic!("{answer}"));
    let again = parameters(&again);
    for name in ["realm", "nonce", "opaque", "algorithm", "qop", "userhash", "uri"] {
        assert_eq!(told.get(name), again.get(name), "{name} of {answer}");
    }
}
