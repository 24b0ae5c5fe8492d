//! Questions about one user's registrations.

use std::cmp::Reverse;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc};
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use super::inbound::Settings;
use super::query::{Query, QueryConnection};
use super::resync;
use crate::clock::unix_now;
use crate::engine::{Event, Listing};
use crate::input::Input;
use crate::types::{Aor, NodeId};
use crate::words;

/// FreeSWITCH fires the event before it deletes the registration: a separate thread collects statements for 40 times 5
/// ms (switch_core_sqldb.c; 0.22 to 0.32 s measured).
const SETTLES: Duration = Duration::from_millis(500);

/// Which registrations does a user have?
#[derive(Debug)]
pub struct RegistrationsQuery {
    /// The user's AOR as registered.
    pub aor: Aor,
    /// Returned with the answer.
    pub number: u64,
    /// The profiles to ask.
    pub profiles: Vec<Arc<str>>,
    /// When it came up.
    pub since: Instant,
}

/// Asks on a separate connection: a question may wait for FreeSWITCH's lock on a long list.
pub(super) struct Asker {
    pub(super) node: NodeId,
    pub(super) settings: Settings,
    pub(super) questions: Arc<Mutex<mpsc::Receiver<RegistrationsQuery>>>,
    pub(super) inputs: mpsc::Sender<Input>,
}

impl Asker {
    /// Runs until no sender is left.
    pub(super) async fn run(self) {
        let mut questions = self.questions.lock().await;
        let mut line = None;
        while let Some(question) = questions.recv().await {
            sleep_until(question.since + SETTLES).await;
            line = self.answer(line, question).await;
        }
    }

    async fn answer(&self, line: Option<QueryConnection>, question: RegistrationsQuery) -> Option<QueryConnection> {
        let asked = QueryConnection::run(line, self.settings.endpoint.clone(), &(self, &question)).await;
        asked
            .map_err(|error| debug!(aor = %question.aor, error = words::of_io(&error), "cannot query a user's registrations"))
            .ok()
            .map(|(line, ())| line)
    }
}

impl Query for (&Asker, &RegistrationsQuery) {
    type Output = ();

    async fn run(&self, line: &mut QueryConnection) -> io::Result<()> {
        let (asker, question) = *self;
        let RegistrationsQuery {
            aor,
            number,
            profiles,
            since: _,
        } = question;
        let mut registrations = Vec::new();
        for profile in profiles {
            let heard = resync::read_user(line, aor, profile, &asker.settings.rules, unix_now()).await?;
            let Some(heard) = heard else {
                debug!(%aor, %profile, "cannot read this user's registrations in this profile");
                return Ok(());
            };
            registrations.extend(heard.into_iter().filter_map(|heard| match heard.event {
                Event::Registered(reg) => Some(reg),
                _ => None,
            }));
        }
        registrations.sort_by_key(|reg| Reverse(reg.expires));
        let listing = Listing {
            node: asker.node,
            aor: aor.clone(),
            number: *number,
            profiles: profiles.clone(),
            registrations,
        };
        // If the receiver is gone, the process is stopping.
        let _ = asker
            .inputs
            .send(Input::Event(Event::Listed(listing).at(asker.node)))
            .await;
        Ok(())
    }
}
