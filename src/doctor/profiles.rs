//! The running SIP profiles, read once for all checks.

use std::collections::BTreeSet;

use super::esl::Session;
use crate::esl::encode::{self, Word};
use crate::esl::listing;
use crate::xml::lines;

/// One profile.
#[derive(Debug)]
pub(super) struct RunningProfile {
    pub name: String,
    /// The contexts that its calls begin in.
    pub contexts: Vec<String>,
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
            registrations: lines(&state, "registrations")
                .next()
                .and_then(|count| count.parse().ok()),
            name,
        });
    }
    Ok(profiles)
}
