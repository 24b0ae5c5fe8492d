//! Apple Push Notification service over HTTP/2.
//!
//! Sources: Apple, "Sending notification requests to APNs" and "Handling notification responses from APNs".

mod credentials;
mod reply;
pub(crate) mod token;
pub(crate) mod token_file;

use std::sync::Arc;
use std::time::SystemTime;

use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

use crate::clock::day;
use crate::push::apns::credentials::{certificate_with_key, shared_token};
use crate::push::apns::reply::{BAD_DEVICE_TOKEN, classify};
use crate::push::apns::token::{Bearer, ProviderToken};
use crate::push::app::{App, Credentials};
use crate::push::clock::Clock;
use crate::push::payload::Composer;
use crate::push::payload::message::ApnsPush;
use crate::push::setup::SetupError;
use crate::push::transport::connection::ProviderConnection;
use crate::push::transport::probe::Proof;
use crate::push::transport::reply::read_body;
use crate::push::transport::retry::{TransientFailure, Try, Wait};
use crate::push::transport::tls::Tls;
use crate::types::push::{Fault, KeptBy, PushError, PushOutcome, PushRequest};
use crate::types::{Provider, PushParams, PushToken};

/// How operators and the journal know an expired certificate; TLS's alert has the same name.
const EXPIRED: &str = "CertificateExpired";
/// Apps have one or two topics; a probe asks for no more than this.
const PROBED_TOPICS: usize = 8;
const PRODUCTION: &str = "https://api.push.apple.com";
const SANDBOX: &str = "https://api.sandbox.push.apple.com";

/// One app's sender.
pub(crate) struct Apns {
    name: String,
    base: String,
    app: App,
    composer: Composer,
    connection: ProviderConnection,
    /// `None`: the connection's client certificate identifies fswake.
    pub token: Option<Arc<ProviderToken>>,
    /// When that certificate ends.
    pub expires: Option<SystemTime>,
    clock: Clock,
}

impl Apns {
    /// Reads the app's credentials. `tokens` are those of other apps: equal keys share one.
    pub(crate) fn new(app: &App, tokens: &[Arc<ProviderToken>], clock: Clock) -> Result<Self, SetupError> {
        let (token, identity) = match &app.credentials {
            Credentials::ApnsToken {
                key_file,
                key_id,
                team_id,
            } => (Some(shared_token(app, tokens, key_file, key_id, team_id)?), None),
            Credentials::ApnsCertificate { cert_file, key_file } => {
                (None, Some(certificate_with_key(app, cert_file, key_file)?))
            }
            _ => return Err(SetupError::app(app, "apns needs a .p8 key or a certificate")),
        };
        let (identity, expires) = identity.unzip();
        let default = if app.provider == Provider::ApnsSandbox {
            SANDBOX
        } else {
            PRODUCTION
        };
        Ok(Self {
            name: app.name.clone(),
            base: SetupError::base_url(app, default)?,
            app: app.clone(),
            composer: Composer::new(&app.payload, &app.provider).map_err(|error| SetupError::template(app, &error))?,
            connection: ProviderConnection::new(app, Tls::new(app, identity)?)?,
            token,
            expires: expires.flatten(),
            clock,
        })
    }

    /// Delivers one push within its wait, or returns the error.
    pub(crate) async fn push(&self, req: &PushRequest) -> PushOutcome {
        let wait = Wait::new(req.patience());
        self.is_valid()?;
        let push = self.composer.apns(req, self.topic(&req.to), self.clock.now().wall)?;
        self.connection
            .deliver(&self.name, req, wait, |client, _left| self.once(client, &push))
            .await
    }

    /// Nothing is sent with an expired certificate: Apple resets such connections, which looks like a network's
    /// fault.
    fn is_valid(&self) -> Result<(), PushError> {
        match self.expires.filter(|end| *end <= self.clock.now().wall) {
            Some(end) => Err(PushError::Misconfigured {
                fault: Fault::CertificateExpired,
                reason: format!("{EXPIRED}: the certificate expired on {} UTC", day(end)),
            }),
            None => Ok(()),
        }
    }

    /// The topic that is configured for a device.
    fn topic(&self, to: &PushParams) -> Option<&str> {
        let app = &self.app;
        app.topic.as_deref().or_else(|| app.configured(&to.provider, &to.app))
    }

    /// Opens the connection with a request that reaches no phone, so that the first call finds it open.
    pub(crate) async fn warm(&self) -> Result<(), PushError> {
        self.is_valid()?;
        self.connection.open(&self.name, &self.base).await
    }

    /// Pushes to a token that cannot exist, with each topic that the app's phones have.
    pub(crate) async fn probe(&self) -> (Result<Proof, PushError>, Option<SystemTime>) {
        if let Err(expired) = self.is_valid() {
            return (Err(expired), None);
        }
        let topics = self.topics();
        let (mut outcome, mut date) = (Ok(Proof::NoTopic), None);
        for topic in topics.iter().map(Some).chain(topics.is_empty().then_some(None)) {
            (outcome, date) = self.probe_topic(topic.map_or("", String::as_str)).await;
            // The other topics would fail in the same way.
            if outcome.is_err() {
                break;
            }
        }
        (outcome, date)
    }

    /// The topics of the app's call pushes that are known before a phone names its own.
    fn topics(&self) -> Vec<String> {
        let named = self.app.topic.iter().chain(&self.app.app_ids);
        let most = if self.app.topic.is_some() { 1 } else { PROBED_TOPICS };
        let bundle = |id: &String| id.strip_suffix(".voip").unwrap_or(id).to_owned();
        named.take(most).map(|id| format!("{}.voip", bundle(id))).collect()
    }

    async fn probe_topic(&self, topic: &str) -> (Result<Proof, PushError>, Option<SystemTime>) {
        let push = ApnsPush {
            token: PushToken::new("0".repeat(64)),
            push_type: "voip",
            topic: topic.to_owned(),
            priority: "10",
            expiration: 0,
            apns_id: Uuid::new_v4(),
            body: br#"{"aps":{}}"#.to_vec(),
        };
        let (tried, date) = match self.tried(&push).await {
            // The provider token was an hour old and has been renewed.
            Ok((Try::Again { .. }, _)) => match self.tried(&push).await {
                Ok(tried) => tried,
                Err(error) => return (Err(error), None),
            },
            Ok(tried) => tried,
            Err(error) => return (Err(error), None),
        };
        let outcome = match tried {
            Try::Refused(PushError::TokenBad { reason }) if reason == BAD_DEVICE_TOKEN => {
                Ok(Proof::Taken(BAD_DEVICE_TOKEN))
            }
            Try::Refused(PushError::TokenGone { .. }) => Ok(Proof::Taken("Unregistered")),
            Try::Refused(error) if error.is_about_the_topic() && topic.is_empty() => Ok(Proof::NoTopic),
            Try::Refused(error) if error.is_about_the_topic() => Err(error.with_topic(topic)),
            // Only the made-up token is pushed too often: everything else is good.
            Try::TransientFailure(TransientFailure {
                kept_by: KeptBy::BusyForPhone { .. },
                ..
            }) => Ok(Proof::Taken("TooManyRequests")),
            other => other.into_error().map_or(Ok(Proof::Taken("accepted")), Err),
        };
        (outcome, date)
    }

    async fn tried(&self, push: &ApnsPush) -> Result<(Try, Option<SystemTime>), PushError> {
        let bearer = self.bearer().map_err(PushError::credentials)?;
        let asked = self
            .connection
            .ask(&self.name, |client| self.request(client, push, bearer.as_ref()));
        let reply = asked.await?;
        let tried = match reply.status {
            200 => Try::Taken {
                provider_id: None,
                status: 200,
            },
            status => self.refused(status, &reply.headers, &reply.body, bearer.as_ref()),
        };
        Ok((tried, reply.date()))
    }

    /// The provider token to send now, where the app has a signing key.
    fn bearer(&self) -> Result<Option<Bearer>, String> {
        self.token.as_ref().map(|t| t.current(self.clock.now())).transpose()
    }

    /// The request for a push.
    fn request(&self, client: &reqwest::Client, push: &ApnsPush, bearer: Option<&Bearer>) -> reqwest::RequestBuilder {
        let url = format!("{}/3/device/{}", self.base, push.token.expose());
        let request = client.post(url).headers(headers(push)).body(push.body.clone());
        match bearer {
            Some(bearer) => request.header(AUTHORIZATION, bearer.header.clone()),
            None => request,
        }
    }

    async fn once(&self, client: reqwest::Client, push: &ApnsPush) -> Try {
        let bearer = match self.bearer() {
            Ok(bearer) => bearer,
            Err(reason) => return Try::Refused(PushError::credentials(reason)),
        };
        let response = match self.request(&client, push, bearer.as_ref()).send().await {
            Ok(response) => response,
            Err(error) => return self.connection.lost(error),
        };
        let status = response.status();
        if status == StatusCode::OK {
            let id = response.headers().get("apns-id").and_then(|id| id.to_str().ok());
            let provider_id = id
                .filter(|id| id.len() <= 64)
                .map_or_else(|| push.apns_id.to_string(), str::to_owned);
            return Try::Taken {
                provider_id: Some(provider_id),
                status: status.as_u16(),
            };
        }
        let headers = response.headers().clone();
        match read_body(response).await {
            Ok(body) => self.refused(status.as_u16(), &headers, &body, bearer.as_ref()),
            Err(error) => self.connection.lost(error),
        }
    }

    fn refused(&self, status: u16, headers: &HeaderMap, body: &[u8], bearer: Option<&Bearer>) -> Try {
        let now = self.clock.now();
        let tried = classify(status, headers, body, now.wall);
        match (tried, &self.token, bearer) {
            (
                Try::Refused(PushError::Misconfigured {
                    fault: Fault::Clock,
                    reason,
                }),
                Some(token),
                Some(bearer),
            ) => {
                if token.renew_refused(bearer, now) {
                    return Try::Again { reason };
                }
                Try::Refused(PushError::Misconfigured {
                    fault: Fault::Clock,
                    reason: format!("{reason}, but it was signed less than 20 minutes ago: check this machine's clock"),
                })
            }
            (tried, _, _) => tried,
        }
    }
}

fn headers(push: &ApnsPush) -> HeaderMap {
    // Apple asks that values which differ with every push stay out of its HPACK table; h2 keeps only sensitive ones
    // out.
    let unique = |mut value: HeaderValue| {
        value.set_sensitive(true);
        value
    };
    let text = |text: &str| HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""));
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(
        HeaderName::from_static("apns-push-type"),
        HeaderValue::from_static(push.push_type),
    );
    headers.insert(
        HeaderName::from_static("apns-priority"),
        HeaderValue::from_static(push.priority),
    );
    // A topic that no header can carry is sent empty: APNs then answers MissingTopic.
    headers.insert(HeaderName::from_static("apns-topic"), text(&push.topic));
    headers.insert(
        HeaderName::from_static("apns-expiration"),
        HeaderValue::from(push.expiration),
    );
    headers.insert(
        HeaderName::from_static("apns-id"),
        unique(text(&push.apns_id.to_string())),
    );
    headers
}
