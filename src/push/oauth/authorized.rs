//! An app's connection to a provider that wants an access token with each message.
//!
//! A provider may refuse a token before its time is over: it was revoked, or the account's key is another one. Then the
//! push is tried once more with a new token.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use reqwest::{Client, RequestBuilder};

use crate::push::app::App;
use crate::push::oauth::access::{AccessToken, Account, SharedTokens};
use crate::push::setup::SetupError;
use crate::push::transport::connection::ProviderConnection;
use crate::push::transport::probe::Proof;
use crate::push::transport::reply::Reply;
use crate::push::transport::retry::{Try, Wait};
use crate::push::transport::tls::Tls;
use crate::types::push::{Fault, PushError, PushOutcome, PushRequest};

/// One app's connection.
pub(crate) struct AuthorizedConnection<A> {
    /// The app's name in logs.
    pub app: String,
    base: String,
    url: String,
    connection: ProviderConnection,
    /// Its access tokens.
    pub account: SharedTokens<A>,
}

/// How one provider's replies are read.
pub(crate) trait Replies {
    /// What to do about a reply.
    fn classify(&self, reply: &Reply) -> Try;
    /// Whether a refusal of the app's credentials is about the access token.
    fn is_about_the_access_token(&self, reply: &Reply) -> bool;
}

impl<A: Account> AuthorizedConnection<A> {
    /// A connection to `base`, where messages are posted to `path`.
    pub(crate) fn new(
        app: &App,
        account: SharedTokens<A>,
        tls: Tls,
        base: String,
        path: &str,
    ) -> Result<Self, SetupError> {
        Ok(Self {
            app: app.name.clone(),
            url: format!("{base}{path}"),
            base,
            connection: ProviderConnection::new(app, tls)?,
            account,
        })
    }

    /// Gets the access token and opens the connection, so that the first call finds both.
    pub(crate) async fn warm(&self) -> Result<(), PushError> {
        let (token, connected) = tokio::join!(
            self.account.tokens.current(),
            self.connection.open(&self.app, &self.base)
        );
        token.map_err(PushError::from)?;
        connected
    }

    /// Delivers one push, whose message depends on what is left of the wait.
    pub(crate) async fn deliver(
        &self,
        req: &PushRequest,
        wait: Wait,
        message: impl Fn(Duration) -> String,
        replies: &impl Replies,
    ) -> PushOutcome {
        let renewed = AtomicBool::new(false);
        let once = |client, left| self.once(client, message(left), replies, &renewed);
        self.connection.deliver(&self.app, req, wait, once).await
    }

    /// Sends a message that the provider only checks; what it proves, and the provider's clock.
    pub(crate) async fn probe(
        &self,
        message: &str,
        replies: &impl Replies,
    ) -> (Result<Proof, PushError>, Option<SystemTime>) {
        let reply = match self.ask(message, replies).await {
            Ok(reply) => reply,
            Err(error) => return (Err(error), None),
        };
        let error = replies.classify(&reply).into_error();
        let outcome = error.map_or(Ok(Proof::Taken("validate_only accepted")), Err);
        (outcome, reply.date())
    }

    /// Asks once more with a new token if the provider refuses the first.
    async fn ask(&self, message: &str, replies: &impl Replies) -> Result<Reply, PushError> {
        let mut renewed = false;
        loop {
            let token = self.account.tokens.current().await?;
            let request = |client: &Client| self.request(client, &token, message.to_owned());
            let reply = self.connection.ask(&self.app, request).await?;
            if !replies.is_about_the_access_token(&reply) || std::mem::replace(&mut renewed, true) {
                return Ok(reply);
            }
            self.account.tokens.refused(&token);
        }
    }

    async fn once(&self, client: Client, message: String, replies: &impl Replies, renewed: &AtomicBool) -> Try {
        let token = match self.account.tokens.current().await {
            Ok(token) => token,
            Err(failure) => return failure.into(),
        };
        let reply = match Reply::to(self.request(&client, &token, message)).await {
            Ok(reply) => reply,
            Err(error) => return self.connection.lost(error),
        };
        let reason = match replies.classify(&reply) {
            Try::Refused(PushError::Misconfigured {
                fault: Fault::Credentials,
                reason,
            }) if replies.is_about_the_access_token(&reply) && !renewed.load(Ordering::Relaxed) => reason,
            tried => return tried,
        };
        let tried = self.account.tokens.try_with_another(&token, reason).await;
        if matches!(tried, Try::Again { .. }) {
            renewed.store(true, Ordering::Relaxed);
        }
        tried
    }

    fn request(&self, client: &Client, token: &AccessToken, message: String) -> RequestBuilder {
        client
            .post(&self.url)
            .header("authorization", token.header.clone())
            .header("content-type", "application/json")
            .body(message)
    }
}
