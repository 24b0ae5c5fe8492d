//! The running SIP profiles, read once for all checks.

use std::collections::BTreeSet;

use super::esl::Session;
use crate::contact::Uri;
use crate::esl::encode::{self, Word};
use crate::esl::listing;
use crate::xml::lines;

/// One profile.
#[derive(Debug)]
pub(super) struct RunningProfile {
    pub name: String,
    /// The contexts that its calls begin in.
    pub contexts: Vec<String>,
    /// The ports that it listens at.
    pub ports: BTreeSet<u16>,
    /// How many phones are registered with it, if FreeSWITCH answers.
    pub registrations: Option<u64>,
}

/// All running profiles; or the error.
pub(super) async fn running(session: &mut Session) -> Result<Vec<RunningProfile>, String> {
    let status = session.api(encode::ASK_PROFILES).await?;
    // One entry for each transport: check a profile once.
    let names: BTreeSet<String> = listing::running(&status).collect();
    let mut profiles = Vec::new();
    for name in names {
        let state = match Word::new(&name) {
            Some(word) => session.api(&encode::ask_profile(word)).await.unwrap_or_default(),
            None => String::new(),
        };
        profiles.push(RunningProfile {
            contexts: lines(&state, "context").map(str::to_owned).collect(),
            ports: ["bind-url", "url", "tls-bind-url", "tls-url"]
                .into_iter()
                .flat_map(|url| lines(&state, url))
                .filter_map(port)
                .collect(),
            registrations: lines(&state, "registrations")
                .next()
                .and_then(|count| count.parse().ok()),
            name,
        });
    }
    Ok(profiles)
}

/// The port of a SIP URI.
pub(super) fn port(uri: &str) -> Option<u16> {
    let uri = Uri::parse(uri).ok()?;
    let is_tls = uri.scheme().name() == "sips" || uri.param("transport").is_some_and(|t| t.eq_ignore_ascii_case("tls"));
    Some(uri.port().unwrap_or(if is_tls { 5061 } else { 5060 }))
}
