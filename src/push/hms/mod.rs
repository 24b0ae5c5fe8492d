//! Huawei's Push Kit (HMS), for phones without Google's services.
//!
//! Source: Huawei, HMS Core, Push Kit, REST API reference, "Downlink messages"
//! (developer.huawei.com/consumer/cn/doc/HMSCore-References/https-send-api-0000001050986197).

mod client;
mod reply;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use reqwest::Client;

use crate::push::app::{App, Credentials};
use crate::push::clock::Clock;
use crate::push::hms::client::ClientCredentials;
use crate::push::hms::reply::{classify, is_about_the_access_token};
use crate::push::oauth::access::{AccessTokens, SharedTokens};
use crate::push::payload::Composer;
use crate::push::payload::hms::HmsPush;
use crate::push::setup::SetupError;
use crate::push::transport::connection::ProviderConnection;
use crate::push::transport::probe::Proof;
use crate::push::transport::reply::read_body;
use crate::push::transport::retry::{Try, Wait};
use crate::push::transport::tls::Tls;
use crate::types::push::{PushError, PushOutcome, PushRequest};

const BASE: &str = "https://push-api.cloud.huawei.com";
/// A message that Huawei checks and never sends.
const NOBODYS_MESSAGE: &str = r#"{"validate_only":true,"message":{"data":"{\"probe\":\"1\"}","android":{"urgency":"NORMAL","ttl":"1s"},"topic":"fswake-doctor"}}"#;

/// The tokens of an app at Huawei, which apps of one id share.
pub(crate) type HmsAccount = SharedTokens<ClientCredentials>;

/// One app's sender.
pub(crate) struct Hms {
    name: String,
    url: String,
    base: String,
    composer: Composer,
    connection: ProviderConnection,
    pub account: HmsAccount,
    clock: Clock,
}

impl Hms {
    /// Reads the app's secret. `accounts` are those of other apps: one id has one token.
    pub(crate) fn new(app: &App, accounts: &[HmsAccount], clock: Clock) -> Result<Self, SetupError> {
        let Credentials::HmsClient {
            client_id,
            secret_file,
            token_url,
        } = &app.credentials
        else {
            return Err(SetupError::app(app, "hms needs client-id and client-secret-file"));
        };
        // HTTP/1.1 or HTTP/2, as agreed: Huawei documents neither.
        let tls = Tls::for_any_http(app)?;
        let client = ClientCredentials::read(app, client_id, secret_file, token_url.as_deref())?;
        let base = SetupError::base_url(app, BASE)?;
        Ok(Self {
            name: app.name.clone(),
            url: format!("{base}/v1/{}/messages:send", client.id()),
            base,
            composer: Composer::new(&app.payload, &app.provider).map_err(|error| SetupError::template(app, &error))?,
            account: SharedTokens::new(app, AccessTokens::new(app, client, &tls, clock.clone())?, accounts),
            connection: ProviderConnection::new(app, tls)?,
            clock,
        })
    }

    /// Delivers one push within its wait, or returns the error.
    pub(crate) async fn push(&self, req: &PushRequest) -> PushOutcome {
        let wait = Wait::new(req.patience());
        let push = self.composer.hms(req, &req.to.provider, self.clock.now().wall)?;
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

    /// Lets Huawei check a message to a topic without subscribers, without sending it.
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
            let is_old = is_about_the_access_token(reply.status, &reply.body);
            // The token may be revoked: try once with a new one.
            if is_old && !std::mem::replace(&mut renewed, true) {
                self.account.tokens.refused(&token);
                continue;
            }
            let tried = classify(reply.status, &reply.headers, &reply.body, self.clock.now().wall);
            let outcome = tried
                .into_error()
                .map_or(Ok(Proof::Taken("validate_only accepted")), Err);
            return (outcome, reply.date());
        }
    }

    async fn once(&self, client: Client, push: &HmsPush, left: Duration, renewed: &AtomicBool) -> Try {
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
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = match read_body(response).await {
            Ok(body) => body,
            Err(error) => return self.connection.lost(error),
        };
        let tried = classify(status, &headers, &body, self.clock.now().wall);
        if !is_about_the_access_token(status, &body) || renewed.load(Ordering::Relaxed) {
            return tried;
        }
        // The token may be revoked, or the secret changed: try once with a new one.
        self.account.tokens.refused(&token);
        match self.account.tokens.renewed(token.serial()).await {
            Ok(_) => {
                renewed.store(true, Ordering::Relaxed);
                Try::Again {
                    reason: "the access token is not taken any more".into(),
                }
            }
            // The next try asks again.
            Err(failure) => failure.into(),
        }
    }
}
