//! Firebase Cloud Messaging, HTTP v1.
//!
//! Source: Firebase, REST reference of `projects.messages:send` and "FCM error codes".

mod grant;
mod reply;
mod token;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use reqwest::{Client, StatusCode};

use crate::push::app::{App, Credentials};
use crate::push::clock::Clock;
use crate::push::fcm::reply::{SENDER_ID_MISMATCH, classify, message_name};
use crate::push::fcm::token::AccessTokens;
use crate::push::payload::Composer;
use crate::push::payload::message::FcmPush;
use crate::push::setup::SetupError;
use crate::push::transport::connection::ProviderConnection;
use crate::push::transport::probe::Proof;
use crate::push::transport::reply::read_body;
use crate::push::transport::retry::{Try, Wait};
use crate::push::transport::tls::Tls;
use crate::types::push::{Fault, PushError, PushOutcome, PushRequest};

const BASE: &str = "https://fcm.googleapis.com";
/// A message that Google checks and never sends.
const NOBODYS_MESSAGE: &str = r#"{"validate_only":true,"message":{"topic":"fswake-doctor","data":{"probe":"1"},"android":{"priority":"HIGH","ttl":"0s"}}}"#;

/// One app's sender.
pub(crate) struct Fcm {
    name: String,
    url: String,
    base: String,
    composer: Composer,
    connection: ProviderConnection,
    pub account: SharedAccount,
    clock: Clock,
}

impl Fcm {
    /// Reads the app's service account. `accounts` are those of other apps: one account has one token.
    pub(crate) fn new(app: &App, accounts: &[SharedAccount], clock: Clock) -> Result<Self, SetupError> {
        let Credentials::FcmServiceAccount { file } = &app.credentials else {
            return Err(SetupError::app(app, "fcm needs a service account file"));
        };
        let tls = Tls::new(app, None)?;
        let tokens = Arc::new(AccessTokens::new(app, file, &tls, clock.clone())?);
        let account = SharedAccount {
            tokens,
            way: (app.ca_file.clone(), app.proxy.clone()),
        };
        let account = accounts
            .iter()
            .find(|a| a.is_same(&account))
            .cloned()
            .unwrap_or(account);
        let base = SetupError::base_url(app, BASE)?;
        Ok(Self {
            name: app.name.clone(),
            url: format!("{base}/v1/projects/{}/messages:send", account.tokens.project()),
            base,
            composer: Composer::new(&app.payload, &app.provider).map_err(|error| SetupError::template(app, &error))?,
            connection: ProviderConnection::new(app, tls)?,
            account,
            clock,
        })
    }

    /// Delivers one push within its wait, or returns the error.
    pub(crate) async fn push(&self, req: &PushRequest) -> PushOutcome {
        let wait = Wait::new(req.patience());
        let push = self.composer.fcm(req, self.clock.now().wall)?;
        let renewed = AtomicBool::new(false);
        let once = |client, left| self.once(client, &push, left, &renewed);
        self.connection.deliver(&self.name, req, wait, once).await
    }

    /// Gets the access token and opens the connection, so that the first call finds both.
    pub(crate) async fn warm(&self) -> Result<(), PushError> {
        let (token, connected) = tokio::join!(
            self.account.tokens.current(),
            self.connection.open(&self.name, &self.base)
        );
        token.map_err(PushError::from)?;
        connected
    }

    /// Lets Google check a message to a topic without subscribers, without sending it.
    pub(crate) async fn probe(&self) -> (Result<Proof, PushError>, Option<SystemTime>) {
        let mut renewed = false;
        loop {
            let token = match self.account.tokens.current().await {
                Ok(token) => token,
                Err(failure) => return (Err(failure.into()), None),
            };
            let asked = self.connection.ask(&self.name, |client| {
                client
                    .post(&self.url)
                    .header("authorization", token.header.clone())
                    .header("content-type", "application/json")
                    .body(NOBODYS_MESSAGE)
            });
            let reply = match asked.await {
                Ok(reply) => reply,
                Err(error) => return (Err(error), None),
            };
            // The token may be revoked: try once with a new one.
            if reply.status == 401 && !std::mem::replace(&mut renewed, true) {
                self.account.tokens.refused(&token);
                continue;
            }
            let outcome = if reply.status == 200 {
                Ok(Proof::Taken("validate_only accepted"))
            } else {
                let tried = classify(reply.status, &reply.headers, &reply.body, self.clock.now().wall);
                tried.into_error().map_or(Ok(Proof::Taken("accepted")), Err)
            };
            return (outcome, reply.date());
        }
    }

    async fn once(&self, client: Client, push: &FcmPush, left: Duration, renewed: &AtomicBool) -> Try {
        let token = match self.account.tokens.current().await {
            Ok(token) => token,
            Err(failure) => return failure.into(),
        };
        let request = client
            .post(&self.url)
            .header("authorization", token.header.clone())
            .header("content-type", "application/json")
            .body(push.body(left).to_string());
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return self.connection.lost(error),
        };
        let (status, headers) = (response.status(), response.headers().clone());
        let body = match read_body(response).await {
            Ok(body) => body,
            Err(error) => return self.connection.lost(error),
        };
        if status == StatusCode::OK {
            return Try::Taken {
                provider_id: message_name(&body),
                status: status.as_u16(),
            };
        }
        let tried = classify(status.as_u16(), &headers, &body, self.clock.now().wall);
        match &tried {
            // The token may be revoked, or the account's keys changed: try once with a new one.
            Try::Refused(PushError::Misconfigured {
                fault: Fault::Credentials,
                reason,
            }) if status == StatusCode::UNAUTHORIZED && !renewed.load(Ordering::Relaxed) => {
                self.account.tokens.refused(&token);
                match self.account.tokens.renewed(token.serial()).await {
                    Ok(_) => {
                        renewed.store(true, Ordering::Relaxed);
                        Try::Again { reason: reason.clone() }
                    }
                    // The next try asks again.
                    Err(failure) => failure.into(),
                }
            }
            Try::Refused(PushError::TokenBad { reason }) if reason == SENDER_ID_MISMATCH => {
                tracing::warn!(
                    app = self.name,
                    project = self.account.tokens.project(),
                    token = push.token.fingerprint(),
                    "the phone's token belongs to another Firebase project than the app's service account"
                );
                tried
            }
            _ => tried,
        }
    }
}

/// An account and how its token server is reached; apps share a token when both are the same.
#[derive(Clone)]
pub(crate) struct SharedAccount {
    tokens: Arc<AccessTokens>,
    way: (Option<std::path::PathBuf>, Option<String>),
}

impl SharedAccount {
    fn is_same(&self, other: &Self) -> bool {
        self.way == other.way && self.tokens.is_for(&other.tokens)
    }
}
