//! One app's connection to its provider: HTTP/2 where the provider has it, kept warm, and replaced when it hangs.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::{Client, RequestBuilder};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::push::app::App;
use crate::push::setup::SetupError;
use crate::push::transport::failure;
use crate::push::transport::reply::Reply;
use crate::push::transport::retry::{TRY_LIMIT, TransientFailure, Try, Wait};
use crate::push::transport::tls::Tls;
use crate::types::push::{PushError, PushOutcome, PushRequest};

/// Requests of one app under way at once, as many as APNs allows streams on a connection. Others wait.
const IN_FLIGHT: usize = 1000;
/// The same for a server that may speak HTTP/1.1, where each needs a connection of its own. Over HTTP/2 as many streams are
/// what servers should allow at least (RFC 9113 section 6.5.2): more could wait for one inside the library, calls behind
/// messages.
const IN_FLIGHT_OVER_ANY_HTTP: usize = 100;
/// Notifications get this many of ten slots, so that calls always find one.
const FOR_MESSAGES: usize = 7;
/// A probe may take twice a try's time: it connects first, and then asks.
const PROBE_LIMIT: Duration = Duration::from_secs(2 * TRY_LIMIT.as_secs());
/// Why a try that ran out of time failed.
const NO_ANSWER: &str = "no answer in time";

/// The connection of one app.
pub(crate) struct ProviderConnection {
    tls: Tls,
    current: Mutex<(u64, Client)>,
    slots: Semaphore,
    for_messages: Semaphore,
}

impl ProviderConnection {
    pub(crate) fn new(app: &App, tls: Tls) -> Result<Self, SetupError> {
        let client = tls.client().map_err(|error| Tls::unusable(app, error))?;
        let in_flight = if tls.may_be_http1() {
            IN_FLIGHT_OVER_ANY_HTTP
        } else {
            IN_FLIGHT
        };
        Ok(Self {
            tls,
            current: Mutex::new((0, client)),
            slots: Semaphore::new(in_flight),
            for_messages: Semaphore::new(in_flight * FOR_MESSAGES / 10),
        })
    }

    /// Delivers one push within its wait: tries `once`, with what is left of the wait, until it is taken or refused.
    pub(crate) async fn deliver<F>(
        &self,
        app: &str,
        req: &PushRequest,
        mut wait: Wait,
        mut once: impl FnMut(Client, Duration) -> F,
    ) -> PushOutcome
    where
        F: Future<Output = Try>,
    {
        let _message = match req.call() {
            Some(_) => None,
            None => Some(slot(&self.for_messages, &mut wait).await?),
        };
        let _slot = slot(&self.slots, &mut wait).await?;
        loop {
            let (generation, client) = self.client();
            let left = wait.left();
            let tried = wait.attempt(once(client, left)).await?.unwrap_or_else(|| {
                self.replace(app, generation);
                Try::TransientFailure(TransientFailure::no_answer(NO_ANSWER))
            });
            if let Try::Again {
                on_new_connection: true,
                ..
            } = tried
            {
                self.replace(app, generation);
            }
            if let Some(outcome) = wait.settle(app, tried).await {
                return outcome;
            }
        }
    }

    /// What to do after a connection could not be made or was lost.
    pub(crate) fn lost(&self, error: reqwest::Error) -> Try {
        self.tls.lost(error)
    }

    /// The client to send with, and its generation for [`ProviderConnection::replace`].
    fn client(&self) -> (u64, Client) {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Opens the connection with a request that reaches no phone, so that the first call finds it open.
    pub(crate) async fn open(&self, app: &str, base: &str) -> Result<(), PushError> {
        let opening = async |client: Client| client.get(format!("{base}/")).send().await;
        let _any_status = self.once(app, TRY_LIMIT, opening).await?;
        Ok(())
    }

    /// Sends a probe's request, outside the pushes' slots, and reads the reply.
    pub(crate) async fn ask(
        &self,
        app: &str,
        request: impl FnOnce(&Client) -> RequestBuilder,
    ) -> Result<Reply, PushError> {
        self.once(app, PROBE_LIMIT, async |client| Reply::to(request(&client)).await)
            .await
    }

    /// The same on a connection of its own, which is closed then.
    pub(crate) async fn ask_apart(&self, request: impl FnOnce(&Client) -> RequestBuilder) -> Result<Reply, PushError> {
        let client = self
            .tls
            .client()
            .map_err(|error| self.lost(error).into_error().unwrap_or_else(no_answer))?;
        match tokio::time::timeout(PROBE_LIMIT, Reply::to(request(&client))).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(error)) => Err(self.lost(error).into_error().unwrap_or_else(no_answer)),
            Err(_) => Err(no_answer()),
        }
    }

    /// The generation of the connection that the next request uses, for [`ProviderConnection::replace`].
    pub(crate) fn generation(&self) -> u64 {
        self.client().0
    }

    /// Does something other than a push, once, within a limit.
    async fn once<T>(
        &self,
        app: &str,
        limit: Duration,
        what: impl AsyncFnOnce(Client) -> Result<T, reqwest::Error>,
    ) -> Result<T, PushError> {
        let (generation, client) = self.client();
        match tokio::time::timeout(limit, what(client)).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(self.lost(error).into_error().unwrap_or_else(no_answer)),
            Err(_) => {
                self.replace(app, generation);
                Err(no_answer())
            }
        }
    }

    /// Leaves a connection on which a request hung, or that cannot be used any more: the next try opens a new one.
    ///
    /// The pool would hand out the hanging connection until a ping times out. Whatever is still on its way there
    /// keeps its own handle. Of many requests that hung together only the first replaces.
    pub(crate) fn replace(&self, app: &str, generation: u64) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.0 != generation {
            return;
        }
        match self.tls.client() {
            Ok(client) => *current = (generation + 1, client),
            Err(error) => tracing::warn!(
                app,
                error = failure::in_words(error, false),
                "cannot open a second connection"
            ),
        }
    }
}

/// Takes a slot; waits for one, if it has to, at most as long as the push may.
async fn slot<'a>(slots: &'a Semaphore, wait: &mut Wait) -> Result<SemaphorePermit<'a>, PushError> {
    if let Ok(slot) = slots.try_acquire() {
        return Ok(slot);
    }
    let slot = wait.until("too many pushes under way", slots.acquire()).await?;
    // Nobody closes them.
    slot.map_err(|_| no_answer())
}

fn no_answer() -> PushError {
    TransientFailure::no_answer(NO_ANSWER).into()
}
