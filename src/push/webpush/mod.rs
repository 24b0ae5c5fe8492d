//! Web push and UnifiedPush: RFC 8030, with payloads that only the phone can read (RFC 8291) and a signature that says
//! who pushes (RFC 8292).
//!
//! ```text
//! token --> endpoint, keys --> rules (may it be there?) --> origins (one connection for each service)
//!                          \-> encrypt (the payload)     \-> vapid (one signed token for each service)
//! ```
//!
//! The phone chooses the endpoint, within the operator's rules ([`crate::push::endpoint`]). It is as secret as any token,
//! so errors name its host only.

mod encrypt;
mod origins;
mod reply;
mod vapid;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use reqwest::{Client, Url};

use crate::files;
use crate::push::app::{App, Credentials};
use crate::push::clock::Clock;
use crate::push::endpoint::EndpointRules;
use crate::push::payload::Composer;
use crate::push::payload::web_push::{BODY_LIMIT, WebPushMessage};
use crate::push::setup::SetupError;
use crate::push::transport::probe::Proof;
use crate::push::transport::reply::Reply;
use crate::push::transport::retry::{Try, Wait};
use crate::push::transport::tls::Tls;
use crate::push::webpush::encrypt::{OVERHEAD, encrypt};
use crate::push::webpush::origins::{Origin, Origins};
use crate::push::webpush::reply::classify;
use crate::push::webpush::vapid::VapidKey;
use crate::types::SubscriptionKeys;
use crate::types::push::{Fault, OwnRefusal, PushError, PushOutcome, PushRequest};

/// Largest payload before encryption, in bytes.
const PAYLOAD_LIMIT: usize = BODY_LIMIT - OVERHEAD;

/// One app's sender.
pub(crate) struct WebPush {
    name: String,
    composer: Composer,
    key: VapidKey,
    rules: Arc<EndpointRules>,
    origins: Origins,
    clock: Clock,
}

/// What every try sends.
struct Prepared<'a> {
    url: Url,
    origin: Arc<Origin>,
    message: &'a WebPushMessage,
    body: Vec<u8>,
}

impl WebPush {
    /// Reads the app's VAPID key.
    pub(crate) fn new(app: &App, clock: Clock) -> Result<Self, SetupError> {
        let Credentials::WebPush(settings) = &app.credentials else {
            return Err(SetupError::app(app, "webpush needs a VAPID key"));
        };
        let file = &settings.key_file;
        let text = SetupError::read(app, file, files::text)?;
        let key = VapidKey::read(&text, &settings.subject).map_err(|problem| SetupError::file(app, file, &problem))?;
        let rules = Arc::new(settings.rules.clone());
        let tls = Tls::for_endpoints(app, &rules)?;
        Ok(Self {
            name: app.name.clone(),
            composer: Composer::of(app)?,
            key,
            rules,
            origins: Origins::new(app, tls),
            clock,
        })
    }

    /// Delivers one push within its wait, or returns the error.
    pub(crate) async fn push(&self, req: &PushRequest) -> PushOutcome {
        let wait = Wait::new(req.patience());
        let message = self.composer.web_push(req, PAYLOAD_LIMIT, self.clock.now().wall)?;
        let url = self.endpoint(&message.endpoint)?;
        let prepared = Prepared {
            origin: self.origins.get(&url.origin().ascii_serialization())?,
            url,
            body: message
                .keys
                .as_ref()
                .map_or(Ok(Vec::new()), |keys| sealed(keys, &message.payload))?,
            message: &message,
        };
        let once = |client, left| self.once(client, &prepared, left);
        prepared.origin.connection.deliver(&self.name, req, wait, once).await
    }

    /// Opens the connections to the services that are known, so that the next call finds them open.
    pub(crate) async fn warm(&self) -> Result<(), PushError> {
        let named = self.reach_named();
        // One that a phone chose may be gone, which does not count against the app.
        let others = self.origins.all();
        let others = others
            .iter()
            .map(|origin| origin.connection.open(&self.name, &origin.url));
        let (named, _) = tokio::join!(named, join_all(others));
        named.map(drop)
    }

    /// Without a phone there is no push to send: only the services that the operator names can be tried.
    pub(crate) async fn probe(&self) -> (Result<Proof, PushError>, Option<SystemTime>) {
        let reached = self.reach_named().await;
        let proof = reached.map(|reached| {
            if reached == 0 {
                Proof::NoEndpoint
            } else {
                Proof::Connected
            }
        });
        (proof, None)
    }

    /// Connects to every host that the operator names; how many there are.
    async fn reach_named(&self) -> Result<usize, PushError> {
        let named = self.rules.allow_hosts.iter().filter_map(|pattern| pattern.host());
        let opening = named.map(async |host| {
            let origin = self.origins.get(&format!("https://{host}"))?;
            origin.connection.open(&self.name, &origin.url).await
        });
        let opened = join_all(opening).await;
        let count = opened.len();
        opened.into_iter().collect::<Result<(), _>>().map(|()| count)
    }

    /// The endpoint as it may be connected to; its name is looked up later.
    fn endpoint(&self, text: &str) -> Result<Url, PushError> {
        let bad = || PushError::TokenBad {
            reason: "NotAnEndpoint".into(),
        };
        let url = Url::parse(text).map_err(|_| bad())?;
        let host = url.host_str().ok_or_else(bad)?;
        let is_plain = url.username().is_empty() && url.password().is_none();
        if url.scheme() != "https" || !is_plain {
            return Err(bad());
        }
        if !self.rules.allow_host(host) {
            return Err(PushError::Refused(OwnRefusal::EndpointNotAllowed(host.to_owned())));
        }
        Ok(url)
    }

    async fn once(&self, client: Client, prepared: &Prepared<'_>, left: Duration) -> Try {
        let authorization = match prepared.origin.authorization(&self.key, self.clock.now()) {
            Ok(header) => header,
            Err(error) => return Try::Refused(error),
        };
        let message = prepared.message;
        let mut request = client
            .post(prepared.url.clone())
            .header("authorization", authorization)
            // RFC 8030 sections 5.2 to 5.4.
            .header("ttl", message.keep.unwrap_or(left).as_secs())
            .header("urgency", message.urgency);
        if let Some(topic) = &message.topic {
            request = request.header("topic", topic);
        }
        if !prepared.body.is_empty() {
            request = request
                .header("content-encoding", "aes128gcm")
                .header("content-type", "application/octet-stream");
        }
        match Reply::to(request.body(prepared.body.clone())).await {
            Ok(reply) => classify(&reply, self.clock.now().wall),
            Err(error) => lost(&prepared.origin, error),
        }
    }
}

/// A service that cannot be trusted is not the app's fault: a phone chose it.
fn lost(origin: &Origin, error: reqwest::Error) -> Try {
    match origin.connection.lost(error) {
        Try::Refused(PushError::Misconfigured { fault, reason }) if fault != Fault::Settings => {
            Try::Refused(PushError::Refused(OwnRefusal::EndpointNotTrusted(reason)))
        }
        other => other,
    }
}

/// The public key that an app's phones subscribe with; `None` for another app, or if its key cannot be read.
pub(crate) fn public_key(app: &App) -> Option<String> {
    let Credentials::WebPush(settings) = &app.credentials else {
        return None;
    };
    let text = files::text(&settings.key_file).ok()?;
    VapidKey::read(&text, &settings.subject).ok().map(|key| key.public)
}

fn sealed(keys: &SubscriptionKeys, payload: &[u8]) -> Result<Vec<u8>, PushError> {
    encrypt(keys, payload).map_err(|_| PushError::TokenBad {
        reason: "NotAKey".into(),
    })
}
