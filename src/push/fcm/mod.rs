//! Firebase Cloud Messaging, HTTP v1.
//!
//! Source: Firebase, REST reference of `projects.messages:send` and "FCM error codes".

mod reply;
mod service_account;

use std::time::SystemTime;

use crate::push::app::{App, Credentials};
use crate::push::clock::Clock;
use crate::push::fcm::reply::{SENDER_ID_MISMATCH, classify, message_name};
use crate::push::fcm::service_account::ServiceAccount;
use crate::push::oauth::access::{AccessTokens, SharedTokens};
use crate::push::oauth::authorized::{AuthorizedConnection, Replies};
use crate::push::payload::Composer;
use crate::push::setup::SetupError;
use crate::push::transport::probe::Proof;
use crate::push::transport::reply::Reply;
use crate::push::transport::retry::{Try, Wait};
use crate::push::transport::tls::Tls;
use crate::types::Printable;
use crate::types::push::{PushError, PushOutcome, PushRequest};

const BASE: &str = "https://fcm.googleapis.com";
/// The longest name of a project that is repeated.
const LONGEST_NAME: usize = 64;
/// A message that Google validates without sending it.
const NOBODYS_MESSAGE: &str = r#"{"validate_only":true,"message":{"topic":"fswake-doctor","data":{"probe":"1"},"android":{"priority":"HIGH","ttl":"0s"}}}"#;

/// The tokens of a service account, which apps share.
pub(crate) type FcmAccount = SharedTokens<ServiceAccount>;

/// One app's sender.
pub(crate) struct Fcm {
    composer: Composer,
    pub connection: AuthorizedConnection<ServiceAccount>,
    clock: Clock,
}

impl Fcm {
    /// Reads the app's service account. `accounts` are those of other apps: one account has one token.
    pub(crate) fn new(app: &App, accounts: &[FcmAccount], clock: Clock) -> Result<Self, SetupError> {
        let Credentials::FcmServiceAccount { file } = &app.credentials else {
            return Err(SetupError::app(app, "fcm needs a service account file"));
        };
        let tls = Tls::new(app, None)?;
        let account = ServiceAccount::read(app, file, clock.now())?;
        let account = SharedTokens::new(&tls, AccessTokens::new(app, account, &tls, clock.clone())?, accounts);
        let path = format!("/v1/projects/{}/messages:send", account.tokens.account.project());
        let base = SetupError::base_url(app, BASE)?;
        Ok(Self {
            composer: Composer::of(app)?,
            connection: AuthorizedConnection::new(app, account, tls, base, &path)?,
            clock,
        })
    }

    /// Delivers one push within its wait, or returns the error.
    pub(crate) async fn push(&self, req: &PushRequest) -> PushOutcome {
        let wait = Wait::new(req.patience());
        let push = self.composer.fcm(req, self.clock.now().wall)?;
        let message = |left| push.body(left).to_string();
        let outcome = self.connection.deliver(req, wait, message, self).await;
        outcome.map_err(|error| match error {
            PushError::TokenBad { reason } if reason == SENDER_ID_MISMATCH => self.of_another_project(&req.to.app),
            other => other,
        })
    }

    /// Google does not name the project that the token belongs to; the phone may (`pn-param`).
    fn of_another_project(&self, named: &str) -> PushError {
        let project = self.connection.account.tokens.account.project();
        let known = format!("{SENDER_ID_MISMATCH}: the service account is of project {project}");
        let named: String = named.chars().take(LONGEST_NAME).collect();
        let reason = if named.is_empty() || named == project {
            known
        } else {
            format!("{known}; the phone names {}", Printable(&named))
        };
        PushError::TokenBad { reason }
    }

    /// Gets the access token and opens the connection, so that the first call finds both.
    pub(crate) async fn warm(&self) -> Result<(), PushError> {
        self.connection.warm().await
    }

    /// Lets Google check a message to a topic without subscribers, without sending it.
    pub(crate) async fn probe(&self) -> (Result<Proof, PushError>, Option<SystemTime>) {
        self.connection.probe(NOBODYS_MESSAGE, self).await
    }
}

impl Replies for Fcm {
    fn classify(&self, reply: &Reply) -> Try {
        if reply.status == 200 {
            return Try::Taken {
                provider_id: message_name(&reply.body),
                status: reply.status,
            };
        }
        classify(reply, self.clock.now().wall)
    }

    fn is_about_the_access_token(&self, reply: &Reply) -> bool {
        reply.status == 401
    }
}
