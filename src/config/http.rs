//! The section `[http]`: addresses and token.

use super::error::In;
use super::raw;
use super::secrets::Files;
use super::settings::Http;
use super::values::{CheckResult, list};
use crate::types::Secret;

/// Shorter tokens are rejected as guessable.
const SHORTEST_TOKEN: usize = 16;

pub(super) fn http(at: In<'_>, files: Files<'_>, raw: raw::Http) -> CheckResult<Http> {
    let written = raw.addresses.unwrap_or_else(|| vec!["127.0.0.1:8085".into()]);
    let addresses: Vec<std::net::SocketAddr> = if written.is_empty() {
        Vec::new()
    } else {
        let allowed = r#"addresses with port, as in "127.0.0.1:8085" or "[::1]:8085"; [] switches it off"#;
        list(at, "http.addresses", &written, allowed)?
    };
    let (token_file, token) = match raw.token_file {
        None => (None, None),
        Some(name) => {
            let key = "http.token-file";
            let (path, token) = files.secret(at, key, &name)?;
            let is_weak = |token: &String| token.len() < SHORTEST_TOKEN || !token.bytes().all(|b| b.is_ascii_graphic());
            if token.as_ref().is_some_and(is_weak) {
                let allowed = format!("a file with one line of {SHORTEST_TOKEN} or more letters, digits and signs");
                return Err(at.wrong(key, path, allowed));
            }
            (Some(path), token.map(Secret::new))
        }
    };
    if token_file.is_none()
        && let Some(open) = addresses.iter().find(|a| !a.ip().to_canonical().is_loopback())
    {
        let allowed = "only 127.0.0.1 or [::1] without http.token-file";
        return Err(at.wrong("http.addresses", open, allowed));
    }
    Ok(Http {
        addresses,
        token,
        token_file,
    })
}
