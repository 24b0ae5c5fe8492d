//! Apple Push Notification service over HTTP/2.
//!
//! Sources: Apple, "Sending notification requests to APNs" and "Handling notification responses from APNs".

mod credentials;
pub(crate) mod keys;
mod reply;
pub(crate) mod rules;
pub(crate) mod token;

use std::sync::Arc;
use std::time::SystemTime;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use uuid::Uuid;

use crate::clock::day;
use crate::push::apns::credentials::{client_certificate, shared_keys};
use crate::push::apns::keys::{KeyProblem, OtherKey, SignedBy, SigningKeys};
use crate::push::apns::reply::{BAD_DEVICE_TOKEN, OTHER_KEY_ON_THIS_CONNECTION, classify, is_about_the_key};
use crate::push::apns::token::ProviderToken;
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
/// How often a probe is repeated whose cause of failure was removed: a renewed token, and the same with the other key.
const PROBED_AGAIN: usize = 3;
const PRODUCTION: &str = "https://api.push.apple.com";
const SANDBOX: &str = "https://api.sandbox.push.apple.com";

/// One app's sender.
pub(crate) struct Apns {
    name: String,
    base: Url,
    app: App,
    composer: Composer,
    connection: ProviderConnection,
    /// `None`: the connection's client certificate identifies fswake.
    pub keys: Option<SigningKeys>,
    /// When that certificate ends.
    pub expires: Option<SystemTime>,
    clock: Clock,
}

impl Apns {
    /// Reads the app's credentials. `tokens` are those of other apps: equal keys share one.
    pub(crate) fn new(app: &App, tokens: &[Arc<ProviderToken>], clock: Clock) -> Result<Self, SetupError> {
        let (keys, identity) = match &app.credentials {
            Credentials::ApnsToken { .. } => (Some(shared_keys(app, tokens)?), None),
            Credentials::ApnsCertificate { .. } => (None, Some(client_certificate(app)?)),
            _ => return Err(SetupError::app(app, "apns needs a .p8 key or a certificate")),
        };
        let (identity, expires) = identity.unzip();
        let default = if app.provider == Provider::ApnsSandbox {
            SANDBOX
        } else {
            PRODUCTION
        };
        let base = SetupError::base_url(app, default)?;
        Ok(Self {
            name: app.name.clone(),
            base: Url::parse(&base).map_err(|_| SetupError::app(app, "base-url is no URL"))?,
            app: app.clone(),
            composer: Composer::of(app)?,
            connection: ProviderConnection::new(app, Tls::new(app, identity)?)?,
            keys,
            expires: expires.flatten(),
            clock,
        })
    }

    /// Delivers one push within its wait, or returns the error.
    pub(crate) async fn push(&self, req: &PushRequest) -> PushOutcome {
        let wait = Wait::new(req.patience());
        self.is_valid()?;
        let now = self.clock.now().wall;
        let mut push = self.composer.apns(req, self.topic(&req.to), now)?;
        self.app.apns.apply(&mut push, req, now);
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
        let origin = self.base.as_str().trim_end_matches('/');
        self.connection.open(&self.name, origin).await
    }

    /// Pushes to a token that cannot exist, with each topic that the app's phones have, and once with the key that is not
    /// in use.
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
        if let Some(keys) = &self.keys
            && let Some(unused) = keys.unused()
        {
            self.probe_key(keys, unused, topics.first().map_or("", String::as_str))
                .await;
        }
        (outcome, date)
    }

    /// Tries the key that is not in use, on a connection of its own: a next key that Apple refuses would be found too late,
    /// when the first is revoked.
    async fn probe_key(&self, keys: &SigningKeys, key: usize, topic: &str) {
        let Ok(signed) = keys.sign_with(key, self.clock.now()) else {
            return;
        };
        let (push, generation) = (probe_push(topic), self.connection.generation());
        let request = |client: &reqwest::Client| self.request(client, &push, Some(&signed));
        let Ok(reply) = self.connection.ask_apart(request).await else {
            return;
        };
        let now = self.clock.now();
        match classify(reply.status, &reply.headers, &reply.body, now.wall) {
            Try::Refused(PushError::Misconfigured { reason, .. }) if is_about_the_key(&reason) => {
                keys.unused_is_refused(key, &reason, now);
            }
            // Apple looks at the key first.
            Try::Refused(error) if is_about_the_push(&error) && keys.unused_is_accepted(key) => {
                tracing::info!(
                    app = self.name,
                    key_id = keys.id(key),
                    "Apple takes the first signing key again: it is in use now"
                );
                self.connection.replace(&self.name, generation);
            }
            _ => {}
        }
    }

    /// The topics of the app's call pushes that are known before a phone names its own.
    fn topics(&self) -> Vec<String> {
        let named = self.app.topic.iter().chain(&self.app.app_ids);
        let most = if self.app.topic.is_some() { 1 } else { PROBED_TOPICS };
        let bundle = |id: &String| id.strip_suffix(".voip").unwrap_or(id).to_owned();
        named.take(most).map(|id| format!("{}.voip", bundle(id))).collect()
    }

    async fn probe_topic(&self, topic: &str) -> (Result<Proof, PushError>, Option<SystemTime>) {
        let push = probe_push(topic);
        let (mut tried, mut date) = match self.tried(&push).await {
            Ok(tried) => tried,
            Err(error) => return (Err(error), None),
        };
        // Another provider token or the other key is used now.
        for _ in 0..PROBED_AGAIN {
            if !matches!(tried, Try::Again { .. }) {
                break;
            }
            (tried, date) = match self.tried(&push).await {
                Ok(tried) => tried,
                Err(error) => return (Err(error), None),
            };
        }
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
        let signed = self.signed().map_err(PushError::credentials)?;
        let generation = self.connection.generation();
        let asked = self
            .connection
            .ask(&self.name, |client| self.request(client, push, signed.as_ref()));
        let reply = asked.await?;
        let tried = match reply.status {
            200 => self.taken(None, signed.as_ref()),
            status => self.refused(status, &reply.headers, &reply.body, signed.as_ref()),
        };
        if let Try::Again {
            on_new_connection: true,
            ..
        } = tried
        {
            self.connection.replace(&self.name, generation);
        }
        Ok((tried, reply.date()))
    }

    /// The provider token to send now, where the app has a signing key.
    fn signed(&self) -> Result<Option<SignedBy>, String> {
        self.keys
            .as_ref()
            .map(|keys| keys.current(self.clock.now()))
            .transpose()
    }

    /// The request for a push.
    fn request(&self, client: &reqwest::Client, push: &ApnsPush, signed: Option<&SignedBy>) -> reqwest::RequestBuilder {
        let mut url = self.base.clone();
        url.set_path(&format!("/3/device/{}", push.token.expose()));
        let mut request = reqwest::Request::new(Method::POST, url);
        *request.headers_mut() = headers(push, signed);
        *request.body_mut() = Some(push.body.clone().into());
        reqwest::RequestBuilder::from_parts(client.clone(), request)
    }

    async fn once(&self, client: reqwest::Client, push: &ApnsPush) -> Try {
        let signed = match self.signed() {
            Ok(signed) => signed,
            Err(reason) => return Try::Refused(PushError::credentials(reason)),
        };
        let response = match self.request(&client, push, signed.as_ref()).send().await {
            Ok(response) => response,
            Err(error) => return self.connection.lost(error),
        };
        let status = response.status();
        if status == StatusCode::OK {
            let id = response.headers().get("apns-id").and_then(|id| id.to_str().ok());
            let provider_id = id
                .filter(|id| id.len() <= 64)
                .map_or_else(|| push.apns_id.to_string(), str::to_owned);
            return self.taken(Some(provider_id), signed.as_ref());
        }
        let headers = response.headers().clone();
        match read_body(response).await {
            Ok(body) => self.refused(status.as_u16(), &headers, &body, signed.as_ref()),
            Err(error) => self.connection.lost(error),
        }
    }

    fn taken(&self, provider_id: Option<String>, signed: Option<&SignedBy>) -> Try {
        if let (Some(keys), Some(signed)) = (&self.keys, signed) {
            keys.accepted(signed.key);
        }
        Try::Taken {
            provider_id,
            status: StatusCode::OK.as_u16(),
        }
    }

    fn refused(&self, status: u16, headers: &HeaderMap, body: &[u8], signed: Option<&SignedBy>) -> Try {
        let now = self.clock.now();
        let again = |reason: &str, on_new_connection| Try::Again {
            reason: reason.to_owned(),
            on_new_connection,
        };
        let tried = classify(status, headers, body, now.wall);
        let (Some(keys), Some(signed)) = (&self.keys, signed) else {
            return tried;
        };
        let (fault, reason) = match tried {
            Try::Refused(PushError::Misconfigured { fault, reason }) => (fault, reason),
            // Apple looks at the key first.
            Try::Refused(ref error) if is_about_the_push(error) => {
                keys.accepted(signed.key);
                return tried;
            }
            Try::TransientFailure(TransientFailure {
                kept_by: KeptBy::BusyForKey { .. },
                ref reason,
                ..
            }) if keys.use_other(signed, now) => return again(reason, false),
            _ => return tried,
        };
        match fault {
            Fault::Clock if keys.renew_refused(signed, now) => again(&reason, false),
            Fault::Clock => Try::Refused(PushError::Misconfigured {
                fault,
                reason: format!("{reason}, but it is less than an hour old by this machine's clock: check the clock"),
            }),
            // The connection belongs to the key of its first push.
            _ if reason == OTHER_KEY_ON_THIS_CONNECTION && keys.unused().is_some() => again(&reason, true),
            _ if is_about_the_key(&reason) && keys.renew_refused(signed, now) => again(&reason, false),
            _ if is_about_the_key(&reason) => match keys.refused(signed.key, &reason, now) {
                OtherKey::TakesOver => {
                    tracing::warn!(
                        app = self.name,
                        reason,
                        refused_key_id = keys.id(signed.key),
                        key_id = keys.id(1 - signed.key),
                        "Apple refuses a signing key: the other one is in use now"
                    );
                    again(&reason, true)
                }
                OtherKey::IsUsed => again(&reason, true),
                OtherKey::None => Try::Refused(PushError::Misconfigured {
                    fault,
                    reason: match keys.unused() {
                        Some(_) => format!("{reason}, for both keys"),
                        None => reason,
                    },
                }),
            },
            _ => Try::Refused(PushError::Misconfigured { fault, reason }),
        }
    }

    /// Which of the app's two keys Apple refuses, if it takes the other.
    pub(crate) fn key_problem(&self) -> Option<KeyProblem> {
        self.keys.as_ref()?.problem()
    }
}

/// Whether Apple refuses a push for its token or its topic.
fn is_about_the_push(error: &PushError) -> bool {
    matches!(error, PushError::TokenBad { .. } | PushError::TokenGone { .. }) || error.is_about_the_topic()
}

/// A push to a token that cannot exist.
fn probe_push(topic: &str) -> ApnsPush {
    ApnsPush {
        token: PushToken::new("0".repeat(64)),
        push_type: "voip",
        topic: topic.to_owned(),
        priority: "10",
        expiration: 0,
        collapse_id: None,
        apns_id: Uuid::new_v4(),
        body: br#"{"aps":{}}"#.to_vec(),
    }
}

fn headers(push: &ApnsPush, signed: Option<&SignedBy>) -> HeaderMap {
    // Apple asks that values which differ with every push stay out of its HPACK table; h2 keeps only sensitive ones
    // out.
    let unique = |mut value: HeaderValue| {
        value.set_sensitive(true);
        value
    };
    let text = |text: &str| HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""));
    let mut headers = HeaderMap::with_capacity(8);
    if let Some(signed) = signed {
        headers.insert(AUTHORIZATION, signed.bearer.header.clone());
    }
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
    if let Some(id) = &push.collapse_id {
        headers.insert(HeaderName::from_static("apns-collapse-id"), unique(text(id)));
    }
    headers.insert(
        HeaderName::from_static("apns-id"),
        unique(text(&push.apns_id.to_string())),
    );
    headers
}
