//! Questions about one user's registrations, and whether other profiles run than before.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use freeswitch_esl_tokio::{EslClient, EslError};
use tokio::sync::{Mutex, mpsc};
use tokio::time::{Instant, interval_at, sleep_until};
use tracing::debug;

use super::reading;
use crate::contact::ContactRules;
use crate::driver::Input;
use crate::engine::{Event, Listing};
use crate::types::{Aor, unix_now};

/// FreeSWITCH fires the event of a closed connection before it deletes the registration, in another thread.
const SETTLES: Duration = Duration::from_millis(250);
/// Profiles start one after another, and the event socket before them: their registrations outlive a restart.
const PROFILES_START: Duration = Duration::from_secs(3);
/// How many times it is looked whether one has started.
const LOOKS: u32 = 20;

/// Which registrations does a user have?
#[derive(Debug)]
pub struct Question {
    /// Whose, as it registers.
    pub aor: Aor,
    /// Goes back with the answer.
    pub number: u64,
    /// The profiles to ask.
    pub profiles: Vec<Arc<str>>,
    /// When it came up.
    pub since: Instant,
}

/// Who asks, on one connection.
pub(super) struct Asker {
    pub(super) client: EslClient,
    pub(super) rules: ContactRules,
    /// The profiles whose registrations were read.
    pub(super) profiles: BTreeSet<String>,
    pub(super) questions: Arc<Mutex<mpsc::Receiver<Question>>>,
    pub(super) inputs: mpsc::Sender<Input>,
    /// Other profiles run now: their registrations have to be read.
    pub(super) changed: mpsc::Sender<BTreeSet<String>>,
}

impl Asker {
    /// Asks until the connection ends.
    pub(super) async fn run(mut self) {
        if let Err(error) = self.ask_all().await {
            debug!(%error, "no more questions on this connection");
        }
    }

    async fn ask_all(&mut self) -> Result<(), EslError> {
        let questions = self.questions.clone();
        let mut questions = questions.lock().await;
        let mut look = interval_at(Instant::now() + PROFILES_START, PROFILES_START);
        let mut looks = 0;
        loop {
            tokio::select! {
                question = questions.recv() => match question {
                    Some(question) => self.ask(question).await?,
                    None => return Ok(()),
                },
                _ = look.tick(), if looks < LOOKS => {
                    looks += 1;
                    let running = reading::profiles(&self.client).await?;
                    if running != self.profiles {
                        self.profiles.clone_from(&running);
                        let _ = self.changed.send(running).await;
                    }
                }
            }
        }
    }

    async fn ask(&self, question: Question) -> Result<(), EslError> {
        sleep_until(question.since + SETTLES).await;
        let Question {
            aor,
            number,
            profiles,
            since: _,
        } = question;
        let mut registrations = Vec::new();
        for profile in &profiles {
            let heard = reading::read_user(&self.client, &aor, profile, &self.rules, unix_now()).await?;
            let Some(heard) = heard else {
                debug!(%aor, %profile, "FreeSWITCH cannot be asked for this user's registrations");
                return Ok(());
            };
            registrations.extend(heard.into_iter().filter_map(|heard| match heard.event {
                Event::Registered(reg) => Some(reg),
                _ => None,
            }));
        }
        registrations.sort_by_key(|reg| Reverse(reg.expires));
        let listing = Listing {
            aor,
            number,
            profiles,
            registrations,
        };
        // Nobody to tell means that the process stops.
        let _ = self.inputs.send(Input::Event(Event::Listed(listing))).await;
        Ok(())
    }
}
