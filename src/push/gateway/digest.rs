//! Digest access authentication, the client's side: RFC 7616 with qop=auth, and RFC 2069's form for servers without
//! qop.
//!
//! Why not a crate: `digest_auth` 0.3 (2022) and `http-auth` 0.1 (2024) bring a second generation of hash crates and of
//! `rand`, and neither keeps a server's nonce for the next request.

use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use md5::Md5;
use reqwest::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::types::Secret;

/// The longest challenge that is read, in bytes.
const CHALLENGE_LIMIT: usize = 4096;

/// A user of one server, with the challenge that its last reply gave.
///
/// The challenge is kept, so that only the first of many requests has to be sent twice (RFC 7616 section 3.6).
pub(crate) struct Digest {
    user: String,
    password: Secret,
    current: Mutex<Option<(Challenge, u32)>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Challenge {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: Algorithm,
    session: bool,
    qop: bool,
    userhash: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Algorithm {
    Md5,
    Sha256,
}

impl Algorithm {
    fn hash(self, text: &str) -> String {
        let hex = |bytes: &[u8]| {
            bytes.iter().fold(String::new(), |mut hex, byte| {
                let _ = write!(hex, "{byte:02x}");
                hex
            })
        };
        match self {
            Self::Md5 => hex(&Md5::digest(text)),
            Self::Sha256 => hex(&Sha256::digest(text)),
        }
    }
}

impl Digest {
    pub(crate) fn new(user: String, password: Secret) -> Self {
        Self {
            user,
            password,
            current: Mutex::default(),
        }
    }

    /// `Authorization` for a request, once a challenge is known. Each call counts the nonce up.
    pub(crate) fn authorization(&self, method: &str, uri: &str) -> Option<HeaderValue> {
        let (challenge, count) = {
            let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
            let (challenge, count) = current.as_mut()?;
            *count = count.wrapping_add(1);
            (challenge.clone(), *count)
        };
        let cnonce = Uuid::new_v4().simple().to_string();
        let text = challenge.answer(&self.user, self.password.expose(), method, uri, count, &cnonce);
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// Takes the challenge of a 401. Whether there is one that can be answered.
    pub(crate) fn learn(&self, headers: &HeaderMap) -> bool {
        let challenges = headers
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .filter_map(|value| value.to_str().ok());
        let best = challenges
            .filter(|text| text.len() <= CHALLENGE_LIMIT)
            .flat_map(challenges_of)
            .max_by_key(|challenge| challenge.algorithm);
        let Some(best) = best else { return false };
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        // Of many requests that were refused together, one nonce is kept and counted on.
        if current.as_ref().is_none_or(|(known, _)| *known != best) {
            *current = Some((best, 0));
        }
        true
    }
}

impl Challenge {
    /// RFC 7616 section 3.4.
    fn answer(&self, user: &str, password: &str, method: &str, uri: &str, count: u32, cnonce: &str) -> String {
        let hash = |text: &str| self.algorithm.hash(text);
        let mut a1 = hash(&format!("{user}:{}:{password}", self.realm));
        if self.session {
            a1 = hash(&format!("{a1}:{}:{cnonce}", self.nonce));
        }
        let a2 = hash(&format!("{method}:{uri}"));
        let response = if self.qop {
            hash(&format!("{a1}:{}:{count:08x}:{cnonce}:auth:{a2}", self.nonce))
        } else {
            hash(&format!("{a1}:{}:{a2}", self.nonce))
        };
        let user = if self.userhash {
            hash(&format!("{user}:{}", self.realm))
        } else {
            user.to_owned()
        };
        let algorithm = match (self.algorithm, self.session) {
            (Algorithm::Md5, false) => "MD5",
            (Algorithm::Md5, true) => "MD5-sess",
            (Algorithm::Sha256, false) => "SHA-256",
            (Algorithm::Sha256, true) => "SHA-256-sess",
        };
        let mut header = format!(
            "Digest username={}, realm={}, nonce={}, uri={}, response=\"{response}\", algorithm={algorithm}",
            quoted(&user),
            quoted(&self.realm),
            quoted(&self.nonce),
            quoted(uri),
        );
        if self.qop {
            let _ = write!(header, ", qop=auth, nc={count:08x}, cnonce=\"{cnonce}\"");
        } else if self.session {
            let _ = write!(header, ", cnonce=\"{cnonce}\"");
        }
        if let Some(opaque) = &self.opaque {
            let _ = write!(header, ", opaque={}", quoted(opaque));
        }
        if self.userhash {
            header.push_str(", userhash=true");
        }
        header
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The Digest challenges of one header field that can be answered; a field may hold several, of other schemes too (RFC
/// 9110 section 11.6.1).
fn challenges_of(text: &str) -> Vec<Challenge> {
    let mut found: Vec<Vec<(String, String)>> = Vec::new();
    let mut in_digest = false;
    for item in items(text) {
        let item = item.trim();
        let (before, value) = item.split_once('=').unwrap_or((item, ""));
        let name = match before.trim().rsplit_once(char::is_whitespace) {
            Some((scheme, name)) => {
                in_digest = scheme.trim().eq_ignore_ascii_case("digest");
                if in_digest {
                    found.push(Vec::new());
                }
                name
            }
            // A scheme without parameters.
            None if value.is_empty() && !item.contains('=') => {
                in_digest = false;
                continue;
            }
            None => before.trim(),
        };
        if in_digest && let Some(challenge) = found.last_mut() {
            challenge.push((name.to_ascii_lowercase(), unquoted(value.trim())));
        }
    }
    found.iter().filter_map(|params| Challenge::read(params)).collect()
}

impl Challenge {
    fn read(params: &[(String, String)]) -> Option<Self> {
        let get = |name: &str| {
            params
                .iter()
                .find(|(own, _)| own == name)
                .map(|(_, value)| value.as_str())
        };
        let named = get("algorithm").unwrap_or("MD5").to_ascii_lowercase();
        let (algorithm, session) = match named.strip_suffix("-sess") {
            Some(algorithm) => (algorithm, true),
            None => (named.as_str(), false),
        };
        let algorithm = match algorithm {
            "md5" => Algorithm::Md5,
            "sha-256" => Algorithm::Sha256,
            _ => return None,
        };
        let qop = match get("qop") {
            None => false,
            Some(all) if all.split(',').any(|one| one.trim().eq_ignore_ascii_case("auth")) => true,
            Some(_) => return None,
        };
        let (realm, nonce) = (get("realm")?.to_owned(), get("nonce")?.to_owned());
        Some(Self {
            realm,
            nonce,
            opaque: get("opaque").map(str::to_owned),
            algorithm,
            session,
            qop,
            userhash: get("userhash").is_some_and(|value| value.eq_ignore_ascii_case("true")),
        })
    }
}

/// Splits at the commas outside quotes.
fn items(text: &str) -> Vec<&str> {
    let (mut items, mut start, mut in_quotes, mut escaped) = (Vec::new(), 0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            '"' if !escaped => in_quotes = !in_quotes,
            ',' if !in_quotes => {
                items.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
        escaped = in_quotes && c == '\\' && !escaped;
    }
    items.push(&text[start..]);
    items
}

fn unquoted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')) else {
        return value.to_owned();
    };
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next()),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE_NONCE: &str = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    /// RFC 7616 section 3.9.1, with its cnonce and count.
    #[test]
    fn example_of_rfc_7616_gives_its_responses() {
        let challenge = |algorithm: &str| {
            format!(
                r#"Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={algorithm}, nonce="{EXAMPLE_NONCE}", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS""#
            )
        };
        for (algorithm, response) in [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            (
                "SHA-256",
                "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
            ),
        ] {
            let found = challenges_of(&challenge(algorithm));
            let answer = found[0].answer(
                "Mufasa",
                "Circle of Life",
                "GET",
                "/dir/index.html",
                1,
                "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
            );
            assert!(answer.contains(&format!("response=\"{response}\"")), "{answer}");
            assert!(
                answer.contains("qop=auth, nc=00000001") && answer.contains("opaque=\"FQhe/"),
                "{answer}"
            );
        }
    }

    #[test]
    fn strongest_challenge_is_answered_whatever_stands_around_it() {
        let digest = Digest::new("u".into(), Secret::new("p"));
        assert!(digest.authorization("GET", "/").is_none());
        assert!(digest.learn(&headers(&[
            r#"Negotiate, Basic realm="a, Digest b", Digest realm="x", nonce="one", qop="auth""#,
            r#"Digest realm="say \"hi\", y", nonce="two", qop=auth, algorithm=SHA-256"#,
        ])));
        let answer = digest.authorization("GET", "/").unwrap();
        let answer = answer.to_str().unwrap();
        assert!(
            answer.contains(r#"realm="say \"hi\", y""#) && answer.contains("algorithm=SHA-256"),
            "{answer}"
        );
    }

    #[test]
    fn challenge_that_cannot_be_answered_is_none() {
        let digest = Digest::new("u".into(), Secret::new("p"));
        for value in [
            r#"Basic realm="x""#,
            r#"Digest realm="x", nonce="n", qop="auth-int""#,
            r#"Digest realm="x", nonce="n", algorithm=SHA-512-256"#,
            r#"Digest realm="x""#,
            "Digest",
            "",
            ",,,=,\"",
        ] {
            assert!(!digest.learn(&headers(&[value])), "{value}");
        }
    }

    #[test]
    fn nonce_counts_up_and_starts_again_with_a_new_one() {
        let digest = Digest::new("u".into(), Secret::new("p"));
        let count = |nonce: &str| {
            digest.learn(&headers(&[&format!(
                r#"Digest realm="x", nonce="{nonce}", qop="auth""#
            )]));
            let answer = digest.authorization("POST", "/").unwrap();
            let answer = answer.to_str().unwrap().to_owned();
            answer.split("nc=").nth(1).unwrap()[..8].to_owned()
        };
        assert_eq!(
            [count("a"), count("a"), count("b")],
            ["00000001", "00000002", "00000001"]
        );
    }
}
