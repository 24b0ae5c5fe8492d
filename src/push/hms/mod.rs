//! Huawei's Push Kit (HMS), for phones without Google's services.
//!
//! Source: Huawei, HMS Core, Push Kit, REST API reference, "Downlink messages"
//! (developer.huawei.com/consumer/cn/doc/HMSCore-References/https-send-api-0000001050986197).

mod reply;

use std::time::SystemTime;

use crate::push::app::{App, Credentials};
use crate::push::clock::Clock;
use crate::push::hms::reply::{classify, is_about_the_access_token};
use crate::push::oauth::access::{AccessTokens, SharedTokens};
use crate::push::oauth::authorized::{AuthorizedConnection, Replies};
use crate::push::oauth::client::{ClientCredentials, ClientTokens};
use crate::push::payload::Composer;
use crate::push::setup::SetupError;
use crate::push::transport::probe::Proof;
use crate::push::transport::reply::Reply;
use crate::push::transport::retry::{Try, Wait};
use crate::push::transport::tls::Tls;
use crate::types::push::{PushError, PushOutcome, PushRequest};

/// Where access tokens are asked for: Huawei, HMS Core, "OAuth 2.0-based Authentication", client credentials mode.
const TOKEN_URL: &str = "https://oauth-login.cloud.huawei.com/oauth2/v3/token";
const BASE: &str = "https://push-api.cloud.huawei.com";
/// A message that Huawei checks and never sends.
const NOBODYS_MESSAGE: &str = r#"{"validate_only":true,"message":{"data":"{\"probe\":\"1\"}","android":{"urgency":"NORMAL","ttl":"1s"},"topic":"fswake-doctor"}}"#;

/// One app's sender.
pub(crate) struct Hms {
    composer: Composer,
    pub connection: AuthorizedConnection<ClientCredentials>,
    clock: Clock,
}

impl Hms {
    /// Reads the app's secret. `clients` are those of other apps: one id has one token.
    pub(crate) fn new(app: &App, clients: &[ClientTokens], clock: Clock) -> Result<Self, SetupError> {
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
        let client = ClientCredentials::read(app, client_id, secret_file, token_url.as_deref().unwrap_or(TOKEN_URL))?;
        let path = format!("/v1/{}/messages:send", client.id());
        let account = SharedTokens::new(&tls, AccessTokens::new(app, client, &tls, clock.clone())?, clients);
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
        let push = self.composer.hms(req, self.clock.now().wall)?;
        let message = |left| push.body(left).to_string();
        self.connection.deliver(req, wait, message, self).await
    }

    /// Gets the access token and opens the connection, so that the first call finds both.
    pub(crate) async fn warm(&self) -> Result<(), PushError> {
        self.connection.warm().await
    }

    /// Lets Huawei check a message to a topic without subscribers, without sending it.
    pub(crate) async fn probe(&self) -> (Result<Proof, PushError>, Option<SystemTime>) {
        self.connection.probe(NOBODYS_MESSAGE, self).await
    }
}

impl Replies for Hms {
    fn classify(&self, reply: &Reply) -> Try {
        classify(reply, self.clock.now().wall)
    }

    fn is_about_the_access_token(&self, reply: &Reply) -> bool {
        is_about_the_access_token(reply)
    }
}
